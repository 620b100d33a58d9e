"""The ground the other tests stand on."""

import warnings

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import log_det_by_autodiff, perturb


def test_perturb_moves_every_floating_leaf_and_no_other(key):
    params = {"w": jnp.zeros((3, 2)), "layers": [jnp.ones(4)], "order": jnp.arange(3), "empty": ()}
    moved = perturb(params, key)
    assert jnp.all(moved["w"] != 0) and jnp.all(moved["layers"][0] != 1)
    np.testing.assert_array_equal(moved["order"], params["order"])
    assert jax.tree.structure(moved) == jax.tree.structure(params)


def test_perturb_draws_different_noise_for_each_leaf(key):
    moved = perturb([jnp.zeros(3), jnp.zeros(3)], key)
    assert not np.allclose(moved[0], moved[1])


def test_perturb_of_no_parameters_is_no_parameters(key):
    assert perturb({}, key) == {}


def test_log_det_by_autodiff_of_a_linear_map_is_that_of_its_matrix():
    a = jnp.array([[2.0, 1.0], [0.0, -3.0]])
    x = jnp.array([0.3, 0.7])
    np.testing.assert_allclose(log_det_by_autodiff(lambda v: a @ v, x), np.log(6.0), rtol=1e-6)


def test_log_det_by_autodiff_takes_events_of_any_shape():
    x = jnp.full((2, 3, 1), 0.5)
    np.testing.assert_allclose(log_det_by_autodiff(jnp.exp, x), 3.0, rtol=1e-6)
    np.testing.assert_allclose(log_det_by_autodiff(jnp.exp, jnp.float32(0.5)), 0.5, rtol=1e-6)


def test_a_key_used_twice_through_distrax_and_jit_is_an_error(key):
    def twice(key):
        normal = distrax.Normal(0.0, 1.0)
        return normal.sample(seed=key) + normal.sample(seed=key)

    with pytest.raises(jax.errors.KeyReuseError):
        jax.jit(twice)(key)


def test_a_warning_is_an_error():
    with pytest.raises(UserWarning, match="careful"):
        warnings.warn("careful", UserWarning, stacklevel=1)


def test_there_are_eight_virtual_devices():
    if jax.default_backend() != "cpu":
        pytest.skip("an accelerator brings its own number of devices")
    assert jax.device_count() == 8
