r"""GANs of images side by side: DCGAN, WGAN-GP, SNGAN, SAGAN and BigGAN.

    python -m experiments.gans.images

trains all five on the 8x8 digits in about a quarter of an hour on two CPU cores:

    dcgan     strided convolutions with batch norms; the non-saturating game
    wgan-gp   the same generator, a critic with layer norms; the Wasserstein game with a
              gradient penalty
    sngan     residual nets, a critic with spectral norms; the hinge game
    sagan     sngan with self-attention, spectral norms in both nets, and two learning rates
    biggan    sagan by class: a projection critic, parts of z at every scale, and a penalty that
              draws weights to orthogonal ones

Samples come from a moving average of the generator's parameters, whose batch norms then get the
statistics of its own samples. They are judged by the features of a classifier that the run trains
first, so figures can only be compared within a run: by the Fréchet distance to held-out rows (the
step that is best on the validation split is kept), and by precision and recall. The table begins
with the floor, that is the same figures for training rows in the place of samples. If the data have
no labels, the features are pixels, averaged to at most 8x8. --inception N adds an FID and a KID of
N samples.

Expect Fréchet distances from 4.1 (WGAN-GP) to 7.0 (BigGAN) on the digits; training rows have 2.3.

The pictures: samples.png; interpolations.png, along an arc between two z; arithmetic.png, of the
DCGAN: the mean z of samples that the classifier takes for an 8, minus that of a 3, plus that of a
5; truncation.png, of the BigGAN; curves.png, the Fréchet distance on the validation split; and
critic.png, the loss of the critic. --data takes any images with levels, such as mnist,
fashion_mnist and cifar10.

The length of Miyato et al. (2018) on CIFAR-10, for an accelerator (not run; their nets are plain
convolutions of 64 to 512 channels, these are residual):

    python -m experiments.gans.images --data cifar10 --data-dir FOLDER --models sngan \
        --hidden 128 --batch-size 64 --num-steps 100000 --eval-every 5000 --inception 5000

They report an FID (10,000 and 5,000 images) of 29.3 with spectral norms, 25.5 with the hinge loss
too, 21.7 with residual nets, 40.2 for WGAN-GP, and 7.8 for training images.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import checks, gans, learning, objectives, plots, protocol, runs
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.gans import judge
from experiments.options import Data, check, filled

MODELS = ("dcgan", "wgan-gp", "sngan", "sagan", "biggan")


@dataclasses.dataclass(frozen=True)
class Config(Data, runs.RunOptions):
    models: tuple[Literal["dcgan", "wgan-gp", "sngan", "sagan", "biggan"], ...] = MODELS
    """which models to train"""
    num_steps: int | None = None
    """steps of each model, each with one update of the generator. By default this and the six
    options below depend on the model (SETTINGS in the source)"""
    hidden: int | None = None
    """channels at half of the image's size for dcgan and wgan-gp, at full size for the others"""
    learning_rate: float | None = None
    """the learning rate of the generator's Adam"""
    critic_rate: float | None = None
    """the learning rate of the critic's Adam"""
    beta1: float | None = None
    """β_1 of both Adams, the decay of the moving average of gradients"""
    critic_updates: int | None = None
    """updates of the critic per step"""
    num_latents: int | None = None
    """the number of entries of z; a BigGAN has 20 for each scale"""
    batch_size: int = 64
    """examples per update"""
    gradient_penalty: float = 10.0
    """the weight of the gradient penalty of the WGAN-GP"""
    orthogonal: float = 1e-4
    """the weight of the orthogonality penalty on the weights of the BigGAN's generator"""
    ema_decay: float = 0.999
    """the decay of the moving average of the generator's parameters, which is what is evaluated"""
    eval_every: int = 500
    """steps between two evaluations"""
    num_samples: int = 1000
    """samples that are judged; at most as many held-out rows are used"""
    classifier_steps: int = 1000
    """training steps of the classifier whose features judge samples; 0: pixels are the features"""
    num_features: int = 32
    """the number of these features"""
    inception: int = 0
    """the number of samples that are also judged by the Inception network of FID, at the end, with
    weights from --data-dir. It takes 0.1 to 0.3 s an image; a covariance of full rank needs more
    than 2048"""
    devices: int | None = None
    """the number of devices that share each batch; by default all accelerators, or one per core"""


