"""Vector quantisation as a function of (codebook, features): codes, losses, gradients, usage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.quantized import counts, look_up, nearest, perplexity, quantise
from tests.contracts.compiled import jit
from tests.helpers import points

CODEBOOK, FEATURES = points(7, 3), points(4, 5, 3, seed=2)


def test_the_nearest_code_is_that_of_the_least_distance_and_the_lowest_of_equal_ones():
    e = np.concatenate([CODEBOOK, CODEBOOK[2:4]])  # codes 7 and 8 are 2 and 3 once more
    distances = np.square(np.float64(FEATURES)[..., None, :] - e).sum(-1)
    found = jit(nearest)(jnp.asarray(e), FEATURES)
    np.testing.assert_array_equal(found, distances[..., :7].argmin(-1))
    between = jnp.asarray([[0.0, 0.0]])  # as far from both
    assert nearest(jnp.asarray([[1.0, 0.0], [-1.0, 0.0]]), between)[0] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_has_no_code_and_the_losses_say_so(value):
    z = FEATURES.at[1, 2, 0].set(value)
    found = jit(quantise)(CODEBOOK, z)
    assert found.codes[1, 2] == -1 and (np.delete(found.codes.ravel(), 7) >= 0).all()
    assert np.isnan(found.vectors[1, 2]).all() and not np.isfinite(found.commitment_loss)
    assert (nearest(CODEBOOK.at[3, 1].set(np.nan), FEATURES) == -1).all()


def test_no_code_has_no_vector():
    found = look_up(CODEBOOK, jnp.asarray([0, 6, -1, 7]))
    np.testing.assert_array_equal(found[:2], CODEBOOK[jnp.asarray([0, 6])])
    assert np.isnan(found[2:]).all()


def test_the_gradient_of_what_is_made_of_the_vectors_is_that_of_the_features():
    """dL/dz = dL/de exactly, and the codebook has none of it."""
    weight = points(4, 5, 3, seed=3)
    loss = lambda e, z: (weight * jnp.sin(quantise(e, z).vectors)).sum()
    of_codebook, of_features = jit(jax.grad(loss, (0, 1)))(CODEBOOK, FEATURES)
    vectors = look_up(CODEBOOK, nearest(CODEBOOK, FEATURES))
    np.testing.assert_array_equal(quantise(CODEBOOK, FEATURES).vectors, vectors)
    np.testing.assert_allclose(of_features, weight * jnp.cos(vectors), rtol=1e-6)
    np.testing.assert_array_equal(of_codebook, 0 * CODEBOOK)


def test_each_loss_moves_its_own_side():
    """d E ‖sg(z) - e‖² / d e_k = -2/n Σ_{i: k} (z_i - e_k), and the other way round for β."""

    def gradients(name):
        return jax.grad(lambda e, z: getattr(quantise(e, z), name), (0, 1))(CODEBOOK, FEATURES)

    of_e, of_z = gradients("codebook_loss"), gradients("commitment_loss")
    codes, num = np.asarray(nearest(CODEBOOK, FEATURES)), 20
    gap = np.asarray(FEATURES) - np.asarray(CODEBOOK)[codes]
    sums = np.zeros((7, 3))
    np.add.at(sums, codes.ravel(), gap.reshape(-1, 3))
    np.testing.assert_allclose(of_e[0], -2 * sums / num, atol=1e-6)
    np.testing.assert_allclose(of_z[1], 2 * gap / num, atol=1e-6)
    assert (of_e[1] == 0).all() and (of_z[0] == 0).all()


def test_losses_are_sums_over_a_vector_and_means_over_vectors():
    one, two = (
        quantise(CODEBOOK, FEATURES),
        quantise(*(jnp.tile(a, 2) for a in (CODEBOOK, FEATURES))),
    )
    np.testing.assert_array_equal(one.codes, two.codes)
    np.testing.assert_allclose(two.codebook_loss, 2 * one.codebook_loss, rtol=1e-6)
    many = quantise(CODEBOOK, jnp.concatenate([FEATURES] * 3))
    np.testing.assert_allclose(many.commitment_loss, one.commitment_loss, rtol=1e-6)


def test_perplexity_is_of_all_counts_and_not_the_mean_of_batches():
    codes = jnp.arange(6).reshape(3, 2)  # in three batches of two
    each = jnp.stack([counts(batch, 8) for batch in codes])
    np.testing.assert_array_equal(each.sum(0), [1] * 6 + [0] * 2)
    np.testing.assert_allclose(perplexity(each.sum(0)), 6, rtol=1e-6)
    np.testing.assert_allclose(perplexity(each), 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("codebook", "features", "message"),
    [
        (CODEBOOK[0], FEATURES, r"codebook must have shape \[n, n\]; got \(3,\)"),
        (CODEBOOK.astype(int), FEATURES, "codebook must be floating"),
        (
            CODEBOOK,
            FEATURES[..., :2],
            r"features must be vectors of .*\(7, 3\), \[\.\.\., 3\]; got \(4, 5, 2\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(codebook, features, message):
    with pytest.raises(checks.InputError, match=message):
        quantise(codebook, features)
    with pytest.raises(checks.InputError, match="codes must be integers"):
        look_up(CODEBOOK, FEATURES)
