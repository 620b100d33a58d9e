"""The parts of the KL from batches, against sums over all rows and against those of Gaussians."""

import itertools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, distributions, objectives
from dgm_jax.arrays import mid_quantiles
from dgm_jax.objectives.aggregate import log_pairs
from dgm_jax.protocol import LatentVariable
from tests.contracts.compiled import jit
from tests.helpers import points


def model_of(scale, num=2):
    """q(z | x) = N(a x, s² I) with the parameters a and s, and p(x | z) = N(z, I)."""

    def normal(mean, scale):
        return distrax.MultivariateNormalDiag(mean, jnp.broadcast_to(scale, mean.shape))

    return LatentVariable(
        lambda key: {"a": jnp.float32(1.0), "s": jnp.float32(scale)},
        lambda params, cond=None, *, key=None: distributions.standard_normal(num).dist({}),
        lambda params, z, cond=None, *, key=None: normal(z, 1.0),
        lambda params, x, cond=None, *, key=None: normal(params["a"] * x, params["s"]),
    )


def terms(x, scale, *, seed=0, num_data=None, **options):
    model = model_of(scale, x.shape[-1])
    given = {"num_data": len(x) if num_data is None else num_data, **options}
    found = jit(
        lambda key: objectives.elbo_terms(model, model.init(None), key, jnp.asarray(x), **given)
    )(jax.random.key(seed))
    return jax.tree.map(np.asarray, found)


def test_the_parts_are_those_of_gaussians():
    """E1: of x ~ N(0, Σ) and q(z | x) = N(x, s²), z ~ N(0, Σ + s²), in closed form."""
    grid = np.stack(np.meshgrid(*[jax.scipy.stats.norm.ppf(mid_quantiles(45))] * 2), -1)
    root = np.float32([[1.5, 0.0], [1.3, 0.5]])
    x = grid.reshape(-1, 2) @ root.T
    s, sigma = 0.7, np.cov(x.T, ddof=0)
    of_z = sigma + s**2 * np.eye(2)
    information = 0.5 * np.linalg.slogdet(of_z / s**2)[1]
    correlation = 0.5 * (np.log(np.diag(of_z)).sum() - np.linalg.slogdet(of_z)[1])
    dimension = 0.5 * (np.diag(of_z) - 1 - np.log(np.diag(of_z))).sum()
    assert correlation > 0.3 and dimension > 0.2
    found = terms(x, s)
    assert found.mutual_information == pytest.approx(information, abs=0.05)
    assert found.total_correlation == pytest.approx(correlation, abs=0.04)
    assert found.dimension_kl == pytest.approx(dimension, abs=0.05)
    kl = 0.5 * ((x**2).sum(1).mean() + 2 * s**2 - 2) - 2 * np.log(s)
    assert found.kl == pytest.approx(kl, rel=1e-5)
    parts = found.mutual_information + found.total_correlation + found.dimension_kl
    assert parts == pytest.approx(found.kl, rel=1e-6)
    assert found.distortion == pytest.approx(np.log(2 * np.pi) + s**2, abs=0.03)


def normal_log_prob(x, scale):
    return -0.5 * (np.float64(x) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))


def sums(z, x, scale):
    """log q(z_n) and Σ_j log q(z_nj) over all rows, float64."""
    log_q = normal_log_prob(z[:, None] - x, scale)
    joint = np.log(np.exp(log_q.sum(-1)).mean(1))
    return joint, np.log(np.exp(log_q).mean(1)).sum(-1)


def test_a_batch_of_all_rows_is_the_sum_over_the_set():
    x = np.asarray(points(40, 3))
    for estimate in ("stratified", "plain"):
        found = terms(x, 0.5, estimate=estimate)
        joint, product = sums(found.z, x, 0.5)
        assert found.total_correlation == pytest.approx((joint - product).mean(), abs=1e-5)
        own = normal_log_prob(found.z - x, 0.5).sum(-1)
        assert found.mutual_information == pytest.approx((own - joint).mean(), abs=1e-5)


@pytest.mark.parametrize("estimate, share", [("stratified", 1 / 6), ("plain", 1 / 3)])
def test_stratified_alone_is_the_aggregate_posterior_on_average(estimate, share):
    """T41, T88: over all batches of 3 of 6 rows that have the row of z in them, at any place.

    To the plain estimate the row of z is one of 3, and not one of 6.
    """
    x, scale, n = np.asarray(points(6, 2)), 0.4, 2
    z = x[n] + np.float32([0.3, -0.2])
    batches = [b for b in itertools.permutations(range(6), 3) if n in b]
    place = np.array([b.index(n) for b in batches])

    def densities(rows):
        log_q = log_pairs(jnp.broadcast_to(z, (3, 2)), rows, jnp.full((3, 2), scale))
        aggregate = lambda log_q: objectives.log_aggregate(log_q, 6, estimate=estimate)
        joint = aggregate(log_q.sum(-1))
        return jnp.exp(jnp.concatenate([aggregate(log_q), joint[:, None]], 1))  # [row, 2 + 1]

    found = jit(jax.vmap(densities))(x[np.array(batches)])
    found = np.asarray(found)[np.arange(len(batches)), place].mean(0)
    each = np.exp(normal_log_prob(z - x, scale))
    each = np.c_[each, each.prod(1)]
    others = np.delete(each, n, 0).mean(0)
    np.testing.assert_allclose(found, share * each[n] + (1 - share) * others, rtol=1e-5)


def test_weighted_is_plain_over_the_size_of_the_set_with_the_same_gradient():
    """T89: log N in the mutual information, (d - 1) log N in the total correlation."""
    x, num = np.asarray(points(8, 3)), 500
    model = model_of(0.5, 3)

    def parts(params, estimate):
        found = objectives.elbo_terms(
            model, params, jax.random.key(0), x, num_data=num, estimate=estimate
        )
        return jnp.stack([found.mutual_information, found.total_correlation])

    both = lambda of: jit(lambda params: tuple(of(params, e) for e in ("weighted", "plain")))
    start = model.init(None)
    weighted, plain = both(parts)(start)
    np.testing.assert_allclose(weighted - plain, np.array([1, 2]) * np.log(num), rtol=1e-5)
    of_weighted, of_plain = both(jax.jacobian(parts))(start)
    for name in start:
        assert np.abs(of_plain[name]).max() > 0.1
        np.testing.assert_allclose(of_weighted[name], of_plain[name], atol=1e-5)


def test_what_has_no_such_parts_is_refused():
    x, params = points(4, 2), {"a": jnp.float32(1.0), "s": jnp.float32(1.0)}
    model, key = model_of(1.0), jax.random.key(0)
    of = lambda model=model, x=x, **given: objectives.elbo_terms(
        model, params, key, x, **{"num_data": 10, **given}
    )
    with pytest.raises(checks.InputError, match="at least the 4 of the batch; got 3"):
        of(num_data=3)
    with pytest.raises(checks.InputError, match="x must have at least two rows"):
        of(x=x[:1])
    with pytest.raises(checks.InputError, match="all pairs of two rows or more"):
        objectives.log_aggregate(x, 10)
    with pytest.raises(checks.InputError, match="got 'straified'. Did you mean 'stratified'"):
        of(estimate="straified")
    with pytest.raises(checks.InputError, match="codes of this x have shape"):
        of(x=x[None])
    tri = lambda params, x, cond=None, *, key=None: distrax.MultivariateNormalTri(
        x, jnp.broadcast_to(jnp.eye(2), (*x.shape[:-1], 2, 2))
    )
    with pytest.raises(checks.InputError, match="Gaussian of independent entries"):
        of(model._replace(posterior=tri))
