"""InfoGAN: a categorical code that comes to mean the digits, without labels in training.

    python -m experiments.disentangled.infogan

trains an InfoGAN on the 8x8 digits, whose code has a category out of 10 and two real numbers, and
for comparison the same GAN without the information term (weights of 0). Each takes about five
minutes on two CPU cores. The table shows

    categorical   E log Q(c | G(z, c)) + H(c) of samples in nats, a lower bound of the information
                  that a sample has about its category; at most log 10 = 2.303
    error         the share of test images whose most likely category by Q(c | x) is not that of
                  their digit. Categories are matched to digits one to one by the training labels,
                  which are used nowhere else. Guessing gives 0.9
    majority      the same if each category stands for the most frequent digit in it
    frechet       the Fréchet distance of samples to test rows, by pixels averaged to 8x8

codes.png has a row of samples for each category, with the same noise in each column. In numbers.png
one of the real numbers goes from -2 to 2 along a row (in training it was drawn from (-1, 1)), with
a row for each of five categories. curves.png shows the error and the bound during training. --data
takes any images with levels: for mnist the paper reports an error of 5 %.

Chen et al. (2016), "InfoGAN", section 7.1.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from typing import TYPE_CHECKING, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import (
    checks,
    data,
    disentangled,
    learning,
    metrics,
    nets,
    objectives,
    plots,
    protocol,
    runs,
)
from dgm_jax.runs import processes
from dgm_jax.runs.directory import defining
from experiments import fitting, sets
from experiments.gans import images
from experiments.gans import judge as gan_judge
from experiments.options import Data, check

if TYPE_CHECKING:
    from dgm_jax.protocol import Algorithm, Array, Key, Params

COLUMNS, ROWS, REACH = 10, 5, 2.0  # of the pictures


@dataclasses.dataclass(frozen=True)
class Config(Data, runs.RunOptions):
    models: tuple[Literal["infogan", "gan"], ...] = ("infogan", "gan")
    """which models to train; gan has the same codes, without the information term"""
    num_steps: int = 6000
    """training steps, each with one update of each player"""
    categories: int = 10
    """the number of categories of the code"""
    num_continuous: int = 2
    """real numbers in the code; 0: categories alone"""
    num_noise: int = 62
    """entries of the noise z beside the code"""
    hidden: int = 32
    """channels of both nets at half of the image's size"""
    num_features: int = 256
    """the number of features that the critic and Q share"""
    weight: float = 1.0
    """the weight λ of the information about the category"""
    continuous_weight: float = 0.1
    """the weight λ of the information about the real numbers"""
    learning_rate: float = 1e-3
    """the learning rate of the generator's Adam"""
    critic_rate: float = 2e-4
    """the learning rate of the Adam of the critic and Q"""
    beta1: float = 0.5
    """β_1 of both Adams, the decay of the moving average of gradients"""
    batch_size: int = 64
    """examples per update"""
    ema_decay: float = 0.999
    """the decay of the moving average of the generator's parameters, which makes the samples"""
    eval_every: int = 500
    """steps between two evaluations"""
    num_samples: int = 1000
    """samples that are judged"""


QUICK = {"num_steps": 4, "eval_every": 2, "hidden": 4, "num_features": 8, "num_samples": 128}
QUICK |= {"num_noise": 4}


@runs.builder
def build(config: Config, shape: tuple[int, int, int]) -> disentangled.InfoGAN:
    """The model of images [H, W, C] in (-1, 1)."""
    codes = disentangled.Codes(config.num_noise, (config.categories,), config.num_continuous)
    return disentangled.infogan(
        nets.strided_generator(codes.size, shape, hidden=config.hidden),
        nets.strided_features(shape, config.num_features, hidden=config.hidden),
        num_features=config.num_features,
        **codes._asdict(),
    )


