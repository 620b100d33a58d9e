"""How weights start: the numbers of `jax.nn.initializers`, whatever the shape."""

import jax
import numpy as np
import pytest

from dgm_jax.nets import starts
from tests.contracts.compiled import jit

THEIRS = {
    "normal": (starts.normal(0.3), jax.nn.initializers.normal(0.3)),
    "scaled": (starts.scaled(), jax.nn.initializers.lecun_normal()),
    "twice": (
        starts.scaled(2.0),
        jax.nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal"),
    ),
    "not cut": (
        starts.scaled(0.5, cut=False),
        jax.nn.initializers.variance_scaling(0.5, "fan_in", "normal"),
    ),
}


@pytest.mark.parametrize("name", THEIRS)
def test_they_draw_what_jax_draws(name):
    ours, theirs = THEIRS[name]
    shapes = [(3, 2), (2, 3, 4, 5)]
    both = jit(lambda key: [[f(key, shape, float) for f in (ours, theirs)] for shape in shapes])
    with jax.debug_key_reuse(False):
        for got, wanted in both(jax.random.key(1)):
            np.testing.assert_allclose(got, wanted, rtol=1e-6)
