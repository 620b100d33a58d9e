"""The rational-quadratic spline as a coupling law."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import rational_quadratic_spline
from tests.bijectors import scalar
from tests.contracts.compiled import jit

BOUND = 3.0
LAW = rational_quadratic_spline(bound=BOUND)
EVEN_KNOTS = np.linspace(-BOUND, BOUND, 9)  # those of c = 0


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def knots(c):
    """The knots on both axes from the definition, [n, K + 1] each."""
    sizes = [1e-3 + (1 - 8e-3) * jax.nn.softmax(c[:, k : k + 8]) for k in (0, 8)]
    return [2 * BOUND * jnp.cumsum(jnp.pad(s, ((0, 0), (1, 0))), -1) - BOUND for s in sizes]


def test_forward_and_inverse_undo_each_other_in_both_orders(float64):
    scalar.check_both_orders_are_the_identity(LAW, *scalar.draw(LAW), 1e-12)
    scalar.check_both_orders_are_the_identity(LAW, *scalar.draw(LAW, dtype=jnp.float32), 1e-5)


def test_log_dets_are_the_derivatives_of_both_directions(float64):
    scalar.check_log_dets_are_derivatives(LAW, *scalar.draw(LAW, scale=1.0), 1e-10)


def test_gradients_are_finite_differences(float64):
    scalar.check_gradients_are_differences(LAW, *scalar.draw(LAW, scale=1.0, spread=1.5))


def test_second_derivatives_are_those_of_the_formula(float64):
    """Of value and log-det in parameters and point, against the formula that autodiff follows."""
    law = rational_quadratic_spline(num_bins=3, bound=BOUND)
    c, x = scalar.draw(law, 20, scale=1.0, spread=1.5)

    def by_definition(c, x):
        axes = [1e-3 + (1 - 3e-3) * jax.nn.softmax(part) for part in (c[:3], c[3:6])]
        ends = [BOUND * (2 * jnp.cumsum(jnp.pad(sizes, (1, 0))) - 1) for sizes in axes]
        inner = 1e-3 + jax.nn.softplus(c[6:] + np.log(np.expm1(1 - 1e-3)))
        slopes = jnp.concatenate([jnp.ones(1), inner, jnp.ones(1)])
        k = jnp.clip(jnp.searchsorted(ends[0], x, side="right") - 1, 0, 2)
        width, height = (end[k + 1] - end[k] for end in ends)
        xi, s = (x - ends[0][k]) / width, height / width
        bend = slopes[k] + slopes[k + 1] - 2 * s
        share = xi * (s * xi + slopes[k] * (1 - xi)) / (s + bend * xi * (1 - xi))
        return ends[1][k] + height * share

    def both(c, x):
        y, slope = jax.value_and_grad(by_definition, 1)(c, x)
        inside = abs(x) < BOUND
        return jnp.where(inside, jnp.stack([y, jnp.log(slope)]), jnp.stack([x, 0 * x]))

    def hessian(f):
        return jit(jax.vmap(jax.jacfwd(jax.jacrev(f, (0, 1)), (0, 1))))

    of_law = lambda c, x: jnp.stack(law.bijector(c).forward_and_log_det(x))
    back = lambda c, x: law.bijector(c).inverse(law.bijector(c).forward(x))
    wanted = hessian(both)(c, x)
    jax.tree.map(lambda a, b: scalar.close(a, b, 1e-8), hessian(of_law)(c, x), wanted)
    for leaf in jax.tree.leaves(hessian(back)(c, x)):
        scalar.close(leaf, 0, 1e-8)


@pytest.mark.full
def test_an_autoregression_of_splines_is_solved_and_differentiated(float64):
    scalar.check_autoregression(LAW)


def test_zero_parameters_are_the_identity(float64):
    c, x = jnp.zeros((200, LAW.num_params)), jnp.linspace(-5, 5, 200)
    x = x.at[:17].set([*EVEN_KNOTS, *EVEN_KNOTS[1:] - BOUND / 8])
    scalar.check_log_dets_are_derivatives(LAW, c, x, 1e-13)
    for method in scalar.METHODS:
        y, log_det = scalar.run(LAW, method)(c, x)
        scalar.close(y, x, 1e-14)
        scalar.close(log_det, 0, 1e-14)


def test_the_curve_is_that_of_another_implementation(float64):
    c, x = scalar.draw(LAW, scale=1.0)
    edge = np.zeros((len(c), 1))

    @scalar.jit
    def of_distrax(c, x):
        theirs = distrax.RationalQuadraticSpline(
            jnp.concatenate([c[:, :16], edge, c[:, 16:], edge], -1),
            -BOUND,
            BOUND,
            boundary_slopes="identity",
            min_bin_size=2 * BOUND * 1e-3,
            min_knot_slope=1e-3,
        )
        return [getattr(theirs, method)(x) for method in scalar.METHODS]

    for method, theirs in zip(scalar.METHODS, of_distrax(c, x)):
        for got, wanted in zip(scalar.run(LAW, method)(c, x), theirs):
            scalar.close(got, wanted, 1e-9)


def test_knots_go_to_knots_and_the_slope_is_continuous_there(float64):
    c, _ = scalar.draw(LAW, 10, scale=1.0)
    left_knots, lower_knots = knots(c)
    c = jnp.repeat(c[:, None], 9, 1)
    for method, at, to in zip(scalar.METHODS, (left_knots, lower_knots), (lower_knots, left_knots)):
        of_law = scalar.run(LAW, method)
        y, log_det = of_law(c, at)
        scalar.close(y, to, 1e-12)
        slope = jax.jvp(lambda x, f=of_law: f(c, x)[0], (at,), (jnp.ones_like(at),))[1]
        scalar.close(jnp.log(slope), log_det, 1e-10)
        for side in (-1e-9, 1e-9):
            scalar.close(of_law(c, at + side)[1], log_det, 1e-5)
        scalar.close(log_det[:, ::8], 0, 1e-12)  # slope 1 where the tails begin


def test_the_tails_are_the_identity(float64):
    c, _ = scalar.draw(LAW, 6, scale=3.0)
    x = jnp.array([-1e30, -10 * BOUND, -BOUND, BOUND, 10 * BOUND, jnp.inf])
    for method in scalar.METHODS:
        y, log_det = scalar.run(LAW, method)(c, x)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(log_det, 0)
    assert jnp.isnan(LAW.bijector(c[0]).forward(jnp.nan))


def test_it_is_strictly_increasing(float64):
    c, _ = scalar.draw(LAW, 20, scale=3.0)
    x = jnp.linspace(-4, 4, 200)
    for method in scalar.METHODS:
        for one in c:
            y, log_det = scalar.run(LAW, method)(jnp.tile(one, (200, 1)), x)
            assert y.shape == log_det.shape == (200,)
            assert (np.diff(y) > 0).all()


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.full)])
def test_values_and_gradients_are_finite_everywhere(dtype):
    outside = [-1e4, -10 * BOUND, -2.9999998, 2.9999998, 10 * BOUND, 1e4]
    special = [*EVEN_KNOTS, *EVEN_KNOTS[1:] - BOUND / 8, *outside]
    x = jnp.array([*special, *np.linspace(-3.1, 3.1, 177)], dtype)
    for scale in (0.0, 1.0, 30.0):  # 30 makes bins as narrow, flat and steep as they get
        c, _ = scalar.draw(LAW, scale=scale, dtype=dtype)
        scalar.check_finite_with_gradients(LAW, c, x)
        scalar.check_finite_with_gradients(LAW, c, scalar.run(LAW, "forward_and_log_det")(c, x)[0])


@pytest.mark.parametrize("slope", [1e18, 1e25, 3e38, np.inf])
def test_slopes_that_overflow_are_no_nan(slope):
    """Their squares, their sum, and they themselves: log τ' between such knots is -log slope,
    and -∞ where there is no such number; one of two knots is enough."""
    c = np.zeros((3, LAW.num_params), np.float32)
    c[0, 16:], c[1, 18], c[2, 16:19] = slope, slope, slope
    x = np.tile(np.float32([-2.9, -1.3, -0.7, 0.2, 2.0]), (3, 1))

    @scalar.jit
    def run(c, x):
        t = LAW.bijector(c[:, None])
        return t.forward_and_log_det(x), t.inverse_and_log_det(x)

    for y, log_det in run(c, x):
        assert np.isfinite(y).all() and (np.diff(y, axis=1) >= 0).all()
        assert not np.isnan(log_det).any() and (log_det < 10).all()
        assert (log_det[0, 1:-1] < -35 if np.isfinite(slope) else log_det[0] == -np.inf).all()


def test_half_precision_parameters_are_computed_with_in_float32():
    c, x = scalar.draw(LAW, dtype=jnp.bfloat16)
    for method in scalar.METHODS:
        of_law = scalar.run(LAW, method)
        exact = of_law(c.astype(jnp.float32), x.astype(jnp.float32))
        for got, wanted in zip(of_law(c, x), exact):
            assert got.dtype == jnp.bfloat16
            scalar.close(got.astype(jnp.float32), wanted, 2**-8)  # the rounding of the result


def test_parameters_and_points_broadcast():
    scalar.check_parameters_and_points_broadcast(LAW, 1e-6)


def test_one_bin_is_the_identity_with_slope_1_in_its_middle_too(float64):
    """There the root of the inverse changes from one formula to the other, exactly at y = 0."""
    law = rational_quadratic_spline(num_bins=1)
    c, _ = scalar.draw(law, 9)
    x = jnp.linspace(-4.0, 4.0, 9)
    for method in scalar.METHODS:
        y, log_det = scalar.run(law, method)(c, x)
        scalar.close(y, x, 1e-14)
        scalar.close(log_det, 0, 1e-14)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_bins": 0}, "num_bins must be an integer of at least 1; got 0"),
        ({"bound": -1.0}, "bound must be a finite number above 0; got -1.0"),
        ({"min_slope": 0.0}, "min_slope must be a finite number above 0; got 0.0"),
        ({"min_slope": 1.0}, "min_slope must be below 1, .*; got 1.0"),
        ({"num_bins": 10, "min_width": 0.1}, "min_width must be below .* = 1 / 10; got 0.1"),
        ({"num_bins": 10, "min_height": 0.2}, "min_height must be below .* = 1 / 10; got 0.2"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        rational_quadratic_spline(**options)
