import jax
import numpy as np
import pytest
from scipy import integrate, stats

from dgm_jax import checks
from dgm_jax.inference import conjugate
from tests.contracts.compiled import jit

RNG = np.random.default_rng(0)
SCALE = np.array([[2.0, 0.4], [0.4, 1.0]])
X = RNG.normal(size=(6, 2)) @ np.array([[1.5, 0.3], [0, 0.7]]) + [1, -2]


def prior(degrees=3.5):
    return conjugate.normal_inverse_wishart(
        np.array([0.5, -1.0]), SCALE, mean_precision=0.7, degrees=degrees
    )


def test_the_evidence_is_the_product_of_student_predictions_of_row_after_row():
    with jax.enable_x64(True):
        found = jit(conjugate.evidence)(prior(), X)
    total, m, k, v, psi = 0.0, np.array([0.5, -1.0]), 0.7, 3.5, SCALE
    for x in X:
        df = v - 1
        total += stats.multivariate_t.logpdf(x, m, psi * (k + 1) / (k * df), df)
        psi = psi + k / (k + 1) * np.outer(x - m, x - m)
        m, k, v = (k * m + x) / (k + 1), k + 1, v + 1
    np.testing.assert_allclose(found, total, rtol=1e-11)


def test_the_divergence_of_dirichlets_is_that_of_betas_by_quadrature():
    a, b = np.array([2.0, 3.5]), np.array([1.2, 0.8])
    p, q = stats.beta(*a), stats.beta(*b)
    wanted = integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), 0, 1)[0]
    with jax.enable_x64(True):
        np.testing.assert_allclose(jit(conjugate.kl_dirichlet)(a, b), wanted, rtol=1e-7)


def test_the_divergence_of_normal_wisharts_is_that_of_gammas_by_quadrature():
    """In one dimension: Wishart(1/ψ, ν) is Gamma(ν/2, rate ψ/2), and the normal part is exact."""
    q = conjugate.Conjugate(
        1.0, np.array([[0.7]]), np.array([3.0]), np.array([5.0]), SCALE[:1, :1][None]
    )
    p = conjugate.Conjugate(1.0, np.array([-0.2]), 1.5, 2.5, SCALE[1:, 1:])
    gamma_q, gamma_p = stats.gamma(2.5, scale=2 / 2.0), stats.gamma(1.25, scale=2 / 1.0)

    def under(precision):
        normal = 0.5 * (1.5 / 3 - 1 - np.log(1.5 / 3) + 1.5 * precision * 0.9**2)
        ratio = gamma_q.logpdf(precision) - gamma_p.logpdf(precision)
        return gamma_q.pdf(precision) * (ratio + normal)

    wanted = integrate.quad(under, 0, 60)[0]
    with jax.enable_x64(True):
        found = jit(conjugate.kl_normal_wishart)(q, p, np.sqrt(q.scale), np.sqrt(p.scale))
    np.testing.assert_allclose(found, [wanted], rtol=1e-7)


def test_the_prior_given_no_rows_is_the_posterior_and_its_divergence_is_zero():
    with jax.enable_x64(True):
        p = prior()
        q = conjugate.posterior(p, np.zeros(2), np.ones((2, 2)), np.ones((2, 2, 2)))
        factor = np.linalg.cholesky(SCALE)
        found = jit(conjugate.kl_normal_wishart)(q, p, np.stack([factor] * 2), factor)
        np.testing.assert_allclose(found, 0, atol=1e-12)


def test_bad_input_is_refused_in_one_line():
    for change, message in (
        ({"scale": SCALE[0]}, r"scale must have shape \[2, 2\]"),
        ({"degrees": -5.0}, "degrees must be at least -d - 2 = -4; got -5"),
        ({"concentration": 0.0}, "concentration must be a finite number above 0"),
        ({"mean_precision": -1.0}, "mean_precision must be a finite number of at least 0"),
    ):
        with pytest.raises(checks.InputError, match=message):
            conjugate.normal_inverse_wishart(**{"mean": np.zeros(2), "scale": SCALE} | change)
