"""Numbers that no experiment can mean are refused in a line, before anything is computed."""

import dataclasses
import importlib
import math
from pathlib import Path

import pytest

from dgm_jax import checks, runs
from experiments import options, sets
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


# ---------------------------------------------------------------------------------------- devices
NO_DIVISOR = "which does not divide the {} rows of a batch; give --devices a divisor of {}"


def with_devices():
    """The modules of all experiments with the option."""
    root = Path(__file__).parents[2]
    for file in sorted(root.glob("experiments/*/*.py")):
        if "runs.experiment(" in file.read_text() and file.parent.name != "notebooks":
            module = importlib.import_module(".".join(file.relative_to(root).with_suffix("").parts))
            if hasattr(module.Config(), "devices"):
                yield module


def test_devices_that_cannot_share_a_batch_are_refused_before_data_are_read(monkeypatch):
    monkeypatch.setattr(options.jax, "device_count", lambda: 7)
    for reads in ("load", "text"):
        monkeypatch.setattr(sets, reads, lambda config: pytest.fail("data were read"))
    modules = list(with_devices())
    assert len(modules) > 20
    for module in modules:
        config = dataclasses.replace(module.Config(), devices=8)
        with pytest.raises(checks.InputError, match="^devices is 8, but JAX has 7; give --devices"):
            module.main(config)
        config = dataclasses.replace(config, devices=7, batch_size=16)
        told = NO_DIVISOR.format(16, 16)
        with pytest.raises(checks.InputError, match=f"^devices is 7, {told}, or another --batch"):
            module.main(config)


def test_devices_are_compared_with_the_rows_of_small_data_and_with_batches_chosen_by_data(
    monkeypatch,
):
    monkeypatch.setattr(options.jax, "device_count", lambda: 8)
    config = dataclasses.replace(tabular.Config(), data="wine", devices=8)
    assert len(sets.load(config).train) == 144  # no batch size yet
    with pytest.raises(checks.InputError, match=NO_DIVISOR.format(18, 18)):
        tabular.main(config)  # an eighth of the rows
    with pytest.raises(checks.InputError, match=NO_DIVISOR.format(97, 97)):
        options.check_devices(dataclasses.replace(config, batch_size=128), 97)
    options.check_devices(dataclasses.replace(config, batch_size=128), 1000)


def test_of_several_processes_all_devices_share_a_batch_whatever_the_option_says(monkeypatch):
    monkeypatch.setattr(options.processes, "several", lambda: True)
    options.check_devices(dataclasses.replace(compare.Config(), devices=1000))
