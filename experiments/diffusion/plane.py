"""Scores and diffusion models on the plane, where log p is known: six ways to train.

    python -m experiments.diffusion.plane

trains six models for each toy density:

    bound      the bound in continuous time, linear log-SNR; predicts v
    noise      L_simple on the process of Ho et al.; predicts the noise
    exploding  denoising score matching at all scales, variance exploding
    velocity   flow matching on straight paths
    implicit   implicit score matching with the exact trace, on data with noise of
               deviation --blur
    sliced     the same by random projections

For the first four it prints KL(p ‖ p_ode) in nats, of the probability-flow ODE, on --num-test draws
of the toy. For each sampler it prints the sliced Wasserstein distance between its samples and as
many draws of the toy. A line names the floor of this distance, that between two sets of draws. The
last two models know the score at a single noise level, and are sampled by Langevin dynamics from
uniform starting points. It takes two minutes of one CPU core for each toy.

samples-TOY.png has a column of samples for each model. scores-TOY.png shows scores at the time when
the deviation of the noise is half of the scale of the data, in a row for each process: both entries
of the score of 4000 draws with that noise (almost the true one), those of the learned score, and
their difference, all on one colour scale. Far from the draws a net has seen no data.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import data, diffusion, learning, metrics, nets, objectives, plots, protocol, runs
from dgm_jax.runs import processes
from experiments import fitting
from experiments.options import check

if TYPE_CHECKING:
    from dgm_jax.protocol import Array, Net, Params

ModelName = Literal["bound", "noise", "exploding", "velocity", "implicit", "sliced"]
DENOISERS = {  # the process, by its name and options, and what the net predicts
    "bound": ("linear_log_snr", {}, "v"),
    "noise": ("linear_beta", {}, "noise"),
    "exploding": ("variance_exploding", {"most": 20.0}, "noise"),
    "velocity": ("straight", {}, "velocity"),
}
CLIP = 10.0  # the largest norm of a gradient
SHOWN = 0.5  # σ / α of the pictures of scores


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    toys: tuple[Literal["gaussians", "moons", "rings", "spirals", "pinwheel"], ...] = (
        "gaussians",
        "moons",
    )
    """which densities to learn"""
    models: tuple[ModelName, ...] = (
        "bound",
        "noise",
        "exploding",
        "velocity",
        "implicit",
        "sliced",
    )
    """which models to train on each"""
    hidden: tuple[int, ...] = (128, 128, 128)
    """widths of the hidden layers of each net"""
    num_steps: int = 5000
    """gradient steps of each model"""
    batch_size: int = 256
    """draws of the toy per step"""
    learning_rate: float = 2e-3
    """the initial learning rate of Adam; it decays to 0 by a cosine"""
    ema_decay: float = 0.999
    """the decay of the moving average of the parameters, which is what is evaluated"""
    eval_every: int = 1000
    """steps between evaluations on the validation draws"""
    blur: float = 0.2
    """the deviation of the noise that is added to the data for implicit and sliced"""
    passes: int = 40
    """passes of the net in each sampler of the first four models"""
    langevin_steps: int = 1000
    """steps of the Langevin dynamics that samples the last two models"""
    num_test: int = 2000
    """draws of the toy, and samples of each sampler, that are compared"""
    max_params: int = 100_000_000
    """the largest number of parameters; a larger model is refused before memory is allocated"""


QUICK = {"toys": ("gaussians",), "num_steps": 4, "eval_every": 2, "hidden": (4,), "passes": 4}
QUICK |= {"langevin_steps": 4, "num_test": 50, "batch_size": 16}


@runs.builder
def build(config: Config, name: str) -> protocol.Net | diffusion.Denoiser:
    """A denoiser of the plane; for implicit and sliced, a net of the score at one noise level."""
    net = nets.time_mlp(2, hidden=config.hidden)
    if name not in DENOISERS:
        return net
    process, options, target = DENOISERS[name]
    return diffusion.denoiser(net, (2,), getattr(diffusion, process)(**options), target=target)


def score_of(model: Any, params: Params) -> Callable:
    """x -> s(x) of such a net, which takes a log-SNR too and always gets 0."""
    return lambda x: model.apply(params, x, jnp.zeros(len(x), x.dtype))


def loss_of(config: Config, name: str, model: Any) -> Callable:
    """loss(params, key, x) of draws x [n, 2] of a toy, to which implicit and sliced add noise."""

    def loss(params, key, x):
        if name == "bound":
            return diffusion.bound_loss(model, params, key, x)
        if name in DENOISERS:
            return diffusion.simple_loss(model, params, key, x)
        noise_key, key = jax.random.split(key)
        x = x + config.blur * jax.random.normal(noise_key, x.shape)
        score = score_of(model, params)
        if name == "implicit":
            return objectives.implicit_score_matching(score, x), {}
        return objectives.sliced_score_matching(score, key, x), {}

    return loss


def samplers(config: Config, name: str, model: Any) -> dict[str, Callable]:
    """{sampler: draw(params, key)}, each of num_test samples."""
    num, passes = config.num_test, config.passes
    half = max(passes // 2, 2)
    if name not in DENOISERS:

        def langevin(params, key):
            start_key, key = jax.random.split(key)
            x = jax.random.uniform(start_key, (num, 2), minval=-4.0, maxval=4.0)
            score, step = score_of(model, params), config.blur**2 / 4
            return diffusion.unadjusted_langevin(
                score, key, x, step_size=step, num_steps=config.langevin_steps
            )

        return {"langevin": langevin}
    density = diffusion.ode_density(model)
    return {
        "chain": lambda p, key: diffusion.sample(model, p, key, num, num_steps=passes),
        "DDIM": lambda p, key: diffusion.sample(model, p, key, num, num_steps=passes, eta=0.0),
        "Heun": lambda p, key: diffusion.heun(model, p, key, num, num_steps=half),
        "DPM-Solver-2": lambda p, key: diffusion.dpm_solver(model, p, key, num, num_steps=half),
        "ODE": lambda p, key: density.dist(p).sample(seed=key, sample_shape=(num,)),
    }


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """The sliced Wasserstein distance (order 2) of points [n, 2], by 64 fixed directions."""
    found = metrics.sliced_wasserstein(jax.random.key(0), y, x, num_directions=64, order=2)
    return found.distance


def task_of(config: Config, toy: data.Toy, name: str, model: Any) -> fitting.Task:
    """In training the loss on num_test draws of the toy; at the end metrics on num_test others.

    Reports "floor", the sliced Wasserstein distance between these two sets, "sliced_SAMPLER" for
    each sampler and, for the models in DENOISERS, "kl", KL(p ‖ p_ode) in nats.
    """
    keys = jax.random.split(jax.random.key(config.seed + 1), 2)
    valid, test = (np.asarray(toy.sample(key, config.num_test)) for key in keys)
    loss = jax.jit(loss_of(config, name, model))
    draws = {label: jax.jit(draw) for label, draw in samplers(config, name, model).items()}
    ode = jax.jit(lambda p, x: diffusion.ode_density(model).dist(p).log_prob(x))

    def report(params, key):
        row = {"floor": distance(valid, test)}
        if name in DENOISERS:
            gap = toy.log_prob(test) - ode(params, test)
            row["kl"], row["kl_stderr"] = map(float, objectives.mean_and_stderr(np.asarray(gap)))
        for label, draw in draws.items():
            x = np.asarray(draw(params, jax.random.clone(key)))
            row[f"sliced_{label}"] = distance(x, test)
        return row

    return fitting.Task(
        lambda params, key: {"valid_loss": float(loss(params, key, valid)[0])},
        report,
        monitor="valid_loss",
        data=learning.fingerprint({"valid": valid, "test": test}),
    )


def fit(config: Config, toy_name: str, name: str) -> tuple:
    """The model `name` of a toy, and what was fitted; each step has new draws."""
    toy, recipe = data.TOYS[toy_name](), learning.Recipe(build, {"config": config, "name": name})
    model = recipe.model()
    rate = optax.cosine_decay_schedule(config.learning_rate, config.num_steps)
    adam = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(rate, b2=0.99))
    loss = loss_of(config, name, model)
    algorithm = learning.gradient_descent(model.init, loss, adam, ema_decay=config.ema_decay)
    key = jax.random.key(config.seed)
    draw = jax.jit(lambda step: toy.sample(jax.random.fold_in(key, step), config.batch_size))
    fitted = fitting.fit(
        config,
        f"{toy_name}-{name}",
        algorithm,
        task_of(config, toy, name, model),
        draw,
        num_steps=config.num_steps,
        eval_every=config.eval_every,
        clip=CLIP,
        recipe=recipe,
    )
    return model, fitted


def shown(config: Config, name: str, model: Net | diffusion.Denoiser, params: Params) -> np.ndarray:
    """Up to 1000 samples of a model's first sampler."""
    sampler = next(iter(samplers(config, name, model).values()))
    x = np.asarray(jax.jit(sampler)(params, jax.random.key(config.seed + 2)))
    return x[:1000]


