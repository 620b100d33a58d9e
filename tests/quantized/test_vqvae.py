"""The VQ-VAE: what moves what, where codes lie, and its bound in nats."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import autoregressive, checks, metrics, objectives
from dgm_jax.learning import gradient_descent
from dgm_jax.likelihoods import bernoulli, categorical
from dgm_jax.nets import map_decoder, map_encoder, mlp
from dgm_jax.protocol import Net
from dgm_jax.quantized import (
    averaged_codebook,
    gradient_codebook,
    grouped,
    uniform,
    vqvae,
    vqvae_loss,
    with_prior,
)
from tests.contracts.compiled import jit
from tests.helpers import perturb

SHAPE, NUM, DIM = (4, 4, 1), 3, 2
X = jnp.asarray(np.random.default_rng(0).integers(0, 2, (6, *SHAPE)), jnp.int32)


def patches(net, height=2):
    """A net of 2×2 pixels each, [..., 4, 4, 1] -> [..., 2, 2, n], or back."""

    def apply(params, x, key=None):
        if x.shape[-3] == 4:
            x = x.reshape(*x.shape[:-3], 2, 2, 2, 2)
            x = jnp.swapaxes(x, -3, -2).reshape(*x.shape[:-4], 2, 2, 4)
            return net.apply(params, x)
        y = net.apply(params, x).reshape(*x.shape[:-3], 2, 2, 2, 2)
        return jnp.swapaxes(y, -3, -2).reshape(*x.shape[:-3], 4, 4, 1)

    return Net(net.init, apply)


def small(quantiser=None, likelihood=None, num_params=1):
    encoder, decoder = (patches(mlp(*sizes, hidden=(5,))) for sizes in ((4, DIM), (DIM, 4)))
    return vqvae(encoder, decoder, bernoulli(), SHAPE, quantiser or gradient_codebook(NUM, DIM))


def at(coder, seed=0):
    params, state = coder.init(jax.random.key(seed))
    params = perturb(params, jax.random.key(seed + 1), 0.7)
    return coder.adapt(params, state, jax.random.key(seed + 2), X)  # so that codes differ


CODER = small()
PARAMS, STATE = at(CODER)


# ------------------------------------------------------------------------------ the bound
def test_under_the_uniform_prior_the_bound_is_the_distortion_and_n_log_k_nats():
    model, params = with_prior(CODER), {"coder": (PARAMS, STATE), "prior": {}}

    @jit
    def run(params, key, x):
        codes = CODER.encode(*params["coder"], x)
        distortion = -CODER.decode(*params["coder"], codes).log_prob(x)
        return codes, distortion, objectives.infer(model, params, key, x, num_samples=2)

    codes, distortion, found = run(params, jax.random.key(0), X)
    assert codes.shape == (6, 2, 2, 1) and CODER.code_shape == (2, 2, 1)
    rate = 4 * np.log(NUM)
    np.testing.assert_allclose(found.kl["z"], np.full((2, 6), rate), rtol=1e-6)
    np.testing.assert_allclose(-found.log_likelihood[1], distortion, rtol=1e-6)
    exact = metrics.importance_log_prob(model, params, jax.random.key(0), X, num_samples=1)
    np.testing.assert_allclose(exact.log_prob, -(rate + distortion), rtol=1e-5)
    bits = objectives.bits_per_dim(exact.log_prob, 16)
    np.testing.assert_allclose(bits, (4 * np.log2(NUM) + distortion / np.log(2)) / 16, rtol=1e-5)


def test_the_compiler_does_not_work_out_the_uniform_prior():
    """For 16×16 codes of 512 it would take seconds, and say so on the terminal."""
    prior = uniform((2, 2, 1), NUM)
    found = jit(lambda codes: prior.dist({}).log_prob(codes)).lower(jnp.zeros((5, 2, 2, 1), int))
    assert "exponential" in found.compile().as_text()


def test_the_bound_is_below_the_sum_over_all_codes_and_over_all_pictures_below_one():
    prior = autoregressive.pixelcnn((2, 2, 1), categorical(NUM), hidden=4, num_layers=1)
    model = with_prior(CODER, prior)
    params = {
        "coder": (PARAMS, STATE),
        "prior": perturb(prior.init(jax.random.key(3)), jax.random.key(4)),
    }
    x = jnp.asarray(list(itertools.product((0, 1), repeat=4)), jnp.int32)  # one patch, 16 states
    x = jnp.broadcast_to(X[0], (16, *SHAPE)).at[:, :2, :2, 0].set(x.reshape(16, 2, 2))
    every = jnp.asarray(list(itertools.product(range(NUM), repeat=4)), jnp.int32)

    @jit
    def run(params, x):
        bound = objectives.log_weights(model, params, jax.random.key(0), x)[0]
        z = every.reshape(-1, 1, 2, 2, 1)
        joint = model.prior(params).log_prob(z) + model.likelihood(params, z).log_prob(x)
        return bound, jax.nn.logsumexp(joint, 0)

    bound, exact = run(params, x)
    assert (bound <= exact + 1e-5).all()
    assert np.exp(np.float64(bound)).sum() < 1


# ------------------------------------------------------------------------- where codes lie
def test_a_code_is_that_of_the_pixels_at_its_place_in_raster_order():
    """Two patches of what is decoded change places where their codes do, and of x likewise."""
    codes = jnp.asarray(np.random.default_rng(3).integers(0, NUM, (6, 2, 2, 1)), jnp.int32)
    means = jit(lambda codes: CODER.decode(PARAMS, STATE, codes).mean())
    flat = codes.reshape(6, 4)
    moved = means(flat[:, jnp.asarray([0, 2, 1, 3])].reshape(codes.shape))
    made = means(codes)
    np.testing.assert_allclose(moved[:, :2, 2:], made[:, 2:, :2], rtol=1e-6)
    np.testing.assert_allclose(moved[:, 2:, 2:], made[:, 2:, 2:], rtol=1e-6)
    assert (made[:, 2:, :2] != made[:, :2, 2:]).any()
    read = CODER.encode(PARAMS, STATE, X)
    transposed = CODER.encode(PARAMS, STATE, X.at[:, :2, 2:].set(X[:, 2:, :2]))
    np.testing.assert_array_equal(transposed[:, 0, 1], read[:, 1, 0])
    assert (read[:, 0, 1] != read[:, 1, 0]).any()


def test_codes_are_those_that_training_saw_and_decode_to_the_same():
    run = jit(lambda p, s, x: CODER.apply(p, s, x, train=True)[0].codes)
    found = run(PARAMS, STATE, X)
    np.testing.assert_array_equal(found, CODER.encode(PARAMS, STATE, X))
    seen, _ = CODER.apply(PARAMS, STATE, X, train=False)
    decoded = CODER.decode(PARAMS, STATE, seen.codes)
    np.testing.assert_allclose(seen.likelihood.log_prob(X), decoded.log_prob(X), rtol=1e-6)


def test_a_code_of_several_numbers_has_them_on_the_last_axis():
    coder = small(grouped(averaged_codebook(NUM, 1), 2))
    params, state = coder.init(jax.random.key(0))
    assert coder.code_shape == (2, 2, 2)
    codes = coder.encode(params, state, X)
    assert codes.shape == (6, 2, 2, 2)
    assert coder.decode(params, state, codes).event_shape == SHAPE


# --------------------------------------------------------------------------- what moves what
def gradients(beta, params=PARAMS):
    return jax.grad(
        lambda p: vqvae_loss(CODER, p, jax.random.key(0), X, state=STATE, beta=beta)[0]
    )(params)


def test_beta_weighs_what_moves_the_encoder_and_never_the_codebook():
    """Of a decoder that says the same whatever the code is, only the two losses move anything."""
    still = PARAMS | {"decoder": jax.tree.map(jnp.zeros_like, PARAMS["decoder"])}
    none, half, full = (gradients(beta, still) for beta in (0.0, 0.5, 1.0))
    size = lambda tree: sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(tree))
    assert size(none["encoder"]) == 0 and size(none["quantiser"]) > 0
    for a, b in zip(jax.tree.leaves(half["encoder"]), jax.tree.leaves(full["encoder"])):
        np.testing.assert_allclose(2 * a, b, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(full["quantiser"]["codebook"], none["quantiser"]["codebook"])


def test_the_loss_is_the_distortion_and_sums_over_the_vectors_of_an_example():
    loss, (told, _) = vqvae_loss(CODER, PARAMS, jax.random.key(0), X, state=STATE, beta=0.5)
    np.testing.assert_allclose(loss, told["distortion"] + 1.5 * told["quantisation"], rtol=1e-6)
    seen = patches(mlp(4, DIM, hidden=(5,))).apply(PARAMS["encoder"], X.astype(float))
    vectors = PARAMS["quantiser"]["codebook"][CODER.encode(PARAMS, STATE, X)[..., 0]]
    square = jnp.square(seen - vectors).sum((1, 2, 3)).mean()
    np.testing.assert_allclose(told["quantisation"], square, rtol=1e-5)


def started(coder, key, params, x):
    first_key, key = jax.random.split(key)
    return coder.adapt(params, coder.init(first_key)[1], key, x)[1]


@pytest.mark.parametrize("make", [gradient_codebook, averaged_codebook])
def test_it_learns_with_its_state_and_a_batch_with_nan_moves_nothing(make):
    quantiser = make(8, 4)
    shape = (8, 8, 1)
    coder = vqvae(
        map_encoder(shape, 4, hidden=(6,)),
        map_decoder(4, shape, 3, hidden=(6,)),
        categorical(3),
        shape,
        quantiser,
    )
    x = jnp.asarray(np.random.default_rng(1).integers(0, 3, (8, 2, 2, 1)), jnp.int32)
    x = jnp.repeat(jnp.repeat(x, 4, 1), 4, 2)  # blocks of one level
    algorithm = gradient_descent(
        lambda key: coder.init(key)[0],
        lambda params, key, x, *, state: vqvae_loss(coder, params, key, x, state=state),
        optax.adam(1e-2),
        init_state=lambda key, params: started(coder, key, params, x),
    )
    run = jit(
        lambda state: jax.lax.scan(
            lambda s, i: algorithm.step(s, jax.random.key(i), x), state, jnp.arange(60)
        )
    )
    state, told = run(algorithm.init(jax.random.key(0)))
    assert told["distortion"][-1] < 0.5 * told["distortion"][0] and told["skipped"].sum() == 0
    broken = state._replace(params=jax.tree.map(lambda a: a * jnp.nan, state.params))
    after, told = jit(algorithm.step)(broken, jax.random.key(0), x)
    assert told["skipped"] == 1
    for a, b in zip(jax.tree.leaves(after.state), jax.tree.leaves(state.state)):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit_is_refused():
    with pytest.raises(checks.InputError, match=r"encoder must give a map of vectors of 3 numbers"):
        small(gradient_codebook(NUM, 3))
    with pytest.raises(checks.InputError, match=r"codes must have shape \[\.\.\., 2, 2, 1\]"):
        CODER.decode(PARAMS, STATE, jnp.zeros((6, 4), jnp.int32))
    with pytest.raises(checks.InputError, match="prior must be a Density"):
        with_prior(CODER, uniform)
    with pytest.raises(checks.InputError, match="beta must be"):
        vqvae_loss(CODER, PARAMS, jax.random.key(0), X, state=STATE, beta=-1.0)
