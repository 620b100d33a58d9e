"""PixelCNN, Gated PixelCNN, PixelCNN++ and PixelSNAIL: images pixel by pixel, in exact nats.

    python -m experiments.autoregressive.images

trains the first three by maximum likelihood on the 8x8 digits: about five minutes on one CPU core.
Expect 1.83, 1.81 and 1.75 bits/dim (standard error of the test set 0.015), where the best MADE has
1.88 (`experiments.autoregressive.digits`). PixelCNN++ overfits these 1297 images after 400 steps;
the step that is best on the validation split is kept. It leaves samples, completions of test images
whose upper half is given, and receptive.png: how much four pixels (white) depend on the others
at random weights (brighter is more), and in orange the preceding pixels on which they do not
depend. That is the blind spot of PixelCNN; the others have none. This picture alone takes a minute:

    python -m experiments.autoregressive.images --quick --models pixelcnn gated --num-layers 6

    python -m experiments.autoregressive.images --data binarized_mnist --data-dir FOLDER \\
        --models gated --hidden 16 --num-layers 6 --num-steps 1500 --eval-every 500 \\
        --batch-size 32 --weight-decay 0.01

is one epoch of bits, about six minutes of one CPU core: expect -91.9 nats (PixelCNN as published,
-81.3), from a net that sees 8 rows up. With an accelerator, near the size of the paper (not run):

    python -m experiments.autoregressive.images --data cifar10 --data-dir FOLDER \\
        --models pixelcnn++ --num-components 10 --hidden 160 --num-layers 15 --num-steps 200000 \\
        --eval-every 5000 --learning-rate 4e-4 --weight-decay 0.01 --ema-decay 0.9995

--class-conditional gives the class to every layer. --models image-gpt --hidden 64 reads the digits
as sequences of 64 pixels: 1.86 bits/dim, in about three minutes of a core. Larger pictures train
faster with --positions rotary --rows-seen 2.
"""

import dataclasses
import functools
from typing import Literal

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
    runs,
)
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.options import Data, Training, check

ModelName = Literal["pixelcnn", "gated", "pixelcnn++", "pixelsnail", "image-gpt"]


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    models: tuple[ModelName, ...] = ("pixelcnn", "gated", "pixelcnn++")
    """which nets to train"""
    class_conditional: bool = False
    """p(x | class): every layer gets the one-hot class; pictures then have one class per column"""
    conditional: Literal["mixture", "categorical"] = "mixture"
    """p(x_i | x_<i) of levels: discretised logistics, coupled over colours, or a softmax; bits are
    Bernoulli"""
    num_components: int = 5
    """components of a mixture of logistics"""
    hidden: int = 32
    """channels of each layer"""
    num_layers: int | None = None
    """blocks (of each half in pixelcnn++); the default depends on the model"""
    positions: Literal["learned", "rotary"] = "learned"
    """positions in image-gpt: a learned vector for each, or rotary by rows and columns, which knows
    neighbours from the start (then --hidden is a multiple of 16, for colour of 24)"""
    rows_seen: int | None = None
    """rows above that each layer of image-gpt sees; by default all. Few cost less"""
    num_steps: int = 600
    batch_size: int = 64
    learning_rate: float = 3e-3
    """the learning rate of AdamW after a warm-up of 1/20 of the steps; decays to 0 by a cosine"""
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


def build(config, name, shape, conditional, num_classes=0):
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


def conditional_of(config, num_levels):
    if num_levels == 2:
        return likelihoods.bernoulli()
    if config.conditional == "categorical":
        return likelihoods.categorical(num_levels, encoding=nets.scaled(num_levels))
    return likelihoods.discretized_logistic(num_levels, num_components=config.num_components)


@runs.builder
def density(config: Config, name, shape, num_levels, num_classes):
    return build(config, name, shape, conditional_of(config, num_levels), num_classes)


def of_columns(config, num_classes):
    """The classes of two rows of pictures, 0, 1, ... from left to right."""
    return np.tile(np.arange(config.num_shown) % num_classes, 2)


def shown(config, images, labels, num_classes):
    """Which test images are shown, in two rows: at random, or of the classes of the columns.

    A class with too few of them shows one again, a class with none one of another class.
    """
    order = np.random.default_rng(config.seed).permutation(len(images))
    if not num_classes:
        return order[: 2 * config.num_shown]
    members = [order[labels[order] == c] for c in range(num_classes)]
    members = [own if len(own) else order for own in members]
    classes = of_columns(config, num_classes)
    return [members[c][(classes[:j] == c).sum() % len(members[c])] for j, c in enumerate(classes)]


def drawn(config, model, params, key, test, num_classes):
    """Two rows of samples, of the classes of the columns if there are any; one of completions."""
    x, *cond = (part[: config.num_shown] for part in test)
    given = np.zeros(x.shape[1:], bool)
    given[: x.shape[1] // 2] = True
    classes, num = (), 2 * config.num_shown
    if num_classes:
        classes, num = (sets.one_hot(of_columns(config, num_classes), num_classes),), ()

    @jax.jit
    def draw(params, key):
        sample_key, complete_key = jax.random.split(key)
        samples = model.dist(params, *classes).sample(seed=sample_key, sample_shape=num)
        return samples, model.dist(params, *cond).complete(x, given, seed=complete_key)

    return draw(params, key)


def fields(config, name, shape):
    """What some pixels see at random weights, [pixels, H, W]: 0 is not seen, 1 the pixel itself.

    The mean of |∂f_i/∂x| over random images, on a logarithmic scale, of the same net of numbers.
    """
    height, width, _ = shape
    model = build(config, name, shape, likelihoods.gaussian())
    places = [
        (height - 1, 0),
        (3 * height // 4, width // 4),
        (height // 2, width // 2),
        (height // 2, width - 1),
    ]

    # Called four times: half the time to compile is worth slower calls.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def slopes(key, row, column):
        init_key, noise_key, x_key = jax.random.split(key, 3)
        params, fill = ravel_pytree(model.init(init_key))
        params = fill(params + 0.05 * jax.random.normal(noise_key, params.shape))
        score = lambda x: model.dist(params).conditionals(x).mean()[row, column].sum()
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


def coloured(seen):
    """Fields [pixels, H, W] in colour: orange is what is made before the pixel and not seen."""
    picture = np.repeat(seen[..., None], 3, -1)
    for field, own in zip(seen, picture):
        earlier = np.arange(field.size).reshape(field.shape) < field.argmax()
        own[earlier & (field == 0)] = (0.835, 0.369, 0.0)
    return picture


def draw(config, shape, num_levels, test, pictures, num_classes):
    """samples.png, completions.png and receptive.png."""
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
        plots.save(figure, config.workdir / f"{file}.png")
    seen = {name: coloured(fields(config, name, shape)) for name in pictures}
    figure = plots.sample_grid(
        np.concatenate(list(seen.values())), columns=4, row_names=list(seen), vmin=0, vmax=1
    )
    plots.save(figure, config.workdir / "receptive.png")


def show(found):
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
    labels = data.labels["test"] if num_classes else None
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
        options = {"warm_up": config.num_steps // 20, "eval_batch": 200, "recipe": recipes[name]}
        fitted = fitting.maximum_likelihood(config, name, model, data.rows, **options)
        results[name] = fitted.row
        pictures[name] = drawn(config, model, fitted.params, key, test, num_classes)
    if processes.first():
        draw(config, data.shape, data.num_levels, test, pictures, num_classes)
    return {"models": results, "data": config.data, "published": data.published}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=5)
