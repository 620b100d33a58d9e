"""Linear flows against dense matrices; actnorm and its data-dependent start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import Permutation
from dgm_jax.combinators import adapt, compose, fixed, invert, pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import actnorm, conv1x1, coupling, diagonal, plu, qr, triangular
from dgm_jax.learning.devices import data_mesh, replicate, shard_batch
from tests.contracts.compiled import jit
from tests.helpers import log_det_by_autodiff, perturb

DIM = 5
LINEAR = {
    "diagonal": diagonal(DIM),
    "lower": triangular(DIM),
    "upper": triangular(DIM, lower=False),
    "plu": plu(DIM),
    "qr": qr(DIM),
    "qr, few reflections": qr(DIM, num_reflections=2),
}


def matrix(flow, params):
    """W with x = W z: the images of the unit vectors, as columns."""
    return flow.bijector(params).forward(jnp.eye(DIM)).T


@pytest.mark.parametrize("name", LINEAR)
def test_the_log_det_read_from_the_diagonal_is_that_of_the_dense_matrix(name):
    flow = LINEAR[name]

    @jit
    def run(key):
        start = flow.init(key)
        params = perturb(start, jax.random.key(1))
        log_det = flow.bijector(params).forward_log_det_jacobian(jnp.ones(DIM))
        return matrix(flow, start), matrix(flow, params), log_det

    start, w, log_det = run(jax.random.key(0))
    np.testing.assert_allclose(start.T @ start, np.eye(DIM), atol=1e-5)  # N(0, I) stays itself
    np.testing.assert_allclose(log_det, np.linalg.slogdet(w).logabsdet, rtol=1e-4, atol=1e-5)
    assert np.abs(w - start).max() > 0.1


@pytest.mark.parametrize("make", [plu, qr])
def test_a_rotation_is_drawn_for_each_key_and_each_layer(make):
    flow = repeat(make(DIM), 2)
    params = jit(flow.init)(jax.random.key(0))
    first, second = (matrix(make(DIM), jax.tree.map(lambda a, i=i: a[i], params)) for i in range(2))
    assert np.abs(first - second).max() > 0.1
    assert np.abs(first - np.diag(np.diag(first))).max() > 0.1


def test_plu_keeps_the_permutation_of_its_seed_and_is_triangular_but_for_it():
    flow = plu(DIM, seed=3)
    params = flow.init(jax.random.key(0))
    order = np.random.default_rng(3).permutation(DIM)
    lower_upper = matrix(flow, params)[np.argsort(order)]  # P⁻¹ W = L U
    lower = jnp.tril(params["lower"], -1) + jnp.eye(DIM)
    upper = jnp.triu(params["upper"], 1) + jnp.diag(jnp.exp(params["log_diagonal"]))
    np.testing.assert_allclose(lower_upper, lower @ upper, atol=1e-5)


@pytest.mark.parametrize("form", ["plu", "qr"])
def test_conv1x1_is_its_matrix_at_every_pixel_and_its_log_det_counts_them(form):
    flow, vectors = conv1x1(DIM, form=form), {"plu": plu, "qr": qr}[form](DIM)
    params = perturb(flow.init(jax.random.key(0)), jax.random.key(1))
    z = jax.random.normal(jax.random.key(2), (2, 3, DIM))
    x, log_det = flow.bijector(params).forward_and_log_det(z)
    np.testing.assert_allclose(x, z @ matrix(vectors, params).T, atol=1e-5)
    oracle = jit(lambda z: log_det_by_autodiff(flow.bijector(params).forward, z))(z)
    np.testing.assert_allclose(log_det, oracle, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------ actnorm
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


@pytest.mark.parametrize("devices", [1, 4])
def test_every_actnorm_of_a_deep_flow_is_set_on_any_layout(devices):
    """In scanned layers, within a density, with the batch on one device or on four."""
    num, x = 3, 3 * batch((64, DIM)) ** 2
    flow = layers(num)
    model = pushforward(flow, standard_normal(DIM))
    params = jit(lambda key: perturb(model.init(key), jax.random.key(1)))(jax.random.key(0))
    mesh = data_mesh(devices)

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


def test_layouts_agree_on_what_is_adapted():
    x, flow = batch((16, DIM)), layers(2)
    params = jit(lambda key: perturb(flow.init(key), jax.random.key(1)))(jax.random.key(0))
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
