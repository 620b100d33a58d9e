"""The distribution of a causal net: densities, draws, completions, and sharper conditionals."""

import gc
import weakref
from itertools import product

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive as ar
from dgm_jax import likelihoods
from dgm_jax.distributions import Autoregressive
from dgm_jax.nets import one_hot
from dgm_jax.nets.causal import made
from tests.contracts.compiled import jit

DIM = 5
EVERYTHING = jnp.array(list(product([0.0, 1.0], repeat=DIM)))  # [32, 5]


def bernoulli(f):
    return distrax.Bernoulli(logits=f[..., 0])


def drawn(net):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 1, a.shape), a.dtype), shapes)


def build(**options):
    """A Bernoulli MADE of numbers, away from its start."""
    net = made(DIM, hidden=(9, 7), num_outputs=1, **options)
    return net, drawn(net)


OPTIONS = {
    "permuted, conditional": {"order": [3, 0, 4, 1, 2], "cond_shape": (2,)},
    "naive": {"inverse": "naive"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_bernoulli_made_sums_to_one_over_all_binary_vectors_and_draws_from_itself(name):
    """Σ_x p(x) = 1 over 2^D, and 20000 samples in their proportions."""
    net, params = build(**OPTIONS[name])
    cond = jnp.array([0.5, -1.0]) if "cond_shape" in OPTIONS[name] else None

    @jit
    def run(params, key):
        dist = Autoregressive(net, params, bernoulli, DIM, cond, num_outputs=1)
        x, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=20_000)
        return dist.log_prob(EVERYTHING), x, log_prob, dist.log_prob(x)

    log_p, x, log_prob, again = run(params, jax.random.key(0))
    p = np.exp(np.asarray(log_p, np.float64))
    np.testing.assert_allclose(p.sum(), 1, atol=1e-5)
    assert p.max() > 2.5 / 32  # far from uniform
    np.testing.assert_allclose(log_prob, again, rtol=1e-4, atol=1e-4)
    index = (np.asarray(x) @ 2 ** np.arange(DIM)[::-1]).astype(int)
    got = np.bincount(index, minlength=32) / len(x)
    assert (np.abs(got - p) < 4.5 * np.sqrt(p / len(x)) + 1e-4).all()


def test_conditionals_are_the_factors_of_log_prob_and_ratios_of_marginals():
    """Each p(x_i = 1 | x_<i) against sums over the table of all 32 probabilities."""
    net, params = build()

    @jit
    def run(params):
        dist = Autoregressive(net, params, bernoulli, DIM, num_outputs=1)
        factors = dist.conditionals(EVERYTHING)
        assert factors.batch_shape == (32, DIM)
        cold = dist.sharpened(temperature=0.5).conditionals(EVERYTHING).probs[..., 1]
        return factors.log_prob(EVERYTHING), factors.logits, dist.log_prob(EVERYTHING), cold

    factors, logits, log_p, cold = (np.asarray(a) for a in run(params))
    np.testing.assert_allclose(factors.sum(-1), log_p, rtol=1e-6)
    table = np.exp(np.float64(log_p)).reshape([2] * DIM)
    for i in range(DIM):
        marginal = table.sum(tuple(range(i + 1, DIM)), keepdims=True)
        wanted = np.take(marginal, [1], i) / marginal.sum(i, keepdims=True)
        got = 1 / (1 + np.exp(-logits[:, i].reshape([2] * DIM)))
        np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), rtol=1e-4)
    # The logits of sharper bits are divided by the temperature.
    np.testing.assert_allclose(cold, 1 / (1 + np.exp(-2 * logits)), rtol=1e-5)


