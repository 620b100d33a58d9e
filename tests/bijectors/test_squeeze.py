"""Images in other shapes: which entry goes where."""

import distrax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import (
    Coupling,
    Diagonal,
    FactorOut,
    additive,
    checkerboard,
    flatten,
    squeeze,
)

SHAPES = {"squeeze": (4, 6, 3), "checkerboard": (3, 4, 2), "flatten": (2, 3, 2)}
MAKE = {"squeeze": squeeze, "checkerboard": checkerboard, "flatten": flatten}


def image(shape, batch=()):
    return jnp.arange(np.prod((*batch, *shape)), dtype=jnp.float32).reshape(*batch, *shape)


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("batch", [(), (2, 5)])
def test_entries_are_moved_and_brought_back_each_to_its_place(name, batch):
    x, t = image(SHAPES[name], batch), MAKE[name](SHAPES[name])
    y, log_det = t.forward_and_log_det(x)
    back, back_log_det = t.inverse_and_log_det(y)
    np.testing.assert_array_equal(back, x)
    np.testing.assert_array_equal(log_det, np.zeros(batch))
    np.testing.assert_array_equal(back_log_det, np.zeros(batch))
    axes = tuple(range(len(batch), y.ndim))
    np.testing.assert_array_equal(np.sort(y, axes[-1]).sum(axes), x.sum(axes[:1] + (-2, -1)))
    assert y.shape[: len(batch)] == batch


def test_squeeze_makes_channels_of_each_square_of_pixels():
    x = image((4, 6, 3))
    y = squeeze((4, 6, 3)).forward(x)
    assert y.shape == (2, 3, 12)
    for i in range(2):
        for j in range(3):
            square = [x[2 * i + a, 2 * j + b] for a in (0, 1) for b in (0, 1)]
            np.testing.assert_array_equal(y[i, j], np.concatenate(square))


def test_checkerboard_puts_the_black_pixels_first_and_each_near_its_place():
    x = image((3, 4, 2))
    y = checkerboard((3, 4, 2)).forward(x)
    assert y.shape == (3, 2, 4)
    for i in range(3):
        for k in range(2):
            pair = x[i, 2 * k : 2 * k + 2]  # one black, one white
            black = 0 if i % 2 == 0 else 1
            np.testing.assert_array_equal(y[i, k], np.concatenate([pair[black], pair[1 - black]]))


def test_a_channel_coupling_behind_a_checkerboard_is_the_masked_coupling_of_the_paper():
    """b ⊙ x is kept to the bit where i + j is even, and all else is moved."""
    board = checkerboard((4, 4, 1))

    def ones(kept):
        return jnp.ones((*kept.shape[:-1], 1))

    plus_one = Coupling([True, False], ones, additive(), event_ndims=3)
    t = distrax.Chain([distrax.Inverse(board), plus_one, board])
    x = image((4, 4, 1), (2,))
    moved = (t.forward(x) - x)[..., 0]
    black = np.add.outer(np.arange(4), np.arange(4)) % 2 == 0
    np.testing.assert_array_equal(moved, np.broadcast_to(np.where(black, 0, 1), (2, 4, 4)))


def test_factor_out_transforms_one_half_of_the_channels_and_adds_log_dets():
    rest = distrax.Chain(
        [distrax.Inverse(flatten((2, 2, 1))), Diagonal(jnp.log(jnp.arange(1.0, 5.0)))]
    )
    t = FactorOut(rest, (2, 2, 2))
    z = jnp.stack([jnp.ones(8), jnp.arange(8.0)])
    x, log_det = t.forward_and_log_det(z)
    np.testing.assert_allclose(x[0, ..., 0], [[1, 2], [3, 4]], rtol=1e-6)
    np.testing.assert_array_equal(x[1, ..., 1], [[4, 5], [6, 7]])
    np.testing.assert_allclose(log_det, np.full(2, np.log(24)), rtol=1e-6)
    back, back_log_det = t.inverse_and_log_det(x)
    np.testing.assert_allclose(back, z, rtol=1e-6)
    np.testing.assert_allclose(back_log_det, -log_det)
