"""Every model of a course on deep generative models, as pure JAX functions.

    import dgm_jax
    flow = dgm_jax.flows.maf(64, hidden=(512, 512))

Sub-modules are loaded when they are first named, so that importing this package is free. Read
`dgm_jax.protocol` first: it has the nouns that all models are made of.
"""

import importlib
from importlib import metadata

__all__ = [
    "protocol",
    "checks",
    "arrays",
    "measure",
    "runs",
    "bijectors",
    "distributions",
    "nets",
    "data",
    "combinators",
    "likelihoods",
    "objectives",
    "metrics",
    "plots",
    "learning",
    "autoregressive",
    "flows",
]


def __getattr__(name):
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "__version__":
        return metadata.version(__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]