def test_gradients_pass_through_reparametrised_samples():
    """∂/∂θ E f(x(ε; θ)) through the unroll, against d passes written out with the same noise."""
    order, dim = [2, 0, 1], 3
    net = made(dim, hidden=(5,), num_outputs=1, order=order)

    def normal(f):
        return distrax.Normal(f[..., 0], 0.5)

    def by_the_class(params, key):
        dist = Autoregressive(net, params, normal, dim, num_outputs=1)
        x = dist.sample(seed=key, sample_shape=3)
        return jnp.sum(jnp.sin(x) * jnp.arange(1.0, 4.0)), x

    def by_hand(params, noise):
        x = jnp.zeros((3, dim))
        for i in order:
            x = x.at[:, i].set(net.apply(params, x)[:, i, 0] + 0.5 * noise[:, i])
        return jnp.sum(jnp.sin(x) * jnp.arange(1.0, 4.0))

    @jit
    def both(params, key):
        grads, x = jax.grad(by_the_class, has_aux=True)(params, key)
        noise = (x - net.apply(params, x)[..., 0]) / 0.5
        return grads, jax.grad(by_hand)(params, noise)

    grads, wanted = both(drawn(net), jax.random.key(3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), grads, wanted)


def test_its_batch_is_that_of_the_condition_whose_shape_the_net_states():
    for cond_shape in ((2,), (3, 2), (2, 2, 2)):
        net = made(3, hidden=(4,), num_outputs=1, cond_shape=cond_shape)
        params = jax.eval_shape(net.init, jax.random.key(0))
        for batch in ((), (5,), (2, 5)):
            cond = jnp.zeros((*batch, *cond_shape))
            dist = Autoregressive(net, params, bernoulli, 3, cond, num_outputs=1)
            assert dist.batch_shape == batch and dist.event_shape == (3,)
            draw = lambda p, key, c=cond, n=net: Autoregressive(
                n, p, bernoulli, 3, c, num_outputs=1
            ).sample_and_log_prob(seed=key, sample_shape=4)
            x, log_prob = jax.eval_shape(draw, params, jax.random.key(0))
            assert x.shape == (4, *batch, 3) and log_prob.shape == (4, *batch)
        with pytest.raises(ValueError, match=r"cond must have shape \[..., "):
            Autoregressive(net, params, bernoulli, 3, jnp.zeros((3, 1)), num_outputs=1)
    with pytest.raises(TypeError, match="key must be a typed key"):
        Autoregressive(made(3, hidden=(4,), num_outputs=1), {}, bernoulli, 3, num_outputs=1, key=0)


# ------------------------------------------------------- completion, and sharper conditionals
LEVELS = 3
STATES = jnp.array(list(product(range(LEVELS), repeat=3)))


def categorical(f):
    return distrax.Categorical(logits=f)


def leveled(order, cond_shape=None):
    """A categorical MADE of three coordinates with three levels; the same weights for any order."""
    net = made(
        3,
        hidden=(8,),
        num_outputs=LEVELS,
        encoding=one_hot(LEVELS),
        order=order,
        cond_shape=cond_shape,
    )
    return net, drawn(net)


@pytest.mark.parametrize("order", [[1, 2, 0], [0, 1, 2]])
def test_completion_is_exact_where_the_given_come_first_and_else_of_what_was_seen(order):
    """Completions of (?, 2, ?): their frequencies against p of all states.

    In the order 0, 1, 2 the draw of x_0 is from p(x_0), then x_2 from p(x_2 | x_0, x_1 = 2).
    """
    net, params = leveled(order)
    given, num = np.array([False, True, False]), 20_000

    @jit
    def run(params, key):
        dist = Autoregressive(net, params, categorical, 3, num_outputs=LEVELS)
        x = jnp.full((num, 3), jnp.array([7, 2, 9]))  # what is not given is not read
        logits = dist.conditionals(STATES).logits
        return dist.complete(x, given, seed=key), dist.log_prob(STATES), logits

    x, log_p, logits = (np.asarray(a) for a in run(params, jax.random.key(0)))
    assert (x[:, 1] == 2).all()
    got = np.bincount(x[:, [0, 2]] @ [3, 1], minlength=9).reshape(3, 3) / num
    p = np.exp(np.float64(log_p)).reshape(3, 3, 3)[:, 2]
    exact, tolerance = p / p.sum(), 4.5 * np.sqrt(0.25 / num)
    assert np.abs(exact - exact.mean()).max() > 0.05
    if order[0] == 1:
        assert np.abs(got - exact).max() < tolerance
    else:
        logits = logits.reshape(3, 3, 3, 3, 3)
        seen = np.exp(logits[0, 0, 0, 0])[:, None] * np.exp(logits[:, 2, 0, 2])
        assert np.abs(got - seen).max() < tolerance
        assert np.abs(got - exact).max() > 2 * tolerance


