r"""Latent variable models side by side: a VAE, and other bounds, priors, posteriors and decoders.

    python -m experiments.vae.compare

trains seven models of the 8x8 digits with 17 levels, on two CPU cores in about a quarter of an
hour. It compares them on the test split by the bound of log p(x) with 500 importance samples
(--test-samples); the ELBO beside it is a bound too, and less tight:

    vae            two layers of 256, 12 latents, 5 discretised logistics for each pixel
    iwae           trained by the bound with 5 samples
    vamp           the prior is the mixture of the posteriors at 100 learned inputs
    flow-prior     the prior is a RealNVP of 4 layers
    iaf-posterior  the posterior goes through 2 inverse autoregressive layers
    ladder         two groups of latents with a shared top-down path
    pixelvae       the decoder is a PixelCNN++ that reads a map of z

There are more priors and posteriors, which replace those of the vae:

    python -m experiments.vae.compare --models mixture-prior maf-prior made-prior \
        full-rank-posterior planar-posterior sylvester-posterior realnvp-posterior

The pictures: samples.png; reconstructions.png; latents.png, posterior means coloured by class;
traversals.png, with a row for each of the two entries of z that vary most, moved from -2 to 2
standard deviations; and curves.png, the bound on the validation split during training.

The weight of the KL rises in the first third of the steps, except for the IWAE and the PixelVAE.
More of z is then used, and the vae and the VampPrior are better on the validation split. --surgery
evaluates during training how much codes know of their rows, and how far they are from the prior.
--data takes any set of images with levels, and --models selects models.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dgm_jax import autoregressive as ar
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
from experiments import fitting, sets
from experiments.options import Data, Optimisation, check, filled

if TYPE_CHECKING:
    import distrax

    from dgm_jax.data import Dataset
    from dgm_jax.protocol import Array, Density, Key, LatentVariable, Net, Params

MODELS = ("vae", "iwae", "vamp", "flow-prior", "iaf-posterior", "ladder", "pixelvae")
PRIORS = ("mixture-prior", "maf-prior", "made-prior")
POSTERIORS = (
    "full-rank-posterior",
    "planar-posterior",
    "sylvester-posterior",
    "realnvp-posterior",
)


# Options that `experiments.options` declares as numbers may be None here:
# `of_model` fills them before they are read.
@dataclasses.dataclass(frozen=True)
class Config(Optimisation, Data, runs.RunOptions):
    models: tuple[
        Literal[
            "vae", "iwae", "vamp", "flow-prior", "iaf-posterior", "ladder", "pixelvae",
            "mixture-prior", "maf-prior", "made-prior", "full-rank-posterior",
            "planar-posterior", "sylvester-posterior", "realnvp-posterior",
        ],
        ...,
    ] = MODELS  # fmt: skip
    """which models to train"""
    num_steps: int | None = None
    """gradient steps of each model. By default this and the eight options below depend on the model
    (SETTINGS in the source)"""
    batch_size: int | None = None  # ty: ignore[incompatible-attribute-override]
    learning_rate: float | None = None  # ty: ignore[incompatible-attribute-override]
    """the highest learning rate of AdamW, after a warm-up of 1/20 of the steps; then it decays to 0
    by a cosine"""
    weight_decay: float | None = None  # ty: ignore[incompatible-attribute-override]
    ema_decay: float | None = None  # ty: ignore[incompatible-attribute-override]
    dropout: float | None = None
    """the dropout rate of the nets in training"""
    hidden: tuple[int, ...] | None = None
    """widths of the hidden layers of encoder and decoder; for a ladder, of each of its groups"""
    num_latents: int | None = None
    """the number of entries of z; a ladder has two thirds of them in its lowest group, and half as
    many in each group above"""
    anneal: float | None = None
    """the share of the steps in which the weight of the KL rises from 0 to 1; none for an IWAE"""
    num_components: int = 5
    """components of the mixture of logistics of a pixel"""
    iwae_samples: int = 5
    """samples K of the bound by which the IWAE is trained"""
    num_pseudo_inputs: int = 100
    """pseudo-inputs of the VampPrior, and Gaussians of the mixture prior"""
    channels: int = 32
    """channels of the PixelCNN++ in the decoder of the PixelVAE"""
    num_layers: int = 2
    """layers of each half of that PixelCNN++"""
    test_samples: int = 500
    """samples K of the bound by which all are compared"""
    eval_every: int = 100
    patience: int | None = 15
    surgery: bool = False
    """also evaluate the two parts of the KL term during training, the information in z about the
    row and the KL of the marginal q(z) (`metrics.elbo_surgery`)"""


SETTINGS = {  # by model; what is missing is as for the vae
    "vae": {
        "num_steps": 4000,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "weight_decay": 0.3,
        "ema_decay": 0.998,
        "dropout": 0.2,
        "hidden": (256, 256),
        "num_latents": 12,
        "anneal": 0.33,
    },
    "iwae": {"anneal": 0.0},
    "ladder": {"hidden": (256, 128)},
    "pixelvae": {
        "num_steps": 600,
        "batch_size": 64,
        "learning_rate": 3e-3,
        "weight_decay": 1.0,
        "ema_decay": 0.99,
        "hidden": (128,),
        "num_latents": 8,
        "anneal": 0.0,
    },
}
SETTINGS = {
    name: SETTINGS["vae"] | SETTINGS.get(name, {}) for name in (*MODELS, *PRIORS, *POSTERIORS)
}
QUICK = {"num_steps": 20, "eval_every": 10, "hidden": (16, 16), "test_samples": 10}
QUICK |= {
    "channels": 4,
    "num_layers": 1,
    "num_pseudo_inputs": 5,
    "num_components": 2,
    "num_latents": 4,
}
FEATURES = 32  # features of x that a flow in the posterior gets
COLUMNS = 16  # of the pictures
STEPS = np.linspace(-2, 2, 9)  # of a traversal, in deviations


def of_model(config: Config, name: str) -> Any:
    """The config, with the default settings of a model for the options that are None."""
    return filled(config, SETTINGS[name])


def head(config: Any, num_levels: int, channels: int = 1) -> likelihoods.Conditional:
    """p(x_i | z) of levels: Bernoulli if there are two, else a mixture of logistics.

    channels: those of a pixel, which depend on one another if the config has joint_channels.
    """
    if num_levels == 2:
        return likelihoods.bernoulli()
    if channels > 1 and not config.joint_channels:
        channels = 1
    options = {"num_components": config.num_components, "channels": channels}
    return likelihoods.discretized_logistic(num_levels, **options)


def flat(net: Net, shape: tuple) -> Net:
    """A net of vectors, as a net of x [..., *shape]."""
    dim = math.prod(shape)

    def apply(params, x, key=None):
        return net.apply(params, x.reshape(*x.shape[: x.ndim - len(shape)], dim), key=key)

    return net._replace(apply=apply)


@runs.builder
def build(
    config: Config, name: str, shape: tuple[int, ...], num_levels: int
) -> protocol.LatentVariable:
    """The model `name` of images of this shape."""
    config = of_model(config, name)
    n, dim = config.num_latents, math.prod(shape)
    likelihood, options = head(config, num_levels), {"dropout": config.dropout}
    if name == "ladder":
        groups = [max(n * 2 // 3 // 2**i, 1) for i in range(len(config.hidden))]
        return vae.ladder(shape, likelihood, num_latents=groups, hidden=config.hidden, **options)
    posterior = posterior_of(name, n)
    options |= {"hidden": config.hidden}
    encoder = flat(nets.mlp(dim, posterior.cond_shape[0], **options), shape)
    given: dict[str, Any] = {
        "num_latents": n,
        "prior": prior_of(config, name, n),
        "posterior": posterior,
    }
    if name == "pixelvae":
        return pixelvae(config, encoder, likelihood, shape, given)
    decoder = nets.mlp(n, likelihood.outputs(dim), **options)
    model = vae.vae(encoder, decoder, likelihood, shape, **given)
    if name == "vamp":
        num, most = config.num_pseudo_inputs, float(num_levels - 1)
        model = vae.vamp(model, shape, num_pseudo_inputs=num, low=0.0, high=most)
    return model


def prior_of(config: Config, name: str, n: Any) -> Density | None:
    """The prior of z [n] of this model; None means N(0, I)."""
    through = {
        "flow-prior": lambda: flows.realnvp(n, num_layers=4, hidden=(64,), shuffle=0),
        "maf-prior": lambda: flows.maf(n, num_layers=2, hidden=(64,)),
    }
    if name in through:
        return combinators.pushforward(through[name](), distributions.standard_normal(n))
    if name == "mixture-prior":
        return vae.mixture_prior(n, num_components=config.num_pseudo_inputs)
    if name == "made-prior":
        return ar.made(n, likelihoods.gaussian(), hidden=(64,))
    return None


def posterior_of(name: str, n: int) -> Any:
    """The posterior of z [n], conditional on the encoder's output: a Gaussian, or a flow of one."""
    if name == "full-rank-posterior":
        return vae.full_rank(n)
    seen: dict[str, Any] = {"cond_shape": (FEATURES,)}
    through = {
        "iaf-posterior": lambda: flows.iaf(n, num_layers=2, hidden=(64,), **seen),
        "planar-posterior": lambda: combinators.repeat(flows.planar(n, **seen), 8),
        "sylvester-posterior": lambda: combinators.repeat(flows.sylvester(n, **seen), 4),
        "realnvp-posterior": lambda: flows.realnvp(n, num_layers=4, hidden=(64,), **seen),
    }
    if name not in through:
        return vae.diagonal(n)
    return vae.flow_posterior(through[name](), vae.diagonal(n))


