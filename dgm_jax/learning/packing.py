"""An optimiser that sees all small arrays of parameters as one vector."""

import itertools

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..protocol import Array, Params

SMALL = 2**17  # entries; copying half a megabyte takes less than a kernel of its own would


def packed(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """`optimizer` on a list of few arrays: leaves of at most 2^17 entries are joined, by dtype.

    It saves time of compilation: XLA compiles a kernel for every array that an update computes, in
    about eight milliseconds, and a net of a million parameters has a hundred arrays or more.

    optimizer: one of optax, that treats each entry alone or all together, as Adam and a clipped
        norm do; then the results are the same up to the order of a sum over all entries. A mask or
        a rate for each layer needs the tree, and does not fit

    Returns an optax transformation whose state is that of the list. Cost: one copy of the gradients
    and parameters that are joined.
    """
    checks.noun(optimizer, optax.GradientTransformation, "optimizer")

    def init(params):
        return optimizer.init(joined(params))

    def update(updates, state, params=None):
        given = None if params is None else joined(params)
        moved, state = optimizer.update(joined(updates), state, given)
        return _parted(moved, updates), state

    return optax.GradientTransformation(init, update)


def joined(tree: Params) -> list[Array]:
    """The arrays of a tree, those of at most SMALL entries joined as one vector for each dtype."""
    leaves = jax.tree.leaves(tree)
    return [
        jnp.concatenate([leaves[i].ravel() for i in group]) if len(group) > 1 else leaves[group[0]]
        for group in _groups(tree)
    ]


def _parted(joined, like):
    leaves, structure = jax.tree.flatten(like)
    for array, group in zip(joined, _groups(like), strict=True):
        if len(group) == 1:
            leaves[group[0]] = array
            continue
        ends = list(itertools.accumulate(leaves[i].size for i in group))
        for i, part in zip(group, jnp.split(array, ends[:-1]), strict=True):
            leaves[i] = part.reshape(leaves[i].shape)
    return jax.tree.unflatten(structure, leaves)


def _groups(tree: Params) -> list[list[int]]:
    """The places of the leaves that are joined: all small ones of a dtype, each large one alone."""
    groups = {}
    for i, leaf in enumerate(jax.tree.leaves(tree)):
        groups.setdefault(leaf.dtype if leaf.size <= SMALL else i, []).append(i)
    return list(groups.values())
