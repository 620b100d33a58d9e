"""What any flow or density should survive: arguments of other kinds, and transformations.

By default a few cases stand for all, and what can be seen by tracing is not compiled.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.contracts import test_densities, test_levels
from tests.contracts.cases import quickly
from tests.contracts.test_flows import BY_DEFAULT, both_ways, built


def family(module, cases, event, by_default):
    return {
        name: (module, event, case._replace(full=name not in by_default))
        for name, case in cases.items()
    }


# One of each kind of density, a flow of a density, an ensemble, a table, a net of each family.
DENSITIES = {
    **family(
        test_densities,
        {name: test_densities.DENSITIES[name] for name in test_densities.OURS},
        lambda case: np.zeros(case.dim, np.float32),
        ("maf, conditional", "mixture made, logistic", "a flow of a gaussian made"),
    ),
    **family(
        test_levels,
        test_levels.LEVELS,
        lambda case: np.zeros(case.shape, np.int32),
        (
            "bernoulli, masks, conditional",
            "discretized",
            "rnn, lstm, conditional",
            "transformer, ordered, conditional",
            "gated pixelcnn, conditional",
            "table, Markov",
        ),
    ),
}
densities = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.full] if case.full else [])
        for name, (_, _, case) in DENSITIES.items()
    ],
)


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
    if BY_DEFAULT[name].gradients:
        grad = jax.grad(lambda *at: mean_of(both_ways(flow)(*at)), (0, 1, 2))
        raising(grad, params, *points)


@densities
def test_no_array_takes_on_axes_of_another_in_a_density(name):
    model, params, cond, x = of_density(name)
    key = jax.random.key(0)
    raising(jax.grad(lambda p, c: mean_of(told(model.dist(p, c), x, key))), params, cond)
