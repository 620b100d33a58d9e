"""Bounds of log p(x), where the truth is known: z ~ N(0, 1), x | z ~ N(2 z, 1)."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.objectives import log_weights
from dgm_jax.protocol import LatentVariable
from tests.contracts.compiled import jit


def model(gain, scale):
    """The posterior is N(gain · x, scale²); the exact one has 2/5 and 1/√5."""

    def normal(mean, scale):
        return distrax.MultivariateNormalDiag(mean, jnp.full_like(mean, scale))

    return LatentVariable(
        lambda key: {},
        prior=lambda params, cond=None, *, key=None: normal(jnp.zeros(1), 1.0),
        likelihood=lambda params, z, cond=None, *, key=None: normal(
            2 * z + (0 if cond is None else cond), 1.0
        ),
        posterior=lambda params, x, cond=None, *, key=None: normal(
            gain * (x - (0 if cond is None else cond)), scale
        ),
    )


X = np.linspace(-3, 3, 7, dtype=np.float32)[:, None]
EXACT = -0.5 * (X[:, 0] ** 2 / 5 + np.log(2 * np.pi * 5))  # x ~ N(0, 5)


def weights(model, num, cond=None):
    x = X if cond is None else X + cond
    draw = jit(lambda key: log_weights(model, {}, key, x, cond, num_samples=num))
    return draw(jax.random.key(0))


@pytest.mark.parametrize(
    "cond",
    [None, np.linspace(1, 2, 7, dtype=np.float32)[:, None], np.float32([1.5])],
    ids=["", "one for each", "one for all"],
)
def test_with_the_exact_posterior_every_weight_is_the_likelihood(cond):
    log_w = weights(model(0.4, 5**-0.5), 3, cond)
    np.testing.assert_allclose(log_w, np.broadcast_to(EXACT, (3, 7)), atol=2e-5)


def test_with_another_posterior_the_weights_average_to_the_likelihood_and_the_elbo_is_below():
    log_w = np.asarray(weights(model(0.2, 0.8), 20_000), np.float64)
    np.testing.assert_allclose(np.log(np.exp(log_w).mean(0)), EXACT, atol=0.03)
    gap = 0.5 * (5 * 0.64 - 1 - np.log(5 * 0.64) + 5 * (0.2 * X[:, 0]) ** 2)  # KL(q ‖ posterior)
    np.testing.assert_allclose(log_w.mean(0), EXACT - gap, atol=0.06)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 1; got 0"):
        log_weights(model(0.4, 1.0), {}, jax.random.key(0), X, num_samples=0)
