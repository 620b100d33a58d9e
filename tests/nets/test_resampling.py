"""Convolutions of enlarged images, and means of convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.nets.resampling import nearest, nearest_conv, pooled, pooled_conv
from tests.contracts.compiled import jit
from tests.helpers import points


def plain(x, w):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout)


def doubled(y):
    return jnp.repeat(jnp.repeat(y, 2, 1), 2, 2)


def halved(x):
    return sum(x[:, a::2, b::2] for a in (0, 1) for b in (0, 1)) / 4


CASES = {
    "nearest_conv": (nearest_conv, lambda y, w: plain(doubled(y), w)),
    "pooled_conv": (pooled_conv, lambda x, w: halved(plain(x, w))),
}


@pytest.mark.parametrize("taps", [1, 3, 5])
@pytest.mark.parametrize("name", CASES)
def test_it_is_the_convolution_beside_the_resampling_with_two_derivatives(name, taps):
    ours, theirs = CASES[name]
    with jax.enable_x64(True):
        x = points(2, 4, 6, 3).astype(float)
        w = points(taps, taps, 3, 2, seed=2).astype(float)

        def all_of(f):
            loss = lambda x, w: jnp.sin(f(x, w)).sum()
            slope = jax.grad(lambda x, w: (jax.grad(loss)(x, w) ** 2).sum(), (0, 1))
            return lambda x, w: (f(x, w), jax.grad(loss, (0, 1))(x, w), slope(x, w))

        found, wanted = jit(lambda x, w: (all_of(ours)(x, w), all_of(theirs)(x, w)))(x, w)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), found, wanted)


def test_resampling_is_by_equal_numbers_and_means_with_any_batch():
    x = points(2, 3, 4, 6, 5)
    np.testing.assert_array_equal(nearest(x[0]), doubled(x[0]))
    np.testing.assert_allclose(pooled(x[0][:, :4]), halved(x[0]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pooled(nearest(x)), x, rtol=1e-6)
    assert nearest(x[:0]).shape == (0, 3, 8, 12, 5)


def test_odd_sides_have_no_pairs_and_even_kernels_no_middle():
    with pytest.raises(checks.InputError, match="x must be images of even height and width"):
        pooled(points(3, 4, 1))
    with pytest.raises(checks.InputError, match="kernel must have an odd number of taps"):
        nearest_conv(points(4, 4, 1), points(2, 2, 1, 1))
    with pytest.raises(checks.InputError, match=r"kernel must have shape \[n, n, 3, n\]"):
        pooled_conv(points(4, 4, 3), points(3, 3, 2, 1))
