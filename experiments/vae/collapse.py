"""Posterior collapse: where it is known exactly, and what each remedy does to a strong decoder.

    python -m experiments.vae.collapse

shows three things about the 8x8 digits, in about four minutes of two CPU cores (an estimate):

- A toy, x = w_1 z_1 + w_2 z_2 + ε, whose likelihood depends only on w_1² + w_2². With a diagonal
  posterior the bound is lower by ½ log (P_11 P_22 / |P|), for the precision P of the true
  posterior, unless one of the two units is unused. So training from an even split ends with one
  unit unused. With a full covariance the bound is tight for every split, and both units stay in
  use. toy.png shows the bound for each split, and w_1, w_2 during training.
- Linear VAEs of the 64 pixels with a given noise variance σ². The number of active units is that of
  the directions in which the data have a variance λ_i > σ², and each carries ½ log(λ_i / σ²) nats.
  linear.png shows this closed form, and the result of training from random weights.
- VAEs whose decoder is a PixelCNN. The decoder of `plain` sees all earlier pixels, so that z is
  hardly used. The remedies: the weight of the KL term rises slowly (`annealed`), it is not
  penalised below 0.5 nats a unit (`free bits`), or the decoder sees only two rows and columns
  (`window`); the decoder of `none` sees no pixel at all. What z knows of the class is measured by a
  linear classifier of the posterior means (guessing is right for 10 %), beside the bound in bits
  per dimension (bits/dim): a remedy may fill z, but make the bound worse. kl.png shows the KL
  during training, strong.png the two entries of z that vary most, coloured by class.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import autoregressive as ar
from dgm_jax import (
    learning,
    likelihoods,
    nets,
    objectives,
    plots,
    protocol,
    runs,
    vae,
)
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.options import Data, Training, check


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    class_conditional: ClassVar[bool] = False
    models: tuple[Literal["plain", "annealed", "free bits", "window", "none"], ...] = (
        "plain",
        "annealed",
        "free bits",
        "window",
        "none",
    )
    """which decoders and remedies to train on images"""
    num_latents: int = 8
    """the number of entries of z"""
    hidden: int = 16
    """channels of the PixelCNN; the hidden layers of the other nets are eight times as wide"""
    num_layers: int = 3
    """blocks of the PixelCNN; `window` has one"""
    free_bits: float = 0.5
    """nats per unit below which the KL term is not penalised, for `free bits`"""
    anneal: float = 0.5
    """the share of the steps in which the weight of the KL term rises from 0 to 1, for
    `annealed`"""
    dropout: float = 0.2
    """the dropout rate of the dense nets of the VAEs of images"""
    test_samples: int = 50
    """samples K of the bound on the test split"""
    num_steps: int = 600
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.5
    ema_decay: float = 0.99
    eval_every: int = 100
    variances: tuple[float, ...] = (5.0, 20.0, 80.0)
    """the noise variances σ² of the linear VAEs, in squared grey levels"""
    linear_latents: int = 32
    """units of the linear VAEs, at most as many as pixels"""
    linear_steps: int = 3000
    """training steps of the linear VAEs and of the toy, each on all rows"""


QUICK: dict[str, Any] = {
    "num_steps": 20,
    "eval_every": 10,
    "hidden": 4,
    "num_layers": 1,
    "test_samples": 5,
}
QUICK |= {"models": ("plain", "free bits"), "linear_steps": 300, "variances": (20.0,)}
COLOURS = {"diagonal": "#d55e00", "full": "#0072b2"}
SHAPES = tuple(COLOURS)  # of the covariance of a posterior


# ------------------------------------------------------------------ one direction, two units
RADIUS, VARIANCE = 2.0, 0.5  # w_1² + w_2² = 4


def toy(config: Config) -> dict:
    """The bound for each split of one direction over two units, and training from an even split."""
    turns = np.linspace(0, np.pi / 2, 91)
    total = RADIUS**2 + VARIANCE  # the variance of x
    log_prob = -(math.log(2 * math.pi * total) + 1) / 2
    found: dict[str, Any] = {"degrees": np.rad2deg(turns), "log_prob": log_prob}
    x = jnp.asarray(np.sqrt(total) * np.array([[-1.0], [1.0]]), jnp.float32)  # two points
    for shape in SHAPES:
        gap = jax.jit(functools.partial(toy_gap, covariance=shape))(jnp.asarray(turns))
        params, path = jax.jit(functools.partial(learn_toy, config, shape))(x)
        found[shape] = {
            "bound": log_prob - np.asarray(gap),
            "path": np.asarray(path),
            "kl": np.asarray(vae.linear_bound(params, x, variance=VARIANCE)[1].mean(0)),
        }
    return found


def toy_gap(turns: protocol.Array, covariance: str) -> protocol.Array:
    """KL(q ‖ p(z | x)) of the best q of this form in nats, for each angle of (w_1, w_2), [n]."""

    def one(turn):
        decoder = RADIUS * jnp.array([[jnp.cos(turn), jnp.sin(turn)]])
        return vae.best_posterior(decoder, variance=VARIANCE, covariance=covariance)[1]

    return jax.vmap(one)(turns)


def learn_toy(
    config: Config, covariance: str, x: protocol.Array
) -> tuple[dict[str, protocol.Array], protocol.Array]:
    """The parameters after training from w_1 ≈ w_2, and (w_1, w_2) at each step, [steps, 2]."""
    model = vae.linear_vae(1, 2, variance=VARIANCE, covariance=covariance)
    start = {"decoder": jnp.array([[1.0, 0.95]]), "encoder": jnp.array([[0.4], [0.4]])}
    init = lambda key: model.init(key) | start
    descent = learning.gradient_descent(init, linear_loss(VARIANCE), optax.adam(1e-2))

    def step(state, key):
        state, _ = descent.step(state, key, x)
        return state, descent.params(state)["decoder"][0]

    keys = jax.random.split(jax.random.key(config.seed), config.linear_steps + 1)
    state, path = jax.lax.scan(step, descent.init(keys[0]), keys[1:])
    return descent.params(state), path


# ------------------------------------------------------------------------------ linear VAEs
def linear_loss(variance: float) -> Callable:
    """loss(params, key, rows): the negative bound of a linear VAE in closed form, and its KL."""

    def loss(params, key, rows):
        bound, kl = vae.linear_bound(params, rows, variance=variance)
        return -bound.mean(), {"kl": kl.sum(-1).mean()}

    return loss


def same_moments(x: np.ndarray) -> tuple:
    """The mean and covariance of rows x [n, d], and 2 d points that have the same.

    A linear VAE depends on nothing else.
    """
    mean, covariance = x.mean(0), np.cov(x.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    spread = vectors * np.sqrt(np.maximum(values, 0) * len(mean))
    return mean, covariance, np.concatenate([mean + spread.T, mean - spread.T])


def linear(config: Config, x: Any, variance: Any) -> dict:
    """What the units of a linear VAE of rows x carry: in closed form, and after training."""
    num = min(config.linear_latents, x.shape[1])
    mean, covariance, points = same_moments(x)
    best = vae.linear_optimum(mean, covariance, num, variance=variance)
    model = vae.linear_vae(x.shape[1], num, variance=variance)
    rate = optax.cosine_decay_schedule(2e-2, config.linear_steps)
    descent = learning.gradient_descent(
        lambda key: model.init(key) | {"mean": jnp.asarray(mean, jnp.float32)},
        linear_loss(variance),
        optax.adam(rate),
    )
    rows = jnp.asarray(points, jnp.float32)

    @jax.jit
    def train(key, rows):
        state, _ = learning.fit(descent, key, lambda key, t: rows, num_steps=config.linear_steps)
        bound, kl = vae.linear_bound(descent.params(state), rows, variance=variance)
        return bound.mean(), kl.mean(0)

    bound, kl = train(jax.random.key(config.seed), rows)
    kl = np.sort(np.asarray(kl))[::-1]
    return {
        "num_active": best.num_active,
        "num_active_trained": int((kl > 0.01).sum()),
        "bound": float(best.bound),
        "bound_trained": float(bound),
        "kl": best.kl.tolist(),
        "kl_trained": kl.tolist(),
    }


# -------------------------------------------------------------------------- strong decoders
@runs.builder
def build(
    config: Config, name: str, shape: tuple[int, int, int], num_levels: int
) -> protocol.LatentVariable:
    """A VAE of images [H, W, C] with the decoder of this name."""
    dim, n, width = math.prod(shape), config.num_latents, 8 * config.hidden
    levels = likelihoods.bernoulli()
    if num_levels > 2:
        levels = likelihoods.discretized_logistic(num_levels)
    net = nets.mlp(dim, 2 * n, hidden=(width, width), dropout=config.dropout)
    flat = lambda params, x, key=None: net.apply(params, x.reshape(*x.shape[:-3], dim), key=key)
    encoder = protocol.Net(net.init, flat)
    options: dict[str, Any] = {"hidden": (width,), "dropout": config.dropout}
    if name == "none":
        decoder = nets.mlp(n, dim * levels.num_params, **options)
        return vae.vae(encoder, decoder, levels, shape, num_latents=n)
    maps = (*shape[:2], 8)
    sees = {"num_layers": config.num_layers, "first_kernel_size": 7}
    if name == "window":
        sees = {"num_layers": 1, "first_kernel_size": 3}
    causal = ar.pixelcnn(shape, levels, hidden=config.hidden, cond_shape=maps, **sees)
    decoder = nets.mlp(n, math.prod(maps), **options)
    return vae.pixelvae(encoder, decoder, causal, levels, shape, num_latents=n)


def strong(config: Config, name: str, data: Any, rows: dict, labels: Any) -> tuple:
    """The row of a model, its (steps, KL) in training, and its posterior means of the test rows."""
    given = {"name": name, "shape": data.shape, "num_levels": data.num_levels}
    recipe = learning.Recipe(build, {"config": config} | given)
    model = recipe.model()
    loss = objectives.elbo
    if name == "free bits":
        loss = functools.partial(loss, free_bits=config.free_bits)
    steps = int(config.anneal * config.num_steps) if name == "annealed" else 0
    task = fitting.bound_task(model, rows, test_samples=config.test_samples, eval_batch=100)
    fitted = fitting.maximum_bound(
        config,
        name.replace(" ", "-"),
        model,
        rows,
        task,
        loss=loss,
        beta_steps=steps,
        adamw=fitting.adamw_of(config, warmed=True),
        recipe=recipe,
    )
    mean = jax.jit(lambda params, x: model.posterior(params, x).mean())
    codes = {s: np.asarray(mean(fitted.params, rows[s])) for s in ("train", "test")}
    row = fitted.row
    if labels is not None:
        found = (codes["train"], labels["train"], codes["test"], labels["test"])
        row = row | {"probe_accuracy": vae.linear_probe(*found)}
    kl = [(r["step"], r["kl"]) for r in fitted.history if "kl" in r]
    return row, tuple(zip(*kl)), codes["test"]


# ------------------------------------------------------------------------------- what is told
def draw_toy(config: Config, found: dict) -> None:
    """Saves toy.png: the best bound for each angle, and the path of (w_1, w_2) in training."""
    figure = plots.new_figure((9.0, 3.6), layout="constrained")
    bound, path = figure.subplots(1, 2)
    for shape, colour in COLOURS.items():
        of = found[shape]
        bound.plot(found["degrees"], of["bound"], color=colour, label=f"{shape} posterior")
        path.plot(*of["path"].T, color=colour, label=f"{shape} posterior")
        path.plot(*of["path"][-1], "o", color=colour)
    ring = np.linspace(0, np.pi / 2, 91)
    path.plot(RADIUS * np.cos(ring), RADIUS * np.sin(ring), ":", color="0.6", label="best p(x)")
    bound.set(xlabel="angle of (w₁, w₂) in degrees", ylabel="best ELBO, nats")
    path.set(xlabel="w₁", ylabel="w₂", title="training from an even split")
    path.set_aspect("equal")
    for axes in (bound, path):
        plots.plain(axes, frame=True)
        axes.legend(frameon=False, fontsize=9)
    plots.save(figure, config.directory / "toy.png")


def draw_linear(config: Config, found: dict) -> None:
    """Saves linear.png, a panel for each σ²: each unit's KL in closed form and as trained."""
    figure = plots.new_figure((4.0 * len(found), 3.2), layout="constrained")
    for axes, (variance, of) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items()
    ):
        units = np.arange(1, len(of["kl"]) + 1)
        axes.bar(units, of["kl"], color="0.8", label="½ log(λ / σ²)")
        axes.plot(units, of["kl_trained"], ".", color=COLOURS["full"], label="trained")
        axes.set(title=f"σ² = {float(variance):g}: λ > σ² for {of['num_active']}", xlabel="unit")
        axes.set_ylabel("KL, nats")
        axes.legend(frameon=False, fontsize=9)
        plots.plain(axes, frame=True)
    plots.save(figure, config.directory / "linear.png")


