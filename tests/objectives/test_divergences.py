"""The two directions of KL: closed forms, their duality, and a flow as a VAE without noise."""

from functools import cache

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.autoregressive import made
from dgm_jax.combinators import pushforward
from dgm_jax.data import moons
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import autoregression, coupling, realnvp
from dgm_jax.likelihoods import bernoulli, mixture
from dgm_jax.objectives import mean_and_stderr, reverse_kl
from dgm_jax.protocol import Density, again
from tests.contracts.compiled import jit
from tests.helpers import drawn, perturb

MEAN, SCALE = jnp.array([1.0, -0.5]), jnp.array([0.5, 2.0])
AXIS = np.linspace(-9, 9, 451, dtype=np.float32)
GRID, CELL = np.stack(np.meshgrid(AXIS, AXIS), -1), (AXIS[1] - AXIS[0]) ** 2


def gaussian() -> Density:
    """N(θ_0, diag θ_1²)."""
    return Density(
        lambda key: (jnp.zeros(2), jnp.ones(2)),
        lambda params, cond=None, key=None: distrax.MultivariateNormalDiag(*params),
    )


def kl(mean, scale, mean_2, scale_2):
    """KL between diagonal Gaussians, in nats."""
    ratio = (scale / scale_2) ** 2
    return 0.5 * (ratio - 1 - jnp.log(ratio) + ((mean - mean_2) / scale_2) ** 2).sum()


def test_reverse_kl_is_the_closed_form_within_its_error(key):
    target = distrax.MultivariateNormalDiag(MEAN, SCALE)
    params = jnp.array([0.2, 0.3]), jnp.array([0.8, 1.5])

    def estimate(key):
        return reverse_kl(gaussian(), params, key, target.log_prob, num_samples=500)[0]

    mean, stderr = mean_and_stderr(jit(jax.vmap(estimate))(jax.random.split(key, 100)))
    wanted = kl(*params, MEAN, SCALE)
    assert abs(mean - wanted) < 4 * stderr and stderr < 0.02 * wanted


def test_reverse_kl_is_zero_on_every_sample_where_the_two_are_one(key):
    model = gaussian()
    target = distrax.MultivariateNormalDiag(MEAN, SCALE)
    loss, metrics = reverse_kl(model, (MEAN, SCALE), key, target.log_prob, num_samples=7)
    np.testing.assert_allclose(loss, 0, atol=1e-5)
    assert metrics == {"reverse_kl": loss}


def test_the_gradient_of_reverse_kl_is_reparametrised(key):
    """∂KL/∂μ = (μ - m) / s² in closed form; it passes through the samples."""
    target = distrax.MultivariateNormalDiag(MEAN, SCALE)

    def loss(mean, key):
        params = mean, jnp.ones(2)
        return reverse_kl(gaussian(), params, key, target.log_prob, num_samples=20_000)[0]

    got = jit(jax.grad(loss))(jnp.zeros(2), key)
    np.testing.assert_allclose(got, -MEAN / SCALE**2, atol=0.1)


def test_kl_of_data_to_model_is_kl_of_whitened_data_to_the_base(key):
    """D6: KL(π ‖ p_θ) = KL(f_* π ‖ base), exactly, for an affine f and Gaussian π.

    And sample by sample: log π(x) - log p_θ(x) = log f_*π(z) - log base(z) at z = f(x).
    """
    flow = autoregression(2, hidden=(3,))  # f⁻¹; affine when its hidden weights are zero
    params = jax.tree.map(lambda a: jnp.zeros(a.shape), jax.eval_shape(flow.init, key))
    params["offset"] = jnp.array([[0.7, 0.4], [-0.3, -0.2]])
    t = flow.bijector(params)
    pi = distrax.MultivariateNormalDiag(MEAN, SCALE)
    base = standard_normal(2)
    p = pushforward(flow, base).dist({"base": {}, "flow": params})

    scale, shift = jnp.exp(3 * jnp.tanh(params["offset"][:, 1] / 3)), params["offset"][:, 0]
    exact = kl(MEAN, SCALE, shift, scale)  # p_θ = N(shift, scale²)
    white = kl((MEAN - shift) / scale, SCALE / scale, jnp.zeros(2), jnp.ones(2))
    np.testing.assert_allclose(exact, white, rtol=1e-5)

    x, log_pi = pi.sample_and_log_prob(seed=key, sample_shape=20_000)
    z, log_det = t.inverse_and_log_det(x)
    forward = log_pi - p.log_prob(x)
    reverse = (log_pi - log_det) - base.dist({}).log_prob(z)
    np.testing.assert_allclose(forward, reverse, rtol=1e-4, atol=1e-4)
    mean, stderr = mean_and_stderr(forward)
    assert abs(mean - exact) < 4 * stderr


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def kl_on_grid(log_p, log_q):
    """∫ p log p/q, by the sum over a fine grid."""
    return float(jnp.sum(jnp.exp(log_p) * (log_p - log_q)) * CELL)


@cache
def on_grids():
    """log π and log p_θ on a grid of x, log f_*π and log p_z on one of z, for a nonlinear T."""
    base, flow, pi = standard_normal(2), realnvp(2, num_layers=2, hidden=(8,)), moons()
    params = drawn(flow, 0.1)

    @jit
    def run(params, grid):
        t = flow.bijector(params)
        log_p = pushforward(flow, base).dist({"base": {}, "flow": params}).log_prob(grid)
        x, log_det = t.forward_and_log_det(grid)  # the grid of noises
        log_pulled = pi.log_prob(x) + log_det  # the density of f(x), x from π
        return (pi.log_prob(grid), log_p), (log_pulled, base.dist({}).log_prob(grid))

    return run(params, GRID)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_kl_between_data_and_model_is_one_between_noises(direction):
    """KL(π ‖ p_θ) = KL(f_*π ‖ p_z), where f = T⁻¹ takes data to noise; and with the sides changed.

    So maximum likelihood makes the data, seen from the noise, look like the base; and reverse KL
    makes the base look like them. Both sides by quadrature, in x and in z, for a nonlinear T.
    """
    in_x, in_z = on_grids()
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


@pytest.mark.parametrize("likelihood", [bernoulli(), mixture(2)], ids=["bits", "mixture"])
def test_reverse_kl_refuses_samples_without_a_gradient(likelihood):
    model = made(2, likelihood, hidden=(3,))
    log_density = lambda x: jnp.zeros(len(x))
    with pytest.raises(ValueError, match="reparametrised.*mean_log_ratio"):
        reverse_kl(model, drawn(model), jax.random.key(0), log_density, num_samples=5)


def test_dropout_acts_where_a_model_is_trained():
    """The samples are of one key, the maps of another: with dropout another loss."""

    @jit
    def loss(params, key):
        def of(dropout):
            flow = coupling(2, hidden=(16,), dropout=dropout)
            model = pushforward(flow, standard_normal(2))
            return reverse_kl(model, params, again(key), lambda x: x.sum(-1), num_samples=5)[0]

        return of(0.5), of(0.0)

    model = pushforward(coupling(2, hidden=(16,)), standard_normal(2))
    with_dropout, without = loss(drawn(model), jax.random.key(0))
    assert abs(with_dropout - without) > 1e-3
