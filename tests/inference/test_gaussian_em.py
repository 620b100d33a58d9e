"""EM against scikit-learn, step by step, and where numbers are hard."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from dgm_jax import checks, inference
from dgm_jax.inference.conjugate import log_density
from dgm_jax.inference.gaussian_mixture import COVARIANCES, scales
from tests.contracts.compiled import jit
from tests.helpers import perturb

K, D, N = 3, 2, 150
RNG = np.random.default_rng(0)
LABELS = RNG.integers(K, size=N)
MEANS = 4 * RNG.normal(size=(K, D))
X = np.einsum("nij,nj->ni", RNG.normal(size=(K, D, D))[LABELS], RNG.normal(size=(N, D)))
X = X + MEANS[LABELS] + 0.5 * RNG.normal(size=(N, D))
UNIT = {
    "full": np.tile(np.eye(D), (K, 1, 1)),
    "tied": np.eye(D),
    "diagonal": np.ones((K, D)),
    "spherical": np.ones(K),
}
THEIRS = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


def start(covariance="full", x=X):
    weights = np.full(K, 1 / K, x.dtype)
    unit = UNIT[covariance].astype(x.dtype)
    return inference.gaussian_parameters(weights, x[:K], unit, covariance=covariance)


def run(algorithm, params, x, num_steps):
    """Each state and each row of metrics, in one program."""

    def body(state, _):
        new, metrics = algorithm.step(state, None, x)
        return new, (new, metrics)

    run = jit(lambda params, x: jax.lax.scan(body, params, length=num_steps)[1])
    return jax.device_get(run(params, x))


def theirs(covariance, num_steps):
    options = {"covariance_type": THEIRS[covariance], "tol": 0, "max_iter": num_steps}
    options |= {"weights_init": np.full(K, 1 / K), "means_init": X[:K]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a run that has not converged
        return GaussianMixture(K, precisions_init=UNIT[covariance], **options).fit(X)


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("form", ["features", "centred"])
def test_every_iteration_is_that_of_scikit_learn(covariance, form):
    """And the log-likelihood of each is that of the density."""
    with jax.enable_x64(True):
        em = inference.gaussian_mixture_em(X, K, covariance=covariance, form=form, chunk=64)
        states, metrics = run(em, start(covariance), X, 12)
        for t in (1, 2, 5, 12):
            found = theirs(covariance, t)
            wanted = inference.gaussian_parameters(
                found.weights_, found.means_, found.covariances_, covariance=covariance
            )
            for name, leaf in wanted.items():
                np.testing.assert_allclose(states[name][t - 1], leaf, rtol=1e-8, atol=1e-8)
            if t < 12:
                np.testing.assert_allclose(metrics["log_likelihood"][t], found.score(X), rtol=1e-10)


def test_the_bound_is_the_likelihood_and_never_falls():
    """E_q log p(x, z) + H(q) with the responsibilities of the density, to the last digits."""
    with jax.enable_x64(True):
        em = inference.gaussian_mixture_em(X, K, floor=0.0)
        begin = perturb(jit(em.init)(jax.random.key(0)), jax.random.key(1))
        states, metrics = run(em, begin, X, 40)
        model = inference.gaussian_mixture(D, K)

        def bound(params, x):
            dist = model.dist(params)
            r = dist.responsibilities(x)
            log_joint = dist._log_joint(x).T
            bound = (r * log_joint).sum(-1) + jax.scipy.special.entr(r).sum(-1)
            return bound.mean(), dist.log_prob(x).mean()

        bounds, log_likelihood = jit(jax.vmap(bound, (0, None)))(states, X)
        np.testing.assert_allclose(bounds, log_likelihood, rtol=1e-12)
        np.testing.assert_allclose(metrics["log_likelihood"][1:], log_likelihood[:-1], rtol=1e-11)
        assert np.diff(log_likelihood).min() > -1e-10 and np.ptp(log_likelihood) > 1e-3


def test_a_flat_prior_is_no_prior_step_by_step():
    with jax.enable_x64(True):
        flat = inference.normal_inverse_wishart(
            np.zeros(D), np.zeros((D, D)), mean_precision=0.0, degrees=-D - 2.0
        )
        runs = [
            run(inference.gaussian_mixture_em(X, K, floor=0.0, prior=prior), start(), X, 8)[0]
            for prior in (None, flat)
        ]
        for a, b in zip(*map(jax.tree.leaves, runs)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_the_mode_of_one_component_is_in_closed_form_and_no_point_beside_it_is_higher():
    """The joint mode of (m, Σ): the denominator is ν + n + d + 2."""
    with jax.enable_x64(True):
        scale = np.array([[2.0, 0.5], [0.5, 1.0]])
        prior = inference.normal_inverse_wishart(
            np.array([1.0, -1.0]), scale, mean_precision=4.0, degrees=5.0
        )
        em = inference.gaussian_mixture_em(X, 1, floor=0.0, prior=prior)
        params = jit(em.init)(jax.random.key(0))
        mean, total = X.mean(0), np.cov(X.T, bias=True) * N
        shift = mean - prior.mean
        wanted = (scale + total + 4 * N / (4 + N) * np.outer(shift, shift)) / (5 + N + D + 2)
        factor = scales(params, "full")[0]
        np.testing.assert_allclose(factor @ factor.T, wanted, rtol=1e-9)
        np.testing.assert_allclose(params["means"][0], (4 * prior.mean + N * mean) / (4 + N))
        model = inference.gaussian_mixture(D, 1)

        def log_posterior(params):
            scale = scales(params, "full")
            of_theta = log_density(prior, jnp.zeros(1), params["means"], scale)
            return model.dist(params).log_prob(X).sum() + of_theta

        value, grads = jit(jax.value_and_grad(log_posterior))(params)
        for name in ("means", "lower"):  # Σ is moved by log_scales too, all of which are stationary
            np.testing.assert_allclose(grads[name], 0, atol=1e-7)
        np.testing.assert_allclose(grads["log_scales"], 0, atol=1e-7)
        _, metrics = jit(em.step)(params, None, X)
        np.testing.assert_allclose(metrics["log_posterior"] * N, value, rtol=1e-12)


def test_under_a_prior_the_posterior_density_never_falls():
    with jax.enable_x64(True):
        prior = inference.prior_of(X, K)._replace(concentration=2.0)
        em = inference.gaussian_mixture_em(X, K, floor=0.0, prior=prior)
        _, metrics = run(em, start(), X, 30)
        assert np.diff(metrics["log_posterior"]).min() > -1e-12
        assert np.ptp(metrics["log_posterior"]) > 0.1


# -------------------------------------------------------------------------------- hard numbers
def test_data_far_from_zero_have_the_covariances_of_centred_ones():
    """E[x²] - m² in float32 would be negative: the offset is 10,000 deviations."""
    near = X.astype(np.float32)
    far = near + np.float32(1e4)
    near = far - np.float32(1e4)  # what float32 keeps of it
    for covariance in ("full", "diagonal"):
        em = inference.gaussian_mixture_em(near, K, covariance=covariance)
        states = [run(em, start(covariance, x), x, 5)[0] for x in (near, far)]
        a, b = (scales(jax.tree.map(lambda leaf: leaf[-1], s), covariance) for s in states)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("covariance", ["full", "spherical"])
def test_a_component_far_from_all_rows_dies_is_told_and_put_elsewhere(covariance):
    x = X.astype(np.float32)
    params = start(covariance, x)
    params = params | {"means": params["means"].at[1].set(1e6)}
    em = inference.gaussian_mixture_em(x, K, covariance=covariance)
    states, metrics = run(em, params, x, 30)
    assert metrics["reseeded"][0] == 1 and metrics["reseeded"][1:].sum() == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states))
    weights = np.exp(states["logits"])
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert weights[-1].min() > 0.02 and np.abs(states["means"][-1]).max() < 30
    rises = np.diff(metrics["log_likelihood"][2:])
    assert rises.min() > -1e-5  # and after that it rises again


def test_few_rows_of_many_numbers_stay_finite_in_half_the_digits():
    """Rows on a line, and more numbers than rows: the floor keeps each Σ positive definite."""
    x = np.outer(np.linspace(-1e3, 1e3, 30), np.ones(40)).astype(np.float32)
    fitted = inference.fit_gaussian_mixture(x, jax.random.key(0), num_components=3, num_steps=5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fitted.params))


@pytest.mark.parametrize("x64", [False, True])
def test_the_dtype_is_that_of_the_rows_whatever_the_default(x64):
    with jax.enable_x64(x64):
        x = jnp.asarray(X, jnp.float32)
        em = inference.gaussian_mixture_em(x, K)
        made = jax.eval_shape(em.init, jax.random.key(0))
        new, metrics = jax.eval_shape(em.step, made, None, x)
        for leaf in jax.tree.leaves((made, new, metrics)):
            assert leaf.dtype == jnp.float32


def test_one_step_on_eight_devices_is_that_on_one():
    with jax.enable_x64(True):
        x = X[:144]
        plain = inference.gaussian_mixture_em(x, K)
        spread = inference.gaussian_mixture_em(x, K, axis_name="rows")
        alone = jit(plain.step)(start(), None, x)
        step = jax.pmap(spread.step, "rows", in_axes=(None, None, 0), out_axes=None)
        together = step(start(), None, x.reshape(8, 18, D))
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


# --------------------------------------------------------------------------------- in one call
def test_of_restarts_the_best_is_kept_and_it_finds_the_truth():
    with jax.enable_x64(True):
        fitted = inference.fit_gaussian_mixture(
            X, jax.random.key(0), num_components=K, num_restarts=4, start_steps=0, tolerance=1e-5
        )
        assert fitted.restarts.shape == (4,) and np.ptp(fitted.restarts) > 0
        assert fitted.history[-1] == fitted.restarts.max()
        assert len(fitted.history) == fitted.num_steps and "best of 4 restarts" in repr(fitted)
        log_prob = jit(lambda p, x: fitted.model.dist(p).log_prob(x))(fitted.params, X)
        assert log_prob.mean() >= fitted.history[-1]
        theirs = GaussianMixture(K, n_init=4, tol=1e-5, random_state=0).fit(X)
        assert log_prob.mean() > theirs.score(X) - 1e-3


REFUSED = {
    "fewer than num_components=200": {"num_components": 200},
    "num_components must be an integer of at least 1": {"num_components": 0},
    "floor=0 makes singular covariances: x has 150 rows": {"num_components": 60, "floor": 0.0},
    "prior is for covariance='full'": {"covariance": "tied", "prior": "of the data"},
    "prior must have concentration of at least 1": {"prior": "of the data"},
    "form must be one of features, centred": {"form": "central"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_in_one_line(message):
    options = {"num_components": K} | REFUSED[message]
    x = X.astype(np.float32)
    if "prior" in options:
        options["prior"] = inference.prior_of(x, K)
    with pytest.raises(checks.InputError, match=message) as refused:
        inference.fit_gaussian_mixture(x, jax.random.key(0), **options)
    assert "\n" not in str(refused.value)


def test_a_column_that_does_not_vary_is_named_where_there_is_no_floor():
    x = np.concatenate([X, np.ones((N, 1))], 1).astype(np.float32)
    with pytest.raises(checks.InputError, match="column 2 of x does not vary"):
        inference.fit_gaussian_mixture(x, jax.random.key(0), num_components=2, floor=0.0)
