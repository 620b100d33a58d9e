"""A Markov chain by a net: it learns a known chain, and knows no more than its window."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.autoregressive import markov
from dgm_jax.likelihoods import categorical, gaussian
from tests.autoregressive import models


def test_a_known_chain_is_learned_to_its_entropy_rate_and_beyond_the_length_seen():
    """Trained on sequences of 20, scored at the places 20 to 60 of others."""
    short, long = (markov(d, categorical(3), window=2, hidden=(32,)) for d in (20, 60))
    ours, true = models.costs_of_the_chain(long, models.learned_chain(short))
    assert true.mean() == pytest.approx(models.entropy_rate(), abs=0.01)
    assert abs((ours - true).mean()) < 0.01  # KL(truth ‖ model) a step, and its noise of 1e-3


def test_a_window_that_is_too_short_pays_for_it():
    """E KL(P(. | x_{i-2}, x_{i-1}) ‖ P(. | x_{i-1})) in nats: what order 1 cannot know."""
    short, long = (markov(d, categorical(3), window=1, hidden=(32,)) for d in (20, 60))
    ours, true = models.costs_of_the_chain(long, models.learned_chain(short))
    assert (ours - true).mean() > 0.1


def test_it_starts_as_the_conditional_of_zero():
    model = markov(20, gaussian(), window=2, hidden=(32,))
    x = jnp.linspace(-2.0, 2.0, 20)
    log_prob = jax.jit(lambda key: model.dist(model.init(key)).log_prob(x))(jax.random.key(0))
    normal = -0.5 * (np.linspace(-2, 2, 20) ** 2).sum() - 10 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_prob, normal, rtol=1e-5)


def test_bad_inputs_are_refused_by_name():
    with pytest.raises(ValueError, match=r"conditional must be a Conditional.*Call it first: gaus"):
        markov(3, gaussian, window=1, hidden=(2,))
    with pytest.raises(ValueError, match="window must be an integer of at least 1; got 0"):
        markov(3, gaussian(), window=0, hidden=(2,))
