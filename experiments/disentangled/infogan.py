"""InfoGAN: categories that come to be the digits, without a label in training.

    python -m experiments.disentangled.infogan

plays an InfoGAN of the 8x8 digits with a category of 10 and two numbers, and beside it the same GAN
whose codes nobody reads (weights of 0): each in about five minutes on two CPU cores.

    categorical   E log Q(c | G(z, c)) + H(c) of samples in nats, which is at most log 10 = 2.303
    error         test images whose category, the most likely by Q(c | x), is not that of their
                  digit; categories are paired with digits one to one by the training labels, which
                  nothing else sees. Guessing is 0.9
    majority      the same where each category is the digit that most training rows in it are
    frechet       of samples to test rows, by means of pixels to 8x8

It leaves codes.png, a row of samples for each category, the same noise in each column;
numbers.png, where one number goes from -2 to 2 along a row (it was drawn within (-1, 1)), a row
for each of five categories; and curves.png, the error and the bound along the training.
--data takes any images with levels: on mnist the error is 5 % in the paper.

Chen et al. (2016), "InfoGAN", section 7.1.
"""

import dataclasses
import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import checks, data, disentangled, learning, metrics, nets, objectives, plots, runs
from dgm_jax.runs import processes
from dgm_jax.runs.directory import defining
from experiments import fitting, sets
from experiments.gans import images
from experiments.gans import judge as gan_judge
from experiments.options import Data, check

COLUMNS, ROWS, REACH = 10, 5, 2.0  # of the pictures


@dataclasses.dataclass(frozen=True)
class Config(Data, runs.RunOptions):
    models: tuple[Literal["infogan", "gan"], ...] = ("infogan", "gan")
    """which to train; a gan has the codes, and no gain from them"""
    num_steps: int = 6000
    """with one update of each player"""
    categories: int = 10
    """of the categorical code"""
    num_continuous: int = 2
    """numbers in the code"""
    num_noise: int = 62
    """numbers that mean nothing"""
    hidden: int = 32
    """channels of both nets at half of the image"""
    num_features: int = 256
    """that critic and Q share"""
    weight: float = 1.0
    """λ of the category"""
    continuous_weight: float = 0.1
    """λ of the numbers"""
    learning_rate: float = 1e-3
    """of the generator's Adam"""
    critic_rate: float = 2e-4
    """of the critic's, with Q"""
    beta1: float = 0.5
    """of both: how much of the last gradients a step has"""
    batch_size: int = 64
    """examples of an update"""
    ema_decay: float = 0.999
    """of the averaged generator, which makes the samples"""
    eval_every: int = 500
    """steps between two evaluations"""
    num_samples: int = 1000
    """samples that are judged"""


QUICK = {"num_steps": 4, "eval_every": 2, "hidden": 4, "num_features": 8, "num_samples": 128}
QUICK |= {"num_noise": 4}


@runs.builder
def build(config: Config, shape: tuple[int, int, int]) -> "disentangled.InfoGAN":
    """The model, of images [H, W, C] in (-1, 1)."""
    codes = disentangled.Codes(config.num_noise, (config.categories,), config.num_continuous)
    return disentangled.infogan(
        nets.strided_generator(codes.size, shape, hidden=config.hidden),
        nets.strided_features(shape, config.num_features, hidden=config.hidden),
        num_features=config.num_features,
        **codes._asdict(),
    )


def game(config, name, model):
    """The `Algorithm` of a model."""
    gains = {"weight": config.weight, "continuous_weight": config.continuous_weight}
    gains = gains if name == "infogan" else dict.fromkeys(gains, 0.0)

    def turn(loss, params, key, x, *, state):
        return loss(model, objectives.non_saturating(), params, key, x, state=state, **gains)

    adam = functools.partial(optax.adam, b1=config.beta1, b2=0.999)
    players = {
        "critic": learning.Player(
            functools.partial(turn, disentangled.infogan_critic_loss), adam(config.critic_rate)
        ),
        "generator": learning.Player(
            functools.partial(turn, disentangled.infogan_generator_loss),
            adam(config.learning_rate),
            ema_decay=config.ema_decay,
        ),
    }
    return learning.alternate(
        players,
        lambda key: model.init(key)[0],
        init_state=lambda key, params: model.init(key)[1],
    )


