"""Devices: training, sampling and scoring with the rows of a batch spread over a mesh.

    mesh = data_mesh()
    state = replicate(state, mesh)
    with jax.set_mesh(mesh):
        state, metrics = jax.jit(algorithm.step)(state, key, shard_batch(batch, mesh))

The compiler adds one all-reduce of the gradients, and random numbers equal those on one device.
`train(..., mesh=mesh)` does these lines, in one process or several (`dgm_jax.runs.processes`).
(`set_mesh` tells layers that there are several devices; without it some make all rows on each.)
`jax.pmap` gives the same values for a loss without random numbers:

    algorithm = gradient_descent(init, loss, optimizer, axis_name="data")
    step = jax.pmap(algorithm.step, "data", in_axes=(None, None, 0), out_axes=None)
    state, metrics = step(state, key, batch)            # each leaf of batch is [devices, rows, ...]

Sampling and scoring, on all devices of the process:

    score = over_devices(lambda params, x: model.dist(params).log_prob(x))
    score(params, x)

All cores of a CPU are one device, unless JAX is told before it starts that they are more
(`jax.config.update("jax_num_cpu_devices", 2)`). What is faster depends on the kind of work, and
`python -m benchmarks.layouts` measures it:

    sampling, scoring                                       one per core: `over_devices`
    training, from 5000 FLOPs per parameter and step on     one per core: `training_mesh`
    training with fewer                                     one

Convolutions and attention use each parameter at many places, a dense net once for each row: six
FLOPs in a step. One device shares single large operations among the cores, and runs a loop of small
ones on one of them. Several each make their rows from beginning to end, but all of them hold and
update all parameters. The rule is wrong for recurrent nets, whose devices wait for one another at
every time: they want one.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .. import checks
from ..measure import num_cores, products
from ..protocol import Algorithm, Batch, Params
from ..runs import processes
from .descent import given

R = TypeVar("R")
WORTH = 5000  # FLOPs per parameter of a step, from which several CPU devices are faster
FEWEST_ROWS = 8  # of a device in training: fewer were not measured


def data_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh of devices with one axis, "data", over which the rows of a batch are spread.

    num_devices: the first so many of all devices; None for all. More than there are raise
        `ValueError`

    The axis is of type `Auto`: the compiler decides the sharding of every array. (With `Explicit`,
    JAX's default, shardings are part of array types, and a scanned flow does not type-check.)
    """
    devices = jax.devices()
    return _mesh(devices if num_devices is None else _first(devices, num_devices))


