"""MAF and IAF: one flow and its inverse, and the direction in which each is cheap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import Autoregressive, affine
from dgm_jax.combinators import compose, invert
from dgm_jax.flows import autoregression, iaf, maf
from dgm_jax.nets import naive
from dgm_jax.nets.causal import made
from dgm_jax.protocol import Flow
from tests.contracts.compiled import jit

DIM = 4


def drawn(flow, seed=0):
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(flow.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.3, a.shape), a.dtype), shapes)


def points(seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(5, DIM)), jnp.float32)


def test_maf_after_iaf_with_shared_weights_is_the_identity():
    options = {"num_layers": 3, "hidden": (7,)}
    both = compose(maf(DIM, **options), iaf(DIM, **options))
    params = drawn(iaf(DIM, **options))
    z = points()
    x, log_det = jit(lambda p, z: both.bijector([p, p]).forward_and_log_det(z))(params, z)
    np.testing.assert_allclose(x, z, atol=1e-4)
    np.testing.assert_allclose(log_det, 0, atol=1e-4)


def test_iaf_is_the_loop_over_its_layers():
    """x ← reverse(x e^s(x) + m(x)), layer by layer, from the nets alone."""
    flow = iaf(DIM, num_layers=2, hidden=(7,))
    params, z = drawn(flow), points()
    net = made(DIM, hidden=(7,), num_outputs=2)
    x, log_det = z, 0.0
    for k in range(2):
        f = net.apply(jax.tree.map(lambda a, k=k: a[k], params[1]), x)
        log_scale = 3 * jnp.tanh(f[..., 1] / 3)
        x = (x * jnp.exp(log_scale) + f[..., 0])[:, ::-1]
        log_det += log_scale.sum(-1)
    got, got_log_det = jit(lambda p, z: flow.bijector(p).forward_and_log_det(z))(params, z)
    np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got_log_det, log_det, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [autoregression, iaf, maf])
def test_it_starts_as_the_identity_up_to_the_order(make, key):
    options = {} if make is autoregression else {"num_layers": 2}
    flow = make(DIM, hidden=(7,), **options)
    z = points()
    x, log_det = jit(lambda key: flow.bijector(flow.init(key)).forward_and_log_det(z))(key)
    np.testing.assert_allclose(x, z, atol=1e-6)
    np.testing.assert_allclose(log_det, 0, atol=1e-6)


def counting(num_passes):
    """One layer whose net tells each pass that is executed, loops included, to `num_passes`."""
    net = made(DIM, hidden=(7,), num_outputs=2)

    def apply(params, x, cond=None, *, key=None):
        jax.debug.callback(lambda: num_passes.append(None))
        return net.apply(params, x, cond)

    told = naive(net.init, apply, DIM)
    return Flow(net.init, lambda p, cond=None: Autoregressive(told, p, affine(), DIM, cond))


@pytest.mark.parametrize(
    "model, method, wanted",
    [
        ("maf", "inverse_and_log_det", 1),  # density
        ("maf", "forward", DIM),  # sampling
        ("iaf", "forward_and_log_det", 1),  # sampling, with the density of the sample
        ("iaf", "inverse", DIM),  # density of a given point
    ],
)
def test_passes_of_maf_and_iaf_are_one_in_the_cheap_direction_and_d_in_the_other(
    model, method, wanted
):
    """Of the naive inverse. It makes one pass more than d, for the log-det at what it made;
    where only the values are wanted and nothing watches, the compiler drops that pass."""
    num_passes = []
    flow = counting(num_passes)
    flow = invert(flow) if model == "maf" else flow
    run = jit(lambda p, z: getattr(flow.bijector(p), method)(z))
    jax.block_until_ready(run(drawn(flow), points()))
    jax.effects_barrier()
    assert len(num_passes) == (1 if wanted == 1 else wanted + 1)
