r"""DALL-E at the size of a lecture: names of classes become pictures, in two stages.

    python -m experiments.quantized.dalle

trains both stages on the 8x8 digits, on one CPU core in about five minutes; the data need no
download. Expect 1.94 bits per dimension (bits/dim), and nine of ten pictures near their name.

1. A discrete VAE turns each picture into 4x4 codes of 32 categories. It is trained with relaxed
draws of the codes, at a falling temperature, and with the authors' logit-Laplace likelihood.

2. The pictures are encoded once, by their most likely codes. A transformer learns sequences of the
letters of a name ("seven  ") and then the codes.

A name is then continued to a picture, by one pass of the transformer and one of the decoder. A
bound of log p(x | name) with hard codes is reported in bits/dim, with its two parts: the rate
KL(q(z | x) ‖ p(z | name)), and the distortion -E log p(x | z). caption_accuracy is the share of
generated pictures whose nearest training picture has the name that was asked for; nearest_accuracy
is the same for test pictures. The generated pictures are also judged as in experiments.gans.images,
by the features of a classifier that the run trains.

The pictures: reconstructions.png; samples.png, with a column for each name; codes.png, pictures
above the maps of their codes; usage.png, how often each code is used; curves.png and prior.png,
what is evaluated on the validation split in stage one and stage two. One line loads both stages:

    loaded = learning.load("runs/quantized/dalle/dalle")

Fashion-MNIST and MNIST have 28x28 pixels, and get 7x7 codes by two stages of convolutions:

    python -m experiments.quantized.dalle --data fashion_mnist --data-dir FOLDER --hidden 32 64 \
        --num-categories 128 --num-steps 4000 --prior-steps 4000 --prior-hidden 128

(about an hour of two cores; not run).
Ramesh et al. (2021), "Zero-shot text-to-image generation".
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import autoregressive as ar
from dgm_jax import checks, learning, likelihoods, objectives, plots, protocol, quantized, runs
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.options import Data, check
from experiments.quantized import stages

if TYPE_CHECKING:
    from dgm_jax.data import Dataset
    from dgm_jax.protocol import Array, Density, Key, LatentVariable, Params


@dataclasses.dataclass(frozen=True)
class Config(stages.Judged, stages.TwoStages, Data, runs.RunOptions):
    class_conditional: ClassVar[bool] = False
    num_categories: int = 32
    """categories of each code"""
    hidden: tuple[int, ...] = (48,)
    """channels of the encoder, for each halving of the picture; the decoder has the same in
    reverse"""
    num_blocks: int = 1
    """residual blocks for each halving or doubling"""
    dropout: float = 0.0
    """the dropout rate in the nets of stage one"""
    head: Literal["logit-laplace", "logistic"] = "logit-laplace"
    """the likelihood of a pixel"""
    beta: float = 1.0
    """the weight of KL(q ‖ uniform) in stage one; the authors have 6.6"""
    beta_steps: int = 500
    """the number of first steps in which this weight rises from 0"""
    least_temperature: float = 0.3
    """the temperature of relaxed draws falls from 1 to this in the first half of the steps"""
    num_steps: int = 1500
    learning_rate: float = 3e-3
    prior_hidden: int = 64
    """the width of the transformer"""
    prior_layers: int = 2
    """layers of the transformer"""
    prior_heads: int = 4
    """its attention heads; must divide --prior-hidden"""
    prior_dropout: float = 0.1
    """the dropout rate in stage two"""
    prior_steps: int = 800
    prior_decay: float = 0.1
    test_samples: int = 100
    """samples K of the bound on the test split"""
    test_rows: int = 300
    """the number of test rows that get all of these samples. All rows get a hundredth of them, and
    their mean is corrected by what the further samples add on the former"""
    num_shown: int = 16
    """pictures in a row, and rows of samples.png"""


QUICK = {"num_steps": 20, "prior_steps": 20, "eval_every": 10, "hidden": (4,), "num_blocks": 0}
QUICK |= {"num_categories": 5, "prior_hidden": 8, "prior_layers": 1, "prior_heads": 2}
QUICK |= {"test_samples": 5, "test_rows": 20, "num_shown": 7, "num_samples": 70}
QUICK |= {"classifier_steps": 0}


# ------------------------------------------------------------------------------------- texts
def texts(names: tuple[str, ...]) -> tuple[np.ndarray, int]:
    """Names as integers [classes, length], padded with spaces, and the number of letters in use."""
    length = max(map(len, names))
    padded = [name.ljust(length) for name in names]
    letters = sorted(set("".join(padded)))
    return np.array([[letters.index(c) for c in name] for name in padded], np.int32), len(letters)


def labels_of(config: Config, data: Dataset | sets.Images) -> dict[str, np.ndarray]:
    """The classes of a set's pictures, by split."""
    if data.labels is None:
        raise checks.InputError(f"data={config.data!r} has no classes to name; try digits.")
    return data.labels


