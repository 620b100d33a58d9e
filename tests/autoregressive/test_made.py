"""MADE: what each kind starts as and can be exactly, and imputation with any order."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.autoregressive import Masks, fit_table, made, observed_first, table
from dgm_jax.bijectors import affine
from dgm_jax.combinators import adapt, pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import maf
from dgm_jax.likelihoods import bernoulli, categorical, discretized_logistic, gaussian
from dgm_jax.measure.flops import products
from dgm_jax.objectives import nll
from tests.autoregressive.models import drawn, fitted
from tests.contracts.compiled import jit

DIM = 4


@pytest.mark.parametrize("num_levels, num_masks", [(2, 1), (5, 3)])
def test_adapted_made_is_the_histogram_of_each_coordinate(num_levels, num_masks):
    """A table without context, smoothed by one half; in a permuted order and under any mask."""
    rng = np.random.default_rng(0)
    x = rng.binomial(num_levels - 1, [0.01, 0.3, 0.6, 1.0], (50, DIM))
    conditional = bernoulli() if num_levels == 2 else categorical(num_levels)
    order = {"order": [2, 0, 3, 1]} if num_masks == 1 else {}
    model = made(DIM, conditional, hidden=(9, 7), masks=Masks(num_masks), **order)
    histograms = fit_table(x, num_levels=num_levels, window=0, smoothing=0.5)
    table_of = table(DIM, num_levels=num_levels, window=0)
    points = np.array(list(product(range(num_levels), repeat=DIM)))

    @jit
    def run(key, x):
        params = adapt(model, model.init(key), x)
        wanted = table_of.dist(histograms).log_prob(points)
        return params, adapt(model, params, x), model.dist(params).log_prob(points), wanted

    params, again, log_prob, wanted = run(jax.random.key(0), x)
    np.testing.assert_allclose(log_prob, wanted, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_adapt_of_a_made_names_what_it_cannot_count():
    model = made(DIM, bernoulli(), hidden=(9,))
    params = model.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"x must lie in 0\.\.1; got entries in 0\.\.2"):
        adapt(model, params, np.array([[0, 1, 0, 2]]))
    with pytest.raises(ValueError, match=r"n >= 1; got shape \(4,\)"):
        adapt(model, params, np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="levels, integers"):
        adapt(model, params, np.zeros((3, DIM)))


def test_gaussian_made_is_maf_of_one_layer_with_the_same_weights():
    """Density equal; and its samples, run backwards through the flow, are white."""
    options, law = {"hidden": (9, 7), "order": [2, 0, 3, 1], "cond_shape": (2,)}, affine(bound=0.5)
    flow = maf(DIM, num_layers=1, law=law, **options)
    density = made(DIM, gaussian(law), **options)
    params = drawn(density)
    in_flow = [{}, jax.tree.map(lambda a: a[None], params)]
    cond = jnp.array([0.5, -1.0])

    @jit
    def run(params, in_flow, key, x):
        model = pushforward(flow, standard_normal(DIM)).dist({"base": {}, "flow": in_flow}, cond)
        ours = density.dist(params, cond)
        drawn = ours.sample(seed=key, sample_shape=8000)
        z = flow.bijector(in_flow, cond).inverse(drawn)
        return ours.log_prob(x), model.log_prob(x), z

    x = jnp.asarray(np.random.default_rng(1).normal(size=(6, DIM)), jnp.float32)
    ours, theirs, z = run(params, in_flow, jax.random.key(0), x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(np.asarray(z).T), np.eye(DIM), atol=0.07)
    np.testing.assert_allclose((z**4).mean(0), 3, atol=0.4)


def exactly(model, chol, mean):
    """Parameters of a MADE with direct connections that make it N(mean, L Lᵀ).

    x = mean + L ε, so ε_i = (x_i - mean_i - Σ_{j<i} B_ij (x_j - mean_j)) / σ_i with σ = diag L and
    B = I - diag(σ) L⁻¹: shift and log-scale -log σ_i of the whitening map, linear in x_<i.
    """
    sigma = np.diag(chol)
    linear = np.linalg.inv(chol)  # ε = L⁻¹ (x - mean)
    below = np.tril(linear, -1)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    bound = 3.0
    raw = bound * np.arctanh(-np.log(sigma) / bound)  # log-scale = bound tanh(raw / bound)
    params["direct"] = params["direct"].at[:, 0].set(below)
    params["offset"] = jnp.stack([jnp.asarray(-linear @ mean), jnp.asarray(raw)], -1)
    return params


def test_a_linear_layer_set_from_the_cholesky_factor_has_the_entropy_of_the_gaussian():
    """-E log p = ½ log det(2πeΣ) for p = N(m, Σ), and log p is that Gaussian at every point.

    Hidden weights are zero; what is linear in x_<i goes through the direct connections, which a
    hidden layer narrower than d - 1 brings along.
    """
    rng = np.random.default_rng(0)
    a, mean = rng.normal(size=(DIM, DIM)), rng.normal(size=DIM)
    sigma = a @ a.T + 0.5 * np.eye(DIM)
    chol = np.linalg.cholesky(sigma)
    with jax.enable_x64(True):
        model = made(DIM, gaussian(), hidden=(1,))
        params = exactly(model, chol, mean)
        x = mean + rng.normal(size=(1000, DIM)) @ chol.T
        # E ‖ε‖² = d: at a point with ‖ε‖² = d the density says the entropy exactly.
        typical = mean + chol @ np.ones(DIM)

        @jit
        def run(params, x):
            dist = model.dist(params)
            return dist.log_prob(x), dist.log_prob(typical), dist.conditionals(x[0]).scale

        got, at_typical, scale = run(params, x)
    white = np.linalg.solve(chol, (x - mean).T).T
    log_det = np.linalg.slogdet(sigma)[1]
    wanted = -0.5 * (white**2).sum(-1) - 0.5 * (DIM * np.log(2 * np.pi) + log_det)
    np.testing.assert_allclose(got, wanted, rtol=1e-10)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * sigma)[1]
    np.testing.assert_allclose(-at_typical, entropy)
    # The conditional standard deviations are the diagonal of the Cholesky factor.
    np.testing.assert_allclose(scale, np.diag(chol), rtol=1e-10)


# ------------------------------------------------------------------------------- other kinds
def test_a_bernoulli_made_is_a_categorical_one_of_two_levels():
    """The logits 0 and l of two levels; the same net inside."""
    bits, levels = made(4, bernoulli(), hidden=(6,)), made(4, categorical(2), hidden=(6,))
    params = drawn(bits)
    of_two = params | {
        name: jnp.concatenate([jnp.zeros_like(params[name]), params[name]], 1)
        for name in ("readout", "offset")
    }
    x = jnp.array(list(product(range(2), repeat=4)))
    run = jit(lambda p, q: (bits.dist(p).log_prob(x), levels.dist(q).log_prob(x)))
    np.testing.assert_allclose(*run(params, of_two), rtol=1e-5)


def test_weights_of_many_orders_impute_with_the_one_that_makes_the_observed_first():
    """The parameters of the agnostic model fit `order=observed_first(given)`, which is exact."""
    given = np.array([False, True, False, True])
    order = observed_first(given)
    np.testing.assert_array_equal(order, [1, 3, 0, 2])
    params = drawn(made(4, bernoulli(), hidden=(6,), masks=Masks(5)))
    model = made(4, bernoulli(), hidden=(6,), order=order)
    states = jnp.array(list(product(range(2), repeat=4)))

    @jit
    def run(params, key):
        dist = model.dist(params)
        x = jnp.broadcast_to(jnp.array([0, 1, 0, 0]), (20_000, 4))
        return dist.complete(x, given, seed=key), dist.log_prob(states)

    x, log_p = run(params, jax.random.key(0))
    p = np.exp(np.asarray(log_p, np.float64)).reshape(2, 2, 2, 2)[:, 1, :, 0]
    got = np.bincount(np.asarray(x)[:, [0, 2]] @ [2, 1], minlength=4).reshape(2, 2) / len(x)
    assert np.abs(got - p / p.sum()).max() < 4.5 * np.sqrt(0.25 / len(x))


def test_what_many_masks_learned_imputes_far_better_than_each_bit_alone():
    """Five bits, mostly equal: what two of them say of the others, in an order no mask has had."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (2000, 1)) ^ (rng.random((2000, 5)) < 0.1)
    model = made(5, bernoulli(), hidden=(32,), masks=Masks(100))
    given = np.array([False, True, False, False, True])
    imputer = made(5, bernoulli(), hidden=(32,), order=observed_first(given))

    def loss(params, key, batch):
        return nll(model, params, key, jnp.asarray(rows, jnp.int32))

    params = fitted(model, lambda key: key, 300, rate=3e-2, loss=loss)

    def truth(x):  # log p of the bits given: all are one coin, each turned with probability 0.1
        ones, bits = x.sum(1), x.shape[1]
        return np.log(sum(0.5 * p**ones * (1 - p) ** (bits - ones) for p in (0.1, 0.9)))

    score = jit(lambda p, x: imputer.dist(p).conditionals(x).log_prob(x))
    log_p = score(params, jnp.asarray(rows))
    per_bit = -np.asarray(log_p)[:, ~given].mean()
    best = -(truth(rows) - truth(rows[:, given])).mean() / 3
    assert best - 0.02 < per_bit < best + 0.1 < np.log(2) - 0.1


def test_a_pattern_that_is_no_booleans_is_refused():
    with pytest.raises(ValueError, match=r"given must be booleans \[d\]; got shape \(2,\) of int"):
        observed_first(np.array([0, 1]))
    with pytest.raises(TypeError, match="argument 'num_outputs'"):
        made(3, bernoulli(), hidden=(4,), num_outputs=3)


@pytest.mark.parametrize(
    "model, dim",
    [
        (made(784, bernoulli(), hidden=(500,)), 784),
        (made(3072, discretized_logistic(256), hidden=(64,), direct=False), 3072),
    ],
    ids=["bernoulli, 784", "discretized, 3072"],
)
def test_a_sample_costs_the_arithmetic_of_a_density_pass(model, dim):
    """Products in the traced programs, not d passes of them: at most 1.5 times."""
    params = jax.eval_shape(model.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((10, dim), jnp.int32)
    score = products(lambda params, x: model.dist(params).log_prob(x), params, x)
    draw = products(
        lambda params, key: model.dist(params).sample(seed=key, sample_shape=10),
        params,
        jax.eval_shape(lambda: jax.random.key(0)),
    )
    assert 0 < draw <= 1.5 * score
