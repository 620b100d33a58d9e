"""Small things done with arrays in many places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.arrays import (
    in_a_row,
    mid_quantiles,
    parted,
    rearranged,
    soft_bound,
    straight_through,
    wide,
    within_cell,
)
from dgm_jax.learning import data_mesh, replicate, shard_batch
from tests.contracts.compiled import jit


def test_sixteen_bits_become_float32_and_more_stays():
    half, single = jnp.zeros(2, jnp.bfloat16), np.zeros(2, np.float32)
    assert wide(half) == wide(half, single) == wide(jnp.float16) == jnp.float32
    assert wide(half, 1.0) == jnp.float32  # a number of Python has no precision of its own
    with jax.enable_x64(True):
        assert wide(half, np.zeros(2)) == jnp.float64


def test_a_soft_bound_is_the_identity_at_zero_and_never_beyond_the_bound():
    x = jnp.array([-1e4, -1.0, 0.0, 1e-3, 2.0, 1e4])
    y = jit(lambda x: soft_bound(x, 3.0))(x)
    np.testing.assert_allclose(y, 3 * np.tanh(np.asarray(x) / 3), rtol=1e-6)
    assert abs(y).max() <= 3


@pytest.mark.parametrize("num", [1, 2, 5])
def test_components_start_as_the_standard_one_and_shrink_onto_points_of_their_own(num):
    """μ_j = z_j (1 - s_j): at s = 1 all means are 0, at s = 1/2 half of the way to z_j."""
    quantiles = mid_quantiles(num)
    np.testing.assert_allclose(np.diff(quantiles), 1 / num)
    np.testing.assert_allclose(quantiles + quantiles[::-1], 1)
    points = np.float32(np.log(quantiles / (1 - quantiles)))
    shifts, bound = np.zeros(num, np.float32), 3.0
    means, log_scales = parted(shifts, shifts, points, bound)
    assert (means == 0).all() and (log_scales == 0).all()
    raw = np.full(num, bound * np.arctanh(-np.log(2) / bound), np.float32)
    means, log_scales = parted(shifts + 1, raw, points, bound)
    np.testing.assert_allclose(log_scales, -np.log(2), rtol=1e-5)
    np.testing.assert_allclose(means, 1 + points / 2, rtol=1e-5)


def test_what_is_added_to_a_level_stays_in_its_cell():
    """In float32 x + u is x + 1 for the largest u below 1, from x = 1 on."""
    x = jnp.arange(-8.0, 4096.0)
    largest = jnp.full(x.shape, np.nextafter(np.float32(1), np.float32(0)))
    floor = jit(lambda x, u: jnp.floor(within_cell(x, u)))
    for u in (largest, jnp.zeros_like(x), jnp.full_like(x, 0.5)):
        np.testing.assert_array_equal(floor(x, u), x)


def test_a_rearranged_array_has_its_entries_elsewhere_and_gives_their_cotangents_back():
    """One axis stays; the derivative is a gather too, of traced orders and of a batch of them."""
    a = jnp.arange(24.0).reshape(2, 3, 4)
    first, last = jnp.array([1, 0]), jnp.array([[2, 0, 3, 1], [3, 1, 0, 2]])

    def moved(a, last):
        return rearranged(a, first, None, last)

    def pulled(last):
        return jax.vjp(lambda a: moved(a, last), a)[1](jnp.sin(a))[0]

    y, back = jit(jax.vmap(lambda last: (moved(a, last), pulled(last))))(last)
    for order, got, given_back in zip(last, y, back, strict=True):
        np.testing.assert_array_equal(got, np.asarray(a)[::-1][..., order])
        np.testing.assert_array_equal(np.asarray(given_back)[::-1][..., order], jnp.sin(a))
    np.testing.assert_array_equal(rearranged(a, first, np.arange(3), None), a[::-1])
    assert rearranged(a, None, np.arange(3), None) is a
    assert "scatter" not in jax.jit(pulled).lower(last[0]).as_text()


def test_rows_on_several_devices_are_rearranged_where_they_are():
    mesh = data_mesh()
    rows, order = shard_batch(np.ones((8, 5, 3)), mesh), replicate(np.arange(5)[::-1], mesh)
    moved = lambda a, order: jnp.sin(rearranged(a, None, order, None))
    grad = jax.grad(lambda a, order: moved(a, order).sum())
    for function in (moved, grad):
        program = jax.jit(function).lower(rows, order).compile().as_text()
        assert "all-reduce" not in program and "all-gather" not in program


def test_a_straight_through_value_is_exact_and_moves_as_another():
    value, soft = jnp.asarray([0.1, 1.0, -3.0]), jnp.asarray([100.0, 0.3, 1e6])
    through = lambda soft: straight_through(value, 2 * soft)
    assert (through(soft) == value).all()
    assert (jax.grad(lambda soft: through(soft).sum())(soft) == 2).all()


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 2, 5), (2, 3, 1, 7)])
def test_numbers_drawn_in_a_row_are_those_of_their_shape(shape):
    key = jax.random.key(3)
    for draw, options in ((jax.random.normal, ()), (jax.random.uniform, (jnp.float32, -1.0, 2.0))):
        found = in_a_row(draw, jax.random.clone(key), shape, *options)
        np.testing.assert_array_equal(found, draw(jax.random.clone(key), shape, *options))
