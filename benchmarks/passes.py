"""MAF, IAF and RealNVP in both directions: passes of the network, arithmetic, time.

    python -m benchmarks.passes

times density, its gradient (of the mean negative log-likelihood, with respect to all parameters)
and sampling. It draws the time of the slow direction in units of one dense masked pass, the pass
that every library makes: the lecture says d; if each hidden unit is computed once, it is about 1.
With --devices 2 two devices share the batch: on a CPU of two cores this makes sampling faster. It
takes under three minutes on two CPU cores, most of it compilation and the naive inversion. Times
drift on a shared machine: only ratios within one run mean anything.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax

from benchmarks import times
from dgm_jax import (
    bijectors,
    checks,
    combinators,
    distributions,
    flows,
    measure,
    nets,
    objectives,
    plots,
    runs,
)
from dgm_jax.measure import flops, timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.layouts import Call
    from dgm_jax.protocol import Density, Key

Model = Literal["maf", "iaf", "realnvp", "nsf_ar", "nsf_c"]


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    models: tuple[Model, ...] = ("maf", "iaf", "realnvp")
    """which flows to time; nsf_ar and nsf_c are MAF and RealNVP with splines of 8 bins"""
    dims: tuple[int, ...] = (8, 64, 256, 784)
    """the dimensions d"""
    batch: int = 256
    """examples per call"""
    devices: int = 1
    """devices, also of a CPU, that share the batch of density and sampling; the dense pass, the
    gradient and the naive inverse have one"""
    inverse: tuple[str, ...] = ("unit_once", "naive")
    """ways to invert an autoregression, by their names in nets.INVERSES"""
    num_layers: int = 5
    """autoregressive layers; RealNVP has twice as many couplings"""
    hidden: tuple[int, ...] = (512, 512)
    """widths of the hidden layers of each conditioner"""
    naive_limit: int = 256
    """the largest d at which the naive inverse, which makes d passes, is timed"""
    repeats: int = 10
    """rounds of timing; in each, all calls but the naive ones are made in turn"""
    min_seconds: float = 1.0
    """the least duration of all rounds, in seconds, for each d"""


WAYS = ("density", "gradient", "sample")
MAKE = {  # names of constructors
    "maf": "maf",
    "iaf": "iaf",
    "realnvp": "realnvp",
    "nsf_ar": "maf",
    "nsf_c": "realnvp",
}
COUPLINGS = ("realnvp", "nsf_c")
SEQUENTIAL = dict.fromkeys(MAKE, ()) | {
    "maf": ("sample",),
    "nsf_ar": ("sample",),
    "iaf": ("density", "gradient"),
}
NUM_BINS = 8
# How many times the whole network is evaluated in the sequential direction of an inverse.
# "unit_once" uses each weight once. For a fixed point it depends on the data and is counted.
PASSES = {"unit_once": lambda dim: 1, "naive": lambda dim: dim}
DENSE = {"density_blocks": 1}  # as every library: zero blocks of masked matrices are not skipped


def build(
    name: str, dim: int, inverse: str, *, num_layers: int, hidden: tuple[int, ...], **options: Any
) -> Density:
    """p(x) = noise -> flow -> x, with ReLU as in the other libraries (others cost more).

    inverse: "" if none is computed. options: of each layer.
    """
    law = (
        bijectors.rational_quadratic_spline(num_bins=NUM_BINS)
        if "nsf" in name
        else bijectors.affine()
    )
    options = {"activation": jax.nn.relu, "hidden": hidden, "law": law} | options
    if name in COUPLINGS:
        options["num_layers"] = 2 * num_layers
    else:
        options |= {"num_layers": num_layers, "inverse": inverse or nets.INVERSES[0]}
    return combinators.pushforward(
        getattr(flows, MAKE[name])(dim, **options), distributions.standard_normal(dim)
    )


def parameters(model: Call | Density, key: Key) -> dict:
    """Perturbed parameters: a new flow is the identity, which an iteration inverts at once."""

    init_key, noise_key = jax.random.split(key)
    leaves, tree = jax.tree.flatten(model.init(init_key))
    keys = jax.random.split(noise_key, len(leaves))
    noisy = [p + 0.01 * jax.random.normal(k, p.shape) for k, p in zip(keys, leaves)]
    return jax.tree.unflatten(tree, noisy)


def function(model: Density, way: str, batch: int) -> Callable:
    """The function that is timed: (params, x, key) -> result."""
    if way == "density":
        return lambda params, x, key: model.dist(params).log_prob(x)
    if way == "gradient":
        return jax.grad(lambda params, x, key: objectives.nll(model, params, None, x)[0])
    return lambda params, x, key: model.dist(params).sample(seed=key, sample_shape=batch)


def unrolled(name: str, way: str, dim: int) -> bool:
    """Whether layers are unrolled or scanned, whichever was faster when measured.

    Gradients of parallel passes are unrolled, and samples of MADEs too if d is not large.
    """
    if way in SEQUENTIAL[name]:
        return False
    return way == "gradient" or way == "sample" and name not in COUPLINGS and dim <= 256


def one_pass(name: str) -> str:
    """The model whose density is one parallel pass of the same net."""
    return "maf" if name == "iaf" else name


def variants(config: Config, name: str, dim: int) -> tuple[str, ...]:
    """The inverses of the model `name` that are timed at this d."""
    if name in COUPLINGS:
        return ("closed_form",)
    return tuple(i for i in config.inverse if i != "naive" or dim <= config.naive_limit)


def calls(config: Config, dim: int) -> dict:
    """{(name, way, inverse): (program, its FLOPs)}; inverse is "" if none is computed."""
    x_key, params_key, key = jax.random.split(jax.random.key(0), 3)
    x, made = jax.random.normal(x_key, (config.batch, dim)), {}

    def add(name, way, inverse):
        sizes = {"num_layers": config.num_layers, "hidden": config.hidden}
        options, what = (DENSE, "density") if way == "dense" else ({}, way)
        unroll = unrolled(name, what, dim)
        model = build(name, dim, inverse, unroll=unroll, **sizes, **options)
        params = parameters(model, params_key)
        call = function(model, what, config.batch)
        alone = way in ("dense", "gradient") or inverse == "naive"
        made[name, way, inverse] = (
            times.program(call, 1 if alone else config.devices, params, x, key),
            flops.products(call, params, x, key),
        )

    for name in {one_pass(name) for name in config.models if name not in COUPLINGS}:
        add(name, "dense", "")
    for name in config.models:
        for way in WAYS:
            for inverse in variants(config, name, dim) if way in SEQUENTIAL[name] else ("",):
                add(name, way, inverse)
    return made


def measurements(config: Config, dim: int) -> tuple[dict, float]:
    """{(name, way, inverse): (timing, program, FLOPs)}, and the GFLOP/s of a matrix product."""
    made = calls(config, dim)
    slow = {what: p.run for what, (p, _) in made.items() if what[2] == "naive"}
    fast = {what: p.run for what, (p, _) in made.items() if what not in slow}
    fast["matmul"] = timing.matmul()
    timed = timing.compare(fast, repeats=config.repeats, min_seconds=config.min_seconds)
    peak = 2 * 1024**3 / timed.pop("matmul").median_ms / 1e6
    for what, run in slow.items():  # calls of up to seconds: timed apart, and few times
        timed[what] = timing.timing([timing.seconds(run) for _ in range(1 + 64 // dim)], 0.0)
    return {what: (timed[what], *made[what]) for what in made}, peak


def counted_passes(config: Config, name: str, dim: int, inverse: str) -> float:
    """The hidden units evaluated in the sequential direction, in units of one pass of the net."""
    evaluated = []

    def relu(a):  # [units, batch]
        jax.debug.callback(lambda: evaluated.append(len(a)))
        return jax.nn.relu(a)

    sizes = {"num_layers": config.num_layers, "hidden": config.hidden}
    model = build(name, dim, inverse, activation=relu, **sizes)
    x_key, params_key, key = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(x_key, (config.batch, dim))
    call = jax.jit(function(model, SEQUENTIAL[name][0], config.batch))
    jax.block_until_ready(call(parameters(model, params_key), x, key))
    jax.effects_barrier()
    return round(sum(evaluated) / (config.num_layers * sum(config.hidden)), 2)


def row(config: Config, name: str, dim: int, inverse: str, measured: dict) -> dict:
    """One row of the results, for one model, d and inverse."""

    def passes(way):
        if way not in SEQUENTIAL[name]:
            return 1
        if inverse in PASSES:
            return PASSES[inverse](dim)
        return counted_passes(config, name, dim, inverse)

    def found(way):
        return measured[name, way, inverse if way in SEQUENTIAL[name] else ""]

    dense = found("density") if name in COUPLINGS else measured[one_pass(name), "dense", ""]
    return {
        "model": name,
        "dim": dim,
        "batch": config.batch,
        "inverse": inverse,
        "devices": config.devices,
        "density_passes": passes("density"),
        "sample_passes": passes("sample"),
        **times.measured(found("density")[0], name="density_"),
        **times.measured(dense[0], name="dense_density_"),
        **times.measured(found("gradient")[0], name="gradient_"),
        **times.measured(found("sample")[0], name="sample_"),
        "density_flops": found("density")[2],
        "sample_flops": found("sample")[2],
    }


def detail(
    what: tuple[str, ...],
    dim: int,
    measured: tuple[measure.Timing, timing.Program, int],
    peak: float,
) -> dict:
    """Quartiles, compile time, memory, and the share of the machine's peak that is reached."""
    (name, way, inverse), (timed, program, count) = what, measured
    rate = count and count / timed.median_ms / 1e6
    return {
        "model": name,
        "dim": dim,
        "call": " ".join(filter(None, (way, inverse))),
        "ms": runs.short(timed.median_ms),
        "quartiles": f"{timed.low_ms:.3g}-{timed.high_ms:.3g}",
        "compile s": program.compile_s,
        "peak MB": program.peak_mb,
        "GFLOP": count and count / 1e9,
        "of matmul": rate and f"{rate / peak:.0%}",
    }


