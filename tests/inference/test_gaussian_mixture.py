import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dgm_jax import checks
from dgm_jax.distributions import reparametrised
from dgm_jax.inference import gaussian_mixture, gaussian_parameters
from dgm_jax.inference.gaussian_mixture import COVARIANCES
from tests.contracts.compiled import jit
from tests.helpers import points

K, D = 3, 2
RNG = np.random.default_rng(0)
WEIGHTS, MEANS = np.array([0.5, 0.3, 0.2]), RNG.normal(0, 2, (K, D))
A = RNG.normal(size=(K, D, D))
FULL = A @ A.transpose(0, 2, 1) + 0.3 * np.eye(D)
GIVEN = {
    "full": FULL,
    "tied": FULL[0],
    "diagonal": np.diagonal(FULL, axis1=1, axis2=2),
    "spherical": FULL[:, 0, 0],
}


def matrices(covariance):
    """Σ of each component."""
    given = GIVEN[covariance]
    if covariance == "full":
        return given
    if covariance == "tied":
        return np.stack([given] * K)
    return np.stack([np.diag(np.broadcast_to(each, D)) for each in given])


def test_no_gradient_passes_through_its_samples_alone():
    """E x = Σ_k π_k m_k has a gradient in the weights, which its samples have not."""
    model = gaussian_mixture(D, K)
    params = gaussian_parameters(*map(jnp.asarray, (WEIGHTS, MEANS, FULL)))
    mean = lambda params, key: model.dist(params).sample(seed=key).sum()
    of_sample = jit(jax.grad(mean))(params, jax.random.key(0))
    np.testing.assert_array_equal(of_sample["logits"], 0)
    assert not reparametrised(model.dist(params))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_it_is_the_sum_of_its_gaussians_with_exact_moments(covariance):
    """Against scipy, with E[x] and Cov[x] by the law of total covariance."""
    model, sigma = gaussian_mixture(D, K, covariance=covariance), matrices(covariance)

    def told(weights, means, covariances, x):
        params = gaussian_parameters(weights, means, covariances, covariance=covariance)
        dist = model.dist(params)
        return {
            "p": jnp.exp(dist.log_prob(x)),
            "r": dist.responsibilities(x),
            "mean": dist.mean(),
            "variance": dist.variance(),
            "covariance": dist.covariance(),
        }

    x = 3 * points(40, D)
    found = jit(told)(*map(jnp.asarray, (WEIGHTS, MEANS, GIVEN[covariance])), x)
    normal = stats.multivariate_normal.pdf
    each = np.stack([w * normal(x, m, s) for w, m, s in zip(WEIGHTS, MEANS, sigma)], -1)
    np.testing.assert_allclose(found["p"], each.sum(-1), rtol=3e-4, atol=1e-30)
    np.testing.assert_allclose(found["r"], each / each.sum(-1, keepdims=True), atol=1e-4)
    mean = WEIGHTS @ MEANS
    total = np.tensordot(WEIGHTS, sigma, 1) + (MEANS - mean).T * WEIGHTS @ (MEANS - mean)
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["covariance"], total, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["variance"], np.diag(total), rtol=1e-4)


def test_gradients_part_the_components_from_the_start():
    model = gaussian_mixture(D, K)
    params = model.init(jax.random.key(0))
    grads = jit(jax.grad(lambda p: model.dist(p).log_prob(points(9, D)).sum()))(params)
    assert np.ptp(np.asarray(grads["means"]), axis=0).min() > 1e-3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_what_is_no_mixture_is_refused_in_one_line():
    make = lambda covariances: gaussian_parameters(
        jnp.asarray(WEIGHTS), jnp.asarray(MEANS), jnp.asarray(covariances)
    )
    singular = FULL.copy()
    singular[1] = [[1, 1], [1, 1]]
    with pytest.raises(checks.InputError, match="must be positive definite; got a singular"):
        make(singular)
    with pytest.raises(checks.InputError, match=r"covariances must have shape \[3, 2, 2\]"):
        make(FULL[0])
    with pytest.raises(checks.InputError, match="Did you mean 'spherical'"):
        gaussian_mixture(2, 3, covariance="sperical")
    model = gaussian_mixture(D, K)
    with pytest.raises(checks.InputError, match=r"value must have shape \[..., 2\]; got \(4, 3\)"):
        model.dist(model.init(jax.random.key(0))).log_prob(points(4, 3))
