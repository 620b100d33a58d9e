"""Linear VAEs against their closed forms: which units are used, and what a posterior costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import learning, objectives, vae
from dgm_jax.checks import InputError
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

SPECTRUM = np.array([4.0, 2.0, 0.7, 0.2])  # of the data
VARIANCE = 1.0  # two directions are above it, so two of three units are active


def data_of(num=400, seed=0):
    """Rows whose mean is (1, 2, 3, 4) and whose covariance has that spectrum, exactly."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 4))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return (x * np.sqrt(SPECTRUM)) @ turn.T + np.arange(1, 5), turn


def gaussian_log_prob(x, mean, covariance):
    y = x - mean
    quadratic = (y * np.linalg.solve(covariance, y.T).T).sum(1)
    return -(quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1]) / 2


def test_the_optimum_has_a_unit_for_each_direction_above_the_noise_and_its_kl():
    """C6: #{λ_i > σ²} active, mean KL_i = ½ log(λ_i / σ²), and the bound is log p(x) of PPCA."""
    x, _ = data_of()
    best = vae.linear_optimum(x.mean(0), np.cov(x.T, bias=True), 3, variance=VARIANCE)
    assert best.num_active == 2
    np.testing.assert_allclose(best.kl, [np.log(4) / 2, np.log(2) / 2, 0], atol=1e-12)
    params = best.params
    bound, kl = jit(lambda p, x: vae.linear_bound(p, x, variance=VARIANCE))(params, jnp.asarray(x))
    np.testing.assert_allclose(kl.mean(0), best.kl, atol=1e-5)
    decoder = np.asarray(params["decoder"], np.float64)
    log_prob = gaussian_log_prob(x, x.mean(0), decoder @ decoder.T + VARIANCE * np.eye(4))
    np.testing.assert_allclose(bound, log_prob, rtol=2e-5, atol=2e-5)  # tight, at every x
    np.testing.assert_allclose(best.bound, log_prob.mean(), rtol=1e-6)


def test_training_from_random_weights_reaches_the_optimum_and_its_idle_unit():
    x, _ = data_of()
    best = vae.linear_optimum(x.mean(0), np.cov(x.T, bias=True), 3, variance=VARIANCE)
    model = vae.linear_vae(4, 3, variance=VARIANCE)

    def loss(params, key, rows):
        bound = vae.linear_bound(params, rows, variance=VARIANCE)[0]
        return -bound.mean(), {}

    descent = learning.gradient_descent(model.init, loss, optax.adam(3e-2))
    rows = jnp.asarray(x, jnp.float32)
    train = lambda key: learning.fit(descent, key, lambda key, t: rows, num_steps=1500)[0].params
    params = jit(train)(jax.random.key(0))
    bound, kl = vae.linear_bound(params, rows, variance=VARIANCE)
    assert best.bound - 1e-3 < bound.mean() < best.bound + 1e-4
    np.testing.assert_allclose(np.sort(kl.mean(0))[::-1], best.kl, atol=5e-3)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_closed_form_is_the_mean_of_sampled_bounds(covariance):
    """At parameters anywhere, with both shapes of S; and the part of each is that of the noun."""
    model = vae.linear_vae(4, 3, variance=0.5, covariance=covariance)
    params, x = drawn(model), points(2, 4)

    @jit
    def both(params, key, x):
        log_w = objectives.log_weights(model, params, key, x, num_samples=20_000)
        return vae.linear_bound(params, x, variance=0.5)[0], log_w.mean(0), log_w.std(0)

    exact, sampled, spread = both(params, jax.random.key(0), x)
    np.testing.assert_array_less(abs(exact - sampled), 4 * spread / np.sqrt(20_000))


