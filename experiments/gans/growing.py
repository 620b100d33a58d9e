"""What `progressive` and `style` share: images, a game that grows by a schedule, and training."""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import checks, gans, learning, objectives, plots, protocol
from experiments import fitting, sets
from experiments.gans.judge import by_pixels
from experiments.options import Data


@dataclasses.dataclass(frozen=True)
class Growing(Data):
    """Options of `progressive` and `style`."""

    class_conditional: ClassVar[bool] = False
    size: int | None = None
    """pixels per side, a power of two; larger images are reduced by averaging pixels. By default
    the size of the data, made square and a power of two by repeating their borders"""
    first_size: int | None = 4
    """pixels per side in the first stage; each further stage doubles them. None: a single stage"""
    num_steps: int = 3000
    """steps of all stages together, which are equally long; a step is one update of each player"""
    batch_size: int = 64
    """rows per step; each player sees half of them, beside as many samples"""
    devices: int | None = None
    """the number of devices that share each batch; by default all accelerators, or one per core"""
    learning_rate: float = 2e-3
    """the learning rate of Adam for both players, whose b1 is 0"""
    penalty: float = 1.0
    """the weight γ of the R_1 penalty on the critic's gradient at data"""
    ema_decay: float = 0.998
    """the decay of the moving average of the generator's parameters, which is what is judged"""
    num_latents: int = 64
    """the number of entries of z, and of a style"""
    channel_base: int = 256
    """layers at s×s pixels have this number divided by s channels"""
    channel_max: int = 64
    """the largest number of channels"""
    eval_every: int = 500
    """steps between two evaluations; the step whose samples are nearest to the validation split is
    kept. Samples are always of full size, so in the first stages they come from layers that have
    not been trained yet"""
    num_judged: int = 500
    """samples that are judged"""


QUICK = {"num_steps": 12, "eval_every": 6, "batch_size": 8, "num_latents": 4, "channel_base": 32}
QUICK |= {"channel_max": 4, "num_judged": 20}


# ------------------------------------------------------------------------------------------ data
def images(config: Any) -> tuple[sets.Images, dict]:
    """The data, and {split: x [n, size, size, C] in [-1, 1]}."""
    data = sets.images(config)
    most = data.num_levels - 1
    rows = {split: squared(x * (2 / most) - 1, config.size) for split, (x, *_) in data.rows.items()}
    return data, rows


