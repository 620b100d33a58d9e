r"""Adversarial variational Bayes (AVB) beside a VAE with the same decoder, in nats.

    python -m experiments.gans.avb                   # the digits in one bit
    python -m experiments.gans.avb --data binarized_mnist --data-dir FOLDER --num-steps 20000 \
        --eval-every 1000 --learning-rate 1e-3

train three models with --num-latents 8 entries of z and decoders of the same form, on the digits
in about four minutes:

    vae      q(z | x) is a Gaussian with independent entries
    avb      z = g(x, ε), with a critic that compares q(z | x) with the prior
    avb-ac   the same with adaptive contrast: the critic compares q(z | x) with a Gaussian that
             has its mean and covariance

The models are compared by log p(x) on the same --ais-rows test rows, estimated by importance
sampling and by annealed importance sampling that starts from it (--ais-steps). The proposal of both
is a Gaussian with the moments of q(z | x), 1.2 times as wide. The table also shows what the model's
own critic claims, E log p(x | z) - E T, which is no bound of anything as long as the critic is not
optimal. On the few digits expect bounds of -17 nats on the validation rows for the VAE and for
avb-ac, and below -25 for avb.

points.png is the example of Mescheder et al. (2017), section 6.1: four data points, a latent of two
entries, and the q(z | x) that each model finds for each point; log p(x) is computed by quadrature,
and is at most -log 4 = -1.386. The other pictures are samples.png (E[x | z] for z from the prior),
reconstructions.png and curves.png (the bound on the validation rows during training).
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import (
    checks,
    gans,
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
from experiments import fitting, published, sets
from experiments.options import Data, Training, check
from experiments.vae.bits import from_coins, standardised

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.data import Dataset

MODELS = ("vae", "avb", "avb-ac")
PAPER = {"vae": -90.9, "avb": -91.2, "avb-ac": -89.6}  # by AIS, convolutional, z of 8, recalled


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    data: str = "digits_bits"
    """a set of bits by its name, or a file or folder of your own (see Data in the README)"""
    models: tuple[Literal["vae", "avb", "avb-ac"], ...] = MODELS
    """which models to train"""
    num_latents: int = 8
    """the number of entries of z"""
    hidden: tuple[int, ...] = (256, 256)
    """widths of the hidden layers of encoder, decoder and critic"""
    num_noise: int = 32
    """the number of entries of the noise ε"""
    num_basis: int = 16
    """the number of basis functions of ε, which are summed with weights that depend on x"""
    num_moments: int = 100
    """draws of z by which adaptive contrast estimates the moments of q(z | x)"""
    critic_rate: float = 1e-3
    """the highest learning rate of the critic"""
    num_steps: int = 2500
    batch_size: int = 100
    """examples per update of each player; a step with two players takes twice as many"""
    valid_samples: int = 20
    """samples K of the bound on the validation split, which chooses the step that is kept"""
    test_samples: int = 1000
    """samples K of the importance sampling at the end"""
    ais_rows: int = 300
    """the number of test rows on which models are compared"""
    ais_steps: int = 100
    """temperatures of the annealed importance sampling"""
    points_steps: int = 3000
    """training steps of the example with four data points"""


QUICK = {"num_steps": 20, "eval_every": 10, "hidden": (16,), "num_latents": 4, "batch_size": 20}
QUICK |= {"test_samples": 10, "valid_samples": 2, "ais_rows": 5, "ais_steps": 4}
QUICK |= {"points_steps": 20}
COLUMNS = 16  # of the pictures


@runs.builder
def build(config: Config, name: str, mean: np.ndarray) -> protocol.LatentVariable:
    """The model `name` of rows of bits, which are 1 with frequency `mean` [d].

    If it has a critic, its parameters are those of both players, {"model", "critic"}, as they are
    saved.
    """
    model, critic = parts(config, name, mean)
    if critic is None:
        return model

    def of_model(function):
        return lambda params, *args, **given: function(params["model"], *args, **given)

    return model._replace(
        init=both(model, critic),
        prior=of_model(model.prior),
        likelihood=of_model(model.likelihood),
        posterior=of_model(model.posterior),
    )


def parts(config: Config, name: str, mean: np.ndarray) -> tuple:
    """(model, critic) of a name; the critic of a VAE is None."""
    dim, n = len(mean), config.num_latents
    options: dict[str, Any] = {"hidden": config.hidden}
    decoder = from_coins(nets.mlp(n, dim, **options), mean)
    if name == "vae":
        encoder = standardised(nets.mlp(dim, 2 * n, **options), mean)
        return vae.vae(encoder, decoder, likelihoods.bernoulli(), dim, num_latents=n), None
    inference = gans.implicit_net(
        dim, n, num_noise=config.num_noise, num_basis=config.num_basis, **options
    )
    model = gans.avb(
        centred(inference, mean),
        decoder,
        likelihoods.bernoulli(),
        dim,
        num_latents=n,
        num_noise=config.num_noise,
    )
    return model, centred(nets.mlp((dim, n), 1, zero_last=True, **options), mean)


def centred(net: protocol.Net, mean: np.ndarray) -> protocol.Net:
    """A net of (x, z) or (x, ε), as a net whose x are bits, from which their mean is subtracted."""
    mean = np.asarray(mean, np.float32)
    apply = lambda params, x, z, key=None: net.apply(params, 2 * (x - mean), z, key=key)
    return net._replace(apply=apply)


def both(model: protocol.LatentVariable, critic: protocol.Net) -> Callable:
    """`init` of the parameters of both players."""

    def init(key):
        model_key, critic_key = jax.random.split(key)
        return {"model": model.init(model_key), "critic": critic.init(critic_key)}

    return init


def players(
    config: Config,
    name: str,
    model: protocol.LatentVariable,
    critic: protocol.Net,
    num_steps: int,
    rate: float,
) -> protocol.Algorithm:
    """The two players of a step; the critic moves first."""
    given = {"num_moments": config.num_moments if name == "avb-ac" else 0}

    def player(loss, rate):
        adam = optax.adam(optax.cosine_decay_schedule(rate, num_steps), b1=0.5)
        loss = functools.partial(loss, model, critic, **given)
        return learning.Player(loss, adam, ema_decay=config.ema_decay)

    found = {
        "critic": player(gans.avb_critic_loss, config.critic_rate),
        "model": player(gans.avb_loss, rate),
    }
    return learning.alternate(found, both(model, critic))


# ------------------------------------------------------------------------------------- what is told
def claim(
    config: Config,
    name: str,
    model: protocol.LatentVariable,
    critic: protocol.Net,
    params: protocol.Params,
    key: protocol.Key,
    x: protocol.Array,
) -> protocol.Array:
    """E log p(x | z) - E T, the critic's estimate of the ELBO."""
    moments = config.num_moments if name == "avb-ac" else 0
    return -gans.avb_loss(model, critic, params, key, x, num_moments=moments)[0]


