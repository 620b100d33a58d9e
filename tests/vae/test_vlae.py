"""VLAE: an autoregressive prior is an IAF posterior, and a local decoder sees its window alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive, flows, likelihoods, nets, objectives, vae
from dgm_jax.checks import InputError
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.helpers import drawn

SHAPE, LEVELS, NUM = (3, 2, 1), 3, 3
levels = likelihoods.categorical(LEVELS, encoding=nets.scaled(LEVELS))


def model(flow=None, posterior=None, **options):
    net = nets.mlp(6, 2 * NUM if posterior is None else posterior.cond_shape[0], hidden=(5,))
    flat = lambda params, x, key=None: net.apply(params, x.reshape(*x.shape[:-3], 6), key=key)
    local = autoregressive.pixelcnn(
        SHAPE, levels, hidden=4, num_layers=1, first_kernel_size=3, cond_shape=(*SHAPE[:2], 2)
    )
    return vae.vlae(
        Net(net.init, flat),
        nets.mlp(NUM, 12, hidden=(5,)),
        local,
        levels,
        SHAPE,
        num_latents=NUM,
        flow=flows.maf(NUM, num_layers=2, hidden=(6,)) if flow is None else flow,
        posterior=posterior,
        **options,
    )


def test_an_autoregressive_prior_is_an_iaf_posterior_sample_by_sample():
    """C7: same weights, same key: z = T(ε), and log w_k is the same number for every sample."""
    as_prior, as_posterior = model(), model(flow_in="posterior")
    params = drawn(as_prior)
    x = jax.random.randint(jax.random.key(0), (4, *SHAPE), 0, LEVELS)

    @jit
    def both(params, key, x):
        found = [
            objectives.infer(m, params, jax.random.clone(key), x, num_samples=5)
            for m in (as_prior, as_posterior)
        ]
        flow = flows.maf(NUM, num_layers=2, hidden=(6,))
        code = flow.bijector(params["prior"]["flow"]).forward(found[1].z)
        return found, code

    found, code = both(params, jax.random.key(1), x)
    scores = [f.log_likelihood + f.log_prior - f.log_posterior for f in found]
    np.testing.assert_allclose(code, found[0].z, atol=1e-4)
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found[0].log_likelihood, found[1].log_likelihood, rtol=1e-4)
    assert abs(found[0].log_prior - found[1].log_prior).min() > 1e-3  # of z, and of ε


def test_the_posterior_of_the_noise_is_one_pass_of_an_iaf_with_the_weights_of_the_prior():
    """From the formulas alone: ε_i = z_i e^s_i(z_<i) + m_i(z_<i), z the sample of q(z | x)."""
    flow = flows.maf(NUM, num_layers=1, hidden=(6,))
    as_prior, as_posterior = model(flow), model(flow, flow_in="posterior")
    params = drawn(as_prior)
    net, x = nets.made(NUM, hidden=(6,), num_outputs=2), jnp.ones(SHAPE, jnp.int32)
    (of_net,) = (p for p in params["prior"]["flow"] if p)  # the other layers have none

    @jit
    def both(params, key):
        z, log_q = as_prior.posterior(params, x).sample_and_log_prob(seed=jax.random.clone(key))
        noise, log_of_noise = as_posterior.posterior(params, x).sample_and_log_prob(seed=key)
        f = net.apply(jax.tree.map(lambda a: a[0], of_net), z)
        log_scale = 3 * jnp.tanh(f[..., 1] / 3)
        mine = z * jnp.exp(log_scale) + f[..., 0]
        return (noise, log_of_noise), (mine, log_q - log_scale.sum())

    got, wanted = both(params, jax.random.key(0))
    np.testing.assert_allclose(np.sort(got[0]), np.sort(wanted[0]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[1], wanted[1], rtol=1e-4)


def field_of(num_layers, first_kernel_size, place, shape=(9, 9, 1)):
    """∂(mean of pixel `place`) / ∂x, |·| over random images, of the decoder's net with numbers."""
    density = autoregressive.pixelcnn(
        shape,
        likelihoods.gaussian(),
        hidden=4,
        num_layers=num_layers,
        first_kernel_size=first_kernel_size,
        cond_shape=(*shape[:2], 2),
    )

    @jit
    def slopes(params, x, cond):
        mean = lambda x: density.dist(params, cond).conditionals(x).mean()[place].sum()
        return abs(jax.vmap(jax.grad(mean))(x)).max(0)

    params = drawn(density)
    x = jax.random.normal(jax.random.key(0), (8, *shape))
    cond = jnp.ones((*shape[:2], 2))
    return np.asarray(slopes(params, x, cond))[..., 0]


@pytest.mark.parametrize(("num_layers", "first_kernel_size", "window"), [(1, 3, 2), (2, 5, 4)])
def test_by_gradients_nothing_beyond_the_window_is_seen(num_layers, first_kernel_size, window):
    """first // 2 + num_layers · 1 rows up and columns aside; all that is earlier within is, but
    for the blind spot to the right."""
    row, column = 6, 4
    seen = field_of(num_layers, first_kernel_size, (row, column)) > 0
    rows, columns = np.mgrid[:9, :9]
    within = (row - rows <= window) & (abs(columns - column) <= window)
    earlier = (rows < row) | ((rows == row) & (columns < column))
    assert not (seen & ~(within & earlier)).any()
    left = columns <= column
    assert (seen | ~(within & earlier & left)).all()


def test_what_a_decoder_sees_is_found_by_changing_pixels():
    """The window of levels [H, W, C] is what the sizes say; a single row has none above it."""

    def window(shape, params=None, **sizes):
        local = autoregressive.pixelcnn(
            shape, levels, hidden=4, cond_shape=(*shape[:2], 2), **sizes
        )
        params = drawn(local) if params is None else local.init(jax.random.key(0))
        given = {"num_levels": LEVELS, "cond": jnp.ones((*shape[:2], 2))}
        return vae.window_of(local, params, jax.random.key(0), shape, **given)

    assert window((6, 7, 1), num_layers=1, first_kernel_size=3) == (2, 2, 2)
    assert window((1, 7, 2), num_layers=2, first_kernel_size=5) == (0, 4, 0)
    fresh = window((1, 7, 1), params="of a start", num_layers=1)
    assert fresh == (0, 0, 0)  # at f = 0 nothing is seen


def test_a_flow_posterior_is_moved_as_a_whole():
    """The flow of the prior meets any q(z | x), here an IAF of the encoder's features."""
    posterior = vae.flow_posterior(
        flows.iaf(NUM, num_layers=1, hidden=(4,), cond_shape=(2,)), vae.diagonal(NUM)
    )
    as_prior = model(posterior=posterior)
    as_posterior = model(posterior=posterior, flow_in="posterior")
    params, x = drawn(as_prior), jnp.ones((2, *SHAPE), jnp.int32)
    log_w = jit(
        lambda params, key: [
            objectives.log_weights(m, params, jax.random.clone(key), x, num_samples=3)
            for m in (as_prior, as_posterior)
        ]
    )
    a, b = log_w(params, jax.random.key(0))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="flow must take no condition"):
        model(flows.maf(NUM, hidden=(4,), cond_shape=(2,)))
    with pytest.raises(InputError, match="flow_in must be one of prior, posterior"):
        model(flow_in="decoder")
    with pytest.raises(InputError, match=r"flow must move vectors of num_latents=3"):
        model(flows.maf(2, hidden=(4,)))
