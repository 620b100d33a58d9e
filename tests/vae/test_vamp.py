"""The VampPrior against what it is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import objectives
from dgm_jax.likelihoods import bernoulli, categorical
from dgm_jax.nets import mlp
from dgm_jax.vae import vae, vamp
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

BITS = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]])
RANGE = {"low": 0, "high": 1}


def model(more=0, **options):
    encoder, decoder = mlp(3 + more, 4, hidden=(5,)), mlp(2 + more, 3, hidden=(5,))
    return vae(encoder, decoder, bernoulli(), 3, num_latents=2, **options)


PLAIN = model()


def prior_of(params, inputs, z):
    """log p(z) with these pseudo-inputs, and log q(z | u) of each, by the model alone."""
    prior = vamp(PLAIN, 3, num_pseudo_inputs=len(inputs), **RANGE).prior
    inputs = jnp.asarray(inputs, jnp.float32)
    log_p = prior({"model": params, "pseudo_inputs": inputs}).log_prob(z)
    return log_p, PLAIN.posterior(params, inputs).log_prob(z[:, None])


def test_one_pseudo_input_is_the_gaussian_of_the_encoder():
    """KL(q(z | u) ‖ p) = 0 where p is made of u alone."""
    log_p, log_q = jit(prior_of)(drawn(PLAIN, 0.7), BITS[:1] * 0.3, points(6, 2))
    np.testing.assert_allclose(log_p, log_q[:, 0], rtol=1e-6)


def test_with_the_data_as_inputs_the_prior_is_the_average_of_their_posteriors():
    """An average of K densities and no sum, so that no data set is better described by more."""
    log_p, log_q = jit(prior_of)(drawn(PLAIN, 0.7), BITS, points(6, 2))
    np.testing.assert_allclose(log_p, np.log(np.exp(np.float64(log_q)).mean(-1)), rtol=1e-5)


def test_the_prior_pulls_at_the_encoder_by_the_responsibilities_of_the_inputs():
    """∇ log p(z) = Σ_k r_k ∇ log q(z | u_k), r_k = q(z | u_k) / Σ_j q(z | u_j), z held fixed."""
    params, z = drawn(PLAIN, 0.7), points(1, 2)

    def slopes(params):
        whole = jax.grad(lambda params: prior_of(params, BITS, z)[0][0])(params)
        each = jax.jacrev(lambda params: prior_of(params, BITS, z)[1][0])(params)
        share = jax.nn.softmax(prior_of(params, BITS, z)[1][0])
        return whole, jax.tree.map(lambda slope: jnp.tensordot(share, slope, 1), each)

    whole, weighted = jit(slopes)(params)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(weighted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert np.abs(jax.tree.leaves(whole["posterior"])[0]).max() > 1e-3


def test_the_marginal_divergence_vanishes_and_the_rest_is_what_codes_know_of_their_rows():
    """E KL(q(z | n) ‖ p) = I(n; z) <= log N where p is the aggregate posterior."""
    whole = vamp(PLAIN, 3, num_pseudo_inputs=4, **RANGE, start=BITS)
    params = whole.init(jax.random.key(0)) | {"model": drawn(PLAIN, 0.5)}

    @jit
    def run(params, key):
        found = objectives.infer(whole, params, key, BITS, num_samples=2000)
        of_each = PLAIN.posterior(params["model"], BITS).log_prob(found.z[:, :, None])  # [K, n, m]
        knows = jnp.diagonal(jax.nn.log_softmax(of_each, -1), 0, 1, 2) + jnp.log(4)
        return found.kl["z"], knows

    kl, knows = run(params, jax.random.key(1))
    np.testing.assert_allclose(kl, knows, rtol=1e-4, atol=1e-4)
    assert 0.05 < knows.mean() < 0.95 * np.log(4)


def test_inputs_start_at_the_rows_they_are_given_and_else_within_the_range():
    rows = vamp(PLAIN, 3, num_pseudo_inputs=4, **RANGE, start=BITS).init(jax.random.key(0))
    np.testing.assert_array_equal(rows["pseudo_inputs"], BITS)
    drawn_inputs = vamp(PLAIN, 3, num_pseudo_inputs=400, low=0.2, high=0.7).init(jax.random.key(0))
    u = np.asarray(drawn_inputs["pseudo_inputs"])
    assert u.shape == (400, 3) and 0.2 <= u.min() < 0.21 and 0.69 < u.max() <= 0.7


def test_inputs_stay_in_the_range_and_at_its_ends_step_inwards_only():
    """At bits, from which a clip would let nothing go; what is beyond acts as the end does."""
    whole = vamp(PLAIN, 3, num_pseudo_inputs=4, **RANGE)
    params, z = drawn(PLAIN, 0.7), points(5, 2)
    bits = jnp.asarray(BITS, jnp.float32)

    def log_p(inputs):
        return whole.prior({"model": params, "pseudo_inputs": inputs}).log_prob(z).sum()

    def free(inputs):  # of a range that holds nothing back
        wider = vamp(PLAIN, 3, num_pseudo_inputs=4, low=-9, high=9)
        # a model of bits sees 0..1 as it is, so the numbers are the same
        return wider.prior({"model": params, "pseudo_inputs": inputs}).log_prob(z).sum()

    held, unheld = jit(jax.grad(lambda u: -log_p(u)))(bits), jit(jax.grad(lambda u: -free(u)))(bits)
    outwards = ((bits == 1) & (unheld < 0)) | ((bits == 0) & (unheld > 0))
    assert 0 < outwards.sum() < outwards.size
    np.testing.assert_allclose(held, np.where(outwards, 0, unheld), rtol=1e-5)
    beyond = jnp.where(bits == 1, 1.5, -0.5)
    assert log_p(beyond) == log_p(bits)


def test_under_a_condition_it_mixes_the_posteriors_of_that_condition():
    plain, cond, z = model(2, cond_shape=(2,)), points(4, 2), points(4, 2, seed=3)
    whole = vamp(plain, 3, num_pseudo_inputs=3, **RANGE)
    params = whole.init(jax.random.key(0)) | {"model": drawn(plain, 0.7)}

    @jit
    def run(params):
        together = whole.prior(params, cond).log_prob(z)
        u = params["pseudo_inputs"]
        apart = [
            jnp.stack([plain.posterior(params["model"], u[k], c).log_prob(v) for k in range(3)])
            for c, v in zip(cond, z)
        ]
        return together, jnp.stack(apart)

    together, apart = run(params)
    np.testing.assert_allclose(together, np.log(np.exp(apart).mean(1)), rtol=1e-5)


def test_inputs_between_levels_are_seen_between_them():
    """Levels 0..2 are -1, 0, 1 for the encoder, so that 0.5 is -0.5."""
    plain = vae(mlp(1, 2, hidden=()), mlp(1, 3, hidden=()), categorical(3), 1, num_latents=1)
    params = drawn(plain)
    means = plain.posterior(params, jnp.float32([[0], [0.5], [1], [2]])).mean()[:, 0]
    np.testing.assert_allclose(means[1], (means[0] + means[2]) / 2, rtol=1e-5)
    np.testing.assert_allclose(means[2], (means[0] + means[3]) / 2, rtol=1e-5)


FOUR = {"num_pseudo_inputs": 4}
HIERARCHY = PLAIN._replace(infer=lambda *args, **options: None)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: vamp(PLAIN, 3, **FOUR, **RANGE, start=2 * BITS), r"start .*must lie in 0.0..1.0"),
        (lambda: vamp(PLAIN, 3, **FOUR, **RANGE, start=BITS - 0.1), r"must lie in .*-0.1..0.9"),
        (lambda: vamp(PLAIN, 3, **FOUR, **RANGE, start=BITS[:3]), r"\(4, 3\); got \(3, 3\)"),
        (lambda: vamp(PLAIN, 3, **FOUR, low=1, high=1), "high must be above low=1.0; got 1.0"),
        (lambda: vamp(PLAIN, 3, num_pseudo_inputs=0, **RANGE), "num_pseudo_inputs must be .*got 0"),
        (lambda: vamp(HIERARCHY, 3, **FOUR, **RANGE), "model must infer by its posterior alone"),
    ],
)
def test_what_makes_no_prior_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
