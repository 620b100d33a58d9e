"""What any flow or density should survive: arguments of other kinds, and transformations.

By default a few cases stand for all, and what can be seen by tracing is not compiled. With all of
them, and in float64: -m full.
"""

from functools import cache
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, data, flows
from dgm_jax.combinators import adapt, pushforward
from dgm_jax.distributions import standard_normal, uniform_noise
from dgm_jax.likelihoods import (
    bernoulli,
    categorical,
    discretized_logistic,
    factorised,
    gaussian,
    mixture,
)
from dgm_jax.nets import mlp
from tests.contracts import test_densities, test_levels
from tests.contracts.cases import WAYS, normal_points, parametrize, quickly
from tests.contracts.test_flows import BY_DEFAULT, FLOWS, both_ways, built, close, tolerance

NONE_OF = ("maf, conditional", "coupling, spline", "sylvester", "flow++, conditional")


def family(module, cases, event, by_default):
    return {
        name: (module, event, case._replace(full=name not in by_default))
        for name, case in cases.items()
    }


# A flow, an ensemble, a net that is walked in steps, and a table stand for all by default.
DENSITIES = {
    **family(
        test_densities,
        {name: test_densities.DENSITIES[name] for name in test_densities.OURS},
        lambda case: np.zeros(case.dim, np.float32),
        ("maf, conditional",),
    ),
    **family(
        test_levels,
        test_levels.LEVELS,
        lambda case: np.zeros(case.shape, np.int32),
        ("bernoulli, masks, conditional", "transformer, ordered, conditional", "table, Markov"),
    ),
}


def parametrized(by_default):
    """A test of every density; those by default, and the others with -m full."""
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=[] if name in by_default else [pytest.mark.full])
            for name in DENSITIES
        ],
    )


densities = parametrized({name for name, (_, _, case) in DENSITIES.items() if not case.full})


def of_density(name):
    """The model, its parameters, a condition, and one event."""
    module, event, case = DENSITIES[name]
    return *module.built(name), event(case)


def told(dist, x, key):
    """All that a density is asked, also at a batch of events where there is no other batch."""
    many = jnp.stack([x] * 5) if dist.batch_shape == () else x
    drawn = dist.sample_and_log_prob(seed=key, sample_shape=(5,))
    return dist.log_prob(x), dist.log_prob(many), drawn, dist.sample(seed=jax.random.clone(key))


# ------------------------------------------------------------------------- an argument of `jit`
@quickly(BY_DEFAULT)
def test_a_bijector_is_an_argument_of_jit(name, way):
    """Its parameters are leaves of it; what says which entries move is no leaf."""
    flow, params, points = built(name)

    @jax.jit
    def inner(t, z, x):
        return t.forward_and_log_det(z), t.inverse_and_log_det(x)

    def outer(params, z, x, cond):
        return inner(flow.bijector(params, cond), z, x)

    wanted = jax.eval_shape(both_ways(flow), params, *points)
    assert jax.eval_shape(outer, params, *points) == wanted


@densities
def test_a_distribution_is_an_argument_of_jit(name):
    model, params, cond, x = of_density(name)
    inner, key = jax.jit(told), jax.random.key(0)
    got = jax.eval_shape(lambda *at: inner(model.dist(*at), x, key), params, cond)
    assert got == jax.eval_shape(lambda *at: told(model.dist(*at), x, key), params, cond)


# ------------------------------------------------------------------------- comparison
def test_no_bijector_is_compared_by_the_text_of_its_program():
    """Also where it is in a distribution of distrax, which would find two of one text the same."""
    ours = [cls for cls in subclasses(distrax.Bijector) if cls.__module__.startswith("dgm_jax.")]
    assert len(ours) >= 16
    assert [cls.__name__ for cls in ours if cls.same_as is not checks.same_bijector] == []