def test_each_row_may_have_its_own_gaps_and_all_given_is_the_data():
    net, params = leveled([0, 1, 2], cond_shape=(2,))
    conds = jnp.array([[0.5, -1.0], [1.0, 2.0]])
    given = jnp.array([[True, False, True], [True, True, True]])
    x = jnp.array([[2, 0, 1], [0, 1, 2]])

    @jit
    def run(params, key):
        dist = Autoregressive(net, params, categorical, 3, conds, num_outputs=LEVELS)
        gaps = jnp.broadcast_to(given, (50, 2, 3))
        draw_key = jax.random.clone(key)
        nothing = dist.complete(jnp.zeros((50, 2, 3), jnp.int32), given & False, seed=key)
        return (
            dist.complete(x, gaps, seed=draw_key),
            nothing,
            dist.sample(seed=jax.random.clone(key), sample_shape=50),
        )

    filled, nothing, drawn = run(params, jax.random.key(0))
    assert filled.shape == (50, 2, 3)
    np.testing.assert_array_equal(filled[:, given], jnp.broadcast_to(x[given], (50, 5)))
    assert len(np.unique(filled[:, 0, 1])) > 1
    np.testing.assert_array_equal(nothing, drawn)  # nothing given: a sample, by the same key


def test_sharpened_conditionals_are_tempered_and_cut():
    net, params = leveled([0, 1, 2])

    @jit
    def run(params, key):
        dist = Autoregressive(net, params, categorical, 3, num_outputs=LEVELS)

        def conditionals(**options):
            return jnp.exp(dist.sharpened(**options).conditionals(STATES).logits)

        return {
            "p": jnp.exp(dist.conditionals(STATES).logits),
            "same": conditionals(),
            "cold": conditionals(temperature=0.5),
            "cut": conditionals(top_k=2),
            "kept": conditionals(allowed=np.arange(LEVELS) > 0),
            "total": jnp.exp(dist.sharpened(temperature=0.7, top_k=2).log_prob(STATES)).sum(),
            "likeliest": dist.sharpened(top_k=1).sample(seed=key, sample_shape=4),
        }

    found = jax.tree.map(np.asarray, run(params, jax.random.key(0)))
    p = found["p"]
    np.testing.assert_allclose(found["same"], p, rtol=1e-5)
    np.testing.assert_allclose(found["cold"], p**2 / (p**2).sum(-1, keepdims=True), rtol=1e-4)
    cut = np.where(p >= np.sort(p)[..., [1]], p, 0)
    cut = cut / cut.sum(-1, keepdims=True)
    np.testing.assert_allclose(found["cut"], cut, rtol=1e-5, atol=1e-7)
    kept = p * (np.arange(LEVELS) > 0)
    np.testing.assert_allclose(found["kept"], kept / kept.sum(-1, keepdims=True), rtol=1e-5)
    assert abs(found["total"] - 1) < 1e-5
    assert (found["likeliest"] == found["likeliest"][0]).all()


