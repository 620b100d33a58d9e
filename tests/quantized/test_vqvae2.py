"""VQ-VAE-2: levels of codes, the top first."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, objectives
from dgm_jax.autoregressive import gated_pixelcnn
from dgm_jax.likelihoods import bernoulli, categorical
from dgm_jax.quantized import (
    averaged_codebook,
    gradient_codebook,
    grouped,
    level_prior,
    uniform,
    vqvae2,
    vqvae_loss,
    with_prior,
)
from tests.contracts.compiled import jit
from tests.helpers import perturb

SHAPE = (8, 8, 1)
X = jnp.asarray(np.random.default_rng(0).integers(0, 2, (5, *SHAPE)), jnp.int32)
SMALL = {"hidden": 4, "num_blocks": 0}
TOP, BOTTOM = gradient_codebook(3, 2), averaged_codebook(5, 3)
CODER = vqvae2(SHAPE, bernoulli(), (TOP, BOTTOM), halvings=(1, 1), **SMALL)


def at(coder, seed=0):
    params, state = coder.init(jax.random.key(seed))
    params = perturb(params, jax.random.key(seed + 1), 0.5)
    return coder.adapt(params, state, jax.random.key(seed + 2), X)


PARAMS, STATE = at(CODER)


def prior_of(coder, hidden=4, cond_shape=None):
    options = {"hidden": hidden, "num_layers": 1, "first_kernel_size": 3}
    top, *below = zip(coder.code_shape, coder.num_codes)
    priors = [gated_pixelcnn(top[0], categorical(top[1]), cond_shape=cond_shape, **options)]
    priors += [
        gated_pixelcnn(shape, categorical(num), cond_shape=(*shape[:2], 3), **options)
        for shape, num in below
    ]
    return level_prior(coder, priors, embedding=2, hidden=4, num_blocks=0)


def test_the_bottom_is_quantised_and_decoded_given_the_top_and_the_top_by_itself():
    assert CODER.code_shape == ((2, 2, 1), (4, 4, 1)) and CODER.num_codes == (3, 5)
    codes = jit(CODER.encode)(PARAMS, STATE, X)
    assert [c.shape for c in codes] == [(5, 2, 2, 1), (5, 4, 4, 1)]
    other = PARAMS | {"quantisers": [{"codebook": PARAMS["quantisers"][0]["codebook"] * -9}, {}]}
    top, bottom = CODER.encode(other, STATE, X)
    assert (bottom != codes[1]).any()
    moved = [jax.tree.map(jnp.zeros_like, part) for part in PARAMS["features"]]
    of_bottom = PARAMS | {"features": [PARAMS["features"][0], moved[1]]}
    np.testing.assert_array_equal(CODER.encode(of_bottom, STATE, X)[0], codes[0])


def test_codes_decode_to_what_training_saw_and_losses_are_sums_over_levels():
    @jit
    def run(params, state, x):
        found, moved = CODER.apply(params, state, x, train=True)
        decoded = CODER.decode(params, state, found.codes)
        loss, (told, _) = vqvae_loss(CODER, params, jax.random.key(0), x, state=state, beta=2.0)
        return found.likelihood.log_prob(x), decoded.log_prob(x), found[1:], loss, told, moved

    seen, decoded, (codes, of_book, commitment), loss, told, moved = run(PARAMS, STATE, X)
    np.testing.assert_allclose(seen, decoded, rtol=1e-5)
    np.testing.assert_allclose(loss, -seen.mean() + of_book + 2 * commitment, rtol=1e-5)
    assert 0 < of_book < commitment  # the codebook of the bottom is of averages
    assert jax.tree.structure(moved) == jax.tree.structure(STATE)


def test_the_bound_is_the_sum_of_the_rates_of_all_levels_and_the_distortion():
    prior = prior_of(CODER)
    model = with_prior(CODER, prior)
    params = {
        "coder": (PARAMS, STATE),
        "prior": perturb(prior.init(jax.random.key(3)), jax.random.key(4)),
    }

    @jit
    def run(params, key, x):
        key, flat_key, z_key, x_key = jax.random.split(key, 4)
        found = objectives.infer(model, params, key, x, num_samples=2)
        other = with_prior(CODER)
        flat = objectives.infer(other, params | {"prior": {}}, flat_key, x)
        z = model.prior(params).sample(seed=z_key, sample_shape=7)
        drawn = model.likelihood(params, z).sample(seed=x_key)
        top = found.z[0][0]
        moved = top.at[:, 1, 1, 0].set((top[:, 1, 1, 0] + 1) % 3)
        rates = [model.prior(params).log_prob((t, found.z[1][0])) for t in (top, moved)]
        return found, flat, z, drawn, rates

    found, flat, z, drawn, (rate, moved) = run(params, jax.random.key(0), X)
    np.testing.assert_allclose(found.log_prior[0], rate, rtol=1e-5)
    np.testing.assert_allclose(found.kl["z"], -found.log_prior, rtol=1e-6)
    np.testing.assert_allclose(flat.kl["z"][0], 4 * np.log(3) + 16 * np.log(5), rtol=1e-5)
    np.testing.assert_allclose(flat.log_likelihood[0], found.log_likelihood[0], rtol=1e-5)
    assert [c.shape for c in z] == [(7, 2, 2, 1), (7, 4, 4, 1)] and drawn.shape == (7, *SHAPE)
    assert (rate != moved).all()


def test_every_place_of_the_bottom_is_told_of_the_code_above_it():
    """The prior of the bottom at a place changes with the code of the top that covers it."""
    prior = prior_of(CODER)
    params = perturb(prior.init(jax.random.key(3)), jax.random.key(4), 1.0)
    codes = CODER.encode(PARAMS, STATE, X)
    slope = []
    for row, column in ((0, 0), (1, 0), (1, 1)):
        top = codes[0].at[:, row, column, 0].set((codes[0][:, row, column, 0] + 1) % 3)
        slope.append(prior.dist(params).log_prob((top, codes[1])))
    same = prior.dist(params).log_prob(codes)
    assert all((other != same).all() for other in slope)


def test_under_a_class_the_codes_of_all_levels_have_a_density_of_their_own():
    """Σ_c p(c | class) = 1 over 2 codes of a top of one place and 2^4 of a bottom of four."""
    books = gradient_codebook(2, 2), gradient_codebook(2, 2)
    coder = vqvae2((4, 4, 1), bernoulli(), books, halvings=(1, 1), **SMALL)
    prior = prior_of(coder, cond_shape=(3,))
    params = perturb(prior.init(jax.random.key(3)), jax.random.key(4), 1.0)
    bits = np.indices((2,) * 5).reshape(5, -1).T
    codes = bits[:, None, :1].reshape(-1, 1, 1, 1, 1), bits[:, None, 1:].reshape(-1, 1, 2, 2, 1)
    model = with_prior(coder, prior)

    @jit
    def run(params, cond, key):
        dist = model.prior({"prior": params}, cond)
        return dist.log_prob(codes), dist.sample(seed=key, sample_shape=5)

    each, z = run(params, jnp.eye(3), jax.random.key(0))
    assert each.shape == (32, 3) and [c.shape for c in z] == [(5, 3, 1, 1, 1), (5, 3, 2, 2, 1)]
    np.testing.assert_allclose(np.exp(each).sum(0), 1, rtol=1e-5)
    given_top = each.reshape(2, 16, 3) - jax.nn.logsumexp(each.reshape(2, 16, 3), 1)[:, None]
    for what in (each, given_top):  # the bottom is told of the class, not by the top alone
        assert np.abs(what[..., :1] - what[..., 1:]).max() > 1e-3
    assert model.cond_shape == (3,)
    with pytest.raises(checks.InputError, match="cond is missing"):
        prior.dist(params)
    with pytest.raises(checks.InputError, match="given to an unconditional model"):
        with_prior(coder).likelihood({"coder": coder.init(jax.random.key(0))}, codes, jnp.eye(3))


def test_three_levels_and_codes_of_several_numbers():
    """Traced only."""
    coder = vqvae2(
        SHAPE,
        categorical(3),
        (grouped(gradient_codebook(4, 1), 2), gradient_codebook(3, 2), averaged_codebook(5, 3)),
        halvings=(1, 1, 1),
        **SMALL,
    )
    assert coder.code_shape == ((1, 1, 2), (2, 2, 1), (4, 4, 1))
    prior = prior_of(coder)

    def trace(key, x):
        params, state = coder.init(key)
        params, state = coder.adapt(params, state, jax.random.key(1), x)
        model = with_prior(coder, prior)
        both = {"coder": (params, state), "prior": prior.init(jax.random.key(2))}
        log_w = objectives.log_weights(model, both, jax.random.key(3), x)
        return log_w, uniform(coder.code_shape, coder.num_codes).dist({}).log_prob(
            coder.encode(params, state, x)
        )

    log_w, rate = jax.eval_shape(trace, jax.random.key(0), X)
    assert log_w.shape == (1, 5) and rate.shape == (5,)


@pytest.mark.parametrize(
    ("quantisers", "halvings", "message"),
    [
        ((TOP,), (1,), "quantisers must be one for each level, two at least"),
        ((TOP, BOTTOM), (1,), "halvings must be as many as quantisers, 2"),
        ((TOP, gradient_codebook), (1, 1), r"quantisers\[1\] must be a Quantiser"),
    ],
)
def test_levels_that_do_not_fit_are_refused(quantisers, halvings, message):
    with pytest.raises(checks.InputError, match=message):
        vqvae2(SHAPE, bernoulli(), quantisers, halvings=halvings, **SMALL)


def test_priors_that_do_not_fit_are_refused():
    one = gated_pixelcnn((2, 2, 1), categorical(3), hidden=2, num_layers=1)
    with pytest.raises(checks.InputError, match=r"priors\[1\] must have cond_shape \(4, 4, n\)"):
        level_prior(CODER, (one, one))
    with pytest.raises(checks.InputError, match="codes must be a tuple of 2 maps"):
        CODER.decode(PARAMS, STATE, X)
