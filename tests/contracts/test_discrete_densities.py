"""The laws of a discrete density: it sums to one, and draws from itself, fast or slow alike.

Every constructor in `DENSITIES` is taken away from its start and held to them over all states.
"""

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.autoregressive import (
    density,
    gated_pixelcnn,
    image_gpt,
    made,
    markov,
    pixelcnn,
    pixelcnn_pp,
    pixelsnail,
    rnn,
    table,
    transformer,
    wavenet,
)
from dgm_jax.likelihoods import bernoulli, categorical, discretized_logistic
from dgm_jax.nets import scaled
from dgm_jax.nets.causal.stepwise import stepwise
from dgm_jax.protocol import Density
from tests.contracts.compiled import jit
from tests.nets.causal.test_stepwise import Columns, Rows

COND = 2
SHUFFLED = [2, 0, 1]


class Case(NamedTuple):
    make: Callable[..., Density]  # make(inverse="naive") samples by the definition, if it is slow
    dim: int
    num_levels: int
    cond_shape: tuple[int, ...] | None = None
    slow: bool = True  # whether inverse="naive" is another sampler to compare with
    order: tuple[int, ...] | None = None  # None: of no one order
    shape: tuple[int, ...] | None = None  # of an event; None: [dim]
    window: int | None = None  # how many before it a coordinate sees; None: all


def bits(**own):
    return lambda **options: made(4, bernoulli(), hidden=(7, 6), **own, **options)


def three(**own):
    return lambda **options: made(3, categorical(3), hidden=(7, 6), **own, **options)


def five(**own):
    conditional = discretized_logistic(5, num_components=2)
    return lambda **options: made(3, conditional, hidden=(7,), **own, **options)


def of_net(net, conditional, shape, order=None, **options):
    """The density of a causal net; with inverse="naive", of its definition."""

    def make(inverse=None):
        how = net
        if inverse == "naive":
            how = nets.naive(net.init, net.apply, int(np.prod(shape)), order, levels=True)
        return density(how, conditional, shape, **options)

    return make


def sequence(make, dim, conditional, cond_shape=None, **own):
    """A density of sequences; with inverse="naive", that of the definition of its net."""
    net = getattr(nets, make.__name__)(
        dim,
        num_outputs=conditional.num_params,
        encoding=conditional.encoding,
        cond_shape=cond_shape,
        **own,
    )
    naive = of_net(net, conditional, dim, own.get("order"), cond_shape=cond_shape)

    def either(inverse=None):
        return naive(inverse) if inverse else make(dim, conditional, cond_shape=cond_shape, **own)

    return either


def image(make, shape, conditional, cond_shape=None, **own):
    """A density of small images; with inverse="naive", that of the definition of its net."""
    own = {"hidden": 3, "num_layers": 1} | own
    head = conditional.head(shape[2]) if conditional.head and shape[2] > 1 else None
    net = getattr(nets, make.__name__)(
        shape,
        num_outputs=conditional.num_params,
        encoding=conditional.encoding,
        cond_shape=cond_shape,
        head=head,
        **own,
    )
    naive = of_net(net, conditional, shape, cond_shape=cond_shape)

    def either(inverse=None):
        return naive(inverse) if inverse else make(shape, conditional, cond_shape=cond_shape, **own)

    return either


def gpt(inverse=None):
    """Pixels in another order, channels of one together."""
    if not inverse:
        return image_gpt((2, 1, 2), bernoulli(), **SMALL, num_layers=1, order=(1, 0))
    order, options = (2, 3, 0, 1), {"num_outputs": 1, "encoding": bernoulli().encoding}
    net = nets.transformer(4, **SMALL, num_layers=1, order=order, **options)
    return of_net(net, bernoulli(), (2, 1, 2), order)(inverse)


def rotary_gpt(inverse=None):
    """Places by rows and columns."""
    own = SMALL | {"num_layers": 1, "positions": "rotary"}
    if not inverse:
        return image_gpt((2, 2, 1), bernoulli(), **own)
    net = nets.transformer(4, grid=(2, 2), num_outputs=1, encoding=bernoulli().encoding, **own)
    return of_net(net, bernoulli(), (2, 2, 1))(inverse)


