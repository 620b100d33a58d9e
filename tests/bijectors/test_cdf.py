"""The distribution function of a mixture of logistics as a coupling law."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.bijectors import mixture_logistic_cdf
from tests.bijectors import scalar

LAW = mixture_logistic_cdf()
K = 8


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def components(c):
    """Weights, means and scales from the definition, [n, K] each."""
    middle = (np.arange(K) + 0.5) / K
    points = np.log(middle) - np.log1p(-middle)
    scales = np.exp(3 * np.tanh(c[:, 2 * K : 3 * K] / 3))
    c = np.float64(c)
    weights = np.exp(c[:, :K])
    return weights / weights.sum(-1, keepdims=True), c[:, K : 2 * K] + points * (1 - scales), scales


def test_forward_and_inverse_undo_each_other_in_both_orders(float64):
    scalar.check_both_orders_are_the_identity(LAW, *scalar.draw(LAW), 1e-12)
    scalar.check_both_orders_are_the_identity(LAW, *scalar.draw(LAW, dtype=jnp.float32), 1e-5)


def test_log_dets_are_the_derivatives_of_both_directions(float64):
    scalar.check_log_dets_are_derivatives(LAW, *scalar.draw(LAW, scale=1.0), 1e-10)


def test_gradients_are_finite_differences(float64):
    scalar.check_gradients_are_differences(LAW, *scalar.draw(LAW, scale=1.0, spread=1.5))


@pytest.mark.full
def test_an_autoregression_of_mixtures_is_solved_and_differentiated(float64):
    scalar.check_autoregression(LAW)


@pytest.mark.full
def test_the_second_derivative_of_the_inverse_is_that_of_the_forward(float64):
    """x''(y) = -y''(x) / y'(x)³."""
    c, x = scalar.draw(LAW)

    @scalar.jit
    @jax.vmap
    def both(c, x):
        t = LAW.bijector(c)
        slope, bend = jax.grad(t.forward), jax.grad(jax.grad(t.forward))
        y = t.forward(x)
        backward = [jax.grad(jax.grad(t.inverse))(y), jax.jacfwd(jax.jacfwd(t.inverse))(y)]
        return backward, -bend(x) / slope(x) ** 3

    backward, wanted = both(c, x)
    for got in backward:
        scalar.close(got, wanted, 1e-9)


def test_zero_parameters_are_the_identity(float64):
    c, x = jnp.zeros((200, LAW.num_params)), jnp.linspace(-50, 50, 200)
    scalar.check_log_dets_are_derivatives(LAW, c, x, 1e-13)
    for method in scalar.METHODS:
        y, log_det = scalar.run(LAW, method)(c, x)
        scalar.close(y, x, 1e-14)
        scalar.close(log_det, 0, 1e-14)


def test_the_curve_is_an_affine_map_of_the_logit_of_the_mixture(float64):
    c, x = scalar.draw(LAW, spread=1.0)
    weights, means, scales = components(c)
    c, at = np.float64(c), np.float64(x)
    cdf = (weights / (1 + np.exp((means - at[:, None]) / scales))).sum(-1)
    logit = np.log(cdf / (1 - cdf))
    y, _ = scalar.run(LAW, "forward_and_log_det")(c, x)
    scalar.close(y, np.exp(3 * np.tanh(c[:, -2] / 3)) * logit + c[:, -1], 1e-10)


def test_one_component_is_affine(float64):
    law = mixture_logistic_cdf(num_components=1)
    c, x = scalar.draw(law, 20)
    y, log_det = scalar.run(law, "forward_and_log_det")(c, x)
    _, mean, log_scale, a, b = np.asarray(c).T
    log_scale, a = 3 * np.tanh(log_scale / 3), 3 * np.tanh(a / 3)
    scalar.close(y, np.exp(a - log_scale) * (x - mean) + b, 1e-12)
    scalar.close(log_det, a - log_scale, 1e-12)


@pytest.mark.parametrize("size", [30.0, 1e3, 1e6, 1e30])
def test_the_tails_keep_float32_precision(size):
    """Far out the widest component alone is left: τ is affine, with slope e^a / max_j s_j."""
    c, x = scalar.draw(LAW, dtype=jnp.float32)
    x = size * jnp.sign(x) * (1 + jnp.abs(x))
    forward, inverse = (scalar.run(LAW, method) for method in scalar.METHODS)
    y, log_det = forward(c, x)
    scalar.close(inverse(c, y)[0] / x, 1, 1e-5)
    scalar.close(forward(c, inverse(c, x)[0])[0] / x, 1, 1e-5)
    scalar.close(inverse(c, y)[1], -log_det, 1e-4)
    if size >= 1e6:
        slope = np.exp(3 * np.tanh(c[:, -2] / 3)) / components(c)[2].max(-1)
        scalar.close(log_det, np.log(slope), 1e-5)


