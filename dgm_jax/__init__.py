"""Every model of a course on deep generative models, as pure JAX functions.

    import dgm_jax
    flow = dgm_jax.flows.maf(64, hidden=(512, 512))

A sub-module is loaded when it is first used, so `import dgm_jax` is fast. Read `dgm_jax.protocol`
first: it defines the types that all models are made of.
"""

import importlib.util
import sys
import types
from importlib import metadata
from importlib.machinery import ModuleSpec, SourceFileLoader

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


class _Lazy(types.ModuleType):
    """A module that is imported when something of it is first looked at.

    Until then it is in no list of imported modules: an import of one of its files must execute it
    first, since it may have a function with the name of that file, such as flows.maf of maf.py.
    """

    def __getattribute__(self, name):
        importlib.import_module(object.__getattribute__(self, "__name__"))
        return getattr(self, name)


class _Loader(SourceFileLoader):
    """Executes a file in the lazy module that stands for it."""

    def create_module(self, spec):
        module, _ = _waiting.pop(spec.name)
        module.__class__ = types.ModuleType
        return module


_waiting: dict[str, tuple[_Lazy, ModuleSpec]] = {}  # lazy modules by their names


def _lazily(name):
    """The module of a name, imported or lazy."""
    if name in sys.modules:
        return sys.modules[name]
    if name not in _waiting:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None  # a file beside this one
        spec.loader = _Loader(name, spec.origin)
        _waiting[name] = _Lazy(name), spec
    return _waiting[name][0]


class _Finder:
    """Finds lazy modules, so that they are the ones that are imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return _waiting[name][1] if name in _waiting else None


sys.meta_path.insert(0, _Finder)
