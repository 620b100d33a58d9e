"""The Markov chain of one MLP."""

from functools import partial

import numpy as np
import pytest

from dgm_jax.nets import markov
from tests.nets.causal.laws import check_scored_as_made, check_sequence, sees

DIM = 12
make = partial(markov, window=3, hidden=(6, 5), num_outputs=2)


@pytest.mark.parametrize("window", [1, 3])
def test_an_output_sees_the_last_window_values_and_nothing_else(window):
    lag = np.arange(DIM)[:, None] - np.arange(DIM)
    found = sees(make(DIM, window=window), DIM, 0.7)
    np.testing.assert_array_equal(found, (lag >= 1) & (lag <= window))


def test_it_is_scored_as_it_is_made():
    check_scored_as_made(make(7, cond_shape=(7, 2)), 7)


def test_it_is_a_sequence_of_any_length():
    check_sequence(make)


def test_bad_inputs_are_refused_by_name():
    of = {"num_outputs": 2}
    for build, match in [
        (lambda: markov(0, window=1, hidden=(3,), **of), "dim must be an integer of at least"),
        (lambda: markov(3, window=0, hidden=(3,), **of), "window must be an integer of at l"),
        (lambda: markov(3, window=2, hidden=3, **of), "hidden must be a sequence of widths"),
        (lambda: markov(3, window=2, hidden=(), **of), "hidden must name at least one layer"),
    ]:
        with pytest.raises(ValueError, match=match):
            build()
