r"""MADE on bits: binarized MNIST and tables of bits, in nats, beside the published figures.

    python -m experiments.autoregressive.binary                   # the digits in one bit
    python -m experiments.autoregressive.binary --data mushrooms --data-dir FOLDER
    python -m experiments.autoregressive.binary --data mushrooms --data-dir FOLDER --num-masks 32

each train one MADE with Bernoulli outputs by maximum likelihood. They print its test log-likelihood
beside those of independent bits and of a Markov chain; if the model does not beat these, a line
says so and what to try. The width, the number of steps, the learning rate and the weight decay
depend on the data and are printed.

On the digits, without options, training takes ten seconds: expect -16.46 nats, where independent
bits have -24.51 and the Markov chain -23.59 (standard errors 0.24).

With --num-masks 32 each step uses one of 32 random orders and connectivities, and the ensemble
averages the probabilities of all. It needs more steps and overfits these small sets less. On
mushrooms the single mask takes half a minute and the ensemble some minutes on one shared CPU core.
Expect about -9.76 and -9.7 nats on mushrooms, and -13.26 and -13.2 on adult (--data adult).

With as many hidden units as the published MADE of binarized MNIST,

    python -m experiments.autoregressive.binary --data binarized_mnist --data-dir FOLDER \
        --hidden 8000 --batch-size 200 --num-steps 2400 --eval-every 400 --learning-rate 5e-3 \
        --weight-decay 0.25

takes a quarter of an hour of a CPU core: expect -87.3 (published: -88.40). The same with 32 masks,

    python -m experiments.autoregressive.binary --data binarized_mnist --data-dir FOLDER \
        --hidden 8000 --num-masks 32 --agnostic-to connectivity --roaming 0.1 --batch-size 200 \
        --num-steps 4000 --eval-every 1000 --learning-rate 5e-3 --weight-decay 0.25

takes 40 minutes to train and ten to score: expect -87.2 (published: -88.04). Here a tenth of the
hidden units has another degree in each mask. If all units have, training is slow and needs an
accelerator.

For a set of pictures, samples.png shows samples and test pictures and, with one mask, test pictures
whose lower half the model completes.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import autoregressive as ar
from dgm_jax import (
    checks,
    combinators,
    learning,
    likelihoods,
    plots,
    protocol,
    runs,
)
from dgm_jax.runs import processes
from experiments import defaults, fitting, published, sets
from experiments.options import Data, Training, check

if TYPE_CHECKING:
    from dgm_jax.data import Dataset
    from dgm_jax.protocol import Density, Params


# Options that `experiments.options` declares as numbers may be None here:
# `experiments.defaults.of_bits` fills them before they are read.
@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    data: str = "digits_bits"
    """a set of bits by its name, or a file or folder of your own (see Data in the README)"""
    hidden: tuple[int, ...] | None = None
    """widths of the hidden layers. By default this and the next four depend on the data
    (`experiments.defaults.of_bits`)"""
    num_steps: int | None = None  # ty: ignore[incompatible-attribute-override]
    learning_rate: float | None = None  # ty: ignore[incompatible-attribute-override]
    weight_decay: float | None = None  # ty: ignore[incompatible-attribute-override]
    """the decay of weights; biases do not decay"""
    eval_every: int | None = None  # ty: ignore[incompatible-attribute-override]
    direct: bool = True
    """whether inputs are also connected to outputs directly, which adds a logistic regression of
    each bit on the preceding ones"""
    num_masks: int = 1
    """1: a single mask, in the order of the data; more: an ensemble of that many random masks"""
    agnostic_to: tuple[Literal["order", "connectivity"], ...] = ("order", "connectivity")
    """in what the masks of an ensemble differ; without "order" all have the order of the data"""
    roaming: float = 1.0
    """the fraction of the hidden units whose degree (the number of inputs that a unit may see)
    differs between masks"""
    batch_size: int = 100
    ema_decay: float = 0.999


QUICK = {"num_steps": 20, "eval_every": 10, "hidden": (64,)}

SMOOTHING = (0.01, 0.1, 1.0)  # the best on the validation split is taken
COLUMNS = 16  # of the pictures


def fit_tables(rows: dict[str, np.ndarray], dim: int) -> dict[str, dict]:
    """The rows of two baselines: independent bits, and each bit given the one before it."""
    windows = {"a coin for each bit": 0, "each bit given the last": 1}
    return {
        name: fitting.fit_table(rows, dim, 2, SMOOTHING, window=window)[-1]
        for name, window in windows.items()
    }


@runs.builder
def build(config: Config, dim: int) -> protocol.Density:
    """A MADE of `dim` bits, an ensemble if num_masks is above 1; `InputError` without hidden."""
    if config.hidden is None:
        raise checks.InputError("hidden is missing; `defaults.of_bits` gives it.")
    return ar.made(
        dim,
        likelihoods.bernoulli(),
        hidden=config.hidden,
        direct=config.direct,
        masks=ar.Masks(config.num_masks, config.agnostic_to, config.roaming),
    )


def from_coins(model: Density, x: np.ndarray) -> Density:
    """The model with another init: its output offsets start at the frequencies of the bits in x."""
    coins = jax.jit(lambda x: combinators.adapt(model, model.init(jax.random.key(0)), x)["offset"])(
        x
    )
    return model._replace(init=lambda key: model.init(key) | {"offset": coins})


def decayed(params: Params) -> dict:
    """True for the weights only: a bit that is always 0 needs an offset far from 0."""
    offsets = ("biases", "offset")
    return jax.tree_util.tree_map_with_path(lambda path, _: path[0].key not in offsets, params)


def draw(config: Config, model: Density, params: Params, data: Dataset) -> None:
    """Saves samples.png: samples, test data and, with one mask, completions of upper halves.

    A completion is exact, since upper halves come first in the order of the data. An ensemble of
    random orders completes nothing: a few masks do not teach this order.
    """
    test = data.test.reshape(len(data.test), -1)
    shown = test[np.random.default_rng(config.seed).permutation(len(test))[:COLUMNS]]
    given = np.arange(shown.shape[1]) < shown.shape[1] // 2

    @jax.jit
    def drawn(params, key):
        sample_key, complete_key = jax.random.split(key)
        dist = model.dist(params)
        rows = {"samples": dist.sample(seed=sample_key, sample_shape=COLUMNS), "test data": shown}
        if config.num_masks == 1:
            rows["given"] = jnp.where(given, shown, 0.5)
            rows["completed"] = dist.complete(shown, given, seed=complete_key)  # ty: ignore[missing-attribute]
        return rows

    rows = drawn(params, jax.random.key(config.seed + 1))
    order = [name for name in ("samples", "test data", "given", "completed") if name in rows]
    figure = sets.grid(data, {name: rows[name] for name in order}, columns=COLUMNS)
    plots.save(figure, config.directory / "samples.png")


def show(found: dict) -> None:
    rows = []
    for name, r in found["models"].items():
        row = {"model": name, "parameters": r["num_params"]}
        row["test nats"] = f"{r['test_nats']:.2f} ± {r['test_nats_stderr']:.2f}"
        if "train_seconds" in r:
            row["training s"] = round(r["train_seconds"])
        rows.append(row)
    for name, figure in published.of(found["published"], "nats").items():
        rows.append({"model": f"{name} ({figure.source})", "test nats": f"{figure.value:.2f}"})
    runs.table(rows, ["model", "parameters", "test nats", "training s"])
    fitting.tell(found["models"])


def main(config: Config) -> dict:
    check(config)
    data, rows = sets.bits(config)
    dim = rows["train"].shape[1]
    settings = defaults.of_bits(
        len(rows["train"]),
        dim,
        batch_size=config.batch_size,
        num_steps=config.num_steps,
        num_masks=config.num_masks,
    )
    config, settings = defaults.completed(config, settings)
    recipe = learning.Recipe(build, {"config": config, "dim": dim})
    model = recipe.model()
    fitting.check_size(config, "made", model.init)
    models = fit_tables(rows, dim)
    masks = f", {config.num_masks} masks" if config.num_masks > 1 else ""
    params, models[f"MADE{masks}"], *_ = fitting.maximum_likelihood(
        config,
        "made",
        from_coins(model, rows["train"]),
        rows,
        adamw=fitting.adamw_of(config, decayed=decayed),
        recipe=recipe,
    )
    if data.test.ndim > 2 and processes.first():
        draw(config, model, params, data)
    return {
        "data": config.data,
        "published": published.known(data),
        "models": models,
        "settings": settings,
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