@quickly(FLOWS)
def test_two_flows_of_one_architecture_are_not_taken_for_one(name, way):
    flow, params, points = built(name)
    base = standard_normal(BY_DEFAULT[name].dim).dist({})

    def of_two(params, cond):
        first, second = (flow.bijector(params, cond) for _ in range(2))
        p, q, other = (distrax.Transformed(base, t) for t in (first, first, second))
        if second is not first:  # one that is fixed is
            with pytest.raises(checks.InputError, match="no closed form here.*mean_log_ratio"):
                p.kl_divergence(other)
        return p.kl_divergence(q)

    assert jax.eval_shape(of_two, params, points.cond).shape == ()


def subclasses(cls):
    return {cls, *(below for own in cls.__subclasses__() for below in subclasses(own))}


# ------------------------------------------------------------------------- parameters of numpy
@quickly(BY_DEFAULT)
def test_parameters_and_points_of_numpy_do_outside_of_jit(name, way):
    """Nothing is an argument, so loops and all meet the arrays as they are."""
    flow, params, (z, x, cond) = built(name)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves((params, z, x, cond)))
    got = jax.eval_shape(lambda: both_ways(flow)(params, z, x, cond))
    assert got == jax.eval_shape(both_ways(flow), params, z, x, cond)


@densities
def test_parameters_of_numpy_do_for_densities_outside_of_jit(name):
    model, params, cond, x = of_density(name)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves((params, x)))
    jax.eval_shape(lambda: told(model.dist(params, cond), x, jax.random.key(0)))


# ------------------------------------------------------------------------- nothing at all
@quickly({name: case._replace(full=name not in NONE_OF) for name, case in FLOWS.items()})
def test_a_batch_of_no_points_is_none(name, way):
    flow, params, points = built(name)
    z, x, cond = jax.tree.map(lambda a: a[:0, 0], points)
    dim = FLOWS[name].dim
    for value, log_det in jax.eval_shape(both_ways(flow), params, z, x, cond):
        assert value.shape == (0, dim) and log_det.shape == (0,)


@densities
def test_a_batch_of_no_events_is_none(name):
    model, params, cond, x = of_density(name)
    cond = None if cond is None else jnp.zeros((0, *model.cond_shape))

    def none(params, key):
        dist = model.dist(params, cond)
        drawn = dist.sample_and_log_prob(seed=key, sample_shape=(0,) if cond is None else ())
        return dist.log_prob(jnp.zeros((0, *x.shape), x.dtype)), drawn

    log_prob, (drawn, again) = jax.eval_shape(none, params, jax.random.key(0))
    assert log_prob.shape == again.shape == (0,) and drawn.shape == (0, *x.shape)


# ------------------------------------------------------------------------- ranks
def mean_of(outputs):
    floats = [a for a in jax.tree.leaves(outputs) if jnp.issubdtype(a.dtype, jnp.floating)]
    return sum(a.mean() for a in floats)


def raising(function, *args):
    with jax.numpy_rank_promotion("raise"):
        return jax.eval_shape(function, *args)


@quickly(BY_DEFAULT)
def test_no_array_takes_on_axes_of_another_in_a_flow(name, way):
    """With jax_numpy_rank_promotion="raise": values, and gradients where they are wanted here."""
    flow, params, points = built(name)
    raising(both_ways(flow), params, *points)
    if points.cond is not None:  # one point meets a batch of conditions, and one condition many
        raising(both_ways(flow), params, points.z[0, 0], points.x[0, 0], points.cond)
        raising(both_ways(flow), params, points.z, points.x, points.cond[0, 0])
    if BY_DEFAULT[name].gradients:
        grad = jax.grad(lambda *at: mean_of(both_ways(flow)(*at)), (0, 1, 2))
        raising(grad, params, *points)


@parametrized({"table, Markov"})
def test_no_array_takes_on_axes_of_another_in_a_density(name):
    model, params, cond, x = of_density(name)
    key = jax.random.key(0)
    raising(jax.grad(lambda p, c: mean_of(told(model.dist(p, c), x, key))), params, cond)


DECODERS = {
    "bits": bernoulli(),
    "levels": categorical(3),
    "grey levels": discretized_logistic(5),
    "numbers": gaussian(),
    "a mixture": mixture(2, kind="logistic"),
}