def names_of(config: Config, data: Dataset | sets.Images) -> tuple[str, ...]:
    """The names of the classes of a set; numbers if there are no words for them."""
    num = 1 + max(int(y.max()) for y in labels_of(config, data).values())
    return sets.class_names(config.data, num)


# ------------------------------------------------------------------------------------ models
@runs.builder
def build_coder(
    config: Config, shape: tuple[int, int, int], num_levels: int
) -> protocol.LatentVariable:
    """Stage one: a discrete VAE of pictures [H, W, C]."""
    head = (
        likelihoods.discretized_logistic if config.head == "logistic" else likelihoods.logit_laplace
    )
    return quantized.dvae(
        shape,
        head(num_levels),
        num_categories=config.num_categories,
        hidden=config.hidden,
        num_blocks=config.num_blocks,
        dropout=config.dropout,
    )


def sequence_of(
    config: Config, shape: tuple[int, int, int], names: tuple[str, ...]
) -> tuple[Density, dict[str, int]]:
    """The transformer of names and codes: its density, and how `captioned` reads its sequences."""
    ids, num_symbols = texts(names)
    num_codes = math.prod(-(-n // 2 ** len(config.hidden)) for n in shape[:2])
    density = ar.transformer(
        ids.shape[1] + num_codes,
        likelihoods.categorical(num_symbols + config.num_categories),
        hidden=config.prior_hidden,
        num_layers=config.prior_layers,
        num_heads=config.prior_heads,
        dropout=config.prior_dropout,
    )
    return density, {"length": ids.shape[1], "num_symbols": num_symbols}


@runs.builder
def build(
    config: Config, shape: tuple[int, int, int], num_levels: int, names: tuple[str, ...]
) -> protocol.LatentVariable:
    """Both stages: a latent variable model of pictures, conditional on a text."""
    density, reading = sequence_of(config, shape, tuple(names))
    return quantized.captioned(build_coder(config, shape, num_levels), density, **reading)


# ------------------------------------------------------------------------------------ stages
def coder_loss(
    config: Config,
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    *,
    beta: float | Array = 1.0,
    **options: Any,
) -> tuple[Array, dict]:
    """`quantized.relaxed_loss`, whose KL has the weight config.beta times `beta`."""
    return quantized.relaxed_loss(model, params, key, x, beta=config.beta * beta, **options)


def fit_coder(
    config: Config, recipe: learning.Recipe, rows: dict[str, np.ndarray]
) -> tuple[LatentVariable, fitting.Fitted]:
    """Stage one, and what was fitted: relaxed draws, whose temperature falls with the steps."""
    model = recipe.model()
    rate = -math.log(config.least_temperature) / (config.num_steps / 2)
    schedule = quantized.temperature_schedule(max(rate, 0.0), least=config.least_temperature)

    options: dict[str, Any] = {"test_samples": config.test_samples, "test_rows": config.test_rows}
    return model, fitting.maximum_bound(
        config,
        "dalle-codes",
        model,
        rows,
        fitting.bound_task(model, rows, eval_batch=100, **options),
        loss=functools.partial(coder_loss, config),
        weights={"temperature": schedule},
        beta_steps=config.beta_steps,
        adamw=fitting.adamw_of(config, clip=200.0, warmed=True),
        recipe=recipe,
    )


def encoded(coder: LatentVariable, params: Params, x: np.ndarray) -> np.ndarray:
    """The most likely codes of all rows, integers [n, h, w] in NumPy."""
    encode = jax.jit(lambda params, x: quantized.as_integers(coder.posterior(params, x).mode()))
    size = stages.ENCODED
    return np.concatenate([encode(params, x[i : i + size]) for i in range(0, len(x), size)])


def fit_prior(
    config: Config,
    recipe: learning.Recipe,
    density: Density,
    reading: Any,
    first: fitting.Fitted,
    codes: dict[str, np.ndarray],
    rows: dict[str, tuple],
) -> tuple[LatentVariable, fitting.Fitted]:
    """Stage two. The parameters of stage one are carried in its state and do not change."""
    model = recipe.model()
    lines = {
        split: np.asarray(
            quantized.sequences(rows[split][1], c, num_symbols=reading["num_symbols"])
        )
        for split, c in codes.items()
    }

    def loss(params, key, line, *, state):
        value, told = objectives.nll(density, params, key, line)
        return value, (told, state)

    score = fitting.scorer(lambda params, key, line: density.dist(params["prior"]).log_prob(line))
    options: dict[str, Any] = {"test_samples": config.test_samples, "test_rows": config.test_rows}
    bound = fitting.bound_task(model, rows, eval_batch=100, **options)
    task = fitting.Task(
        lambda params, key: {"valid_nll": -float(score(params, key, lines["valid"]).mean())},
        bound.report,
        monitor="valid_nll",
        data=bound.data,
    )
    return model, fitting.fit_by_adamw(
        config,
        "dalle",
        density.init,
        loss,
        task,
        lines["train"],
        init_state=lambda key, params: first.params,
        select=lambda state: {"model": state.state, "prior": learning.averaged(state)},
        **stages.two(config)[1],
        start=first.params,
        recipe=recipe,
    )


def main(config: Config) -> dict:
    check(config)
    data = stages.pictures(config)
    names, labels = names_of(config, data), labels_of(config, data)
    ids = texts(names)[0]
    x = {split: part for split, (part,) in data.rows.items()}
    rows = {split: (x[split], ids[labels[split]]) for split in sets.SPLITS}
    given = {"config": config, "shape": data.shape, "num_levels": data.num_levels}
    recipes = learning.Recipe(build_coder, given), learning.Recipe(build, given | {"names": names})
    coder, first = fit_coder(config, recipes[0], x)
    codes = {split: encoded(coder, first.params, x[split]) for split in sets.SPLITS}
    density, reading = sequence_of(config, data.shape, names)
    model, fitted = fit_prior(config, recipes[1], density, reading, first, codes, rows)
    made, classes = pictures(config, model, fitted.params, ids)
    counts = quantized.counts(jnp.asarray(codes["train"]), config.num_categories)
    train = x["train"].reshape(len(x["train"]), -1), labels["train"]
    accuracy = functools.partial(nearest, *train)
    bits = functools.partial(objectives.bits_per_dim, dim=data.dim)
    fitted.row.update(
        uniform_bits_per_dim=first.row["test_bits_per_dim"],
        rate_bits_per_dim=float(bits(-fitted.row["kl_z"])),
        distortion_bits_per_dim=float(bits(fitted.row["reconstruction_nats"])),
        perplexity=float(quantized.perplexity(counts)),
        num_codes=config.num_categories,
        caption_accuracy=accuracy(made["samples"], classes),
        nearest_accuracy=accuracy(x["test"], labels["test"]),
        stage_one_steps=first.row["num_steps"],
        train_seconds=fitted.row["train_seconds"] + first.row["train_seconds"],
    )
    if processes.first():
        draw(config, data, names, coder, fitted, first, codes, made)
    return {
        "models": {"dalle": fitted.row},
        "data": config.data,
        "published": data.published,
        **stages.judged(config, data, {"pictures of a name": (made["samples"], classes)}),
    }


# ---------------------------------------------------------------------------------- pictures
def pictures(
    config: Config, model: LatentVariable, params: Params, ids: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """At least num_samples pictures, of all names in turn.

    Returns {"samples", "means"}, pictures drawn given their codes and the means of these, and the
    index of the name of each.
    """
    num = -(-max(config.num_samples, config.num_shown * len(ids)) // len(ids))

    @jax.jit
    def make(params, key):
        code_key, key = jax.random.split(key)
        z = model.prior(params, ids).sample(seed=code_key, sample_shape=num)
        of_codes = model.likelihood(params, z)
        return {"samples": of_codes.sample(seed=key), "means": of_codes.mean()}

    made = jax.device_get(make(params, jax.random.key(config.seed + 1)))
    made = {name: a.reshape(-1, *a.shape[2:]) for name, a in made.items()}
    return made, np.tile(np.arange(len(ids)), num)


def nearest(train: np.ndarray, labels: np.ndarray, x: np.ndarray, wanted: np.ndarray) -> float:
    """The share of pictures whose nearest training picture is of the wanted class."""
    x, train = x.reshape(len(x), -1).astype(np.float32), train.astype(np.float32)
    some = slice(0, 20_000)
    squares = (train[some] ** 2).sum(1)
    found = [labels[some][np.argmin(squares - 2 * train[some] @ one)] for one in x[:2000]]
    return float((np.array(found) == wanted[:2000]).mean())


def draw(
    config: Config,
    data: sets.Images,
    names: tuple[str, ...],
    coder: LatentVariable,
    fitted: fitting.Fitted,
    first: fitting.Fitted,
    codes: Any,
    made: dict[str, np.ndarray],
) -> None:
    """Saves reconstructions, samples, codes, usage, curves and prior as .png files."""
    shown, x = config.num_shown, data.rows["test"][0]
    order = np.random.default_rng(config.seed).permutation(len(x))[:shown]
    x, c = x[order], codes["test"][order]
    one_hot = jax.nn.one_hot(c, config.num_categories)
    again = jax.jit(lambda params, z: coder.likelihood(params, z).mean())(first.params, one_hot)
    save = lambda figure, name: plots.save(figure, config.directory / f"{name}.png")
    both = np.concatenate([x, again])
    save(
        stages.images(both, len(x), ["test data", "E[x | codes]"], data.num_levels),
        "reconstructions",
    )
    save(stages.by_class(made["means"], names, shown, data.num_levels), "samples")
    save(stages.code_maps(x, c[..., None], data.num_levels, config.num_categories), "codes")
    save(stages.used(codes["train"], config.num_categories), "usage")
    bits = {"stage one, uniform prior": first.curves["valid_bits_per_dim"]}
    save(plots.curves(bits, xlabel="step", ylabel="validation bound, bits/dim"), "curves")
    curves = {"names and codes": fitted.curves["valid_nll"]}
    save(plots.curves(curves, xlabel="step", ylabel="validation, nats of a sequence"), "prior")


def show(found: dict) -> None:
    rows = [
        {
            "model": name,
            "bits/dim": f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}",
            "rate": f"{r['rate_bits_per_dim']:.3f}",
            "distortion": f"{r['distortion_bits_per_dim']:.3f}",
            "uniform prior": f"{r['uniform_bits_per_dim']:.3f}",
            "categories in use": f"{r['perplexity']:.1f} of {r['num_codes']}",
            "caption accuracy": f"{r['caption_accuracy']:.3f}",
            "of test data": f"{r['nearest_accuracy']:.3f}",
            "parameters": r["num_params"],
            "training s": round(r["train_seconds"]),
        }
        for name, r in found["models"].items()
    ]
    runs.table(rows, list(rows[0]))
    print(
        "Bits/dim: a bound of p(x | name) by hard codes; rate and distortion: the parts of the "
        "bound\nwith one sample, which is less tight. In use: the perplexity of all training codes."
    )
    stages.show_judged(found)
    fitting.tell(found["models"])


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=5)