def game(config: Config, name: str, model: disentangled.InfoGAN) -> Algorithm:
    """Critic and generator in turn, by Adam; both information terms have the weight 0 for gan."""
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
def paired(categories: np.ndarray, labels: np.ndarray, num: int) -> np.ndarray:
    """The class of each category, [num], each class once, such that most rows agree."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((num, max(num, labels.max() + 1)), int)
    np.add.at(counts, (categories, labels), 1)
    return linear_sum_assignment(counts, maximize=True)[1]


def majority(categories: np.ndarray, labels: np.ndarray, num: int) -> np.ndarray:
    """The most frequent class of the rows of each category, [num]."""
    counts = np.zeros((num, labels.max() + 1), int)
    np.add.at(counts, (categories, labels), 1)
    return counts.argmax(1)


def errors(
    given: tuple[np.ndarray, np.ndarray], seen: tuple[np.ndarray, np.ndarray], num: int
) -> dict[str, float]:
    """{"error", "majority"} of the rows `seen`; categories are matched to classes on `given`.

    Both are pairs (categories [n], labels [n]).
    """
    found = {}
    for name, pair in (("error", paired), ("majority", majority)):
        found[name] = float((pair(*given, num)[seen[0]] != seen[1]).mean())
    return found


def judge(
    config: Config, model: disentangled.InfoGAN, pictures: images.Pictures, params: Params, key: Key
) -> dict:
    """{"categorical", "frechet"} of samples; with labels {"error", "majority"} of test rows."""
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
    """A function (params, x [n, ...]) -> the most likely category of each image, [n]."""

    def likeliest(params, x):
        return disentangled.infer_codes(model, *params, x).log_probs[0].argmax(-1)

    return gan_judge.in_parts(likeliest)


@functools.cache
def _drawn(config, model):
    """A function (params, key) -> samples of the averaged generator, and Q's bound for them."""

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
    """The result of training one model to its last step."""

    params: tuple  # (params, state) at the end
    row: dict  # of results.json
    history: list


def fit(
    config: Config, name: str, pictures: images.Pictures
) -> tuple[disentangled.InfoGAN, Fitted]:
    """Trains a model to its last step: without labels nothing says which step is the best."""
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
        workdir=config.directory / name,
        progress=config.progress,
        description=name,
        recipe=recipe,
    )
    row = judged(trained.params, jax.random.clone(key))
    row |= {"num_params": protocol.num_params(trained.params[0]), "num_steps": config.num_steps}
    row |= {"train_seconds": trained.seconds}
    return model, Fitted(trained.params, row, trained.history)


def main(config: Config) -> dict:
    check(config, "models")
    checks.positive_int(config.num_samples, "num_samples", least=2)  # a distance needs two
    raw, pictures = images.pictures(config)
    model = build(config, pictures.shape)
    fitting.check_size(config, "infogan", lambda key: model.init(key)[0])
    found = {name: fit(config, name, pictures) for name in config.models}
    if processes.first():
        draw(config, raw, found)
    most = float(np.log(config.categories))
    rows = {name: fitted.row for name, (_, fitted) in found.items()}
    return {"models": rows, "most": most, "data": config.data}


def show(found: dict) -> None:
    rows = []
    for name, r in found["models"].items():
        told = {key: f"{100 * r[key]:.1f} %" for key in ("error", "majority") if key in r}
        row = {"model": name, "I >=, nats": f"{r['categorical']:.3f}", **told}
        row |= {"Fréchet, pixels": f"{r['frechet']:.3f}", "steps": r["num_steps"]}
        rows.append(row | {"parameters": r["num_params"], "seconds": round(r["train_seconds"])})
    runs.table(rows, list(rows[0]))
    print(f"A category can tell {found['most']:.3f} nats.")


# ---------------------------------------------------------------------------------------- pictures
def draw(config: Config, raw: data.Dataset, found: dict) -> None:
    """Saves codes.png, numbers.png and curves.png."""
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
    plots.save(figure, config.directory / "curves.png")


def latents(config: Config, noise: Array, category: int, numbers: Array) -> Array:
    """z [n, size]: noise [n, num_noise], one category for all, and real numbers [n, m] or [m]."""
    one_hot = sets.one_hot(np.full(len(noise), category), config.categories)
    numbers = jnp.broadcast_to(numbers, (len(noise), config.num_continuous))
    return jnp.concatenate([noise, one_hot, numbers], -1)


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=10)