def test_a_diagonal_posterior_pays_where_units_explain_together_and_a_full_one_never():
    """x = w_1 z_1 + w_2 z_2 + ε at w = r (cos t, sin t): the likelihood is the same for every t."""
    turns, radius, variance = np.linspace(0, np.pi / 2, 5), 2.0, 0.5
    decoders = jnp.asarray(radius * np.stack([np.cos(turns), np.sin(turns)], -1))[:, None]

    @jit
    def gaps(decoders):
        best = functools.partial(vae.best_posterior, variance=variance)
        shapes = ("diagonal", "full")
        return [jax.vmap(functools.partial(best, covariance=s))(decoders) for s in shapes]

    (s, gap), (whole, none) = gaps(decoders)
    shares = 1 + radius**2 * np.stack([np.cos(turns), np.sin(turns)]) ** 2 / variance
    expected = (np.log(shares).sum(0) - np.log(1 + radius**2 / variance)) / 2
    np.testing.assert_allclose(gap, expected, atol=1e-6)
    np.testing.assert_array_equal(np.argsort(gap)[-1], 2)  # an even split costs most
    np.testing.assert_allclose(gap[jnp.array([0, -1])], 0, atol=1e-6)  # one unit has given up
    np.testing.assert_array_equal(none, 0)
    marginals = jnp.diagonal(whole, axis1=1, axis2=2)
    assert (jnp.diagonal(s, axis1=1, axis2=2) <= marginals + 1e-6).all()  # narrower than they are


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_best_posterior_is_that_of_the_bound(covariance):
    """No S near it has a higher ELBO, and the distance to log p(x) is the gap."""
    decoder = np.array([[1.5, 0.8]])
    s, gap = vae.best_posterior(jnp.asarray(decoder), variance=0.5, covariance=covariance)
    precision = np.eye(2) + decoder.T @ decoder / 0.5
    encoder = np.linalg.solve(precision, decoder.T) / 0.5  # the posterior mean of z
    root = np.linalg.cholesky(np.asarray(s, np.float64))
    scale = np.log(np.diag(root))
    if covariance == "full":
        scale = np.tril(root, -1) + np.diag(scale)
    params = {"mean": np.zeros(1), "decoder": decoder, "encoder": encoder, "scale": scale}
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params)
    x = points(6, 1)
    value = jit(lambda p: vae.linear_bound(p, x, variance=0.5)[0])
    log_prob = gaussian_log_prob(x, np.zeros(1), decoder @ decoder.T + 0.5)
    np.testing.assert_allclose(log_prob - value(params), float(gap) * np.ones(6), atol=1e-5)
    for seed in range(3):
        step = 0.1 * points(*params["scale"].shape, seed=seed)
        assert (value(params | {"scale": params["scale"] + step}) < value(params)).all()


def test_training_with_a_diagonal_posterior_lets_one_of_two_units_collapse():
    """From an even split of one direction; with a full posterior the split stays what it was."""
    x = 2.0 * points(500, 1)
    active = {}
    for covariance in ("diagonal", "full"):
        model = vae.linear_vae(1, 2, variance=0.5, covariance=covariance)
        start = {"decoder": jnp.array([[1.0, 0.9]]), "encoder": jnp.array([[0.5], [0.4]])}
        init = lambda key, model=model: model.init(key) | start
        loss = lambda p, key, rows: (-vae.linear_bound(p, rows, variance=0.5)[0].mean(), {})
        descent = learning.gradient_descent(init, loss, optax.adam(3e-2))
        train = lambda key, d=descent: learning.fit(d, key, lambda k, t: x, num_steps=1500)[0]
        params = jit(train)(jax.random.key(0)).params
        active[covariance] = vae.linear_bound(params, x, variance=0.5)[1].mean(0)
    carried = np.log(np.square(x).mean() / 0.5) / 2  # by the one unit that is left
    np.testing.assert_allclose(np.sort(active["diagonal"]), [0, carried], atol=1e-3)
    assert active["full"].min() > 0.1


def test_a_probe_names_classes_that_codes_hold_and_no_others():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    told = np.eye(3)[labels] @ rng.normal(size=(3, 5)) + 0.05 * rng.normal(size=(600, 5))
    silent = rng.normal(size=(600, 5))
    score = lambda codes: vae.linear_probe(codes[:400], labels[:400], codes[400:], labels[400:])
    assert score(told) == 1.0
    assert score(1e3 * told) == 1.0  # codes have no unit
    assert abs(score(silent) - 1 / 3) < 0.1
    assert abs(score(np.zeros((600, 5))) - np.bincount(labels[400:]).max() / 200) < 0.1


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="variance must be a finite number above 0; got 0"):
        vae.linear_vae(3, 2, variance=0)
    with pytest.raises(InputError, match="num_latents must be at most d = 2; got 3"):
        vae.linear_optimum(np.zeros(2), np.eye(2), 3, variance=1.0)
    with pytest.raises(InputError, match="covariance must be symmetric"):
        vae.linear_optimum(np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]), 1, variance=1.0)
    with pytest.raises(InputError, match="covariance must be one of diagonal, full"):
        vae.best_posterior(jnp.ones((1, 2)), variance=1.0, covariance="banded")
    with pytest.raises(InputError, match="labels must be a class 0, 1, ... for each of 4 rows"):
        vae.linear_probe(np.ones((4, 2)), np.ones(3, int), np.ones((4, 2)), np.ones(4, int))
