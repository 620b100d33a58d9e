"""Normalisation within groups of channels."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.nets import group_norm
from tests.contracts.compiled import jit
from tests.helpers import points


@pytest.mark.parametrize("num_groups", [1, 2, 6])
def test_values_and_two_derivatives_are_those_of_the_layer_of_flax(num_groups):
    with jax.enable_x64(True):
        x = points(2, 3, 4, 5, 6).astype(jnp.float64)
        scale, bias = points(6).astype(jnp.float64), points(6, seed=2).astype(jnp.float64)
        layer = linen.GroupNorm(num_groups, param_dtype=float, reduction_axes=(-3, -2, -1))

        def theirs(x, scale, bias):
            return layer.apply({"params": {"scale": scale, "bias": bias}}, x)

        def ours(x, scale, bias):
            return group_norm(x, scale, bias, num_groups=num_groups)

        def all_of(norm):
            loss = lambda *args: jnp.sin(norm(*args)).sum()
            penalty = lambda *args: sum(jnp.cos(g).sum() for g in first(*args))
            first, second = (jax.grad(f, (0, 1, 2)) for f in (loss, penalty))
            return lambda *args: (norm(*args), first(*args), second(*args))

        found, wanted = jit(lambda *args: (all_of(ours)(*args), all_of(theirs)(*args)))(
            x, scale, bias
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), found, wanted
        )


def test_a_large_mean_costs_no_digits_of_the_variance():
    x = points(8, 8, 4)
    norm = jit(lambda x: group_norm(x, jnp.ones(4), jnp.zeros(4), num_groups=2))
    np.testing.assert_allclose(norm(x + 1e3), norm(x), atol=1e-3)  # x + 1e3 is rounded by 3e-5


def test_sums_of_16_bits_are_of_32():
    x = (points(64, 64, 2) + 10).astype(jnp.bfloat16)
    norm = jit(lambda x: group_norm(x, jnp.ones(2), jnp.zeros(2), num_groups=1))
    assert norm(x).dtype == jnp.bfloat16
    wanted = norm(x.astype(jnp.float32))
    np.testing.assert_allclose(norm(x).astype(jnp.float32), wanted, rtol=1e-2, atol=1e-2)


def test_channels_that_groups_do_not_divide_are_refused():
    with pytest.raises(checks.InputError, match="x must be images .* num_groups=4 equal groups"):
        group_norm(points(2, 2, 6), jnp.ones(6), jnp.zeros(6), num_groups=4)
    with pytest.raises(checks.InputError, match="scale must"):
        group_norm(points(2, 2, 6), jnp.ones(3), jnp.zeros(6), num_groups=3)
