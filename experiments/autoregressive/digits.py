"""From counting to MADE: the 8x8 digits with 17 levels, in bits per dimension.

    python -m experiments.autoregressive.digits

fits tables by counting (one histogram for all pixels, one for each, a Markov chain of order one)
and MADEs by maximum likelihood: with a softmax of 17 levels, with discretised logistic mixtures,
and these under 16 random masks. Two minutes on two CPU cores. Expect 2.974, 2.431 and 2.296
bits/dim for the tables and 2.07, 1.94 and 1.88 for the MADEs (standard error of the test set 0.02).
What helps is that the mixtures know which levels are near, and the masks that they overfit less:
with --models one-hot the net is not told the order of the levels, and scores 2.46.
It leaves two pictures: samples, and completions of test digits whose upper half is given, by the
models that make it first.

    python -m experiments.autoregressive.digits --models mixture any-order

trains under 2000 random masks, which teach every order, and imputes: imputed.png shows test digits
whose lower half, right half or 32 random pixels are missing and drawn given the others, and a table
tells the bits a missing pixel costs. Expect 2.18, 2.29 and 2.39, where a histogram of each pixel,
which looks at none of the others, has 2.45, 2.53 and 2.81, and the mixture, which has learned the
raster alone and serves lower halves only, 1.81. Three minutes.
"""

import dataclasses
from typing import Literal

import jax
import numpy as np

from dgm_jax import autoregressive as ar
from dgm_jax import data as datasets
from dgm_jax import (
    learning,
    likelihoods,
    nets,
    objectives,
    plots,
    runs,
)
from experiments import fitting, sets
from experiments.options import Training, at_least_one


@dataclasses.dataclass(frozen=True)
class Config(Training, runs.RunOptions):
    models: tuple[Literal["one-hot", "categorical", "mixture", "masks", "any-order"], ...] = (
        "categorical",
        "mixture",
        "masks",
    )
    """which MADEs to train; one-hot is categorical with a weight for each level of each input,
    any-order a mixture that learns 2000 masks, is scored by --num-masks others, and imputes"""
    hidden: tuple[int, ...] = (500,)
    """widths of the hidden layers"""
    num_masks: int = 16
    """random orders and connections of the ensemble `masks`, whose conditionals are mixtures"""
    num_components: int = 5
    """logistics of a mixture"""
    num_steps: int = 1500
    batch_size: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.5
    ema_decay: float = 0.99
    eval_every: int = 100


QUICK = {"num_steps": 20, "eval_every": 10, "hidden": (32,), "num_masks": 2}

SIDE, K = 8, 17
DIM = SIDE * SIDE
TABLES = {
    "one histogram": {"window": 0, "shared": True},
    "a histogram of each pixel": {"window": 0},
    "Markov chain of order 1": {"window": 1},
}
SMOOTHING = (0.01, 0.03, 0.1, 0.3, 1.0)  # the best on the validation split is taken
COLUMNS = 16  # of the pictures
NUM_ORDERS = 2000  # so many masks teach an order that none of them has
MISSING = "bits_a_missing_pixel"
GIVEN = {  # what is not missing
    "lower half": np.arange(DIM) < DIM // 2,
    "right half": np.arange(DIM) % SIDE < SIDE // 2,
    "random half": np.random.default_rng(0).permutation(DIM) < DIM // 2,
}


def build(config, name, **options):
    """The density of a name; the weights of an ensemble fit one mask of any order too."""
    mixture = likelihoods.discretized_logistic(K, num_components=config.num_components)
    conditional = {
        "one-hot": likelihoods.categorical(K),
        "categorical": likelihoods.categorical(K, encoding=nets.scaled(K)),
    }.get(name, mixture)
    return ar.made(DIM, conditional, hidden=config.hidden, **options)


@runs.builder
def scored(config: Config, name):
    """The density that is scored; of any-order, the ensemble of masks it has not met."""
    num_masks = config.num_masks if name in ("masks", "any-order") else 1
    return build(config, name, masks=ar.Masks(num_masks, seed=int(name == "any-order")))


def fit(config, name, rows):
    """A MADE, its parameters and its row."""
    recipe = learning.Recipe(scored, {"config": config, "name": name})
    model = density = recipe.model()
    if name == "any-order":
        model = build(config, name, masks=ar.Masks(NUM_ORDERS))
    params, row, *_ = fitting.maximum_likelihood(
        config, name, model, rows, scored=density, recipe=recipe
    )
    return density, params, row


def fit_tables(rows):
    """Results, and (model, params) of each."""
    results, fitted = {}, {}
    for name, table in TABLES.items():
        model, params, results[name] = fitting.fit_table(rows, DIM, K, SMOOTHING, **table)
        fitted[name] = model, params
    return results, fitted


def completed(model, params, key, x, given):
    """x [n, 64] where given, and drawn elsewhere: exact, if the order makes the given first."""
    complete = jax.jit(lambda p, key: model.dist(p).complete(x, given, seed=key))
    return complete(params, jax.random.clone(key))


