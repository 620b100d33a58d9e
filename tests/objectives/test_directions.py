"""The two directions of KL, their duality, and a flow as a VAE without noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.combinators import pushforward
from dgm_jax.data import moons
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import coupling, realnvp
from tests.contracts.compiled import jit
from tests.helpers import perturb

AXIS = np.linspace(-9, 9, 451, dtype=np.float32)
GRID, CELL = np.stack(np.meshgrid(AXIS, AXIS), -1), (AXIS[1] - AXIS[0]) ** 2


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def kl_on_grid(log_p, log_q):
    """∫ p log p/q, by the sum over a fine grid."""
    return float(jnp.sum(jnp.exp(log_p) * (log_p - log_q)) * CELL)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_kl_between_data_and_model_is_one_between_noises(direction):
    """KL(π ‖ p_θ) = KL(f_*π ‖ p_z), where f = T⁻¹ takes data to noise; and with the sides changed.

    So maximum likelihood makes the data, seen from the noise, look like the base; and reverse KL
    makes the base look like them. Both sides by quadrature, in x and in z, for a nonlinear T.
    """
    base, flow, pi = standard_normal(2), realnvp(2, num_layers=2, hidden=(8,)), moons()
    init_key, move_key = jax.random.split(jax.random.key(0))
    params = perturb(flow.init(init_key), move_key, 0.1)

    @jit
    def run(params):
        t = flow.bijector(params)
        log_p = pushforward(flow, base).dist({"base": {}, "flow": params}).log_prob(GRID)
        x, log_det = t.forward_and_log_det(GRID)  # the grid of noises
        return log_p, pi.log_prob(x) + log_det  # the second: the density of f(x), x from π

    log_p, log_pulled = run(params)
    log_pi, log_base = pi.log_prob(GRID), base.dist({}).log_prob(GRID)
    in_x, in_z = (log_pi, log_p), (log_pulled, log_base)
    if direction == "reverse":
        in_x, in_z = in_x[::-1], in_z[::-1]
    np.testing.assert_allclose(kl_on_grid(*in_x), kl_on_grid(*in_z), rtol=2e-3)
    assert kl_on_grid(*in_x) > 0.1


def test_a_flow_is_a_vae_whose_encoder_is_deterministic(float64):
    """log p(x) = log p(f(x)) + log|det ∂f/∂x| is the ELBO of an encoder and decoder without noise.

    Encoder q(z|x) = N(f(x), σ² J Jᵀ) with J = ∂f/∂x, decoder p(x|z) = N(f⁻¹(z), σ² I): a draw is
    z = f(x) + σ J ε, so that to first order f⁻¹(z) = x + σ ε, and

        log p(x|z) - log q(z|x) = log|det J|,

    the term of the change of variables. The gap, KL(q ‖ p(z|x)) under the noisy decoder, is O(σ²).
    """
    flow, base = coupling(2, hidden=(8,)), standard_normal(2)
    init_key, move_key = jax.random.split(jax.random.key(0))
    params = perturb(flow.init(init_key), move_key, 0.5)
    x = jnp.array([0.4, -1.1])
    half = jax.random.normal(jax.random.key(1), (2000, 2))
    eps = jnp.concatenate([half, -half])  # antithetic: what is odd in ε cancels

    def log_normal(residual):
        return -0.5 * (residual**2).sum(-1) - jnp.log(2 * jnp.pi)

    @jit
    def gap(params, sigma):
        t = flow.bijector(params)
        encode = t.inverse  # f
        jacobian = jax.jacfwd(encode)(x)
        z = encode(x) + sigma * eps @ jacobian.T
        log_q = log_normal(eps) - 2 * jnp.log(sigma) - jnp.linalg.slogdet(jacobian).logabsdet
        log_likelihood = log_normal((x - t.forward(z)) / sigma) - 2 * jnp.log(sigma)
        elbo = (log_likelihood + base.dist({}).log_prob(z) - log_q).mean()
        model = pushforward(flow, base).dist({"base": {}, "flow": params})
        return model.log_prob(x) - elbo

    wide, narrow = (float(gap(params, sigma)) for sigma in (1e-2, 1e-3))
    assert 0 < wide < 1e-2
    np.testing.assert_allclose(wide / narrow, 100, rtol=0.05)
