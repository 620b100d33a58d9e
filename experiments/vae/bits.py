r"""Latent variable models of bits, in nats by 5000 importance samples, beside published figures.

    python -m experiments.vae.bits                   # the digits in one bit
    python -m experiments.vae.bits --data binarized_mnist --data-dir FOLDER --models ladder \
        --num-steps 32000 --eval-every 4000 --patience None

train latent variable models of the same form as in Burda et al. (2016), x-200-200-50 and back
(tanh):

    vae, iwae, dreg   trained by the ELBO and, with 5 samples, by two gradients of the IWAE bound
    vamp              the prior is the mixture of the posteriors at 500 learned inputs
    flow-prior        the prior is a RealNVP of 6 layers
    iaf-posterior     the posterior goes through 4 inverse autoregressive layers
    two-layers        x-200-200-100 and 100-100-100-50, two stochastic layers
    ladder            three groups of 32, 16 and 8 latents with a shared top-down path, layers of
                      200

Two tricks let them learn in thousands of steps: the mean of the bits is subtracted before the
encoder, and the decoder starts at the frequency of each bit. Models are compared by the bound log
1/K Σ w with K = --test-samples importance samples: --test-rows rows get all samples, and correct
the mean over all rows. It is a lower bound of log p(x), and compares only with bounds of as many
samples. The digits take two minutes; the ladder of the second command takes ten minutes of one
core: expect -84.7 nats, and an ELBO of -88.0.

A plain VAE can be trained long, and at last with a hundredth of the weight decay (half an hour and
three minutes: -88.5), and other models can start from it. This shows what the bound, the prior and
the posterior add:

    python -m experiments.vae.bits --data binarized_mnist --data-dir FOLDER --models vae \
        --num-steps 400000 --eval-every 10000 --patience None --workdir runs/vae/long
    python -m experiments.vae.bits --data binarized_mnist --data-dir FOLDER --models vae \
        --start runs/vae/long/vae --num-steps 40000 --eval-every 5000 --patience None \
        --learning-rate 1.5e-3 --weight-decay 0.001 --workdir runs/vae/longer
    python -m experiments.vae.bits --data binarized_mnist --data-dir FOLDER \
        --start runs/vae/longer/vae --models vamp flow-prior --num-steps 12000 --eval-every 3000 \
        --patience None --learning-rate 1.5e-3 --weight-decay 0.001

samples.png shows E[x | z] for z from the prior, reconstructions.png E[x | z] for z ~ q(z | x) of
test rows, and curves.png the bound on the validation split during training.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import (
    checks,
    combinators,
    distributions,
    flows,
    learning,
    likelihoods,
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
from experiments.vae.compare import pictures

if TYPE_CHECKING:
    from dgm_jax.protocol import Array, Key, LatentVariable, Net, Params

MODELS = ("vae", "iwae", "dreg", "vamp", "flow-prior", "iaf-posterior", "two-layers", "ladder")


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    data: str = "digits_bits"
    """a set of bits by its name, or a file or folder of your own (see Data in the README)"""
    models: tuple[
        Literal[
            "vae", "iwae", "dreg", "vamp", "flow-prior", "iaf-posterior", "two-layers", "ladder"
        ],
        ...,
    ] = MODELS
    """which models to train"""
    start: Path | None = None
    """the folder of a trained plain vae, such as runs/vae/bits/vae. Encoder and decoder of the
    models with one stochastic layer start from its parameters, and are trained for --num-steps"""
    num_latents: int = 50
    """the number of entries of z"""
    hidden: tuple[int, ...] = (200, 200)
    """widths of the hidden layers (tanh) of encoder and decoder"""
    iwae_samples: int = 5
    """samples K of the bound by which iwae and dreg are trained"""
    num_pseudo_inputs: int = 500
    """pseudo-inputs of the VampPrior (vamp)"""
    beta_steps: int = 500
    """the number of first steps in which the weight of the KL rises from 0 to 1; none with --start
    or for a ladder"""
    free_bits: float = 0.5
    """nats of the KL of each group of a ladder that cost nothing in training; without them its
    upper groups are not used"""
    test_samples: int = 5000
    """samples K of the bound by which all are compared"""
    test_rows: int = 500
    """the number of test rows that get all of these samples. All rows get a hundredth of them, and
    their mean is corrected by what the further samples add on the former"""
    num_steps: int = 3000
    batch_size: int = 100
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    surgery: bool = False
    """also evaluate the two parts of the KL term during training, the information in z about the
    row and the KL of the marginal q(z) (`metrics.elbo_surgery`)"""


QUICK: dict[str, Any] = {"num_steps": 20, "eval_every": 10, "hidden": (16,), "num_latents": 4}
QUICK |= {"models": ("vae", "two-layers"), "test_samples": 10, "num_pseudo_inputs": 5}
COLUMNS = 16  # of the pictures
LAYERS = (100, 50)  # of two-layers, with the nets of Burda et al.
LADDER: dict[str, Any] = {"num_latents": (32, 16, 8), "hidden": (200, 200, 200)}


def standardised(net: Net, mean: np.ndarray) -> Net:
    """The net of 2 (x - E[x]), so that bits that are almost always 0 contribute little."""
    mean = np.asarray(mean, np.float32)
    apply = lambda params, x, key=None: net.apply(params, 2 * (x - mean), key=key)
    return net._replace(apply=apply)


def from_coins(net: Net, mean: np.ndarray) -> Net:
    """A decoder of bits that starts near the frequency of each bit, for any z."""
    mean = np.clip(np.asarray(mean, np.float32), 1e-3, 1 - 1e-3)
    offset = np.log(mean / (1 - mean))
    return net._replace(apply=lambda params, z, key=None: net.apply(params, z, key=key) + offset)


def centred(ladder: LatentVariable, mean: np.ndarray) -> LatentVariable:
    """A ladder whose encoder sees 2 (x - E[x]), and whose decoder starts at the bits' frequencies.

    Both are initial values of weights and biases.
    """
    mean = np.clip(np.asarray(mean, np.float32), 1e-3, 1 - 1e-3)

    def init(key):
        params = ladder.init(key)
        sees, makes = params["stages"][0]["shrink"]["Dense_0"], params["decoder"]["Dense_0"]
        sees["kernel"] = 2 * sees["kernel"]
        sees["bias"] = sees["bias"] - mean @ sees["kernel"]
        makes["bias"] = makes["bias"] + np.log(mean / (1 - mean))
        return params

    return ladder._replace(init=init)


@runs.builder
def build(
    name: str,
    mean: np.ndarray,
    hidden: tuple[int, ...],
    num_latents: int,
    num_pseudo_inputs: int,
) -> protocol.LatentVariable:
    """The model `name` of rows of bits, which are 1 with frequency `mean` [d]."""
    dim, n = len(mean), num_latents
    options: dict[str, Any] = {"hidden": hidden, "activation": jnp.tanh}
    if name == "two-layers":
        return two_layers(mean, options)
    if name == "ladder":
        return centred(vae.ladder(dim, likelihoods.bernoulli(), **LADDER), mean)
    prior, posterior, features = None, vae.diagonal(n), 2 * n
    if name == "flow-prior":
        flow = flows.realnvp(n, num_layers=6, hidden=(100,), shuffle=0)
        prior = combinators.pushforward(flow, distributions.standard_normal(n))
    if name == "iaf-posterior":
        flow = flows.iaf(n, num_layers=4, hidden=(400,), cond_shape=(n,))
        posterior, features = vae.flow_posterior(flow, posterior), features + n
    model = vae.vae(
        standardised(nets.mlp(dim, features, **options), mean),
        from_coins(nets.mlp(n, dim, **options), mean),
        likelihoods.bernoulli(),
        dim,
        num_latents=n,
        prior=prior,
        posterior=posterior,
    )
    if name == "vamp":
        model = vae.vamp(model, dim, num_pseudo_inputs=num_pseudo_inputs, low=0.0, high=1.0)
    return model


def two_layers(mean: np.ndarray, options: dict) -> LatentVariable:
    """x - hidden - 100 - 100 - 100 - 50, the two stochastic layers of Burda et al. (2016)."""
    dim, (first, second) = len(mean), LAYERS
    between: dict[str, Any] = options | {"hidden": (100, 100)}

    def gaussian(net, n, seen):
        return combinators.encoded(net, vae.diagonal(n), cond_shape=(seen,))

    encoder = standardised(nets.mlp(dim, 2 * first, **options), mean)
    decoder = from_coins(nets.mlp(first, dim, **options), mean)
    return vae.hierarchy(
        [
            gaussian(encoder, first, dim),
            gaussian(nets.mlp(first, 2 * second, **between), second, first),
        ],
        [
            gaussian(nets.mlp(second, 2 * first, **between), first, second),
            distributions.standard_normal(second),
        ],
        likelihoods.factorised(decoder, likelihoods.bernoulli(), dim, cond_shape=(first,)),
    )


def decayed(params: Params) -> dict:
    """True for weights; false for biases and pseudo-inputs, which do not decay."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.ndim > 1 and path[0].key != "pseudo_inputs", params
    )


