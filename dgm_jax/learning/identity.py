"""The identity of a run: two calls of `train` are the same run if these agree.

    identity = {dgm_jax, jax,                       versions
                key, num_steps, eval_every, monitor, minimise, patience,
                first batch, fixed,                 fingerprints of their bits
                init, step,                         fingerprints of their programs
                params,                             what is selected of the state
                **those of the caller}              train(..., identity={name: JSON})

Every checkpoint holds the identity of its run, and `train` resumes only its own run. The identity
leaves out what changes no number (how often to log and save, the devices, the directory), and what
`train` cannot see: the batches after the first, and the code of `evaluate` and of host callbacks
(`jax.pure_callback`). Callers add these through `identity`; `experiments.fitting`, for example,
adds all options and a fingerprint of the data.

A program is a jaxpr, which does not depend on the devices. Its fingerprint covers all operations
with their shapes, dtypes and parameters, and the values of constants. It leaves out the names of
functions and the addresses of objects, which differ between processes. A loss wrapped in another
`jax.jit` is a different program, because its operations differ. A run traces these programs
anyway, so the check costs no compilation.
"""

import hashlib
import itertools
import json
import re
from importlib import metadata
from typing import Any

import jax
import numpy as np
from jax.extend import core

from .. import checks
from ..protocol import Key
from ..runs.values import leaves, plain

ARGUMENTS = ("num_steps", "eval_every", "monitor", "minimise", "patience")  # of `train`
TRACED = {  # and how it is said that they differ
    "first batch": "the first batch has other numbers",
    "fixed": "what is fixed has other numbers",
    "init": "init makes another state",
    "step": "the step computes something else (the model, the loss, a rate)",
    "params": "algorithm.params selects other parts of the state",
}
TOLD = ("jax",)  # said where something else differs; alone it is no difference
# parameters of operations that name or place them, and change no number
IGNORED = frozenset(
    "name ctx_mesh debug debug_info donated_invars in_layouts in_shardings inline keep_unused "
    "mesh out_layouts out_shardings out_sharding sharding compiler_options_kvs".split()
)


def arguments(key: Key, plan: Any, given: dict[str, Any] | None) -> dict[str, Any]:
    """The part of the identity that is known before tracing.

    plan: has the attributes listed in ARGUMENTS; given: what the caller adds.
    """
    if given is not None and not isinstance(given, dict):
        raise checks.InputTypeError(
            f"identity must be a dict {{name: value}}; got {type(given).__name__}."
        )
    words = np.atleast_1d(jax.device_get(jax.random.key_data(key))).tolist()
    said = {"dgm_jax": _version(), "jax": jax.__version__, "key": f"{key.dtype} {words}"}
    said |= {name: getattr(plan, name) for name in ARGUMENTS}
    own = plain({} if given is None else given, "identity")
    if taken := own.keys() & {*said, *TRACED}:
        raise checks.InputError(
            f"identity names {min(taken)!r}, which train says itself; rename it."
        )
    return plain(said, "arguments") | own


def _version():
    try:
        return metadata.version("dgm_jax")
    except metadata.PackageNotFoundError:  # used from its folder
        return None


def traced(
    init: core.ClosedJaxpr, steps: dict[int, core.ClosedJaxpr], first_batch: Any, fixed: Any
) -> dict[str, str]:
    """The rest of the identity: fingerprints of programs and arrays.

    init: the program of `algorithm.init`; steps: {first step: program}; first_batch, fixed: arrays.
    """
    step = " ".join(
        f"{first}:{of_program(program)}" if first else of_program(program)
        for first, program in steps.items()
    )
    marks = fingerprint(first_batch), fingerprint(fixed), of_program(init), step
    return dict(zip(("first batch", "fixed", "init", "step"), marks, strict=True))


