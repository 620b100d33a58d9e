"""Codes of several numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.quantized import (
    averaged_codebook,
    finite_scalar,
    gradient_codebook,
    grouped,
    look_up,
    nearest,
    residual,
)
from tests.contracts.compiled import jit
from tests.helpers import points

Z = points(40, 2, 4)
INNER = {"gradient": gradient_codebook, "averaged": averaged_codebook}


def run(quantiser, z, train=True):
    params, state = quantiser.init(jax.random.key(0))
    params, state = quantiser.adapt(params, state, jax.random.key(1), z)

    @jit
    def applied(params, state, z):
        found, moved = quantiser.apply(params, state, z, train=train)
        slope = jax.grad(
            lambda z: jnp.sin(quantiser.apply(params, state, z, train=train)[0].vectors).sum()
        )(z)
        return found, moved, slope, quantiser.vectors(params, state, found.codes)

    return (params, state), *applied(params, state, z)


@pytest.mark.parametrize("kind", INNER)
@pytest.mark.parametrize(("carrier", "dim"), [(residual, 4), (grouped, 2)])
def test_codes_give_the_vectors_back_and_the_gradient_goes_straight_through(kind, carrier, dim):
    quantiser = carrier(INNER[kind](5, dim), 2)
    at, found, moved, slope, looked_up = run(quantiser, Z)
    assert found.codes.shape == (40, 2, 2) and quantiser.code_shape == (2,)
    np.testing.assert_allclose(found.vectors, looked_up, atol=1e-6)
    np.testing.assert_allclose(slope, np.cos(looked_up), atol=1e-6)
    assert jax.tree.structure(moved) == jax.tree.structure(at[1])


def test_each_stage_quantises_what_is_left_and_leaves_less():
    quantiser = residual(gradient_codebook(8, 4), 3)
    (params, _), found, *_ = run(quantiser, Z)
    left, error = Z, [float(jnp.square(Z).sum(-1).mean())]
    for i, p in enumerate(params):
        codes = nearest(p["codebook"], left)
        np.testing.assert_array_equal(found.codes[..., i], codes)
        left = left - look_up(p["codebook"], codes)
        error.append(float(jnp.square(left).sum(-1).mean()))
    assert error == sorted(error, reverse=True)
    np.testing.assert_allclose(found.codebook_loss, sum(error[1:]), rtol=1e-5)


def test_groups_are_codebooks_side_by_side():
    quantiser = grouped(gradient_codebook(5, 2), 2)
    assert quantiser.dim == 4
    (params, _), found, *_ = run(quantiser, Z)
    for i, p in enumerate(params):
        codes = nearest(p["codebook"], Z[..., 2 * i : 2 * i + 2])
        np.testing.assert_array_equal(found.codes[..., i], codes)


def test_what_rounds_may_be_carried_too_and_another_noun_is_refused():
    quantiser = grouped(finite_scalar((3, 3)), 2)
    found, _ = quantiser.apply(*quantiser.init(jax.random.key(0)), Z, train=False)
    assert quantiser.adapt is None and found.codes.shape == (40, 2, 2)
    with pytest.raises(checks.InputError, match="quantiser must be a Quantiser"):
        residual(gradient_codebook, 2)
    with pytest.raises(checks.InputError, match="num_groups must be an integer"):
        grouped(finite_scalar((3, 3)), 0)
