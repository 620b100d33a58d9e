"""Likelihood objectives against closed forms."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.combinators import fixed, pushforward
from dgm_jax.data.preprocessing import dequantize, logit_map
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import autoregression, realnvp
from dgm_jax.objectives import bits_per_dim, mean_and_stderr, nll
from dgm_jax.protocol import Density
from tests.contracts.compiled import jit
from tests.helpers import perturb

MEAN, SCALE = jnp.array([1.0, -0.5]), jnp.array([0.5, 2.0])


def gaussian() -> Density:
    """N(θ_0, diag θ_1²)."""
    return Density(
        lambda key: (jnp.zeros(2), jnp.ones(2)),
        lambda params, cond=None, key=None: distrax.MultivariateNormalDiag(*params),
    )


def test_nll_is_the_mean_over_examples_in_nats():
    x = jnp.array([[0.5, -1.0], [2.0, 0.3]])
    wanted = -distrax.MultivariateNormalDiag(MEAN, SCALE).log_prob(x).mean()
    loss, metrics = nll(gaussian(), (MEAN, SCALE), None, x)
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    assert metrics == {"nll": loss}


def test_nll_of_each_example_is_under_its_own_condition():
    flow = autoregression(2, hidden=(4,), cond_shape=(1,))
    model = pushforward(flow, standard_normal(2))

    @jit
    def both(key, x, cond):
        init_key, move_key = jax.random.split(key)
        params = perturb(model.init(init_key), move_key)
        each = [model.dist(params, c).log_prob(row) for row, c in zip(x, cond, strict=True)]
        return nll(model, params, None, x, cond)[0], -jnp.stack(each).mean()

    x, cond = jnp.arange(6.0).reshape(3, 2) / 5, jnp.array([[0.0], [1.0], [-2.0]])
    np.testing.assert_allclose(*both(jax.random.key(0), x, cond), rtol=1e-5)


@pytest.mark.parametrize("num_levels, wanted", [(256, 8.0), (2, 1.0), (32, 5.0)])
def test_a_uniform_density_costs_log2_of_the_number_of_levels(num_levels, wanted, key):
    """With the model on levels, and with it on y = logit_map(x) and its log-det."""
    dim = 3
    x = dequantize(key, jnp.array([[0, 1, num_levels - 1], [1, 1, 0]]))
    uniform = distrax.Independent(distrax.Uniform(jnp.zeros(dim), jnp.full(dim, num_levels)), 1)
    np.testing.assert_allclose(bits_per_dim(uniform.log_prob(x), dim), wanted, rtol=1e-6)

    g = logit_map(num_levels)
    y, log_det = g.forward_and_log_det(x)
    on_y = distrax.Transformed(uniform, g).log_prob(y)
    np.testing.assert_allclose(bits_per_dim(on_y, dim, log_det), wanted, rtol=1e-4)


def test_both_routes_of_bits_per_dim_agree_for_a_model_of_logits():
    """log_det given, or the model pushed through the inverse of the preprocessing."""
    dim, g = 3, logit_map(256)
    flow = realnvp(dim, num_layers=2, hidden=(4,))
    on_logits = pushforward(flow, standard_normal(dim))
    on_levels = pushforward(fixed(distrax.Inverse(g)), on_logits)

    @jit
    def both(key, x):
        init_key, move_key = jax.random.split(key)
        params = perturb(on_logits.init(init_key), move_key)
        y, log_det = g.forward_and_log_det(x)
        direct = on_levels.dist({"base": params, "flow": {}}).log_prob(x)
        return (
            bits_per_dim(on_logits.dist(params).log_prob(y), dim, log_det),
            bits_per_dim(direct, dim),
        )

    x = jnp.array([[3.5, 100.2, 254.9], [0.1, 17.0, 128.0]])
    np.testing.assert_allclose(*both(jax.random.key(0), x), rtol=1e-5)


def test_mean_and_stderr_are_the_textbook_formulas():
    values = np.array([1.0, 4.0, -2.0, 3.5])
    mean, stderr = mean_and_stderr(values)
    np.testing.assert_allclose(mean, 1.625, rtol=1e-6)
    np.testing.assert_allclose(stderr, np.sqrt(((values - 1.625) ** 2).sum() / 3 / 4), rtol=1e-6)