def test_it_is_increasing(float64):
    c, _ = scalar.draw(LAW, 20, scale=1.0)
    x = jnp.linspace(-10, 10, 200)
    for method in scalar.METHODS:
        for one in c:
            y, log_det = scalar.run(LAW, method)(jnp.tile(one, (200, 1)), x)
            assert y.shape == log_det.shape == (200,)
            assert (np.diff(y) > 0).all()


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.full)])
def test_values_and_gradients_are_finite_everywhere(dtype):
    x = jnp.array([0.0, -1e6, -1e3, 1e3, 1e6, *np.linspace(-30, 30, 195)], dtype)
    for scale in (0.0, 1.0, 3.0):
        c, _ = scalar.draw(LAW, scale=scale, dtype=dtype)
        scalar.check_finite_with_gradients(LAW, c, x)
        scalar.check_finite_with_gradients(LAW, c, scalar.run(LAW, "forward_and_log_det")(c, x)[0])


def test_the_inverse_of_a_nearly_flat_curve_still_maps_onto_the_point():
    """Narrow components far apart, where Newton's method alone would not arrive."""
    c, y = scalar.draw(LAW, scale=10.0, dtype=jnp.float32)
    x = scalar.run(LAW, "inverse_and_log_det")(c, y)[0]
    assert jnp.isfinite(x).all()
    x = x[:, None] + jnp.array([-1, 0, 1]) * 1e-5 * (1 + jnp.abs(x[:, None]))
    below, _, above = scalar.run(LAW, "forward_and_log_det")(c[:, None], x)[0].T
    slack = 1e-4 * (1 + jnp.abs(y))
    assert ((below - slack <= y) & (y <= above + slack)).all()


def test_where_the_curve_is_flat_inverse_and_gradients_stay_finite():
    """Two narrow halves 2000 apart. Between them float32 sees one value: any x there is right."""
    law = mixture_logistic_cdf(num_components=2)
    c = jnp.array([[0.0, 0.0, -1e3, 1e3, -9.0, -9.0, 0.0, 0.0]] * 3)
    y = jnp.array([-1e-3, 0.0, 1e-3])
    grads, values = scalar.gradients(law)(c, y)
    for leaf in jax.tree.leaves((grads, values)):
        assert jnp.isfinite(leaf).all()
    x = values[:, 2]
    assert -1005 < x[0] < x[1] < x[2] < 1005
    scalar.close(scalar.run(law, "forward_and_log_det")(c, x)[0], y, 1e-6)


def test_a_light_component_far_away_costs_no_precision():
    """It widens the bracket of the inverse to 1e4; half as many bisections would not do."""
    law = mixture_logistic_cdf(num_components=2)
    c = jnp.array([0.0, -20.0, 0.0, 1e4, -2.0, -2.0, 0.0, 0.0])
    x = jnp.linspace(-1.0, 1.0, 21)
    y, _ = scalar.run(law, "forward_and_log_det")(c, x)
    scalar.close(scalar.run(law, "inverse_and_log_det")(c, y)[0], x, 2e-6)


def test_half_precision_parameters_are_computed_with_in_float32():
    c, x = scalar.draw(LAW, dtype=jnp.bfloat16)
    for method in scalar.METHODS:
        of_law = scalar.run(LAW, method)
        exact = of_law(c.astype(jnp.float32), x.astype(jnp.float32))
        for got, wanted in zip(of_law(c, x), exact):
            assert got.dtype == jnp.bfloat16
            scalar.close(got.astype(jnp.float32), wanted, 2**-8)  # the rounding of the result


def test_equal_components_part_in_training_and_fit_two_modes():
    """From c = 0, to well below the best that one component, an affine map, can do."""
    side = jnp.linspace(0.75, 1.25, 32)
    x = jnp.concatenate([-side, side])
    optimiser = optax.adam(0.02)

    def nll(c):
        y, log_det = LAW.bijector(c).forward_and_log_det(x)
        return jnp.mean(0.5 * y**2 + 0.5 * np.log(2 * np.pi) - log_det)

    def step(carry, _):
        c, state = carry
        loss, grad = jax.value_and_grad(nll)(c)
        updates, state = optimiser.update(grad, state)
        return (c + updates, state), loss

    c = jnp.zeros(LAW.num_params)
    losses = scalar.jit(lambda c: jax.lax.scan(step, (c, optimiser.init(c)), length=300)[1])(c)
    best_affine = 0.5 * np.log(2 * np.pi * np.e * x.var())
    assert losses[-1] < best_affine - 0.8


@pytest.mark.full
def test_parameters_and_points_broadcast():
    scalar.check_parameters_and_points_broadcast(LAW, 1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_components": 0}, "num_components must be an integer of at least 1; got 0"),
        ({"bound": 0.0}, "bound must be a finite number above 0; got 0.0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mixture_logistic_cdf(**options)
