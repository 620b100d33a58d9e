"""Latents near their mean, and statistics of averaged weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, gans, objectives
from tests.contracts.compiled import jit
from tests.helpers import perturb

MODEL = gans.sngan((8, 8, 1), num_latents=3, hidden=2, num_classes=3)


def test_a_truncated_prior_lies_within_two_scales_and_at_zero_is_one_image_a_class():
    params, state = MODEL.init(jax.random.key(0))
    z = gans.truncated(MODEL, 0.5).prior.dist({}).sample(seed=jax.random.key(1), sample_shape=4000)
    assert abs(z).max() <= 1 and z.shape == (4000, 3)
    np.testing.assert_allclose(z.std(), 0.5 * 0.8796, rtol=0.03)  # of N(0, 1) within [-2, 2]
    still = gans.truncated(MODEL, 0.0)
    y = jnp.array([1, 1, 2])
    x = objectives.generated(still, params, state, jax.random.key(2), 3, y)
    np.testing.assert_array_equal(x[0], x[1])


def test_its_density_is_that_of_scipy():
    from scipy.stats import truncnorm

    x = np.array([[0.1, -0.4, 0.9]])
    found = gans.truncated(MODEL, 0.5).prior.dist({}).log_prob(x)
    np.testing.assert_allclose(found, truncnorm(-2, 2, scale=0.5).logpdf(x).sum(-1), rtol=1e-5)


def test_standing_statistics_are_the_mean_of_those_of_the_batches():
    """By hand: the batch norms of the first layer of each batch, averaged."""
    params, state = MODEL.init(jax.random.key(0))
    params = perturb(params, jax.random.key(1))
    y, key = jnp.arange(8) % 3, jax.random.key(2)

    @jit
    def settled(params, state):
        found = gans.standing_statistics(MODEL, params, state, key, 8, y, batch_size=4)
        keys = jax.random.split(jax.random.clone(key), (2, 2))
        firsts, now = [], state["generator"]
        for i in range(2):
            z = MODEL.prior.dist({}).sample(seed=keys[i, 0], sample_shape=4)
            h = z @ params["generator"]["Linear_0"]["kernel"]
            h = (h + params["generator"]["Linear_0"]["bias"]).reshape(4, 16, -1)
            firsts.append((h.mean((0, 1)), h.var((0, 1))))
        return found, [sum(both) / 2 for both in zip(*firsts)], now

    found, (mean, variance), before = settled(params, state)
    norm = found["generator"]["batch_stats"]["UpBlock_0"]["ConditionalBatchNorm_0"]["BatchNorm_0"]
    np.testing.assert_allclose(norm["mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm["variance"], variance, rtol=1e-4)
    assert norm["count"] == 2
    jax.tree.map(np.testing.assert_array_equal, found["critic"], state["critic"])
    assert jax.tree.structure(found["generator"]) == jax.tree.structure(before)


@pytest.mark.parametrize("truncation", [-0.1, 1.5, float("nan")])
def test_truncation_outside_of_zero_to_one_is_refused(truncation):
    with pytest.raises(checks.InputError, match="truncation must be"):
        gans.truncated(MODEL, truncation)


def test_batches_that_do_not_divide_are_refused():
    params, state = jax.eval_shape(MODEL.init, jax.random.key(0))
    with pytest.raises(checks.InputError, match="num must be a multiple of batch_size=64; got 65"):
        gans.standing_statistics(MODEL, params, state, jax.random.key(0), 65)


def test_more_batches_than_are_averaged_evenly_are_refused():
    params, state = jax.eval_shape(MODEL.init, jax.random.key(0))
    with pytest.raises(
        checks.InputError, match="num must be at most 100 times batch_size=2, .* got 202"
    ):
        gans.standing_statistics(MODEL, params, state, jax.random.key(0), 202, batch_size=2)
