import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, inference
from tests.contracts.compiled import jit

K, D, N = 3, 6, 200
RNG = np.random.default_rng(0)
PROBS = RNG.beta(0.4, 0.4, (K, D))
X = RNG.binomial(1, PROBS[RNG.integers(K, size=N)])


def start():
    bits = RNG.normal(size=(K, D))
    return {"logits": jnp.log(jnp.array([0.5, 0.3, 0.2])), "bits": jnp.asarray(bits)}


def run(algorithm, params, num_steps):
    def body(state, _):
        new, metrics = algorithm.step(state, None, X)
        return new, (new, metrics)

    return jax.device_get(jit(lambda p: jax.lax.scan(body, p, length=num_steps)[1])(params))


def by_definition(weights, probs, num_steps, smoothing):
    for _ in range(num_steps):
        each = weights * np.prod(np.where(X[:, None], probs, 1 - probs), -1)  # [N, K]
        r = each / each.sum(1, keepdims=True)
        counts = r.sum(0)
        probs = (r.T @ X + smoothing * X.mean(0)) / (counts[:, None] + smoothing)
        weights = counts / N
    return weights, probs


@pytest.mark.parametrize("smoothing", [0.0, 2.0])
def test_every_iteration_is_that_of_the_definition_and_what_it_maximises_never_falls(smoothing):
    with jax.enable_x64(True):
        em = inference.bernoulli_mixture_em(
            X, K, smoothing=smoothing, floor=1e-12, min_rows=0.0, chunk=64
        )
        params = start()
        states, metrics = run(em, params, 30)
        for t in (1, 4):
            probs = jax.nn.sigmoid(params["bits"])
            weights, probs = by_definition(np.exp(params["logits"]), probs, t, smoothing)
            np.testing.assert_allclose(np.exp(states["logits"][t - 1]), weights, rtol=1e-9)
            found = jax.nn.sigmoid(states["bits"][t - 1])
            np.testing.assert_allclose(found, probs, rtol=1e-9, atol=1e-12)
        assert np.diff(metrics["log_posterior"]).min() > -1e-12
        assert np.ptp(metrics["log_posterior"]) > 0.1
        model = inference.bernoulli_mixture(D, K)
        log_p = jit(lambda p: model.dist(p).log_prob(X).mean())
        last = jax.tree.map(lambda leaf: leaf[-2], states)
        np.testing.assert_allclose(metrics["log_likelihood"][-1], log_p(last), rtol=1e-12)


def test_moments_are_those_of_all_states():
    model = inference.bernoulli_mixture(D, K)
    params = start()
    states = np.array(list(np.ndindex(*[2] * D)))

    def told(params):
        dist = model.dist(params)
        p = jnp.exp(dist.log_prob(states))
        return p, dist.mean(), dist.variance(), dist.covariance(), dist.responsibilities(states)

    p, mean, variance, covariance, r = jit(told)(params)
    np.testing.assert_allclose(mean, p @ states, rtol=1e-5)
    apart = states - np.asarray(mean)
    np.testing.assert_allclose(covariance, (p[:, None] * apart).T @ apart, atol=1e-6)
    np.testing.assert_allclose(variance, np.diag(covariance), rtol=1e-5)
    np.testing.assert_allclose(r.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(p @ r, jax.nn.softmax(params["logits"]), rtol=1e-5)


def test_a_dead_component_is_told_and_put_elsewhere():
    far = start()
    far["logits"] = far["logits"].at[1].set(-200.0)
    em = inference.bernoulli_mixture_em(X, K)
    states, metrics = run(em, far, 20)
    assert metrics["reseeded"][0] == 1 and metrics["reseeded"][1:].sum() == 0
    assert np.exp(states["logits"][-1]).min() > 0.05
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states))


def test_the_best_of_restarts_is_as_good_as_the_truth():
    fitted = inference.fit_bernoulli_mixture(
        X, jax.random.key(0), num_components=K, num_restarts=5, tolerance=1e-5
    )
    each = np.prod(np.where(X[:, None], PROBS, 1 - PROBS), -1) / K
    assert fitted.history[-1] > np.log(each.sum(1)).mean()
    assert fitted.history[-1] == fitted.restarts.max()


def test_bad_input_is_refused_in_one_line():
    for change, message in (
        ({"x": X + 1}, "x must be bits, 0 and 1; got other numbers"),
        ({"num_components": N + 1}, "x has 200 rows, fewer than num_components=201"),
        ({"floor": 0.7}, "floor must be below 0.5; got 0.7"),
        ({"smoothing": -1.0}, "smoothing must be a finite number of at least 0"),
    ):
        with pytest.raises(checks.InputError, match=message):
            options = {"x": X, "key": jax.random.key(0), "num_components": K} | change
            inference.fit_bernoulli_mixture(**options)
