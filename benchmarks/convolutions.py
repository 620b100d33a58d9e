"""Upsampling convolutions and group norm, beside those of lax, flax and torch.

    taskset -c 0 python -m benchmarks.convolutions --clock cpu

times `nets.up_conv` (4×4 kernels, stride 2) and `nets.group_norm` before a SiLU: forward, with the
gradient with respect to all arguments, and with the gradient of a function of these gradients,
which a critic with gradient penalty needs. They are compared with `lax.conv_transpose`, for which
JAX computes the gradient of the kernel from the dilated input, with the layer of flax, and with
torch if it is installed. *difference* is the largest difference of the gradients from ours,
relative to the largest entry. On one core expect 0.1 or less of the time of lax for a gradient with
many channels, and the time of torch or less.

It takes a minute on two cores.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peers
from dgm_jax import measure, nets, plots, runs
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Library = Literal["lax", "flax", "torch"]


class Up(NamedTuple):
    """One upsampling of images of size×size pixels, from `channels` to `out` channels."""

    batch: int
    size: int
    channels: int
    out: int

    def __str__(self):
        return f"up {self.batch}x{self.size}x{self.size}, {self.channels}->{self.out}"


class Norm(NamedTuple):
    """One group norm with 8 groups."""

    batch: int
    size: int
    channels: int

    def __str__(self):
        return f"norm {self.batch}x{self.size}x{self.size}x{self.channels}"


CASES = (
    Up(64, 7, 64, 32),
    Up(64, 14, 32, 1),
    Up(32, 8, 64, 64),
    Up(32, 16, 64, 3),
    Norm(32, 28, 32),
    Norm(32, 14, 64),
)
WAYS = ("forward", "gradient", "second")
GROUPS = 8


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    libraries: tuple[Library, ...] = ("lax", "flax", "torch")
    """the libraries to compare; those that are not installed are left out"""
    clock: Literal["wall", "cpu"] = "wall"
    """what is measured: elapsed time, or the processor time of this process, which should then be
    pinned to one core"""
    repeats: int = 20
    """rounds of timing; in each, all calls are made in turn"""
    min_seconds: float = 1.0
    """the least duration of all rounds, in seconds, for each operation"""


# --------------------------------------------------------------------- one operation, three ways
class Contestant(NamedTuple):
    """One operation in one library, by a call for each of WAYS."""

    forward: Callable[[], Any]
    gradient: Callable[[], Any]
    second: Callable[[], Any]
    gradients: Callable[[], list[np.ndarray]]  # for the comparison of numbers


def arguments(case: Up | Norm) -> tuple[np.ndarray, ...]:
    """The images, then the kernel [4, 4, out, in], or scale and bias."""
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
    x = normal(case.batch, case.size, case.size, case.channels)
    if isinstance(case, Up):
        return x, 0.1 * normal(4, 4, case.out, case.channels)
    return x, 1 + 0.1 * normal(case.channels), 0.1 * normal(case.channels)


def of_jax(function: Callable, args: Any) -> Contestant:
    """`function` of JAX on these arguments; all three calls are compiled.

    gradient: that of ½ Σ f², by all arguments. second: that of half its squared norm.
    """
    args, every = tuple(map(jnp.asarray, args)), tuple(range(len(args)))
    gradient = jax.grad(lambda *a: (function(*a) ** 2).sum() / 2, every)
    penalty = jax.grad(lambda *a: sum((g**2).sum() for g in gradient(*a)) / 2, every)
    run = [jax.jit(f) for f in (function, gradient, penalty)]
    calls = [lambda f=f: f(*args) for f in run]
    return Contestant(*calls, lambda: [np.asarray(g) for g in run[1](*args)])


def ours(case: Up | Norm) -> Contestant:
    """`nets.up_conv`, or `nets.group_norm` and a SiLU."""
    if isinstance(case, Up):
        return of_jax(nets.up_conv, arguments(case))
    norm = lambda *a: jax.nn.silu(nets.group_norm(*a, num_groups=GROUPS))
    return of_jax(norm, arguments(case))


def lax(case: Up) -> Contestant:
    """`lax.conv_transpose`; it has no group norm."""
    if isinstance(case, Norm):
        raise NotImplementedError("has no norm")
    up = lambda y, w: jax.lax.conv_transpose(y, w, (2, 2), "SAME", transpose_kernel=True)
    return of_jax(up, arguments(case))


def flax(case: Norm) -> Contestant:
    """The group norm of flax and a SiLU; its upsampling is that of lax."""
    if isinstance(case, Up):
        raise NotImplementedError("has that of lax")
    import flax.linen as linen

    layer = linen.GroupNorm(GROUPS)

    def norm(x, scale, bias):
        return jnp.asarray(layer.apply({"params": {"scale": scale, "bias": bias}}, x))

    return of_jax(lambda *a: jax.nn.silu(norm(*a)), arguments(case))


def torch(case: Up | Norm) -> Contestant:
    """The operation in torch, with channels first; its gradients are turned to our layout."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x, *others = arguments(case)
    args = [x.transpose(0, 3, 1, 2)]  # channels first, as torch has them
    args += [others[0].transpose(3, 2, 0, 1)] if isinstance(case, Up) else others
    args = [torch.tensor(np.ascontiguousarray(a), requires_grad=True) for a in args]

    def function():
        if isinstance(case, Up):
            return functional.conv_transpose2d(*args, stride=2, padding=1)
        return functional.silu(functional.group_norm(args[0], GROUPS, *args[1:], eps=1e-6))

    def forward():
        with torch.no_grad():
            return function()

    def gradient(create_graph=False):
        return torch.autograd.grad((function() ** 2).sum() / 2, args, create_graph=create_graph)

    def second():
        loss = sum((g**2).sum() for g in gradient(create_graph=True)) / 2
        return torch.autograd.grad(loss, args)

    def gradients():
        first, *rest = (g.numpy() for g in gradient())
        rest = [rest[0].transpose(2, 3, 1, 0)] if isinstance(case, Up) else rest
        return [first.transpose(0, 2, 3, 1), *rest]

    return Contestant(forward, gradient, second, gradients)


