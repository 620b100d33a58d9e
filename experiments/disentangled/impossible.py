"""The impossibility theorem: two models of the same likelihood, one disentangled, one not.

    python -m experiments.disentangled.impossible

takes about a minute on two CPU cores. It first trains a VAE with four units on the rendered shapes,
whose 960 images are all combinations of four factors. Training uses the factors as labels, so that
each unit becomes one factor. Then it replaces the codes z by f(z), with f = g⁻¹ ∘ h⁻¹ ∘ A ∘ h ∘ g
from the proof of the theorem (`disentangled.entangling`) and A half of the 4×4 Hadamard matrix,
which mixes all units. No number that depends on images alone changes, but every metric that uses
the factors falls:

    elbo, log_prob   means over all images in nats, log_prob by importance sampling; at most -6.87
    mig, dci, ...    `metrics.code_scores` of the codes of all images: of posterior means for the
                     normal prior, and of their images under the change of prior for the others

It does this for three factorised priors: normal, uniform on (0, 1), and a different mixture of two
logistics for each unit. Expect a MIG of about 0.9 for the first model and below 0.1 for the second.
traversals.png shows images of both models as each unit moves from its 5 % to its 95 % quantile.

Locatello et al. (2019), "Challenging common assumptions in the unsupervised learning of
disentangled representations", theorem 1.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import (
    bijectors,
    data,
    disentangled,
    distributions,
    learning,
    likelihoods,
    metrics,
    nets,
    objectives,
    plots,
    protocol,
    runs,
    vae,
)
from dgm_jax.runs import processes
from dgm_jax.runs.directory import defining
from experiments.options import check

if TYPE_CHECKING:
    import distrax

HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], np.float32) / 2
PRIORS = ("normal", "uniform", "mixture")
COLUMNS = 9  # images in a row of the picture
EDGE = 1.645  # the 95 % quantile of a standard normal variable


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    num_steps: int = 4000
    """gradient steps of training"""
    hidden: tuple[int, ...] = (256, 256)
    """widths of the hidden layers of encoder and decoder"""
    batch_size: int = 128
    """images per step"""
    learning_rate: float = 2e-3
    """the highest learning rate of Adam; it decays to 0 by a cosine"""
    labels: float = 10.0
    """the weight of the loss that ties each factor to a unit"""
    num_samples: int = 100
    """draws of z for each image, by which elbo and log_prob are estimated"""


QUICK = {"num_steps": 20, "hidden": (16,), "num_samples": 2}


# ----------------------------------------------------------------------------------------- models
@runs.builder
def build(config: Config, num_latents: int, dim: int) -> protocol.LatentVariable:
    """A VAE of rows of `dim` bits with a normal prior."""
    return vae.vae(
        nets.mlp(dim, 2 * num_latents, hidden=config.hidden),
        nets.mlp(num_latents, dim, hidden=config.hidden),
        likelihoods.bernoulli(),
        dim,
        num_latents=num_latents,
    )


def to_logistic(prior: str, dim: int) -> distrax.Bijector | None:
    """The distribution functions of the entries of z on the logit scale; None if it is normal."""
    import distrax  # takes a second

    if prior == "normal":
        return None
    if prior == "uniform":
        return distrax.Inverse(distrax.Sigmoid())
    rng = np.random.default_rng(0)
    mixture = bijectors.Mixture(
        jnp.log(jnp.asarray(rng.dirichlet((4.0, 4.0), dim), jnp.float32)),
        jnp.asarray([-1.5, 1.5] + rng.normal(0, 0.3, (dim, 2)), jnp.float32),
        jnp.log(jnp.asarray(rng.uniform(0.2, 0.5, (dim, 2)), jnp.float32)),
    )
    zero = jnp.zeros(dim)
    return bijectors.MixtureLogisticCDF(mixture, zero, zero, jnp.float32)


def moved(
    model: protocol.LatentVariable, prior: str, dim: int
) -> tuple[protocol.LatentVariable, distrax.Bijector]:
    """(the model with this prior, the bijector from codes with the normal prior to its codes)."""
    import distrax

    logit = to_logistic(prior, dim)
    if logit is None:
        return model, distrax.Block(distrax.Lambda(lambda z: z), 1)
    parts = [distrax.Inverse(logit), bijectors.NormalLogitCDF()]
    from_normal = distrax.Chain([distrax.Block(part, 1) for part in parts])

    def of_prior(params, cond=None, *, key=None):
        normal = distributions.standard_normal(dim).dist({})
        return distributions.Pushforward(normal, from_normal)

    return disentangled.entangled(model, from_normal)._replace(prior=of_prior), from_normal


# --------------------------------------------------------------------------------------- training
def labelled(
    model: protocol.LatentVariable,
    sizes: tuple[int, ...],
    weight: float,
    params: protocol.Params,
    key: protocol.Key,
    batch: tuple[protocol.Array, protocol.Array],
) -> tuple[protocol.Array, dict[str, protocol.Array]]:
    """-ELBO - w E log q(z | x), with z drawn in the cell of the factors of x.

    If factor j has K states, unit j has K cells between the quantiles v / K of N(0, 1).
    """
    x, factors = batch
    draw_key, key = jax.random.split(key)
    u = (factors + jax.random.uniform(draw_key, factors.shape)) / jnp.asarray(sizes)
    z = jax.scipy.special.ndtri(jnp.clip(u, 1e-6, 1 - 1e-6))
    loss, told = objectives.elbo(model, params, key, x)
    fit = -model.posterior(params, x).log_prob(z).mean()
    return loss + weight * fit, told | {"labels": fit}


def train(config: Config, model: protocol.LatentVariable, found: data.Factored) -> learning.Trained:
    """Minimises `labelled` by Adam; kept is the moving average of parameters at the last step."""
    rate = optax.cosine_decay_schedule(config.learning_rate, config.num_steps)
    loss = functools.partial(labelled, model, found.sizes, config.labels)
    rows = found.x.reshape(len(found.x), -1), found.factors
    given = {"num_latents": len(found.sizes), "dim": rows[0].shape[1]}
    return learning.train(
        learning.gradient_descent(model.init, loss, optax.adam(rate), ema_decay=0.99),
        jax.random.key(config.seed),
        data.batches(rows, config.batch_size, seed=config.seed),
        num_steps=config.num_steps,
        identity={"options": defining(config)},
        workdir=config.directory / "vae",
        progress=config.progress,
        description="vae",
        recipe=learning.Recipe(build, {"config": config} | given),
    )


# ---------------------------------------------------------------------------------------- figures
def judge(
    config: Config,
    params: Any,
    found: data.Factored,
    model: protocol.LatentVariable,
    codes: protocol.Array,
) -> dict:
    """The likelihoods of the model on images, and the scores of its codes [n, d] by the factors."""
    x = jnp.asarray(found.x.reshape(len(found.x), -1))
    of_images, of_draws, of_scores = jax.random.split(jax.random.key(config.seed + 1), 3)
    bound = functools.partial(objectives.elbo, model, num_samples=config.num_samples)
    told = jax.jit(lambda params, key: bound(params, key, x)[1])(params, of_draws)
    estimate = metrics.importance_log_prob(
        model, params, of_images, x, num_samples=config.num_samples
    )
    return {
        "elbo": -float(told["neg_elbo"]),
        "log_prob": float(np.mean(estimate.log_prob)),
        **metrics.code_scores(of_scores, np.asarray(codes), found.factors),
    }


def main(config: Config) -> dict:
    check(config)
    found = data.load_factored("shapes")
    dim, x = len(found.sizes), found.x.reshape(len(found.x), -1)
    model = build(config, dim, x.shape[1])
    trained = train(config, model, found)
    means = model.posterior(trained.params, x).mean()
    told = {}
    for prior in PRIORS:
        one, from_normal = moved(model, prior, dim)
        f = disentangled.entangling(jnp.asarray(HADAMARD), to_logistic(prior, dim))
        other, z = disentangled.entangled(one, f), from_normal.forward(means)
        judged = functools.partial(judge, config, trained.params, found)
        told[prior] = {"disentangled": judged(one, z), "entangled": judged(other, f.forward(z))}
    if processes.first():
        draw(config, model, trained.params, found)
    return {"priors": told, "most": -float(np.log(len(x))), "train_seconds": trained.seconds}


def show(found: dict) -> None:
    rows = []
    for prior, both in found["priors"].items():
        for name, r in both.items():
            row = {"prior": prior, "codes": name}
            row |= {what: f"{r[what]:.3f}" for what in ("elbo", "log_prob")}
            scores = ("mig", "mig_adjusted", "dci", "sap", "factorvae_score", "betavae_score")
            rows.append(row | {what: f"{r[what]:.2f}" for what in scores})
    runs.table(rows, list(rows[0]))
    print(f"No model has more than {found['most']:.3f} nats of these images.")


def draw(
    config: Config, model: protocol.LatentVariable, params: protocol.Params, found: data.Factored
) -> None:
    """Saves traversals.png: mean images as one unit of z, or of f(z), moves and the others stay."""
    dim, side = len(found.sizes), found.x.shape[1:]
    at = jnp.linspace(-EDGE, EDGE, COLUMNS)
    rows, names = [], []
    for name, matrix in (("z", jnp.eye(dim)), ("f(z)", jnp.asarray(HADAMARD))):
        for j in range(dim):
            codes = jnp.zeros((COLUMNS, dim)).at[:, j].set(at)
            rows.append(model.likelihood(params, codes @ matrix).mean())  # Aᵀ of each
            names.append(f"{name}, unit {j + 1}")
    images = np.concatenate(rows).reshape(-1, *side)
    figure = plots.sample_grid(images, columns=COLUMNS, row_names=names, vmin=0, vmax=1)
    plots.save(figure, config.directory / "traversals.png")


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=1)
