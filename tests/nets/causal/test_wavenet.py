"""WaveNet: its receptive field."""

from functools import partial

import numpy as np
import pytest

from dgm_jax.nets import receptive_field, wavenet
from tests.nets.causal.laws import (
    check_condition_of_each_step,
    check_scored_as_made,
    check_sequence,
    sees,
)

DIM = 12
NETS = {
    "two taps": (8, {"dilations": (1, 2, 4)}),
    "three taps": (9, {"dilations": (1, 3), "kernel_size": 3, "skip": 3}),
    "one layer": (3, {"dilations": (2,)}),
}
make = partial(wavenet, hidden=4, num_outputs=2)
every_field = pytest.mark.parametrize("name", NETS)


@every_field
def test_an_output_sees_its_receptive_field_and_nothing_else(name):
    """Alive from one step back to as far as is stated; only what no sum of lags reaches is not."""
    reach, options = NETS[name]
    lag = np.arange(DIM)[:, None] - np.arange(DIM)
    holes = [2] if name == "one layer" else []  # its taps are the lags 1 and 3
    wanted = (lag >= 1) & (lag <= reach) & ~np.isin(lag, holes)
    np.testing.assert_array_equal(sees(make(DIM, **options), DIM, 0.7), wanted)


def test_the_receptive_field_is_one_more_than_the_taps_beyond_the_first():
    assert receptive_field([2**i for i in range(10)]) == 1024
    assert receptive_field([2**i for i in range(10)] * 3) == 3070
    for reach, options in NETS.values():
        own = {name: options[name] for name in options if name != "skip"}
        assert receptive_field(**own) == reach


def test_it_is_scored_as_it_is_made():
    check_scored_as_made(make(7, dilations=(1, 2), cond_shape=(7, 2)), 7)


def test_a_step_is_given_its_own_condition():
    check_condition_of_each_step(make(7, dilations=(1, 2), cond_shape=(7, 2)), 7)


def test_it_is_a_sequence_of_any_length():
    check_sequence(partial(make, **NETS["three taps"][1]))


def test_bad_inputs_are_refused_by_name():
    for options, match in [
        ({"dilations": 4}, r"dilations must be a seq.*; got 4"),
        ({"dilations": ()}, "dilations must be a sequence"),
        ({"dilations": (1, 0)}, r"each entry of dilations=\(1"),
        ({"dilations": (1,), "kernel_size": 1}, "kernel_size must be an integer of at least 2"),
        ({"dilations": (1,), "skip": 0}, "skip must be an intege"),
        ({"dilations": (1,), "cond_shape": (-1,)}, "each entry of cond_shape"),
        ({"dilations": (1,), "cond_shape": (2, 2)}, r"cond_shape must be \(n,\).*or \(3, n\)"),
    ]:
        with pytest.raises(ValueError, match=match):
            make(3, **options)
