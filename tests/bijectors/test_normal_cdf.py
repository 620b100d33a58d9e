"""The normal distribution function on the logit scale against scipy, far into the tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erfcx, log_ndtr

from dgm_jax.bijectors import NormalLogitCDF
from dgm_jax.flows import cdf
from tests.contracts.compiled import jit

X = np.concatenate([np.linspace(-9, 9, 181), np.logspace(1, 18, 35), -np.logspace(1, 18, 35)])
LOG_SLOPE = np.log(np.sqrt(2 / np.pi) / erfcx(np.abs(X) / np.sqrt(2))) - log_ndtr(np.abs(X))


@pytest.mark.parametrize("dtype, tol", [("float32", 5e-6), ("float64", 1e-11)])
def test_values_log_dets_and_derivatives_keep_their_precision_in_the_tails(dtype, tol):
    """dy/dx = φ(x) / (Φ(x) Φ(-x)), with φ(x) / Φ(-x) = √(2/π) / erfcx(x/√2)."""
    with jax.enable_x64(dtype == "float64"):
        x, t = jnp.asarray(X, dtype), NormalLogitCDF()

        @jit
        def run(x):
            y, log_det = t.forward_and_log_det(x)
            slopes = jax.vmap(jax.grad(t.forward))(x), jax.vmap(jax.grad(t.inverse))(y)
            bend = jax.vmap(jax.grad(lambda x: t.forward_and_log_det(x)[1]))(x)
            return y, log_det, slopes, bend, t.inverse_and_log_det(y)

        y, log_det, (dy, dx), bend, (back, back_log_det) = jax.tree.map(np.float64, run(x))
    exact = np.float64(np.asarray(X, dtype))
    np.testing.assert_allclose(y, log_ndtr(exact) - log_ndtr(-exact), rtol=tol, atol=tol)
    np.testing.assert_allclose(log_det, LOG_SLOPE, rtol=0, atol=tol)
    np.testing.assert_allclose(dy, np.exp(LOG_SLOPE), rtol=tol)
    np.testing.assert_allclose(back, exact, rtol=tol, atol=tol)
    np.testing.assert_allclose(back_log_det, -LOG_SLOPE, rtol=0, atol=tol)
    np.testing.assert_allclose(dx, np.exp(-LOG_SLOPE), rtol=tol)
    middle = np.abs(X) < 7  # d log slope = -x - h(-x) + h(x), h the hazard rate
    at = exact[middle]
    hazard = np.sqrt(2 / np.pi) / erfcx(at / np.sqrt(2))
    wanted = hazard - at - np.sqrt(2 / np.pi) / erfcx(-at / np.sqrt(2))
    np.testing.assert_allclose(bend[middle], wanted, rtol=0, atol=10 * tol)
    np.testing.assert_allclose(bend[np.abs(X) > 1e4] * exact[np.abs(X) > 1e4], 1, rtol=1e-5)


def test_a_point_at_1e30_has_a_density_under_the_flow_of_a_mixture():
    """Its tails are those of a logistic: z²/2 = x / s, and log dz/dx = -log(s z)."""
    flow = cdf(1)
    params = flow.init(jax.random.key(0))
    x = jnp.array([[1e20], [1e30], [-1e30]])
    z, log_det = jit(lambda params, x: flow.bijector(params).inverse_and_log_det(x))(params, x)
    scale = np.exp(params["log_scales"].max())
    wanted = np.sqrt(2e30 / scale)
    np.testing.assert_allclose(z[1:, 0], [wanted, -wanted], rtol=1e-4)
    np.testing.assert_allclose(log_det[1:], -np.log(scale * wanted), rtol=1e-5)
