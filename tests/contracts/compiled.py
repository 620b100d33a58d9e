"""`jit` for tests: a fifth of the compile time, for code whose speed does not matter."""

from functools import partial

import jax

QUICK = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 11):  # later ones have no such option
    QUICK["xla_cpu_use_fusion_emitters"] = False

jit = partial(jax.jit, compiler_options=QUICK)
