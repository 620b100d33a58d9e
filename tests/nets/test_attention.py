"""Self-attention of pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.nets.attention import SelfAttention
from tests.contracts.compiled import jit
from tests.helpers import points


def by_hand(x, p, pool):
    """The formula, one image [H, W, C] in numpy."""
    q, k, v = (x @ p[name]["kernel"][0, 0] for name in ("query", "key", "value"))
    if pool:
        parts = lambda a: np.stack([a[i::2, j::2] for i in (0, 1) for j in (0, 1)])
        k, v = parts(k).max(0), parts(v).max(0)
    q, k, v = (a.reshape(-1, a.shape[-1]) for a in (q, k, v))
    weights = np.exp(q @ k.T)
    seen = (weights / weights.sum(1, keepdims=True)) @ v
    return x + p["gamma"] * (seen @ p["out"]["kernel"][0, 0]).reshape(x.shape)


@pytest.mark.parametrize("shape", [(4, 2, 16), (3, 4, 16)])
def test_it_is_the_formula_and_the_identity_where_gamma_starts(shape):
    module, x = SelfAttention(), points(2, *shape)
    variables = module.init(jax.random.key(0), x, False)
    apply = jit(lambda variables, x: module.apply(variables, x, False))
    np.testing.assert_array_equal(apply(variables, x), x)
    assert variables["params"]["query"]["kernel"].shape == (1, 1, 16, 2)
    variables["params"]["gamma"] = jnp.asarray(0.7)
    found, p = apply(variables, x), jax.tree.map(np.asarray, variables["params"])
    pool = shape[0] % 2 == 0
    for i in range(2):
        np.testing.assert_allclose(found[i], by_hand(np.asarray(x[i]), p, pool), atol=1e-4)


def test_every_pixel_sees_every_other():
    module, x = SelfAttention(pool=False), points(3, 3, 4)
    variables = module.init(jax.random.key(0), x, False)
    variables["params"]["gamma"] = jnp.asarray(1.0)
    corner = jit(jax.grad(lambda x: module.apply(variables, x, False)[0, 0].sum()))(x)
    assert (abs(corner) > 0).any(-1).all()
