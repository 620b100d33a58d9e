"""Data parallelism: the unchanged `Algorithm.step` under `jit`, with a batch sharded over a mesh.

    mesh = data_mesh()
    state = replicate(state, mesh)
    state, metrics = jax.jit(algorithm.step)(state, key, shard_batch(batch, mesh))

The compiler adds one all-reduce of the gradients, and random numbers equal those on one device.
`train(..., mesh=mesh)` does these three lines, in one process or several
(`dgm_jax.runs.processes`). `jax.pmap` gives the same values for a loss without random numbers:

    algorithm = gradient_descent(init, loss, optimizer, axis_name="data")
    step = jax.pmap(algorithm.step, "data", in_axes=(None, None, 0), out_axes=None)
    state, metrics = step(state, key, batch)            # each leaf of batch is [devices, rows, ...]
"""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .. import checks
from ..protocol import Batch, Params


def data_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh with one axis, "data", over the first `num_devices` devices (by default all).

    The axis is of type `Auto`: the compiler decides the sharding of every array. (With `Explicit`,
    JAX's default, shardings are part of array types, and a scanned flow does not type-check.)
    """
    devices = jax.devices()
    if num_devices is not None:
        num_devices = checks.positive_int(num_devices, "num_devices")
        if num_devices > len(devices):
            raise checks.InputError(
                f"num_devices is {num_devices}, but there are {len(devices)} devices."
            )
        devices = devices[:num_devices]
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicate(tree: Params, mesh: Mesh) -> Params:
    """A copy of all of `tree` on every device."""
    checks.instance(mesh, Mesh, "mesh")
    return _put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_batch(batch: Batch, mesh: Mesh) -> Batch:
    """An equal part of the rows of every leaf [batch, ...] on each device.

    Every process passes the whole batch. `ValueError` if the rows do not divide among the devices.
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
