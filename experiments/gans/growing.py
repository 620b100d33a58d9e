"""What `progressive` and `style` share: images, a game that grows by a schedule, its training."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import checks, gans, learning, objectives, plots, protocol
from experiments import fitting, sets
from experiments.gans.judge import by_pixels
from experiments.options import Data


@dataclasses.dataclass(frozen=True)
class Growing(Data):
    """Options of both."""

    class_conditional: ClassVar[bool] = False
    size: int | None = None
    """pixels a side, a power of two: means of pixels where the data are larger. By default that of
    the data, made square and a power of two by repeating their borders"""
    first_size: int = 4
    """pixels a side of the first stage; each stage doubles them"""
    num_steps: int = 3000
    """steps of all stages together, of the same length each; a step is one update of each player"""
    batch_size: int = 64
    """rows a step, a half of which each player sees, beside as many samples"""
    devices: int | None = None
    """devices that share each batch"""
    learning_rate: float = 2e-3
    """of Adam, of both players; its b1 is 0"""
    penalty: float = 1.0
    """γ of the R_1 penalty on the critic's slope at data"""
    ema_decay: float = 0.998
    """of the generator's averaged parameters, which are judged"""
    num_latents: int = 64
    """numbers in z, and in a style"""
    channel_base: int = 256
    """channels of images of side s are this over s"""
    channel_max: int = 64
    """and at most this"""
    eval_every: int = 500
    """steps between two judgements; the samples nearest to the validation split are kept. They are
    of full size, so that those of the first stages come from layers that have not learned yet"""
    num_judged: int = 500
    """samples that are judged"""


QUICK = {"num_steps": 12, "eval_every": 6, "batch_size": 8, "num_latents": 4, "channel_base": 32}
QUICK |= {"channel_max": 4, "num_judged": 20}


# ------------------------------------------------------------------------------------------ data
def images(config) -> tuple[sets.Images, dict]:
    """The data, and {split: x [n, size, size, C] in [-1, 1]}."""
    data = sets.images(config)
    most = data.num_levels - 1
    rows = {split: squared(x * (2 / most) - 1, config.size) for split, (x, *_) in data.rows.items()}
    return data, rows


def squared(x: np.ndarray, size: int | None) -> np.ndarray:
    """Images [n, H, W, C] made square, a power of two a side, by their borders; then `size`."""
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


def stages(config, size: int) -> list[int]:
    """The sizes that the game goes through."""
    first = config.first_size
    if first < 4 or first & (first - 1) or first > size:
        raise checks.InputError(f"first_size must be a power of two from 4 to {size}; got {first}.")
    return [first << i for i in range((size // first).bit_length())]


# -------------------------------------------------------------------------------------- the game
def games(config, grown: Callable, sizes: list[int]) -> dict[int, "protocol.Algorithm"]:
    """{first step: the game of that stage}: each has as many steps, and its own program."""
    length = max(config.num_steps // len(sizes), 1)
    return {
        i * length: game(config, grown, size, i * length, length) for i, size in enumerate(sizes)
    }


def game(config, grown, size, first, length) -> "protocol.Algorithm":
    """Both players in turn, at one size. α rises to 1 in the first half of the `length` steps from
    `first` on; the stage that training begins with has nothing to fade in."""
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
def sampled(model, num: int) -> Callable:
    """draw((params, state), key) -> samples."""
    return lambda learned, key: objectives.generated(model, *learned, key, num)


def train(config, name, grown, recipe, rows, sizes) -> fitting.Fitted:
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
        mesh=fitting.mesh(config.devices),
    )
    floor = by_pixels(rows["train"][: config.num_judged], rows["test"])
    fitted.row.update({f"floor_{name}": value for name, value in floor.items()})
    return fitted


# -------------------------------------------------------------------------------------- pictures
def grid(config, file: str, groups: dict, columns: int, **options):
    """<file>.png of groups {name: images [n, size, size, C] in [-1, 1]} below one another."""
    x = np.concatenate([np.asarray(images) for images in groups.values()])
    figure = plots.sample_grid(
        x[..., 0] if x.shape[-1] == 1 else x,
        columns=columns,
        row_names=list(groups),
        vmin=-1,
        vmax=1,
        **options,
    )
    plots.save(figure, config.workdir / f"{file}.png")


def nearest(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Of each image the nearest one of the training split, by pixels."""
    flat, rows = x.reshape(len(x), -1), train.reshape(len(train), -1)
    squares = (rows**2).sum(1) - 2 * flat @ rows.T
    return train[squares.argmin(1)]


def told(name: str, row: dict) -> dict:
    """One line of a table."""
    columns = {"model": name}
    for what in ("sliced", "density", "coverage"):
        columns[what] = f"{row[f'test_{what}']:.3f}"
        columns[f"{what} of data"] = f"{row[f'floor_{what}']:.3f}"
    return columns | {
        "parameters": row["num_params"],
        "step": row["best_step"],
        "training s": round(row["train_seconds"]),
    }