def check(there: Any, here: dict[str, Any], where: Any) -> None:
    """`InputError` that lists all differences, if the run in the directory `where` is another one.

    there, here: the two identities.
    """
    if not there:
        raise checks.InputError(
            f"{where} holds checkpoints that train did not write. Give another workdir."
        )
    if differing := differences(there, here):
        raise checks.InputError(
            f"{where} holds another run: {'; '.join(differing)}. "
            "Give the arguments it was made with, or another workdir."
        )


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """["num_steps is 70 there and 30 here", ...]; empty if both are the same run."""
    there, here = dict(leaves(there)), dict(leaves(here))
    names = [name for name in {**here, **there} if there.get(name, ...) != here.get(name, ...)]
    if set(names) <= set(TOLD):
        return []
    return [
        TRACED.get(name, f"{name} is {_said(there, name)} there and {_said(here, name)} here")
        for name in names
    ]


def _said(values, name):
    return json.dumps(values[name]) if name in values else "absent"


# ------------------------------------------------------------------------------------ fingerprints
def fingerprint(tree: Any) -> str:
    """A hash of the bits, shapes, dtypes and paths of all arrays of a tree: 16 hexadecimal digits.

    tree: arrays of numbers or keys, in dicts, lists and tuples; it is read on the host. Equal
        hashes mean equal data, for `train(..., identity={"data": fingerprint(data)})`.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(_array(leaf))
    return digest.hexdigest()


def of_program(program: core.ClosedJaxpr) -> str:
    """A hash of all operations of a program, nested ones included, and of its constants.

    It is the same in every process and for every number of devices.
    """
    return _program(program.jaxpr, program.consts, {}).hex()


def _array(x):
    if jax.dtypes.issubdtype(getattr(x, "dtype", None), jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    x = np.asarray(jax.device_get(x) if isinstance(x, jax.Array) else x)
    if x.dtype.hasobject:
        raise checks.InputTypeError(f"tree must hold arrays of numbers; got one of {x.dtype}.")
    digest = hashlib.blake2b(f"{x.dtype}{x.shape}".encode(), digest_size=8)
    digest.update(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data)
    return digest.digest()


def _program(jaxpr, consts, known):
    """`known` has the digests of the programs that were met, by the id of each."""
    if id(jaxpr) in known:
        return known[id(jaxpr)]
    digest, names, numbers = hashlib.blake2b(digest_size=8), {}, itertools.count()

    def variables(made):
        names.update((var, next(numbers)) for var in made)
        return [str(var.aval) for var in made]

    def name(atom):
        if isinstance(atom, core.Literal):
            return str(atom.aval), _value(atom.val, known)
        return names[atom]

    def add(*said):
        digest.update(repr(said).encode())

    add(variables([*jaxpr.constvars, *jaxpr.invars]), _value(consts, known))
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "reshard":  # jax adds them where there is a mesh
            names.update(zip(eqn.outvars, map(name, eqn.invars)))
            continue
        options = {option: x for option, x in eqn.params.items() if option not in IGNORED}
        used = [name(atom) for atom in eqn.invars]
        add(eqn.primitive.name, used, _value(options, known), variables(eqn.outvars))
    add([name(atom) for atom in jaxpr.outvars])
    known[id(jaxpr)] = digest.digest()
    return known[id(jaxpr)]


def _value(value, known):
    """A parameter of an operation, or a constant, as something whose text says all of it."""
    if isinstance(value, core.ClosedJaxpr):
        return _program(value.jaxpr, value.consts, known)
    if isinstance(value, core.Jaxpr):
        return _program(value, (), known)
    if isinstance(value, (tuple, list)):
        return [_value(part, known) for part in value]
    if isinstance(value, (set, frozenset)):  # in an order of its own in each process
        return sorted(repr(_value(part, known)) for part in value)
    if isinstance(value, dict):
        return sorted((str(name), _value(part, known)) for name, part in value.items())
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _array(value)
    if isinstance(value, type) or not callable(value):
        return re.sub(r"0x[0-9a-f]+", "", repr(value))
    return "function"  # how to differentiate; what was differentiated is in the program
