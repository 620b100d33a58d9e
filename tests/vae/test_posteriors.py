"""What the numbers of an encoder are parameters of: against closed forms."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dgm_jax import objectives
from dgm_jax.combinators import pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import iaf, planar, realnvp, sylvester, triangular
from dgm_jax.likelihoods import bernoulli
from dgm_jax.nets import mlp
from dgm_jax.protocol import Flow, again
from dgm_jax.vae import diagonal, flow_posterior, full_rank, vae
from tests.contracts.compiled import jit
from tests.helpers import drawn, log_det_by_autodiff, points

SEEN = {"cond_shape": (3,)}
FLOWS = {
    "iaf": lambda: iaf(2, num_layers=2, hidden=(5,), **SEEN),
    "planar": lambda: repeat(planar(2, **SEEN), 2),
    "sylvester": lambda: sylvester(2, **SEEN),
    "realnvp, the same for all x": lambda: realnvp(2, num_layers=2, hidden=(5,)),
}


def log_scale(f):
    """What a posterior makes of its numbers."""
    return 7 * np.tanh(np.asarray(f, np.float64) / 7)


def test_diagonal_is_the_gaussian_of_means_and_log_scales():
    f, z = 0.4 * points(3, 4), points(5, 3, 2, seed=2)
    dist = diagonal(2).dist({}, f)
    exact = stats.norm(f[:, :2], np.exp(log_scale(f[:, 2:])))
    np.testing.assert_allclose(dist.log_prob(z), exact.logpdf(z).sum(-1), rtol=1e-5)
    np.testing.assert_array_equal(dist.mean(), f[:, :2])
    np.testing.assert_allclose(dist.entropy(), exact.entropy().sum(-1), rtol=1e-5)


def test_full_rank_is_the_gaussian_of_its_triangular_factor():
    f, z = 0.4 * points(9), points(6, 3, seed=2)
    scale = np.diag(np.exp(log_scale(f[3:6])))
    scale[[1, 2, 2], [0, 0, 1]] = f[6:]
    dist = full_rank(3).dist({}, f)
    exact = stats.multivariate_normal(f[:3], scale @ scale.T)
    np.testing.assert_allclose(dist.log_prob(z), exact.logpdf(z), rtol=1e-5)
    np.testing.assert_allclose(dist.covariance(), scale @ scale.T, rtol=1e-5, atol=1e-6)


def test_without_what_is_off_the_diagonal_full_rank_is_diagonal():
    f, z = points(4, 6), points(4, 3, seed=2)
    full = full_rank(3).dist({}, jnp.concatenate([f, jnp.zeros((4, 3))], -1))
    plain = diagonal(3).dist({}, f)
    np.testing.assert_allclose(full.log_prob(z), plain.log_prob(z), rtol=1e-5)
    key = jax.random.key(0)
    drawn_full, drawn_plain = (d.sample(seed=again(key), sample_shape=2) for d in (full, plain))
    assert drawn_full.shape == drawn_plain.shape == (2, 4, 3)


def test_a_scale_stays_finite_whatever_the_encoder_says():
    f = jnp.float32([0, 0, 1e30, -1e30])
    z, log_q = diagonal(2).dist({}, f).sample_and_log_prob(seed=jax.random.key(0))
    assert np.isfinite(z).all() and np.isfinite(log_q)


@pytest.mark.parametrize("name", FLOWS)
def test_the_density_of_a_draw_is_that_of_its_noise_less_the_log_det_of_the_flow(name):
    flow = FLOWS[name]()
    model, num_seen = flow_posterior(flow, diagonal(2)), 3 if flow.cond_shape else 0
    params, f = drawn(model), points(4 + num_seen)

    @jit
    def run(params, f, key):
        z, log_q = model.dist(params, f).sample_and_log_prob(seed=key, sample_shape=4)
        base = diagonal(2).dist({}, f[:4])
        noise, log_base = base.sample_and_log_prob(seed=again(key), sample_shape=4)
        seen = f[4:] if flow.cond_shape else None
        forward = flow.bijector(params["flow"], seen).forward
        log_det = jnp.stack([log_det_by_autodiff(forward, noise[k]) for k in range(4)])
        return z, forward(noise), log_q, log_base - log_det

    z, moved, log_q, exact = run(params, f, jax.random.key(0))
    np.testing.assert_allclose(z, moved, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_q, exact, rtol=1e-4, atol=1e-4)


def test_a_triangular_flow_of_a_diagonal_gaussian_is_the_full_rank_gaussian():
    """The base N(μ, S²) and z = L ε + b: N(L μ + b, L S² Lᵀ), whose KL has a closed form."""
    model = flow_posterior(triangular(2), diagonal(2))
    params, f = drawn(model), points(4)

    def closed(params, f):
        q = model.dist(params, f)
        return q.mean(), q.variance(), q.kl_divergence(standard_normal(2).dist({}))

    mean, variance, kl = jit(closed)(params, f)
    bijector = triangular(2).bijector(params["flow"])
    moved = np.asarray(bijector.forward(jnp.eye(2)) - bijector.forward(jnp.zeros((1, 2)))).T
    cov = (moved * np.exp(2 * log_scale(f[2:]))) @ moved.T
    np.testing.assert_allclose(mean, bijector.forward(f[:2]), rtol=1e-5)
    np.testing.assert_allclose(variance, np.diag(cov), rtol=1e-5)
    exact = (np.trace(cov) + mean @ mean - 2 - np.linalg.slogdet(cov).logabsdet) / 2
    np.testing.assert_allclose(kl, exact, rtol=1e-4)


class OneWay(distrax.Bijector):
    """x = 2 z, which cannot be undone."""

    def forward_and_log_det(self, x):
        return 2 * x, jnp.full(x.shape[:-1], 2 * np.log(2), x.dtype)

    def inverse_and_log_det(self, y):
        raise AssertionError("the flow was inverted")


def test_inference_draws_and_scores_in_one_pass_of_the_flow():
    flow = Flow(
        lambda key: {}, lambda params, cond=None, *, key=None: OneWay(1, is_constant_jacobian=False)
    )
    posterior = flow_posterior(flow, diagonal(2))
    nets = mlp(3, 4, hidden=()), mlp(2, 3, hidden=())
    model = vae(*nets, bernoulli(), 3, num_latents=2, posterior=posterior)
    bits = np.zeros((5, 3), int)
    draw = lambda params, key: objectives.log_weights(model, params, key, bits, num_samples=2)
    assert jax.eval_shape(draw, drawn(model), jax.random.key(0)).shape == (2, 5)


OF_IMAGES = Flow(lambda key: {}, planar(4).bijector, cond_shape=(2, 2, 3))
DENSITY = pushforward(planar(2), standard_normal(2))


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: flow_posterior(planar(2), standard_normal(2)), "base must see the encoder"),
        (lambda: flow_posterior(OF_IMAGES, diagonal(4)), r"flow must .* \(n,\); got \(2, 2, 3\)"),
        (lambda: flow_posterior(DENSITY, diagonal(2)), "flow must be a Flow"),
        (lambda: diagonal(0), "num_latents must be an integer of at least 1; got 0"),
        (lambda: diagonal(2).dist({}, points(5)), r"cond must have .* 4\]; got \(5,\)"),
        (lambda: full_rank(2).dist({}, points(4)), r"cond must have .* 5\]; got \(4,\)"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