SETTINGS = {
    "dcgan": {
        "num_steps": 6000,
        "hidden": 32,
        "learning_rate": 2e-4,
        "critic_rate": 2e-4,
        "beta1": 0.5,
        "critic_updates": 1,
        "num_latents": 64,
    },
    "wgan-gp": {"num_steps": 3000, "beta1": 0.0, "critic_updates": 5},
    "sngan": {"num_steps": 2000, "beta1": 0.0, "critic_updates": 2},
    "sagan": {"num_steps": 2000, "learning_rate": 1e-4, "critic_rate": 4e-4, "beta1": 0.0},
    "biggan": {
        "num_steps": 2000,
        "learning_rate": 1e-4,
        "critic_rate": 4e-4,
        "beta1": 0.0,
        "critic_updates": 2,
    },
}
SETTINGS = {name: SETTINGS["dcgan"] | SETTINGS[name] for name in MODELS}
QUICK: dict[str, Any] = {
    "num_steps": 4,
    "eval_every": 2,
    "hidden": 4,
    "num_samples": 64,
    "classifier_steps": 20,
}
QUICK |= {"models": ("dcgan", "wgan-gp", "biggan"), "critic_updates": 1}
COLUMNS = 16  # of the pictures
TRUNCATIONS = (1.0, 0.75, 0.5, 0.25, 0.0)
DIGITS = (8, 3, 5)  # of the arithmetic, 8 - 3 + 5
SETTLING = 16  # batches of samples that give batch norms their statistics


class Pictures(NamedTuple):
    """Images, with their classes if the set has any."""

    rows: dict  # {split: [n, H, W, C] in [-1, 1]}
    labels: dict | None  # {split: [n]}
    shape: tuple[int, int, int]
    num_classes: int


def of_model(config: Config, name: str) -> Any:
    """The config, with the default settings of a model for the options that are None."""
    return filled(config, SETTINGS[name])


def pictures(config: Any) -> tuple:
    """The data set, and its images with levels scaled to [-1, 1]."""
    data, _ = sets.levels(config)
    if data.train.ndim not in (3, 4):
        raise checks.InputError(f"data={config.data!r} has no images; try digits, mnist, cifar10.")
    rows = {}
    for split in sets.SPLITS:
        x = getattr(data, split)
        x = x[..., None] if x.ndim == 3 else x
        rows[split] = judge.scaled(x, sets.num_levels(data))
    labelled = data.labels is not None and data.labels["train"].ndim == 1
    labels = {s: np.asarray(y, np.int32) for s, y in data.labels.items()} if labelled else None
    if not labelled and "biggan" in config.models:
        raise checks.InputError(
            f"models has biggan, which needs classes; data={config.data!r} has none. Leave it out."
        )
    shape, num = rows["train"].shape[1:], sets.num_classes(data) if labelled else 0
    return data, Pictures(rows, labels, shape, num)


@runs.builder
def build(
    config: Config, name: str, shape: tuple[int, int, int], num_classes: int
) -> protocol.Adversarial:
    """The model `name` of images [H, W, C], with its own sizes where the config has None."""
    config = of_model(config, name)
    sizes: dict[str, Any] = {"num_latents": config.num_latents, "hidden": config.hidden}
    if name in ("dcgan", "wgan-gp"):
        return gans.dcgan(shape, critic_norm="batch" if name == "dcgan" else "layer", **sizes)
    if name == "biggan":
        return gans.biggan(shape, num_classes, hidden=config.hidden, embedding=32)
    return {"sngan": gans.sngan, "sagan": gans.sagan}[name](shape, **sizes)


# ------------------------------------------------------------------------------------------- games
def game(config: Any, name: str, model: protocol.Adversarial) -> protocol.Algorithm:
    """The game of the model `name` by Adam, with its own settings where the config has None."""
    config = of_model(config, name)
    critic, generator = (
        optax.adam(rate, b1=config.beta1, b2=0.999)
        for rate in (config.critic_rate, config.learning_rate)
    )
    options: dict[str, Any] = {
        "critic": critic,
        "generator": generator,
        "ema_decay": config.ema_decay,
    }
    options |= {"num_critic_updates": config.critic_updates}
    if name == "dcgan":
        return learning.adversaries(model, objectives.non_saturating(), **options)
    if name == "wgan-gp":
        penalty: dict[str, Any] = {"penalty": objectives.gradient_penalty}
        penalty |= {"penalty_weight": config.gradient_penalty}
        return learning.adversaries(model, objectives.wasserstein(), **options, **penalty)
    if name != "biggan":
        return learning.adversaries(model, objectives.hinge(), **options)
    return by_class(config, model, critic, generator)


