r"""StyleGAN: styles that control what each layer does, mixed, truncated and interpolated.

    python -m experiments.gans.style

learns the 8x8 digits at full size, without growing (--first-size 4 grows them), by the
non-saturating game with R_1 on the critic, in about four minutes. A moving average of the generator
is judged as in `experiments.gans.progressive`. The pictures:

    samples.png         samples, test data, and the training images nearest to the samples
    mixing.png          each image has the style of the image at its left in the first layers, and
                        that of the image above its column in the layers from --crossover on
    truncation.png      w̄ + ψ (w - w̄) for ψ from -1 to 1: at ψ = 0 all rows are the same image
    noise.png           one style with different noise, and in the last column the deviation of
                        each pixel
    interpolation.png   from one style to another along a line in w
    curves.png          the sliced Wasserstein distance to the validation split

On larger images:

    python -m experiments.gans.style --data olivetti_faces --size 32 --data-dir FOLDER \
        --channel-base 512
    python -m experiments.gans.style --data frey_faces --size 32 --data-dir FOLDER \
        --channel-base 512

The sizes of the paper are --channel-base 16384 --channel-max 512 --num-latents 512.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import checks, gans, learning, plots, protocol, runs
from dgm_jax.runs import processes
from experiments import fitting
from experiments.gans import growing
from experiments.options import check

if TYPE_CHECKING:
    from dgm_jax.protocol import Array, Key, Params

QUICK = growing.QUICK | {"mapping_layers": 2}
COLUMNS, ROWS = 8, 4
PSIS = np.linspace(-1, 1, 9)
NUM_MEAN = 4096  # styles over which the mean style w̄ is taken


@dataclasses.dataclass(frozen=True)
class Config(growing.Growing, runs.RunOptions):
    first_size: int | None = None
    """pixels per side of the first stage, if the model grows; by default it does not"""
    mapping_layers: int = 8
    """dense layers between z and w"""
    mixing: float = 0.9
    """the share of the images in training that are made from two styles"""
    crossover: int | None = None
    """the first layer with the style of the column in mixing.png; by default half of all layers"""


def styled(config: Config, shape: tuple[int, int, int]) -> gans.StyleGAN:
    """The StyleGAN of images of this shape, whose z and w have num_latents entries each."""
    return gans.stylegan(
        shape,
        num_latents=config.num_latents,
        num_styles=config.num_latents,
        mapping_layers=config.mapping_layers,
        mixing=config.mixing,
        channel_base=config.channel_base,
        channel_max=config.channel_max,
    )


def crossover_of(config: Config, num_layers: int) -> int:
    """The first layer with the column's style in mixing.png; by default num_layers // 2."""
    return num_layers // 2 if config.crossover is None else config.crossover


@runs.builder
def build(config: Config, shape: tuple[int, int, int]) -> protocol.Adversarial:
    """The model at full size, of images [size, size, C]."""
    return styled(config, shape).grown()


def fit(config: Config, rows: dict[str, np.ndarray]) -> fitting.Fitted:
    """The game at full size, or through the stages from config.first_size on if that is given."""
    shape = rows["train"].shape[1:]
    recipe = learning.Recipe(build, {"config": config, "shape": shape})
    sizes = growing.stages(config, shape[0])
    return growing.train(config, "style", styled(config, shape).grown, recipe, rows, sizes)


