"""One body, two views of time: a step at a time is all steps at once, and nothing looks ahead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.measure.flops import products
from dgm_jax.nets import naive, one_hot
from dgm_jax.nets.adapter import linen
from dgm_jax.nets.causal.channels import Head
from dgm_jax.nets.causal.conditions import of_condition
from dgm_jax.nets.causal.stepwise import stepwise
from tests.contracts.compiled import jit
from tests.nets.causal.laws import few

STEPS = 7


class Convolution(linen.Module):
    """Two layers of taps, unevenly spaced."""

    size: int

    @linen.compact
    def __call__(self, view, u, cond):
        h = jnp.tanh(linen.Dense(4)(jnp.concatenate(view.past(u, (0, 1)), -1)))
        if cond is not None:
            h = h + of_condition(view, cond, 4)
        h = jnp.tanh(linen.Dense(4)(jnp.concatenate([h, *view.past(h, (3, 1))], -1)))
        return linen.Dense(self.size)(h)


class Attention(linen.Module):
    size: int
    num_steps: int
    window: int | None = None

    @linen.compact
    def __call__(self, view, u, cond):
        normal = linen.initializers.normal(1.0)
        h = linen.Dense(4)(u) + view.along(self.param("position", normal, (self.num_steps, 4)))
        q, k, v = (linen.Dense(4)(h).reshape(*h.shape[:-1], 2, 2) for _ in range(3))
        y = view.attend(q, k, v, window=self.window)
        return linen.Dense(self.size)(h + y.reshape(h.shape))


class Recurrence(linen.Module):
    size: int

    @linen.compact
    def __call__(self, view, u, cond):
        w = self.param("recurrent", linen.initializers.normal(1.0), (4, 4))

        def cell(h, a):
            h = jnp.tanh(a + h @ w)
            return h, h

        start = jnp.zeros((u.shape[0], 4), u.dtype)
        return linen.Dense(self.size)(view.recur(cell, start, linen.Dense(4)(u)))


class Rows(linen.Module):
    """Each row of the rows before it, columns to both sides."""

    @linen.compact
    def __call__(self, view, u, cond):
        h = linen.Dense(3)(u) + of_condition(view, cond, 3)
        taps = [jnp.roll(a, s, -2) for a in view.past(h, (0, 1)) for s in (-1, 0, 1)]
        return h, jnp.tanh(linen.Dense(3)(jnp.concatenate(taps, -1)))


class Columns(linen.Module):
    size: int

    @linen.compact
    def __call__(self, view, u, cond, *features):
        h = jnp.concatenate([*view.past(u, (0, 1)), *features], -1)
        h = linen.Dense(5)(h) + of_condition(view, cond, 5)
        return linen.Dense(self.size)(jnp.tanh(h))


def tied(h, x):
    """f_c = h + c Σ_{b<c} x_b"""
    before = jnp.cumsum(x, -1) - x
    return h[..., None, :] + before[..., None] * jnp.arange(3.0)[:, None]


LINE = (1, STEPS, 1)
NETS = {
    "convolution": (LINE, Convolution(3), {}),
    "convolution, conditional": (LINE, Convolution(3), {"cond_shape": (2,)}),
    "attention": (LINE, Attention(3, STEPS), {}),
    "attention, window": (LINE, Attention(3, STEPS, 3), {}),
    "attention, order": (LINE, Attention(3, STEPS), {"order": [3, 0, 6, 1, 5, 2, 4]}),
    "recurrence": (LINE, Recurrence(3), {}),
    "channels": ((2, 2, 3), Recurrence(9), {}),
    "channels, order": ((2, 2, 3), Recurrence(9), {"order": [2, 0, 3, 1]}),
    "channels, a head of its own": ((2, 2, 3), Recurrence(3), {"head": Head(3, tied)}),
    "rows": ((3, 4, 1), Columns(3), {"rows": Rows()}),
    "rows and channels": ((2, 3, 2), Columns(6), {"rows": Rows()}),
    "a condition a step": (LINE, Convolution(3), {"cond_shape": (STEPS, 2)}),
    "a map, order": ((2, 2, 3), Convolution(9), {"cond_shape": (2, 2, 2), "order": [2, 0, 3, 1]}),
    "a map, rows": ((3, 4, 1), Columns(3), {"rows": Rows(), "cond_shape": (3, 4, 2)}),
}
CHOSEN = [  # each body, and what changes the order, the inputs or the conditions of one
    "attention, window",
    "attention, order",
    "channels, a head of its own",
    "rows and channels",
    "a condition a step",
    "a map, order",
    "a map, rows",
]


def built(name, *, levels):
    """The net, parameters N(0, 0.7²) drawn on the host, conditions or None, the order."""
    shape, body, options = NETS[name]
    net = stepwise(body, shape, num_outputs=3, encoding=one_hot(3) if levels else None, **options)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.7, a.shape), a.dtype), shapes)
    cond = None
    if "cond_shape" in options:
        cond = jnp.asarray(rng.normal(size=(2, *options["cond_shape"])), jnp.float32)
    pixels = np.asarray(options.get("order", range(shape[0] * shape[1])))
    order = (pixels[:, None] * shape[2] + np.arange(shape[2])).ravel()
    return net, params, cond, order


OF_LEVELS = ["convolution", "attention, order", "channels, order", "rows and channels"]


@pytest.mark.parametrize(
    "name, levels",
    [(name, False) for name in CHOSEN]
    + [(name, True) for name in OF_LEVELS if "channels" in name]
    + [pytest.param(name, False, marks=pytest.mark.full) for name in NETS if name not in CHOSEN]
    + [pytest.param(name, True, marks=pytest.mark.full) for name in OF_LEVELS[:2]],
)
def test_a_step_at_a_time_is_all_steps_at_once(name, levels):
    """x and f of the unroll are those of the definition, d passes, and f those of a pass over x."""
    net, params, cond, order = built(name, levels=levels)
    slow = naive(net.init, net.apply, len(order), order, levels=levels)

    def emit(i, f):
        key = jax.random.fold_in(jax.random.key(5), i)
        if levels:
            return jax.random.categorical(key, f)
        return jnp.tanh(f.sum(-1)) + jax.random.normal(key, f.shape[:-1])

    @jit
    def run(params):
        one, definition = (n.unroll(params, emit, (3, 2), cond)[:2] for n in (net, slow))
        return one, definition, net.apply(params, one[0], cond)

    (x, f), (x_slow, f_slow), f_pass = run(params)
    assert x.shape == (3, 2, len(order)) and x.dtype == (jnp.int32 if levels else jnp.float32)
    np.testing.assert_allclose(x, x_slow, atol=0 if levels else 1e-5)
    np.testing.assert_allclose(f, f_slow, atol=1e-5)
    np.testing.assert_allclose(f, f_pass, atol=1e-5)


@pytest.mark.parametrize("name", few(NETS, *CHOSEN))
def test_nothing_looks_ahead_and_the_next_output_sees_each_input(name):
    """The Jacobian, for numbers: zero at and above the diagonal in the order, alive below it."""
    net, params, cond, order = built(name, levels=False)
    x = jnp.asarray(np.random.default_rng(1).normal(size=len(order)), jnp.float32)
    cond = None if cond is None else cond[0]
    jacobian = jit(jax.jacfwd(lambda x: net.apply(params, x, cond)))(x)
    moves = np.abs(np.asarray(jacobian)).max(1)[order][:, order]
    assert (np.triu(moves) == 0).all()
    assert (np.diag(moves, -1) > 0).all()


@pytest.mark.parametrize("name", ["convolution", "recurrence", "rows"])
def test_all_steps_one_by_one_cost_the_products_of_one_pass(name):
    net, params, cond, order = built(name, levels=True)
    x = jnp.zeros((5, len(order)), jnp.int32)
    together = products(lambda p, x: net.apply(p, x, cond), params, x)
    alone = products(lambda p: net.unroll(p, lambda i, f: jnp.argmax(f, -1), (5,), cond)[0], params)
    assert together == alone > 0


PICTURE = {"hidden": 8, "num_layers": 1}
FAMILIES = {
    "markov": (nets.markov, 12, {"window": 3, "hidden": (8,)}),
    "gru": (nets.rnn, 12, {"hidden": 8, "num_layers": 2}),
    "lstm": (nets.rnn, 12, {"hidden": 8, "cell": "lstm"}),
    "wavenet": (nets.wavenet, 12, {"hidden": 8, "dilations": (1, 2, 4)}),
    "transformer": (nets.transformer, 12, PICTURE | {"num_heads": 2}),
    "pixelcnn": (nets.pixelcnn, (3, 4, 1), PICTURE),
    "gated_pixelcnn": (nets.gated_pixelcnn, (3, 4, 1), PICTURE),
    "pixelcnn_pp": (nets.pixelcnn_pp, (3, 4, 1), PICTURE),
    "pixelcnn_pp, channels": (nets.pixelcnn_pp, (3, 2, 2), PICTURE),
    "pixelsnail": (nets.pixelsnail, (3, 4, 1), PICTURE),
}


def test_each_channel_of_a_sample_is_made_by_its_own_product():
    """Of 3 channels of many levels, whose products are most of a pass."""
    net = nets.pixelcnn((2, 2, 3), hidden=4, num_layers=1, num_outputs=64, encoding=one_hot(64))
    params = jax.eval_shape(net.init, jax.random.key(0))
    together = products(net.apply, params, jnp.zeros((5, 12), jnp.int32))
    alone = products(lambda p: net.unroll(p, lambda i, f: jnp.argmax(f, -1), (5,))[0], params)
    assert 0 < alone <= together


@pytest.mark.parametrize(
    "name", few(FAMILIES, "lstm", "wavenet", "transformer", "pixelcnn_pp, channels", "pixelsnail")
)
def test_the_product_of_a_wide_condition_is_made_once_and_not_at_each_step(name):
    """A sample costs no more than 1.1 density passes, and what a condition adds to both is one."""
    make, shape, own = FAMILIES[name]

    def costs(cond_shape):
        net = make(shape, num_outputs=3, encoding=one_hot(3), cond_shape=cond_shape, **own)
        params = jax.eval_shape(net.init, jax.random.key(0))
        x, cond = jnp.zeros((5, 12), jnp.int32), jnp.zeros((5, *cond_shape)) if cond_shape else None
        together = products(net.apply, params, x, cond)
        emit = lambda i, f: jnp.argmax(f, -1)
        alone = products(lambda p, c: net.unroll(p, emit, (5,), c)[0], params, cond)
        return np.array([together, alone])

    together, alone = with_condition = costs((200,))
    assert 0 < alone <= 1.1 * together
    by_pass, by_sample = with_condition - costs(None)
    assert by_sample == by_pass > 0


def test_the_step_that_makes_a_pixel_is_given_the_condition_of_that_pixel_and_of_no_later_one():
    """By the Jacobian of outputs by the map, in the order in which pixels are made."""
    for name in ("a condition a step", "a map, order"):
        net, params, cond, order = built(name, levels=False)
        channels = NETS[name][0][2]
        x = jnp.asarray(np.random.default_rng(1).normal(size=len(order)), jnp.float32)
        jacobian = jit(jax.jacfwd(lambda c: net.apply(params, x, c)))(cond[0])
        pixels = order[::channels] // channels
        moves = np.abs(np.asarray(jacobian)).reshape(len(pixels), -1, len(pixels), 2).max((1, 3))
        moves = moves[pixels][:, pixels]
        assert (np.triu(moves, 1) == 0).all()
        assert (np.diag(moves) > 0).all()


def test_a_map_of_another_size_than_the_picture_is_refused():
    for shape, cond_shape in [((2, 3, 1), (3, 2, 4)), (LINE, (STEPS + 1, 2)), ((2, 3, 1), (6, 2))]:
        with pytest.raises(ValueError, match=r"cond_shape must be \(n,\), .*one for each; got"):
            stepwise(Columns(3), shape, num_outputs=3, cond_shape=cond_shape)


def test_rows_and_orders_exclude_each_other():
    with pytest.raises(ValueError, match="order must be None, the raster"):
        stepwise(Columns(3), (2, 2, 1), num_outputs=3, rows=Rows(), order=[1, 0, 2, 3])