def draw_strong(config: Config, results: Any, curves: Any, codes: Any, labels: Any) -> None:
    """Saves kl.png and, if z has two entries or more, strong.png."""
    figure = plots.curves(curves, xlabel="step", ylabel="KL(q ‖ p) of a batch, nats")
    plots.save(figure, config.directory / "kl.png")
    if config.num_latents < 2:
        return
    panels = {
        f"{name}: KL {results[name]['kl_z']:.1f}": z[:, np.argsort(z.var(0))[-2:]]
        for name, z in codes.items()
    }
    figure = plots.latent_space(panels, None if labels is None else labels["test"])
    plots.save(figure, config.directory / "strong.png")


def show(found: dict) -> None:
    toy_rows = [
        {"posterior": shape, "KL of the units after training": _few(found["toy"][shape])}
        for shape in COLOURS
    ]
    runs.table(toy_rows, list(toy_rows[0]))
    linear_rows = [
        {
            "σ²": variance,
            "active, λ > σ²": of["num_active"],
            "trained": of["num_active_trained"],
            "bound": round(of["bound"], 2),
            "bound trained": round(of["bound_trained"], 2),
        }
        for variance, of in found["linear"].items()
    ]
    runs.table(linear_rows, list(linear_rows[0]))
    rows = []
    for name, r in found["models"].items():
        row = {
            "decoder": name,
            "bits/dim": f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}",
            "ELBO": f"{r['elbo_bits_per_dim']:.3f}",
            "KL nats": round(r["kl_z"], 2),
            "active": f"{r['active_units']} of {r['num_units']}",
        }
        if "probe_accuracy" in r:
            row["class from z"] = f"{r['probe_accuracy']:.0%}"
        rows.append(row | {"training s": round(r["train_seconds"])})
    runs.table(rows, list(rows[0]))
    fitting.tell(found["models"])


def _few(numbers):
    return ", ".join(f"{value:.3f}" for value in numbers)


def main(config: Config) -> dict:
    check(config, "models", "variances")
    data = sets.images(config)
    rows = {split: x for split, (x,) in data.rows.items()}
    labels = data.labels
    if labels is not None and labels["train"].ndim != 1:
        labels = None
    for name in config.models:
        model = build(config, name, data.shape, data.num_levels)
        fitting.check_size(config, name, model.init)
    of_toy = toy(config)
    x = np.float64(rows["train"].reshape(-1, data.dim))
    of_linear = {str(variance): linear(config, x, variance) for variance in config.variances}
    results, curves, codes = {}, {}, {}
    for name in config.models:
        results[name], curves[name], codes[name] = strong(config, name, data, rows, labels)
    if processes.first():
        draw_toy(config, of_toy)
        draw_linear(config, of_linear)
        draw_strong(config, results, curves, codes, labels)
    return {
        "toy": {shape: of_toy[shape]["kl"].tolist() for shape in COLOURS},
        "linear": of_linear,
        "models": results,
        "data": config.data,
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=4)
