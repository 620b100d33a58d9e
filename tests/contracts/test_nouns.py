"""What every case of a chapter promises as a noun: its condition, and keys. Nothing is compiled."""

from functools import cache

import jax
import numpy as np
import pytest

from dgm_jax.protocol import Density, Flow
from tests.contracts import test_densities, test_flows, test_levels


def flow_at(case):
    """bijector(params, cond, key=key) at one point, both ways; of what is large, x -> z alone."""

    def call(model, params, cond, **key):
        x = np.zeros(case.dim, np.float32)
        t = model.bijector(params, cond, **key)
        back = t.inverse_and_log_det(x)
        return back if case.large else (back, t.forward_and_log_det(x))

    return call


def density_at(case, shape, dtype=np.float32):
    def call(model, params, cond, **key):
        return model.dist(params, cond, **key).log_prob(np.zeros(shape, dtype))

    return call


CASES = {
    **{
        f"flow, {name}": (Flow, case, flow_at(case), test_flows.built)
        for name, case in test_flows.FLOWS.items()
    },
    **{
        f"density, {name}": (Density, case, density_at(case, case.dim), test_densities.built)
        for name, case in test_densities.DENSITIES.items()
    },
    **{
        f"levels, {name}": (
            Density,
            case,
            density_at(case, case.shape, np.int32),
            test_levels.built,
        )
        for name, case in test_levels.LEVELS.items()
    },
}


def named(where):
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=[pytest.mark.full] if case.full else [])
            for name, (_, case, *_) in CASES.items()
            if where(case)
        ],
    )


everywhere, conditional = named(lambda case: True), named(lambda case: case.cond_shape is not None)


@cache
def outputs(name, cond_shape, keyed=False):
    """Shapes and dtypes of what the model says under a condition of that shape; None for none."""
    _, _, call, built = CASES[name]
    model, params, _ = built(name.split(", ", 1)[1])
    cond = None if cond_shape is None else jax.ShapeDtypeStruct(cond_shape, np.float32)
    key = {"key": jax.random.key(0)} if keyed else {}
    return jax.eval_shape(lambda *at: call(model, *at, **key), params, cond)


@everywhere
def test_it_states_the_shape_of_its_condition(name):
    noun, case, _, built = CASES[name]
    model = built(name.split(", ", 1)[1])[0]
    assert isinstance(model, noun)
    assert model.cond_shape == case.cond_shape


@everywhere
def test_it_takes_a_key_or_none(name):
    """The same shapes, whether or not there is something random in it."""
    shape = CASES[name][1].cond_shape
    assert outputs(name, shape, keyed=True) == outputs(name, shape)


@conditional
def test_conditions_of_another_shape_are_refused(name):
    shape = CASES[name][1].cond_shape
    for wrong in (None, (*shape[:-1], shape[-1] + 1), shape[1:]):
        with pytest.raises(ValueError, match="cond must have|cond is missing"):
            outputs(name, wrong)


@conditional
def test_axes_before_those_of_a_condition_are_a_batch(name):
    shape = CASES[name][1].cond_shape
    one, many = outputs(name, shape), outputs(name, (5, 2, *shape))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        assert b.shape == (5, 2, *a.shape)
