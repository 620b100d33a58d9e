"""The discretised mixture of logistics is a distribution, finite wherever a net may drive it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from dgm_jax.distributions import DiscretizedLogisticMixture, Levels
from tests.contracts.compiled import jit

LEVELS = (2, 17, 256)


def extremes(num=400, components=3):
    """Parameters over all scales, and means on edges, in the middle of levels and far outside."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (num, components))
    means = rng.choice([-1e3, -50, -1, -1 + 1 / 255, 0, 0.3, 1, 2, 1e3], (num, components))
    means = means + rng.normal(0, 0.1, means.shape) * rng.integers(0, 2, means.shape)
    log_scales = rng.choice([-20, -10, -7, -5, -2, 0, 3, 20], (num, components))
    return tuple(jnp.asarray(a, jnp.float32) for a in (logits, means, log_scales))


@pytest.mark.parametrize("num_levels", LEVELS)
def test_it_sums_to_one_over_all_levels_whatever_the_parameters(num_levels):
    """In float32, also where a component is narrower than the distance of two floats."""
    log_p = jit(lambda p: DiscretizedLogisticMixture(*p, num_levels=num_levels).logits)(extremes())
    assert log_p.shape == (400, num_levels)
    np.testing.assert_allclose(np.exp(np.asarray(log_p, np.float64)).sum(-1), 1, atol=3e-5)


def test_parameters_of_sixteen_bits_sum_to_one_too():
    """Edges of levels are told apart in float32: bfloat16 has one number where two of them lie."""
    params = [a.astype(jnp.bfloat16) for a in extremes()]
    log_p = jit(lambda p: DiscretizedLogisticMixture(*p, num_levels=256).logits)(params)
    np.testing.assert_allclose(np.exp(np.asarray(log_p, np.float64)).sum(-1), 1, atol=3e-5)


@pytest.mark.parametrize("num_levels", (2, 17))
def test_it_is_the_difference_of_distribution_functions(num_levels):
    """Against the definition in float64: half a level is 1 / (K - 1), tails at the ends."""
    rng = np.random.default_rng(1)
    logits, means, log_scales = rng.normal(0, 1, (3, 50, 1, 4))
    centre = np.linspace(-1, 1, num_levels)[:, None]
    half = 1 / (num_levels - 1)
    upper = expit((centre + half - means) * np.exp(-log_scales))
    lower = expit((centre - half - means) * np.exp(-log_scales))
    upper[:, -1], lower[:, 0] = 1, 0
    wanted = np.log((np.exp(log_softmax(logits, -1)) * (upper - lower)).sum(-1))
    with jax.enable_x64(True):
        parts = [jnp.asarray(a[:, 0]) for a in (logits, means, log_scales)]
        single = [p.astype(jnp.float32) for p in parts]
        logits = jit(lambda p: DiscretizedLogisticMixture(*p, num_levels=num_levels).logits)
        got, in_float32 = logits(parts), logits(single)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    assert in_float32.dtype == jnp.float32
    np.testing.assert_allclose(in_float32, wanted, rtol=1e-4, atol=1e-4)


def test_the_outer_levels_take_the_tails():
    """A wide logistic gives each of them a half; one far outside gives all to the nearer."""

    means, log_scales = np.float32([[0, 1e3, -1e3, 0.1, -0.1], [20, -2, -2, -3, -3]])[..., None]
    p = jit(lambda m, s: jnp.exp(DiscretizedLogisticMixture(0 * m, m, s).logits))
    wide, right, left, middle, mirrored = np.asarray(p(means, log_scales))
    np.testing.assert_allclose(wide[[0, -1]], 0.5, atol=1e-6)
    assert 0 < wide[1:-1].sum() < 1e-6
    np.testing.assert_allclose(right[-1], 1)
    np.testing.assert_allclose(left[0], 1)
    np.testing.assert_allclose(middle, mirrored[::-1], rtol=1e-3)  # levels mirror about 0


def test_values_and_gradients_are_finite_where_both_tails_round_to_nothing():
    """Also far from the mean at the narrowest scale, where σ(a) - σ(b) is 0 - 0."""

    def total(p, v):
        return DiscretizedLogisticMixture(*p).log_prob(v).sum()

    slopes = jit(jax.value_and_grad(total))
    for v in (0, 1, 127, 254, 255):
        value, grads = slopes(extremes(), v)
        assert np.isfinite(value)
        for grad in grads:
            assert np.isfinite(grad).all()
    logits, means, log_scales = (np.array(a) for a in extremes())
    logits[0], means[0], log_scales[0] = 0, 0.9, -20
    grads = slopes((logits, means, log_scales), 3)[1]
    assert (grads[1][0] < 0).all()  # and they point to the level: the mean must come down


