"""The parts of the KL of a whole set of codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, metrics
from tests.contracts.compiled import jit
from tests.helpers import points


def log_density(x):
    return -0.5 * np.square(x) - 0.5 * np.log(2 * np.pi)


def test_the_sums_over_a_set_are_those_of_float64():
    mean, scale = np.asarray(points(37, 3)), np.exp(0.5 * np.asarray(points(37, 3, seed=2)) - 1)

    def of(key):
        again = lambda: jax.random.clone(key)
        found = [
            jnp.stack(metrics.kl_terms(again(), mean, scale, **options))
            for options in ({}, {"chunk": 10}, {"batch_size": 37}, {"num_codes": 37, "chunk": 37})
        ]
        noise = jax.random.normal(jax.random.split(again())[0], mean.shape)
        return found, mean + scale * noise

    found, z = jit(of)(jax.random.key(0))
    z, mean, scale = (np.asarray(a, np.float64) for a in (z, mean, scale))
    log_q = log_density((z[:, None] - mean) / scale) - np.log(scale)
    joint = np.log(np.exp(log_q.sum(-1)).mean(1))
    product = np.log(np.exp(log_q).mean(1)).sum(-1)
    own = np.einsum("nnd->n", log_q)
    expected = [
        (own - joint).mean(),
        (joint - product).mean(),
        (product - log_density(z).sum(-1)).mean(),
    ]
    for each in found:
        np.testing.assert_allclose(each, expected, atol=1e-5)


def test_a_batch_of_256_of_50_000_rows_tells_the_parts_if_it_is_stratified_alone():
    """T88: the parts by sums over the set are I = 10.2 and TC = 1.8 nats, by Gaussians 12.0 and 0.

    For the codes of 50,000 rows do not fill ten dimensions: I <= log N = 10.8.
    """
    num, scale = 50_000, 0.3
    mean = points(num, 10) * np.sqrt(1 - scale**2)

    def of(key, **options):
        return jnp.stack(metrics.kl_terms(key, mean, jnp.full_like(mean, scale), **options)[:2])

    exact, stratified, plain, weighted = jax.jit(
        lambda *keys: (
            of(keys[0], num_codes=500),
            of(keys[1], batch_size=256),
            of(keys[2], batch_size=256, estimate="plain"),
            of(jax.random.clone(keys[2]), batch_size=256, estimate="weighted"),
        )
    )(*jax.random.split(jax.random.key(0), 3))
    np.testing.assert_allclose(exact, [10.17, 1.76], atol=0.25)
    np.testing.assert_allclose(stratified, exact, atol=0.8)
    assert plain[0] < np.log(256) and plain[1] > exact[1] + 4
    np.testing.assert_allclose(weighted - plain, np.array([1, 9]) * np.log(num), rtol=1e-4)


def test_what_does_not_fit_is_refused():
    mean, key = points(4, 2), jax.random.key(0)
    of = lambda mean=mean, **options: metrics.kl_terms(key, mean, jnp.ones_like(mean), **options)
    with pytest.raises(checks.InputError, match="mean must have at least two rows"):
        of(mean[:1])
    with pytest.raises(checks.InputError, match="num_codes must be at most the 4 rows; got 5"):
        of(num_codes=5)
    with pytest.raises(checks.InputError, match="batch_size must be at most the 4 rows; got 5"):
        of(batch_size=5)
    with pytest.raises(checks.InputError, match="leave it, or batch_size, out"):
        of(batch_size=2, num_codes=2)
    with pytest.raises(checks.InputError, match="estimate must be one of"):
        of(batch_size=2, estimate="exact")
