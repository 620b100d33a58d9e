r"""RealNVP, Glow and Flow++ on images: bits per dimension, samples, and errors of their inverses.

    python -m experiments.flows.images

trains RealNVP and Glow by maximum likelihood on the 8x8 digits. It prints test bits per dimension
(bits/dim) beside a histogram of each pixel (2.43), and max |x - T(T⁻¹(x))| over the whole test set,
in grey levels and float32. samples.png shows test images and samples; reconstructions.png test
images, T(T⁻¹(x)) and the error, magnified; curves.png the validation bits/dim in training. It takes
about three minutes on two CPU cores, one of which is compilation (kept for the next time). Expect
2.04 bits/dim for RealNVP and 2.06 for Glow (standard error of the test set 0.016), and errors of
about 1e-5.

    python -m experiments.flows.images --models flow++ --dequantization variational

trains the distribution of the dequantisation noise together with the flow; compare it with
--dequantization uniform. With --models glow --num-updates 800, Glow with learned noise has 1.99
bits/dim where it has 2.06 with uniform noise.

The next four commands are for MNIST or CIFAR-10 on an accelerator (none of these was run): RealNVP
with 9.7 M parameters; Glow with the scales, steps and channels of its paper, whose nets have one
more 1×1 convolution in the middle (19 M parameters here, 44 M there; --num-blocks 1 makes it 482
M); Flow++ with the couplings, components, blocks and channels of its paper (26 M). RESULTS.md tells
what smaller runs reach.

    python -m experiments.flows.images --data mnist --data-dir FOLDER --hidden 128 --num-blocks 2 \
        --num-steps 16 --num-updates 40000 --batch-size 64 --weight-decay 0.01
    python -m experiments.flows.images --data cifar10 --data-dir FOLDER --models realnvp \
        --hidden 64 --num-blocks 8 --num-scales 3 --num-steps 6 --num-updates 200000 \
        --batch-size 64 --weight-decay 0.01
    python -m experiments.flows.images --data cifar10 --data-dir FOLDER --models glow --hidden 512 \
        --num-blocks 0 --num-scales 3 --num-steps 32 --law contraction --num-updates 200000 \
        --batch-size 64 --weight-decay 0.01
    python -m experiments.flows.images --data cifar10 --data-dir FOLDER --models flow++ \
        --hidden 96 --num-blocks 10 --num-components 32 --num-couplings 4 2 3 \
        --dequantization variational --num-updates 200000 --batch-size 64 --weight-decay 0.01

With --class-conditional each model is p(x | class), and each column of its samples is one class.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from dgm_jax import (
    bijectors,
    combinators,
    distributions,
    flows,
    learning,
    objectives,
    plots,
    protocol,
    runs,
)
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import baselines, defaults, fitting, sets
from experiments.options import Data, Optimisation, check

if TYPE_CHECKING:
    import distrax

    from dgm_jax.protocol import Array, Density, Key, Params

ModelName = Literal["realnvp", "glow", "flow++"]


# Options that `experiments.options` declares as numbers may be None here:
# `experiments.defaults.of_images` fills them before they are read.
@dataclasses.dataclass(frozen=True)
class Config(Optimisation, Data, runs.RunOptions):
    models: tuple[ModelName, ...] = ("realnvp", "glow")
    """which flows to train"""
    dequantization: Literal["uniform", "variational"] = "uniform"
    """the noise that is added to levels: uniform, or from a flow that is trained with the model"""
    noise_couplings: int = 4
    """the number of couplings of the flow that makes learned noise"""
    class_conditional: bool = False
    """learn p(x | class): every net gets the one-hot class; each column of samples is one class"""
    num_scales: int | None = None
    """the number of scales of RealNVP and Glow. By default this, --hidden, --num-updates,
    --batch-size, --weight-decay, --eval-every and --by-pixel depend on the data
    (`experiments.defaults.of_images`)"""
    num_steps: int = 6
    """steps of Glow per scale; RealNVP has half as many couplings per mask type and scale"""
    law: Literal["affine", "contraction"] = "affine"
    """the scalar map in the couplings of RealNVP and Glow. contraction, as in the program of Glow's
    authors, bounds each scale of the density direction by 1.14: it is safer with many steps, and
    trains more slowly"""
    scale_bound: float = 1.0
    """the bound b of the log-scales in affine couplings, which are in (-b, b); with 3 a RealNVP of
    large images diverged"""
    hidden: int | None = None
    """channels of each conditioner"""
    num_blocks: int = 1
    """residual blocks of each conditioner"""
    num_components: int = 4
    """components of the mixture of logistics in Flow++"""
    num_couplings: tuple[int, int, int] = (4, 2, 3)
    """couplings of Flow++ on checkerboards, on channels, and on checkerboards again"""
    num_updates: int | None = None
    """gradient steps per model; the step that is best on the validation split is kept"""
    batch_size: int | None = None  # ty: ignore[incompatible-attribute-override]
    learning_rate: float = 2e-3
    """the learning rate of AdamW after a warm-up of 1/20 of the updates; then it decays to 0 by a
    cosine"""
    weight_decay: float | None = None  # ty: ignore[incompatible-attribute-override]
    ema_decay: float = 0.999
    alpha: float = 0.05
    """the margin α of the logit map of the pixels"""
    by_pixel: bool | None = None
    """standardise each pixel by its own mean and variance, so that the flow starts as one Gaussian
    per pixel; on digits this costs 0.05 bits/dim"""
    eval_every: int | None = None  # ty: ignore[incompatible-attribute-override]
    patience: int | None = 5
    num_shown: int = 16
    """images per row of the pictures"""


CLIP = 10.0  # the largest norm of a gradient
QUICK = {
    "num_updates": 20,
    "eval_every": 10,
    "hidden": 8,
    "num_steps": 2,
    "num_shown": 8,
    "num_components": 2,
    "num_couplings": (1, 1, 1),
    "noise_couplings": 1,
}


def standard_pixels(
    config: Config, num_levels: int, mean: np.ndarray, std: np.ndarray
) -> distrax.Bijector:
    """[0, K)^{H×W×C} -> R^{H×W×C}: the logit map, then (y - mean) / std for each pixel.

    With the mean and std of `of_pixels` the flow starts as one Gaussian for each pixel; otherwise
    it starts with the same Gaussian for a pixel in the middle of the image and one at its edge.
    """
    import distrax

    pixels = datasets.logit_map(num_levels, alpha=config.alpha, event_ndims=3)
    return distrax.Chain([datasets.standardize(mean, std, event_ndims=3), pixels])


def of_pixels(config: Config, rows: dict[str, tuple], num_levels: int) -> dict[str, np.ndarray]:
    """The mean and deviation of each pixel of the training split, after noise and logit.

    They are 0 and 1 if config.by_pixel is False.
    """
    shape = rows["train"][0].shape[1:]
    if not config.by_pixel:
        return {"mean": np.zeros(shape), "std": np.ones(shape)}
    pixels = datasets.logit_map(num_levels, alpha=config.alpha, event_ndims=3)
    keys = jax.random.split(jax.random.key(config.seed + 2))
    order = np.random.default_rng(config.seed)
    some = (order.permutation(rows[split][0])[:5000] for split in ("train", "valid"))
    noisy = (datasets.dequantize(key, x) for key, x in zip(keys, some))
    mean, std = baselines.fit_independent(*(pixels.forward(y) for y in noisy))
    return {"mean": mean.reshape(shape), "std": std.reshape(shape)}


def build(
    config: Any,
    name: str,
    shape: tuple[int, int, int],
    pixels: distrax.Bijector,
    num_levels: int,
    num_classes: int = 0,
) -> tuple[Density, Density]:
    """(p(y | c), q(u | x)): the density of images y in [0, K)^{H×W×C}, and that of the noise u.

    The images y = x + u are those of the levels x, K = num_levels, with noise u. pixels: the
    bijector of `standard_pixels`, from [0, K)^{H×W×C} to R^{H×W×C}.
    """
    net: dict[str, Any] = {"hidden": config.hidden, "num_blocks": config.num_blocks}
    seen: dict[str, Any] = net | {"cond_shape": (num_classes,) if num_classes else None}
    # In a scan on a CPU, the gradient of RealNVP takes 6 % longer, that of Glow 1 %, that of
    # Flow++ no longer; they compile in half to two thirds of the time.
    unroll = jax.default_backend() == "cpu"
    affine = config.law == "affine"
    law = bijectors.affine(bound=config.scale_bound) if affine else bijectors.contraction()
    if name == "realnvp":
        couplings = max(config.num_steps // 2, 1)
        flow = flows.realnvp_image(
            shape,
            num_scales=config.num_scales,
            num_couplings=couplings,
            law=law,
            unroll=unroll,
            **seen,
        )
    elif name == "glow":
        flow = flows.glow(
            shape, num_scales=config.num_scales, num_steps=config.num_steps, law=law, **seen
        )
    else:
        flow = flows.flow_pp(
            shape, num_components=config.num_components, num_couplings=config.num_couplings, **seen
        )
    base = distributions.standard_normal(math.prod(shape))
    model = combinators.pushforward(
        combinators.compose(combinators.invert(combinators.fixed(pixels)), flow), base
    )
    if config.dequantization == "variational":
        noise = flows.variational_noise(
            shape, num_levels, num_couplings=config.noise_couplings, unroll=unroll, **net
        )
        return model, noise
    return model, distributions.uniform_noise(shape)


@runs.builder
def density(
    config: Config,
    name: str,
    shape: tuple[int, int, int],
    num_levels: int,
    num_classes: int,
    mean: np.ndarray,
    std: np.ndarray,
) -> protocol.Density:
    """P(x | c) of images of levels, by a lower bound of its log; parameters {"model", "noise"}."""
    pixels = standard_pixels(config, num_levels, mean, std)
    model, noise = build(config, name, shape, pixels, num_levels, num_classes)
    return combinators.quantized(model, num_levels, noise)


def fit(
    config: Any,
    name: str,
    model: Density,
    noise: Density,
    rows: dict[str, tuple],
    recipe: learning.Recipe,
) -> fitting.Fitted:
    """Maximum likelihood on rows (images,) or (images, one-hot classes)."""
    order = np.random.default_rng(config.seed).permutation(len(rows["train"][0]))[:512]
    first, *cond = (part[order] for part in rows["train"])

    def init(key):
        """The initial parameters; the actnorms are set from a batch of training data."""
        model_key, noise_key, draw_key = jax.random.split(key, 3)
        params = combinators.adapt(
            model, model.init(model_key), datasets.dequantize(draw_key, first), *cond
        )
        return {"model": params, "noise": noise.init(noise_key)}

    def loss(params, key, row):
        return objectives.dequantized_nll(model, noise, params, key, *row)

    def log_prob(params, key, row):
        return objectives.dequantized_log_prob(model, noise, params, key, *row)

    return fitting.fit_by_adamw(
        config,
        name,
        init,
        loss,
        fitting.likelihood_task(log_prob, rows, num_draws=4, eval_batch=200),
        rows["train"],
        fitting.AdamW(
            config.learning_rate,
            config.num_updates,
            config.weight_decay,
            clip=CLIP,
            warm_up=config.num_updates // 20,
        ),
        ema_decay=config.ema_decay,
        eval_every=config.eval_every,
        patience=config.patience,
        recipe=recipe,
    )


def reconstructions(
    model: Density, params: Params, y: np.ndarray, *cond: Any, batch_size: int = 200
) -> np.ndarray:
    """T(T⁻¹(y)) of images y [n, H, W, C], in float32."""

    @jax.jit
    def there_and_back(params, y, *cond):
        bijector = model.dist(params, *cond).bijector  # ty: ignore[missing-attribute]
        return bijector.forward(bijector.inverse(y))

    size = min(batch_size, len(y))  # one shape, compiled once: the last batch is filled up
    batches = (np.arange(i, i + size) % len(y) for i in range(0, len(y), size))
    parts = [there_and_back(params, *(part[rows] for part in (y, *cond))) for rows in batches]
    return np.concatenate(parts)[: len(y)]


def sampled(config: Config, model: Density, params: Params, key: Key, num_classes: int) -> Array:
    """Two rows of samples. If there are classes, column i is of class i modulo their number."""
    num = 2 * config.num_shown
    cond, shape = (), num
    if num_classes:
        row = sets.one_hot(np.arange(config.num_shown) % num_classes, num_classes)
        cond = (np.tile(row, (2, 1)),)
        shape = ()
    sample = lambda p, key: model.dist(p, *cond).sample(seed=key, sample_shape=shape)
    return learning.over_devices(sample)(params, key)


def show(found: dict) -> None:
    rows = []
    for name, r in (found["baselines"] | found["models"]).items():
        bits = f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}"
        row = {"model": name, "bits/dim": bits}
        if name in found["models"]:
            error = f"{r['max_reconstruction_error']:.1e}"
            row |= {"max |x - T(T⁻¹(x))|": error, "parameters": r["num_params"]}
            row |= {"training s": round(r["train_seconds"])}
        rows.append(row)
    runs.table(rows, list(rows[-1]))
    print(
        "Bits per dimension of the test set, a bound on the code length; the error in grey\n"
        f"levels, float32. Dequantization is {found['dequantization']}."
    )
    fitting.tell(found["baselines"] | found["models"], steps="--num-updates")


def draw(
    config: Config,
    num_levels: int,
    shown: dict[str, tuple],
    samples: dict[str, Array],
    curves: dict[str, tuple],
    reference: dict[str, dict],
) -> None:
    """Saves samples.png, reconstructions.png (with the error, magnified) and curves.png."""

    def grid(groups, path):
        rows = np.concatenate(list(groups.values()))
        rows = rows[..., 0] if rows.shape[-1] == 1 else rows
        figure = plots.sample_grid(
            rows, columns=config.num_shown, row_names=list(groups), vmin=0, vmax=num_levels - 1
        )
        plots.save(figure, config.directory / path)

    test = next(iter(shown.values()))[0]
    grid({"test data": datasets.quantize(test, num_levels)} | samples, "samples.png")
    groups = {"dequantized": test[: config.num_shown]}
    for name, (y, back) in shown.items():
        error = np.abs(y - back)[: config.num_shown]
        groups[name] = back[: config.num_shown]
        groups[f"{name}, error ×{num_levels / error.max():.0e}"] = error * num_levels / error.max()
    grid(groups, "reconstructions.png")
    levels = {name: r["test_bits_per_dim"] for name, r in reference.items()}
    figure = plots.curves(
        curves, xlabel="update", ylabel="validation bits per dimension", baselines=levels
    )
    plots.save(figure, config.directory / "curves.png")


def main(config: Config) -> dict:
    check(config, "models")
    data = sets.images(config)
    settings = defaults.of_images(
        len(data.rows["train"][0]),
        data.shape,
        num_updates=config.num_updates,
        batch_size=config.batch_size,
    )
    config, settings = defaults.completed(config, settings)
    log_prob = baselines.histogram(*data.vectors.values(), data.num_levels)
    reference = {"histogram": fitting.summary(log_prob, data.dim)}
    key = jax.random.key(config.seed + 1)
    noise_key, *sample_keys = jax.random.split(key, 1 + len(config.models))
    order = np.random.default_rng(config.seed).permutation(len(data.rows["test"][0]))
    test, *cond = (part[order] for part in data.rows["test"])
    test, num = np.asarray(datasets.dequantize(noise_key, test)), 2 * config.num_shown
    statistics = of_pixels(config, data.rows, data.num_levels)
    pixels = standard_pixels(config, data.num_levels, **statistics)
    given = {"shape": data.shape, "num_levels": data.num_levels, "num_classes": data.num_classes}
    results, curves, shown, samples = {}, {}, {}, {}
    built = {  # all before one is trained
        name: build(config, name, data.shape, pixels, data.num_levels, data.num_classes)
        for name in config.models
    }
    for (name, (model, noise)), key in zip(built.items(), sample_keys):
        recipe = learning.Recipe(density, {"config": config, "name": name} | given | statistics)
        params, row, evaluated, _ = fit(config, name, model, noise, data.rows, recipe)
        curves[name] = evaluated["valid_bits_per_dim"]
        back = reconstructions(model, params["model"], test, *cond)
        y = sampled(config, model, params["model"], key, data.num_classes)
        samples[name], shown[name] = datasets.quantize(y, data.num_levels), (test[:num], back[:num])
        results[name] = row | {"max_reconstruction_error": float(np.abs(back - test).max())}
    if processes.first():
        draw(config, data.num_levels, shown, samples, curves, reference)
    return {
        "models": results,
        "baselines": reference,
        "dequantization": config.dequantization,
        "data": config.data,
        "published": data.published,
        "settings": settings,
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