def pixelvae(
    config: Any,
    encoder: Net,
    likelihood: likelihoods.Conditional,
    shape: tuple,
    given: dict,
) -> LatentVariable:
    """A PixelVAE, whose decoder turns z into a map of features that a PixelCNN++ reads."""
    maps = (*shape[:2], 8)
    options: dict[str, Any] = {"hidden": config.hidden, "dropout": config.dropout}
    decoder = nets.mlp(given["num_latents"], math.prod(maps), **options)
    causal = ar.pixelcnn_pp(
        shape,
        likelihood,
        hidden=config.channels,
        num_layers=config.num_layers,
        dropout=1.5 * config.dropout,
        cond_shape=maps,
    )
    return vae.pixelvae(encoder, decoder, causal, likelihood, shape, **given)


def loss(config: Config, name: str) -> Callable:
    """The bound by which the model `name` is trained: of iwae_samples samples, or the ELBO."""
    if name == "iwae":
        return functools.partial(objectives.iwae, num_samples=config.iwae_samples)
    return objectives.elbo


def started(
    config: Config, name: str, model: LatentVariable, rows: dict[str, np.ndarray]
) -> dict | None:
    """The parameters from which training starts; None for those of the model's own `init`.

    The pseudo-inputs of a VampPrior start at rows of the training split.
    """
    if name != "vamp":
        return None
    taken = np.random.default_rng(config.seed).permutation(len(rows["train"]))
    inputs = rows["train"][np.resize(taken, config.num_pseudo_inputs)].astype(np.float32)
    return model.init(jax.random.key(config.seed)) | {"pseudo_inputs": jnp.asarray(inputs)}