HEADS = {
    "bits": likelihoods.bernoulli(),
    "levels": likelihoods.categorical(3),
    "mixture": likelihoods.discretized_logistic(4, num_components=2),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_level_drawn_from_no_distribution_is_minus_one(name):
    """NaN and +∞ in f, and temperatures of 0 and NaN, which make NaN of finite f. No f, no harm."""
    model = ar.made(2, HEADS[name], hidden=(4,))
    params = drawn(model)

    @jit
    def draw(value, temperature):
        at_one = params | {"offset": params["offset"].at[1, 0].set(value)}
        dist = model.dist(at_one)
        sharp = dist.sharpened(temperature=temperature)
        return [d.sample(seed=jax.random.key(0)) for d in (dist, sharp)]

    for value in (jnp.nan, jnp.inf):
        for x in draw(value, 1.0):
            assert x[0] >= 0 and x[1] == -1, value
    for temperature in (0.0, jnp.nan):
        x, sharp = draw(1.0, temperature)
        assert (x >= 0).all() and (sharp == -1).all(), temperature
    assert all((x >= 0).all() for x in draw(1.0, 1e-30))


def test_the_coldest_draws_are_the_likeliest_levels_or_none():
    """Logits over a temperature near 0 overflow, unless the highest is 0; what is none is -1."""
    model = ar.made(3, likelihoods.categorical(4), hidden=(8,), inverse="naive")
    params = drawn(model)

    @jit
    def draw(params, temperature):
        sharp = model.dist(params).sharpened(temperature=temperature)  # traced, so not known
        x = sharp.sample(seed=jax.random.key(1), sample_shape=20)
        return x, model.dist(params).conditionals(x).logits.argmax(-1)

    for temperature in (1e-10, 1e-38):
        x, likeliest = draw(params, temperature)
        assert (x == likeliest).all() or (temperature < 1e-30 and (x == -1).all())


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(likelihoods.categorical(300), marks=pytest.mark.full),
        likelihoods.discretized_logistic(256),
    ],
)
def test_levels_drawn_in_half_precision_are_those_of_d_passes(head):
    """Sixteen bits tell 256 levels on [-1, 1] apart no more: they must not be read from there."""
    fast, slow = (ar.made(2, head, hidden=(8,), inverse=i) for i in ("unit_once", "naive"))
    params = jax.tree.map(lambda a: (0.3 * a).astype(jnp.bfloat16), drawn(fast))

    @jit
    def draw(params, key):
        same = jax.random.clone(key)
        draws = zip((fast, slow), (key, same))
        return [m.dist(params).sample(seed=k, sample_shape=1200) for m, k in draws]

    x, wanted = draw(params, jax.random.key(1))
    np.testing.assert_array_equal(x, wanted)
    assert len(np.unique(x)) > 250


# ----------------------------------------------------------------------- what is refused
def test_what_is_given_must_be_possible():
    """Levels beyond the last and NaN would be kept and seen by all that follow."""
    given = np.array([True, True, False])
    for head, good, bad in [
        (likelihoods.categorical(5), 4, 5),
        (likelihoods.categorical(5), 0, -1),
        (likelihoods.gaussian(), 0.5, np.nan),
    ]:
        model = ar.made(3, head, hidden=(8,))
        dist = model.dist(drawn(model))
        x = np.array([good, good, bad])
        with pytest.raises(ValueError, match=f"x must be possible where .* given.*; got {bad}"):
            dist.complete(x[::-1], given, seed=jax.random.key(1))
    done = dist.complete(x, given, seed=jax.random.key(1))  # the last is not read
    assert (done[:2] == good).all() and jnp.isfinite(done[2])


def test_numbers_do_not_complete_levels():
    net, params = leveled(None)
    dist = Autoregressive(net, params, categorical, 3, num_outputs=LEVELS)
    complete = lambda key: dist.complete(jnp.full(3, 0.5), np.ones(3, bool), seed=key)
    with pytest.raises(ValueError, match=r"x must be levels, integers; got float32"):
        jax.eval_shape(complete, jax.random.key(0))