def loss(config: Config, name: str) -> Callable:
    """The bound by which the model `name` is trained, as a loss; a ladder has free bits."""
    if name in ("iwae", "dreg"):
        bound = {"iwae": objectives.iwae, "dreg": objectives.dreg}[name]
        return functools.partial(bound, num_samples=config.iwae_samples)
    if name == "ladder":
        return functools.partial(objectives.elbo, free_bits=config.free_bits, per="group")
    return objectives.elbo


def started(config: Config, name: str, model: Any, rows: Any) -> Any:
    """The parameters from which training starts; None for those of the model's own `init`.

    The pseudo-inputs of a VampPrior start at rows of the training split, with --start or without.
    """
    goes_on = config.start is not None and name not in ("two-layers", "ladder")
    if not goes_on and name != "vamp":
        return None
    params = model.init(jax.random.key(config.seed))
    if goes_on:
        learned = learning.load(config.start).params
        params = carried(params, {"model": learned} if name == "vamp" else learned)
    if name != "vamp":
        return params
    taken = np.random.default_rng(config.seed).permutation(len(rows["train"]))
    inputs = rows["train"][np.resize(taken, config.num_pseudo_inputs)].astype(np.float32)
    return params | {"pseudo_inputs": jnp.asarray(inputs)}


def carried(new: dict | Array, old: Any) -> Any:
    """The parameters `new`, with the values of `old` where it has them.

    An array of `old` may be smaller than that of `new`, of which it then fills the first entries.
    """
    if isinstance(new, dict):
        return {name: carried(x, old[name]) if name in old else x for name, x in new.items()}
    if isinstance(new, (list, tuple)):
        return type(new)(carried(a, b) for a, b in zip(new, old, strict=True))
    if new.ndim != old.ndim or any(a < b for a, b in zip(new.shape, old.shape)):
        raise checks.InputError(
            f"start: its weights of shape {old.shape} do not fit {new.shape} of this model; give "
            "the widths and the data that it was trained with."
        )
    return new.at[tuple(slice(n) for n in old.shape)].set(old)