def draw_two_rows(model, params, key):
    sample = jax.jit(lambda p, key: model.dist(p).sample(seed=key, sample_shape=2 * COLUMNS))
    return sample(params, key)


def imputers(config, fitted, given):
    """{name: (model, params)} of those fitted that make the given pixels first, or need not."""
    found = {"a histogram of each pixel": fitted["a histogram of each pixel"]}
    if (given == GIVEN["lower half"]).all():
        one_mask = ("one-hot", "categorical", "mixture")
        found |= {name: fitted[name] for name in one_mask if name in fitted}
    in_order = build(config, "any-order", order=ar.observed_first(given))
    return found | {"any-order": (in_order, fitted["any-order"][1])}


def impute(config, fitted, test):
    """imputed.png, and {pattern: {name: bits}}, log₂ 1/p(x_missing | x_given) a missing pixel."""
    shown = test[np.random.default_rng(config.seed).permutation(len(test))[:COLUMNS]]
    key, pictures, found = jax.random.key(config.seed + 2), [("test data", shown)], {}
    for pattern, given in GIVEN.items():
        pictures.append((f"{pattern} missing", np.where(given, shown, K // 2)))
        found[pattern] = {}
        for name, (model, params) in imputers(config, fitted, given).items():
            pictures.append((name, completed(model, params, key, shown, given)))
            score = jax.jit(lambda p, x, m=model: m.dist(p).conditionals(x).log_prob(x))
            nats = -np.asarray(score(params, test))[:, ~given]
            bits, error = objectives.mean_and_stderr(nats.mean(1) / np.log(2))
            found[pattern][name] = {MISSING: float(bits), f"{MISSING}_stderr": float(error)}
    names, rows = zip(*pictures, strict=True)
    images = np.concatenate(rows).reshape(-1, SIDE, SIDE)
    figure = plots.sample_grid(images, columns=COLUMNS, row_names=names, vmin=0, vmax=K - 1)
    plots.save(figure, config.workdir / "imputed.png")
    return found


def draw(config, fitted, test):
    """samples.png and completions.png."""
    names = [name for name in fitted if "histogram" not in name]
    keys = jax.random.split(jax.random.key(config.seed + 1), (len(names), 2))
    shown = test[np.random.default_rng(config.seed).permutation(len(test))[: 2 * COLUMNS]]
    halves = np.where(GIVEN["lower half"], shown[:COLUMNS], K // 2)
    samples, completions = {"test data": shown}, {"test data": shown[:COLUMNS], "given": halves}
    for name, (sample_key, complete_key) in zip(names, keys, strict=True):
        model, params = fitted[name]
        samples[name] = draw_two_rows(model, params, sample_key)
        if name not in ("masks", "any-order"):  # these have no one order
            completions[name] = completed(
                model, params, complete_key, shown[:COLUMNS], GIVEN["lower half"]
            )
    for file, rows in (("samples", samples), ("completions", completions)):
        images = np.concatenate(list(rows.values())).reshape(-1, SIDE, SIDE)
        figure = plots.sample_grid(
            images, columns=COLUMNS, row_names=list(rows), vmin=0, vmax=K - 1
        )
        plots.save(figure, config.workdir / f"{file}.png")


def show(found):
    """One table, from what results.json holds."""
    uniform = {"model": "uniform", "parameters": 0, "bits/dim": f"{np.log2(K):.3f}"}
    rows = [uniform]
    for name, r in (found["tables"] | found["models"]).items():
        bits = f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}"
        row = {"model": name, "parameters": r["num_params"], "bits/dim": bits}
        row["test nats"] = round(r["test_nats"], 2)
        if "train_seconds" in r:
            row["training s"] = round(r["train_seconds"])
        rows.append(row)
    runs.table(rows, ["model", "parameters", "test nats", "bits/dim", "training s"])
    fitting.tell(found["tables"] | found["models"])
    if "missing" in found:
        show_missing(found["missing"])
    full = ar.num_parameters(DIM, K, window=DIM - 1)
    print(f"The full joint table has 17^64 - 1 parameters, a number of {len(str(full))} digits.")


def show_missing(found):
    names = dict.fromkeys(name for imputed in found.values() for name in imputed)
    rows = []
    for pattern, imputed in found.items():
        bits = {n: f"{r[MISSING]:.3f} ± {r[f'{MISSING}_stderr']:.3f}" for n, r in imputed.items()}
        rows.append({"bits a missing pixel": pattern} | bits)
    runs.table(rows, ["bits a missing pixel", *names])


def main(config: Config) -> dict:
    at_least_one(config, "models")
    rows = sets.vectors(datasets.load("digits"))
    tables, fitted = fit_tables(rows)
    models = {}
    for name in config.models:
        *fitted[name], models[name] = fit(config, name, rows)
    draw(config, fitted, rows["test"])
    results = {"tables": tables, "models": models}
    if "any-order" in fitted:
        results["missing"] = impute(config, fitted, rows["test"])
    return results


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show)
