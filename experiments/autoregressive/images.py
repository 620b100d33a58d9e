r"""PixelCNN, Gated PixelCNN, PixelCNN++ and PixelSNAIL: images pixel by pixel, in exact nats.

    python -m experiments.autoregressive.images

trains the first three by maximum likelihood on the 8x8 digits, in about five minutes on one CPU
core. Expect 1.83, 1.81 and 1.75 bits per dimension (bits/dim; standard error of the test set
0.015), where the best MADE of `experiments.autoregressive.digits` has 1.88. PixelCNN++ overfits
these 1297 images after 400 steps; the step that is best on the validation split is kept.

samples.png shows test images and samples, and completions.png test images whose upper half is
given. receptive.png shows on which pixels the prediction of four pixels depends, for random
weights. Pixels that come earlier in the order but have no influence are the blind spot of PixelCNN;
the other nets have none. For this picture alone, which takes a minute:

    python -m experiments.autoregressive.images --quick --models pixelcnn gated --num-layers 6

On bits, one epoch of binarized MNIST

    python -m experiments.autoregressive.images --data binarized_mnist --data-dir FOLDER \
        --models gated --hidden 16 --num-layers 6 --num-steps 1500 --eval-every 500 \
        --batch-size 32 --weight-decay 0.01

takes about six minutes of one CPU core: expect -91.9 nats (published for PixelCNN: -81.3), from a
net that sees 8 rows up. With an accelerator, near the size of the paper (not run):

    python -m experiments.autoregressive.images --data cifar10 --data-dir FOLDER \
        --models pixelcnn++ --num-components 10 --hidden 160 --num-layers 15 --num-steps 200000 \
        --eval-every 5000 --learning-rate 4e-4 --weight-decay 0.01 --ema-decay 0.9995

With --class-conditional every layer gets the class. --models image-gpt --hidden 64 reads the digits
as sequences of 64 pixels, by a transformer: expect 1.86 bits/dim in about three minutes of a core.
On larger pictures it trains faster with --positions rotary --rows-seen 2.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dgm_jax import autoregressive as ar
from dgm_jax import (
    checks,
    learning,
    likelihoods,
    nets,
    plots,
    protocol,
    runs,
)
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.options import Data, Training, check

if TYPE_CHECKING:
    from dgm_jax.protocol import Array, Density, Key, Params

ModelName = Literal["pixelcnn", "gated", "pixelcnn++", "pixelsnail", "image-gpt"]


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    models: tuple[ModelName, ...] = ("pixelcnn", "gated", "pixelcnn++")
    """which nets to train"""
    class_conditional: bool = False
    """learn p(x | class): every layer gets the one-hot class; each column of the pictures is one
    class"""
    conditional: Literal["mixture", "categorical"] = "mixture"
    """the form of p(x_i | x_<i) on levels: a discretised mixture of logistics, in which a colour
    depends on the ones before it, or a softmax. Bits are Bernoulli"""
    num_components: int = 5
    """components of the mixture of logistics"""
    hidden: int = 32
    """channels of each layer"""
    num_layers: int | None = None
    """the number of blocks (in pixelcnn++ of each half); the default depends on the model"""
    positions: Literal["learned", "rotary"] = "learned"
    """how image-gpt is told positions: by a learned vector for each, or by rotary embeddings of row
    and column, which make neighbours alike from the start (then --hidden must be a multiple of
    16, of 24 for colour)"""
    rows_seen: int | None = None
    """the number of rows above a pixel that each layer of image-gpt sees; by default all. A few
    rows cost less"""
    num_steps: int = 600
    batch_size: int = 64
    learning_rate: float = 3e-3
    """the learning rate of AdamW after a warm-up of 1/20 of the steps; then it decays to 0 by a
    cosine"""
    weight_decay: float = 1.0
    ema_decay: float = 0.99
    eval_every: int = 100
    num_shown: int = 16
    """images per row of the pictures"""


QUICK = {"num_steps": 20, "eval_every": 10, "hidden": 16, "num_layers": 1, "num_shown": 8}

MAKE = {  # names of constructors
    "pixelcnn": "pixelcnn",
    "gated": "gated_pixelcnn",
    "pixelcnn++": "pixelcnn_pp",
    "pixelsnail": "pixelsnail",
    "image-gpt": "image_gpt",
}


def build(
    config: Config,
    name: str,
    shape: tuple[int, int, int],
    conditional: likelihoods.Conditional,
    num_classes: int = 0,
) -> Density:
    """p(x) by the net `name`, or p(x | class), with the conditional p(x_i | x_<i) that is given.

    What the config leaves open is the default of the constructor in MAKE; image-gpt has four layers
    of four heads.
    """
    options = {}
    if name == "image-gpt":
        options = {"num_layers": 4, "num_heads": 4, "positions": config.positions}
        if config.rows_seen is not None:
            checks.positive_int(config.rows_seen, "rows_seen")
            options["window"] = config.rows_seen * shape[1] * shape[2]
    if config.num_layers is not None:
        options["num_layers"] = config.num_layers
    return getattr(ar, MAKE[name])(
        shape,
        conditional,
        cond_shape=(num_classes,) if num_classes else None,
        hidden=config.hidden,
        **options,
    )


def conditional_of(config: Config, num_levels: int) -> likelihoods.Conditional:
    """p(x_i | x_<i) of levels: Bernoulli for two, else what config.conditional names."""
    if num_levels == 2:
        return likelihoods.bernoulli()
    if config.conditional == "categorical":
        return likelihoods.categorical(num_levels, encoding=nets.scaled(num_levels))
    return likelihoods.discretized_logistic(num_levels, num_components=config.num_components)


@runs.builder
def density(
    config: Config, name: str, shape: tuple[int, int, int], num_levels: int, num_classes: int
) -> protocol.Density:
    """The net `name` of images of levels; of each class, if num_classes is not 0."""
    return build(config, name, shape, conditional_of(config, num_levels), num_classes)


def of_columns(config: Config, num_classes: int) -> np.ndarray:
    """The class of each column of two rows of pictures, 0, 1, ... from left to right."""
    return np.tile(np.arange(config.num_shown) % num_classes, 2)


def shown(
    config: Config, images: np.ndarray, labels: Any, num_classes: int
) -> list[int] | np.ndarray:
    """The indices of the test images of two rows: random ones, or of the class of each column.

    If a class has too few images they are repeated; if it has none, random images take their place.
    """
    order = np.random.default_rng(config.seed).permutation(len(images))
    if not num_classes:
        return order[: 2 * config.num_shown]
    members = [order[labels[order] == c] for c in range(num_classes)]
    members = [own if len(own) else order for own in members]
    classes = of_columns(config, num_classes)
    return [members[c][(classes[:j] == c).sum() % len(members[c])] for j, c in enumerate(classes)]


def drawn(
    config: Config,
    model: Density,
    params: Params,
    key: Key,
    test: tuple[np.ndarray, ...],
    num_classes: int,
) -> tuple[Array, Array]:
    """Two rows of samples (of the class of each column, if there are any), one of completions."""
    x, *cond = (part[: config.num_shown] for part in test)
    given = np.zeros(x.shape[1:], bool)
    given[: x.shape[1] // 2] = True
    classes, num = (), 2 * config.num_shown
    if num_classes:
        classes, num = (sets.one_hot(of_columns(config, num_classes), num_classes),), ()

    @learning.over_devices
    def draw(params, key):
        sample_key, complete_key = jax.random.split(key)
        samples = model.dist(params, *classes).sample(seed=sample_key, sample_shape=num)
        return samples, model.dist(params, *cond).complete(x, given, seed=complete_key)  # ty: ignore[missing-attribute]

    return draw(params, key)


def fields(config: Config, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """The receptive fields of four pixels at random weights, [pixels, H, W].

    0 is a pixel without influence, 1 the pixel itself; in between is the mean of |∂f_i/∂x| over
    random images, on a logarithmic scale. The net is built for real numbers, so that it has
    derivatives.
    """
    height, width, _ = shape
    model = build(config, name, shape, likelihoods.gaussian())
    places = [
        (height - 1, 0),
        (3 * height // 4, width // 4),
        (height // 2, width // 2),
        (height // 2, width - 1),
    ]

    # Called only four times, so a faster compilation is worth more than faster calls.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def slopes(key, row, column):
        init_key, noise_key, x_key = jax.random.split(key, 3)
        params, fill = ravel_pytree(model.init(init_key))
        params = fill(params + 0.05 * jax.random.normal(noise_key, params.shape))
        score = lambda x: model.dist(params).conditionals(x).mean()[row, column].sum()  # ty: ignore[missing-attribute]
        x = jax.random.normal(x_key, (16, *shape))
        return jnp.abs(jax.vmap(jax.grad(score))(x)).mean(0).sum(-1)

    found = []
    for row, column in places:
        slope = np.asarray(slopes(jax.random.key(config.seed), row, column), np.float64)
        slope /= max(slope.max(), 1e-30)
        strength = np.log10(np.maximum(slope, 1e-6)) / 6  # from -1 to 0
        found.append(np.where(slope > 0, 0.75 + 0.5 * strength, 0))
        found[-1][row, column] = 1
    return np.stack(found)


def coloured(seen: np.ndarray) -> np.ndarray:
    """Fields [pixels, H, W] as colours; earlier pixels without influence are orange."""
    picture = np.repeat(seen[..., None], 3, -1)
    for field, own in zip(seen, picture):
        earlier = np.arange(field.size).reshape(field.shape) < field.argmax()
        own[earlier & (field == 0)] = (0.835, 0.369, 0.0)
    return picture


def draw(
    config: Config,
    shape: tuple[int, int, int],
    num_levels: int,
    test: tuple[np.ndarray, ...],
    pictures: dict[str, tuple],
    num_classes: int,
) -> None:
    """Saves samples.png, completions.png and receptive.png."""
    x = test[0]
    halves = np.where(np.arange(shape[0])[:, None, None] < shape[0] // 2, x, (num_levels - 1) / 2)
    samples, completions = {"test data": x}, {"test data": x[: config.num_shown]}
    completions["given"] = halves[: config.num_shown]
    for name, (sample, completed) in pictures.items():
        samples[name], completions[name] = sample, completed
    names = [] if not num_classes else of_columns(config, num_classes)[: config.num_shown]
    for file, rows in (("samples", samples), ("completions", completions)):
        images = np.concatenate(list(rows.values()))
        figure = plots.sample_grid(
            images[..., 0] if shape[2] == 1 else images,
            columns=config.num_shown,
            row_names=list(rows),
            column_names=[str(c) for c in names],
            vmin=0,
            vmax=num_levels - 1,
        )
        plots.save(figure, config.directory / f"{file}.png")
    seen = {name: coloured(fields(config, name, shape)) for name in pictures}
    figure = plots.sample_grid(
        np.concatenate(list(seen.values())),
        columns=4,
        row_names=list(seen),
        vmin=0,
        vmax=1,
        title="White: a pixel. Grey: what it sees. Orange: earlier, not seen",
    )
    plots.save(figure, config.directory / "receptive.png")


def show(found: dict) -> None:
    rows = []
    for name, r in found["models"].items():
        rows.append(
            {
                "model": name,
                "parameters": r["num_params"],
                "test nats": f"{r['test_nats']:.2f} ± {r['test_nats_stderr']:.2f}",
                "bits/dim": f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}",
                "best step": r["best_step"],
                "training s": round(r["train_seconds"]),
            }
        )
    runs.table(rows, list(rows[0]))
    print("Exact log-likelihoods of the test set, and its code length in bits per dimension.")
    fitting.tell(found["models"])


def main(config: Config) -> dict:
    check(config, "models")
    data = sets.images(config)
    num_classes = data.num_classes
    labels = data.labels["test"] if num_classes and data.labels is not None else None
    chosen = shown(config, data.rows["test"][0], labels, num_classes)
    test = tuple(part[chosen] for part in data.rows["test"])
    results, pictures = {}, {}
    # All are built before one is trained: a wrong option is told at once.
    given = {"shape": data.shape, "num_levels": data.num_levels, "num_classes": num_classes}
    recipes = {
        name: learning.Recipe(density, {"config": config, "name": name} | given)
        for name in config.models
    }
    models = {name: recipe.model() for name, recipe in recipes.items()}
    for name, model in models.items():
        fitting.check_size(config, name, model.init)
    keys = jax.random.split(jax.random.key(config.seed + 1), len(models))
    for (name, model), key in zip(models.items(), keys):
        options: dict[str, Any] = {
            "adamw": fitting.adamw_of(config, warmed=True),
            "eval_batch": 200,
            "recipe": recipes[name],
        }
        fitted = fitting.maximum_likelihood(config, name, model, data.rows, **options)
        results[name] = fitted.row
        pictures[name] = drawn(config, model, fitted.params, key, test, num_classes)
    if processes.first():
        draw(config, data.shape, data.num_levels, test, pictures, num_classes)
    return {"models": results, "data": config.data, "published": data.published}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=5)
