r"""Density estimation on tables: MAF, RealNVP and neural spline flows, in nats.

    python -m experiments.flows.tabular

learns patches of the two photographs in scikit-learn, in a minute of one CPU core. Expect 175 nats
for the MAF, where one Gaussian has 78.6 (two standard errors: 6 and 4, since two patches in five
are nearly constant). --data FILE.csv learns any other table. curves.png shows the log-likelihood of
the validation split in training. On

    python -m experiments.flows.tabular --data bsds300_patches --data-dir FOLDER

it trains a MAF of 5 layers and prints its test log-likelihood with two standard errors, beside a
Gaussian with a full covariance and the published figures. --models realnvp nsf-coupling nsf trains
the other flows, and made made-mog autoregressive densities that are not flows. Data are first
whitened by the mean and covariance of the Gaussian (a fixed linear map, whose log-determinant
counts), so every flow starts as this Gaussian; if one ends below it, a line says so and what to
try. Widths, batches, weight decay and the bound of log-scales depend on the data. It takes six to
nine minutes on one CPU core. Expect about 151 ± 0.6 nats for the MAF, which is still learning, and
96.3 for the Gaussian. With 6000 steps and log-scales up to ±3 the MAF has 152.5, except for two
test patches that it maps almost to infinity.

    python -m experiments.flows.tabular --data bsds300_patches --data-dir FOLDER \
        --models nsf-coupling --num-layers 3 --hidden 256 256 --batch-size 128 --num-steps 1500

trains a neural spline flow of 6 couplings: expect 144.2 ± 0.7 nats after three minutes.

Note on the data: bsds300_patches are 200,000 training patches drawn anew by the published recipe,
so the published figures are no target. miniboone_head is the first 1523 rows of MINIBOONE, too few
for its figures to mean anything. With the published files of POWER, GAS, HEPMASS and MINIBOONE in
FOLDER, on an accelerator (not run):

    python -m experiments.flows.tabular --data hepmass --data-dir FOLDER --num-steps 200000 \
        --models maf realnvp nsf-coupling nsf --eval-every 2000 --batch-size 512
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from dgm_jax import autoregressive as ar
from dgm_jax import (
    bijectors,
    combinators,
    distributions,
    flows,
    learning,
    likelihoods,
    plots,
    protocol,
    runs,
)
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import baselines, defaults, fitting, published, sets
from experiments.options import Data, Training, check

if TYPE_CHECKING:
    import distrax

    from dgm_jax.protocol import Density, Flow

ModelName = Literal["maf", "realnvp", "nsf-coupling", "nsf", "made", "made-mog"]


# Options that `experiments.options` declares as numbers may be None here:
# `experiments.defaults.of_table` fills them before they are read.
@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    data: str = "photo_patches"
    """a set of rows of real numbers, or a file or folder of your own (see Data in the README)"""
    models: tuple[ModelName, ...] = ("maf",)
    """which models to train. nsf and nsf-coupling: rational-quadratic splines, autoregressive and
    in couplings. made and made-mog are no flows: p(x_i | x_<i) is one Gaussian, or a mixture of
    ten"""
    num_layers: int = 5
    """autoregressive layers; flows of couplings have twice as many"""
    hidden: tuple[int, ...] | None = None
    """widths of the hidden layers of each conditioner. By default this, --scale-bound,
    --batch-size, --weight-decay and --eval-every depend on the data
    (`experiments.defaults.of_table`)"""
    scale_bound: float | None = None
    """the bound b of the log-scales in each layer, which are in (-b, b): 1 by default, and 3 for
    made and made-mog on 10,000 rows or more; with 3 a MAF mapped one patch in 50,000 almost to
    infinity"""
    num_bins: int = 8
    """bins of a spline"""
    bound: float = 3.0
    """splines are the identity outside [-bound, bound]; whitened data have standard deviation 1"""
    num_steps: int = 3000
    batch_size: int | None = None  # ty: ignore[incompatible-attribute-override]
    learning_rate: float = 1e-3
    weight_decay: float | None = None  # ty: ignore[incompatible-attribute-override]
    ema_decay: float = 0.999
    eval_every: int | None = None  # ty: ignore[incompatible-attribute-override]


QUICK = {"num_steps": 20, "eval_every": 10, "hidden": (32,), "num_layers": 2}


def title(config: Config, name: str) -> str:
    """The name of a model, as in the published tables."""
    return {
        "maf": f"MAF ({config.num_layers})",
        "realnvp": f"RealNVP ({2 * config.num_layers})",
        "nsf-coupling": "RQ-NSF (C)",
        "nsf": "RQ-NSF (AR)",
        "made": "MADE",
        "made-mog": "MADE MoG",
    }[name]


def settled(config: Config, name: str, num_rows: int) -> Config:
    """The config with the default bound of log-scales of a model, if none was given."""
    if config.scale_bound is not None:
        return config
    one_layer = name in ("made", "made-mog")
    return dataclasses.replace(config, scale_bound=defaults.scale_bound(num_rows, one_layer))


def flow_of(config: Any, name: str, dim: int) -> Flow:
    """A flow by its name. Splines have a learned linear map between them (Durkan et al. 2019)."""
    num, hidden = config.num_layers, config.hidden
    unroll = jax.default_backend() == "cpu"  # gradients of a scan take longer there
    if name in ("maf", "realnvp"):
        options: dict[str, Any] = {
            "hidden": hidden,
            "law": bijectors.affine(bound=config.scale_bound),
            "unroll": unroll,
        }
        if name == "maf":
            return flows.maf(dim, num_layers=num, **options)
        return flows.realnvp(dim, num_layers=2 * num, shuffle=0, **options)
    law = bijectors.rational_quadratic_spline(num_bins=config.num_bins, bound=config.bound)
    if name == "nsf":
        layer = combinators.invert(flows.autoregression(dim, law=law, hidden=hidden))
        return combinators.repeat(combinators.compose(layer, flows.plu(dim)), num, unroll=unroll)
    layer = flows.coupling(dim, law=law, hidden=hidden)
    return combinators.repeat(combinators.compose(layer, flows.plu(dim)), 2 * num, unroll=unroll)


def whitening(mean: np.ndarray, covariance: np.ndarray) -> distrax.Bijector:
    """z = L⁻¹ (x - m), of mean 0 and covariance I; C = L Lᵀ by Cholesky, in float64."""
    import distrax

    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    diagonal = np.log(np.diag(inverse)).astype(np.float32)
    linear = bijectors.Triangular(inverse.astype(np.float32), diagonal, lower=True)
    return distrax.Chain([linear, datasets.standardize(mean, 1.0)])


def build(config: Any, name: str, whiten: distrax.Bijector, dim: int) -> Density:
    """p(x) of vectors [dim]: a flow, or for made and made-mog a MADE, of the whitened vectors."""
    back = combinators.invert(combinators.fixed(whiten))
    if name in ("made", "made-mog"):
        bound = config.scale_bound
        gaussian = likelihoods.gaussian(bijectors.affine(bound=bound))
        conditional = gaussian if name == "made" else likelihoods.mixture(10, bound=bound)
        return combinators.pushforward(back, ar.made(dim, conditional, hidden=config.hidden))
    return combinators.pushforward(
        combinators.compose(back, flow_of(config, name, dim)), distributions.standard_normal(dim)
    )


@runs.builder
def density(
    config: Config, name: str, mean: np.ndarray, covariance: np.ndarray
) -> protocol.Density:
    """p(x) of the data; mean and covariance are those of the whitening."""
    return build(config, name, whitening(mean, covariance), len(mean))


def show(found: dict) -> None:
    rows = []
    for name, r in (found["baselines"] | found["models"]).items():
        nats = f"{r['test_nats']:.2f} ± {2 * r['test_nats_stderr']:.2f}"
        row = {"model": name, "test nats": nats}
        figure = published.find(found["published"], "nats", name)
        row["published"] = None if figure is None else f"{figure.value:.2f} ({figure.source})"
        if name in found["models"]:
            row |= {"parameters": r["num_params"], "training s": round(r["train_seconds"])}
        rows.append(row)
    runs.table(rows, list(rows[-1]))
    print("Nats, with two standard errors over the test set; higher is better.")
    fitting.tell(found["baselines"] | found["models"])


def main(config: Config) -> dict:
    check(config, "models")
    data, rows = sets.table(config)
    dim = rows["train"].shape[1]
    settings = defaults.of_table(
        len(rows["train"]), dim, num_steps=config.num_steps, batch_size=config.batch_size
    )
    config, settings = defaults.completed(config, settings)
    gaussian = fitting.summary(baselines.gaussian(*rows.values()), dim)
    mean, covariance = baselines.fit_gaussian(rows["train"], rows["valid"])
    results, curves = {}, {}
    given = {"mean": mean, "covariance": covariance}
    own = {name: settled(config, name, len(rows["train"])) for name in config.models}
    recipes = {
        name: learning.Recipe(density, {"config": own[name], "name": name} | given) for name in own
    }
    models = {name: recipe.model() for name, recipe in recipes.items()}  # all before one is trained
    for name, model in models.items():
        fitting.check_size(config, name, model.init)
    for name, recipe in recipes.items():
        fitted = fitting.maximum_likelihood(own[name], name, models[name], rows, recipe=recipe)
        results[title(config, name)] = fitted.row
        curves[title(config, name)] = fitted.curves["valid_nats"]
    if processes.first():
        levels = {"Gaussian": gaussian["test_nats"]}
        figure = plots.curves(curves, xlabel="step", ylabel="validation nats", baselines=levels)
        plots.save(figure, config.directory / "curves.png")
    return {
        "data": config.data,
        "published": published.known(data),
        "models": results,
        "baselines": {"Gaussian": gaussian},
        "settings": settings,
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=1)
