"""Default hyperparameters that follow from the number of rows and the dimension of the data.

Where an option of an experiment is None, its value comes from these functions, which see the size
of the training split, and the run prints it. If a user gives one of the options, such as the number
of steps, the others are adapted to it. These are rules of thumb, tried on data sets of 400 to
200,000 rows and 16 to 4096 dimensions (RESULTS.md); they are the best setting for none of them. The
reasons:

- In each step AdamW moves each weight by about the learning rate, whatever the size of the
  gradient. A step can then change a sum over d inputs by d times the learning rate, so a direct
  connection gets a learning rate of about 1 / d.
- A weight whose gradient is only noise settles at a size of about √(batch / rows) / decay, where
  weight decay balances it: √(batch / rows) is the mean gradient over all rows, in standard
  deviations of the gradient of one batch. In a sum over d inputs this noise grows by √d, so the
  weight decay is proportional to √(d · batch / rows).
- Hidden units beyond the number of rows only memorise the rows.
- Evaluations are at most one epoch apart, so that a net that overfits is caught in time.
"""

import math
from typing import TypeVar

from dgm_jax import checks, runs
from experiments import options

Config = TypeVar("Config", bound=runs.RunOptions)


def completed(config: Config, settings: dict) -> tuple[Config, dict]:
    """The config with the None options replaced by `settings`, and the settings that were used.

    Prints them too, since they are part of what a run has done. settings: {option: value}.
    """
    taken = {name: value for name, value in settings.items() if getattr(config, name) is None}
    if taken:
        told = ", ".join(f"{_flag(name)} {_words(value)}" for name, value in taken.items())
        print(f"from rows and dimensions: {told}")
    return options.filled(config, settings), taken


def of_bits(
    num_rows: int, dim: int, *, batch_size: int, num_steps: int | None = None, num_masks: int = 1
) -> dict:
    """Options of a MADE with a hidden layer and direct connections, for num_rows rows of dim bits.

    num_masks: the number of masks of an ensemble (more than one regularises the net, so it gets
    little weight decay and more steps; each of its evaluations averages over all masks). The cost
    of a step grows as dim², so wide rows get fewer steps. Returns {option: value}.
    """
    _check(num_rows, dim, batch_size)
    one = num_masks == 1
    noise = math.sqrt(dim * batch_size / num_rows)
    if num_steps is None:
        num_steps = _within(2_000_000 // dim // 100 * 100, 1000, 4000) * (1 if one else 4)
    return {
        "hidden": (_within(num_rows // 4, 16, 500),),
        "num_steps": num_steps,
        "learning_rate": _rounded(_within(1 / dim, 1e-3, 1e-2)),
        "weight_decay": _rounded(0.12 * noise) if one else 0.03,
        "eval_every": _every(num_rows, batch_size, num_steps) if one else max(num_steps // 40, 1),
    }


def of_table(num_rows: int, dim: int, *, num_steps: int, batch_size: int | None = None) -> dict:
    """Options of a flow on rows of real numbers, each of whose nets has two hidden layers.

    The width grows as the square root of num_rows. A batch has at most an eighth of the rows,
    because the gradient noise of small batches regularises too. Returns {option: value}.
    """
    _check(num_rows, dim, 1 if batch_size is None else batch_size)
    width = 2 ** round(math.log2(2 * math.sqrt(num_rows)))
    if batch_size is None:
        batch_size = _within(num_rows // 8, 1, 256)
    return {
        "hidden": (_within(width, 32, 512),) * 2,
        "batch_size": batch_size,
        "weight_decay": _rounded(0.12 * math.sqrt(dim * batch_size / num_rows)),
        "eval_every": _every(num_rows, batch_size, num_steps),
    }


def scale_bound(num_rows: int, one_layer: bool) -> float:
    """The bound b of the log-scales of one layer, which are in (-b, b).

    The scales of several layers multiply: with a bound above 1 in each, a flow maps single rows
    almost to infinity. one_layer: whether the model has a single layer, which may have a bound of 3
    if the data have at least 10,000 rows; with fewer rows, a narrow component cannot be told from a
    single row.
    """
    return 3.0 if one_layer and num_rows >= 10_000 else 1.0


def of_images(
    num_rows: int,
    shape: tuple[int, int, int],
    *,
    num_updates: int | None = None,
    batch_size: int | None = None,
) -> dict:
    """Options of a flow of images [H, W, C] of any size that trains in minutes on two CPU cores.

    The cost of an update is proportional to the number of pixels in its batch. Larger images
    therefore get smaller batches, and above a thousand pixels also fewer updates and half as many
    channels. There are up to three scales, each of which halves the sides, to no less than 2
    pixels. Returns {option: value}.
    """
    height, width, channels = shape
    dim = height * width * channels
    _check(num_rows, dim, 1 if batch_size is None else batch_size)
    halvings = (s for s in range(1, 4) if not (height % 2**s or width % 2**s))
    if batch_size is None:
        batch_size = min(_within(2**14 // dim, 4, 64), num_rows)
    if num_updates is None:
        num_updates = _within(1_000_000 // dim // 100 * 100, 200, 1000)
    return {
        "num_scales": max((s for s in halvings if min(height, width) >= 2 ** (s + 1)), default=1),
        "hidden": 32 if dim <= 1024 else 16,
        "num_updates": num_updates,
        "batch_size": batch_size,
        "weight_decay": _rounded(2.25 * math.sqrt(batch_size / num_rows)),
        "eval_every": max(num_updates // 20, 1),
        "by_pixel": dim > 1024,
    }


def _every(num_rows, batch_size, num_steps):
    """One epoch, limited so that a run has between 16 and 200 evaluations."""
    return _within(num_rows // batch_size, max(num_steps // 200, 1), max(num_steps // 16, 1))


def _check(num_rows, dim, batch_size):
    for name, value in {"num_rows": num_rows, "dim": dim, "batch_size": batch_size}.items():
        checks.positive_int(value, name)


def _within(value, low, high):
    return min(max(value, low), high)


def _rounded(value):
    """Rounded to two significant digits, as a person would give it."""
    return float(f"{value:.2g}")


def _flag(name):
    return "--" + name.replace("_", "-")


def _words(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