BITS, THREE = (0, 1, 2, 3), (0, 1, 2)
SMALL = {"hidden": 8, "num_heads": 2}
DENSITIES = {
    "bernoulli": Case(bits(), 4, 2, order=BITS),
    "bernoulli, narrow": Case(
        lambda **o: made(4, bernoulli(), hidden=(2,), order=[3, 0, 2, 1], **o),
        4,
        2,
        order=(3, 0, 2, 1),
    ),
    "bernoulli, conditional": Case(bits(cond_shape=(COND,)), 4, 2, COND, order=BITS),
    "bernoulli, masks": Case(bits(num_masks=3), 4, 2),
    "bernoulli, masks, conditional": Case(bits(num_masks=3, cond_shape=(COND,)), 4, 2, COND),
    "categorical": Case(three(), 3, 3, order=THREE),
    "categorical, of numbers": Case(
        lambda **o: made(3, categorical(3, encoding=scaled(3)), hidden=(7, 6), **o),
        3,
        3,
        order=THREE,
    ),
    "categorical, ordered": Case(three(order=SHUFFLED), 3, 3, order=(2, 0, 1)),
    "categorical, narrow": Case(
        lambda **o: made(3, categorical(3), hidden=(1,), order=SHUFFLED, **o),
        3,
        3,
        order=(2, 0, 1),
    ),
    "categorical, residual": Case(
        lambda **o: made(3, categorical(3), hidden=(6,) * 3, residual=True, **o),
        3,
        3,
        order=THREE,
    ),
    "categorical, conditional": Case(three(cond_shape=(COND,)), 3, 3, COND, order=THREE),
    "categorical, masks": Case(three(num_masks=3), 3, 3),
    "categorical, masks of one order": Case(
        three(num_masks=3, agnostic_to=["connectivity"], roaming=0.5, order=SHUFFLED), 3, 3
    ),
    "categorical, residual masks": Case(
        lambda **o: made(3, categorical(3), hidden=(6,) * 3, residual=True, num_masks=2, **o),
        3,
        3,
    ),
    "discretized": Case(five(), 3, 5, order=THREE),
    "discretized, conditional": Case(five(cond_shape=(COND,)), 3, 5, COND, order=THREE),
    "discretized, masks": Case(five(num_masks=2), 3, 5),
    "stepwise, rows and channels": Case(
        of_net(
            stepwise(Columns(6), (2, 1, 2), num_outputs=3, encoding=nets.one_hot(3), rows=Rows()),
            categorical(3),
            (2, 1, 2),
        ),
        4,
        3,
        order=BITS,
        shape=(2, 1, 2),
    ),
    "markov": Case(
        sequence(markov, 4, categorical(3), window=2, hidden=(6,)), 4, 3, order=BITS, window=2
    ),
    "markov, conditional": Case(
        sequence(markov, 4, bernoulli(), COND, window=1, hidden=(6, 5)),
        4,
        2,
        COND,
        order=BITS,
        window=1,
    ),
    "rnn": Case(sequence(rnn, 4, categorical(3), hidden=4), 4, 3, order=BITS),
    "rnn, lstm, conditional": Case(
        sequence(rnn, 3, discretized_logistic(5, num_components=2), COND, hidden=4, cell="lstm"),
        3,
        5,
        COND,
        order=THREE,
    ),
    "rnn, two layers": Case(
        sequence(rnn, 4, bernoulli(), hidden=5, num_layers=2), 4, 2, order=BITS
    ),
    "wavenet": Case(
        sequence(wavenet, 4, categorical(3), hidden=3, dilations=(1, 1)),
        4,
        3,
        order=BITS,
        window=3,
    ),
    "wavenet, conditional": Case(
        sequence(wavenet, 4, bernoulli(), COND, hidden=3, dilations=(1, 2), skip=4),
        4,
        2,
        COND,
        order=BITS,
    ),
    "wavenet, discretized, three taps": Case(
        sequence(
            wavenet,
            3,
            discretized_logistic(5, num_components=2),
            hidden=3,
            dilations=(1,),
            kernel_size=3,
        ),
        3,
        5,
        order=THREE,
    ),
    "pixelcnn": Case(image(pixelcnn, (2, 2, 1), bernoulli()), 4, 2, order=BITS, shape=(2, 2, 1)),
    "pixelcnn, channels, conditional": Case(
        image(pixelcnn, (1, 2, 2), categorical(3), COND), 4, 3, COND, order=BITS, shape=(1, 2, 2)
    ),
    "gated pixelcnn": Case(
        image(gated_pixelcnn, (3, 1, 1), categorical(3), num_layers=2),
        3,
        3,
        order=THREE,
        shape=(3, 1, 1),
    ),
    "gated pixelcnn, conditional": Case(
        image(gated_pixelcnn, (2, 2, 1), bernoulli(), COND, num_layers=2),
        4,
        2,
        COND,
        order=BITS,
        shape=(2, 2, 1),
    ),
    "pixelcnn++, three channels": Case(
        image(pixelcnn_pp, (1, 1, 3), discretized_logistic(3, num_components=2)),
        3,
        3,
        order=THREE,
        shape=(1, 1, 3),
    ),
    "pixelcnn++, rows and channels, conditional": Case(
        image(pixelcnn_pp, (2, 1, 2), discretized_logistic(3, num_components=2), COND),
        4,
        3,
        COND,
        order=BITS,
        shape=(2, 1, 2),
    ),
    "pixelsnail": Case(
        image(pixelsnail, (2, 2, 1), bernoulli(), num_convs=1), 4, 2, order=BITS, shape=(2, 2, 1)
    ),
    "pixelsnail, channels, conditional": Case(
        image(pixelsnail, (1, 2, 2), bernoulli(), COND, num_convs=1),
        4,
        2,
        COND,
        order=BITS,
        shape=(1, 2, 2),
    ),
    "transformer": Case(
        sequence(transformer, 4, categorical(3), **SMALL, num_layers=2), 4, 3, order=BITS
    ),
    "transformer, ordered, conditional": Case(
        sequence(transformer, 4, bernoulli(), COND, **SMALL, num_layers=1, order=(2, 0, 3, 1)),
        4,
        2,
        COND,
        order=(2, 0, 3, 1),
    ),
    "transformer, rotary, window": Case(
        sequence(
            transformer, 4, categorical(3), **SMALL, num_layers=1, positions="rotary", window=2
        ),
        4,
        3,
        order=BITS,
        window=2,
    ),
    "transformer, windows in blocks, conditional": Case(
        sequence(
            transformer, 4, bernoulli(), COND, **SMALL, num_layers=2, positions="rotary", window=1
        ),
        4,
        2,
        COND,
        order=BITS,
        window=1,
    ),
    "image gpt, rotary": Case(rotary_gpt, 4, 2, order=BITS, shape=(2, 2, 1)),
    "image gpt, ordered": Case(gpt, 4, 2, order=(2, 3, 0, 1), shape=(2, 1, 2)),
    "table, independent": Case(
        lambda: table(4, num_levels=3, window=0), 4, 3, slow=False, order=BITS, window=0
    ),
    "table, Markov": Case(
        lambda: table(4, num_levels=3, window=2), 4, 3, slow=False, order=BITS, window=2
    ),
    "table, homogeneous": Case(
        lambda: table(4, num_levels=3, window=1, shared=True),
        4,
        3,
        slow=False,
        order=BITS,
        window=1,
    ),
    "table, full": Case(lambda: table(3, num_levels=3, window=2), 3, 3, slow=False, order=THREE),
}
everywhere = pytest.mark.parametrize("name", DENSITIES)
ORDERED = pytest.mark.parametrize("name", [n for n in DENSITIES if DENSITIES[n].order])