# ------------------------------------------------------------------------- categories and digits
def paired(categories, labels, num: int) -> np.ndarray:
    """[num]: for each category a class of its own, so that most rows are in the one of theirs."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((num, max(num, labels.max() + 1)), int)
    np.add.at(counts, (categories, labels), 1)
    return linear_sum_assignment(counts, maximize=True)[1]


def majority(categories, labels, num: int) -> np.ndarray:
    """[num]: for each category the class that most of its rows have."""
    counts = np.zeros((num, labels.max() + 1), int)
    np.add.at(counts, (categories, labels), 1)
    return counts.argmax(1)


def errors(given, seen, num):
    """{"error", "majority"} of the rows `seen`, (categories, labels), by the pairs of `given`."""
    found = {}
    for name, pair in (("error", paired), ("majority", majority)):
        found[name] = float((pair(*given, num)[seen[0]] != seen[1]).mean())
    return found


def judge(config, model, pictures, params, key) -> dict:
    """What an evaluation tells."""
    params, state = params
    guess = functools.partial(_guess(model), (params, state))
    found = {}
    if pictures.labels is not None:
        by_split = {
            split: (guess(pictures.rows[split]), pictures.labels[split])
            for split in ("train", "test")
        }
        found |= errors(by_split["train"], by_split["test"], config.categories)
    samples, told = _drawn(config, model)((params, state), key)
    features = gan_judge.pixels(pictures.rows["test"][: config.num_samples])
    frechet = metrics.frechet_distance(features, gan_judge.pixels(np.asarray(samples)))
    return found | {"categorical": float(told), "frechet": float(frechet.distance)}


@functools.cache
def _guess(model):
    """(params, x [n, ...]) -> the likeliest category of each, [n]."""

    def likeliest(params, x):
        return disentangled.infer_codes(model, *params, x).log_probs[0].argmax(-1)

    return gan_judge.in_parts(likeliest)


@functools.cache
def _drawn(config, model):
    """(params, key) -> samples of the averaged generator, and what Q tells of their categories."""

    def draw(params, key):
        params, state = params
        key, settle_key, z_key = jax.random.split(key, 3)
        _, state = images.settled(config, model.adversarial, (params, state), settle_key, 0)
        prior = model.adversarial.prior.dist({})
        z = prior.sample(seed=z_key, sample_shape=config.num_samples)
        x = images.along(model.adversarial, (params, state), z)
        q = disentangled.infer_codes(model, params, state, x)
        return x, disentangled.information(model.codes, q, z)[0]

    return jax.jit(draw)


# ---------------------------------------------------------------------------------------- training
class Fitted(NamedTuple):
    params: tuple  # (params, state) at the end
    row: dict  # of results.json
    history: list


def fit(config, name, pictures):
    """The game of a name to its end: nothing without labels says which step is best."""
    recipe = learning.Recipe(build, {"config": config, "shape": pictures.shape})
    model = recipe.model()
    judged = functools.partial(judge, config, model, pictures)
    size = min(2 * config.batch_size, len(pictures.rows["train"]) // 2 * 2)
    train_key, key = jax.random.split(jax.random.key(config.seed))
    trained = learning.train(
        game(config, name, model),
        train_key,
        data.batches(pictures.rows["train"], size, seed=config.seed),
        num_steps=config.num_steps,
        evaluate=lambda params, _: judged(params, jax.random.clone(key)),
        eval_every=config.eval_every,
        identity={
            "options": defining(config),
            "game": name,
            "data/train": learning.fingerprint(pictures.rows["train"]),
        },
        workdir=config.workdir / name,
        progress=config.progress,
        description=name,
        recipe=recipe,
    )
    row = judged(trained.params, jax.random.clone(key))
    row |= {"num_params": fitting.num_params(trained.params[0]), "num_steps": config.num_steps}
    row |= {"train_seconds": trained.seconds}
    return model, Fitted(trained.params, row, trained.history)


def main(config: Config) -> dict:
    check(config, "models")
    if config.categories < 2:
        raise checks.InputError(f"categories must be at least 2; got {config.categories}.")
    raw, pictures = images.pictures(config)
    model = build(config, pictures.shape)
    fitting.check_size(config, "infogan", lambda key: model.init(key)[0])
    found = {name: fit(config, name, pictures) for name in config.models}
    if processes.first():
        draw(config, raw, found)
    most = float(np.log(config.categories))
    rows = {name: fitted.row for name, (_, fitted) in found.items()}
    return {"models": rows, "most": most, "data": config.data}


def show(found):
    rows = []
    for name, r in found["models"].items():
        told = {key: f"{100 * r[key]:.1f} %" for key in ("error", "majority") if key in r}
        row = {"model": name, "I >=, nats": f"{r['categorical']:.3f}", **told}
        row |= {"Fréchet, pixels": f"{r['frechet']:.3f}", "steps": r["num_steps"]}
        rows.append(row | {"parameters": r["num_params"], "seconds": round(r["train_seconds"])})
    runs.table(rows, list(rows[0]))
    print(f"A category can tell {found['most']:.3f} nats.")


# ---------------------------------------------------------------------------------------- pictures
def draw(config, raw, found):
    """codes, numbers and curves, each a .png."""
    name, (model, fitted) = next(iter(found.items()))
    settle_key, z_key = jax.random.split(jax.random.key(config.seed + 1))
    params = jax.jit(functools.partial(images.settled, config, model.adversarial, num_classes=0))(
        fitted.params, settle_key
    )
    noise = jax.random.normal(z_key, (COLUMNS, config.num_noise))
    paint = functools.partial(images.along, model.adversarial, params)
    every = {
        f"c = {c}": paint(latents(config, noise, c, jnp.zeros(config.num_continuous)))
        for c in range(config.categories)
    }
    images.save(config, raw, "codes", every, COLUMNS)
    moved = {}
    for j in range(config.num_continuous):
        for c in range(min(ROWS, config.categories)):
            at = jnp.linspace(-REACH, REACH, COLUMNS)
            numbers = jnp.zeros((COLUMNS, config.num_continuous)).at[:, j].set(at)
            one = jnp.broadcast_to(noise[0], noise.shape)
            moved[f"number {j + 1}, c = {c}"] = paint(latents(config, one, c, numbers))
    if moved:
        images.save(config, raw, "numbers", moved, COLUMNS)
    curves = {}
    for name, (_, fitted) in found.items():
        for what in ("error", "categorical"):
            rows = [row for row in fitted.history if what in row]
            if rows:
                curves[f"{name}: {what}"] = [r["step"] for r in rows], [r[what] for r in rows]
    figure = plots.curves(curves, xlabel="step", ylabel="share of test rows, or nats")
    plots.save(figure, config.workdir / "curves.png")


def latents(config, noise, category, numbers):
    """z [n, size] of noise [n, num_noise], one category for all, and numbers [n, m] or [m]."""
    one_hot = sets.one_hot(np.full(len(noise), category), config.categories)
    numbers = jnp.broadcast_to(numbers, (len(noise), config.num_continuous))
    return jnp.concatenate([noise, one_hot, numbers], -1)


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=5)
