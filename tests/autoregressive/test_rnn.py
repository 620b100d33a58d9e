"""Recurrent networks: both cells learn a chain of known entropy, at any length."""

import pytest

from dgm_jax.autoregressive import rnn
from dgm_jax.likelihoods import categorical, gaussian
from tests.autoregressive import models


@pytest.mark.parametrize("cell", ["gru", pytest.param("lstm", marks=pytest.mark.full)])
def test_a_known_chain_is_learned_to_its_entropy_rate_and_beyond_the_length_seen(cell):
    """Trained on sequences of 20, scored at the places 20 to 60 of others."""
    short, long = (rnn(dim, categorical(3), hidden=16, cell=cell) for dim in (20, 60))
    ours, true = models.costs_of_the_chain(long, models.learned_chain(short))
    assert abs((ours - true).mean()) < 0.01  # KL(truth ‖ model) a step, and its noise of 1e-3


def test_bad_inputs_are_refused_by_name():
    with pytest.raises(ValueError, match="cell must be one of gru, lstm; got 'rnn'"):
        rnn(3, gaussian(), hidden=2, cell="rnn")
