"""MAF, IAF and RealNVP on real data: their likelihoods, and the time of density and of sampling.

    python -m experiments.flows.compare

trains the three flows by maximum likelihood on the 8x8 digits. It prints the test log-likelihood in
nats and in bits per dimension (bits/dim), and the time of one density evaluation and of sampling.
It takes one minute on two CPU cores. Expect about 2.11 bits/dim for MAF, 2.13 for IAF and 2.09 for
RealNVP (standard error of the test set 0.014); a histogram of each pixel has 2.43, and a Gaussian
with a full covariance 2.96.

samples.png shows test digits and samples of each flow, curves.png the validation bits/dim against
the training step, and passes.png the times of both directions beside those of the lecture's d
passes.

Any set of vectors or images works the same way: --data mnist --data-dir FOLDER, or a file.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from dgm_jax import combinators, distributions, flows, learning, plots, protocol, runs
from dgm_jax import data as datasets
from dgm_jax.measure import timing
from dgm_jax.runs import processes
from experiments import baselines, fitting, published, sets
from experiments.options import Data, Training, check

if TYPE_CHECKING:
    import distrax

    from dgm_jax.protocol import Array, Density, Flow, Params


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    models: tuple[Literal["maf", "iaf", "realnvp"], ...] = ("maf", "iaf", "realnvp")
    """which flows to train"""
    num_layers: int = 5
    """autoregressive layers of MAF and IAF; RealNVP has twice as many couplings"""
    hidden: tuple[int, ...] = (256, 256)
    """widths of the hidden layers of each conditioner"""
    num_steps: int = 900
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 2.0
    ema_decay: float = 0.999
    alpha: float = 0.01
    """the margin α of the logit map of the pixels"""
    eval_every: int = 50
    timing_batch: int = 256
    """examples per call when density and sampling are timed"""
    timing_repeats: int = 20
    """calls over which the median time is taken"""
    naive_limit: int = 256
    """the largest d for which the lecture's d passes are timed too; above, a call takes minutes"""


QUICK = {"num_steps": 20, "eval_every": 10, "hidden": (32, 32), "timing_repeats": 3}

SEQUENTIAL = {"maf": "sample", "iaf": "density"}  # the direction of d passes in the lecture
DIRECTIONS = ("density", "sample")


def flow_of(config: Any, name: str, dim: int, inverse: str) -> Flow:
    """T of vectors [dim]: MAF or IAF of num_layers layers, or RealNVP of twice as many couplings.

    inverse: how the sequential direction of MAF and IAF is computed, as in `build`.
    """
    options = dict(hidden=config.hidden)
    if name == "realnvp":
        return flows.realnvp(dim, num_layers=2 * config.num_layers, shuffle=0, **options)
    make = {"maf": flows.maf, "iaf": flows.iaf}[name]
    return make(dim, num_layers=config.num_layers, inverse=inverse, **options)


def build(
    config: Config,
    name: str,
    preprocessing: distrax.Bijector,
    dim: int,
    *,
    inverse: str = "unit_once",
) -> Density:
    """p(x) on the scale of the data: noise -> flow -> inverse of the preprocessing -> x.

    inverse: "unit_once" computes each hidden unit once, "naive" makes the lecture's d passes.
    """
    flow = flow_of(config, name, dim, inverse)
    return combinators.pushforward(
        combinators.compose(combinators.invert(combinators.fixed(preprocessing)), flow),
        distributions.standard_normal(dim),
    )


@runs.builder
def density(
    config: Config, name: str, dim: int, num_levels: int | None, mean: Any, std: Any
) -> protocol.Density:
    """p(x) of the data. Of levels it is a lower bound of log P(x), by uniform noise."""
    model = build(config, name, preprocessing(config, num_levels, mean, std), dim)
    return model if num_levels is None else combinators.quantized(model, num_levels)


def directions(model: Density) -> dict[str, Callable]:
    """The compiled functions density(params, x) and sample(params, key, num)."""

    def sample(params, key, num):
        return model.dist(params).sample(seed=key, sample_shape=num)

    return {
        "density": jax.jit(lambda params, x: model.dist(params).log_prob(x)),
        "sample": jax.jit(sample, static_argnums=2),
    }


