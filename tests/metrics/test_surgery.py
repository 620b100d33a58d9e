"""The KL term of the ELBO in two parts."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import distributions, metrics, objectives
from dgm_jax.protocol import LatentVariable

SPREAD = 0.5


def model_of(prior=None, num=1):
    """q(z | x) = N(x, ¼ I) and p(x | z) = N(z, I), which needs no parameters."""
    prior = distributions.standard_normal(num) if prior is None else prior

    def normal(loc, scale):
        return distrax.MultivariateNormalDiag(loc, jnp.full_like(loc, scale))

    return LatentVariable(
        lambda key: {},
        lambda params, cond=None, *, key=None: prior.dist({}),
        lambda params, z, cond=None, *, key=None: normal(z, 1.0),
        lambda params, x, cond=None, *, key=None: normal(x, SPREAD),
    )


def surgery(x, *, seed=0, model=None, **options):
    model = model_of(num=x.shape[-1]) if model is None else model
    operate = jax.jit(lambda key, x: metrics.elbo_surgery(model, {}, key, x, **options))
    return jax.tree.map(float, operate(jax.random.key(seed), jnp.asarray(x, jnp.float32)))


def test_the_parts_of_a_set_are_those_of_quadrature():
    """C4. Each of 4 rows is there 500 times, of which no code can tell."""
    centres = np.array([-1.5, -0.3, 0.4, 1.0])
    z = np.linspace(-6, 6, 20001)
    each = np.exp(-0.5 * ((z - centres[:, None]) / SPREAD) ** 2) / (SPREAD * np.sqrt(2 * np.pi))
    q, step = each.mean(0), z[1] - z[0]
    prior = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    information = (each * np.log(each / q + 1e-300)).sum(1).mean() * step
    marginal = (q * np.log(q / prior)).sum() * step
    found = surgery(np.repeat(centres, 500)[:, None], chunk=500)
    assert found.mutual_information == pytest.approx(information, abs=0.03)
    assert found.marginal_kl == pytest.approx(marginal, abs=0.06)
    kl = 0.5 * (centres**2 + SPREAD**2 - 1).mean() - np.log(SPREAD)
    assert found.kl == pytest.approx(kl, abs=0.08)
    assert information + marginal == pytest.approx(kl, abs=1e-4)  # the oracle with itself


def test_the_parts_sum_to_the_elbo_and_do_not_depend_on_the_chunk():
    x = np.random.default_rng(0).normal(size=(37, 2))
    found, other = (surgery(x, chunk=chunk) for chunk in (37, 37 * 2))
    assert found == other
    assert found.kl == pytest.approx(found.mutual_information + found.marginal_kl, rel=1e-6)
    assert found.elbo == pytest.approx(found.reconstruction - found.kl, rel=1e-6)
    (key,) = jax.random.split(jax.random.key(0), 1)
    log_w = objectives.log_weights(model_of(num=2), {}, key, jnp.asarray(x, jnp.float32))
    assert found.elbo == pytest.approx(float(log_w.mean()), rel=1e-5)
    assert found.most == pytest.approx(np.log(37))


def test_codes_that_tell_all_rows_apart_know_log_n_and_no_more():
    """T40: also far codes; a batch sees log B of it, and the corrected one log N."""
    x = 100.0 * np.arange(64)[:, None]
    assert surgery(x).mutual_information == pytest.approx(np.log(64), rel=1e-6)
    filled_up = surgery(x, chunk=10)  # the last chunk has 6 rows of the first again
    assert filled_up.mutual_information == pytest.approx(np.log(64), rel=1e-6)
    batches = surgery(x, batch_size=8)
    assert batches.mutual_information == pytest.approx(np.log(8), rel=1e-6)
    assert batches.most == pytest.approx(np.log(8))
    corrected = surgery(x, batch_size=8, stratified=True)
    assert corrected.mutual_information == pytest.approx(np.log(64), rel=1e-6)
    assert corrected.kl == pytest.approx(corrected.mutual_information + corrected.marginal_kl)


def test_batches_enclose_the_mutual_information_of_the_set():
    x = np.random.default_rng(1).normal(size=(512, 2))
    exact = surgery(x).mutual_information
    below = surgery(x, batch_size=8).mutual_information
    above = surgery(x, batch_size=8, stratified=True).mutual_information
    assert below < exact - 0.1 and exact + 0.1 < above < exact + 1.0
    assert below > exact - np.log(512 / 8)


class Aggregate(distrax.Distribution):
    """Σ_n q(z | x_n) / N, written out."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    event_shape = (2,)

    def _sample_n(self, key, n):
        raise NotImplementedError

    def log_prob(self, z):
        each = distrax.MultivariateNormalDiag(self.x, jnp.full_like(self.x, SPREAD))
        return jax.nn.logsumexp(each.log_prob(z[..., None, :]), -1) - np.log(len(self.x))


def test_the_aggregate_posterior_as_prior_leaves_no_marginal_kl():
    """C5: at every sample."""
    x = np.random.default_rng(2).normal(size=(50, 2)).astype(np.float32)
    model = model_of(num=2)._replace(prior=lambda params, cond=None, *, key=None: Aggregate(x))
    found = surgery(x, model=model)
    assert found.marginal_kl == pytest.approx(0, abs=1e-5)
    assert found.kl == pytest.approx(found.mutual_information, abs=1e-5)


def test_what_cannot_be_operated_on_is_refused():
    x = np.zeros((4, 1))
    with pytest.raises(ValueError, match="at least two rows"):
        surgery(x[:1])
    with pytest.raises(ValueError, match="at most the 4 rows; got 5"):
        surgery(x, batch_size=5)
    with pytest.raises(ValueError, match="give a batch_size"):
        surgery(x, stratified=True)
