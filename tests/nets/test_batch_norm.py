"""Normalisation by the statistics of a batch, whole on every layout."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from dgm_jax import checks, learning
from dgm_jax.nets import virtual_batch_norm
from dgm_jax.nets.batch_norm import (
    BatchNorm,
    ConditionalBatchNorm,
    VirtualBatchNorm,
    forgotten,
)
from tests.contracts.compiled import jit
from tests.helpers import perturb, points


def trained(module, variables, *inputs):
    return module.apply(variables, *inputs, True, mutable=["batch_stats"])


def started(module, *inputs):
    return module.init(jax.random.key(0), *inputs, False)


def normed(x, axes):
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


def test_a_batch_is_normalised_by_all_of_its_pixels_and_gain_and_shift_follow():
    x, module = np.asarray(3 * points(4, 2, 3, 5) + 1), BatchNorm()
    variables = started(module, x)
    y, _ = trained(module, variables, x)
    np.testing.assert_allclose(y, normed(x, (0, 1, 2)), atol=1e-5)
    params = {"scale": points(5), "bias": points(5, seed=2)}
    y, _ = trained(module, variables | {"params": params}, x)
    wanted = normed(x, (0, 1, 2)) * params["scale"] + params["bias"]
    np.testing.assert_allclose(y, wanted, atol=1e-5)


def test_the_state_is_the_mean_of_the_first_batches_and_then_forgets():
    module, batches = BatchNorm(momentum=0.75), [points(6, 2, seed=i) for i in range(6)]
    state = started(module, batches[0])
    np.testing.assert_allclose(module.apply(state, batches[0], False), batches[0], rtol=1e-4)
    step = jit(lambda state, x: state | trained(module, state, x)[1])
    for x in batches[:4]:
        state = step(state, x)
    means = np.stack([x.mean(0) for x in batches])
    variances = np.stack([x.var(0) for x in batches])
    np.testing.assert_allclose(state["batch_stats"]["mean"], means[:4].mean(0), atol=1e-6)
    np.testing.assert_allclose(state["batch_stats"]["variance"], variances[:4].mean(0), rtol=1e-5)
    state = step(state, batches[4])
    wanted = 0.75 * means[:4].mean(0) + 0.25 * means[4]
    np.testing.assert_allclose(state["batch_stats"]["mean"], wanted, atol=1e-6)
    again = step(forgotten(state), batches[5])
    np.testing.assert_allclose(again["batch_stats"]["mean"], means[5], atol=1e-6)


def test_in_evaluation_an_example_does_not_depend_on_its_companions():
    module, x = BatchNorm(), points(5, 3)
    variables = started(module, x)
    variables |= trained(module, variables, 2 * x + 1)[1]
    evaluated = module.apply(variables, x, False)
    np.testing.assert_allclose(module.apply(variables, x[:1], False), evaluated[:1], rtol=1e-6)
    assert (abs(evaluated - x) > 0.1).any()


def test_the_batch_is_whole_when_it_is_spread_over_devices_by_jit_and_by_pmap():
    num = jax.device_count()
    if num == 1:
        pytest.skip("one device")
    module, x = BatchNorm(), points(2 * num, 3)
    variables = started(module, x)
    both = lambda variables, x: trained(module, variables, x)
    y, moved = jax.jit(both)(variables, x)
    mesh = learning.data_mesh(num)
    spread = jax.device_put(x, NamedSharding(mesh, PartitionSpec(mesh.axis_names[0])))
    z, moved_by_jit = jax.jit(both)(variables, spread)
    np.testing.assert_allclose(z, y, atol=1e-5)
    named = BatchNorm(axis_name="batch")
    by_pmap = jax.pmap(functools.partial(trained, named), axis_name="batch", in_axes=(None, 0))
    w, moved_by_pmap = by_pmap(variables, x.reshape(num, 2, 3))
    np.testing.assert_allclose(w.reshape(-1, 3), y, atol=1e-5)
    for found in (moved_by_jit, jax.tree.map(lambda a: a[-1], moved_by_pmap)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, moved)


def test_conditional_batch_norm_starts_as_the_plain_one_and_its_gain_is_one_plus_gamma():
    x, module = points(4, 2, 2, 3), ConditionalBatchNorm()
    c = jax.nn.one_hot(jnp.array([0, 1, 1, 0]), 2)
    variables = started(module, x, c)
    y, _ = trained(module, variables, x, c)
    np.testing.assert_allclose(y, normed(np.asarray(x), (0, 1, 2)), atol=1e-5)
    params = perturb(variables["params"], jax.random.key(1))
    moved, _ = trained(module, variables | {"params": params}, x, c)
    for i, k in enumerate([0, 1, 1, 0]):
        gain, shift = (params[name]["kernel"][k] for name in ("gain", "shift"))
        np.testing.assert_allclose(moved[i], (1 + gain) * y[i] + shift, atol=1e-5)


def test_virtual_batch_norm_is_that_of_the_reference_batch_with_the_example_added():
    x = np.asarray(points(6, 2, 3))
    scale, bias = points(3), points(3, seed=2)
    y = jit(lambda x: virtual_batch_norm(x, scale, bias, num_reference=4))(x)
    np.testing.assert_allclose(y[:4], normed(x[:4], (0, 1)) * scale + bias, atol=1e-4)
    for i in (4, 5):
        with_it = np.concatenate([x[:4], x[i : i + 1]])
        np.testing.assert_allclose(y[i], normed(with_it, (0, 1))[-1] * scale + bias, atol=1e-4)


def test_virtual_batch_norm_of_an_example_does_not_depend_on_its_companions():
    module, x = VirtualBatchNorm(3), points(6, 4)
    variables = module.init(jax.random.key(0), x)
    other = x.at[4].set(10.0)
    np.testing.assert_array_equal(module.apply(variables, x)[3], module.apply(variables, other)[3])


def test_a_batch_without_its_reference_and_a_state_that_is_none_are_refused():
    with pytest.raises(checks.InputError, match="begin with the num_reference=4 examples"):
        virtual_batch_norm(points(3, 2), jnp.ones(2), jnp.zeros(2), num_reference=4)
    with pytest.raises(checks.InputError, match="state must be a dict, that of a StatefulNet"):
        forgotten(None)
