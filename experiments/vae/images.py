r"""PixelVAE, VLAE, a very deep ladder and a convolutional VAE: what is left to the code z.

    python -m experiments.vae.images

trains five models of the 8x8 digits, in half an hour of one core; the data need no download. It
reports bits per dimension (bits/dim) of the test set, by importance sampling with 500 samples.

    pixelvae   a PixelCNN++ with dropout that reads a map of z
    without-z  the same PixelCNN++ alone, to tell the effect of dropout from that of z
    vlae       a PixelCNN that sees 2 rows up and 2 columns aside; z has an autoregressive prior
    ladder     nine groups of maps of z from 1x1 to 8x8 (`vae.image_ladder`); pixels are
               independent given z
    conv       one z and convolutions; pixels are independent given z

Expect 1.73 for the PixelVAE and 1.73 without z, 1.77 for the VLAE, 1.82 for the ladder and 1.89 for
conv. The PixelCNN++ leaves z nothing to tell; what brings it below the 1.746 that it has in
`experiments.autoregressive.images` is dropout. samples.png shows samples, codes.png pairs of images
drawn from the same z, which show what z determines, and curves.png the ELBO on the validation
split.

    python -m experiments.vae.images --data binarized_mnist --data-dir FOLDER --models pixelvae \
        --causal gated --hidden 24 --num-layers 4 --num-latents 32 --batch-size 32 --dropout 0 \
        --weight-decay 0.01 --ema-decay 0.999 --learning-rate 2e-3 --num-steps 1800 \
        --eval-every 600 --beta-steps 400 --test-samples 100 --test-rows 300

trains for one epoch of binarized MNIST in ten minutes of one core: expect -85.6 nats, and -85.8 for
the VLAE with --models vlae --window 3. The ladder needs --groups 1 4 4 1 there. MNIST (--data
mnist) has 256 levels, and CIFAR-10 three colours, which share the discretised logistics of a pixel.
With an accelerator, near the size of the papers (not run):

    python -m experiments.vae.images --data cifar10 --data-dir FOLDER --models pixelvae vlae \
        --num-latents 64 --hidden 160 --num-layers 6 --num-components 10 --num-steps 200000 \
        --eval-every 5000 --learning-rate 4e-4 --weight-decay 0.01 --ema-decay 0.9995 \
        --patience None
    python -m experiments.vae.images --data cifar10 --data-dir FOLDER --models ladder \
        --groups 22 11 6 3 1 --width 384 --group-latents 16 --num-components 10 --batch-size 32 \
        --num-steps 1000000 --eval-every 10000 --learning-rate 2e-4 --weight-decay 0.01 \
        --ema-decay 0.9998 --dropout 0 --patience None

Figures are bounds with --test-samples samples; compare them only with bounds of as many samples.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import jax
import numpy as np

from dgm_jax import autoregressive as ar
from dgm_jax import (
    checks,
    flows,
    learning,
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
from experiments.vae.compare import head

if TYPE_CHECKING:
    from dgm_jax.likelihoods import Conditional
    from dgm_jax.protocol import Array, Density, Key, Net, Params

ModelName = Literal["pixelvae", "without-z", "vlae", "ladder", "conv"]


# Options that `experiments.options` declares as numbers may be None here:
# `of_model` fills them before they are read.
@dataclasses.dataclass(frozen=True)
class Config(Optimisation, Data, runs.RunOptions):
    class_conditional: ClassVar[bool] = False
    models: tuple[ModelName, ...] = ("pixelvae", "without-z", "vlae", "ladder", "conv")
    """which models to train: without-z is the decoder of the PixelVAE alone, ladder a very deep
    ladder of images, conv a plain VAE with convolutions"""
    causal: Literal["pixelcnn++", "gated", "pixelcnn"] = "pixelcnn++"
    """the decoder of the PixelVAE, which sees all earlier pixels"""
    window: int = 2
    """the number of rows up and columns aside that the decoder of the VLAE sees, a PixelCNN with
    3x3 kernels"""
    hidden: int = 32
    """channels of the autoregressive nets, and of the first convolutions of the other nets, which
    double at each halving"""
    num_layers: int = 2
    """blocks of the autoregressive net of the PixelVAE (of each half, for pixelcnn++)"""
    num_latents: int = 8
    """the number of entries of z, except for a ladder"""
    groups: tuple[int, ...] = (3, 3, 2, 1)
    """the number of maps of z of the ladder at each resolution: that of the image, each half of the
    one before, and at last one pixel"""
    group_latents: int = 4
    """the number of entries of z at each pixel of these maps"""
    width: int = 48
    """channels of the ladder; inside its blocks there are a quarter as many"""
    map_channels: int = 8
    """channels of the map of z that the autoregressive nets read"""
    num_components: int = 5
    """components of the mixture of logistics of a pixel; bits are Bernoulli"""
    joint_channels: bool = True
    """whether the channels of a pixel depend on one another given z in conv and ladder, by a shared
    mixture as in the others; else they are independent"""
    dropout: float | None = None
    """the dropout rate of the nets. By default this, the three options below and --beta-steps
    depend on the model (SETTINGS in the source)"""
    num_steps: int | None = None
    """gradient steps of each model; the step that is best on the validation split is kept"""
    learning_rate: float | None = None  # ty: ignore[incompatible-attribute-override]
    weight_decay: float | None = None  # ty: ignore[incompatible-attribute-override]
    batch_size: int = 64
    ema_decay: float = 0.99
    eval_every: int = 100
    beta_steps: int | None = None
    """the number of first steps in which the weight of the KL term rises from 0 to 1; by default
    none, except for the ladder"""
    test_samples: int = 500
    """samples K of the bound on the test split"""
    test_rows: int = 500
    """the number of test rows that get all of these samples. All rows get a hundredth of them, and
    their mean is corrected by what the further samples add on the former"""
    held_out: int | None = None
    """rows of the validation split and of the test split that are used; all by default"""
    num_shown: int = 16
    """images in a row of the pictures"""


SETTINGS = {
    "pixelvae": {
        "num_steps": 600,
        "learning_rate": 3e-3,
        "weight_decay": 1.0,
        "dropout": 0.3,
    },
    "vlae": {"num_steps": 1500, "learning_rate": 2e-3, "weight_decay": 0.5, "dropout": 0.2},
    "ladder": {
        "num_steps": 2000,
        "learning_rate": 2e-3,
        "weight_decay": 0.3,
        "dropout": 0.1,
        "beta_steps": 500,
    },
    "conv": {"num_steps": 1500, "learning_rate": 2e-3, "weight_decay": 0.3, "dropout": 0.2},
}
SETTINGS["without-z"] = SETTINGS["pixelvae"]
QUICK: dict[str, Any] = {
    "num_steps": 20,
    "eval_every": 10,
    "hidden": 4,
    "num_latents": 4,
    "causal": "pixelcnn",
}
QUICK |= {
    "num_layers": 1,
    "test_samples": 5,
    "num_shown": 8,
    "num_components": 2,
    "map_channels": 2,
    "groups": (1, 1),
    "width": 8,
}


def of_model(config: Config, name: str) -> Any:
    """The config, with the default settings of a model for the options that are None."""
    return filled(config, SETTINGS[name])


def causal_net(
    config: Any,
    shape: tuple[int, int, int],
    levels: Conditional,
    cond_shape: tuple[int, int, int] | None = None,
) -> Density:
    """The autoregressive decoder of a PixelVAE, which sees all earlier pixels."""
    sizes: dict[str, Any] = {
        "hidden": config.hidden,
        "num_layers": config.num_layers,
        "cond_shape": cond_shape,
    }
    if config.causal == "pixelcnn++":
        return ar.pixelcnn_pp(shape, levels, dropout=config.dropout, **sizes)
    make = {"gated": ar.gated_pixelcnn, "pixelcnn": ar.pixelcnn}[config.causal]
    return make(shape, levels, **sizes)


def local_net(config: Config, shape: tuple[int, int, int], levels: Conditional) -> Density:
    """The decoder of a VLAE, which sees a window: its first layer 1 pixel, each block 1 more."""
    return ar.pixelcnn(
        shape,
        levels,
        hidden=config.hidden,
        num_layers=config.window - 1,
        first_kernel_size=3,
        cond_shape=(*shape[:2], config.map_channels),
    )


def encoder_of(config: Any, shape: tuple[int, int, int], outputs: int) -> Net:
    """Convolutions that halve the image twice, or once if it is small."""
    return nets.conv_encoder(
        shape,
        outputs,
        hidden=(config.hidden, 2 * config.hidden),
        num_blocks=1,
        dropout=config.dropout,
    )


def decoder_of(config: Any, shape: tuple[int, int, int], channels: int) -> Net:
    """From z to maps [H, W, channels], by convolutions that mirror those of `encoder_of`."""
    return nets.conv_decoder(
        config.num_latents,
        shape,
        channels,
        hidden=(2 * config.hidden, config.hidden),
        num_blocks=1,
        dropout=config.dropout,
    )


@runs.builder
def build(
    config: Config, name: str, shape: tuple[int, int, int], num_levels: int
) -> protocol.LatentVariable | protocol.Density:
    """The model `name` of images [H, W, C]; without-z is a density, the others have latents."""
    config, n, levels = of_model(config, name), config.num_latents, head(config, num_levels)
    pixels = head(config, num_levels, shape[2])
    if name == "without-z":
        return causal_net(config, shape, levels)
    if name == "ladder":
        halves = [shape[0] // 2**i for i in range(len(config.groups) - 1)]
        return vae.image_ladder(
            shape,
            pixels,
            resolutions=[*halves, 1],
            num_layers=config.groups,
            width=config.width,
            num_latents=config.group_latents,
            dropout=config.dropout,
            unroll=jax.default_backend() == "cpu",
        )
    encoder = encoder_of(config, shape, 2 * n)
    if name == "conv":
        decoder = decoder_of(config, shape, pixels.outputs(shape[2]))
        return vae.vae(encoder, decoder, pixels, shape, num_latents=n)
    to_map = decoder_of(config, shape, config.map_channels)
    if name == "pixelvae":
        causal = causal_net(config, shape, levels, (*shape[:2], config.map_channels))
        return vae.pixelvae(encoder, to_map, causal, levels, shape, num_latents=n)
    flow = flows.maf(n, num_layers=2, hidden=(4 * n,))
    local = local_net(config, shape, levels)
    return vae.vlae(encoder, to_map, local, levels, shape, num_latents=n, flow=flow)


def fit(config: Any, name: str, data: Any, rows: dict) -> tuple:
    """The model `name`, and what was fitted: by likelihood without z, else by the ELBO."""
    given = {"name": name, "shape": data.shape, "num_levels": data.num_levels}
    recipe = learning.Recipe(build, {"config": config} | given)
    model, config = recipe.model(), of_model(config, name)
    adamw = fitting.adamw_of(config, warmed=True)
    options: dict[str, Any] = {"adamw": adamw, "recipe": recipe}
    if name == "without-z":
        options |= {"eval_batch": 100}
        return model, fitting.maximum_likelihood(config, name, model, rows, **options)
    task = fitting.bound_task(
        model,
        rows,
        test_samples=config.test_samples,
        test_rows=config.test_rows,
        eval_batch=50,
        chunk_size=max(50 * 64 // (data.shape[0] * data.shape[1]), 1),  # to fit into memory
    )
    return model, fitting.maximum_bound(
        config,
        name,
        model,
        rows,
        task,
        loss=objectives.elbo,
        beta_steps=config.beta_steps or 0,
        **options,
    )


def drawn(model: Any, params: Params, key: Key, x: Array) -> tuple[Array, ...]:
    """Samples, and two draws from p(x | z) with the same z ~ q(z | x) for each of the images x.

    A model without z has samples alone.
    """
    num = len(x)
    if hasattr(model, "dist"):  # a density
        of_density = lambda params, key: model.dist(params).sample(seed=key, sample_shape=2 * num)
        return (jax.jit(of_density)(params, key),)

    @jax.jit
    def draw(params, key, x):
        prior_key, sample_key, code_key, *keys = jax.random.split(key, 5)
        z = model.prior(params).sample(seed=prior_key, sample_shape=2 * num)
        samples = model.likelihood(params, z).sample(seed=sample_key)
        code = model.posterior(params, x).sample(seed=code_key)
        again = [model.likelihood(params, code).sample(seed=k) for k in keys]
        return samples, *again

    return draw(params, key, x)


def draw(config: Config, data: Any, x: Array, pictures: Any, curves: Any) -> None:
    """Saves samples.png, codes.png and curves.png."""
    shown = config.num_shown
    samples, codes = {"test data": x}, {"test data": x[:shown]}
    for name, (sample, *again) in pictures.items():
        samples[name] = sample[: 2 * shown]
        if again:
            codes[f"{name}, drawn from its z"] = again[0][:shown]
            codes[f"{name}, drawn again"] = again[1][:shown]
    for file, rows in (("samples", samples), ("codes", codes)):
        images = np.concatenate(list(rows.values()))
        figure = plots.sample_grid(
            images[..., 0] if data.shape[2] == 1 else images,
            columns=shown,
            row_names=list(rows),
            vmin=0,
            vmax=data.num_levels - 1,
        )
        plots.save(figure, config.directory / f"{file}.png")
    figure = plots.curves(curves, xlabel="step", ylabel="validation ELBO, bits per dimension")
    plots.save(figure, config.directory / "curves.png")


def show(found: dict) -> None:
    rows = []
    for name, r in found["models"].items():
        kl = [value for key, value in r.items() if key.startswith("kl_")]
        bits = f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}"
        rows.append(
            {
                "model": name,
                "parameters": r["num_params"],
                "bits/dim": bits,
                "ELBO": f"{r['elbo_bits_per_dim']:.3f}" if kl else "",
                "nats": round(r["test_nats"], 2),
                "KL nats": round(sum(kl), 2) if kl else "",
                "active": f"{r['active_units']} of {r['num_units']}" if kl else "",
                "best step": r["best_step"],
                "training s": round(r["train_seconds"]),
            }
        )
    runs.table(rows, list(rows[0]))
    print(
        f"{found['num_test']} test rows; bits/dim and nats by importance sampling, K = "
        f"{found['num_samples']}; exact where there is no z.\nKL: what z tells about x. A unit is "
        "active if the variance of its posterior mean is above 0.01."
    )
    fitting.tell(found["models"])


def main(config: Config) -> dict:
    check(config, "models")
    checks.positive_int(config.window, "window", least=2)
    data = sets.images(config)
    rows = {
        split: x if split == "train" else x[: config.held_out] for split, (x,) in data.rows.items()
    }
    for name in config.models:  # of all, before any learns
        model = build(config, name, data.shape, data.num_levels)
        fitting.check_size(config, name, model.init)
    order = np.random.default_rng(config.seed).permutation(len(rows["test"]))
    x = rows["test"][np.resize(order, 2 * config.num_shown)]
    results, pictures, curves = {}, {}, {}
    keys = jax.random.split(jax.random.key(config.seed + 1), len(config.models))
    for name, key in zip(config.models, keys):
        model, fitted = fit(config, name, data, rows)
        results[name] = fitted.row
        curves[name] = fitted.curves["valid_bits_per_dim"]
        pictures[name] = drawn(model, fitted.params, key, x)
    if processes.first():
        draw(config, data, x, pictures, curves)
    told = {"data": config.data, "published": data.published, "num_samples": config.test_samples}
    told["num_test"] = len(rows["test"])
    return {"models": results} | told


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=30)
