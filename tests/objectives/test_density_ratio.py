"""The density-ratio trick between N(d, 1) and N(0, 1), whose log-ratio d x - d²/2 is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.objectives import density_ratio_loss, ratio_kl
from tests.contracts.compiled import jit

D, NUM = 1.2, 20_000
# quantiles in place of draws: nothing here is left to chance
LEVELS = jax.scipy.stats.norm.ppf((jnp.arange(NUM) + 0.5) / NUM)
P, Q = D + LEVELS, LEVELS


def loss(weights, p=P, q=Q):
    """Of the critic T(x) = a + b x."""
    a, b = weights
    return density_ratio_loss(a + b * p, a + b * q)


def test_the_lowest_classifier_is_the_log_ratio_and_its_mean_the_kl():
    def newton(weights, _):
        of = lambda weights: loss(weights)[0]
        step = jnp.linalg.solve(jax.hessian(of)(weights), jax.grad(of)(weights))
        return weights - step, None

    best = jit(lambda: jax.lax.scan(newton, jnp.zeros(2), None, length=8)[0])()
    np.testing.assert_allclose(best, [-(D**2) / 2, D], atol=5e-3)
    np.testing.assert_allclose(ratio_kl(best[0] + best[1] * P), D**2 / 2, atol=5e-3)


def test_its_lowest_value_is_log_4_less_two_jensen_shannon_divergences():
    x = np.linspace(-10, 10, 4001)
    p, q = (np.exp(-((x - m) ** 2) / 2) / np.sqrt(2 * np.pi) for m in (D, 0))
    m = (p + q) / 2
    twice = np.sum(p * np.log(p / m) + q * np.log(q / m)) * (x[1] - x[0])
    value, metrics = loss((-(D**2) / 2, D))
    np.testing.assert_allclose(value, np.log(4) - twice, rtol=1e-4)
    np.testing.assert_allclose(loss((0.0, 0.0))[0], np.log(4), rtol=1e-6)
    accuracy = (1 + np.sum(np.abs(p - q)) * (x[1] - x[0]) / 2) / 2
    np.testing.assert_allclose(metrics["accuracy"], accuracy, atol=1e-3)
    np.testing.assert_allclose(metrics["ratio_kl"], D**2 / 2, rtol=1e-3)
    np.testing.assert_allclose(loss((0.0, 0.0))[1]["accuracy"], 0.5)


def test_unequal_numbers_of_samples_do_not_move_it():
    weights = (0.2, 0.7)
    some = jnp.concatenate([Q, Q, Q])
    np.testing.assert_allclose(loss(weights)[0], loss(weights, q=some)[0], rtol=1e-5)


def test_it_is_finite_at_80_and_refuses_no_samples():
    far = jnp.float32([-80.0, 80.0])
    value, grads = jax.value_and_grad(lambda v: density_ratio_loss(v, v)[0])(far)
    assert np.isfinite(value) and np.isfinite(grads).all()
    with pytest.raises(checks.InputError, match="logits_q is empty"):
        density_ratio_loss(far, jnp.zeros(0))
    with pytest.raises(checks.InputError, match="logits_p must be floating"):
        ratio_kl(jnp.arange(3))
