"""What grows with the images: sizes and channels of the paper, the fade-in, the critic's layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.gans import growing
from tests.contracts.compiled import jit
from tests.helpers import drawn, points


def test_sizes_double_from_4_and_channels_are_those_of_the_paper():
    """Table 2 of Karras et al. (2018): 512 to 32×32, then halved with each doubling."""
    sizes, width = growing.grown_sizes((1024, 1024, 3), 16384, 512)
    assert sizes == [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert [width[s] for s in sizes] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert growing.grown_sizes((4, 4, 1), 8, 3) == ([4], {4: 2})


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_the_fade_is_a_mean_and_exact_at_both_ends_where_alpha_is_traced(alpha):
    small, large = 1e8 * points(2, 3) + 1, points(2, 3)
    found = jit(growing.faded)(small, large, alpha)
    np.testing.assert_allclose(found, (1 - alpha) * small + alpha * large, rtol=1e-6)
    if alpha in (0, 1):
        np.testing.assert_array_equal(found, large if alpha else small)


def test_what_is_faded_out_is_not_computed():
    def small():
        raise AssertionError

    np.testing.assert_array_equal(growing.faded(small, jnp.ones(3), 1.0), 1)


def test_a_low_pass_filter_in_the_critic_takes_away_what_alternates():
    """Of two images that differ by a chessboard alone, the smooth critic hears less."""
    x = np.ones((4, 8, 8, 1), np.float32)
    board = np.indices((8, 8)).sum(0)[..., None] % 2 * 2.0 - 1
    options = {"channel_base": 32, "channel_max": 4, "group_size": None}

    def heard(smooth):
        critic = growing.growing_critic((8, 8, 1), smooth=smooth, **options)()
        both = jit(critic.apply)(drawn(critic), np.stack([x, x + 0.1 * board]).reshape(8, 8, 8, 1))
        return np.abs(both[:4] - both[4:]).mean()

    assert heard(True) < 0.7 * heard(False)


def test_parts_of_a_tree_have_keys_of_their_own():
    net = growing.to_images([4, 8], {4: 3, 8: 3}, 1)
    params = growing.joint_init(net)(jax.random.key(0))
    assert params.keys() == {"4x4", "8x8"}
    one, other = (jax.tree.leaves(params[name])[-1] for name in params)
    assert one.shape == other.shape and (one != other).any()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: growing.grown_sizes((12, 12, 1), 8, 8), "must be a power of two.*got 12"),
        (lambda: growing.grown_sizes((2, 2, 1), 8, 8), "must be an integer of at least 4; got 2"),
        (lambda: growing.stage(8, np.full(2, 0.5), 8), "alpha must be one number"),
        (lambda: growing.stage(8, -0.1, 8), "alpha must lie in 0..1"),
        (lambda: growing.growing_critic((8, 8, 1), group_size=1), "group_size .* at least 2"),
    ],
)
def test_what_does_not_grow_is_refused_in_a_line(call, said):
    with pytest.raises(checks.InputError, match=said):
        call()