def time_directions(config: Config, models: dict, params: Params, x: np.ndarray) -> dict:
    """The time of a call of density and of sampling in milliseconds, {(name, inverse, way): ms}."""
    thunks = {"unit_once": {}, "naive": {}}
    for (name, inverse), model in models.items():
        way, p = directions(model), params[name]
        calls = {
            "density": lambda way=way, p=p: way["density"](p, x),
            "sample": lambda way=way, p=p: way["sample"](p, jax.random.key(0), len(x)),
        }
        for direction, call in calls.items():
            if inverse == "unit_once" or SEQUENTIAL[name] == direction:
                thunks[inverse][name, inverse, direction] = call
    timings = timing.compare(thunks["unit_once"], repeats=config.timing_repeats)
    if thunks["naive"]:  # apart: one of these takes as long as a whole round of the others
        timings |= timing.compare(thunks["naive"], repeats=min(config.timing_repeats, 5))
    return {what: result.median_ms for what, result in timings.items()}


def costs(name: str, dim: int, milliseconds: dict) -> dict[str, float]:
    """Passes and milliseconds of the two directions of one model.

    Passes are counted as in the lecture: evaluations of the network that must follow one another.
    """
    cost = {}
    for way in DIRECTIONS:
        sequential = SEQUENTIAL.get(name) == way
        cost[f"{way}_passes"] = dim if sequential else 1
        cost[f"{way}_ms"] = milliseconds[name, "unit_once", way]
        if (name, "naive", way) in milliseconds:
            cost[f"{way}_naive_ms"] = milliseconds[name, "naive", way]
    return cost | {"sample_to_density_ratio": cost["sample_ms"] / cost["density_ms"]}


def precision(config: Config, name: str, params: Params, dim: int) -> dict[str, float]:
    """The numerical error of the two directions of a trained flow T, in float32.

    round_trip: max |z - T⁻¹(T(z))|. to_naive: the largest difference to the results of d passes.
    """
    z = jax.random.normal(jax.random.key(config.seed), (config.timing_batch, dim))

    def both_ways(inverse):
        flow = flow_of(config, name, dim, inverse)
        x = jax.jit(lambda p, z: flow.bijector(p).forward(z))(params, z)
        return x, jax.jit(lambda p, x: flow.bijector(p).inverse(x))(params, x)

    def farthest(a, b):
        return float(np.abs(np.asarray(a) - b).max())

    x, back = both_ways("unit_once")
    found = {"round_trip": farthest(back, z)}
    if name in SEQUENTIAL and dim <= config.naive_limit:
        naive = both_ways("naive")
        found["to_naive"] = max(farthest(x, naive[0]), farthest(back, naive[1]))
    return found


def show(found: dict) -> None:
    """Prints two tables, of quality and of cost, from the contents of results.json."""
    quality, cost = [], []
    for name, r in (found["baselines"] | found["models"]).items():
        bits = f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}"
        row = {"model": name, "test nats": round(r["test_nats"], 2), "bits/dim": bits}
        if name in found["models"]:
            row |= {"parameters": r["num_params"], "training s": round(r["train_seconds"])}
        quality.append(row)
    for name, r in found["models"].items():
        row = {"model": name}
        for way, label in (("density", "density"), ("sample", "sampling")):
            row[label] = f"{r[f'{way}_passes']} pass{'es' * (r[f'{way}_passes'] > 1)}"
            row[f"{label} ms"] = round(r[f"{way}_ms"], 2)
        row["ratio"] = round(r["sample_to_density_ratio"], 2)
        row["round trip"] = f"{r['round_trip']:.0e}"
        naive = r.get("density_naive_ms", r.get("sample_naive_ms"))
        cost.append(row if naive is None else row | {"d passes ms": round(naive, 1)})
    runs.table(quality, list(quality[-1]))
    runs.table(cost, list(max(cost, key=len)))
    print(
        f"Milliseconds for {found['timing_batch']} examples; ratio is sampling to density. Passes "
        "are evaluations of\nthe network that must follow one another, as the lecture counts. "
        "Here each hidden unit is\ncomputed once on the way, so all d cost the arithmetic of one; "
        "the last column is\nwhat d full passes cost. Round trip: max |z - T⁻¹(T(z))|, float32."
    )
    fitting.tell(found["baselines"] | found["models"])