@pytest.mark.parametrize("name", DECODERS)
def test_no_array_takes_on_axes_of_another_in_a_decoder(name):
    """Of samples z [7, 5, 2], and of a batch of x for one z."""
    conditional = DECODERS[name]
    net = mlp(2, 4 * conditional.num_params, hidden=(3,))
    model = factorised(net, conditional, 4)
    params = jax.eval_shape(model.init, jax.random.key(0))
    x = np.zeros((5, 4), np.float32 if conditional.encoding is None else np.int32)

    def call(params, z, key):
        dist = model.dist(params, z)
        return dist.log_prob(x), dist.sample_and_log_prob(seed=key, sample_shape=3), dist.mean()

    for batch in ((7, 5), (5,), ()):
        raising(call, params, jnp.zeros((*batch, 2)), jax.random.key(0))


IMAGE = (4, 4, 1)
SMALL = {"hidden": 4, "num_blocks": 1}
IMAGES = {
    "glow": lambda **own: flows.glow(IMAGE, num_steps=2, **own),
    "realnvp": lambda **own: flows.realnvp_image(IMAGE, **own),
    "flow++": lambda **own: flows.flow_pp(IMAGE, num_couplings=(1, 1, 1), **own),
}


@pytest.mark.parametrize("name", [*IMAGES, *data.toy.TOYS, "noise", "uniform noise"])
@pytest.mark.full
def test_no_array_takes_on_axes_of_another_in_what_surrounds_a_model(name):
    """Initial values, those that follow from data, dropout, maps as conditions, toys, noise."""
    key, x, levels = jax.random.key(0), jnp.zeros((5, *IMAGE)), jnp.zeros((5, *IMAGE), int)

    def image():
        flow = IMAGES[name](cond_shape=(*IMAGE[:2], 2), dropout=0.5, **SMALL)
        model, cond = pushforward(flow, standard_normal(16)), jnp.zeros((5, *IMAGE[:2], 2))
        params = adapt(model, model.init(key), x, cond)
        return model.dist(params, cond, key=jax.random.key(1)).log_prob(x)

    def toy():
        toy = data.toy.TOYS[name]()
        return toy.log_prob(toy.sample(key, 5))

    def noise():
        model = flows.variational_noise(IMAGE, 4, **SMALL)
        model = model if name == "noise" else uniform_noise(IMAGE)
        dist = model.dist(model.init(key), levels)
        return dist.sample_and_log_prob(seed=jax.random.key(1)), dist.log_prob(x[0] + 0.5)

    raising(image if name in IMAGES else toy if name in data.toy.TOYS else noise)


# ------------------------------------------------------------------------- transformations
FAR = (1e2, 1e4, 1e8, 1e15)  # beyond these the squares of a float32 overflow within nets
COMPILED = {
    name: case._replace(full=name not in ("maf, conditional", "coupling, spline"))
    for name, case in BY_DEFAULT.items()
}


class Survived(NamedTuple):
    """What one program tells of a flow."""

    far: np.ndarray  # log p of points that are far away in all coordinates, in the first, the last
    of_nan: tuple  # log p, and T, of a point with one NaN
    products: tuple  # wᵀ (J v) and (Jᵀ w) v of T⁻¹ with its log-det by parameters and points
    scale: np.ndarray  # Σ |w (J v)|
    grads: tuple  # of the negative log-likelihood, and of the same with its values made again
    alone: tuple  # T of a point without a batch
    nothing: tuple  # of a batch of none


def far_points(dim, dtype):
    rows = np.full((len(FAR), 2, 3, dim), 0.3)
    for i, size in enumerate(FAR):
        for j, sign in enumerate((1, -1)):
            rows[i, j, 0], rows[i, j, 1, 0], rows[i, j, 2, -1] = (sign * size,) * 3
    return rows.reshape(-1, dim).astype(dtype)


def ones_of_signs(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.choice([-1, 1], np.shape(a)).astype(a.dtype), tree)


