import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.learning import fit
from dgm_jax.learning.expectation import expectation_maximization

X = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32) @ np.float32([[2, 1], [0, 1]])
X[:24] += 4


def gaussian_mixture(num_components, **options):
    """With full covariances; its metric is the log-likelihood of θ before the step."""

    def init(key):
        means = 3 * jax.random.normal(key, (num_components, 2))
        weights = jnp.full(num_components, 1 / num_components)
        return {
            "weight": weights,
            "mean": means,
            "cov": jnp.tile(jnp.eye(2), (num_components, 1, 1)),
        }

    def e_step(params, x):
        log_prob = jax.vmap(jax.scipy.stats.multivariate_normal.logpdf, (None, 0, 0), 1)
        log_joint = jnp.log(params["weight"]) + log_prob(x, params["mean"], params["cov"])
        posterior = jax.nn.softmax(log_joint)  # [rows, num_components]
        statistics = {
            "weight": posterior.mean(0),
            "x": posterior.T @ x / len(x),
            "xx": jnp.einsum("nk,ni,nj->kij", posterior, x, x) / len(x),
        }
        return statistics, {"log_prob": jax.nn.logsumexp(log_joint, -1).mean()}

    def m_step(params, statistics):
        weight = statistics["weight"]
        mean = statistics["x"] / weight[:, None]
        second = statistics["xx"] / weight[:, None, None]
        return {"weight": weight, "mean": mean, "cov": second - mean[:, :, None] * mean[:, None]}

    return expectation_maximization(init, e_step, m_step, **options)


@pytest.mark.parametrize("num_components", [1, 3])
def test_the_likelihood_never_falls(num_components):
    run = jax.jit(
        lambda key: fit(gaussian_mixture(num_components), key, lambda *_: X, num_steps=40)
    )
    params, metrics = run(jax.random.key(0))
    rises = np.diff(metrics["log_prob"])
    assert rises.min() > -1e-5 and metrics["log_prob"][-1] > metrics["log_prob"][0] + 0.5
    if num_components == 1:  # the maximum of the likelihood, after one step
        np.testing.assert_allclose(params["mean"][0], X.mean(0), rtol=1e-4)
        np.testing.assert_allclose(params["cov"][0], np.cov(X.T, bias=True), rtol=1e-3)
        np.testing.assert_allclose(rises[1:], 0, atol=1e-5)


def test_pmap_gives_what_one_device_gives():
    plain, mapped = gaussian_mixture(3), gaussian_mixture(3, axis_name="data")
    params = plain.init(jax.random.key(0))
    key = jax.random.key(1)
    alone = jax.jit(plain.step)(params, key, X)
    step = jax.pmap(mapped.step, "data", in_axes=(None, None, 0), out_axes=None)
    spread = step(params, key, X.reshape(8, 8, 2))
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(spread)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_what_is_fixed_reaches_the_e_step():
    def e_step(params, x, fixed):
        return (x * fixed).mean(), {}

    algorithm = expectation_maximization(lambda key: jnp.zeros(()), e_step, lambda p, s: p + s)
    assert algorithm.step(jnp.ones(()), jax.random.key(0), X, fixed=0.0)[0] == 1


def test_what_is_not_a_function_is_named():
    with pytest.raises(ValueError, match="m_step must be a function; got dict"):
        expectation_maximization(lambda key: 0, lambda params, x: 0, {})


def test_an_e_step_without_metrics_is_told_how_to_return_none():
    algorithm = expectation_maximization(lambda key: 0.0, lambda p, x: x.mean(), lambda p, s: s)
    with pytest.raises(ValueError, match=r"e_step must return a pair .*\(statistics, \{\}\)"):
        algorithm.step(0.0, None, jnp.ones(3))
