"""Preprocessing: exact bijections with their log-dets, and levels that come back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.data.preprocessing import (
    dequantize,
    logit_map,
    mu_law_decode,
    mu_law_encode,
    quantize,
    standardize,
)
from tests.contracts.compiled import jit

LEVELS = np.arange(256, dtype=np.int32)


def bijectors():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(0, 17, 5), jnp.float32)
    std = rng.uniform(0.5, 2, 5)
    return [
        pytest.param(logit_map(17), x, id="logit"),
        pytest.param(logit_map(17, alpha=1e-6), x, id="logit, small alpha"),
        pytest.param(standardize(rng.normal(size=5), std), x, id="standardize"),
        pytest.param(standardize(1.0, 3.0), x, id="standardize by scalars"),
    ]


@pytest.mark.parametrize(("bijector", "x"), bijectors())
def test_log_det_is_that_of_the_jacobian_both_ways(bijector, x):

    @jit
    def run(x):
        y, log_det = bijector.forward_and_log_det(x)
        jacobians = jax.jacfwd(bijector.forward)(x), jax.jacfwd(bijector.inverse)(y)
        return log_det, *bijector.inverse_and_log_det(y), *jacobians

    log_det, x_again, inverse_log_det, jacobian, inverse_jacobian = run(x)
    want = np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(log_det, want, rtol=1e-5, atol=1e-5)
    want = np.linalg.slogdet(inverse_jacobian)[1]
    np.testing.assert_allclose(inverse_log_det, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(x_again, x, atol=1e-5)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=1e-4)


def test_logit_map_is_the_published_formula():
    x = np.array([0.0, 10.0, 255.5])
    for alpha in 0.05, 1e-6:
        s = alpha + (1 - 2 * alpha) * x / 256
        y = jit(logit_map(256, alpha=alpha).forward)(jnp.asarray(x, jnp.float32))
        np.testing.assert_allclose(y, np.log(s) - np.log1p(-s), rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 1e-6])
def test_golden_conversion_a_uniform_density_scores_eight_bits_a_dimension(alpha):
    """x uniform on [0, 256)^d makes s uniform on [α, 1-α), thus y of density σ'(y) / (1 - 2α).

    That density scores 8: 256 bins and not 255, the factor 1 - 2α, bits, divided by d.
    """

    @jit
    def run(key):
        x = dequantize(key, np.tile(LEVELS, (10, 1)))
        return logit_map(256, alpha=alpha).forward_and_log_det(x)

    y, log_det = run(jax.random.key(0))
    y = np.asarray(y, float)
    log_prob = -np.logaddexp(0, y) - np.logaddexp(0, -y) - np.log(1 - 2 * alpha)
    bits = -(log_prob.sum(-1) + log_det) / (256 * np.log(2))
    np.testing.assert_allclose(bits, 8, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 1e-6])
@pytest.mark.parametrize("num_levels", [2, 256])
def test_logit_map_returns_every_level_and_both_ends(num_levels, alpha):
    bijector = logit_map(num_levels, alpha=alpha, event_ndims=0)
    below_k = np.nextafter(np.float32(num_levels), np.float32(0))
    x = jnp.asarray([*range(num_levels), 1e-6, below_k], jnp.float32)

    @jit
    def run(x):
        y, log_det = bijector.forward_and_log_det(x)
        return y, log_det, bijector.inverse(y)

    y, log_det, again = run(x)
    assert jnp.isfinite(y).all() and jnp.isfinite(log_det).all()
    np.testing.assert_allclose(again, x, atol=3e-7 * num_levels)


@pytest.mark.parametrize("alpha", [0.05, 1e-6])
def test_logit_map_is_finite_for_saturated_y_and_stays_in_the_margin(alpha):
    bijector = logit_map(256, alpha=alpha)
    y = jnp.array([-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4])

    @jit
    def run(y):
        x, log_det = bijector.inverse_and_log_det(y)
        gradient = jax.grad(lambda y: bijector.inverse(y).sum())(y)
        return x, log_det, *bijector.forward_and_log_det(x), gradient

    x, log_det, y_again, forward_log_det, gradient = map(np.asarray, run(y))
    margin = alpha * 256 / (1 - 2 * alpha)
    assert x.min() >= -margin - 1e-4 and x.max() <= 256 + margin + 1e-4
    for finite in (log_det, y_again, forward_log_det):
        assert np.isfinite(finite).all()
    assert jnp.isfinite(gradient).all() and gradient[3] > 0


def test_logit_map_of_data_beyond_its_levels_is_nan():
    assert jnp.isnan(logit_map(17).forward(jnp.array([3.0, 255.0]))).tolist() == [False, True]


def test_event_axes_are_summed_and_batch_axes_kept():
    x = jnp.full((7, 4, 4, 3), 5.0)
    for event_ndims, shape in ((0, (7, 4, 4, 3)), (1, (7, 4, 4)), (3, (7,))):
        for bijector in logit_map(256, event_ndims=event_ndims), standardize(0, 2.0, event_ndims):
            y, log_det = jax.eval_shape(bijector.forward_and_log_det, x)
            assert y.shape == x.shape and log_det.shape == shape
    log_det = jit(standardize(0, 2.0, 3).forward_log_det_jacobian)(x)
    np.testing.assert_allclose(log_det, -48 * np.log(2), rtol=1e-6)


def test_dequantized_values_floor_back_to_all_256_levels():
    """500 draws of each: without the clamp, about 1 in 10⁵ rounds up to the next level."""
    x = np.tile(LEVELS, (500, 10))
    y = jax.jit(dequantize)(jax.random.key(0), x)
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(jnp.floor(y).astype(jnp.int32), x)
    np.testing.assert_array_equal(quantize(y, 256), x)


def test_dequantization_noise_is_uniform_on_the_unit_interval():
    u = np.asarray(jit(dequantize)(jax.random.key(1), np.zeros(20_000, np.int32)))
    count = np.histogram(u, 20, (0, 1))[0]
    assert ((count - 1000) ** 2 / 1000).sum() < 19 + 4 * np.sqrt(38)


def test_quantize_floors_and_clips_to_int32():
    levels = jit(lambda x: quantize(x, 17))(jnp.array([-0.1, 0.0, 0.999, 3.5, 16.99, 17.2, -9.0]))
    np.testing.assert_array_equal(levels, [0, 0, 0, 3, 16, 16, 0])
    assert levels.dtype == jnp.int32


def test_standardized_training_data_have_mean_zero_and_variance_one():
    x = np.random.default_rng(0).normal(1e4, [1.0, 3.0], (500, 2)).astype(np.float32)
    bijector = standardize(x.mean(0, dtype=float), x.std(0, dtype=float))
    z = np.asarray(bijector.forward(jnp.asarray(x)), float)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-3)


@pytest.mark.parametrize("num_levels", [2, 17, 256])
def test_mu_law_returns_every_level_and_is_odd(num_levels):
    levels = np.arange(num_levels)

    @jit
    def run(levels):
        x = mu_law_decode(levels, num_levels)
        return x, mu_law_encode(x, num_levels)

    x, again = map(np.asarray, run(levels))
    np.testing.assert_array_equal(again, levels)
    np.testing.assert_allclose(x, -x[::-1], rtol=1e-6)
    np.testing.assert_allclose(x[[0, -1]], [-1, 1], rtol=1e-5)
    assert (np.diff(x) > 0).all()


def test_mu_law_is_the_published_formula_and_takes_the_nearest_level():
    x = np.random.default_rng(0).uniform(-1, 1, 1000)
    f = np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)
    encode = jit(mu_law_encode)
    levels = np.asarray(encode(jnp.asarray(x, jnp.float32)))
    assert np.abs(2 * levels / 255 - 1 - f).max() <= 1 / 255 + 1e-6
    assert encode(jnp.array([0.0, -2.0, 2.0, jnp.nan])).tolist() == [128, 0, 255, -1]
    half = jnp.asarray(x, jnp.bfloat16)
    np.testing.assert_array_equal(encode(half), encode(np.float32(half)))
    step = np.diff(np.asarray(jit(mu_law_decode)(np.array([128, 129]))))
    assert step == pytest.approx(2 * np.log(256) / 255 / 255, rel=0.05)  # 1 / 5860 near silence


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: logit_map(1), "num_levels must be an integer of at least 2"),
        (lambda: logit_map(256, alpha=0.0), "alpha must be a finite number above 0"),
        (lambda: logit_map(256, alpha=0.5), "alpha must be below 0.5; got 0.5"),
        (lambda: logit_map(256).forward(LEVELS), "x must be floating; got int32. Dequantize"),
        (lambda: logit_map(256, event_ndims=2).forward(jnp.zeros(3)), "at least 2 axes"),
        (lambda: standardize(0.0, [1.0, 0.0]), r"std must be finite and above 0; got 0\.0"),
        (lambda: standardize(0.0, -1.0), "std must be finite and above 0; got -1"),
        (lambda: standardize(np.nan, 1.0), "mean must be finite"),
        (lambda: standardize([0.0, 0.0], 1.0).forward(jnp.zeros((5, 1))), "does not fit"),
        (lambda: dequantize(jax.random.key(0), jnp.zeros(3)), "x must be integers; got float32"),
        (lambda: quantize(jnp.zeros(3), 1), "num_levels must be an integer of at least 2"),
        (lambda: mu_law_encode(LEVELS), r"x must be floating, in \[-1, 1\]; got int32"),
        (lambda: mu_law_decode(jnp.zeros(3)), "levels must be integers; got float32"),
        (lambda: mu_law_encode(jnp.zeros(3), 1), "num_levels must be an integer of at least 2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_dequantize_needs_a_typed_key():
    with pytest.raises(TypeError, match="typed key"):
        dequantize(0, LEVELS)


def test_integers_that_float32_merges_are_not_dequantized(key):
    for x in (np.array([3, 2**24 + 1]), jnp.array([-(2**24) - 1])):
        with pytest.raises(ValueError, match=r"x must lie in -16777216\.\.16777216"):
            dequantize(key, x)


def test_nan_is_no_level_and_no_level_is_nan_where_nothing_can_be_raised():
    levels = quantize(np.float32([np.nan, -np.inf, 2.5, np.inf]), 8)
    np.testing.assert_array_equal(levels, [-1, 0, 2, 7])
    x = jit(lambda levels: mu_law_decode(levels, 8))(jnp.array([-1, 0, 7, 8]))
    np.testing.assert_array_equal(x, [np.nan, -1, 1, np.nan])


@pytest.mark.parametrize("shape", [(4, 2), (4, 1), ()])
def test_rows_that_mean_and_deviation_do_not_fit_are_refused(shape):
    with pytest.raises(checks.InputError, match="does not fit mean and std of shapes"):
        standardize(np.zeros(3), 1.0, event_ndims=0).forward(jnp.zeros(shape))
    with pytest.raises(checks.InputError, match=r"mean \(3,\), std \(2,\)"):
        standardize(np.zeros(3), np.ones(2))
