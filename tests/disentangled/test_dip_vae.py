"""DIP-VAE: what its covariances are of."""

import jax
import numpy as np
import pytest

from dgm_jax import checks, disentangled, objectives
from tests.contracts.compiled import jit
from tests.disentangled.models import bits, small_vae
from tests.helpers import drawn, points


def whitened(num=7, dim=3):
    """Rows of mean 0 and covariance I, exactly."""
    x = np.asarray(points(num, dim), np.float64)
    centred = x - x.mean(0)
    return centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred.T, ddof=0))).T


def test_the_penalty_is_0_where_the_covariance_of_codes_is_that_of_the_prior():
    """T45: "I" looks at the means alone, "II" at all of q(z)."""
    mean = whitened().astype(np.float32) + 5
    np.testing.assert_allclose(disentangled.dip_penalty(mean), 0, atol=1e-5)
    scale = np.full_like(mean, 0.6)
    np.testing.assert_allclose(disentangled.dip_penalty(0.8 * mean, scale), 0, atol=1e-5)
    apart, own = disentangled.dip_penalty(mean, scale)
    np.testing.assert_allclose([apart, own], [0, 3 * 0.36**2], atol=1e-5)


def test_the_penalty_is_that_of_the_textbook_covariance():
    mean, scale = np.asarray(points(9, 3)), np.exp(np.asarray(points(9, 3, seed=2)))
    c = np.cov(mean.T, ddof=0) + np.diag((scale**2).mean(0))
    apart, own = disentangled.dip_penalty(mean, scale)
    assert own == pytest.approx(np.square(np.diag(c) - 1).sum(), rel=1e-5)
    assert apart == pytest.approx(np.square(c - np.diag(np.diag(c))).sum(), rel=1e-5)


def test_the_loss_adds_the_penalty_of_its_kind_to_the_negative_elbo():
    model, x, num = small_vae(), bits(8), 50
    params = drawn(model, 0.7)

    def of(params, key):
        loss = lambda **options: disentangled.dip_vae_loss(
            model, params, jax.random.clone(key), x, num_data=num, off_diagonal=2.0, **options
        )
        losses = [loss(kind="I"), loss(kind="II"), loss(kind="II", diagonal=3.0)]
        return losses, objectives.elbo_terms(model, params, jax.random.clone(key), x, num_data=num)

    losses, terms = jax.tree.map(np.asarray, jit(of)(params, jax.random.key(0)))
    means = disentangled.dip_penalty(terms.mean)
    codes = disentangled.dip_penalty(terms.mean, terms.scale)
    for (loss, told), (apart, own), diagonal in zip(losses, (means, codes, codes), (20, 2, 3)):
        penalty = float(2 * apart + diagonal * own)
        assert told["penalty"] == pytest.approx(penalty, rel=1e-5)
        assert loss == pytest.approx(terms.distortion + terms.kl + penalty, rel=1e-5)


def test_a_kind_that_is_none_is_refused():
    model = small_vae()
    with pytest.raises(checks.InputError, match="kind must be one of I, II; got '1'"):
        disentangled.dip_vae_loss(
            model,
            model.init(jax.random.key(0)),
            jax.random.key(1),
            bits(4),
            kind="1",
            off_diagonal=1.0,
            num_data=4,
        )