def squared(x: np.ndarray, size: int | None) -> np.ndarray:
    """Images [n, H, W, C] made square with a power of two per side, then averaged down to `size`.

    They are extended by repeating their borders.
    """
    height, width = x.shape[1:3]
    side = max(4, 1 << (max(height, width) - 1).bit_length())
    around = [((side - n) // 2, side - n - (side - n) // 2) for n in (height, width)]
    x = np.pad(np.asarray(x, np.float32), [(0, 0), *around, (0, 0)], mode="edge")
    if size is None:
        return x
    if size > side or size < 4 or size & (size - 1):
        raise checks.InputError(f"size must be a power of two from 4 to {side}; got {size}.")
    while x.shape[1] > size:
        n, side = len(x), x.shape[1] // 2
        x = x.reshape(n, side, 2, side, 2, -1).mean((2, 4))
    return x


def stages(config: Any, size: int) -> list[int]:
    """The sizes of all stages, in pixels per side; `size` alone if config.first_size is None."""
    first = size if config.first_size is None else config.first_size
    if first < 4 or first & (first - 1) or first > size:
        raise checks.InputError(f"first_size must be a power of two from 4 to {size}; got {first}.")
    return [first << i for i in range((size // first).bit_length())]


# -------------------------------------------------------------------------------------- the game
def games(config: Any, grown: Callable, sizes: list[int]) -> dict[int, protocol.Algorithm]:
    """{first step of a stage: its game}; stages are equally long, and each is its own program."""
    length = max(config.num_steps // len(sizes), 1)
    return {
        i * length: game(config, grown, size, i * length, length) for i, size in enumerate(sizes)
    }


def game(config: Any, grown: Callable, size: int, first: int, length: int) -> protocol.Algorithm:
    """Both players in turn, at one size.

    first: the step at which this stage begins. The weight α of the new layers rises to 1 in the
    first half of its `length` steps; the stage with which training begins has nothing to fade in.
    """
    whole = grown()

    def of_stage(loss, **options):
        def of_batch(params, key, x, *, state, weights):
            alpha = weights["alpha"] if first else 1.0
            model, seen = grown(size, alpha), gans.shrunk(x, size, alpha)
            return loss(
                model, objectives.non_saturating(), params, key, seen, state=state, **options
            )

        return of_batch

    adam = optax.adam(config.learning_rate, b1=0.0, b2=0.99)
    critic = of_stage(objectives.critic_loss, penalty=objectives.r1, penalty_weight=config.penalty)
    generator = of_stage(objectives.generator_loss)
    players = {
        "critic": learning.Player(critic, adam),
        "generator": learning.Player(generator, adam, ema_decay=config.ema_decay),
    }
    return learning.alternate(
        players,
        lambda key: whole.init(key)[0],
        init_state=lambda key, params: whole.init(key)[1],
        weights={"alpha": lambda step: jnp.minimum(2 * (step - first) / length, 1.0)},
    )


# --------------------------------------------------------------------------------------- training
def sampled(model: protocol.Adversarial, num: int) -> Callable:
    """A function ((params, state), key) -> num samples."""
    return lambda learned, key: objectives.generated(model, learned[0], learned[1], key, num)


def train(
    config: Any,
    name: str,
    grown: Callable,
    recipe: learning.Recipe,
    rows: dict[str, np.ndarray],
    sizes: list[int],
) -> fitting.Fitted:
    """Plays the games of all stages; the step of least sliced distance on validation is kept.

    grown: what `gans.progressive` returns. sizes: those of the stages; a single one is a game
    without growing. The row also has the metrics of training images in the place of samples, as
    "floor_...".
    """
    task = fitting.samples_task(
        sampled(grown(), config.num_judged), by_pixels, rows, monitor="sliced", minimise=True
    )
    stages = games(config, grown, sizes)
    fitted = fitting.fit(
        config,
        name,
        stages.pop(0),
        task,
        rows["train"],
        stages=stages,
        num_steps=config.num_steps,
        eval_every=config.eval_every,
        recipe=recipe,
    )
    floor = by_pixels(rows["train"][: config.num_judged], rows["test"])
    fitted.row.update({f"floor_{name}": value for name, value in floor.items()})
    return fitted


# -------------------------------------------------------------------------------------- pictures
def grid(config: Any, file: str, groups: dict, columns: int, **options: Any) -> None:
    """Saves <file>.png: images {name: [n, size, size, C] in [-1, 1]}, one group below another."""
    x = np.concatenate([np.asarray(images) for images in groups.values()])
    figure = plots.sample_grid(
        x[..., 0] if x.shape[-1] == 1 else x,
        columns=columns,
        row_names=list(groups),
        vmin=-1,
        vmax=1,
        **options,
    )
    plots.save(figure, config.directory / f"{file}.png")


def nearest(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """For each image its nearest image of the training split, by squared differences of pixels."""
    flat, rows = x.reshape(len(x), -1), train.reshape(len(train), -1)
    squares = (rows**2).sum(1) - 2 * flat @ rows.T
    return train[squares.argmin(1)]


def told(name: str, row: dict) -> dict:
    """The cells of a row: metrics of samples, each beside that of training images, and costs."""
    columns = {"model": name}
    for what in ("sliced", "density", "coverage"):
        columns[what] = f"{row[f'test_{what}']:.3f}"
        columns[f"{what} of data"] = f"{row[f'floor_{what}']:.3f}"
    return columns | {
        "parameters": row["num_params"],
        "step": row["best_step"],
        "training s": round(row["train_seconds"]),
    }
