"""Mean field by coordinate ascent, beside exact answers: its errors, and how fast it converges.

    python -m experiments.inference.mean_field

needs no data, and takes seconds on one CPU core. mean-field.png, left: for two Gaussian coordinates
with correlation ρ, the variances of the optimal q(z_1) q(z_2) are 1 - ρ² times the true ones, and
its bound is -½ log(1 - ρ²) nats below the true log-evidence. Right: rows x_n ~ N(μ, 1/τ) with both
μ and τ unknown; the gap between log p(x), which is known, and the ELBO of q(μ) q(τ) after each
step. Expect every figure within 1e-4 of its closed form, a number of steps that grows as 1 / log(1
/ ρ²), and a gap to log p(x) that shrinks as 1 / n (Bishop 2006, section 10.1).
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import inference, plots, runs
from dgm_jax.runs import processes
from experiments.options import check

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import Algorithm, Array, State


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    correlations: tuple[float, ...] = (0.3, 0.6, 0.9, 0.97)
    """the correlations ρ of the two coordinates"""
    tolerance: float = 1e-4
    """steps are counted until the errors of the means are below this, in standard deviations"""
    num_rows: tuple[int, ...] = (3, 10, 100)
    """the numbers of rows n for the Gaussian with unknown mean and precision"""
    num_steps: int = 500
    """the number of steps of each ascent"""


QUICK = {"correlations": (0.6,), "num_rows": (3,), "num_steps": 50}
SHOWN = 8  # steps of the picture
PRIOR = {"mean": 0.0, "strength": 1.0, "concentration": 1.0, "rate": 1.0}  # a Normal-Gamma


def ascended(
    algorithm: Algorithm, state: State, batch: Array | None, num_steps: int
) -> tuple[dict[str, Array], Array]:
    """The states and the ELBO after each of num_steps steps, stacked."""

    def step(state, t):
        state, metrics = algorithm.step(state, jax.random.key(0), batch)
        return state, (state, metrics["elbo"])

    return jax.jit(lambda state: jax.lax.scan(step, state, jnp.arange(num_steps))[1])(state)


def correlated(config: Config, correlation: float) -> dict:
    """q(z_1) q(z_2) for N(0, [[1, ρ], [ρ, 1]]), from means that are one deviation off."""
    precision = np.linalg.inv([[1.0, correlation], [correlation, 1.0]]).astype(np.float32)
    algorithm = inference.gaussian_mean_field(jnp.zeros(2), jnp.asarray(precision))
    start = algorithm.init(jax.random.key(config.seed)) | {"mean": jnp.ones(2)}
    states, elbo = ascended(algorithm, start, None, config.num_steps)
    off = np.abs(states["mean"]).max(-1)
    there = np.flatnonzero(off < config.tolerance)
    return {
        "correlation": correlation,
        "variance": float(states["variance"][-1, 0]),
        "exact_variance_given_the_other": 1 - correlation**2,
        "elbo": float(elbo[-1]),
        "exact_elbo": 0.5 * math.log(1 - correlation**2),
        "steps": int(there[0]) + 1 if there.size else None,
    }


def unknown(config: Config, num: int) -> dict:
    """Ascent of q(μ) q(τ) for n = num rows of N(1, 4), beside the exact posterior and evidence."""
    rng = np.random.default_rng(config.seed)
    x = jnp.asarray(1 + 2 * rng.normal(size=num), jnp.float32)
    prior = inference.NormalGamma(**PRIOR)
    algorithm = inference.normal_gamma_mean_field(prior)
    start = algorithm.init(jax.random.key(config.seed))
    states, elbo = ascended(algorithm, start, x, config.num_steps)
    exact = inference.normal_gamma_posterior(prior, x)
    return {
        "num_rows": num,
        "elbo": np.float64(elbo[:SHOWN]).tolist(),
        "gap": float(inference.normal_gamma_evidence(prior, x) - elbo[-1]),
        "least_rise": float(np.diff(elbo).min()),  # rounding, and never a fall
        "precision": float(states["concentration"][-1] / states["rate"][-1]),
        "exact_precision": float(exact.concentration / exact.rate),
    }


def draw(found: dict[str, list]) -> Figure:
    """Left the variance of q by ρ beside 1 - ρ²; right log p(x) - ELBO after each of 8 steps."""
    figure = plots.new_figure((11.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    rho = np.linspace(0, 0.99, 100)
    left.plot(rho, 1 - rho**2, color=plots.COLOURS[0], lw=1.8, label="1 - ρ²")
    measured = [(r["correlation"], r["variance"]) for r in found["correlated"]]
    left.plot(*zip(*measured), "o", color=plots.COLOURS[1], label="mean field")
    left.set_xlabel("correlation ρ of two coordinates")
    left.set_ylabel("variance of q, the true one is 1")
    for colour, r in zip(plots.COLOURS, found["unknown"]):
        below = r["gap"] + np.maximum(r["elbo"][-1] - np.array(r["elbo"]), 0)
        label = f"{r['num_rows']} rows"
        right.plot(np.arange(1, len(below) + 1), below, "o-", color=colour, ms=4, label=label)
    right.set_xticks(range(1, SHOWN + 1))
    right.set_xlabel("step")
    right.set_ylabel("log p(x) - ELBO, nats")
    right.set_yscale("log")
    for axes in (left, right):
        plots.plain(axes, frame=True)
        axes.legend(frameon=False)
    return figure


def show(found: dict[str, list]) -> None:
    rows = [
        {
            "ρ": r["correlation"],
            "variance of q": f"{r['variance']:.4f}",
            "1 - ρ²": f"{r['exact_variance_given_the_other']:.4f}",
            "ELBO": f"{r['elbo']:.4f}",
            "½ log(1 - ρ²)": f"{r['exact_elbo']:.4f}",
            "steps": r["steps"],
        }
        for r in found["correlated"]
    ]
    runs.table(rows, list(rows[0]))
    rows = [
        {
            "rows": r["num_rows"],
            "log p(x) - ELBO": f"{r['gap']:.4f}",
            "E τ by q": f"{r['precision']:.4f}",
            "exactly": f"{r['exact_precision']:.4f}",
        }
        for r in found["unknown"]
    ]
    runs.table(rows, list(rows[0]))


def main(config: Config) -> dict:
    check(config, "correlations", "num_rows")
    found = {
        "correlated": [correlated(config, rho) for rho in config.correlations],
        "unknown": [unknown(config, num) for num in config.num_rows],
    }
    if processes.first():
        plots.save(draw(found), config.directory / "mean-field.png")
    return found


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=0.5)
