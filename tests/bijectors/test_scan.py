"""Many layers of one form."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import Permutation, Scan

PARAMS = {"shift": jnp.array([1.0, 2.0, 3.0]), "log_scale": jnp.array([0.1, -0.4, 0.7])}


def layer(p):
    return distrax.Block(distrax.ScalarAffine(shift=p["shift"], log_scale=p["log_scale"]), 1)


@pytest.mark.parametrize("unroll", [False, True])
def test_layers_run_first_to_last_forward_and_last_to_first_back(unroll):
    t = Scan(layer, PARAMS, 3, unroll=unroll)
    x = jnp.array([0.3, -1.0])
    y = x
    for shift, log_scale in zip(PARAMS["shift"], PARAMS["log_scale"], strict=True):
        y = y * jnp.exp(log_scale) + shift
    got, log_det = t.forward_and_log_det(x)
    np.testing.assert_allclose(got, y, rtol=1e-6)
    np.testing.assert_allclose(log_det, 2 * 0.4, rtol=1e-5)
    back, back_log_det = t.inverse_and_log_det(y)
    np.testing.assert_allclose(back, x, atol=1e-6)
    np.testing.assert_allclose(back_log_det, -2 * 0.4, rtol=1e-5)
    np.testing.assert_allclose(t.forward(x), y, rtol=1e-6)
    np.testing.assert_allclose(t.inverse(y), x, atol=1e-6)


def test_the_code_does_not_grow_with_the_number_of_layers_unless_unrolled():
    def code(num, unroll):
        params = jax.tree.map(lambda a: jnp.broadcast_to(a[:1], (num,)), PARAMS)

        def forward(params, x):
            return Scan(layer, params, num, unroll=unroll).forward(x)

        return jax.jit(forward).lower(params, jnp.ones(2)).as_text().splitlines()

    assert len(code(3, False)) == len(code(30, False))
    assert len(code(30, True)) > 5 * len(code(3, True)) > 0


def test_a_gradient_that_recomputes_keeps_the_input_of_each_layer_alone():
    x = jnp.array([0.3, -1.0])

    def value(params, recompute):
        y, log_det = Scan(layer, params, 3, recompute=recompute).inverse_and_log_det(x)
        return (y**2).sum() * log_det

    def kept(recompute):
        _, vjp = jax.vjp(lambda params: value(params, recompute), PARAMS)
        return sum(leaf.size for leaf in jax.tree.leaves(vjp))

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        *(jax.grad(value)(PARAMS, recompute) for recompute in (False, True)),
    )
    assert kept(True) < kept(False)


def test_layers_without_parameters_have_their_number_too():
    x = jnp.arange(3.0)
    t = Scan(lambda p: Permutation([1, 2, 0]), {}, 2)
    np.testing.assert_array_equal(t.forward(x), [2, 0, 1])
    np.testing.assert_array_equal(t.inverse(t.forward(x)), x)


def test_parameters_of_another_number_of_layers_are_refused():
    with pytest.raises(ValueError, match=r"stack 5 layers.*\(3,\).*num_layers"):
        Scan(layer, PARAMS, 5)