def scores(config: Config, toy: data.Toy, learned: dict[str, tuple], path: Path) -> None:
    """Saves at `path` the learned scores where σ / α is 0.5, beside those of 4000 noisy draws.

    learned: {name: (model, parameters)}. There is a row for each process, and in it both entries of
    the score of the draws, of the model and of their difference. All are multiplied by σ_t, so that
    they are of order 1, and on one colour scale.
    """
    axis = np.linspace(-4, 4, 61)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    draws = np.asarray(toy.sample(jax.random.key(config.seed + 3), 4000))
    points, fields = {}, {}
    for name, (model, params) in learned.items():
        both = jax.jit(functools.partial(true_and_learned, model))
        true, made = (np.asarray(s).reshape(61, 61, 2) for s in both(params, draws, grid))
        panels = {"draws": true, "learned": made, "difference": made - true}
        fields[name] = {
            f"{label}, {entry}": s[..., i]
            for i, entry in enumerate(("x", "y"))
            for label, s in panels.items()
        }
        process = model.process(params)
        alpha = np.asarray(process.alpha(shown_time(process)))
        points[name] = dict.fromkeys(fields[name], alpha * draws[:200])
    figure = plots.planes(
        points, fields=fields, scale=3.0, label=f"σ × score, noise {SHOWN} of the data"
    )
    plots.save(figure, path)