def recipe_of(config: Config, name: str, rows: Any) -> learning.Recipe:
    """How to build the model `name`, given the frequencies of bits in the training split."""
    given = {"mean": rows["train"].mean(0), "hidden": config.hidden}
    given |= {"num_latents": config.num_latents, "num_pseudo_inputs": config.num_pseudo_inputs}
    return learning.Recipe(build, given | {"name": name})


def fit(config: Config, name: str, rows: Any) -> tuple:
    """A trained model, and what `fitting` returns."""
    recipe = recipe_of(config, name, rows)
    model = recipe.model()
    task = fitting.bound_task(
        model,
        rows,
        num_samples=config.iwae_samples if name in ("iwae", "dreg") else 1,  # as it is trained
        test_samples=config.test_samples,
        test_rows=config.test_rows,
        eval_batch=100,
        surgery=config.surgery,
    )
    anneals = config.start is None and name not in ("iwae", "dreg", "ladder")
    return model, fitting.maximum_bound(
        config,
        name,
        model,
        rows,
        task,
        loss=loss(config, name),
        start=started(config, name, model, rows),
        beta_steps=config.beta_steps if anneals else 0,
        adamw=fitting.adamw_of(config, decayed=decayed, clip=200.0, warmed=True),
        recipe=recipe,
    )


