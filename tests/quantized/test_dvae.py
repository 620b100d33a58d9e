"""The discrete VAE of DALL-E, and codes that continue a text, where all of them can be listed."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive, likelihoods, metrics, nets, objectives, quantized
from dgm_jax.protocol import Net
from dgm_jax.quantized import all_codes, as_integers, captioned, dvae, sequences
from tests.contracts.compiled import jit
from tests.helpers import drawn

K, SYMBOLS, LENGTH = 3, 2, 2
TEXT = np.array([[0, 1], [1, 1]], np.int32)


def small():
    """Pictures of 2 x 1 bits by two codes of three categories."""
    encoder, decoder = nets.mlp(2, 2 * K, hidden=(3,)), nets.mlp(2 * K, 2, hidden=(3,))
    flat = lambda net, n, end: Net(
        net.init,
        lambda params, x, *, key=None: net.apply(params, x.reshape(*x.shape[:-n], -1)).reshape(
            *x.shape[:-n], *end
        ),
    )
    return quantized.categorical_vae(
        flat(encoder, 2, (2, 1, K)),
        flat(decoder, 3, (2, 1)),
        likelihoods.bernoulli(),
        (2, 1),
        codes=(2, 1),
        num_categories=K,
    )


def of_sequences(length=LENGTH + 2, levels=SYMBOLS + K):
    return autoregressive.made(length, likelihoods.categorical(levels), hidden=(8,))


CODER, SEQUENCE = small(), of_sequences()
MODEL = captioned(CODER, SEQUENCE, length=LENGTH, num_symbols=SYMBOLS)
PARAMS = drawn(MODEL, 0.6)
NUM = 20_000


def test_codes_given_a_text_are_those_of_the_sequence_renormalised_over_codes():
    """By all 9 sets of codes: Σ p(z | c) = 1, and draws are as frequent as they are probable."""
    z = jnp.asarray(all_codes((2, 1), K))

    @jit
    def run(key):
        prior = MODEL.prior(PARAMS, TEXT)
        return prior.log_prob(z[:, None]), prior.sample(seed=key, sample_shape=NUM)

    log_p, made = run(jax.random.key(0))
    p = np.exp(np.float64(log_p))
    np.testing.assert_allclose(p.sum(0), 1, rtol=1e-5)
    share = (np.asarray(made)[:, :, None] == np.asarray(z)).all((-3, -2, -1)).mean(0).T
    assert (np.abs(share - p) < 4.5 * np.sqrt(p * (1 - p) / NUM)).all()
    assert np.abs(p[:, 0] - p[:, 1]).max() > 0.02  # the text matters


def test_the_rate_is_the_conditionals_of_the_sequence():
    """Step by step from log p of whole sequences: p(k_i | before) over the K codes alone."""
    every = np.array(list(itertools.product(range(SYMBOLS + K), repeat=2)), np.int32)

    @jit
    def run():
        whole = SEQUENCE.dist(PARAMS["prior"])
        text = np.broadcast_to(TEXT[0], (len(every), LENGTH))
        of_all = whole.log_prob(np.concatenate([text, every], -1))
        z = jax.nn.one_hot(jnp.asarray([[2], [0]]), K)
        return of_all, MODEL.prior(PARAMS, TEXT[0]).log_prob(z)

    of_all, log_p = run()
    p = np.exp(np.float64(of_all)).reshape(SYMBOLS + K, SYMBOLS + K)
    first = p.sum(1)[SYMBOLS:]
    second = p[SYMBOLS + 2, SYMBOLS:]
    wanted = np.log(first[2] / first.sum()) + np.log(second[0] / second.sum())
    np.testing.assert_allclose(log_p, wanted, rtol=1e-4)


def test_the_bound_of_both_stages_is_below_the_listed_likelihood():
    x = np.array(list(itertools.product(range(2), repeat=2)), np.int32)[:, :, None]
    z = jnp.asarray(all_codes((2, 1), K))

    @jit
    def run():
        prior = MODEL.prior(PARAMS, TEXT[0]).log_prob(z)
        joint = prior[:, None] + MODEL.likelihood(PARAMS, z[:, None]).log_prob(x)
        return jax.nn.logsumexp(joint, 0)

    log_p = np.float64(run())
    np.testing.assert_allclose(np.exp(log_p).sum(), 1, rtol=1e-5)
    found = metrics.importance_log_prob(
        MODEL, PARAMS, jax.random.key(1), x, np.float32(TEXT[0]), num_samples=2000
    )
    assert (np.abs(found.log_prob - log_p) < 5 * found.stderr + 2e-3).all()


def test_codes_are_in_the_order_in_which_the_sequence_reads_them():
    """T120: raster order of the grid; a permuted grid has another probability."""
    codes = np.array([[[0], [1]]], np.int32)
    assert sequences(TEXT[:1], codes, num_symbols=SYMBOLS).tolist() == [[0, 1, 2, 3]]
    z = jax.nn.one_hot(codes, K)
    assert (as_integers(z) == codes).all() and as_integers(z * jnp.nan).max() == -1  # T119
    log_p = jit(lambda z: MODEL.prior(PARAMS, TEXT[0]).log_prob(z))
    assert abs(float(log_p(z)[0] - log_p(z[:, ::-1])[0])) > 0.02


def test_a_picture_is_a_grid_of_codes_that_halves_it_by_each_stage():
    model = dvae((6, 4, 1), likelihoods.logit_laplace(5), num_categories=7, hidden=(2, 3))
    params, x = drawn(model), np.zeros((2, 6, 4, 1), np.int32)

    def run(key):
        loss = lambda params: quantized.relaxed_loss(model, params, key, x, temperature=0.5)[0]
        q = model.posterior(params, x)
        log_w = objectives.log_weights(model, params, jax.random.clone(key), x, num_samples=3)
        return q.mode(), log_w, jax.grad(loss)(params)

    mode, log_w, grad = jax.eval_shape(run, jax.random.key(0))
    assert mode.shape == (2, 2, 1, 7) and log_w.shape == (3, 2)
    assert jax.tree.structure(grad) == jax.tree.structure(params)


@pytest.mark.parametrize(
    "sequence, options, said",
    [
        (of_sequences(5), {}, "sequence must be a density of 2 symbols and 2 codes"),
        (of_sequences(levels=6), {}, "sequence must be of 5 levels"),
        (SEQUENCE, {"num_symbols": 0}, "num_symbols must be"),
        (SEQUENCE, {"length": 0}, "length must be"),
        (quantized.uniform_codes(2, 3)._replace(cond_shape=(2,)), {}, "sequence must have no"),
    ],
)
def test_a_sequence_that_does_not_fit_text_and_codes_is_refused(sequence, options, said):
    options = {"length": LENGTH, "num_symbols": SYMBOLS} | options
    with pytest.raises(ValueError, match=said):
        model = captioned(CODER, sequence, **options)
        model.prior(drawn(model), TEXT).log_prob(jnp.asarray(all_codes((2, 1), K))[:, None])