@cache
def built(name):
    """The model, parameters N(0, 0.7²) drawn on the host, and two conditions [2, c]."""
    case = DENSITIES[name]
    model = case.make()
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.7, a.shape), a.dtype), shapes)
    return model, params, np.float32([[0.6, -0.8], [2.0, 1.0]]) if case.cond_shape else None


def batched(name, rows):
    """Rows [n, ..., d] as [n, *event], or [n, 2, *event] for two conditions."""
    case = DENSITIES[name]
    rows = np.asarray(rows, np.int32).reshape(-1, *event(case))
    return np.stack([rows, rows], 1) if case.cond_shape else rows


def states(name):
    """All of them, [K^d, *event], or for two conditions [K^d, 2, *event]."""
    case = DENSITIES[name]
    return batched(name, list(product(range(case.num_levels), repeat=case.dim)))


def event(case):
    return case.shape or (case.dim,)


def sharpened(dist, name, key):
    """Draws of a sharper density; of those of one order, completions of rows, each with gaps."""
    case = DENSITIES[name]
    sharp = dist.sharpened(temperature=0.6, top_k=2)
    if case.order is None:  # an ensemble completes nothing
        return sharp.sample(seed=key, sample_shape=300)
    return sharp.complete(*to_complete(name), seed=key)