def main(config: Config) -> dict:
    for dim in config.dims:
        checks.positive_int(dim, "each of dims", least=2)
    checks.positive_int(config.batch, "batch")
    checks.positive_int(config.devices, "devices")
    for inverse in config.inverse:
        checks.choice(inverse, nets.INVERSES, "inverse")
    rows, details, peaks = [], [], {}
    machine = measure.machine()
    for dim in sorted(config.dims):
        measured, peak = measurements(config, dim)
        peaks[dim] = round(peak, 1)
        for name in config.models:
            for inverse in variants(config, name, dim):
                rows.append(row(config, name, dim, inverse, measured))
        details += [detail(what, dim, m, peak) for what, m in measured.items()]
        print(f"d = {dim} is done")
    machine |= {"matmul_gflops": peaks, "layers": config.num_layers, "hidden": config.hidden}
    return {"rows": rows, "machine": machine, "details": details}


def tables(found: dict) -> list[list]:
    """Times and their ratios to one dense masked pass; then the details of every call."""

    def line(r):
        return {
            "model": r["model"],
            "d": r["dim"],
            "inverse": r["inverse"],
            "devices": r["devices"],
            "passes, density": r["density_passes"],
            "sampling": r["sample_passes"],
            "dense pass ms": runs.short(r["dense_density_ms"]),
            "density ms": runs.short(r["density_ms"]),
            "gradient ms": runs.short(r["gradient_ms"]),
            "sampling ms": runs.short(r["sample_ms"]),
            "density / dense": f"{r['density_ms'] / r['dense_density_ms']:.2f}",
            "sampling / dense": f"{r['sample_ms'] / r['dense_density_ms']:.2f}",
        }

    return [[line(r) for r in found["rows"]], found["details"]]


