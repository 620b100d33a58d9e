"""Names of the parts of a tree: "state/params/w" is state.params["w"]."""

from collections.abc import Iterator
from typing import Any

import jax

from ...protocol import Array


def named(tree: Any) -> dict[str, Array]:
    """{"params/w": array, ...}: the leaves of a tree, except placeholders of those not loaded."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {name(path): leaf for path, leaf in leaves if leaf is not ...}


def describe(tree: Any) -> dict[str, str]:
    """{"params/w": "float32[2, 3]", ...}: what a checkpoint and a template must agree on."""
    return {where: f"{leaf.dtype}{list(leaf.shape)}" for where, leaf in named(tree).items()}


def parts(tree: Any, path: tuple = ()) -> Iterator[tuple[str, Any]]:
    """("params/w", part) for all parts of a tree, inner nodes included; "" is the tree itself."""
    yield name(path), tree
    for key, child in jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: x is not tree):
        if key:  # a leaf has no children, and is given as its own
            yield from parts(child, path + key)


def name(path: tuple) -> str:
    """The name of the part at a path of `jax.tree_util`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def within(leaf: str, part: str) -> bool:
    """Whether the leaf "state/params/w" lies in the part "state/params"; every leaf lies in ""."""
    return not part or f"{leaf}/".startswith(f"{part}/")