def draw(
    config: Config,
    data: datasets.Dataset,
    results: dict[str, dict],
    reference: dict[str, dict],
    curves: dict[str, tuple],
    samples: dict[str, Array],
    test: np.ndarray,
) -> None:
    """Saves samples.png, curves.png and passes.png."""
    figure = sets.grid(data, {"test data": test} | samples, columns=len(test) // 2 or 1)
    plots.save(figure, config.directory / "samples.png")

    levels = {name: r["test_bits_per_dim"] for name, r in reference.items()}
    figure = plots.curves(
        curves, xlabel="step", ylabel="validation bits per dimension", baselines=levels
    )
    plots.save(figure, config.directory / "curves.png")

    figure = plots.bars(
        {n: {"density": r["density_ms"], "sampling": r["sample_ms"]} for n, r in results.items()},
        outlines={
            (n, {"sample": "sampling"}.get(way, way)): (
                r[f"{way}_naive_ms"],
                f"{r[f'{way}_passes']} passes:\n{r[f'{way}_naive_ms']:.0f}",
            )
            for n, r in results.items()
            for way in DIRECTIONS
            if f"{way}_naive_ms" in r
        },
        ylabel=f"milliseconds for {config.timing_batch} examples",
        logy=True,
        title="Each hidden unit once (full) and d passes (dashed)",
    )
    plots.save(figure, config.directory / "passes.png")


def preprocessing(config: Config, num_levels: int | None, mean: Any, std: Any) -> distrax.Bijector:
    """The fixed bijector from rows (of levels with noise) to what the flow learns.

    mean, std: those of each column, of real numbers; for levels they are not used, and None.
    """
    if num_levels is None:
        return datasets.standardize(mean, std)
    return datasets.logit_map(num_levels, alpha=config.alpha)


def learn(
    config: Config, rows: dict[str, np.ndarray], num_levels: int | None
) -> tuple[dict, dict[str, fitting.Fitted]]:
    """The models by (name, inverse), and the trained ones by name."""
    dim, models, fitted = rows["train"].shape[1], {}, {}
    given: dict[str, Any] = {"num_levels": num_levels, "mean": None, "std": None}
    if num_levels is None:
        given |= {"mean": rows["train"].mean(0), "std": rows["train"].std(0)}
    to_flow = preprocessing(config, **given)
    for name in config.models:
        model = models[name, "unit_once"] = build(config, name, to_flow, dim)
        fitting.check_size(config, name, model.init)  # of all, before any learns
        if name in SEQUENTIAL and dim <= config.naive_limit:
            models[name, "naive"] = build(config, name, to_flow, dim, inverse="naive")
    for name in config.models:
        fitted[name] = fitting.maximum_likelihood(
            config,
            name,
            models[name, "unit_once"],
            rows,
            noisy=None if num_levels is None else datasets.dequantize,
            num_draws=8,
            recipe=learning.Recipe(density, {"config": config, "name": name, "dim": dim} | given),
        )
    return models, fitted


def references(
    data: datasets.Dataset, rows: dict[str, np.ndarray], noisy_rows: dict[str, np.ndarray]
) -> dict[str, dict]:
    """The baselines: a Gaussian, and for levels a histogram of each pixel."""
    dim = rows["train"].shape[1]
    found = {"gaussian": fitting.summary(baselines.gaussian(*noisy_rows.values()), dim)}
    if data.num_levels is not None:
        log_prob = baselines.histogram(*rows.values(), data.num_levels)
        found["histogram"] = fitting.summary(log_prob, dim)
    return found


def main(config: Config) -> dict:
    check(config, "models")
    data = sets.load(config)
    rows = sets.vectors(data)
    dim = rows["train"].shape[1]
    models, fitted = learn(config, rows, data.num_levels)
    params = {name: found.params for name, found in fitted.items()}

    noise_key, *sample_keys = jax.random.split(jax.random.key(config.seed), 1 + len(fitted))
    noise_keys, noisy_rows = jax.random.split(noise_key, len(rows)), rows
    if data.num_levels is not None:
        drawn = zip(noise_keys, rows.items())
        noisy_rows = {s: np.asarray(datasets.dequantize(k, x)) for k, (s, x) in drawn}
    x = np.resize(noisy_rows["test"], (config.timing_batch, dim))
    milliseconds = time_directions(config, models, params, x)
    results = {
        name: found.row
        | costs(name, dim, milliseconds)
        | precision(config, name, params[name]["flow"][1], dim)
        for name, found in fitted.items()
    }
    reference = references(data, rows, noisy_rows)
    if processes.first():
        shuffled = np.random.default_rng(config.seed).permutation(len(rows["test"]))
        take = shuffled[:32]
        samples = {}
        for name, key in zip(fitted, sample_keys):
            sample = directions(models[name, "unit_once"])["sample"]
            sampled = sample(params[name], key, len(take))
            samples[name] = (
                datasets.quantize(sampled, data.num_levels) if data.num_levels else sampled
            )
        curves = {name: found.curves["valid_bits_per_dim"] for name, found in fitted.items()}
        draw(config, data, results, reference, curves, samples, rows["test"][take])
    return {
        "models": results,
        "baselines": reference,
        "timing_batch": config.timing_batch,
        "published": published.known(data),
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=1)
