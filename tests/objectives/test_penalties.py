"""Penalties on slopes, against critics whose slopes are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.objectives import gradient_penalty, r1, r2
from tests.helpers import points

W = np.asarray(points(2, 3, 1, seed=5))
REAL, FAKE = points(4, 2, 3, 1), points(4, 2, 3, 1, seed=2)  # of the shape of images


def linear(x):
    return (x * W).sum((1, 2, 3))


def square(x):
    """Its slope at x is 2 x, another for each sample."""
    return jnp.square(x).sum((1, 2, 3))


def test_of_a_linear_critic_it_is_the_square_of_its_norm_minus_1():
    norm = np.linalg.norm(W)
    np.testing.assert_allclose(
        gradient_penalty(linear, jax.random.key(0), REAL, FAKE), (norm - 1) ** 2, rtol=1e-5
    )
    centred = functools.partial(gradient_penalty, target=0.0)
    np.testing.assert_allclose(centred(linear, jax.random.key(0), REAL, FAKE), norm**2, rtol=1e-5)
    for penalty in (r1, r2):
        np.testing.assert_allclose(
            penalty(linear, jax.random.key(0), REAL, FAKE), norm**2 / 2, rtol=1e-5
        )


def test_a_slope_below_1_costs_nothing_on_one_side():
    gentle = lambda x: 0.1 * linear(x) / np.linalg.norm(W)
    one_sided = functools.partial(gradient_penalty, one_sided=True)
    assert one_sided(gentle, jax.random.key(0), REAL, FAKE) == 0
    np.testing.assert_allclose(
        gradient_penalty(gentle, jax.random.key(0), REAL, FAKE), 0.9**2, rtol=1e-4
    )


def test_the_norm_is_of_one_sample_over_all_its_axes():
    squares = lambda x: 2 * np.square(x).reshape(4, -1).sum(1).mean()  # ½ ‖2 x‖²
    np.testing.assert_allclose(r1(square, jax.random.key(0), REAL, FAKE), squares(REAL), rtol=1e-5)
    np.testing.assert_allclose(r2(square, jax.random.key(0), REAL, FAKE), squares(FAKE), rtol=1e-5)


def test_each_sample_is_mixed_by_one_number_of_its_own():
    """At x = u r + (1 - u) f the slope of a quadratic form tells u for each entry."""
    seen = []

    def spy(x):
        seen.append((x - FAKE) / (REAL - FAKE))
        return linear(x)

    with jax.disable_jit():
        gradient_penalty(spy, jax.random.key(0), REAL, FAKE)
    u = np.asarray(jax.tree.map(lambda x: getattr(x, "primal", x), seen[0])).reshape(4, -1)
    np.testing.assert_allclose(u, np.broadcast_to(u[:, :1], u.shape), atol=1e-5)
    assert len(np.unique(u[:, 0].round(3))) == 4 and (0 <= u).all() and (u <= 1).all()


def test_a_flat_critic_has_a_finite_gradient():
    def of(scale):
        return gradient_penalty(lambda x: scale * linear(x), jax.random.key(0), REAL, FAKE)

    assert np.isfinite(jax.grad(of)(0.0))


def test_integers_and_unlike_rows_are_refused():
    for message, rows in (
        ("real must be floating", (np.ones((4, 2), int), FAKE)),
        ("of one shape", (REAL, FAKE[:, :1])),
    ):
        for penalty in (gradient_penalty, r1, r2):
            with pytest.raises(checks.InputError, match=message):
                penalty(linear, jax.random.key(0), *rows)
    with pytest.raises(checks.InputError, match="as many rows; got 4 and 3"):
        gradient_penalty(linear, jax.random.key(0), REAL, FAKE[:3])
