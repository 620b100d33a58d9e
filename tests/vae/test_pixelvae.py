"""PixelVAE: a causal net that reads a map of z is the likelihood of a latent variable model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive, likelihoods, nets, objectives, vae
from dgm_jax.checks import InputError
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.helpers import drawn

SHAPE, LEVELS, MAP = (3, 2, 1), 3, 2
levels = likelihoods.categorical(LEVELS, encoding=nets.scaled(LEVELS))


def flat_encoder(outputs, inputs=6):
    net = nets.mlp(inputs, outputs, hidden=(5,))
    flat = lambda params, x, key=None: net.apply(params, x.reshape(*x.shape[:-3], -1), key=key)
    return Net(net.init, flat)


def pixels(cond_shape=(*SHAPE[:2], MAP), **options):
    return autoregressive.pixelcnn(
        SHAPE, levels, hidden=4, num_layers=1, cond_shape=cond_shape, **options
    )


def model(num_latents=2, **options):
    size = 6 * MAP
    decoder = nets.mlp(num_latents, size, hidden=(5,))
    return vae.pixelvae(
        flat_encoder(2 * num_latents),
        decoder,
        pixels(),
        levels,
        SHAPE,
        num_latents=num_latents,
        **options,
    )


def all_pictures():
    """All 3⁶ of them."""
    grid = np.stack(np.meshgrid(*[np.arange(LEVELS)] * 6, indexing="ij"), -1)
    return jnp.asarray(grid.reshape(-1, *SHAPE), jnp.int32)


def test_the_likelihood_is_that_of_the_causal_density_at_the_map_and_sums_to_one():
    """For each z, over all pictures; and z matters to every pixel, the first too."""
    whole = model()
    params, x = drawn(whole), all_pictures()
    z = jnp.array([[0.5, -1.0], [1.5, 0.3]])

    @jit
    def found(params, z, x):
        log_prob = whole.likelihood(params, z).log_prob(x[:, None])
        net = nets.mlp(2, 6 * MAP, hidden=(5,))
        maps = net.apply(params["likelihood"]["net"], z).reshape(-1, *SHAPE[:2], MAP)
        given = pixels().dist(params["likelihood"]["density"], maps)
        each = given.conditionals(x[0]).logits
        return log_prob, given.log_prob(x[:, None]), each

    log_prob, expected, each = found(params, z, x)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(np.asarray(log_prob, np.float64)).sum(0), 1, rtol=1e-5)
    assert (abs(each[0] - each[1]).max(-1) > 1e-3).all()


def test_a_pixel_reads_its_place_in_the_map():
    """Entries [h, w] of the map move the conditional of pixel [h, w], at the weights of a start."""
    density = pixels()
    params, zeros = drawn(density), jnp.zeros((*SHAPE[:2], MAP))
    x = jnp.zeros(SHAPE, jnp.int32)
    logits = lambda cond: density.dist(params, cond).conditionals(x).logits.sum(-1)[..., 0]
    slopes = jit(jax.jacrev(lambda cond: logits(cond)))(zeros)  # [H, W, H, W, n]
    own = jnp.einsum("hwhwn->hwn", slopes)
    assert (abs(own).max(-1) > 0).all()


def test_samples_have_the_probabilities_of_the_model():
    """One pass makes a picture: x ~ p(x | z), z ~ p(z), against ∫ p(x | z) p(z) dz by sums."""
    whole = model(num_latents=1)
    params = drawn(whole, spread=0.5)

    @jit
    def run(params, key):
        z_key, x_key = jax.random.split(key)
        z = whole.prior(params).sample(seed=z_key, sample_shape=4000)
        x = whole.likelihood(params, z).sample(seed=x_key)
        nodes, weights = np.polynomial.hermite_e.hermegauss(30)
        log_prob = whole.likelihood(params, jnp.asarray(nodes)[:, None]).log_prob(
            jnp.asarray(all_pictures())[:, None]
        )
        return x, jnp.exp(log_prob) @ (weights / weights.sum())

    x, probs = run(params, jax.random.key(0))
    probs = np.asarray(probs, np.float64).reshape([LEVELS] * 6)
    x = np.asarray(x).reshape(-1, 6)
    for i, j in ((0, 1), (2, 5), (4, 5)):  # the margins of pairs of pixels
        rest = tuple(k for k in range(6) if k not in (i, j))
        wanted = probs.sum(rest)
        got = np.zeros((LEVELS, LEVELS))
        np.add.at(got, (x[:, i], x[:, j]), 1 / len(x))
        np.testing.assert_array_less(abs(got - wanted), 5 * np.sqrt(wanted / len(x)))


def test_importance_sampling_finds_the_sum_over_z():
    """log 1/K Σ_k w_k at K = 4000 against the exact p(x) by quadrature."""
    whole = model(num_latents=1)
    params, x = drawn(whole, spread=0.5), all_pictures()[100:103]

    @jit
    def both(params, key, x):
        nodes, weights = np.polynomial.hermite_e.hermegauss(30)
        given = whole.likelihood(params, jnp.asarray(nodes)[:, None, None]).log_prob(x)
        exact = jax.nn.logsumexp(given + np.log(weights / weights.sum())[:, None], 0)
        log_w = objectives.log_weights(whole, params, key, x, num_samples=4000)
        return exact, jax.nn.logsumexp(log_w, 0) - np.log(4000), log_w.mean(0)

    exact, estimated, elbo = both(params, jax.random.key(0), x)
    np.testing.assert_allclose(estimated, exact, atol=0.05)
    assert (elbo < exact).all()


def test_dropout_reaches_the_net_of_the_map():
    """In training, where a key is given; and with one key twice the draw is the same."""
    decoder = nets.mlp(2, 6 * MAP, hidden=(5,), dropout=0.5)
    whole = vae.pixelvae(flat_encoder(4), decoder, pixels(), levels, SHAPE, num_latents=2)
    params, z, x = drawn(whole), jnp.zeros(2), jnp.ones(SHAPE, jnp.int32)
    score = jit(lambda key: whole.likelihood(params, z, key=key).log_prob(x))
    a, b, again = (score(jax.random.key(seed)) for seed in (0, 1, 0))
    assert a != b
    assert a == again


@pytest.mark.parametrize("wide", [True, False])
def test_a_condition_is_joined_to_x_and_to_z(wide):
    """p(x | z, c): a class moves both; c is the same at every pixel of the encoder's picture."""
    cond_shape = (3,)
    encoder = flat_encoder(4, inputs=24)
    out = 6 * MAP if wide else MAP
    causal = pixels() if wide else pixels(cond_shape=(MAP,))
    whole = vae.pixelvae(
        encoder,
        nets.mlp(5, out, hidden=(5,)),
        causal,
        levels,
        SHAPE,
        num_latents=2,
        cond_shape=cond_shape,
    )
    params, x, c = drawn(whole), jnp.ones((3, *SHAPE), jnp.int32), jnp.eye(3)
    found = jit(lambda p, key: objectives.log_weights(whole, p, key, x, c))(
        params, jax.random.key(0)
    )
    assert found.shape == (1, 3)
    means = jit(lambda p: whole.posterior(p, x, c).mean())(params)
    assert len(np.unique(np.asarray(means).round(4), axis=0)) == 3


def test_what_does_not_fit_is_refused():
    encoder, decoder = flat_encoder(4), nets.mlp(2, 6 * MAP, hidden=(5,))
    make = lambda **changed: vae.pixelvae(
        *(dict(encoder=encoder, decoder=decoder, causal=pixels()) | changed).values(),
        levels,
        SHAPE,
        num_latents=2,
    )
    with pytest.raises(InputError, match=r"causal must read a map of z: build it with cond_shape"):
        make(causal=pixels(cond_shape=None))
    with pytest.raises(InputError, match=r"decoder must give the map .* \(3, 2, 2\) or \(12,\)"):
        make(decoder=nets.mlp(2, 7, hidden=(5,)))
    with pytest.raises(InputError, match="encoder must give"):
        make(encoder=flat_encoder(5))
    with pytest.raises(InputError, match="must be levels|integer|shape"):
        whole = make()
        whole.likelihood(drawn(whole), jnp.zeros(2)).log_prob(jnp.ones(SHAPE))