def annealed(
    config: Config,
    model: protocol.LatentVariable,
    params: protocol.Params,
    key: protocol.Key,
    rows: dict[str, np.ndarray],
) -> dict:
    """{ais_nats, ...}: log p(x) of the first test rows by annealed importance sampling."""
    found = metrics.annealed_log_prob(
        model,
        params,
        key,
        rows["test"][: config.ais_rows],
        num_steps=config.ais_steps,
        num_chains=4,
        num_leapfrogs=5,
        start="posterior",
    )
    mean, stderr = objectives.mean_and_stderr(found.log_prob)
    return {"ais_nats": float(mean), "ais_nats_stderr": float(stderr), "ais": str(found)}


def adversarial_task(
    config: Config,
    name: str,
    model: protocol.LatentVariable,
    critic: protocol.Net,
    rows: dict[str, np.ndarray],
) -> fitting.Task:
    """Importance sampling, annealed importance sampling and the critic's claim, of an AVB model."""
    proposed = gans.gaussian_proposal(model)
    some = rows | {"test": rows["test"][: config.ais_rows]}
    task = fitting.bound_task(
        proposed,
        some,
        num_samples=config.valid_samples,
        test_samples=config.test_samples,
        eval_batch=100,
    )
    claims = jax.jit(functools.partial(claim, config, name, model, critic))

    def evaluate(params, key):
        return task.evaluate(params["model"], key)

    def report(params, key):
        bound_key, ais_key, claim_key = jax.random.split(key, 3)
        found = task.report(params["model"], bound_key)
        for what in ("elbo_nats", "elbo_bits_per_dim", "reconstruction_nats", "kl_z"):
            found.pop(what, None)  # of the proposal, and not of q
        claimed = float(claims(params, claim_key, some["test"]))
        ais = annealed(config, proposed, params["model"], ais_key, some)
        return found | ais | {"claimed_nats": claimed}

    return task._replace(evaluate=evaluate, report=report)