def shown_time(process: diffusion.Process) -> Array:
    """The time t at which σ / α is SHOWN, so that all processes are shown at the same noise."""
    grid = diffusion.process.times(process, 1000)
    return jnp.interp(SHOWN, process.sigma(grid) / process.alpha(grid), grid)


def true_and_learned(
    model: diffusion.Denoiser, params: Params, draws: Array, x: Array
) -> tuple[Array, Array]:
    """σ times the true and the learned score at x, at the time that is shown, both [n, 2].

    The true one is ∇ log of the mean of N(α d, σ²) over the draws d.
    """
    process = model.process(params)
    t = jnp.full(len(x), shown_time(process))
    alpha, sigma = process.alpha(t[0]), process.sigma(t[0])

    def log_blurred(x):
        squares = ((x[:, None] - alpha * draws) ** 2).sum(-1)
        return jax.nn.logsumexp(-squares / (2 * sigma**2), -1)

    true = jax.grad(lambda x: log_blurred(x).sum())(x)
    return sigma * true, sigma * diffusion.score(model, params, x, t)


def main(config: Config) -> dict:
    check(config, "toys", "models")
    found = {}
    for toy_name in config.toys:
        toy, rows, pictures, learned = data.TOYS[toy_name](), {}, {}, {}
        for name in config.models:
            model, fitted = fit(config, toy_name, name)
            rows[name] = fitted.row
            pictures[name] = shown(config, name, model, fitted.params)
            if name in DENOISERS:
                learned[name] = model, fitted.params
        truth = np.asarray(toy.sample(jax.random.key(config.seed + 4), 1000))
        if processes.first():
            figure = plots.planes({toy_name: {"data": truth, **pictures}})
            plots.save(figure, config.directory / f"samples-{toy_name}.png")
            if learned:
                scores(config, toy, learned, config.directory / f"scores-{toy_name}.png")
        found[toy_name] = {"models": rows, "entropy": toy.entropy}
    return {"toys": found}


def show(found: dict[str, dict]) -> None:
    for toy, told in found["toys"].items():
        rows = []
        for name, r in told["models"].items():
            kl = f"{r['kl']:.3f} ± {r['kl_stderr']:.3f}" if "kl" in r else ""
            row = {"model": name, "KL": kl}
            for label in ("chain", "DDIM", "Heun", "DPM-Solver-2", "ODE", "langevin"):
                value = r.get(f"sliced_{label}")
                row[label] = "" if value is None else f"{value:.3f}"
            rows.append(row | {"training s": round(r["train_seconds"])})
        print(f"{toy}, floor {next(iter(told['models'].values()))['floor']:.3f}:")
        runs.table(rows, list(rows[0]))
    print("KL(p ‖ p_ode) in nats; of samplers the sliced Wasserstein distance to the data.")


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=4)
