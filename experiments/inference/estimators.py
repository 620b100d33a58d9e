"""Gradients of expectations: their variance against the dimension, their signal against K.

    python -m experiments.inference.estimators

needs no data and learns nothing. It takes two minutes of one CPU core.

variance.png, left: the variance of a one-sample estimate of the derivative of E ‖z‖², z ~ N(μ, I),
with respect to μ_1, as z gets more coordinates. Every coordinate adds to the variance of the
score-function estimator: with a baseline it grows with their number, without one with the square of
it. That of the pathwise estimator does not grow. Right: the derivative of E
[log N(z; 0, 1) - log q(z)] with respect to the mean of q = N(μ, σ²), pathwise and by "sticking the
landing", which omits the score term: its variance is 0 at σ = 1, where q has the shape of the
target, and larger than the pathwise one below σ = 1/√2. Points are measured, lines are the closed
forms.

snr.png: the signal-to-noise ratio |E g| / deviation of g of the gradients g of a bound with K
samples. The model is the linear Gaussian one of Rainforth et al. (2018), z ~ N(μ, I), x | z ~ N(z,
I), q(z | x) = N(a x + b, ⅔ I), in 20 dimensions; gradients are with respect to μ of the model and
to b of the posterior, from IWAE and from DReG.

Expect measured variances within 5 % of the closed forms. Between K = 10 and K = 1000, expect the
ratio to grow as K^0.44 for μ; for b it shrinks as K^-0.47 by IWAE and grows as K^0.22 by DReG,
where it is flat up to K = 30 and approaches its √K only beyond 300.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import objectives, plots, protocol, runs
from dgm_jax.runs import processes
from experiments.options import check

if TYPE_CHECKING:
    import distrax
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    dims: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """the numbers of coordinates of z"""
    mean: float = 0.7
    """the mean μ of every coordinate"""
    others: int = 4
    """samples of the leave-one-out estimator; its variance is multiplied by this, to compare it
    with those of one sample"""
    scales: tuple[float, ...] = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
    """the deviations σ of q, in the picture of sticking the landing"""
    counts: tuple[int, ...] = (1, 3, 10, 30, 100, 300, 1000)
    """the numbers of samples K of a bound"""
    latents: int = 20
    """the dimension of the linear Gaussian model"""
    offset: float = 0.1
    """the deviation of its parameters from the optimum, at which gradients are taken"""
    num_draws: int = 20_000
    """gradients drawn of each kind"""


QUICK = {"dims": (1, 4), "scales": (0.5, 1.0), "counts": (1, 10), "latents": 3, "num_draws": 500}
CHUNK = 100  # gradients computed at once
Q_VARIANCE = 2 / 3


def normal(mean: protocol.Array, scale: float | protocol.Array) -> distrax.Distribution:
    """N(mean, scale² I) of vectors."""
    import distrax

    return distrax.MultivariateNormalDiag(mean, scale * jnp.ones_like(mean))


def gradients(
    config: Config, loss: Callable, params: protocol.Params, key: protocol.Key
) -> protocol.Params:
    """∇ loss(params, key) for config.num_draws keys, CHUNK of them at once."""
    keys = jax.random.split(key, config.num_draws)
    return jax.lax.map(lambda key: jax.grad(loss)(params, key), keys, batch_size=CHUNK)


# --------------------------------------------------------------------------------- the variance
def square(z: protocol.Array) -> protocol.Array:
    """‖z‖², for z [..., d]."""
    return jnp.square(z).sum(-1)


def log_target(z: protocol.Array) -> protocol.Array:
    """log N(z; 0, I), for z [..., d]."""
    return normal(jnp.zeros(z.shape[-1]), 1.0).log_prob(z)


def gaussian(dim: int, scale: Any = 1.0) -> protocol.Density:
    """N(μ, σ² I), with the parameter μ [dim]."""

    def dist(params, cond=None, *, key=None):
        return normal(params, scale)

    return protocol.Density(lambda key: jnp.zeros(dim), dist)


def closed_forms(config: Config, dim: int) -> dict[str, float]:
    """The variance of each estimator of ∂/∂μ_1 E f, f = ‖z‖², z of `dim` coordinates, per sample.

    Let f = s + (μ + ε)², with s from the other coordinates and ε the noise of z_1. Then the
    score-function estimator is (f - b) ε with baseline b, and leave-one-out is a sample covariance
    of f and ε.
    """
    mu, num = config.mean**2, config.others
    mean_s, var_s = (dim - 1) * (mu + 1), (dim - 1) * (4 * mu + 2)

    def by_score(baseline):
        c = mean_s + mu - baseline
        return var_s + c**2 + 12 * mu + 15 + 6 * c - 4 * mu

    around_its_mean = by_score(mean_s + mu + 1) + 4 * mu
    covariance = (num - 2) / (num - 1) * 4 * mu
    return {
        "score function": by_score(0.0),
        "leave one out": around_its_mean - covariance + dim * (4 * mu + 2) / (num - 1),
        "best constant baseline": by_score(best_baseline(config, dim)),
        "pathwise": 4.0,
    }


def best_baseline(config: Config, dim: int) -> float:
    """The constant baseline of least variance, E[f ε²] / E[ε²] = E f + 2."""
    return dim * (config.mean**2 + 1) + 2


def measured(config: Any, dim: int) -> dict[str, np.ndarray]:
    """The variances of `closed_forms`, measured on num_draws gradients of each estimator."""
    one = {"num_samples": 1}
    baseline = best_baseline(config, dim)
    estimators: dict[str, tuple[Callable[..., protocol.Array], dict[str, Any]]] = {
        "score function": (objectives.score_function, one),
        "leave one out": (objectives.leave_one_out, {"num_samples": config.others}),
        "best constant baseline": (objectives.score_function, one | {"baseline": baseline}),
        "pathwise": (objectives.pathwise, one),
    }
    model, mean = gaussian(dim), jnp.full(dim, config.mean)

    @jax.jit
    def variances(key):
        found = {}
        for name, (estimator, options) in estimators.items():
            loss = lambda params, key, f=estimator, o=options: f(model, params, key, square, **o)
            each = gradients(config, loss, mean, jax.random.fold_in(key, len(found)))
            found[name] = options["num_samples"] * each[:, 0].var()
        return found

    return jax.device_get(variances(jax.random.key(config.seed)))


def landing(config: Config) -> dict[str, dict]:
    """Variances of the derivative by the mean for each σ, measured and in closed form.

    The mean of the target is 0, that of q is μ.
    """
    estimators = {
        "pathwise": lambda model: (
            lambda mean, key: objectives.pathwise(
                model,
                mean,
                key,
                lambda z: log_target(z) - model.dist(mean).log_prob(z),
                num_samples=1,
            )
        ),
        "sticking the landing": lambda model: (
            lambda mean, key: objectives.sticking_the_landing(
                model, mean, key, log_target, num_samples=1
            )
        ),
    }
    mean = jnp.full(1, config.mean)

    @functools.partial(jax.jit, static_argnums=0)
    def variance(name, scale, key):
        loss = estimators[name](gaussian(1, scale))
        return gradients(config, loss, mean, key).var()

    formulas = {
        "pathwise": lambda s: s**2,
        "sticking the landing": lambda s: (1 / s - s) ** 2,
    }
    key = lambda: jax.random.key(config.seed)
    return {
        name: {
            "scales": list(config.scales),
            "measured": [float(variance(name, scale, key())) for scale in config.scales],
            "closed_form": [formula(scale) for scale in config.scales],
        }
        for name, formula in formulas.items()
    }


# --------------------------------------------------------------------- the signal-to-noise ratio
def linear_gaussian(config: Config) -> protocol.LatentVariable:
    """z ~ N(μ, I), x | z ~ N(z, I), q(z | x) = N(a x + b, ⅔ I); params {"mu", "a", "b"}."""
    dim = config.latents

    def init(key):
        return {"mu": jnp.zeros(dim), "a": jnp.full(dim, 0.5), "b": jnp.zeros(dim)}

    return protocol.LatentVariable(
        init,
        prior=lambda params, cond=None, *, key=None: normal(params["mu"], 1.0),
        likelihood=lambda params, z, cond=None, *, key=None: normal(z, 1.0),
        posterior=lambda params, x, cond=None, *, key=None: normal(
            params["a"] * x + params["b"], math.sqrt(Q_VARIANCE)
        ),
    )


def ratio(gradient: protocol.Rows) -> float:
    """|E g| / deviation of gradients [n, d] of a parameter, both as root mean squares over entries.

    The square of a mean of n gradients is too large by its variance, the noise / n, which is
    subtracted. NaN if nothing is left.
    """
    gradient = np.asarray(gradient, np.float64)
    noise = gradient.var(0).mean()
    signal = (gradient.mean(0) ** 2).mean() - noise / len(gradient)
    return math.sqrt(signal / noise) if signal > 0 else math.nan


def signal_to_noise(config: Any) -> dict[str, dict]:
    """{bound: {parameter: [its ratio for each K]}}, at parameters near the optimum."""
    model = linear_gaussian(config)
    start_key, x_key, key = jax.random.split(jax.random.key(config.seed), 3)
    x = math.sqrt(2) * jax.random.normal(x_key, (1, config.latents))
    params = model.init(jax.random.key(0))  # which draws nothing
    offsets = jax.random.normal(start_key, (3, config.latents))
    params = {name: params[name] + config.offset * o for name, o in zip(params, offsets)}
    found = {name: {"mu": [], "b": []} for name in ("iwae", "dreg")}

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def draw(name, k, key):
        bound = getattr(objectives, name)
        loss = lambda params, key: bound(model, params, key, x, num_samples=k)[0]
        return gradients(config, loss, params, key)

    for k in config.counts:
        for name, k_key in zip(found, jax.random.split(jax.random.fold_in(key, k))):
            drawn = draw(name, k, k_key)
            for parameter, ratios in found[name].items():
                ratios.append(ratio(drawn[parameter]))
        print(f"K = {k} is done")
    return found


def power(counts: Any, ratios: Any) -> float:
    """The exponent p of ratio ~ K^p, fitted to all K from 10 on (to all, if there are not two)."""
    counts, ratios = np.asarray(counts, np.float64), np.asarray(ratios, np.float64)
    some = np.isfinite(ratios) & ((counts >= 10) | ((counts >= 10).sum() < 2))
    if some.sum() < 2:
        return math.nan
    return float(np.polyfit(np.log(counts[some]), np.log(ratios[some]), 1)[0])


# ------------------------------------------------------------------------------------- pictures
def panels(titles: list[tuple]) -> tuple[Figure, np.ndarray]:
    """A figure with two panels; titles: (title, label of x, label of y) of each."""
    figure = plots.new_figure((11.0, 4.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for one, (title, xlabel, ylabel) in zip(axes, titles):
        one.set_title(title, fontsize=12, color=plots.INK)
        one.set_xlabel(xlabel, color=plots.INK)
        one.set_ylabel(ylabel, color=plots.INK)
    return figure, axes


def draw_variance(variance: dict[str, dict], landing: dict[str, dict]) -> Figure:
    """variance.png: the variances of `measured` by dimension, and of `landing` by σ."""
    figure, (left, right) = panels(
        [
            ("∇ E ‖z‖², one sample", "coordinates of z", "variance of the gradient by μ₁"),
            ("∇ E [log p - log q], one sample", "σ of q", "variance of the gradient by μ"),
        ]
    )
    for axes, lines, along in ((left, variance, "dims"), (right, landing, "scales")):
        for colour, (name, line) in zip(plots.COLOURS, lines.items()):
            axes.plot(line[along], line["closed_form"], color=colour, lw=1.8, label=name)
            axes.plot(line[along], line["measured"], "o", color=colour, ms=5)
    left.set(xscale="log", yscale="log")
    for axes in (left, right):
        plots.plain(axes, frame=True)
        axes.legend(frameon=False, fontsize=10, title="points measured, lines in closed form")
    return figure


def draw_ratios(counts: tuple, found: dict[str, dict]) -> Figure:
    """snr.png: the ratio against K for μ and for b; the legend has the power of K of each bound."""
    figure, axes = panels(
        [
            ("of the decoder: by μ of the prior", "samples K of the bound", "|E g| / deviation"),
            ("of the posterior: by b of its mean", "samples K of the bound", "|E g| / deviation"),
        ]
    )
    for one, parameter in zip(axes, ("mu", "b")):
        for colour, marker, name in zip(plots.COLOURS, "os", found):
            ratios = found[name][parameter]
            label = f"{name.upper() if name == 'iwae' else 'DReG'}, K^{power(counts, ratios):.2f}"
            one.plot(counts, ratios, marker + "-", color=colour, lw=1.8, ms=5, label=label)
        one.set(xscale="log", yscale="log")
        plots.plain(one, frame=True)
        one.legend(frameon=False, fontsize=10, title="with the power from K = 10 on")
    return figure


# -------------------------------------------------------------------------------------- the run
def show(found: dict) -> None:
    rows = []
    for name, line in found["variance"].items():
        off = np.float64(line["measured"]) / np.float64(line["closed_form"]) - 1
        dims = line["dims"]
        rows.append(
            {
                "gradient of E ‖z‖²": name,
                f"variance, d = {dims[0]}": f"{line['measured'][0]:.3g}",
                f"d = {dims[-1]}": f"{line['measured'][-1]:.3g}",
                "largest error": f"{np.abs(off).max():.1%}",
            }
        )
    runs.table(rows, list(rows[0]))
    rows = [
        {
            "bound": name,
            **{f"power of K by {p}": f"{value or math.nan:.2f}" for p, value in of.items()},
        }
        for name, of in found["powers"].items()
    ]
    runs.table(rows, list(rows[0]))
    print("largest error: of the measured variance relative to the closed form, over dimensions")


def main(config: Config) -> dict:
    check(config, "dims", "scales", "counts")
    formulas = [closed_forms(config, dim) for dim in config.dims]
    drawn = [measured(config, dim) for dim in config.dims]
    variance = {
        name: {
            "dims": list(config.dims),
            "measured": [float(found[name]) for found in drawn],
            "closed_form": [float(found[name]) for found in formulas],
        }
        for name in formulas[0]
    }
    landed = landing(config)
    ratios = signal_to_noise(config)
    if processes.first():
        plots.save(draw_variance(variance, landed), config.directory / "variance.png")
        plots.save(draw_ratios(config.counts, ratios), config.directory / "snr.png")
    told = lambda value: value if math.isfinite(value) else None  # no signal above the noise
    return {
        "variance": variance,
        "landing": landed,
        "counts": list(config.counts),
        "snr": {name: {p: [*map(told, r)] for p, r in of.items()} for name, of in ratios.items()},
        "powers": {
            name: {p: told(power(config.counts, r)) for p, r in of.items()}
            for name, of in ratios.items()
        },
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=2)