def to_complete(name):
    """Rows, and which of their entries are given."""
    case = DENSITIES[name]
    rng = np.random.default_rng(0)
    shape = (300, *([2] if case.cond_shape else []), *event(case))
    return rng.integers(0, case.num_levels, shape), rng.random(shape) < 0.5


class Run(NamedTuple):
    x: np.ndarray  # 20000 samples, [n, *event] or [n, 2, *event]
    log_prob: np.ndarray  # as told with them
    again: np.ndarray  # as log_prob gives it
    log_p: np.ndarray  # of all states
    outside: np.ndarray  # log p of rows with a number that is no level
    sharp: np.ndarray  # draws or completions


@cache
def compiled(name):
    """All that a model says, compiled once: rows of all kinds are scored in one pass."""
    model, _, cond = built(name)
    case = DENSITIES[name]
    outside = np.zeros((2, case.dim), int)
    outside[:, 1] = -1, case.num_levels
    fixed_rows = np.concatenate([states(name), batched(name, outside)])

    @jit
    def run(params, key):
        draw_key, sharp_key = jax.random.split(key)
        dist = model.dist(params, cond)
        x, log_prob = dist.sample_and_log_prob(seed=draw_key, sample_shape=20_000)
        scores = dist.log_prob(jnp.concatenate([fixed_rows, x]))
        log_p, none, again = jnp.split(scores, [len(fixed_rows) - 2, len(fixed_rows)])
        return Run(x, log_prob, again, log_p, none, sharpened(dist, name, sharp_key))

    return lambda params: Run(*map(np.asarray, run(params, jax.random.key(1))))


@cache
def scored_and_drawn(name):
    return compiled(name)(built(name)[1])


@everywhere
def test_it_sums_to_one_over_all_states(name):
    p = np.exp(np.float64(scored_and_drawn(name).log_p))
    np.testing.assert_allclose(p.sum(0), 1, atol=1e-5)
    assert (p.max(0) > 1.5 / len(p)).all()  # far from uniform


@everywhere
def test_each_state_is_drawn_as_often_as_its_probability(name):
    case, run = DENSITIES[name], scored_and_drawn(name)
    assert run.x.dtype == np.int32
    assert run.x.shape == (20_000, *([2] if case.cond_shape else []), *event(case))
    assert run.log_prob.shape == run.x.shape[: run.x.ndim - len(event(case))]
    np.testing.assert_allclose(run.log_prob, run.again, rtol=1e-4, atol=1e-4)
    n = len(run.x)
    index = run.x.reshape(n, -1, case.dim) @ case.num_levels ** np.arange(case.dim)[::-1]
    for i, log_p in enumerate(np.float64(run.log_p).reshape(case.num_levels**case.dim, -1).T):
        p, got = np.exp(log_p), np.bincount(index[:, i], minlength=len(log_p)) / n
        assert (np.abs(got - p) < 4.5 * np.sqrt(p / n) + 1e-4).all()


@everywhere
def test_samples_that_make_each_unit_once_are_those_of_d_passes(name):
    """The same key, the same levels, all of them, from `sample` as with their densities.

    So it is for a sharpened density, and for the completion of rows that each have other gaps.
    """
    _, params, cond = built(name)
    case, fast = DENSITIES[name], scored_and_drawn(name)
    model = case.make(inverse="naive") if case.slow else case.make()

    @jit
    def run(params, key):
        draw_key, sharp_key = jax.random.split(key)
        dist = model.dist(params, cond)
        x = dist.sample(seed=draw_key, sample_shape=20_000)
        return x, sharpened(dist, name, sharp_key)

    x, sharp = run(params, jax.random.key(1))
    np.testing.assert_array_equal(fast.x, x)
    np.testing.assert_array_equal(fast.sharp, sharp)
    if case.order is not None:
        rows, given = to_complete(name)
        np.testing.assert_array_equal(fast.sharp[given], rows[given])


