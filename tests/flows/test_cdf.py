"""One variable: the flow that changes one distribution function into another."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import cdf
from tests.contracts.compiled import jit
from tests.helpers import drawn

FLOW = cdf(1, num_components=3)
MODEL = pushforward(FLOW, standard_normal(1))


def params(scale=1.0):
    return drawn(MODEL, scale)


def mixture_cdf(p, x):
    """F(x) = Σ_j π_j σ((x - μ_j)/s_j), written out."""
    p = p["flow"]
    u = (x[..., None] - p["means"][0]) / jnp.exp(p["log_scales"][0])
    return (jax.nn.softmax(p["logits"][0]) * jax.nn.sigmoid(u)).sum(-1)


def test_the_noise_is_the_normal_quantile_of_the_distribution_function():
    """z = Φ⁻¹(F(x)), and log p(x) is log F'(x) to rounding: exact in one dimension."""
    p, x = params(), jnp.linspace(-3, 3, 41)

    @jit
    def run(p, x):
        z = FLOW.bijector(p["flow"]).inverse(x[:, None])[:, 0]
        density = jax.vmap(jax.grad(mixture_cdf, 1), (None, 0))(p, x)
        log_prob = MODEL.dist(p).log_prob(x[:, None])
        return jax.scipy.stats.norm.cdf(z), mixture_cdf(p, x), log_prob, jnp.log(density)

    of_z, of_x, log_prob, wanted = run(p, x)
    np.testing.assert_allclose(of_z, of_x, rtol=2e-5)
    np.testing.assert_allclose(log_prob, wanted, rtol=1e-4, atol=1e-4)


def test_normal_noise_becomes_the_mixture():
    """Kolmogorov's distance of 4000 samples, whose 99.9 % quantile is 1.95 / √n."""
    p, n = params(), 4000

    @jit
    def run(p, key):
        return mixture_cdf(p, MODEL.dist(p).sample(seed=key, sample_shape=n)[:, 0])

    u = np.sort(run(p, jax.random.key(2)))
    distance = np.abs(u - (np.arange(n) + 0.5) / n).max()
    assert distance < 1.95 / np.sqrt(n)


def test_it_starts_with_mean_0_and_variance_1_near_the_normal():
    for k in (1, 2, 8):
        model = pushforward(cdf(1, num_components=k), standard_normal(1))
        x = jnp.linspace(-14, 14, 2801)[:, None]
        p = jit(lambda key: jnp.exp(model.dist(model.init(key)).log_prob(x)))(jax.random.key(0))
        weights = p * 0.01
        np.testing.assert_allclose(weights.sum(), 1, atol=1e-4)
        np.testing.assert_allclose((weights * x[:, 0]).sum(), 0, atol=1e-4)
        np.testing.assert_allclose((weights * x[:, 0] ** 2).sum(), 1, atol=2e-3)


def test_all_is_of_one_dtype_under_x64():
    with jax.enable_x64(True):
        params = jax.eval_shape(cdf(1).init, jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float64")}, params