def show(found: dict) -> None:
    rows = []
    for name, r in found["models"].items():
        kl = [f"{value:.1f}" for what, value in r.items() if what.startswith("kl_")]
        rows.append(
            {
                "model": name,
                "test nats": f"{r['test_nats']:.2f} ± {r['test_nats_stderr']:.2f}",
                "ELBO": f"{r['elbo_nats']:.2f}",
                "KL": " + ".join(kl),
                "active": f"{r['active_units']}/{r['num_units']}",
                "parameters": r["num_params"],
                "training s": round(r["train_seconds"]),
            }
        )
    columns = list(rows[0])
    for name, figure in published.of(found["published"], "nats").items():
        rows.append({"model": f"{name} ({figure.source})", "test nats": f"{figure.value:.2f}"})
    runs.table(rows, columns)
    of = f", corrected from {r['test_rows']} rows" if "test_rows" in r else ""
    print(
        f"Test nats: the bound with {r['num_samples']} samples{of}; ELBO: with one. KL of each "
        "group of z,\nthe lowest first. Active: units whose posterior mean varies with x."
    )
    fitting.tell(found["models"])


def draw(config: Config, data: Any, rows: Any, fitted: Any) -> None:
    """Saves samples.png, reconstructions.png and curves.png."""
    x = rows["test"][np.random.default_rng(config.seed).permutation(len(rows["test"]))[:32]]
    made, key = {}, jax.random.key(config.seed + 1)
    for i, (name, (model, found)) in enumerate(fitted.items()):
        draws = jax.jit(functools.partial(drawn, model))
        made[name] = draws(found.params, jax.random.fold_in(key, i), x)
    for file, num in (("means", 2 * COLUMNS), ("reconstructions", COLUMNS)):
        groups = {name: np.asarray(each[file][:num]) for name, each in made.items()}
        figure = sets.grid(data, {"test data": x[:num]} | groups, columns=COLUMNS)
        plots.save(figure, config.directory / f"{file.replace('means', 'samples')}.png")
    curves = {name: found.curves["valid_nats"] for name, (_, found) in fitted.items()}
    figure = plots.curves(curves, xlabel="step", ylabel="bound of the validation split, nats")
    plots.save(figure, config.directory / "curves.png")


def drawn(model: LatentVariable, params: Params, key: Key, x: Array) -> dict[str, Array]:
    """E[x | z], {"means", "reconstructions"}: of z from the prior, and of codes z of the rows x."""
    found = pictures(model, params, key, x)
    return {name: found[name] for name in ("means", "reconstructions")}


def main(config: Config) -> dict:
    check(config, "models")
    data, rows = sets.bits(config)
    for name in config.models:  # a model that is too large is told at once
        fitting.check_size(config, name, recipe_of(config, name, rows).model().init)
    fitted = {name: fit(config, name, rows) for name in config.models}
    if processes.first():
        draw(config, data, rows, fitted)
    return {
        "data": config.data,
        "published": published.known(data),
        "models": {name: found.row for name, (_, found) in fitted.items()},
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=2)
