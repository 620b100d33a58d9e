"""Naive Monte Carlo and importance sampling, on a model whose log p(x) is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from dgm_jax import metrics
from dgm_jax.metrics.importance import gathered, merged, told
from dgm_jax.objectives import infer
from tests.metrics import linear

X, PARAMS = linear.X, linear.PARAMS


ESTIMATES = [metrics.naive_log_prob, metrics.importance_log_prob]
MANY = np.repeat(X, 50, 0)


def check_errors(found, exact):
    """Errors in units of what is told: 300 of them are as large as they should be."""
    errors = (found.log_prob - exact) / found.stderr
    assert 0.8 < np.sqrt((errors**2).mean()) < 1.25 and abs(errors.mean()) < 0.35


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_the_closed_form_is_reached_within_the_error_that_is_told(estimate):
    options = {"num_samples": 1501, "chunk_size": 500, "batch_size": 128}
    found = estimate(linear.model(), PARAMS, jax.random.key(0), MANY, **options)
    check_errors(found, linear.log_evidence(MANY))
    assert (found.stderr < 0.3).all() and (found.effective_samples > 15).all()


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_every_row_has_its_own_condition_or_all_have_one(estimate):
    options = {"num_samples": 1000, "chunk_size": 500, "batch_size": 300}
    cond = np.linspace(-0.5, 0.5, len(MANY), dtype=np.float32)[:, None]
    for given, each in ((cond, cond), (cond[0], cond[:1])):
        found = estimate(linear.conditional(), PARAMS, jax.random.key(1), MANY, given, **options)
        check_errors(found, linear.log_evidence(MANY, each))


def test_the_bound_rises_with_the_number_of_samples_and_stays_below():
    x = np.repeat(X, 100, 0)  # enough rows for the mean to tell
    exact = linear.log_evidence(x).mean()
    means = [
        metrics.importance_log_prob(
            linear.model(), PARAMS, jax.random.key(2), x, num_samples=num, batch_size=600
        ).log_prob.mean()
        for num in (1, 10, 1000)
    ]
    assert means[0] < means[1] - 0.1 < means[2] and exact - 0.01 < means[2] < exact + 0.01


@pytest.mark.parametrize("num_samples", [1, 7, 9])
def test_the_decoder_sees_as_many_samples_as_were_asked_for(num_samples):
    seen, plain = [], linear.model()

    def counted(params, z, cond=None, *, key=None):
        jax.debug.callback(lambda z: seen.append(z.shape[:-1]), z)
        return plain.likelihood(params, z, cond)

    model = plain._replace(likelihood=counted)
    found = metrics.importance_log_prob(
        model, PARAMS, jax.random.key(0), X[:4], num_samples=num_samples, chunk_size=3, batch_size=2
    )
    jax.effects_barrier()
    assert sum(k * b for k, b in seen) == 4 * num_samples and max(k for k, _ in seen) <= 3
    assert found.num_samples == num_samples and f"K = {num_samples})" in str(found)


def test_a_model_that_infers_in_one_pass_is_weighed_by_that():
    plain = linear.model()

    def once(params, key, x, cond=None, *, num_samples=1, parts_key=None):
        found = infer(plain, params, key, x, cond, num_samples=num_samples)
        return found._replace(log_prior=found.log_prior + 1)

    found, shifted = (
        metrics.importance_log_prob(
            model, PARAMS, jax.random.key(0), X[:4], num_samples=9, chunk_size=3, batch_size=2
        )
        for model in (plain, plain._replace(infer=once))
    )
    np.testing.assert_allclose(shifted.log_prob, found.log_prob + 1, atol=1e-5)


def test_a_running_sum_of_weights_is_that_of_all_of_them():
    rng = np.random.default_rng(0)
    log_w = rng.normal(0, 30, size=(12, 5)).astype(np.float32) - 2000
    log_w[:, 1] = -np.inf
    log_w[:6, 2], log_w[6:, 3] = -np.inf, -np.inf
    parts = [gathered(jnp.asarray(part)) for part in np.split(log_w, [2, 6, 7])]
    weights = parts[0]
    for part in parts[1:]:
        weights = merged(weights, part)
    log_prob, stderr, effective = told(weights, 12)
    with np.errstate(divide="ignore", invalid="ignore"):
        together, squares = logsumexp(np.float64(log_w), 0), logsumexp(2 * np.float64(log_w), 0)
        wanted = np.where(np.isinf(together), 0, np.exp(2 * together - squares))
    np.testing.assert_allclose(log_prob, together - np.log(12), rtol=1e-6)
    np.testing.assert_allclose(effective, wanted, rtol=1e-3)
    live = wanted > 0
    np.testing.assert_allclose(
        np.asarray(stderr)[live], np.sqrt(1 / wanted[live] - 1 / 12), rtol=1e-2
    )


def test_what_is_wrong_is_named():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 1; got 0"):
        metrics.importance_log_prob(linear.model(), PARAMS, key, X, num_samples=0)
    with pytest.raises(ValueError, match=r"one for each of 6 rows of x, or one for all"):
        cond = np.zeros((5, 1), np.float32)
        metrics.naive_log_prob(linear.conditional(), PARAMS, key, X, cond, num_samples=1)
    with pytest.raises(
        ValueError, match=r"x must have shape \[n, 4\], as model makes it; got \(6, 3"
    ):
        metrics.naive_log_prob(linear.model(), PARAMS, key, X[:, :3], num_samples=1)
    with pytest.raises(ValueError, match="x: 1 of 2 rows have NaN"):
        x = np.array([[0.0] * 4, [np.nan] * 4])
        metrics.naive_log_prob(linear.model(), PARAMS, key, x, num_samples=1)
