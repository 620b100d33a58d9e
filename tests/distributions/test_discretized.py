"""The discretised mixture of logistics: a law of levels, finite wherever a net may drive it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from dgm_jax.distributions import DiscretizedLogisticMixture
from tests.contracts.compiled import jit

LEVELS = (2, 3, 17, 256)


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
    params = (a.astype(jnp.bfloat16) for a in extremes())
    log_p = DiscretizedLogisticMixture(*params, num_levels=256).logits
    np.testing.assert_allclose(np.exp(np.asarray(log_p, np.float64)).sum(-1), 1, atol=3e-5)


@pytest.mark.parametrize("num_levels", LEVELS)
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
        got = jit(lambda p: DiscretizedLogisticMixture(*p, num_levels=num_levels).logits)(parts)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    single = [jnp.asarray(p, jnp.float32) for p in parts]
    got = DiscretizedLogisticMixture(*single, num_levels=num_levels).logits
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_the_outer_levels_take_the_tails():
    """A wide logistic gives each of them a half; one far outside gives all to the nearer."""

    def law(mean, log_scale):
        parts = (jnp.zeros(1), jnp.full(1, mean), jnp.full(1, log_scale))
        return np.exp(DiscretizedLogisticMixture(*parts).logits)

    wide = law(0.0, 20.0)
    np.testing.assert_allclose(wide[[0, -1]], 0.5, atol=1e-6)
    assert 0 < wide[1:-1].sum() < 1e-6
    np.testing.assert_allclose(law(1e3, -2.0)[-1], 1)
    np.testing.assert_allclose(law(-1e3, -2.0)[0], 1)
    middle = law(0.1, -3.0)
    np.testing.assert_allclose(middle, law(-0.1, -3.0)[::-1], rtol=1e-3)  # levels mirror about 0


def test_values_and_gradients_are_finite_where_both_tails_round_to_nothing():
    """Also far from the mean at the narrowest scale, where σ(a) - σ(b) is 0 - 0."""

    def total(p, v):
        return DiscretizedLogisticMixture(*p).log_prob(v).sum()

    for v in (0, 1, 127, 254, 255):
        value, grads = jit(jax.value_and_grad(total))(extremes(), v)
        assert np.isfinite(value)
        for grad in grads:
            assert np.isfinite(grad).all()
    one = (jnp.zeros(1), jnp.full(1, 0.9), jnp.full(1, -20.0))
    grads = jax.grad(total)(one, 3)
    assert grads[1][0] < 0  # and they point to the level: the mean must come down


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

        for v in (0, 1, 9, 15):
            ours = jax.grad(our_own)(p, v)
            for a, b in zip(ours, jax.grad(defined)(p, v), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("num_levels", (2, 9))
def test_samples_fall_on_each_level_as_often_as_its_probability(num_levels):
    rng = np.random.default_rng(3)
    logits, means, log_scales = (jnp.asarray(rng.normal(0, 1, (4, 3))) for _ in range(3))

    @jit
    def draw(key):
        dist = DiscretizedLogisticMixture(logits, means, log_scales - 1, num_levels=num_levels)
        return dist.sample(seed=key, sample_shape=20_000), dist.logits

    x, log_p = draw(jax.random.key(0))
    assert x.shape == (20_000, 4) and x.dtype == jnp.int32
    p = np.exp(np.asarray(log_p, np.float64))
    for i in range(4):
        got = np.bincount(x[:, i], minlength=num_levels) / len(x)
        assert (np.abs(got - p[i]) < 4.5 * np.sqrt(p[i] * (1 - p[i]) / len(x)) + 1e-5).all()


def test_extreme_scales_sample_levels_too():
    dist = DiscretizedLogisticMixture(*extremes())
    x = np.asarray(dist.sample(seed=jax.random.key(0), sample_shape=9))
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
