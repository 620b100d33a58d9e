"""Likelihoods: what each says at f = 0, how it is drawn from, and p(x | z) of a decoder."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive, nets
from dgm_jax.bijectors import additive, mixture_logistic_cdf
from dgm_jax.distributions import DiscretizedLogisticMixture
from dgm_jax.likelihoods import (
    bernoulli,
    categorical,
    discretized_logistic,
    factorised,
    gaussian,
    mixture,
)
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

NUMBERS = {
    "gaussian": gaussian(),
    "additive": gaussian(additive()),
    "mixture": mixture(4),
    "logistics": mixture(4, kind="logistic"),
}


# --------------------------------------------------------------------------------- f = 0
def test_zero_is_the_standard_normal_or_logistic_and_components_part_at_the_first_step():
    """Gradients by the log-scales of a mixture differ, though its components are all equal."""
    x = np.linspace(-3, 3, 8).astype(np.float32)

    @jit
    def run(x):
        log_probs, grads = {}, {}
        for name, head in NUMBERS.items():
            score = lambda f, head=head: head.dist(f).log_prob(x)
            f = jnp.zeros((8, head.num_params))
            log_probs[name], pull = jax.vjp(score, f)
            grads[name] = pull(jnp.ones(8))[0]
        return log_probs, grads

    log_probs, grads = run(x)
    normal = -0.5 * x**2 - 0.5 * np.log(2 * np.pi)
    logistic = -x - 2 * np.log1p(np.exp(-x))
    for name in NUMBERS:
        wanted = logistic if name == "logistics" else normal
        np.testing.assert_allclose(log_probs[name], wanted, rtol=1e-5, atol=1e-6)
    for name in ("mixture", "logistics"):
        assert np.abs(np.diff(grads[name][:, 8:], axis=1)).min() > 1e-3


def test_zero_is_a_fair_coin_the_uniform_distribution_or_nearly_so():
    levels = jnp.arange(17)

    @jit
    def run():
        zero = lambda head: head.dist(jnp.zeros(head.num_params))
        fair = zero(bernoulli()).log_prob(levels[:2])
        return fair, zero(categorical(17)).log_prob(levels), zero(discretized_logistic(17)).logits

    fair, uniform, broad = run()
    np.testing.assert_allclose(fair, -np.log(2), rtol=1e-6)
    np.testing.assert_allclose(uniform, -np.log(17), rtol=1e-6)
    np.testing.assert_allclose(broad, -np.log(17), atol=0.5)


# --------------------------------------------------------------------------------- draws
def test_levels_are_drawn_as_often_as_they_are_likely_and_impossible_ones_never():
    p = np.array([[0.0, 0.2, 0.0, 0.5, 0.3, 0.0], [1.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1.0]])
    with np.errstate(divide="ignore"):
        logits = jnp.asarray(np.log(p) + 3, jnp.float32)
    draw = jit(lambda key, f: categorical(6).dist(f).sample(seed=key, sample_shape=40_000))
    x = np.asarray(draw(jax.random.key(0), logits))
    assert x.shape == (40_000, 3) and x.dtype == np.int32
    got = np.stack([np.bincount(column, minlength=6) for column in x.T]) / len(x)
    assert (got[p == 0] == 0).all() and x[:, 1:].max(0).tolist() == [0, 5]
    assert (np.abs(got - p) < 4.5 * np.sqrt(p * (1 - p) / len(x)) + 1e-9).all()


def test_many_levels_are_drawn_block_by_block_as_often_as_they_are_likely():
    """70 levels, of which whole blocks are impossible, the first and the last too."""
    rng = np.random.default_rng(0)
    p = np.where(rng.random((3, 70)) < 0.4, 0, rng.random((3, 70)))
    p[0, :9], p[1, 16:40], p[2, 61:] = 0, 0, 0
    p[1, 0], p[1, -1] = 1e-3, 0.4
    p /= p.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        logits = jnp.asarray(np.log(p) - 5, jnp.float32)
    draw = jit(lambda key, f: categorical(70).dist(f).sample(seed=key, sample_shape=40_000))
    x = np.asarray(draw(jax.random.key(0), logits))
    got = np.stack([np.bincount(column, minlength=70) for column in x.T]) / len(x)
    assert (got[p == 0] == 0).all() and got.shape == p.shape
    assert (np.abs(got - p) < 4.5 * np.sqrt(p * (1 - p) / len(x)) + 1e-9).all()
    bad = jnp.full((4, 70), 0.0).at[0].set(-jnp.inf).at[1, 3].set(jnp.nan).at[2, 5].set(jnp.inf)
    assert np.asarray(draw(jax.random.key(1), bad)).max(0)[:3].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("num", [2, 64, 70, 5000])
def test_levels_are_those_at_which_their_cdf_passes_one_uniform_number(num):
    """Of equal probabilities, whose sums are whole: the ⌊n u⌋-th of the n that are possible."""
    possible = np.random.default_rng(num).random(num) < 0.6
    possible[num // 2] = True
    logits = jnp.where(possible, 3.0, -jnp.inf)
    key, places = jax.random.key(0), np.flatnonzero(possible)
    x = jit(lambda f: categorical(num).dist(f).sample(seed=key, sample_shape=2000))(logits)
    u = np.asarray(jax.random.uniform(jax.random.clone(key), (2000,)))
    np.testing.assert_array_equal(x, places[(np.float32(len(places)) * u).astype(int)])


def test_draws_within_a_loss_have_a_gradient_of_zero():
    """As in a score-function loss, which is differentiated with the draw in it."""
    draw = lambda f: categorical(40).dist(f).sample(seed=jax.random.key(0)).astype(float)
    assert (jit(jax.grad(draw))(jnp.linspace(0.0, 1.0, 40)) == 0).all()


def test_half_precision_draws_all_levels():
    """Sixteen bits hold 128 numbers of [0.5, 1): a uniform one of them misses every odd level."""
    draw = jit(lambda key, f: categorical(256).dist(f).sample(seed=key))
    x = np.asarray(draw(jax.random.key(0), jnp.zeros((4000, 256), jnp.bfloat16)))
    assert len(np.unique(x)) > 250 and (x % 2).mean() > 0.4


@pytest.mark.parametrize("kind", ["gaussian", "logistic"])
def test_mixtures_of_half_precision_are_those_of_float32(kind):
    """Densities to their precision; and draws have the dtype of the parameters."""
    f = jnp.asarray(np.random.default_rng(0).normal(size=(50, 12)), jnp.bfloat16)
    head, x = mixture(4, kind=kind), jnp.linspace(-2.0, 2.0, 50)

    @jit
    def run(f, x, key):
        score = lambda f: head.dist(f).log_prob(x.astype(f.dtype))
        drawn, told = head.dist(f).sample_and_log_prob(seed=key)
        return score(f), score(f.astype(jnp.float32)), drawn, told

    half, full, drawn, told = run(f, x, jax.random.key(0))
    assert {half.dtype, drawn.dtype, told.dtype} == {jnp.dtype(jnp.bfloat16)}
    np.testing.assert_allclose(half.astype(jnp.float32), full, atol=0.1)


# ------------------------------------------------------------------------ colours of a pixel
@partial(jit, static_argnums=3)
def of_components(means, log_scales, x, num_levels):
    """log p_j(x) for each j, by mixtures of one."""
    one = DiscretizedLogisticMixture(
        jnp.zeros((*means.shape, 1)),
        means[..., None],
        log_scales[..., None],
        num_levels=num_levels,
    )
    return one.log_prob(x)


@pytest.mark.parametrize("num_levels", [3, 256])
def test_colours_are_coupled_as_in_the_paper(num_levels):
    """log Σ_j π_j p_j(r) p_j(g | r) p_j(b | r, g), the joint formula, and Σ_rgb p = 1."""
    k = 4
    conditional = discretized_logistic(num_levels, num_components=k)
    head = conditional.head(3)
    assert head.size == 10 * k
    rng = np.random.default_rng(0)
    h = np.float32(2 * rng.normal(size=head.size))
    if num_levels == 3:
        x = np.array(list(product(range(3), repeat=3)))
    else:
        x = rng.integers(0, num_levels, (500, 3))
    score = lambda h, x: conditional.dist(head.apply(h, x)).log_prob(x).sum(-1)
    found = jit(jax.vmap(score, (None, 0)))(h, x)

    logits, means, log_scales, alphas = np.split(h.reshape(10, k), [1, 4, 7])
    middles = (2 * np.arange(k) + 1) / k - 1
    log_scales = log_scales - np.log(2 * k)
    alphas, u = np.tanh(alphas), (2 * x / (num_levels - 1) - 1)[..., None]
    r, g = u[:, 0], u[:, 1]
    mean_r = means[0] + middles + 0 * r
    mean_g = means[1] + middles + alphas[0] * r
    mean_b = means[2] + middles + alphas[1] * r + alphas[2] * g
    joint = logits[0] - np.logaddexp.reduce(logits[0])
    for c, mean in enumerate((mean_r, mean_g, mean_b)):
        scales = np.broadcast_to(log_scales[c], mean.shape)
        mean, scales = np.float32(mean), np.float32(scales)
        joint = joint + np.asarray(of_components(mean, scales, x[:, [c]], num_levels))
    np.testing.assert_allclose(found, np.logaddexp.reduce(joint, -1), rtol=1e-5, atol=1e-5)
    if num_levels == 3:
        np.testing.assert_allclose(np.exp(found).sum(), 1, atol=1e-5)


def test_colours_that_are_no_levels_are_impossible_and_gradients_finite():
    """Also where a component is sure of one level, and where scales leave what is useful."""
    conditional = discretized_logistic(256, num_components=2)
    head = conditional.head(3)
    x = jnp.array([[-1, 3, 9], [0, 256, 7], [0, 128, 255]])

    @jit
    def run(size):
        h = size * jax.random.normal(jax.random.key(0), (3, head.size))
        score = lambda h: conditional.dist(head.apply(h, x)).log_prob(x).sum(-1)
        log_prob, pull = jax.vjp(score, h)
        return log_prob, pull(jnp.array([0.0, 0.0, 1.0]))[0]

    for size in (1.0, 30.0, 1000.0):
        log_prob, slope = run(size)
        assert (log_prob[:2] == -jnp.inf).all() and jnp.isfinite(log_prob[2])
        assert jnp.isfinite(slope).all()


# ------------------------------------------------------------------------ p(x | z) of a decoder
LATENT, SHAPE = 2, (1, 2, 2)
LEVELS = {
    "bits": (bernoulli(), 2),
    "levels": (categorical(3), 3),
    "logistics": (discretized_logistic(3, num_components=2), 3),
}


def decoder(conditional, shape=SHAPE, **options):
    size = conditional.outputs(int(np.prod(shape)))
    return factorised(nets.mlp(LATENT, size, hidden=(5,)), conditional, shape, **options)


Z = jnp.array([[0.5, -1.0], [1.0, 2.0]])


@pytest.mark.parametrize("name", LEVELS)
def test_a_decoder_of_levels_sums_to_one_and_has_the_moments_of_its_distribution(name):
    """E[x | z] is the sum over all pictures; the mode is at least as likely as any of them."""
    conditional, num_levels = LEVELS[name]
    model = decoder(conditional, cond_shape=(LATENT,))
    states = np.array(list(product(range(num_levels), repeat=4))).reshape(-1, 1, *SHAPE)

    @jit
    def run(key, states):
        init_key, sample_key = jax.random.split(key)
        params = jax.tree.map(lambda a: 1.5 * a, model.init(init_key))
        dist = model.dist(params, Z)
        x, log_prob = dist.sample_and_log_prob(seed=sample_key, sample_shape=4000)
        return {
            "all": dist.log_prob(states),
            "x": x,
            "told": log_prob,
            "scored": dist.log_prob(x),
            "mean": dist.mean(),
            "mode": dist.log_prob(dist.mode()),
        }

    found = jax.tree.map(np.asarray, run(jax.random.key(0), states))
    p = np.exp(np.float64(found["all"]))
    assert p.shape == (len(states), 2) and found["x"].shape == (4000, 2, *SHAPE)
    np.testing.assert_allclose(p.sum(0), 1, atol=1e-5)
    assert np.abs(p[:, 0] - p[:, 1]).max() > 0.02  # the latents differ
    np.testing.assert_allclose(found["told"], found["scored"], rtol=1e-5)
    mean = (p.reshape(-1, 2, 1, 1, 1) * states).sum(0)
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-4)
    np.testing.assert_allclose(found["x"].mean(0), mean, atol=4.5 / np.sqrt(4000))
    np.testing.assert_allclose(found["mode"], found["all"].max(0), rtol=1e-5)


def test_a_decoder_of_pixels_sums_to_one_and_couples_channels_as_a_causal_net_does():
    """Pixels are independent; channels of one are those of `head`, and are drawn like that."""
    together = discretized_logistic(3, num_components=2, channels=2)
    model, alone = decoder(together, cond_shape=(LATENT,)), LEVELS["logistics"][0]
    head = alone.head(2)
    states = np.array(list(product(range(3), repeat=4))).reshape(-1, 1, *SHAPE)

    @jit
    def run(key, states):
        init_key, sample_key = jax.random.split(key)
        params = jax.tree.map(lambda a: 1.5 * a, model.init(init_key))
        dist = model.dist(params, Z)
        x, told = dist.sample_and_log_prob(seed=sample_key, sample_shape=20_000)
        h = dist._f
        f = head.apply(jnp.broadcast_to(h, (len(states), *h.shape)), jnp.repeat(states, 2, 1))
        coupled = alone.dist(f).log_prob(states).sum((-1, -2, -3))
        return dist.log_prob(states), coupled, x, told, dist.log_prob(x)

    all_of_them, coupled, x, told, scored = map(np.asarray, run(jax.random.key(0), states))
    p = np.exp(np.float64(all_of_them))
    np.testing.assert_allclose(p.sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(all_of_them, coupled, rtol=1e-5)
    np.testing.assert_allclose(told, scored, rtol=1e-5)
    where = (x.reshape(-1, 2, 4) * 3 ** np.arange(3, -1, -1)).sum(-1)
    seen = np.stack([np.bincount(each, minlength=81) for each in where.T], 1) / len(x)
    assert (np.abs(seen - p) <= 4.5 * np.sqrt(p / len(x)) + 4 / len(x)).all()
    marginals = [p.reshape(3, 3, 3, 3, 2).sum(axes) for axes in ((2, 3), (1, 3))]
    apart = marginals[0].sum(1)[:, None] * marginals[0].sum(0)[None]
    assert np.abs(marginals[0] - apart).max() > 0.01  # the channels of a pixel depend on each other
    first, second = p.reshape(9, 9, 2).sum(1), p.reshape(9, 9, 2).sum(0)
    np.testing.assert_allclose(p.reshape(9, 9, 2), first[:, None] * second[None], atol=1e-6)


def test_the_mean_of_a_pixel_is_linear_in_the_means_of_its_components_away_from_the_ends():
    conditional = discretized_logistic(256, num_components=2, channels=3)
    rng = np.random.default_rng(0)
    h = np.float32(rng.normal(size=(10, 2)))
    h[1:4], h[4:7] = 0.2 * h[1:4], -2 + 0.1 * h[4:7]  # narrow, and near the middle
    dist = conditional.dist(jnp.asarray(h.ravel()))
    weights, alphas = np.exp(h[0]) / np.exp(h[0]).sum(), np.tanh(h[7:])
    means = h[1:4] + [-0.5, 0.5]
    means[1] += alphas[0] * means[0]
    means[2] += alphas[1] * means[0] + alphas[2] * means[1]
    found = jit(dist.mean)()
    np.testing.assert_allclose(found, 127.5 * (1 + means @ weights), rtol=1e-4)
    x = np.asarray(dist.sample(seed=jax.random.key(1), sample_shape=10_000), float)
    assert (np.abs(x.mean(0) - found) < 4.5 * x.std(0) / 100).all()


def test_bits_are_scored_to_the_last_digit_with_all_derivatives_for_logits_of_any_size():
    logits = jnp.array(
        [-2000.0, -90.0, -15.0, -3.0, 0.0, 1e-4, 5.0, 90.0, 2000.0, jnp.inf, -jnp.inf]
    )

    def log_prob(f, x):
        return bernoulli().dist(f[..., None]).log_prob(x)

    for x, sign in ((1, 1), (0, -1)):
        exact = -np.logaddexp(0, -sign * np.float64(logits))
        np.testing.assert_allclose(log_prob(logits, x), exact, rtol=1e-6, atol=1e-38)
        finite = logits[:-2]
        slope = jax.vmap(jax.grad(log_prob), (0, None))(finite, x)
        np.testing.assert_allclose(
            slope, sign * jax.nn.sigmoid(-sign * finite), rtol=1e-6, atol=1e-38
        )
        curve = jax.vmap(jax.grad(jax.grad(log_prob)), (0, None))(finite, x)
        both = jax.nn.sigmoid(finite) * jax.nn.sigmoid(-finite)
        np.testing.assert_allclose(curve, -both, rtol=1e-5, atol=1e-38)
    assert jnp.isnan(log_prob(jnp.array([jnp.nan]), 1)).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_a_bit_is_scored_to_the_last_digits_in_every_precision(dtype):
    """log p(1) = log σ(f) and its derivative σ(-f), relative to their size."""
    with jax.enable_x64(True):
        f = jnp.concatenate([jnp.linspace(-30, 30, 4001), jnp.array([-1e5, 1e-8])]).astype(dtype)
        log_p, pull = jax.vjp(lambda f: bernoulli().dist(f[..., None]).log_prob(1), f)
        (slope,) = pull(jnp.ones_like(f))
        assert log_p.dtype == slope.dtype == f.dtype
        f, rtol = np.asarray(f, np.float64), 4 * float(jnp.finfo(dtype).eps)
        exact = np.minimum(f, 0) - np.log1p(np.exp(-np.abs(f)))
        np.testing.assert_allclose(np.float64(log_p), exact, rtol=rtol)
        np.testing.assert_allclose(np.float64(slope), 1 / (1 + np.exp(f)), rtol=rtol)


def test_a_decoder_of_numbers_is_the_formula_and_has_its_moments():
    """log N(x; μ, σ²) summed over entries, of f written out; and the mean of a mixture."""
    models = {name: decoder(NUMBERS[name]) for name in ("gaussian", "mixture")}
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *SHAPE)), jnp.float32)

    @jit
    def run(key, x):
        found = {}
        for name, model in models.items():
            params = model.init(jax.random.clone(key))
            dist = model.dist(params, Z)
            draws = dist.sample(
                seed=jax.random.fold_in(jax.random.clone(key), 1), sample_shape=4000
            )
            size = 4 * NUMBERS[name].num_params
            f = nets.mlp(LATENT, size, hidden=(5,)).apply(params, Z).reshape(2, *SHAPE, -1)
            found[name] = dist.log_prob(x), dist.mean(), dist.variance(), draws, f
        return found

    found = run(jax.random.key(0), x)
    log_prob, _, _, _, f = found["gaussian"]
    shift, log_scale = f[..., 0], 3 * np.tanh(f[..., 1] / 3)
    epsilon = x * np.exp(log_scale) + shift
    wanted = (log_scale - 0.5 * epsilon**2 - 0.5 * np.log(2 * np.pi)).sum((1, 2, 3))
    np.testing.assert_allclose(log_prob, wanted, rtol=1e-5)
    for _, mean, variance, draws, _ in found.values():
        error = np.sqrt(np.asarray(variance) / len(draws))
        assert (np.abs(draws.mean(0) - mean) < 4.5 * error).all()


def test_parameters_come_by_entry_by_channel_or_in_one_vector():
    """A net of images gives the channels of its last layer, an MLP a vector: the same numbers."""
    k, shape = 2, (2, 3, 2)
    f = jnp.asarray(np.random.default_rng(0).normal(size=(5, *shape, k)), jnp.float32)
    x = jnp.ones((5, *shape))

    def given(f):
        return Net(lambda key: {}, lambda params, z, key=None: f)

    tails = [(*shape, k), (2, 3, 4), (24,)]
    scores = [
        factorised(given(f.reshape(5, *tail)), gaussian(), shape).dist({}, x).log_prob(x)
        for tail in tails
    ]
    assert scores[0].shape == (5,)
    for score in scores[1:]:
        np.testing.assert_array_equal(score, scores[0])
    with pytest.raises(ValueError, match=r"net must give 2 numbers .* \(2, 3, 2\).*got \(5, 2, 12"):
        factorised(given(f.reshape(5, 2, 12)), gaussian(), shape).dist({}, x)


def test_an_axis_of_one_in_a_batch_of_latents_is_not_one_entry_of_x():
    net = nets.mlp(2, 2, hidden=(3,))
    model, z, x = factorised(net, gaussian(), 1, cond_shape=(2,)), points(4, 1, 2), points(3, 1)
    params = drawn(model)
    got = model.dist(params, z).log_prob(x)
    one_by_one = jnp.stack([model.dist(params, z[k, 0]).log_prob(x) for k in range(4)])
    np.testing.assert_allclose(got, one_by_one, rtol=1e-6)


def test_the_key_of_a_decoder_reaches_its_net():
    """Dropout acts with a key, and not without one."""
    net = nets.mlp(LATENT, 4, hidden=(50,), dropout=0.5)
    model = factorised(net, bernoulli(), 4)

    @jit
    def run(key, x):
        init_key, *keys = jax.random.split(key, 3)
        params = model.init(init_key)
        dists = [model.dist(params, Z[0], key=k) for k in (None, None, *keys)]
        return [dist.log_prob(x) for dist in dists]

    quiet, again, one, two = run(jax.random.key(0), jnp.array([0, 1, 1, 0]))
    assert quiet == again and len({float(a) for a in (quiet, one, two)}) == 3


def test_what_is_no_event_of_a_decoder_is_refused_or_impossible():
    bits, numbers = decoder(bernoulli(), cond_shape=(LATENT,)), decoder(gaussian())
    params = jax.eval_shape(bits.init, jax.random.key(0))
    of_numbers = jax.eval_shape(numbers.init, jax.random.key(0))

    def refused(model, params, match, x, z=Z):
        with pytest.raises(ValueError, match=match):
            jax.eval_shape(lambda p: model.dist(p, z).log_prob(x), params)

    refused(bits, params, "x must be levels, integers in 0..1; got float32", jnp.ones(SHAPE))
    refused(bits, params, r"x must have shape \[..., 1, 2, 2\]; got \(3,\)", jnp.ones(3, int))
    refused(numbers, of_numbers, "x must be floating", jnp.ones(SHAPE, int))
    refused(bits, params, "cond is missing", jnp.ones(SHAPE, int), None)
    refused(bits, params, r"cond must have shape \[..., 2\]", jnp.ones(SHAPE, int), jnp.ones(3))
    with pytest.raises(TypeError, match="seed must be a typed key"):
        jax.eval_shape(lambda p: bits.dist(p, Z).sample(seed=0), params)
    for value in (-1, 2):
        assert bernoulli().dist(jnp.zeros(1)).log_prob(value) == -jnp.inf


# ------------------------------------------------------------------------------- bad options
def test_bad_options_are_refused_by_name():
    with pytest.raises(ValueError, match="kind must be one of gaussian, logistic; got 'gaussan'"):
        mixture(kind="gaussan")
    with pytest.raises(ValueError, match="num_levels must be an integer of at least 2"):
        categorical(1)
    with pytest.raises(ValueError, match="encoding must be of num_levels=3 levels; got one of 4"):
        categorical(3, encoding=nets.scaled(4))
    with pytest.raises(ValueError, match="encoding must be an Encoding; got function"):
        categorical(3, encoding=nets.scaled)
    with pytest.raises(ValueError, match="law must be affine.* or additive.* for a Gaussian; got"):
        gaussian(mixture_logistic_cdf()).dist(jnp.zeros(26))
    pixels = discretized_logistic(4, channels=3)
    with pytest.raises(ValueError, match=r"shape must end with 3; got \(2, 2\)"):
        factorised(nets.mlp(2, 4, hidden=()), pixels, (2, 2))
    with pytest.raises(ValueError, match="of 3 channels together, and x has 4 entries"):
        pixels.outputs(4)
    with pytest.raises(ValueError, match="must be that of one entry, not of 3 channels; build it"):
        autoregressive.made(6, pixels, hidden=(6,))
    with pytest.raises(ValueError, match="conditional must be a Conditional.*Call it first"):
        factorised(nets.mlp(2, 4, hidden=()), bernoulli, 4)
