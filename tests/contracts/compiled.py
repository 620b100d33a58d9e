"""`jit` for tests: a fifth of the compile time, for code whose speed does not matter.

With `XLA_FLAGS=` in the environment, that is set and empty, it is jax's own.
"""

import os
from functools import partial

import jax

QUICK = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 11):  # later ones have no such option
    QUICK["xla_cpu_use_fusion_emitters"] = False
if os.environ.get("XLA_FLAGS") == "":
    QUICK = {}

jit = partial(jax.jit, compiler_options=QUICK)
