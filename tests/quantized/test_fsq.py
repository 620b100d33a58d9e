"""Finite scalar quantisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.quantized import finite_scalar
from tests.contracts.compiled import jit
from tests.helpers import points

LEVELS = (4, 3, 2)
QUANTISER = finite_scalar(LEVELS)
Z = 2 * points(50, 3)


def test_every_code_is_the_code_of_its_vector_and_vectors_are_the_middles_of_equal_parts():
    codes = jnp.arange(24)
    vectors = QUANTISER.vectors({}, {}, codes)
    assert QUANTISER.num_codes == len({tuple(v) for v in np.asarray(vectors).tolist()}) == 24
    for i, num in enumerate(LEVELS):
        middles = (np.arange(num) + 0.5) / num * 2 - 1
        np.testing.assert_allclose(np.unique(vectors[:, i]), middles, rtol=1e-6)
    found, _ = QUANTISER.apply({}, {}, jnp.arctanh(vectors), train=False)
    np.testing.assert_array_equal(found.codes, codes)
    assert np.isnan(QUANTISER.vectors({}, {}, jnp.asarray([-1, 24]))).all()


def test_vectors_are_within_half_a_part_and_have_the_gradient_of_tanh():
    run = lambda z: QUANTISER.apply({}, {}, z, train=True)[0]
    found = jit(run)(Z)
    assert (np.abs(found.vectors - np.tanh(Z)) <= 1 / np.asarray(LEVELS) + 1e-6).all()
    np.testing.assert_array_equal(found.vectors, QUANTISER.vectors({}, {}, found.codes))
    slope = jit(jax.grad(lambda z: run(z).vectors.sum()))(Z)
    np.testing.assert_allclose(slope, 1 - np.tanh(Z) ** 2, atol=1e-6)
    assert found.codebook_loss == found.commitment_loss == 0


def test_what_is_no_number_has_no_code_and_what_is_large_the_last_one():
    found = QUANTISER.apply({}, {}, jnp.asarray([[jnp.nan, 0, 0], [1e9, 1e9, 1e9]]), train=False)[0]
    np.testing.assert_array_equal(found.codes, [-1, 23])
    assert np.isnan(found.vectors[0, 0])


def test_what_cannot_be_is_refused():
    with pytest.raises(checks.InputError, match="levels must name at least one"):
        finite_scalar(())
    with pytest.raises(checks.InputError, match=r"features must have shape \[\.\.\., 3\]"):
        QUANTISER.apply({}, {}, Z[:, :2], train=False)
