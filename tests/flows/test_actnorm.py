"""Actnorm and its data-dependent start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import Permutation
from dgm_jax.combinators import adapt, compose, fixed, invert, pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import actnorm, coupling, plu
from dgm_jax.learning.devices import data_mesh, replicate, shard_batch
from tests.contracts.compiled import jit
from tests.helpers import drawn

DIM = 5


def batch(shape, seed=0):
    rng = np.random.default_rng(seed)
    scales, means = rng.uniform(0.1, 5, shape[-1]), rng.normal(0, 3, shape[-1])
    return jnp.asarray(rng.normal(size=shape) * scales + means, jnp.float32)


@pytest.mark.parametrize("event_ndims, shape", [(1, (40, DIM)), (3, (6, 3, 4, DIM))])
def test_after_adapt_the_noise_side_has_mean_0_and_std_1(event_ndims, shape):
    flow, x = actnorm(DIM, event_ndims=event_ndims), batch(shape)

    @jit
    def run(key, x):
        params = adapt(flow, flow.init(key), x)
        return params, flow.bijector(params).inverse(x), adapt(flow, params, x)

    params, z, again = run(jax.random.key(0), x)
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(z.mean(axes), np.zeros(DIM), atol=1e-5)
    np.testing.assert_allclose(z.std(axes), np.ones(DIM), rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), again, params)


def layers(num):
    """Actnorm, a mixing matrix and a coupling, many times, on top of a fixed part."""
    layer = compose(actnorm(DIM), plu(DIM), coupling(DIM, hidden=(6,)))
    order = np.arange(DIM)[::-1]
    return compose(fixed(Permutation(order)), repeat(layer, num), actnorm(DIM))


def inputs_of_actnorms(flow, params, num, x):
    """The noise side of each actnorm of `layers`, data side first, written out."""
    x = x[..., ::-1]  # the permutation's inverse
    layer = compose(actnorm(DIM), plu(DIM), coupling(DIM, hidden=(6,)))
    sides = []
    for k in reversed(range(num)):
        p = jax.tree.map(lambda a, k=k: a[k], params[1])
        sides.append(actnorm(DIM).bijector(p[0]).inverse(x))
        x = layer.bijector(p).inverse(x)
    return [*sides, actnorm(DIM).bijector(params[2]).inverse(x)]


def test_every_actnorm_of_a_deep_flow_is_set_on_any_layout():
    """In scanned layers, within a density, with the batch on four devices."""
    num, x = 3, 3 * batch((64, DIM)) ** 2
    flow = layers(num)
    model = pushforward(flow, standard_normal(DIM))
    params = drawn(model)
    mesh = data_mesh(4)

    @jit
    def run(params, x):
        once = adapt(model, params, x)
        sides = inputs_of_actnorms(flow, once["flow"], num, x)
        return once, adapt(model, once, x), [(z.mean(0), z.std(0)) for z in sides]

    once, twice, moments = run(replicate(params, mesh), shard_batch(x, mesh))
    assert len(moments) == num + 1
    for mean, std in moments:
        np.testing.assert_allclose(mean, np.zeros(DIM), atol=1e-4)
        np.testing.assert_allclose(std, np.ones(DIM), rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), twice, once)
    others = [once["flow"][1][part] for part in (1, 2)]
    before = [params["flow"][1][part] for part in (1, 2)]
    jax.tree.map(np.testing.assert_array_equal, others, before)


@pytest.mark.full
def test_layouts_agree_on_what_is_adapted():
    x, flow = batch((16, DIM)), layers(2)
    params = drawn(flow)
    run = jit(lambda params, x: adapt(flow, params, x))
    one = run(params, x)
    mesh = data_mesh(4)
    four = run(replicate(params, mesh), shard_batch(x, mesh))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), four, one)


def test_a_constant_coordinate_is_shifted_and_not_scaled():
    x = batch((8, DIM)).at[:, 2].set(0.1)
    flow = actnorm(DIM)
    params = adapt(flow, flow.init(jax.random.key(0)), x)
    z = flow.bijector(params).inverse(x)
    assert params["log_scale"][2] == 0
    np.testing.assert_allclose(z[:, 2], np.zeros(8), atol=1e-6)
    assert jnp.isfinite(z).all()


def test_under_jit_a_batch_with_nan_makes_both_statistics_nan():
    flow, x = actnorm(DIM), batch((8, DIM)).at[3, 1].set(jnp.nan)
    params = jit(lambda x: adapt(flow, flow.init(jax.random.key(0)), x))(x)
    for leaf in params.values():
        np.testing.assert_array_equal(jnp.isnan(leaf), np.arange(DIM) == 1)


def test_adapt_leaves_a_model_without_such_parameters_as_it_is():
    for model in (plu(DIM), pushforward(plu(DIM), standard_normal(DIM))):
        params = model.init(jax.random.key(0))
        assert adapt(model, params, batch((4, DIM))) is params


def test_adapt_of_an_inverted_actnorm_is_refused():
    flow = compose(invert(repeat(actnorm(DIM), 2)), plu(DIM))
    params = flow.init(jax.random.key(0))
    with pytest.raises(ValueError, match="inverted.*actnorm.*outside"):
        adapt(flow, params, batch((4, DIM)))


def test_a_base_that_is_a_pushforward_is_adapted_with_the_batch_that_reaches_it():
    inner = pushforward(actnorm(DIM), standard_normal(DIM))
    model = pushforward(actnorm(DIM), inner)
    x = batch((50, DIM))
    params = adapt(model, model.init(jax.random.key(0)), x)
    np.testing.assert_allclose(params["base"]["flow"]["shift"], np.zeros(DIM), atol=1e-5)
    np.testing.assert_allclose(params["flow"]["shift"], x.mean(0), rtol=1e-5)
