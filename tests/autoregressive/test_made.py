"""Gaussian MADE: its relation to MAF, and the Gaussian that it can be exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.autoregressive import gaussian_made
from dgm_jax.bijectors import additive, affine
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import maf
from tests.contracts.compiled import jit

DIM = 4
OPTIONS = {
    "affine": {},
    "tight": {"law": affine(bound=0.5)},
    "additive": {"law": additive()},
    "permuted": {"order": [2, 0, 3, 1]},
    "conditional": {"cond_dim": 2},
}


def drawn(model, seed=0):
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.5, a.shape), a.dtype), shapes)


@pytest.mark.parametrize("name", OPTIONS)
def test_gaussian_made_is_maf_of_one_layer_with_the_same_weights(name):
    """Density equal; and its samples, run backwards through the flow, are white."""
    options = {"hidden": (9, 7), **OPTIONS[name]}
    made = gaussian_made(DIM, **options)
    flow = maf(DIM, num_layers=1, **options)
    params = drawn(made)
    in_flow = [{}, jax.tree.map(lambda a: a[None], params)]
    cond = jnp.array([0.5, -1.0]) if "cond_dim" in options else None

    @jit
    def run(params, in_flow, key, x):
        model = pushforward(flow, standard_normal(DIM)).dist({"base": {}, "flow": in_flow}, cond)
        ours = made.dist(params, cond)
        drawn = ours.sample(seed=key, sample_shape=8000)
        z = flow.bijector(in_flow, cond).inverse(drawn)
        return ours.log_prob(x), model.log_prob(x), z

    x = jnp.asarray(np.random.default_rng(1).normal(size=(6, DIM)), jnp.float32)
    ours, theirs, z = run(params, in_flow, jax.random.key(0), x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(np.asarray(z).T), np.eye(DIM), atol=0.07)
    np.testing.assert_allclose((z**4).mean(0), 3, atol=0.4)


def exactly(model, chol, mean):
    """Parameters of a MADE with direct connections that make it N(mean, L Lᵀ).

    x = mean + L ε, so ε_i = (x_i - mean_i - Σ_{j<i} B_ij (x_j - mean_j)) / σ_i with σ = diag L and
    B = I - diag(σ) L⁻¹: shift and log-scale -log σ_i of the whitening map, linear in x_<i.
    """
    sigma = np.diag(chol)
    linear = np.linalg.inv(chol)  # ε = L⁻¹ (x - mean)
    below = np.tril(linear, -1)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    bound = 3.0
    raw = bound * np.arctanh(-np.log(sigma) / bound)  # log-scale = bound tanh(raw / bound)
    params["direct"] = params["direct"].at[:, 0].set(below)
    params["offset"] = jnp.stack([jnp.asarray(-linear @ mean), jnp.asarray(raw)], -1)
    return params


def test_a_linear_layer_set_from_the_cholesky_factor_has_the_entropy_of_the_gaussian():
    """A2: -E log p = ½ log det(2πeΣ) for p = N(m, Σ), and log p is that Gaussian at every point.

    Hidden weights are zero; what is linear in x_<i goes through the direct connections, which a
    hidden layer narrower than d - 1 brings along.
    """
    rng = np.random.default_rng(0)
    a, mean = rng.normal(size=(DIM, DIM)), rng.normal(size=DIM)
    sigma = a @ a.T + 0.5 * np.eye(DIM)
    chol = np.linalg.cholesky(sigma)
    with jax.enable_x64(True):
        model = gaussian_made(DIM, hidden=(1,))
        params = exactly(model, chol, mean)
        x = mean + rng.normal(size=(1000, DIM)) @ chol.T
        got = model.dist(params).log_prob(jnp.asarray(x))
        white = np.linalg.solve(chol, (x - mean).T).T
        log_det = np.linalg.slogdet(sigma)[1]
        wanted = -0.5 * (white**2).sum(-1) - 0.5 * (DIM * np.log(2 * np.pi) + log_det)
        np.testing.assert_allclose(got, wanted, rtol=1e-10)

        # E ‖ε‖² = d: at a point with ‖ε‖² = d the density says the entropy exactly.
        typical = mean + chol @ np.ones(DIM)
        entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * sigma)[1]
        np.testing.assert_allclose(-model.dist(params).log_prob(jnp.asarray(typical)), entropy)

        # The conditional standard deviations are the diagonal of the Cholesky factor.
        scale = model.dist(params).conditionals(jnp.asarray(x[0])).scale
        np.testing.assert_allclose(scale, np.diag(chol), rtol=1e-10)