def by_class(
    config: Any,
    model: protocol.Adversarial,
    critic: optax.GradientTransformation,
    generator: optax.GradientTransformation,
) -> protocol.Algorithm:
    """The hinge game with classes, and an orthogonality penalty on the generator's weights."""

    def of_critic(params, key, batch, *, state):
        return objectives.critic_loss(model, objectives.hinge(), params, key, *batch, state=state)

    def of_generator(params, key, batch, *, state):
        loss, (found, state) = objectives.generator_loss(
            model, objectives.hinge(), params, key, *batch, state=state
        )
        penalty = gans.orthogonal_penalty(params["generator"])
        return loss + config.orthogonal * penalty, (found | {"orthogonal": penalty}, state)

    players = {
        "critic": learning.Player(of_critic, critic, config.critic_updates),
        "generator": learning.Player(of_generator, generator, ema_decay=config.ema_decay),
    }
    return learning.alternate(
        players,
        lambda key: model.init(key)[0],
        init_state=lambda key, params: model.init(key)[1],
    )


# ----------------------------------------------------------------------------------------- samples
def classes(model: protocol.Adversarial, num: int, num_classes: int) -> protocol.Array | None:
    """num classes, 0, 1, ... in turn; None for a model without classes."""
    return None if model.cond_shape is None else jnp.arange(num) % num_classes


def settled(
    config: Any,
    model: protocol.Adversarial,
    params: protocol.Params,
    key: protocol.Key,
    num_classes: int,
) -> tuple[dict[str, dict], dict[str, dict]]:
    """(params, state); the generator's batch norms have the statistics of its own samples."""
    params, state = params
    num = SETTLING * config.batch_size
    cond = classes(model, num, num_classes)
    return params, gans.standing_statistics(
        model, params, state, key, num, cond, batch_size=config.batch_size
    )