def test_gradients_are_those_of_the_definition():
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        p = tuple(jnp.asarray(rng.normal(0, 1, (3,))) for _ in range(3))

        def defined(p, v, num_levels=16):
            logits, means, log_scales = p
            x, half = 2 * v / (num_levels - 1) - 1, 1 / (num_levels - 1)
            upper = jax.nn.sigmoid((x + half - means) / jnp.exp(log_scales))
            lower = jax.nn.sigmoid((x - half - means) / jnp.exp(log_scales))
            upper = 1.0 if v == num_levels - 1 else upper
            lower = 0.0 if v == 0 else lower
            return jnp.log((jax.nn.softmax(logits) * (upper - lower)).sum())

        def our_own(p, v):
            return DiscretizedLogisticMixture(*p, num_levels=16).log_prob(v)

        @jit
        def slopes(p):
            return [[jax.grad(f)(p, v) for v in (0, 1, 9, 15)] for f in (our_own, defined)]

        for a, b in zip(*map(jax.tree.leaves, slopes(p)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)


def test_samples_fall_on_each_level_as_often_as_its_probability():
    """And their mean and the likeliest of them are `mean` and `mode`."""
    rng, num_levels = np.random.default_rng(3), 9
    logits, means, log_scales = (jnp.asarray(rng.normal(0, 1, (4, 3))) for _ in range(3))

    @jit
    def draw(key):
        dist = DiscretizedLogisticMixture(logits, means, log_scales - 1, num_levels=num_levels)
        x = dist.sample(seed=key, sample_shape=20_000)
        return x, dist.logits, dist.mean(), dist.mode()

    x, log_p, mean, mode = draw(jax.random.key(0))
    assert x.shape == (20_000, 4) and x.dtype == jnp.int32
    p = np.exp(np.asarray(log_p, np.float64))
    np.testing.assert_allclose(mean, p @ np.arange(num_levels), rtol=1e-5)
    np.testing.assert_array_equal(mode, p.argmax(-1))
    for i in range(4):
        got = np.bincount(x[:, i], minlength=num_levels) / len(x)
        assert (np.abs(got - p[i]) < 4.5 * np.sqrt(p[i] * (1 - p[i]) / len(x)) + 1e-5).all()


def test_extreme_scales_sample_levels_too():
    draw = jit(lambda p, key: DiscretizedLogisticMixture(*p).sample(seed=key, sample_shape=9))
    x = np.asarray(draw(extremes(), jax.random.key(0)))
    assert x.min() >= 0 and x.max() <= 255 and len(np.unique(x)) > 2


def test_what_is_no_level_has_no_probability_or_is_refused():
    dist = DiscretizedLogisticMixture(*(jnp.zeros(2) for _ in range(3)), num_levels=5)
    assert dist.log_prob(-1) == dist.log_prob(5) == -np.inf
    with pytest.raises(ValueError, match=r"levels, integers in 0\.\.4; got float32"):
        dist.log_prob(jnp.array(2.5))
    with pytest.raises(ValueError, match="num_levels must be an integer of at least 2"):
        DiscretizedLogisticMixture(*(jnp.zeros(2) for _ in range(3)), num_levels=1)
    with pytest.raises(ValueError, match="one number of components"):
        DiscretizedLogisticMixture(jnp.zeros(2), jnp.zeros(3), jnp.zeros(2))
    with pytest.raises(TypeError, match="seed must be a typed key"):
        dist.sample(seed=0)


@pytest.mark.parametrize("num_levels", (2, 17))
def test_its_moments_and_entropy_are_the_sums_over_its_levels(num_levels):
    """Of the same levels as a categorical distribution, too."""
    logits, means, log_scales = np.random.default_rng(1).normal(0, 1, (3, 50, 4))

    @jit
    def told():
        dist = DiscretizedLogisticMixture(logits, means, log_scales, num_levels=num_levels)
        both = dist, Levels(logits=dist.logits)
        return dist.logits, [(d.mean(), d.variance(), d.entropy(), d.mode()) for d in both]

    log_p, both = jax.device_get(told())
    p, levels = np.exp(np.float64(log_p)), np.arange(num_levels)
    mean = p @ levels
    wanted = mean, p @ levels**2 - mean**2, -(p * log_p).sum(-1), p.argmax(-1)
    for got in both:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), got, wanted)
