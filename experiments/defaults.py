"""Settings that follow from the rows and dimensions of the data, for options that are not given.

An experiment whose option is None learns by what these functions say of a training split of
num_rows rows, and prints it. What a user gives, such as a number of steps, the others follow. They
are rules of thumb, tried on sets from 400 to 200,000 rows and 16 to 4096 dimensions (RESULTS.md),
and the best for none of these:

- AdamW moves each weight by about its learning rate a step, whatever the gradient. A step then
  moves a sum of d inputs by up to d times the rate, so the rate of a direct connection is 1 / d.
- A weight that only noise moves ends where decay holds it, at √(batch / rows) / decay, since that
  is what the mean gradient of all rows is, measured in deviations of that of a batch. Noise adds up
  over d inputs to √d of that, so the decay goes with √(d · batch / rows).
- Units beyond the number of rows only learn these by heart.
- Evaluations are an epoch apart at most, so that a net that overfits is caught in time.
"""

import dataclasses
import math
from typing import TypeVar

from dgm_jax import checks

Config = TypeVar("Config")


def completed(config: Config, settings: dict) -> tuple[Config, dict]:
    """The config with `settings` in place of each None, and the settings that were put there.

    Prints these: what a run learned with is part of what it tells.
    """
    taken = {name: value for name, value in settings.items() if getattr(config, name) is None}
    if taken:
        told = ", ".join(f"{_flag(name)} {_words(value)}" for name, value in taken.items())
        print(f"from rows and dimensions: {told}")
    return dataclasses.replace(config, **taken), taken


def of_bits(
    num_rows: int, dim: int, *, batch_size: int, num_steps: int | None = None, num_masks: int = 1
) -> dict:
    """A MADE of one hidden layer beside direct connections, on num_rows rows of dim bits.

    An ensemble of masks is regularised by them: it wants little decay and more steps, and each of
    its evaluations is one of all masks. A step costs d², so wide rows get fewer.
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
    """A flow of vectors with two hidden layers in each net: as wide as the root of the rows allows.

    Batches are an eighth of the rows at most, since the noise of small ones regularises too.
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
    """Of the log-scales of a layer, in (-b, b).

    Scales of several layers multiply: with more than 1 in each, a flow puts single rows near
    infinity. Few rows do not tell a narrow component from one row.
    """
    return 3.0 if one_layer and num_rows >= 10_000 else 1.0


def of_images(
    num_rows: int,
    shape: tuple[int, int, int],
    *,
    num_updates: int | None = None,
    batch_size: int | None = None,
) -> dict:
    """A flow of images [H, W, C]: minutes of two CPU cores, whatever their size.

    The arithmetic of an update goes with the pixels of its batch, so larger images come in smaller
    batches, and from a thousand pixels on in fewer updates of half as many channels. Up to three
    scales halve the sides, to 2 at least.
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
    """An epoch, but between 16 and 200 evaluations."""
    return _within(num_rows // batch_size, max(num_steps // 200, 1), max(num_steps // 16, 1))


def _check(num_rows, dim, batch_size):
    for name, value in {"num_rows": num_rows, "dim": dim, "batch_size": batch_size}.items():
        checks.positive_int(value, name)


def _within(value, low, high):
    return min(max(value, low), high)


def _rounded(value):
    """Two digits, as one would give it."""
    return float(f"{value:.2g}")


def _flag(name):
    return "--" + name.replace("_", "-")


def _words(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
