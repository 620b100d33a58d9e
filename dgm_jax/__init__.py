"""Every model of a course on deep generative models, as pure JAX functions.

    import dgm_jax
    flow = dgm_jax.flows.maf(64, hidden=(512, 512))

A sub-module is loaded when it is first used, so `import dgm_jax` is fast. Read `dgm_jax.protocol`
first: it defines the types that all models are made of.
"""

import importlib.util
import sys
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
    "inference",
    "flows",
    "vae",
    "disentangled",
    "gans",
    "quantized",
    "diffusion",
]


def __getattr__(name):
    if name in __all__:
        return _lazily(f"{__name__}.{name}")
    if name == "__version__":
        return metadata.version(__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]


def _lazily(name):
    """The module of a name, which is executed when something of it is first looked at."""
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None  # a file beside this one
        spec.loader = loader = importlib.util.LazyLoader(spec.loader)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        loader.exec_module(sys.modules[name])
    return sys.modules[name]