def pictures(
    style: gans.StyleGAN, params: Params, key: Key, num_latents: int, crossover: int
) -> dict[str, Array]:
    """The images of all pictures, by the averaged parameters of the generator."""
    z_key, mean_key, noise_key = jax.random.split(key, 3)

    def style_of(key, num):
        return style.mapping.apply(params["mapping"], jax.random.normal(key, (num, num_latents)))

    def image(styles, key=None):
        return style.synthesis.apply(params["synthesis"], styles, key=key)

    layers, mean = style.num_layers, style_of(mean_key, NUM_MEAN).mean(0)
    w = gans.in_all_layers(style_of(z_key, ROWS + COLUMNS), layers)
    rows, columns = w[:ROWS], w[ROWS:]
    both = (ROWS, COLUMNS, *w.shape[1:])
    crossed = gans.mixed_styles(
        jnp.broadcast_to(rows[:, None], both), jnp.broadcast_to(columns, both), crossover
    )
    psis = jnp.asarray(PSIS, w.dtype)[:, None, None]
    lines = jnp.linspace(0.0, 1.0, len(PSIS))[:, None, None]
    again = jnp.broadcast_to(rows[:, None], both)
    noisy = image(again, noise_key)
    return {
        "rows": image(rows),
        "columns": image(columns),
        "mixed": image(crossed),
        "truncated": image(mean + psis * (rows[:, None] - mean)),
        "noisy": noisy,
        "deviation": noisy.std(1),
        "lines": image((1 - lines) * rows[:, None] + lines * columns[:ROWS, None]),
    }


def draw(config: Config, rows: dict[str, np.ndarray], found: fitting.Fitted) -> dict[str, float]:
    """Saves all pictures; returns {"noise_deviation"}, the mean deviation of a pixel by noise."""
    shape, num = rows["train"].shape[1:], 2 * COLUMNS
    style = styled(config, shape)
    crossover = crossover_of(config, style.num_layers)
    params, _ = found.params
    key, sample_key = jax.random.split(jax.random.key(config.seed + 1))
    x = np.asarray(jax.jit(growing.sampled(style.grown(), num))(found.params, sample_key))
    some = np.random.default_rng(config.seed).permutation(len(rows["test"]))
    groups = {"test data": rows["test"][np.resize(some, num)], "samples": x}
    groups["nearest data"] = growing.nearest(x, rows["train"])
    growing.grid(config, "samples", groups, COLUMNS)
    made = jax.jit(lambda p, key: pictures(style, p, key, config.num_latents, crossover))
    made = {name: np.asarray(each) for name, each in made(params["generator"], key).items()}
    blank = -np.ones((1, *shape), np.float32)
    body = np.concatenate([made["rows"][:, None], made["mixed"]], 1)
    top = np.concatenate([blank, made["columns"]])
    groups = {"columns": top} | {f"row {i + 1}": row for i, row in enumerate(body)}
    growing.grid(config, "mixing", groups, COLUMNS + 1)
    names = [f"{psi:.2g}" for psi in PSIS]
    groups = {f"style {i + 1}": row for i, row in enumerate(made["truncated"])}
    growing.grid(config, "truncation", groups, len(PSIS), column_names=names)
    groups = {f"style {i + 1}": row for i, row in enumerate(made["lines"])}
    growing.grid(config, "interpolation", groups, len(PSIS))
    spread = 2 * made["deviation"] / max(made["deviation"].max(), 1e-6) - 1
    noisy = np.concatenate([made["noisy"], spread[:, None]], 1)
    groups = {f"style {i + 1}": row for i, row in enumerate(noisy)}
    growing.grid(config, "noise", groups, COLUMNS + 1)
    ylabel = "sliced Wasserstein distance, validation"
    curves = plots.curves({"style": found.curves["valid_sliced"]}, xlabel="step", ylabel=ylabel)
    plots.save(curves, config.directory / "curves.png")
    return {"noise_deviation": float(made["deviation"].mean())}


def show(found: dict) -> None:
    rows = [growing.told("style", found["models"]["style"])]
    runs.table(rows, list(rows[0]))
    print("By pixels, on the test split; 'of data' is the same for as many training images.")
    fitting.tell(found["models"])


def main(config: Config) -> dict:
    check(config)
    _, rows = growing.images(config)
    layers = styled(config, rows["train"].shape[1:]).num_layers
    checks.within(crossover_of(config, layers), 0, layers, "crossover")
    found = fit(config, rows)
    more = draw(config, rows, found) if processes.first() else {}
    return {"data": config.data, "models": {"style": found.row | more}}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=4)
