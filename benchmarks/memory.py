"""The memory that a gradient of a RevNet needs as it gets deeper, beside ordinary backpropagation.

    python -m benchmarks.memory

compiles the gradient of a RevNet and of an i-RevNet in three ways and reads from the compiled
programs the memory between arguments and results, which is that of the stored activations. The
three ways are a backward pass that reconstructs activations from the output (`nets.revnet`),
backpropagation through the same layers, and backpropagation in which each block recomputes its
inner values (`jax.checkpoint`). Parameters and their gradients, which grow with depth in all three,
are not included. The last column is the difference of the gradient to that of backpropagation, in
float32, relative to its largest entry, for weights of deviation 0.1.

Expect the same memory for all depths, 1.9 MB for the RevNet, where the other two grow in proportion
to depth, to 77 and 9.7 MB with 32 layers. It takes half a minute on one CPU core, all of it
compilation; nothing is timed.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import bijectors, checks, measure, nets, plots, runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import Array, Net, Params


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    nets: tuple[Literal["revnet", "irevnet"], ...] = ("revnet", "irevnet")
    """which nets to compile"""
    depths: tuple[int, ...] = (2, 8, 32)
    """the numbers of layers (for the i-RevNet, in each stage)"""
    batch: int = 1024
    """examples per batch"""
    dim: int = 64
    """the dimension of an example of the RevNet; those of the i-RevNet are images of 8×8×1"""
    width: int = 64
    """the width of the hidden layer of each block"""


WAYS = ("found again", "backprop", "checkpoint")
IMAGE = (8, 8, 1)


def block(config: Config, size: int) -> Net:
    """The net F from one half of the entries to the other, `size` each, at each pixel."""
    return nets.mlp(size, size, hidden=(config.width,))


def couplings(f: Net, params: Params, x: Array, remember: bool) -> Array:
    """The layers of `nets.revnet`, (a, b) -> (b, a + F(b)), for ordinary backpropagation."""

    def body(halves, p):
        a, b = halves
        return (b, a + f.apply(p, b)), None

    layer = body if remember else jax.checkpoint(body)
    return jnp.concatenate(jax.lax.scan(layer, tuple(jnp.split(x, 2, -1)), params)[0], -1)


def case(
    config: Config, name: str, depth: int
) -> tuple[nets.Reversible, tuple[int, ...], Callable]:
    """The net, the shape of its batch, and its layers for ordinary automatic differentiation."""
    if name == "revnet":
        f = block(config, config.dim // 2)
        net = nets.revnet(f, num_layers=depth)
        return net, (config.batch, config.dim), lambda p, x, keep: couplings(f, p, x, keep)
    height, width, channels = IMAGE
    shapes = [(height >> s, width >> s, 4**s * channels) for s in (1, 2)]
    net = nets.irevnet(
        IMAGE, num_stages=2, num_layers=depth, block=lambda shape, c: block(config, c)
    )

    def plain(params, x, keep):
        for p, (h, w, c) in zip(params, shapes, strict=True):
            x = bijectors.squeeze((2 * h, 2 * w, c // 4)).forward(x)
            x = couplings(block(config, c // 2), p, x, keep)
        return x

    return net, (config.batch, *IMAGE), plain


def measurements(config: Config, name: str, depth: int) -> dict:
    """One row: the memory of the three gradients, and the difference of the first two."""
    net, shape, plain = case(config, name, depth)
    rng = np.random.default_rng(0)
    drawn = lambda a: rng.normal(scale=0.1, size=a.shape).astype(a.dtype)
    params = jax.tree.map(drawn, jax.eval_shape(net.init, jax.random.key(0)))
    x = rng.normal(size=shape).astype(np.float32)
    applied = (net.apply, lambda p, x: plain(p, x, True), lambda p, x: plain(p, x, False))
    row: dict[str, Any] = {"net": name, "depth": depth}
    gradients = {}
    for way, apply in zip(WAYS, applied):
        gradient = jax.jit(jax.grad(lambda p, x, f=apply: (f(p, x) ** 2).mean()))
        compiled = gradient.lower(params, x).compile()
        memory = compiled.memory_analysis()
        if memory is None:
            raise checks.InputError(
                f"{jax.default_backend()} keeps no account of memory; take another."
            )
        row[f"{way} MB"] = memory.temp_size_in_bytes / 1e6
        gradients[way] = compiled(params, x)
    row["difference"] = farthest(gradients["found again"], gradients["backprop"])
    return row


def farthest(got: dict[str, dict], wanted: dict[str, dict]) -> float:
    """max |a - b| relative to max |b|, over all entries."""
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]) for tree in (got, wanted))
    return float(np.abs(a - b).max() / np.abs(b).max())


def main(config: Config) -> dict:
    checks.widths(config.depths, "depths")
    checks.positive_int(config.batch, "batch")
    if not (config.nets and config.depths):
        raise checks.InputError("nets and depths must each name at least one, as --depths 1 4.")
    rows, machine = [], measure.machine()
    for name in config.nets:
        rows += [measurements(config, name, depth) for depth in config.depths]
    machine |= {"batch": config.batch, "dim": config.dim, "width": config.width}
    return {"rows": rows, "machine": machine}


def tables(found: dict) -> list[list]:
    """A line for each net and depth: MB of each way, and the difference of gradients."""
    return [
        [
            row
            | {f"{way} MB": runs.short(row[f"{way} MB"]) for way in WAYS}
            | {"difference": f"{row['difference']:.0e}"}
            for row in found["rows"]
        ]
    ]


def draw(config: Config, found: dict) -> Figure:
    """Memory against depth, for the first net."""
    rows = [row for row in found["rows"] if row["net"] == config.nets[0]]
    depths = [row["depth"] for row in rows]
    series = {way: (depths, [row[f"{way} MB"] for row in rows]) for way in WAYS}
    return plots.curves(
        series,
        xlabel="layers",
        ylabel="MB that a gradient keeps",
        title=f"{config.nets[0]}: activations found again, kept, or recomputed",
    )


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=0.5)
