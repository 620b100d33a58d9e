"""Langevin dynamics where the answer is known: its bias, and the weights of distant modes.

    python -m experiments.diffusion.langevin

needs no data and learns nothing; all scores are exact. It takes ten seconds of one CPU core.

bias.png is about chains that sample N(0, 1). It shows their variance against the step size η: as
measured, in closed form, 1 / (1 - η/2), and with steps that are accepted or rejected by the
Metropolis rule (MALA), for which it is 1 at any step size.

modes.png shows chains that sample a mixture with the weights 0.2 and 0.8, from uniform starting
points. Without annealing each chain stays in the mode nearest to its start, so the weights come out
as 0.5 and 0.5; if the noise is reduced from large to small (annealing) the weights are right. So is
the variance inside of a mode, which is 1, where the least noise is small beside it. The mixture is
that of Song and Ermon (2019), section 3.2.2.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import diffusion, plots, runs
from dgm_jax.runs import processes
from experiments.options import check

if TYPE_CHECKING:
    from dgm_jax.protocol import Array

CENTRES, WEIGHTS = np.array([[-5.0, -5.0], [5.0, 5.0]]), np.array([0.2, 0.8])
MOST, LEAST, STEP = 20.0, 0.1, 0.1  # deviations of the noise, and η where it is 1


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    step_sizes: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8, 1.2)
    """the step sizes η of the chains that sample N(0, 1)"""
    num_chains: int = 20_000
    """chains that sample N(0, 1); a tenth as many sample the mixture"""
    num_steps: int = 200
    """steps of each chain that samples N(0, 1)"""
    plain_steps: int = 1000
    """steps of the chains that sample the mixture without annealing, with η = 0.1"""
    levels: int = 18
    """the number of noise levels of the annealed chains, with deviations from 20 to 0.1"""
    steps_a_level: int = 100
    """steps of the annealed chains at each level"""


QUICK = {"step_sizes": (0.1, 0.4), "num_chains": 200, "num_steps": 20, "plain_steps": 20}
QUICK |= {"levels": 3, "steps_a_level": 5}


def variances(config: Config, step_size: float) -> dict[str, float]:
    """The variances of chains that start in N(0, 1), with and without correction.

    Returns {"plain", "exact", "corrected", "accepted"}: measured without correction, its closed
    form, measured with the Metropolis correction, and the share of accepted steps.
    """
    start_key, key, other = jax.random.split(jax.random.key(config.seed), 3)
    options: dict[str, Any] = {"step_size": step_size, "num_steps": config.num_steps}

    @jax.jit
    def found(start_key, key, other):
        x = jax.random.normal(start_key, (config.num_chains, 1))
        plain = diffusion.unadjusted_langevin(lambda x: -x, key, x, **options)
        corrected, share = diffusion.metropolis_langevin(
            lambda x: -(x[:, 0] ** 2) / 2, other, x, **options
        )
        return (plain**2).mean(), (corrected**2).mean(), share.mean()

    plain, corrected, share = map(float, found(start_key, key, other))
    exact = 1 / (1 - step_size / 2)
    return {"plain": plain, "exact": exact, "corrected": corrected, "accepted": share}


def log_mixture(x: Array, sigma: float | Array) -> Array:
    """log p(x) of the mixture with added noise N(0, sigma² I), up to a constant."""
    variance = 1 + sigma**2
    squares = ((x[:, None] - CENTRES) ** 2).sum(-1)
    return jax.nn.logsumexp(jnp.log(WEIGHTS) - squares / (2 * variance), -1) - jnp.log(variance)


def score(x: Array, sigma: float | Array) -> Array:
    """∇ log p(x) of `log_mixture`, [n, 2]."""
    return jax.grad(lambda x: log_mixture(x, sigma).sum())(x)


def modes(config: Config) -> dict[str, np.ndarray]:
    """The last states of the chains that sample the mixture, {name: [n, 2]}."""
    keys = jax.random.split(jax.random.key(config.seed + 1), 4)
    sigmas = np.geomspace(MOST, LEAST, config.levels)

    @jax.jit
    def found(keys):
        start = jax.random.uniform(keys[0], (config.num_chains // 10, 2), minval=-8.0, maxval=8.0)
        options = {"step_size": STEP, "num_steps": config.plain_steps}
        plain = diffusion.unadjusted_langevin(lambda x: score(x, 0.0), keys[1], start, **options)
        corrected, _ = diffusion.metropolis_langevin(
            lambda x: log_mixture(x, 0.0), keys[2], start, **options
        )
        annealed = diffusion.annealed_langevin(
            *(score, keys[3], start, sigmas),
            step_size=STEP * LEAST**2,
            num_steps=config.steps_a_level,
        )
        return {"start": start, "plain": plain, "corrected": corrected, "annealed": annealed}

    chains = found(keys)
    return {name: np.asarray(chains[name]) for name in ("start", "plain", "corrected", "annealed")}


def main(config: Config) -> dict:
    check(config, "step_sizes")
    bias = {str(eta): variances(config, eta) for eta in config.step_sizes}
    chains = modes(config)
    larger = {name: x[x.sum(-1) > 0] for name, x in chains.items()}
    shares = {name: len(x) / len(chains[name]) for name, x in larger.items()}
    spreads = {name: float(x.var(0).mean()) for name, x in larger.items()}
    if processes.first():
        series = {
            label: (config.step_sizes, [row[name] for row in bias.values()])
            for label, name in (
                ("measured", "plain"),
                ("closed form", "exact"),
                ("accepted or rejected", "corrected"),
            )
        }
        figure = plots.curves(series, xlabel="step size", ylabel="variance", logx=True)
        plots.save(figure, config.directory / "bias.png")
        figure = plots.planes({"mixture": chains}, bounds=(-10.0, 10.0))
        plots.save(figure, config.directory / "modes.png")
    return {"bias": bias, "share_of_larger_mode": shares, "variance_of_larger_mode": spreads}


def show(found: dict[str, dict]) -> None:
    rows = [
        {"step size": eta, **{name: f"{value:.3f}" for name, value in row.items()}}
        for eta, row in found["bias"].items()
    ]
    runs.table(rows, list(rows[0]))
    print("Variances of chains that sample N(0, 1).")
    spreads = found["variance_of_larger_mode"]
    rows = [
        {
            "chains": name,
            "share in the mode of 0.8": f"{share:.2f}",
            "variance": f"{spreads[name]:.2f}",
        }
        for name, share in found["share_of_larger_mode"].items()
    ]
    runs.table(rows, list(rows[0]))
    print("Variances inside of that mode are 1 if chains sample the mixture.")


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=0.2)
