"""`jit` for tests: a fifth of the compile time, for code whose speed does not matter.

With `XLA_FLAGS=` in the environment, that is set and empty, it is jax's own.
"""

import os
from functools import partial

import jax

# Parts of a program can be compiled side by side, of which each costs: one takes a fifth less.
QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
DEFAULTS = {"xla_backend_optimization_level": 3, "xla_cpu_parallel_codegen_split_count": 32}
if jax.__version_info__ < (0, 11):  # later ones have no such option
    QUICK["xla_cpu_use_fusion_emitters"], DEFAULTS["xla_cpu_use_fusion_emitters"] = False, True
if os.environ.get("XLA_FLAGS") == "":
    QUICK = DEFAULTS = {}

jit = partial(jax.jit, compiler_options=QUICK)