def test_bad_completions_and_temperatures_are_refused():
    net, params = build()
    dist = Autoregressive(net, params, bernoulli, DIM, num_outputs=1)
    x, key = jnp.zeros((2, DIM)), jax.random.key(0)
    for given in (np.zeros(DIM), np.zeros(DIM - 1, bool)):
        with pytest.raises(ValueError, match=r"x and given must have shape \[\.\.\., 5\]"):
            dist.complete(x, given, seed=key)
    with pytest.raises(TypeError, match="seed must be a typed key"):
        dist.complete(x, np.zeros(DIM, bool), seed=0)
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        dist.sharpened(temperature=0)
    with pytest.raises(ValueError, match="top_k must be an integer of at least 1"):
        dist.sharpened(top_k=0)
    for allowed in ([True], [False, False], [1, 0]):
        with pytest.raises(ValueError, match="allowed must"):
            dist.sharpened(allowed=allowed)


def test_batches_that_do_not_fit_are_named_where_x_is_completed():
    net, params = leveled(None, cond_shape=(2,))
    dist = Autoregressive(net, params, categorical, 3, jnp.zeros((4, 2)), num_outputs=LEVELS)
    x, given = jnp.zeros((2, 3), jnp.int32), np.zeros((5, 3), bool)
    for x, given, got in [  # noqa: B020
        (x, given[0], r"x \(2,\), given \(\), cond \(4,\)"),
        (x[0], given, r"x \(\), given \(5,\), cond \(4,\)"),
        (x, given, r"x \(2,\), given \(5,\), cond \(4,\)"),
    ]:
        with pytest.raises(ValueError, match=f"x, given and cond must have .*; got {got}"):
            dist.complete(x, given, seed=jax.random.key(0))


@pytest.mark.parametrize("num_masks", [1, 3])
def test_numbers_are_not_sharpened_and_that_is_said_at_once(num_masks):
    model = ar.made(4, likelihoods.gaussian(), hidden=(8,), masks=ar.Masks(num_masks))
    dist = model.dist(drawn(model))
    with pytest.raises(ValueError, match="sharpened is for discrete conditionals; got Normal"):
        dist.sharpened(temperature=0.5)


# --------------------------------------------------------------------- compilation and memory
MAKERS = {
    "made": lambda head: ar.made(3, head, hidden=(4,)),
    "wavenet": lambda head: ar.wavenet(3, head, hidden=2, dilations=(1,)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_second_draw_outside_of_jit_compiles_nothing(name):
    """Counts how often the conditionals are traced, of a dist made anew each time, as usual."""
    traced, levels = [], likelihoods.categorical(3)

    def to_dist(f):
        traced.append(f)
        return levels.dist(f)

    model = MAKERS[name](levels._replace(dist=to_dist))
    params = drawn(model)
    given = jnp.full(model.dist(params).event_shape, True).at[..., 0].set(False)

    def draws(i):
        dist, (one, two) = model.dist(params), jax.random.split(jax.random.key(i))
        return dist.sample(seed=one), dist.complete(given.astype(int), given, seed=two)

    draws(0)
    first = len(traced)
    draws(1)
    assert 0 < first < len(traced) < first + 3, "only for the number of levels"


@pytest.mark.usefixtures("small_heap")
def test_a_density_leaves_with_its_last_user():
    """What is compiled for draws outside of jit, and traced inside, belongs to the model."""
    model = ar.made(3, likelihoods.bernoulli(), hidden=(4,), masks=ar.Masks(2))
    params = drawn(model)

    def run(params, key, temperature):
        sharp = model.dist(params).sharpened(temperature=temperature)
        return sharp.sharpened(temperature=temperature, top_k=1).sample(seed=key)

    with jax.checking_leaks():
        jax.eval_shape(run, params, jax.random.key(0), 0.5)
    alone = ar.made(2, likelihoods.bernoulli(), hidden=(2,))
    alone.dist(drawn(alone)).sample(seed=jax.random.key(0))
    ref = weakref.ref(alone.init)
    del alone
    gc.collect()
    assert ref() is None