@ORDERED
def test_a_conditional_sees_all_that_is_made_before_it_and_nothing_else(name):
    """Change one coordinate; exactly the later ones in the order answer."""
    model, params, cond = built(name)
    case = DENSITIES[name]
    window = case.dim if case.window is None else case.window
    x = np.array(list(product(range(case.num_levels), repeat=case.dim)))
    logits = jit(lambda x: model.dist(params, cond).conditionals(x).logits)

    def conditionals(x):
        rows = batched(name, x)
        return np.asarray(logits(rows)).reshape(rows.size // case.dim, case.dim, -1)

    before = conditionals(x)
    for i in range(case.dim):
        other = x.copy()
        other[:, i] = (x[:, i] + 1) % case.num_levels
        moves = (np.abs(conditionals(other) - before) > 1e-7).any((0, -1))
        rank = np.argsort(case.order)
        np.testing.assert_array_equal(moves, (rank > rank[i]) & (rank <= rank[i] + window))


@everywhere
def test_batch_and_event_shapes(name):
    """Conditions [4, c] make a batch of four densities; nothing is compiled."""
    case = DENSITIES[name]
    model, params, _ = built(name)
    batch = (4,) if case.cond_shape else ()
    cond = jnp.zeros((4, COND)) if case.cond_shape else None
    dist = model.dist(params, cond)
    assert dist.batch_shape == batch and dist.event_shape == event(case)
    assert dist.dtype == jnp.int32
    for shape in [(), (2, 3)]:  # of a number of samples: in what is compiled

        def draw(key, shape=shape):
            return model.dist(params, cond).sample_and_log_prob(seed=key, sample_shape=shape)

        x, log_prob = jax.eval_shape(draw, jax.random.key(0))
        assert x.shape == (*shape, *batch, *event(case)) and log_prob.shape == (*shape, *batch)


@everywhere
def test_what_nan_parameters_draw_is_no_level(name):
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, np.nan, leaf.dtype), built(name)[1])
    np.testing.assert_array_equal(compiled(name)(params).x, -1)


@everywhere
def test_a_batch_may_be_empty_and_a_condition_of_another_dtype(name):
    model, params, cond = built(name)
    dist = model.dist(params, None if cond is None else cond.astype(jnp.float16))
    none = batched(name, [])
    assert jax.eval_shape(dist.log_prob, none).shape == ((0,) if cond is None else (0, 2))
    x = jax.eval_shape(lambda key: dist.sample(seed=key, sample_shape=0), jax.random.key(0))
    assert x.shape == none.shape


@everywhere
def test_numbers_that_are_no_levels_are_refused_or_impossible(name):
    model, params, cond = built(name)
    case = DENSITIES[name]
    np.testing.assert_array_equal(scored_and_drawn(name).outside, -np.inf)
    dist = model.dist(params, cond)
    with pytest.raises(ValueError, match=r"x must be levels, integers in 0\.\..*; got float32"):
        jax.eval_shape(dist.log_prob, jnp.full(event(case), 0.5))
    wanted = ", ".join(map(str, event(case)))
    with pytest.raises(ValueError, match=rf"x must have shape \[\.\.\., {wanted}\]"):
        jax.eval_shape(dist.log_prob, jnp.zeros(case.dim + 1, jnp.int32))
    with pytest.raises(TypeError, match="seed must be a typed key"):
        jax.eval_shape(lambda: dist.sample(seed=0))


@everywhere
def test_a_gradient_reaches_every_parameter(name):
    model, params, cond = built(name)
    grads = jit(jax.grad(lambda p: model.dist(p, cond).log_prob(states(name)).sum()))(params)
    for leaf in map(np.asarray, jax.tree.leaves(grads)):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0