LIBRARIES = {f.__name__: f for f in (lax, flax, torch)}


def contestants(config: Config, case: Any) -> dict[str, Contestant]:
    """{library: Contestant} of one case, ours first, without those that are not at hand."""
    found = {"dgm_jax": ours(case)}
    for library in config.libraries:
        try:
            found[library] = LIBRARIES[library](case)
        except (ImportError, NotImplementedError):
            pass
    return found


def difference(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The largest |a - b| / max |b|, over the gradients by all arguments."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, wanted))


def operations(config: Config) -> list[dict]:
    """A row for each case, library and way; all calls of a case are interleaved."""
    rows = []
    for case in CASES:
        found = contestants(config, case)
        thunks = {(library, way): getattr(c, way) for library, c in found.items() for way in WAYS}
        timed = timing.compare(
            thunks, repeats=config.repeats, min_seconds=config.min_seconds, clock=config.clock
        )
        own = found["dgm_jax"].gradients()
        for (library, way), result in timed.items():
            rows.append(
                {
                    "case": str(case),
                    "library": library,
                    "way": way,
                    "ms": result.median_ms,
                    "low_ms": result.low_ms,
                    "high_ms": result.high_ms,
                    "to_ours": result.median_ms / timed["dgm_jax", way].median_ms,
                    "difference": difference(found[library].gradients(), own),
                    "first_call_s": result.first_call_s,
                }
            )
        print(f"{case} is done")
    return rows


# ----------------------------------------------------------------------------------- the run
def main(config: Config) -> dict:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    rows, machine = operations(config), measure.machine()
    return {"rows": rows, "machine": machine | peers.versions(("flax",)) | {"clock": config.clock}}


def tables(found: dict) -> list[list]:
    """Milliseconds and ratios of the operations."""
    lines = {}
    for r in found["rows"]:
        facts = {"operation": r["case"], "library": r["library"]}
        facts |= {"difference": f"{r['difference']:.0e}"}
        line = lines.setdefault((r["case"], r["library"]), facts)
        line[f"{r['way']} ms"] = runs.short(r["ms"])
        line[f"{r['way']} / ours"] = f"{r['to_ours']:.2f}"
    return [list(lines.values())]


def draw(config: Config, found: dict) -> Figure:
    """The time of a gradient relative to ours, with a bar for each library."""
    names = {"dgm_jax": "dgm_jax", "lax": "lax, flax", "flax": "lax, flax", "torch": "torch"}
    values = {}
    for r in found["rows"]:
        if r["way"] == "gradient":
            group = r["case"].replace(", ", "\n").replace("up ", "").replace("norm ", "norm\n")
            values.setdefault(group, {})[names[r["library"]]] = r["to_ours"]
    title = "Gradients of upsampling convolutions and of group norm"
    return plots.bars(values, ylabel="time, relative to ours", logy=True, title=title)


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=1)