def _mesh(devices):
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def training_mesh(algorithm: Algorithm, batch: Batch, *, fixed: Any = None) -> Mesh | None:
    """The mesh of devices that share batches like this one, for `train(..., mesh=mesh)`; or None.

    None stands for one device: if there is only one, if no number of devices divides the rows, if
    there is nothing with rows to share, and in a run of several processes, where `train` takes all
    devices. On accelerators it has as many devices as divide the rows. On a CPU, whose devices are
    its cores if JAX was told so, as many as divide them into parts of at least 8 rows, and only if
    a step has at least 5000 FLOPs per parameter: with fewer, one device that uses all cores is
    faster.

    algorithm: init and step of a state, such as `gradient_descent(...)`. batch: one batch, of
        arrays [rows, ...]
    fixed: arrays that training does not change, which the step gets as fixed=...; None for none

    Cost: on a CPU with several devices the step is traced once, to count its FLOPs.
    """
    checks.noun(algorithm, Algorithm, "algorithm")
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(batch)]
    if processes.several() or jax.device_count() == 1 or not shapes or () in shapes:
        return None
    on_cpu = jax.default_backend() == "cpu"
    rows = math.gcd(*(shape[0] for shape in shapes))  # what divides it divides each
    most = min(len(_local()), rows // FEWEST_ROWS) if on_cpu else jax.device_count()
    count = max((n for n in range(2, most + 1) if rows % n == 0), default=1)
    if count == 1 or on_cpu and not _is_worth(algorithm, batch, fixed):
        return None
    return data_mesh(count)


def _is_worth(algorithm, batch, fixed):
    """Whether a step computes much for each parameter that every device must update."""
    key = jax.random.key(0)
    state = jax.eval_shape(algorithm.init, key)
    step = lambda *args: algorithm.step(*args, **given(fixed))
    params = jax.tree.leaves(jax.eval_shape(algorithm.params, state))
    count = products(step, state, key, batch)  # None where loops depend on the data
    return count is not None and count >= WORTH * sum(leaf.size for leaf in params)


def over_devices(
    function: Callable[..., R],
    *,
    num_devices: int | None = None,
    static_argnums: int | tuple[int, ...] = (),
) -> Callable[..., R]:
    """function(params, *rest), compiled, with the rows of its arrays on all devices of the process.

        score = over_devices(lambda params, x: model.dist(params).log_prob(x))
        draw = lambda params, key: model.dist(params).sample(seed=key, sample_shape=1000)
        sample = over_devices(draw)
        score(params, x), sample(params, key)

    function: of params, a tree that is copied to every device, and of further trees of arrays,
        numbers and keys. Arrays [n, ...] in `rest` and results [n, ...] are spread by their first
        axis, and numbers and keys are everywhere
    num_devices: the first so many; by default all, but of CPU devices no more than the process has
        cores. With one, and where it is called inside of `jit` or another transformation, this is
        `jax.jit(function)`
    static_argnums: the positions of arguments that are no arrays, as in `jax.jit`; each value
        compiles anew

    The results are those of `jax.jit(function)`, random numbers included, whatever the number of
    devices and of rows: rows that do not divide are padded by the compiler. They are on the first
    device. params is copied at each call if it is not on all devices yet
    (`replicate(params, data_mesh())`). Rows made part by part in a loop are made by every device:
    nothing is gained.
    """
    checks.function(function, "function")
    if num_devices is not None:
        num_devices = checks.positive_int(num_devices, "num_devices")
    several = isinstance(static_argnums, tuple | list)
    still = tuple(
        checks.positive_int(number, "static_argnums", least=0)
        for number in (static_argnums if several else (static_argnums,))
    )
    alone = jax.jit(function, static_argnums=still)

    @functools.wraps(function)
    def rows_apart(params, *rest):
        rest = [a if i in still else _spread(a) for i, a in enumerate(rest, start=1)]
        return _together(_spread(function(params, *rest)))

    @functools.cache
    def spread(shardings, structure):
        places = structure.unflatten(shardings)
        return jax.jit(rows_apart, static_argnums=still, in_shardings=tuple(places))

    @functools.wraps(function)
    def call(*args):
        devices = _local(num_devices)
        if len(devices) == 1:
            return alone(*args)
        mesh = _mesh(devices)
        try:
            with_mesh = jax.set_mesh(mesh)  # it is set from here on
        except ValueError:  # JAX is tracing another function, and refuses
            return alone(*args)
        with with_mesh:
            moved, places = list(args), []
            for i, arg in enumerate(args):
                if i not in still:
                    places.append(_places(arg, mesh, i > 0))
                    moved[i] = jax.tree.map(_movable, arg, places[-1])
            shardings, structure = jax.tree.flatten(places)
            return first_copy(spread(tuple(shardings), structure)(*moved))

    return call


def _local(num_devices=None):
    """The devices of this process; by default of CPU devices no more than the cores it may use."""
    devices = jax.local_devices()
    if num_devices is None:
        return devices[: num_cores()] if devices[0].platform == "cpu" else devices
    return _first(devices, num_devices)


def _first(devices, num_devices):
    num_devices = checks.positive_int(num_devices, "num_devices")
    if num_devices > len(devices):
        raise checks.InputError(
            f"num_devices is {num_devices}, but there are {len(devices)} devices."
        )
    return devices[:num_devices]


def _places(tree, mesh, rows):
    """Where each array goes: [n, ...] with rows that divide by them, so that no device gets more
    than it needs, and the others everywhere."""

    def place(leaf):
        apart = rows and _has_rows(leaf) and len(leaf) % mesh.size == 0
        return NamedSharding(mesh, PartitionSpec("data") if apart else PartitionSpec())

    return jax.tree.map(place, tree)


def _movable(leaf, place):
    """The leaf as it is if a compiled program moves it by itself, which takes a fifth of the time
    of `device_put`; one that was put on other devices is moved here."""
    if isinstance(leaf, jax.Array):
        moves = not leaf.committed or leaf.sharding == place
    else:
        moves = isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc"
    return leaf if moves else _put(leaf, place)


def _spread(tree):
    """Each array [n, ...] by its rows over the mesh that is set; the others stay as they are."""
    return jax.tree.map(lambda a: _laid(a, "data") if _has_rows(a) else a, tree)


def _together(tree):
    return jax.tree.map(_laid, tree)


def _laid(leaf, *axes):
    return jax.lax.with_sharding_constraint(leaf, PartitionSpec(*axes))


def _has_rows(leaf):
    return jnp.ndim(leaf) > 0 and not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def replicate(tree: Params, mesh: Mesh) -> Params:
    """A copy of all of `tree` on every device of the mesh, such as the state of training.

    tree: arrays, numbers and keys; other leaves raise `ValueError`. mesh: made by `data_mesh`
    """
    checks.instance(mesh, Mesh, "mesh")
    return _put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_batch(batch: Batch, mesh: Mesh) -> Batch:
    """An equal part of the rows of every leaf [batch, ...] on each device of the mesh.

    batch: a tree of arrays; mesh: made by `data_mesh`. In a run of several processes every one
        passes the whole batch. Raises `ValueError` if the rows do not divide among the devices.
    """
    checks.instance(mesh, Mesh, "mesh")
    check_rows(batch, mesh)
    return _put(batch, NamedSharding(mesh, PartitionSpec("data")))


def check_batch(batch: Batch, mesh: Mesh | None) -> None:
    """`InputError` for a first batch that is empty, has NaN or does not fit the devices."""
    for leaf in jax.tree.leaves(batch):
        checks.finite_rows(leaf, "batch(0)")
    if mesh is not None:
        check_rows(batch, mesh)


def check_rows(batch: Batch, mesh: Mesh) -> None:
    """`ValueError` if the rows of a leaf do not divide among the devices of `mesh`."""
    for leaf in jax.tree.leaves(batch):
        checks.divisible(leaf, mesh.size, f"{mesh.size} devices")


def first_copy(tree: Params) -> Params:
    """The copy of a replicated tree on the first device of this process, without a transfer."""
    return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, tree)


def placed(tree: Params, sharding: NamedSharding | None = None) -> Params:
    """All of `tree` on the devices of this process, by default on the first."""
    try:
        return jax.device_put(tree, sharding)
    except (TypeError, OverflowError) as error:
        raise checks.InputError(f"a tree must hold arrays and numbers alone ({error}).") from error


def _put(tree, sharding):
    """device_put, which knows the devices of one process only."""
    if sharding.is_fully_addressable:
        return placed(tree, sharding)
    return jax.tree.map(lambda leaf: _put_own_part(leaf, sharding), tree)


def _put_own_part(leaf, sharding):
    if jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
        data = _put_own_part(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    leaf = np.asarray(leaf)
    leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)
    return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])