def draw(config: Config, found: dict) -> Figure:
    """The time of the slow direction in units of one dense pass against d, on logarithmic axes."""
    dims = sorted(config.dims)
    lines = {"d passes (the lecture)": (dims, dims)}
    colours = {"d passes (the lecture)": plots.QUIET}
    for number, inverse in enumerate(config.inverse):
        for name, way in (("maf", "sample"), ("iaf", "density")):
            rows = [r for r in found["rows"] if r["model"] == name and r["inverse"] == inverse]
            if rows:
                what = f"{name.upper()} {way.replace('sample', 'sampling')}, {inverse}"
                if rows[-1]["dim"] < dims[-1]:
                    what += f" (to d = {rows[-1]['dim']})"
                ratios = [r[f"{way}_ms"] / r["dense_density_ms"] for r in rows]
                lines[what] = ([r["dim"] for r in rows], ratios)
                colours[what] = plots.COLOURS[number]
    figure = plots.curves(
        lines,
        xlabel="dimension d",
        ylabel="time / one dense density pass",
        logx=True,
        logy=True,
        baselines={"one pass": 1.0},
        colours=colours,
        title="The slow direction of an autoregressive flow",
    )
    mark(figure, dims)
    return figure


def mark(figure: Figure, values: list[int]) -> None:
    """Draws a tick at each value that was timed, and a dot on the lines there."""
    axes = figure.axes[0]
    axes.set_xticks(values, [str(value) for value in values])
    axes.minorticks_off()
    for line in axes.lines:
        if line.get_linestyle() == "-" and line.get_color() != plots.QUIET:
            line.set(marker="o", markersize=4, clip_on=False)


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=3)