def transposed(function, args, seed):
    """Both products of the derivative of a function with vectors of signs, and their scale."""
    out, push = jax.linearize(function, *args)
    v, w = ones_of_signs(args, seed), ones_of_signs(jax.eval_shape(function, *args), seed + 1)
    moved, pulled = push(*v), jax.linear_transpose(push, *args)(w)

    def dot(a, b):
        return sum((x * y).sum() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))

    return (dot(w, moved), dot(pulled, v)), dot(jax.tree.map(jnp.abs, moved), jax.tree.map(abs, w))


@cache
def survived(name, way="quick"):
    flow, params, points = built(name, way)
    dim, dtype = COMPILED[name].dim, WAYS[way].dtype()
    far, nan = far_points(dim, dtype), np.full(dim, 0.3, dtype)
    nan[-1] = np.nan

    def run(params, far, nan, z, x, cond):
        dist = pushforward(flow, standard_normal(dim)).dist
        one = None if cond is None else cond[0]

        def log_prob(params, x, cond):
            return dist({"base": {}, "flow": params}, cond).log_prob(x)

        def loss(params):
            return -log_prob(params, x, cond).mean()

        def inverse(params, x):
            return flow.bijector(params, cond).inverse_and_log_det(x)

        bijector = flow.bijector(params, one)
        return Survived(
            log_prob(params, far, one),
            (log_prob(params, nan, one), bijector.forward(nan)),
            *transposed(inverse, (params, x), 0),
            (jax.grad(loss)(params), jax.grad(jax.checkpoint(loss))(params)),
            bijector.forward_and_log_det(z[0]),
            (*bijector.forward_and_log_det(z[:0]), *bijector.inverse_and_log_det(x[:0])),
        )

    with WAYS[way].precision():
        at = jax.tree.map(lambda a: a[:3, 0], points)
        return jax.device_get(WAYS[way].jit(run)(params, far, nan, *at))


compiled = parametrize(COMPILED, ways=("quick", "float64"))


@parametrize(
    COMPILED,
    lambda name, way: COMPILED[name].draw_x is normal_points,  # on all of space
    ways=("quick", "float64"),
)
def test_points_far_away_are_unlikely_and_a_nan_stays_visible(name, way):
    told = survived(name, way)
    assert not np.isnan(told.far).any() and (told.far < 0).all()
    for value in told.of_nan:
        assert np.isnan(value).any()


@compiled
def test_both_modes_of_the_derivative_of_the_inverse_are_one_map(name, way):
    """wᵀ (J v) = (Jᵀ w) v, by the parameters and the points, also of what is solved."""
    told = survived(name, way)
    forward, reverse = told.products
    assert np.isfinite(told.scale) and told.scale > 0
    assert abs(forward - reverse) <= tolerance(name, way, 10) * told.scale


@compiled
def test_values_that_are_made_again_give_the_same_gradient(name, way):
    kept, made_again = survived(name, way).grads
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(made_again), strict=True):
        assert np.abs(a - b).max() <= tolerance(name, way, 10) * (1 + np.abs(a).max())


@compiled
def test_a_point_without_a_batch_and_a_batch_of_no_points(name, way):
    told = survived(name, way)
    value, log_det = told.alone
    assert value.shape == (COMPILED[name].dim,) and log_det.shape == ()
    assert np.isfinite(value).all() and np.isfinite(log_det)
    assert [a.shape for a in told.nothing] == [(0, COMPILED[name].dim), (0,)] * 2


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in COMPILED if COMPILED[name].learned])
def test_a_step_that_overwrites_its_parameters_is_that_which_keeps_them(name):
    flow, params, points = built(name)
    at = jax.tree.map(lambda a: a[:3, 0], points)

    def step(params, z, x, cond):
        dist = pushforward(flow, standard_normal(COMPILED[name].dim)).dist

        def loss(params):
            return -dist({"base": {}, "flow": params}, cond).log_prob(x).mean()

        return jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params))

    kept = WAYS["quick"].jit(step)(params, *at)
    options = WAYS["quick"].options
    overwriting = jax.jit(step, compiler_options=options, donate_argnums=0)
    overwritten = overwriting(jax.tree.map(jnp.array, params), *at)
    jax.tree.map(lambda a, b: close(a, b, 1e-6), overwritten, kept)
