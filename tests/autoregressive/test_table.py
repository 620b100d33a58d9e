"""Tables: the lecture's counts of parameters, and maximum likelihood by counting."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.autoregressive import fit_table, num_parameters, table
from tests.contracts.compiled import jit
from tests.helpers import drawn


@pytest.mark.parametrize("dim, k", [(1, 2), (3, 2), (4, 3), (784, 2), (5, 256)])
def test_parameters_of_the_three_assumptions(dim, k):
    """Full K^d - 1, independent d (K-1), Markov K-1 + (d-1) K (K-1); a chain in between."""
    assert num_parameters(dim, k, window=dim - 1) == k**dim - 1
    assert num_parameters(dim, k, window=0) == dim * (k - 1)
    if dim > 1:
        assert num_parameters(dim, k, window=1) == k - 1 + (dim - 1) * k * (k - 1)
        assert num_parameters(dim, k, window=1, shared=True) == k - 1 + k * (k - 1)
    assert num_parameters(dim, k, window=0, shared=True) == k - 1
    counts = [num_parameters(dim, k, window=w) for w in range(min(dim, 5))]
    assert counts == sorted(counts)


def test_binary_mnist_would_need_more_numbers_than_there_are_atoms():
    full = num_parameters(784, 2, window=783)
    assert full == 2**784 - 1 and len(str(full)) == 237
    assert num_parameters(784, 2, window=0) == 784


def test_the_count_is_that_of_what_can_vary_in_the_table():
    """By the rank of the log-probabilities of all states as a function of the parameters."""
    states = jnp.stack(jnp.meshgrid(*[jnp.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for window, shared in [(0, False), (1, False), (2, False), (0, True), (1, True)]:
        model = table(3, num_levels=3, window=window, shared=shared)
        shape = jax.eval_shape(model.init, jax.random.key(0))["logits"].shape
        params = {"logits": jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)}
        log_prob = lambda p, model=model: model.dist(p).log_prob(states)
        jacobian = jit(jax.jacobian(log_prob))(params)["logits"]
        rank = np.linalg.matrix_rank(np.asarray(jacobian).reshape(27, -1), tol=1e-4)
        assert rank == num_parameters(3, 3, window=window, shared=shared)


def data(n=500):
    rng = np.random.default_rng(0)
    x = np.zeros((n, 4), np.int32)
    x[:, 0] = rng.integers(0, 3, n)
    for i in range(1, 4):
        x[:, i] = (x[:, i - 1] + (rng.random(n) < 0.3) * rng.integers(0, 3, n)) % 3
    return x


def test_maximum_likelihood_of_the_full_table_is_the_empirical_entropy():
    x = data()
    model = table(4, num_levels=3, window=3)
    nll = -model.dist(fit_table(x, num_levels=3, window=3)).log_prob(jnp.asarray(x)).mean()
    n = np.unique(x, axis=0, return_counts=True)[1] / len(x)
    np.testing.assert_allclose(nll, -(n * np.log(n)).sum(), rtol=1e-5)


def test_a_histogram_is_the_relative_frequencies():
    x = np.array([[0], [2], [2], [1]])
    params = fit_table(x, num_levels=4, window=0)
    np.testing.assert_allclose(np.exp(params["logits"][0, 0]), [0.25, 0.25, 0.5, 0])
    smooth = fit_table(x, num_levels=4, window=0, smoothing=1.0)
    np.testing.assert_allclose(np.exp(smooth["logits"][0, 0]), [2 / 8, 2 / 8, 3 / 8, 1 / 8])
    dist = table(1, num_levels=4, window=0).dist(params)
    assert dist.log_prob(jnp.array([3])) == -np.inf


@pytest.mark.parametrize("window", [0, pytest.param(1, marks=pytest.mark.full), 2])
@pytest.mark.parametrize("shared", [False, True])
def test_counting_is_where_the_gradient_of_the_likelihood_vanishes(window, shared):
    """And the more it may see, the better it fits."""
    x = data()
    model = table(4, num_levels=3, window=window, shared=shared)
    params = fit_table(x, num_levels=3, window=window, shared=shared, smoothing=1e-6)
    loss, grads = jit(jax.value_and_grad(lambda p: -model.dist(p).log_prob(jnp.asarray(x)).mean()))(
        params
    )
    np.testing.assert_allclose(grads["logits"], 0, atol=1e-5)
    independent = fit_table(x, num_levels=3, window=0)
    worse = -table(4, num_levels=3, window=0).dist(independent).log_prob(jnp.asarray(x)).mean()
    assert window == 0 or loss < worse - 0.5


def test_a_markov_source_costs_its_entropy_rate():
    """NLL a symbol -> -Σ π_i P_ij log P_ij, for the fitted chain on fresh data."""
    rng = np.random.default_rng(1)
    transition = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.3, 0.3, 0.4]])
    values, vectors = np.linalg.eig(transition.T)
    pi = np.real(vectors[:, np.argmax(values.real)])
    pi /= pi.sum()
    length, x = 60, np.zeros((4000, 60), np.int32)
    x[:, 0] = rng.choice(3, len(x), p=pi)
    for i in range(1, length):
        x[:, i] = (rng.random((len(x), 1)) > transition[x[:, i - 1]].cumsum(1)).sum(1)
    params = fit_table(x[:2000], num_levels=3, window=1, shared=True)
    log_prob = table(length, num_levels=3, window=1, shared=True).dist(params).conditionals
    nll = -log_prob(jnp.asarray(x[2000:])).log_prob(jnp.asarray(x[2000:]))[:, 1:].mean()
    rate = -(pi[:, None] * transition * np.log(transition)).sum()
    np.testing.assert_allclose(nll, rate, atol=0.01)
    np.testing.assert_allclose(np.exp(params["logits"][1]), transition, atol=0.02)


BAD = {
    "window": (lambda: table(3, num_levels=2, window=3), "window must be at most dim - 1 = 2"),
    "entries": (lambda: table(30, num_levels=17, window=9), "choose a smaller one"),
    "levels": (lambda: table(3, num_levels=1, window=1), "num_levels must be an integer"),
    "data": (
        lambda: fit_table(np.array([[0, 3]]), num_levels=3, window=0),
        r"integers \[n, d\] in 0\.\.2",
    ),
    "numbers": (
        lambda: fit_table(np.array([[0.0, 1.0]]), num_levels=3, window=0),
        "got shape .* of float64",
    ),
    "smoothing": (
        lambda: fit_table(np.array([[0, 1]]), num_levels=3, window=0, smoothing=-1),
        "smoothing must",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_levels_of_eight_bits_name_the_contexts_of_all():
    """17³ contexts are more than a byte counts."""
    x = np.random.default_rng(0).integers(0, 17, (50, 6))
    params = fit_table(x, num_levels=17, window=3, smoothing=0.5)
    log_prob = jit(lambda x: table(6, num_levels=17, window=3).dist(params).log_prob(x))
    np.testing.assert_array_equal(log_prob(x.astype(np.uint8)), log_prob(x.astype(np.int32)))


def test_tables_draw_in_double_precision_too():
    with jax.enable_x64(True):
        model = table(4, num_levels=3, window=2)
        x = model.dist(model.init(jax.random.key(0))).sample(seed=jax.random.key(1), sample_shape=5)
    assert x.shape == (5, 4) and x.dtype == jnp.int32


TABLES = [(0, False), (1, False), (1, True), (3, False)]  # windows, and whether shared


@jit
def of_all_tables():
    """Entropy, mean and variance of each, divergences of each pair, and log p of all states."""
    states = jnp.stack(jnp.meshgrid(*[jnp.arange(3)] * 4, indexing="ij"), -1).reshape(-1, 4)

    def dist(seed, window, shared):
        model = table(4, num_levels=3, window=window, shared=shared)
        params = drawn(model, 1.0, seed)
        never = jnp.arange(3) == 2  # of the first context: 0 log 0 = 0
        logits = params["logits"].at[0, 0].add(jnp.where(never, -jnp.inf, 0))
        return model.dist({"logits": logits})

    p, q = ([dist(seed, *options) for options in TABLES] for seed in (1, 2))
    told = [(one.entropy(), one.mean(), one.variance()) for one in p]
    pairs = [(a.kl_divergence(b), a.cross_entropy(b)) for a in p for b in q]
    return states, [[one.log_prob(states) for one in of] for of in (p, q)], told, pairs


def test_what_a_table_has_in_closed_form_is_the_sum_over_all_states():
    states, (of_p, of_q), told, pairs = jax.device_get(of_all_tables())
    pairs = iter(pairs)
    for log_p, (entropy, mean, variance) in zip(np.float64(of_p), told, strict=True):
        p = np.exp(log_p)
        close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
        close(entropy, -(p * np.where(p > 0, log_p, 0)).sum())
        close(mean, p @ states)
        close(variance, p @ states**2 - (p @ states) ** 2)
        for log_q in np.float64(of_q):
            kl, cross_entropy = next(pairs)
            log_q = np.where(p > 0, log_q, 0)
            close(kl, (p * (np.where(p > 0, log_p, 0) - log_q)).sum())
            close(cross_entropy, -(p * log_q).sum())


def test_tables_of_other_events_and_what_has_no_closed_form_are_refused():
    one = table(4, num_levels=3, window=1)
    dist = one.dist(one.init(jax.random.key(0)))
    with pytest.raises(checks.InputError, match="same event_shape"):
        other = table(5, num_levels=3, window=1)
        dist.kl_divergence(other.dist(other.init(jax.random.key(0))))
    with pytest.raises(checks.InputError, match="no closed form here"):
        dist.kl_divergence(dist.sharpened(temperature=0.5))
    with pytest.raises(checks.InputError, match="mode of Table has no closed form here"):
        dist.mode()