def plain_task(
    config: Config, model: protocol.LatentVariable, rows: dict[str, np.ndarray]
) -> fitting.Task:
    """What `adversarial_task` reports, of a VAE, whose claim is its ELBO."""
    some = rows | {"test": rows["test"][: config.ais_rows]}
    task = fitting.bound_task(
        model,
        some,
        num_samples=config.valid_samples,
        test_samples=config.test_samples,
        eval_batch=100,
    )

    def report(params, key):
        bound_key, ais_key = jax.random.split(key)
        found = task.report(params, bound_key)
        ais = annealed(config, model, params, ais_key, some)
        return found | ais | {"claimed_nats": found["elbo_nats"]}

    return task._replace(report=report)


def fit(
    config: Config, name: str, rows: dict[str, np.ndarray]
) -> tuple[protocol.LatentVariable, dict[str, dict], fitting.Fitted]:
    """A model, its own parameters, and what `fitting` returns."""
    recipe = learning.Recipe(build, {"config": config, "name": name, "mean": rows["train"].mean(0)})
    model, critic = parts(config, name, recipe.arguments["mean"])
    if critic is None:
        options: dict[str, Any] = {"loss": objectives.elbo, "recipe": recipe}
        task = plain_task(config, model, rows)
        fitted = fitting.maximum_bound(config, name, model, rows, task, **options)
        return model, fitted.params, fitted
    task = adversarial_task(config, name, model, critic, rows)
    algorithm = players(config, name, model, critic, config.num_steps, config.learning_rate)
    pairs = dataclasses.replace(config, batch_size=2 * config.batch_size)
    steps = {name: getattr(config, name) for name in ("num_steps", "eval_every", "patience")}
    fitted = fitting.fit(pairs, name, algorithm, task, rows["train"], **steps, recipe=recipe)
    return model, fitted.params["model"], fitted


# -------------------------------------------------------------------------------- four data points
POINTS = np.eye(4, dtype=np.int32)
AXIS = np.linspace(-4, 4, 81, dtype=np.float32)


def points(config: Config, name: str) -> tuple[dict[str, float], np.ndarray]:
    """The example with four one-hot data points.

    Returns {log_prob, claimed} of the trained model `name`, and 500 draws of q(z | x) for each
    point.
    """
    small = dataclasses.replace(config, num_latents=2, hidden=(64, 64), num_noise=3)
    model, critic = parts(small, name, np.full(4, 0.25))
    # in random order, so that each player sees all four: the players share the rows of a batch
    draw = lambda key, t: jnp.asarray(POINTS)[jax.random.permutation(key, 512) % 4]
    if critic is None:
        loss = functools.partial(objectives.elbo, model)
        adam = optax.adam(optax.cosine_decay_schedule(1e-3, config.points_steps))
        algorithm = learning.gradient_descent(model.init, loss, adam)
    else:
        algorithm = players(small, name, model, critic, config.points_steps, 3e-4)
    num = config.points_steps

    @jax.jit
    def run(key):
        key, draw_key, claim_key = jax.random.split(key, 3)
        params = algorithm.params(learning.fit(algorithm, key, draw, num_steps=num)[0])
        of_model = params if critic is None else params["model"]
        many = jnp.tile(POINTS, (500, 1))
        if critic is None:
            claimed = -objectives.elbo(model, params, claim_key, many)[0]
        else:
            claimed = claim(small, name, model, critic, params, claim_key, many)
        z = model.posterior(of_model, POINTS).sample(seed=draw_key, sample_shape=500)
        return {"log_prob": exact(model, of_model), "claimed": claimed}, z

    row, z = run(jax.random.key(config.seed))
    return {what: float(value) for what, value in row.items()}, np.asarray(z).swapaxes(0, 1)


def exact(model: protocol.LatentVariable, params: protocol.Params) -> protocol.Array:
    """The mean of log ∫ p(z) p(x | z) dz over the four points, by a sum over a grid of z."""
    grid = np.stack(np.meshgrid(AXIS, AXIS), -1).reshape(-1, 1, 2)
    log_joint = model.likelihood(params, grid).log_prob(POINTS) + model.prior(params).log_prob(grid)
    cell = 2 * np.log(AXIS[1] - AXIS[0])
    return jax.scipy.special.logsumexp(log_joint, axis=0).mean() + cell


