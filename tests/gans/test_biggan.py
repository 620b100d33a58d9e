"""BigGAN: its parts, and the penalty that keeps columns orthogonal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, gans
from tests.helpers import points


def test_z_has_twenty_numbers_for_each_part_and_classes_one_embedding():
    model = gans.biggan((16, 16, 1), 3, hidden=2, embedding=5)
    assert model.prior.dist({}).event_shape == (60,)
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    generator = params["generator"]
    assert generator["embedding"]["kernel"].shape == (3, 5)
    assert generator["Linear_0"]["kernel"].shape[0] == 20
    gain = generator["UpBlock_0"]["ConditionalBatchNorm_0"]["gain"]
    assert gain["kernel"].shape[0] == 25


def test_the_penalty_is_zero_for_orthogonal_columns_of_any_length_and_the_formula_else():
    w = np.asarray(points(3, 3, 2, 4))
    params = {"a": {"kernel": w, "bias": points(4)}, "embedding": {"kernel": points(5, 3)}}
    matrix = w.reshape(-1, 4)
    gram = matrix.T @ matrix
    wanted = (gram**2).sum() - (np.diag(gram) ** 2).sum()
    np.testing.assert_allclose(gans.orthogonal_penalty(params), wanted, rtol=1e-4)
    straight = np.linalg.qr(points(5, 3))[0] * np.array([0.5, 2.0, 3.0])
    assert gans.orthogonal_penalty({"kernel": jnp.asarray(straight)}) < 1e-9


def test_params_without_a_matrix_and_classes_that_are_none_are_refused():
    with pytest.raises(checks.InputError, match="params must have a weight with two axes"):
        gans.orthogonal_penalty({"bias": points(3)})
    with pytest.raises(checks.InputError, match="num_classes must be an integer of at least 1"):
        gans.biggan((8, 8, 1), 0)
