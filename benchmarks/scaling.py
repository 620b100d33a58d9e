"""How the cost of a flow grows with d, width, depth, batch, layers and devices.

    python -m benchmarks.scaling

varies one size at a time around a base (d = 64, two hidden layers of 512, 5 layers, batch 256) and
times density, its gradient and sampling of one model. Then it compares scanned with unrolled layers
(the compile time of a `lax.scan` does not depend on the number of layers; gradients of unrolled
layers are faster), and shares the batch among 1 to 8 virtual devices, which share the cores of this
machine. The picture shows the slopes on logarithmic axes: 1 is linear growth. It takes under three
minutes on two CPU cores, most of it compilation.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import numpy as np

from benchmarks import passes
from dgm_jax import checks, learning, measure, nets, plots, runs
from dgm_jax.measure import flops, timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Size = Literal["dim", "width", "depth", "batch", "num_layers", "devices"]


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    model: Literal["maf", "iaf", "realnvp"] = "maf"
    """the flow"""
    sizes: tuple[Size, ...] = ("dim", "width", "depth", "batch", "num_layers", "devices")
    """which sizes to vary, one at a time"""
    dim: int = 64
    """the dimension d of the base"""
    width: int = 512
    """the width of the hidden layers of the base"""
    depth: int = 2
    """hidden layers of each conditioner of the base"""
    batch: int = 256
    """examples per call of the base"""
    num_layers: int = 5
    """autoregressive layers of the base, or pairs of couplings"""
    inverse: str = "unit_once"
    """how the autoregression is inverted, by its name in nets.INVERSES"""
    dims: tuple[int, ...] = (16, 64, 256)
    """the values of d"""
    widths: tuple[int, ...] = (128, 512, 1024)
    """the widths"""
    depths: tuple[int, ...] = (1, 2, 4)
    """the numbers of hidden layers"""
    batches: tuple[int, ...] = (16, 256, 1024)
    """the numbers of examples per call"""
    layers: tuple[int, ...] = (2, 5, 10)
    """the numbers of layers, each scanned and unrolled"""
    devices: tuple[int, ...] = (1, 2, 4, 8)
    """the numbers of virtual devices that share the batch; each must divide it"""
    repeats: int = 5
    """rounds of timing; in each, all values of one size are called in turn"""
    min_seconds: float = 1.0
    """the least duration of all rounds, in seconds, for each size"""


WAYS = ("density", "gradient", "sample")
VALUES = {
    "dim": "dims",
    "width": "widths",
    "depth": "depths",
    "batch": "batches",
    "num_layers": "layers",
    "devices": "devices",
}
TITLES = {
    "dim": "dimension d",
    "width": "hidden width",
    "depth": "hidden layers",
    "batch": "batch",
    "num_layers": "layers of the flow",
    "devices": "virtual devices",
}


class Case(NamedTuple):
    """One model with its sizes, and how it is run."""

    dim: int
    width: int
    depth: int
    batch: int
    num_layers: int
    devices: int = 1
    unroll: bool = False


def cases(config: Config, size: str) -> list[Case]:
    """The cases of one size: the base, with this size varied."""
    base = Case(config.dim, config.width, config.depth, config.batch, config.num_layers)
    varied = [base._replace(**{size: value}) for value in getattr(config, VALUES[size])]
    if size == "num_layers":
        varied += [case._replace(unroll=True) for case in varied]
    return varied


def programs(config: Config, case: Case) -> dict[str, tuple]:
    """{way: (program, its FLOPs)} of one case, with the batch shared by its devices."""
    options = {"num_layers": case.num_layers, "hidden": (case.width,) * case.depth}
    inverse = "" if config.model == "realnvp" else config.inverse
    model = passes.build(config.model, case.dim, inverse, unroll=case.unroll, **options)
    key, mesh = jax.random.key(0), learning.data_mesh(case.devices)
    params = learning.replicate(passes.parameters(model, key), mesh)
    x = learning.shard_batch(jax.random.normal(key, (case.batch, case.dim)), mesh)

    def sample(params, z, key):  # of given noise, which is spread as a batch of data is
        return model.dist(params).bijector.forward(z)  # ty: ignore[missing-attribute]

    made = {}
    for way in WAYS:
        call = sample if way == "sample" else passes.function(model, way, case.batch)
        made[way] = timing.program(call, params, x, None), flops.products(call, params, x, None)
    return made


def measurements(config: Config, size: str, made: dict[Case, dict]) -> list[dict]:
    """One row for each case of `size`; `made` keeps programs that another size needs again."""
    varied = cases(config, size)
    for case in varied:
        if case not in made:
            made[case] = programs(config, case)
    thunks = {(case, way): made[case][way][0].run for case in varied for way in WAYS}
    timed = timing.compare(thunks, repeats=config.repeats, min_seconds=config.min_seconds)
    rows = []
    for case in varied:
        row = {"model": config.model, "vary": size, "value": getattr(case, size)} | case._asdict()
        for way in WAYS:
            result, (program, count) = timed[case, way], made[case][way]
            row |= {
                f"{way}_ms": result.median_ms,
                f"{way}_low_ms": result.low_ms,
                f"{way}_high_ms": result.high_ms,
                f"{way}_compile_s": program.compile_s,
                f"{way}_flops": count,
            }
        rows.append(row)
    return rows


def main(config: Config) -> dict:
    checks.choice(config.inverse, nets.INVERSES, "inverse")
    for size in config.sizes:
        if not getattr(config, VALUES[size]):
            raise checks.InputError(
                f"{VALUES[size]} is empty; give a value, or leave {size} out of sizes."
            )
    too_many = [n for n in config.devices if n > jax.device_count()]
    if too_many:
        print(f"there are {jax.device_count()} devices: {too_many} are left out")
        config = dataclasses.replace(
            config, devices=tuple(n for n in config.devices if n not in too_many)
        )
    rows, made, machine = [], {}, measure.machine()
    for size in config.sizes:
        rows += measurements(config, size, made)
        print(f"{size} is done")
    return {"rows": rows, "machine": machine}


def slope(rows: list[dict], way: str) -> float | None:
    """The exponent a of time ~ value^a, by least squares through the logarithms."""
    values = np.log([r["value"] for r in rows])
    if len(set(values)) < 2:
        return None
    return np.polyfit(values, np.log([r[f"{way}_ms"] for r in rows]), 1)[0]


def tables(found: dict) -> list[list]:
    """Times and compile times of every case; then the exponents."""
    lines, growth = [], []
    for r in found["rows"]:
        line = {"vary": r["vary"], "value": r["value"], "layers": layers(r)}
        line |= {f"{way} ms": runs.short(r[f"{way}_ms"]) for way in WAYS}
        line |= {f"{way} compile s": runs.short(r[f"{way}_compile_s"]) for way in WAYS}
        lines.append(line)
    for what in dict.fromkeys((r["vary"], r["unroll"]) for r in found["rows"]):
        rows = [r for r in found["rows"] if (r["vary"], r["unroll"]) == what]
        line = {"vary": what[0], "layers": layers(rows[0])}
        exponents = {way: slope(rows, way) for way in WAYS}
        growth.append(line | {way: e if e is None else f"^{e:.2f}" for way, e in exponents.items()})
    return [lines, growth]


def layers(row: dict) -> str:
    """How the layers of a row's model were run."""
    return "unrolled" if row["unroll"] else "scanned"


