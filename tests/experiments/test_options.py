"""Numbers that no experiment can mean are refused in a line, before anything is computed."""

import dataclasses
import math

import pytest

from dgm_jax import runs
from experiments.autoregressive import audio, binary, digits, text
from experiments.autoregressive import images as pixels
from experiments.flows import compare, distill, ffjord, images, intuition, planar, tabular, toy

EXPERIMENTS = (
    audio,
    binary,
    compare,
    digits,
    distill,
    ffjord,
    images,
    intuition,
    pixels,
    planar,
    tabular,
    text,
    toy,
)
OF_A_RUN = {field.name for field in dataclasses.fields(runs.RunOptions)} - {"seed"}


def numbers(module):
    """{name: values that are wrong} of every option that is a number, or may be one."""
    wrong = {}
    for field in dataclasses.fields(module.Config):
        of = str(field.type)
        if field.name in OF_A_RUN or ("int" not in of and "float" not in of):
            continue
        values = [-1, -(10**30)] if "int" in of else [-0.5, math.nan, math.inf, -math.inf]
        values = [(value,) for value in values] if "tuple" in of else values
        wrong[field.name] = values
    return wrong


@pytest.mark.parametrize("module", EXPERIMENTS, ids=lambda module: module.__name__[12:])
def test_every_number_is_checked_before_anything_is_computed(module):
    options = numbers(module)
    assert len(options) >= 5 and "seed" in options
    for name, values in options.items():
        for value in values:
            config = dataclasses.replace(module.Config(), **{name: value})
            with pytest.raises(ValueError, match=f"^{name} must be "):
                module.main(config)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (compare, "timing_batch", 0),
        (compare, "timing_repeats", 0),
        (compare, "models", ()),
        (compare, "seed", 2**32),
        (compare, "alpha", 0.5),
        (distill, "timing_batch", 0),
        (distill, "num_test", 1),  # no standard error
        (planar, "depths", ()),
        (planar, "anneal", 1.5),
        (intuition, "parts", ()),
        (text, "num_written", 1),
        (audio, "sample_length", 0),
        (binary, "roaming", 2.0),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)).rpartition(".")[-1],
)
def test_what_would_be_missed_after_training_is_told_before(module, name, value):
    config = dataclasses.replace(module.Config(), **{name: value})
    with pytest.raises(ValueError, match=f"^{name} (must be|is empty)"):
        module.main(config)