def decayed(params: Params) -> dict:
    """True for all parameters but pseudo-inputs, which would decay to blank images."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[0], "key", None) != "pseudo_inputs", params
    )


def fit(
    config: Any,
    name: str,
    rows: dict[str, np.ndarray],
    shape: tuple[int, int, int],
    num_levels: int | None,
) -> tuple[LatentVariable, fitting.Fitted]:
    """A trained model, and what `fitting` returns."""
    given = {"name": name, "shape": shape, "num_levels": num_levels}
    recipe = learning.Recipe(build, {"config": config} | given)
    model, config = recipe.model(), of_model(config, name)
    task = fitting.bound_task(
        model,
        rows,
        num_samples=config.iwae_samples if name == "iwae" else 1,  # as it is trained
        test_samples=config.test_samples,
        eval_batch=100,
        surgery=config.surgery,
    )
    fitted = fitting.maximum_bound(
        config,
        name,
        model,
        rows,
        task,
        loss=loss(config, name),
        start=started(config, name, model, rows),
        beta_steps=0 if name == "iwae" else int(config.anneal * config.num_steps),
        adamw=fitting.adamw_of(config, decayed=decayed, warmed=True),
        recipe=recipe,
    )
    return model, fitted


def show(found: dict[str, dict]) -> None:
    rows = []
    for name, r in found["models"].items():
        kl = [f"{value:.2f}" for what, value in r.items() if what.startswith("kl_")]
        rows.append(
            {
                "model": name,
                "bits/dim": f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}",
                "ELBO": f"{r['elbo_bits_per_dim']:.3f}",
                "KL, nats": " + ".join(kl),
                "active": f"{r['active_units']}/{r['num_units']}",
                "parameters": r["num_params"],
                "training s": round(r["train_seconds"]),
            }
        )
    runs.table(rows, list(rows[0]))
    print(
        f"bits/dim: the bound with {r['num_samples']} samples, ± the standard error of the test "
        "set; ELBO: with one.\nKL of each group of z, the lowest first. Active: units whose "
        "posterior mean varies with x."
    )
    fitting.tell(found["models"])


# ----------------------------------------------------------------------------------------- pictures
def shown(dist: distrax.Distribution, key: Key) -> Array:
    """E[x | z], or a draw if the mean has no closed form, as for a PixelCNN."""
    try:
        return dist.mean()
    except (checks.InputError, NotImplementedError, AttributeError):
        return dist.sample(seed=key)


def pictures(model: LatentVariable, params: Params, key: Key, x: Array) -> dict:
    """Samples, reconstructions of x [n, ...], codes, and two traversals of the code of x_0."""
    prior_key, draw_key, code_key, decode_key, mean_key = jax.random.split(key, 5)
    again = jax.random.clone  # pictures side by side share their noise
    prior = model.prior(params).sample(seed=prior_key, sample_shape=len(x))
    of_prior = model.likelihood(params, prior)
    z = model.posterior(params, x).sample(seed=code_key)
    means = fitting.posterior_means(model, params, mean_key, x)[0]
    units, moved = traversed(z, means)
    rows = [model.likelihood(params, jax.tree.map(lambda a: a[i], moved)) for i in range(2)]
    return {
        "samples": of_prior.sample(seed=draw_key),
        "means": shown(of_prior, again(draw_key)),
        "reconstructions": shown(model.likelihood(params, z), decode_key),
        "codes": means,
        "units": units,
        "traversals": [shown(dist, again(decode_key)) for dist in rows],
    }


def traversed(z: Array, means: Array) -> tuple[Array, Array]:
    """The two units whose means vary most, and z_0 with each of them moved, [2, steps, ...]."""
    units = jnp.argsort(-means.var(0))[:2]
    codes = jax.vmap(lambda one: ravel_pytree(one)[0])(z)
    first, unravel = ravel_pytree(jax.tree.map(lambda a: a[0], z))
    values = codes.mean(0)[units, None] + STEPS * codes.std(0)[units, None]  # [2, steps]

    def with_unit(unit, value):
        return unravel(first.at[unit].set(value))

    return units, jax.vmap(jax.vmap(with_unit, (None, 0)))(units, values)


def draw(config: Config, data: Dataset, fitted: dict) -> None:
    """Saves samples, reconstructions, latents, traversals and curves as .png files."""
    order = np.random.default_rng(config.seed).permutation(len(data.test))
    x = with_channels(data.test[order])
    made, key = {}, jax.random.key(config.seed + 1)
    for i, (name, (model, found)) in enumerate(fitted.items()):
        draws = jax.jit(functools.partial(pictures, model))
        made[name] = draws(found.params, jax.random.fold_in(key, i), x)

    def save(figure, file):
        plots.save(figure, config.directory / f"{file}.png")

    for file, num in (("samples", 2 * COLUMNS), ("reconstructions", COLUMNS)):
        rows = {name: np.asarray(each[file][:num]) for name, each in made.items()}
        save(sets.grid(data, {"test data": x[:num]} | rows, columns=COLUMNS), file)
    labels = None if data.labels is None else data.labels["test"][order]
    codes = {name: np.asarray(each["codes"]) for name, each in made.items()}
    codes = {name: each for name, each in codes.items() if each.shape[1] > 1}
    if codes:
        save(plots.latent_space(codes, labels, title="posterior means"), "latents")
    rows = {
        f"{name}, z[{unit}]": np.asarray(row)
        for name, each in made.items()
        for unit, row in zip(np.asarray(each["units"]), each["traversals"])
    }
    save(sets.grid(data, rows, columns=len(STEPS)), "traversals")
    curves = {name: found.curves["valid_bits_per_dim"] for name, (_, found) in fitted.items()}
    ylabel = "validation bound, bits per dimension"
    save(plots.curves(curves, xlabel="step", ylabel=ylabel, logx=True), "curves")


def with_channels(x: np.ndarray) -> np.ndarray:
    """Images [n, H, W] as [n, H, W, 1]; anything else as it is."""
    return x if x.ndim != 3 else x[..., None]


def images(config: Config) -> tuple:
    """The data, {split: images [n, H, W, C]} and the shape of one."""
    data, _ = sets.levels(config)
    if data.train.ndim not in (3, 4):
        raise checks.InputError(
            f"data={config.data!r} has no images, which the PixelVAE and the pictures need; try "
            "digits."
        )
    rows = {split: with_channels(getattr(data, split)) for split in sets.SPLITS}
    return data, rows, rows["train"].shape[1:]


def main(config: Config) -> dict:
    check(config, "models")
    data, rows, shape = images(config)
    for name in config.models:  # a model that is too large is told at once
        fitting.check_size(config, name, build(config, name, shape, data.num_levels).init)
    fitted = {name: fit(config, name, rows, shape, data.num_levels) for name in config.models}
    if processes.first():
        draw(config, data, fitted)
    return {"models": {name: found.row for name, (_, found) in fitted.items()}}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=15)
