r"""A VQ-VAE in two stages: pictures become a few codes, and a Gated PixelCNN learns the codes.

    python -m experiments.quantized.vqvae

trains both stages on the 8x8 digits, and beside them a Gated PixelCNN of the pixels with as many
parameters, on two CPU cores in about ten minutes; the data need no download. It reports a bound of
log p(x) in bits per dimension (bits/dim) and its two parts: the rate, which is the code length of
the codes under the prior, and the distortion, which is that of the picture given its codes. With
the uniform prior every code has the length log2 num_codes.

Expect 1.96 bits/dim for the digits, with a rate of 0.36, and 1.97 with the uniform prior: the four
codes of a digit, 61 of 64 in use, are nearly uniform and independent. A VAE with convolutions has
1.89.

Samples are judged as in experiments.gans.images, by the features of a classifier that the run
trains. --priors gated-pixelcnn pixelsnail transformer trains three priors on the same codes. The
pictures: reconstructions.png; samples.png, from uniformly drawn codes and from codes of each prior;
codes.png, pictures above the maps of their codes; usage.png, how often each code is used over all
training rows; curves.png and prior.png, the validation bound of stage one and the validation rate
of stage two. One line loads both stages:

    loaded = learning.load("runs/quantized/vqvae/vqvae")

MNIST, Fashion-MNIST and CIFAR-10 (--data, with --data-dir) have more pixels, and need more of
everything:

    python -m experiments.quantized.vqvae --data mnist --num-codes 128 --hidden 32 64 \
        --num-steps 4000 --prior-steps 4000 --prior-hidden 48 --prior-layers 6

The net of the paper for CIFAR-10, whose bound with the uniform prior is 4.67 bits/dim there:

    python -m experiments.quantized.vqvae --data cifar10 --hidden 256 256 --num-blocks 2 \
        --num-codes 512 --dim 64 --num-components 10 --num-steps 250000 --batch-size 128 \
        --learning-rate 2e-4 --prior-hidden 128 --prior-layers 12 --prior-steps 100000

(for an accelerator; not run).
van den Oord et al. (2017), "Neural discrete representation learning".
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import jax
import numpy as np

from dgm_jax import autoregressive as ar
from dgm_jax import learning, nets, plots, protocol, quantized, runs
from dgm_jax.runs import processes
from experiments import fitting
from experiments.options import Data, check
from experiments.quantized import stages
from experiments.vae.compare import head

if TYPE_CHECKING:
    from dgm_jax.protocol import Density, Key


@dataclasses.dataclass(frozen=True)
class Config(stages.Judged, stages.TwoStages, Data, runs.RunOptions):
    class_conditional: ClassVar[bool] = False
    quantiser: Literal["averaged", "gradient", "finite-scalar"] = "averaged"
    """the quantiser: a codebook of moving averages of features, a codebook that is trained by
    gradients, or finite scalar quantisation without a codebook"""
    num_codes: int = 64
    """the number of vectors in the codebook"""
    levels: tuple[int, ...] = (4, 4, 4)
    """the number of levels of each entry, for finite-scalar; it replaces num_codes and dim"""
    dim: int = 16
    """the dimension of the vectors"""
    num_parts: int = 1
    """the number of codes at each place: the vector is split into as many parts, each of which has
    a codebook"""
    decay: float = 0.99
    """the decay of the moving averages in the codebook"""
    revive: float = 0.1
    """a code that is used less often than this fraction of an equal share is set to a feature of
    the batch; 0: never"""
    beta: float = 0.25
    """the weight β of the commitment loss"""
    hidden: tuple[int, ...] = (32, 64)
    """channels of the encoder, for each halving of the picture; the decoder has the same in
    reverse"""
    num_blocks: int = 1
    """residual blocks for each halving or doubling"""
    dropout: float = 0.1
    """the dropout rate in the nets of stage one"""
    num_components: int = 5
    """components of the mixture of logistics of a pixel; bits are Bernoulli"""
    joint_channels: bool = True
    """whether the channels of a pixel depend on one another given the codes, by a shared mixture;
    else they are independent"""
    priors: tuple[stages.PriorName, ...] = ("gated-pixelcnn",)
    """the priors to train, all on the same codes; the first is the one of the model vqvae"""
    prior_hidden: int = 32
    """channels of each prior"""
    prior_layers: int = 2
    """layers of each prior"""
    prior_heads: int = 4
    """attention heads of pixelsnail and transformer; must divide --prior-hidden"""
    pixels_steps: int = 500
    """gradient steps of the Gated PixelCNN of pixels, which learns at the rate of stage one; 0
    leaves it out"""
    pixels_hidden: int = 64
    """channels of the Gated PixelCNN of pixels; with 64 and 4 layers it has as many parameters as
    both stages on the digits"""
    pixels_layers: int = 4
    """layers of the Gated PixelCNN of pixels"""
    pixels_decay: float = 1.0
    """the weight decay of the Gated PixelCNN of pixels"""
    num_shown: int = 16
    """pictures in a row"""


QUICK: dict[str, Any] = {"num_steps": 20, "prior_steps": 20, "pixels_steps": 10, "eval_every": 10}
QUICK |= {"hidden": (4, 8), "num_codes": 8, "dim": 4, "prior_hidden": 4, "prior_layers": 1}
QUICK |= {
    "pixels_hidden": 4,
    "pixels_layers": 1,
    "num_blocks": 0,
    "num_components": 2,
    "num_shown": 8,
    "num_samples": 64,
    "classifier_steps": 20,
}


# ------------------------------------------------------------------------------- models
def quantiser_of(config: Config) -> quantized.Quantiser:
    """The quantiser that the options describe."""
    if config.quantiser == "finite-scalar":
        one = quantized.finite_scalar(config.levels)
    elif config.quantiser == "gradient":
        one = quantized.gradient_codebook(config.num_codes, config.dim)
    else:
        options = {"decay": config.decay, "revive": config.revive}
        one = quantized.averaged_codebook(config.num_codes, config.dim, **options)
    return one if config.num_parts == 1 else quantized.grouped(one, config.num_parts)


@runs.builder
def build_coder(config: Config, shape: tuple[int, int, int], num_levels: int) -> quantized.Coder:
    """Stage one: encoder, quantiser and decoder of pictures [H, W, C]."""
    likelihood, quantiser = head(config, num_levels, shape[2]), quantiser_of(config)
    options: dict[str, Any] = {"num_blocks": config.num_blocks, "dropout": config.dropout}
    encoder = nets.map_encoder(shape, quantiser.dim, hidden=config.hidden, **options)
    decoder = nets.map_decoder(
        quantiser.dim,
        shape,
        likelihood.outputs(shape[2]),
        hidden=config.hidden[::-1],
        **options,
    )
    return quantized.vqvae(encoder, decoder, likelihood, shape, quantiser)


def prior_of(config: Config, name: str, coder: quantized.Coder) -> Density:
    """The prior `name` of the maps of codes that `coder` makes."""
    return stages.density_of_codes(config, name, coder.code_shape, coder.num_codes)


@runs.builder
def build(
    config: Config, shape: tuple[int, int, int], num_levels: int, prior: str = "gated-pixelcnn"
) -> protocol.LatentVariable:
    """Both stages, with the prior of this name: a latent variable model of pictures."""
    coder = build_coder(config, shape, num_levels)
    return quantized.with_prior(coder, prior_of(config, prior, coder))


@runs.builder
def build_pixels(config: Config, shape: tuple[int, int, int], num_levels: int) -> protocol.Density:
    """A Gated PixelCNN of pixels, without codes."""
    return ar.gated_pixelcnn(
        shape,
        head(config, num_levels),
        hidden=config.pixels_hidden,
        num_layers=config.pixels_layers,
    )


# ------------------------------------------------------------------------------- stages
def fit_pixels(config: Config, given: dict, rows: dict) -> fitting.Fitted:
    """The Gated PixelCNN of pixels, trained for pixels_steps steps with pixels_decay."""
    recipe = learning.Recipe(build_pixels, {"config": config} | given)
    options = {"num_steps": config.pixels_steps, "weight_decay": config.pixels_decay}
    config = dataclasses.replace(config, **options)
    return fitting.maximum_likelihood(
        config,
        "pixelcnn",
        recipe.model(),
        rows,
        adamw=fitting.adamw_of(config, warmed=True),
        eval_batch=100,
        recipe=recipe,
    )


def fit_priors(
    config: Config, given: dict, coder: quantized.Coder, first: fitting.Fitted, rows: dict
) -> dict:
    """{name: (model, what `fitting` returns, codes)} of each prior; the first is named vqvae."""
    found = {}
    for prior in config.priors:
        name = f"vqvae-{prior}" if found else "vqvae"
        recipe = learning.Recipe(build, {"config": config, "prior": prior} | given)
        found[name] = stages.fit_prior(
            config,
            name,
            recipe,
            coder,
            prior_of(config, prior, coder),
            first,
            rows,
            stages.two(config)[1],
        )
    return found


def main(config: Config) -> dict:
    check(config, "priors")
    data = stages.pictures(config)
    rows = {split: x for split, (x,) in data.rows.items()}
    given = {"shape": data.shape, "num_levels": data.num_levels}
    recipe = learning.Recipe(build_coder, {"config": config} | given)
    coder, one = recipe.model(), stages.two(config)[0]
    first = stages.fit_codes(config, "vqvae", recipe, rows, one, beta=config.beta)
    found = fit_priors(config, given, coder, first, rows)
    models = {name: fitted.row for name, (_, fitted, _) in found.items()}
    if config.pixels_steps:
        models["pixelcnn"] = fit_pixels(config, given, rows).row
    made = samples(config, coder, found, jax.random.key(config.seed + 1))
    if processes.first():
        draw(config, data, coder, found, first, made)
    return {
        "models": models | stages.simple(data),
        "data": config.data,
        "published": data.published,
        **stages.judged(config, data, {name: (x, None) for name, x in made.items()}),
    }


# -------------------------------------------------------------------------------- pictures
def samples(config: Config, coder: quantized.Coder, found: dict, key: Key) -> dict:
    """{name: pictures} from uniformly drawn codes, and from codes of each prior."""
    num = max(config.num_samples, 2 * config.num_shown)
    coder_params = next(iter(found.values()))[1].params["coder"]
    alone = quantized.with_prior(coder), {"coder": coder_params, "prior": {}}
    named = {"codes at random": alone}
    for prior, (model, fitted, _) in zip(config.priors, found.values()):
        named["codes of the prior" if len(found) == 1 else prior] = model, fitted.params
    keys = jax.random.split(key, len(named))
    return {
        name: np.asarray(stages.drawn(model, params, key, num))
        for key, (name, (model, params)) in zip(keys, named.items())
    }


def draw(
    config: Config, data: Any, coder: quantized.Coder, found: dict, first: fitting.Fitted, made: Any
) -> None:
    """Saves reconstructions, samples, codes, usage, curves and prior as .png files."""
    shown, x = config.num_shown, data.rows["test"][0]
    order = np.random.default_rng(config.seed).permutation(len(x))[: 2 * config.num_shown]
    x = x[np.resize(order, 2 * shown)]
    model, fitted, codes = found["vqvae"]
    seen = stages.encoded(coder, first.params, x)
    again = jax.jit(lambda params, c: model.likelihood(params, c).mean())(fitted.params, seen)
    save = lambda figure, name: plots.save(figure, config.directory / f"{name}.png")
    grid = lambda rows, name: save(
        stages.images(np.concatenate(list(rows.values())), shown, list(rows), data.num_levels), name
    )
    grid({"test data": x[:shown], "E[x | codes]": again[:shown]}, "reconstructions")
    some = {name: of_name[: 2 * shown] for name, of_name in made.items()}
    grid({"test data": x} | some, "samples")
    save(stages.code_maps(x[:shown], seen[:shown], data.num_levels, coder.num_codes), "codes")
    save(stages.used(codes["train"], coder.num_codes), "usage")
    bits = {"stage one, uniform prior": first.curves["valid_bits_per_dim"]}
    save(plots.curves(bits, xlabel="step", ylabel="validation bound, bits/dim"), "curves")
    rates: dict[str, tuple] = {
        prior: fitted.curves["valid_rate"]
        for prior, (_, fitted, _) in zip(config.priors, found.values())
    }
    save(plots.curves(rates, xlabel="step", ylabel="validation rate, nats"), "prior")


def show(found: dict) -> None:
    stages.show(found)
    stages.show_judged(found)
    fitting.tell(found["models"])


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=10)
