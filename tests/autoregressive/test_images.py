"""Densities of images: colours share the components of a mixture as in the paper; completion."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive as ar
from dgm_jax import likelihoods
from dgm_jax.distributions import DiscretizedLogisticMixture
from tests.contracts.compiled import jit

NAMES = ("pixelcnn", "gated_pixelcnn", "pixelcnn_pp", "pixelsnail")
everywhere = pytest.mark.parametrize("name", NAMES)


def built(name, shape, conditional, **options):
    model = getattr(ar, name)(shape, conditional, hidden=4, num_layers=1, **options)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    draw = lambda a: jnp.asarray(rng.normal(0, 0.5, a.shape), a.dtype)  # noqa: E731
    return model, jax.tree.map(draw, shapes)


@partial(jit, static_argnums=3)
def of_components(means, log_scales, x, num_levels):
    """log p_j(x) for each j, by mixtures of one."""
    one = DiscretizedLogisticMixture(
        jnp.zeros((*means.shape, 1)),
        means[..., None],
        log_scales[..., None],
        num_levels=num_levels,
    )
    return one.log_prob(x)


@pytest.mark.parametrize("num_levels", [3, 256])
def test_colours_are_coupled_as_in_the_paper(num_levels):
    """log Σ_j π_j p_j(r) p_j(g | r) p_j(b | r, g), the joint formula, and Σ_rgb p = 1."""
    k = 4
    conditional = likelihoods.discretized_logistic(num_levels, num_components=k)
    head = conditional.head(3)
    assert head.size == 10 * k
    h = 2 * jax.random.normal(jax.random.key(0), (head.size,))
    if num_levels == 3:
        x = jnp.array(list(product(range(3), repeat=3)))
    else:
        x = jax.random.randint(jax.random.key(1), (500, 3), 0, num_levels)
    score = lambda h, x: conditional.dist(head.apply(h, x)).log_prob(x).sum(-1)  # noqa: E731
    found = jit(jax.vmap(score, (None, 0)))(h, x)

    logits, means, log_scales, alphas = jnp.split(h.reshape(10, k), [1, 4, 7])
    middles = (2 * jnp.arange(k) + 1) / k - 1
    log_scales = log_scales - jnp.log(2 * k)
    alphas, u = jnp.tanh(alphas), (2 * x / (num_levels - 1) - 1)[..., None]
    r, g = u[:, 0], u[:, 1]
    mean_r = means[0] + middles + 0 * r
    mean_g = means[1] + middles + alphas[0] * r
    mean_b = means[2] + middles + alphas[1] * r + alphas[2] * g
    joint = jax.nn.log_softmax(logits[0])
    for c, mean in enumerate((mean_r, mean_g, mean_b)):
        scales = jnp.broadcast_to(log_scales[c], mean.shape)
        joint += of_components(mean, scales, x[:, [c]], num_levels)
    np.testing.assert_allclose(found, jax.nn.logsumexp(joint, -1), rtol=1e-5, atol=1e-5)
    if num_levels == 3:
        np.testing.assert_allclose(np.exp(found).sum(), 1, atol=1e-5)


def test_colours_that_are_no_levels_are_impossible_and_gradients_finite():
    """Also where a component is sure of one level, and where scales leave what is useful."""
    conditional = likelihoods.discretized_logistic(256, num_components=2)
    head = conditional.head(3)
    x = jnp.array([[-1, 3, 9], [0, 256, 7], [0, 128, 255]])

    @jit
    def run(size):
        h = size * jax.random.normal(jax.random.key(0), (3, head.size))
        score = lambda h: conditional.dist(head.apply(h, x)).log_prob(x).sum(-1)  # noqa: E731
        log_prob, pull = jax.vjp(score, h)
        return log_prob, pull(jnp.array([0.0, 0.0, 1.0]))[0]

    for size in (1.0, 30.0, 1000.0):
        log_prob, slope = run(size)
        assert (log_prob[:2] == -jnp.inf).all() and jnp.isfinite(log_prob[2])
        assert jnp.isfinite(slope).all()


@everywhere
def test_what_is_drawn_in_colour_is_scored_alike(name):
    """Means are moved by the channels drawn in sampling, by those given in scoring."""
    conditional = likelihoods.discretized_logistic(256, num_components=2)
    model, params = built(name, (2, 3, 3), conditional, cond_shape=(3,))
    cond = jnp.eye(3)

    @jit
    def run(params, key):
        x, log_prob = model.dist(params, cond).sample_and_log_prob(seed=key, sample_shape=7)
        return x, log_prob, model.dist(params, cond).log_prob(x)

    x, log_prob, again = run(params, jax.random.key(0))
    assert x.shape == (7, 3, 2, 3, 3) and x.dtype == jnp.int32 and np.ptp(x) > 100
    np.testing.assert_allclose(log_prob, again, rtol=1e-4)
    assert np.abs(again - again[:, :1]).max() > 0.1  # the classes differ


@everywhere
def test_a_completion_keeps_what_is_given_and_sharpened_prefers_likely_levels(name):
    shape = (3, 2, 2)
    model, params = built(name, shape, likelihoods.categorical(4))
    given = np.zeros(shape, bool)
    given[:2] = True
    x = jnp.asarray(np.random.default_rng(0).integers(0, 4, (5, *shape)), jnp.int32)

    @jit
    def run(params, key):
        keys = jax.random.split(key)
        greedy = model.dist(params).sharpened(top_k=1, temperature=0.5)
        completed = model.dist(params).complete(x, given, seed=keys[0])
        best = greedy.sample(seed=keys[1], sample_shape=2)
        return completed, best, model.dist(params).conditionals(best).logits

    completed, best, logits = run(params, jax.random.key(0))
    np.testing.assert_array_equal(completed[:, :2], x[:, :2])
    assert (completed[:, 2] != x[:, 2]).any()
    np.testing.assert_array_equal(best, jnp.argmax(logits, -1))


@everywhere
def test_images_of_another_shape_or_kind_are_refused(name):
    model, params = built(name, (2, 2, 1), likelihoods.bernoulli(), cond_shape=(2,))
    score = lambda x, c=None: model.dist(params, c).log_prob(x)  # noqa: E731
    cond = jnp.zeros(2)
    with pytest.raises(ValueError, match=r"x must have shape \[..., 2, 2, 1\]; got \(2, 2\)"):
        score(jnp.zeros((2, 2), jnp.int32), cond)
    with pytest.raises(ValueError, match="x must be levels, integers in 0..1; got float32"):
        score(jnp.zeros((2, 2, 1)), cond)
    with pytest.raises(ValueError, match=r"got x \(3, 4\) and cond \(5, 2\): \(3,\) and \(5,\)"):
        score(jnp.zeros((3, 2, 2, 1), jnp.int32), jnp.zeros((5, 2)))
    with pytest.raises(
        ValueError, match="cond is missing: the model was built with cond_shape=(2,)"
    ):
        score(jnp.zeros((2, 2, 1), jnp.int32))
    with pytest.raises(ValueError, match=r"shape must be \(height, width, channels\)"):
        getattr(ar, name)((8, 8), likelihoods.bernoulli())
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected .*argument 'hiden'"):
        getattr(ar, name)((2, 2, 1), likelihoods.bernoulli(), hiden=3)
    with pytest.raises(ValueError, match="num_outputs comes from the conditional; got .*=3 as we"):
        getattr(ar, name)((2, 2, 1), likelihoods.bernoulli(), num_outputs=3)
    with pytest.raises(ValueError, match="conditional must be a Conditional; got function"):
        getattr(ar, name)((8, 8, 1), likelihoods.bernoulli)
