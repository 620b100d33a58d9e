import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.mixture import BayesianGaussianMixture

from dgm_jax import checks, inference
from dgm_jax.inference.conjugate import Conjugate, evidence
from tests.contracts.compiled import jit

K, D, N = 4, 2, 120
RNG = np.random.default_rng(0)
LABELS = RNG.integers(2, size=N)
X = np.einsum("nij,nj->ni", RNG.normal(size=(2, D, D))[LABELS], RNG.normal(size=(N, D)))
X = X + 3 * RNG.normal(size=(2, D))[LABELS] + 0.3 * RNG.normal(size=(N, D))


def test_of_one_component_the_bound_is_the_log_evidence():
    """After one step, with all constants; before it, it is below."""
    with jax.enable_x64(True):
        prior = inference.prior_of(X, 1)._replace(degrees=4.5, mean_precision=0.3)
        algorithm = inference.variational_mixture(X, 1, prior=prior)
        exact = jit(algorithm.init)(jax.random.key(0))
        off = exact._replace(mean=exact.mean + 0.1, degrees=exact.degrees + 2)
        step = jit(algorithm.step)
        again, metrics = step(exact, None, X)
        np.testing.assert_allclose(metrics["elbo"] * N, evidence(prior, jnp.asarray(X)), rtol=1e-12)
        back, of_off = step(off, None, X)
        assert of_off["elbo"] < metrics["elbo"] - 1e-4
        for a, b, c in zip(exact, again, back):
            np.testing.assert_allclose(a, b, rtol=1e-12)
            np.testing.assert_allclose(a, c, rtol=1e-12)


def theirs(num_steps):
    """As q, after so many of their steps from one random start."""
    options = {"weight_concentration_prior_type": "dirichlet_distribution", "reg_covar": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a run that has not converged
        found = BayesianGaussianMixture(
            n_components=K, tol=0, max_iter=num_steps, random_state=0, **options
        ).fit(X)
    degrees = found.degrees_of_freedom_
    q = Conjugate(
        found.weight_concentration_,
        found.means_,
        found.mean_precision_,
        degrees,
        found.covariances_ * degrees[:, None, None],
    )
    return q, found.predict_proba(X)


def test_steps_and_responsibilities_are_those_of_scikit_learn_and_the_bound_never_falls():
    with jax.enable_x64(True):
        prior = inference.normal_inverse_wishart(
            X.mean(0), np.cov(X.T), concentration=1 / K, degrees=float(D)
        )
        algorithm = inference.variational_mixture(X, K, prior=prior)

        def body(q, _):
            new, metrics = algorithm.step(q, None, X)
            return new, (new, metrics["elbo"])

        start = jax.tree.map(jnp.asarray, theirs(1)[0])
        states, elbo = jit(lambda q: jax.lax.scan(body, q, length=25)[1])(start)
        for t in (1, 3, 25):
            q, responsibilities = theirs(1 + t)
            ours = jax.tree.map(lambda leaf: leaf[t - 1], states)
            for a, b in zip(ours, q):
                np.testing.assert_allclose(a, b, rtol=1e-8)
        np.testing.assert_allclose(responsibilities_of(ours), responsibilities, atol=1e-9)
        assert np.diff(elbo).min() > -1e-12 and np.ptp(elbo) > 0.01


def responsibilities_of(q):
    """r_nk of the E-step, one row at a time: the weight of a step on that row alone."""
    prior = inference.prior_of(X, K)
    algorithm = inference.variational_mixture(X, K, prior=prior)
    step = jit(jax.vmap(lambda row: algorithm.step(q, None, row[None])[0].concentration))
    return step(X) - prior.concentration


def test_components_that_are_not_needed_keep_their_prior_and_the_best_restart_is_kept():
    with jax.enable_x64(True):
        x = RNG.normal(size=(N, D)) + 8 * LABELS[:, None]  # two components
        prior = inference.prior_of(x, K)._replace(concentration=1e-3, scale=2 * np.eye(D))
        options = {"num_restarts": 3, "tolerance": 1e-7, "num_steps": 500, "prior": prior}
        fitted = inference.fit_variational_mixture(
            x, jax.random.key(0), num_components=K, **options
        )
    assert fitted.history[-1] == fitted.restarts.max()
    weights = np.sort(np.exp(fitted.params["logits"]))
    assert weights[:-2].max() < 0.02 and weights[-2] > 0.4
    assert fitted.posterior.mean.shape == (K, D)


REFUSED = {
    "prior must have degrees above d - 1 = 1; got 0.5": {"degrees": 0.5},
    "prior must have a positive definite scale": {"scale": np.zeros((2, 2), np.float32)},
    "prior must be one of 2 numbers": {"mean": np.zeros(3), "scale": np.eye(3)},
    "mean_precision of prior must be a finite number above 0": {"mean_precision": 0.0},
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_prior_that_is_no_distribution_is_refused_in_one_line(message):
    prior = inference.prior_of(X.astype(np.float32), K)._replace(**REFUSED[message])
    with pytest.raises(checks.InputError, match=message):
        inference.fit_variational_mixture(
            X.astype(np.float32), jax.random.key(0), num_components=K, prior=prior
        )
