"""The U-Net: sizes, what is told, and the start as f = 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.checks import InputError
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

SHAPE = (4, 4, 1)


def net(**options):
    small = {"hidden": 4, "multipliers": (1, 2), "num_blocks": 1, "num_groups": 2}
    return nets.unet(SHAPE, **(small | options))


def test_it_starts_as_zero_and_depends_on_all_it_is_told():
    model = net(cond_shape=(3,), attention=(4,), fourier=(1,), out_channels=2)
    x, level, c = points(2, *SHAPE), jnp.array([-1.0, 2.0]), jnp.eye(3)[:2]
    zero = jit(model.init)(jax.random.key(0))
    apply = jit(model.apply)
    np.testing.assert_array_equal(apply(zero, x, level, c), jnp.zeros((2, 4, 4, 2)))
    params = drawn(model)
    y = apply(params, x, level, c)
    far = x.at[:, 0, 0].add(1.0)  # the corner is seen in the opposite one
    assert jnp.abs(apply(params, far, level, c) - y)[:, 3, 3].min() > 1e-6
    assert jnp.abs(apply(params, x, level + 0.5, c) - y).max() > 1e-4
    assert jnp.abs(apply(params, x, level, jnp.roll(c, 1, 0)) - y).max() > 1e-4


def test_rows_do_not_see_one_another_and_dropout_needs_a_key(key):
    model = net(dropout=0.5)
    params, x, level = drawn(model), points(3, *SHAPE), jnp.array([-1.0, 0.0, 2.0])
    apply = jit(model.apply)
    y = apply(params, x, level)
    other = apply(params, x.at[1:].add(1.0), level)
    np.testing.assert_allclose(other[0], y[0], atol=1e-5)
    assert jnp.abs(apply(params, x, level, key=key) - y).max() > 1e-3


def test_the_perceptron_sees_level_and_condition():
    model = nets.time_mlp(2, hidden=(5,), num_waves=4, cond_shape=(1,))
    params, x, level, c = drawn(model), points(3, 2), jnp.array([-1.0, 0.0, 2.0]), points(3, 1)
    y = model.apply(params, x, level, c)
    assert y.shape == (3, 2)
    assert jnp.abs(model.apply(params, x, level + 1, c) - y).max() > 1e-4
    assert jnp.abs(model.apply(params, x, level, c + 1) - y).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multipliers": (1, 1, 1, 1)}, "multiples of 8"),
        ({"hidden": 3}, "hidden must be a multiple of 2"),
        ({"multipliers": ()}, "multipliers"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"attention": (4, 8)}, r"attention must be heights out of \(4, 2\); got \(4, 8\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        net(**options)
