"""Images and their factors: each image once, drawn from its factors alone."""

import numpy as np
import pytest

from dgm_jax import data
from dgm_jax.data import factors, readers


def test_shapes_are_a_complete_grid_without_an_image_twice():
    """T96: what two rows show alike no code can tell apart."""
    found = data.load_factored("shapes")
    assert found.x.shape == (960, 16, 16) and set(np.unique(found.x)) == {0, 1}
    grid = found.factors.reshape(*found.sizes, 4)
    for j, size in enumerate(found.sizes):
        states = np.arange(size).reshape([-1 if i == j else 1 for i in range(4)])
        np.testing.assert_array_equal(grid[..., j], np.broadcast_to(states, found.sizes))
    assert len(np.unique(found.x.reshape(960, -1), axis=0)) == 960
    np.testing.assert_array_equal(found.x, data.load_factored("shapes").x)


def test_x_moves_a_shape_to_the_right_y_down_and_size_makes_it_larger():
    found = data.load_factored("shapes")
    x = found.x.reshape(*found.sizes, 16, 16)
    for axis, moved in ((2, -1), (3, -2)):
        one, next_one = (np.take(x, range(a, a + 7), axis) for a in (0, 1))
        np.testing.assert_array_equal(np.roll(one, 1, moved), next_one)
    ink = x.sum((-1, -2))
    assert (np.diff(ink, axis=1) > 0).all() and (np.ptp(ink, axis=(2, 3)) == 0).all()
    np.testing.assert_array_equal(ink[0, :, 0, 0], [25, 36, 49, 64, 81])
    assert (ink[0] > ink[1]).all() and (ink[1] > ink[2]).all()
    np.testing.assert_allclose(ink[1, :, 0, 0] / ink[0, :, 0, 0], np.pi / 4, atol=0.11)
    triangle = x[2, 4, 0, 0]  # its tip is above
    assert triangle[0].sum() == 1 and triangle[8].sum() == 9 and not triangle[9:].any()


@pytest.fixture
def sprites(tmp_path):
    """Three images of the grid, and random ones of all orientations."""
    (tmp_path / "dsprites").mkdir()
    at = {
        "grid46080": [[0, 0, 0, 0, 0], [1, 5, 36, 2, 30], [2, 5, 36, 30, 30]],
        "random20000": [[0, 1, turn, 3, 5] for turn in range(40)],
    }
    for file, rows in at.items():
        index = np.ravel_multi_index(np.transpose(rows), readers.FACTORS).astype(np.int32)
        x = np.broadcast_to((index % 2)[:, None, None], (len(index), 64, 64)).astype(np.uint8)
        np.savez(tmp_path / f"dsprites/dsprites_{file}.npz", x=x, original_index=index)
    return tmp_path


def test_the_grid_of_dsprites_has_states_without_gaps(sprites):
    found = data.load_factored("dsprites", sprites)
    assert found.sizes == (3, 6, 10, 16, 16)
    assert found.factors.tolist() == [[0] * 5, [1, 5, 9, 1, 15], [2, 5, 9, 15, 15]]


def test_orientations_that_are_one_image_are_one_state(sprites):
    found = data.load_factored("dsprites_random", sprites)
    turns = sorted(found.factors[:, 2])
    assert found.sizes == (3, 6, 39, 32, 32) and turns == [0, 0, *range(1, 39)]
    assert len(found.x) == 40 and found.x.dtype == np.int32


def test_names_that_are_none_are_refused():
    with pytest.raises(ValueError, match="name"):
        data.load_factored("shape")
    assert list(data.FACTORED) == list(factors.FACTORED)