def sampled(
    config: Any,
    model: protocol.Adversarial,
    num: int,
    num_classes: int,
    params: protocol.Params,
    key: protocol.Key,
) -> protocol.Array:
    """num samples, generated in parts of one batch."""
    settle_key, key = jax.random.split(key)
    params, state = settled(config, model, params, settle_key, num_classes)
    size, parts = config.batch_size, -(-num // config.batch_size)
    cond = classes(model, size * parts, num_classes)

    def part(given):
        key, *seen = given
        return objectives.generated(model, params, state, key, size, *seen)

    seen = () if cond is None else (cond.reshape(parts, size),)
    x = jax.lax.map(part, (jax.random.split(key, parts), *seen))
    return x.reshape(-1, *x.shape[2:])[:num]


def many(config: Config, data: Any, found: dict, num: int) -> Any:
    """Pairs (name, num images): first of training rows ("floor"), then of each model."""
    yield "floor", data.rows["train"][:num]
    for i, (name, (model, fitted)) in enumerate(found.items()):
        draw = functools.partial(sampled, of_model(config, name), model, num, data.num_classes)
        key = jax.random.fold_in(jax.random.key(config.seed + 2), i + 1)
        yield name, jax.jit(draw)(fitted.params, key)


def along(
    model: protocol.Adversarial, params: protocol.Params, z: protocol.Array, cond: Any = None
) -> protocol.Array:
    """The images G(z) of z [n, num_latents], not in training; params: (params, state)."""
    params, state = params
    seen = () if cond is None else (cond,)
    return model.generator.apply(params["generator"], state["generator"], z, *seen, train=False)[0]


# ---------------------------------------------------------------------------------------- training
def fit(config: Any, name: str, data: Any, features: Callable) -> tuple:
    """The model `name` and what was fitted: the step of least Fréchet distance on validation."""
    given = {"name": name, "shape": data.shape, "num_classes": data.num_classes}
    recipe = learning.Recipe(build, {"config": config} | given)
    model, config = recipe.model(), of_model(config, name)
    sample = functools.partial(sampled, config, model, config.num_samples, data.num_classes)
    held_out = {split: data.rows[split][: config.num_samples] for split in ("valid", "test")}
    task = fitting.samples_task(
        sample,
        functools.partial(judge.by_features, features),
        held_out,
        monitor="frechet",
        minimise=True,
    )
    rows = data.rows["train"]
    rows = rows if model.cond_shape is None else (rows, data.labels["train"])
    size = min(config.batch_size * (config.critic_updates + 1), len(data.rows["train"]))
    size -= size % (config.critic_updates + 1)
    fitted = fitting.fit(
        config,
        name,
        game(config, name, model),
        task,
        datasets.batches(rows, size, seed=config.seed),
        num_steps=config.num_steps,
        eval_every=config.eval_every,
        recipe=recipe,
    )
    fitted.row["num_params"] = protocol.num_params(fitted.params[0])  # without the state
    return model, fitted


def main(config: Config) -> dict:
    check(config, "models")
    raw, data = pictures(config)
    judge.check_samples(config, {split: data.rows[split] for split in ("valid", "test")})
    seen = judge.inception(config) if config.inception else None  # its weights may be missing
    for name in config.models:  # one that is too large is told at once
        model = build(config, name, data.shape, data.num_classes)
        fitting.check_size(config, name, lambda key: model.init(key)[0])
    features, guess, error = judge.features_of(config, data)
    found = {name: fit(config, name, data, features) for name in config.models}
    results = {name: fitted.row for name, (_, fitted) in found.items()}
    inception, num = None, config.inception
    if seen is not None:
        made = many(config, data, found, num)
        inception = judge.by_inception(config, seen, data.rows["test"][:num], made)
    if processes.first():
        draw(config, raw, data, found, guess)
    held_out, train = (data.rows[split][: config.num_samples] for split in ("test", "train"))
    told = {"features": "pixels" if error is None else "classifier", "classifier_error": error}
    return {
        "models": results,
        "floor": judge.by_features(features, train, held_out),
        "num_samples": config.num_samples,
        "num_held_out": len(held_out),
        "data": config.data,
        "inception": inception,
        **told,
    }


def show(found: dict) -> None:
    rows = [{"samples": "training rows", **_numbers(found["floor"])}]
    for name, r in found["models"].items():
        judged = {key.removeprefix("test_"): r[key] for key in r if key.startswith("test_")}
        row = {"samples": name, **_numbers(judged), "parameters": r["num_params"]}
        steps = f"{r['best_step']} of {r['num_steps']}"
        rows.append(row | {"step": steps, "training s": round(r["train_seconds"])})
    runs.table(rows, list(rows[-1]))
    print(
        f"{found['num_samples']} samples against {found['num_held_out']} test images, by features "
        f"of {'the pixels' if found['features'] == 'pixels' else 'a classifier of this run'}. The "
        "distance is no FID; compare it within this run only."
    )
    for name, r in (found["inception"] or {}).items():
        print(f"By Inception, {name}: FID {r['fid']:.2f}, KID {r['kid']:.4f}.")


def _numbers(judged):
    return {name: f"{judged[name]:.3f}" for name in ("frechet", "precision", "recall")}


# ---------------------------------------------------------------------------------------- pictures
def draw(config: Config, raw: datasets.Dataset, data: Any, found: dict, guess: Any) -> None:
    """Saves samples, interpolations, arithmetic, truncation, curves and critic as .png files."""
    samples, between = {"training data": data.rows["train"][: 2 * COLUMNS]}, {}
    for i, (name, (model, fitted)) in enumerate(found.items()):
        key, other = jax.random.split(jax.random.fold_in(jax.random.key(config.seed + 1), i))
        make = functools.partial(shown, of_model(config, name), model, data.num_classes)
        params, made = jax.jit(make)(fitted.params, key)
        samples[name], between[name], *truncated = np.split(
            np.asarray(made), [2 * COLUMNS, 4 * COLUMNS]
        )
        if name == "biggan":
            rows = np.split(truncated[0], len(TRUNCATIONS))
            names = [f"truncation {psi:g}" for psi in TRUNCATIONS]
            save(config, raw, "truncation", dict(zip(names, rows)), COLUMNS)
        if name == "dcgan" and guess is not None and data.num_classes == 10:
            save(config, raw, "arithmetic", arithmetic(model, params, other, guess), 10)
    save(config, raw, "samples", samples, COLUMNS)
    save(config, raw, "interpolations", between, COLUMNS)
    curves = {name: fitted.curves["valid_frechet"] for name, (_, fitted) in found.items()}
    figure = plots.curves(curves, xlabel="step", ylabel="Fréchet distance, validation", logy=True)
    plots.save(figure, config.directory / "curves.png")
    losses = {}
    for name, (_, fitted) in found.items():
        rows = [row for row in fitted.history if "critic/loss" in row]
        losses[name] = [row["step"] for row in rows], [row["critic/loss"] for row in rows]
    figure = plots.curves(losses, xlabel="step", ylabel="loss of the critic")
    plots.save(figure, config.directory / "critic.png")


def save(config: Any, raw: Any, file: str, groups: dict, columns: int) -> None:
    """Saves a picture of images in [-1, 1], as levels, whose range the grid knows."""
    rows = {name: (np.asarray(x) + 1) / 2 * (raw.num_levels - 1) for name, x in groups.items()}
    plots.save(sets.grid(raw, rows, columns=columns), config.directory / f"{file}.png")


def shown(
    config: Config,
    model: protocol.Adversarial,
    num_classes: int,
    params: protocol.Params,
    key: protocol.Key,
) -> tuple:
    """(settled parameters, images) for the pictures.

    The images are samples; then those along arcs between two pairs of z, each of one class; then,
    for a BigGAN, the same z of every class at all TRUNCATIONS.
    """
    settle_key, z_key, ends_key, narrow_key = jax.random.split(key, 4)
    params = settled(config, model, params, settle_key, num_classes)
    prior = model.prior.dist({})
    ends = prior.sample(seed=ends_key, sample_shape=(2, 2))  # [pair, end, n]
    z = [prior.sample(seed=z_key, sample_shape=2 * COLUMNS), *(arc(*pair) for pair in ends)]
    if model.cond_shape is None:
        return params, along(model, params, jnp.concatenate(z))
    for psi in TRUNCATIONS:
        narrow = gans.truncated(model, psi).prior.dist({})
        z += [narrow.sample(seed=jax.random.clone(narrow_key), sample_shape=COLUMNS)]
    cond = [jnp.arange(2 * COLUMNS), jnp.repeat(jnp.arange(2), COLUMNS)]
    cond += [jnp.arange(COLUMNS)] * len(TRUNCATIONS)
    return params, along(model, params, jnp.concatenate(z), jnp.concatenate(cond) % num_classes)


def arc(one: protocol.Array, other: protocol.Array) -> protocol.Array:
    """[COLUMNS, n]: points from one z to the other at equal angles, on a great circle.

    Samples of a Gaussian in many dimensions have almost the same norm; points on the straight line
    between two of them would be shorter than any that the generator has seen.
    """
    steps = jnp.linspace(0, 1, COLUMNS)[:, None]
    cosine = jnp.vdot(one, other) / jnp.linalg.norm(one) / jnp.linalg.norm(other)
    angle = jnp.arccos(jnp.clip(cosine, -1, 1))
    return (jnp.sin((1 - steps) * angle) * one + jnp.sin(steps * angle) * other) / jnp.sin(angle)


def arithmetic(
    model: protocol.Adversarial,
    params: protocol.Params,
    key: protocol.Key,
    guess: Any,
    num: int = 10,
    most: int = 2000,
) -> dict:
    """Images of the mean z of each of DIGITS, and of the first minus the second plus the third.

    The z of a digit are those whose samples the classifier takes for it; each of the `num` columns
    uses a disjoint set of them. All means are scaled to the norm √n of samples.
    """
    z = model.prior.dist({}).sample(seed=key, sample_shape=most)
    images = jax.jit(functools.partial(along, model))
    taken = guess(np.asarray(images(params, z)))
    each = [z[taken == digit] for digit in DIGITS]
    if min(map(len, each)) < num:
        each = [z] * len(DIGITS)  # the samples lack a digit
    size = max(min(map(len, each)) // num, 1)
    means = [one[: num * size].reshape(num, size, -1).mean(1) for one in each]
    means = [m / jnp.linalg.norm(m, axis=-1, keepdims=True) * math.sqrt(m.shape[-1]) for m in means]
    a, b, c = means
    result = a - b + c
    result = result / jnp.linalg.norm(result, axis=-1, keepdims=True) * math.sqrt(z.shape[-1])
    names = [f"z of a {digit}" for digit in DIGITS] + [f"{DIGITS[0]} - {DIGITS[1]} + {DIGITS[2]}"]
    return {n: images(params, m) for n, m in zip(names, (a, b, c, result))}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=15)