def draw(config: Config, found: dict) -> Figure:
    """A panel for each size, all with the same scale of milliseconds."""
    sizes = list(dict.fromkeys(r["vary"] for r in found["rows"]))
    columns = min(3, len(sizes))
    lines = -(-len(sizes) // columns)
    figure = plots.new_figure((3.2 * columns + 0.4, 2.7 * lines + 0.8), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(sizes) :]:
        axes.set_axis_off()
    drawn: dict[str, Any] = {}
    for size, axes in zip(sizes, panels):
        ticks = sorted({r["value"] for r in found["rows"] if r["vary"] == size})
        for unroll, style in ((False, "-"), (True, ":")):
            rows = [r for r in found["rows"] if (r["vary"], r["unroll"]) == (size, unroll)]
            for way, colour in zip(WAYS, plots.COLOURS):
                values, ms = [r["value"] for r in rows], [r[f"{way}_ms"] for r in rows]
                (line,) = axes.plot(values, ms, style, color=colour, lw=1.6, marker="o", ms=3.5)
                if rows:
                    name = {"sample": "sampling"}.get(way, way) + unroll * ", layers unrolled"
                    drawn.setdefault(name, line)
        axes.set(xscale="log", yscale="log", title=TITLES[size])
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.grid(axis="y", color="#E6E6E6", lw=0.8)
        plots.plain(axes, frame=True)
    for axes in panels[::columns]:
        axes.set_ylabel("milliseconds a call", color=plots.INK)
    figure.legend(
        list(drawn.values()), list(drawn), loc="outside upper center", ncols=3, frameon=False
    )
    return figure


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=3)