def draw_points(found: dict[str, np.ndarray]) -> Figure:
    """A panel for each model: draws of q(z | x) in the colour of their point, {name: [4, n, 2]}."""
    figure = plots.new_figure((3.2 * len(found), 3.7), layout="constrained")
    for i, (name, z) in enumerate(found.items()):
        axes = figure.add_subplot(1, len(found), i + 1)
        for number, cloud in enumerate(z):
            label = f"datum {number + 1}"
            axes.plot(*cloud.T, ".", ms=2, color=plots.COLOURS[number], label=label)
        axes.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
        axes.set_title(f"{name}: z ~ q(z | x)", fontsize=11, color=plots.INK)
        plots.plain(axes, frame=True)
    clouds = axes.get_legend_handles_labels()
    figure.legend(*clouds, loc="outside lower center", ncols=4, frameon=False, markerscale=5)
    return figure


# ------------------------------------------------------------------------------------------ the run
def show(found: dict) -> None:
    rows, known = [], found["published"] == "binarized_mnist"
    for name, r in found["models"].items():
        rows.append(
            {
                "model": name,
                "AIS, nats": f"{r['ais_nats']:.2f} ± {r['ais_nats_stderr']:.2f}",
                f"importance, {r['num_samples']}": f"{r['test_nats']:.2f}",
                "claimed": f"{r['claimed_nats']:.2f}",
                "active": f"{r['active_units']}/{r['num_units']}",
                "training s": round(r["train_seconds"]),
                "paper": f"{PAPER[name]:.1f}" if known else "",
            }
        )
    runs.table(rows, list(rows[0]))
    print(f"{r['ais']}. Claimed: the ELBO of the VAE, and by the critic of the others.")
    rows = [
        {"four data": name, "log p(x)": f"{r['log_prob']:.3f}", "claimed": f"{r['claimed']:.3f}"}
        for name, r in found["points"].items()
    ]
    runs.table(rows, list(rows[0]))


def pictures(
    model: protocol.LatentVariable, params: protocol.Params, key: protocol.Key, x: protocol.Array
) -> dict[str, protocol.Array]:
    """E[x | z] of z from the prior, and of z ~ q(z | x) for the rows x."""
    prior_key, code_key = jax.random.split(key)
    z = model.prior(params).sample(seed=prior_key, sample_shape=len(x))
    code = model.posterior(params, x).sample(seed=code_key)
    made = {"samples": z, "reconstructions": code}
    return {name: model.likelihood(params, each).mean() for name, each in made.items()}


def draw(
    config: Config,
    data: Dataset,
    rows: dict[str, np.ndarray],
    fitted: dict,
    clouds: dict[str, np.ndarray],
) -> None:
    """Saves samples.png, reconstructions.png, curves.png and points.png."""
    x = rows["test"][: 2 * COLUMNS]
    made, key = {}, jax.random.key(config.seed + 1)
    for i, (name, (model, params, _)) in enumerate(fitted.items()):
        run = jax.jit(functools.partial(pictures, model))
        made[name] = run(params, jax.random.fold_in(key, i), x)
    for file, num in (("samples", 2 * COLUMNS), ("reconstructions", COLUMNS)):
        groups = {name: np.asarray(each[file][:num]) for name, each in made.items()}
        figure = sets.grid(data, {"test data": x[:num]} | groups, columns=COLUMNS)
        plots.save(figure, config.directory / f"{file}.png")
    curves = {name: found.curves["valid_nats"] for name, (*_, found) in fitted.items()}
    ylabel = f"bound of {config.valid_samples} samples, validation, nats"
    plots.save(plots.curves(curves, xlabel="step", ylabel=ylabel), config.directory / "curves.png")
    plots.save(draw_points(clouds), config.directory / "points.png")


def main(config: Config) -> dict:
    check(config, "models")
    checks.positive_int(config.num_moments, "num_moments", least=config.num_latents + 1)
    data, rows = sets.bits(config)
    order = np.random.default_rng(0).permutation(len(rows["test"]))  # sets are often sorted
    rows = rows | {"test": rows["test"][order]}
    fitted = {name: fit(config, name, rows) for name in config.models}
    small = {name: points(config, name) for name in config.models}
    if processes.first():
        draw(config, data, rows, fitted, {name: z for name, (_, z) in small.items()})
    return {
        "data": config.data,
        "published": published.known(data),
        "models": {name: found.row for name, (*_, found) in fitted.items()},
        "points": {name: row for name, (row, _) in small.items()},
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=4)
