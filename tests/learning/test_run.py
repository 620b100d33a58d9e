import contextlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.learning import run
from dgm_jax.learning.devices import data_mesh, replicate
from dgm_jax.learning.loop import train
from dgm_jax.learning.run import Plan
from dgm_jax.protocol import Algorithm


def plan(**options):
    names = dict.fromkeys(Plan._fields)
    return Plan(**names | {"num_steps": 25, "log_every": 10, "minimise": True} | options)


def test_what_is_due_is_due_every_so_many_steps_and_after_the_last():
    due = [step for step in range(1, 26) if plan().due(step, 10)]
    assert due == [10, 20, 25] and [t for t in range(1, 26) if plan().due(t, None)] == [25]


@pytest.mark.parametrize("minimise", [True, False])
def test_better_is_lower_or_higher_and_nan_never_is(minimise):
    better, sign = plan(minimise=minimise).better, 1 if minimise else -1
    assert better(sign * 1.0, None) and better(sign * 1.0, sign * 2.0)
    assert not better(sign * 2.0, sign * 2.0) and not better(sign * 3.0, sign * 2.0)
    assert not better(math.nan, None) and not better(math.nan, 0.0)


def with_teacher(x, key, batch, fixed):
    return x + fixed["w"].sum() * jnp.arange(1, 4), {}


@pytest.mark.parametrize("num_devices", [1, 8])
def test_what_stays_fixed_is_an_argument_of_the_step_on_all_devices(num_devices, monkeypatch):
    """Not a constant of the program: its text is short, and another teacher is the same program."""
    mesh = data_mesh(num_devices) if num_devices > 1 else None
    algorithm, steps = Algorithm(lambda key: jnp.zeros(3), with_teacher), []
    compiled = run._compiled
    monkeypatch.setattr(run, "_compiled", lambda *a: steps.append(compiled(*a)) or steps[-1])
    fixed = {"w": np.full(10_000, 1e-4, np.float32)}
    trained = train(
        algorithm, jax.random.key(0), fixed=fixed, num_steps=5, progress=False, mesh=mesh
    )
    np.testing.assert_allclose(trained.state, 5 * np.arange(1, 4), rtol=1e-4)
    (step,) = steps
    assert step._cache_size() == 1  # it is what was called, and no program around it
    state = trained.state if mesh is None else replicate(trained.state, mesh)
    other = jax.tree.map(lambda w: 2 * w, fixed)
    placed = jax.device_put(other) if mesh is None else replicate(other, mesh)
    t = jnp.int32(5), jax.random.key(1)
    t = t if mesh is None else replicate(t, mesh)
    assert len(step.lower(state, *t, None, placed).as_text()) < 10_000
    with contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh):
        new, _ = step(state, *t, None, placed)
    np.testing.assert_allclose(new, 7 * np.arange(1, 4), rtol=1e-4)
    assert step._cache_size() == 1 and not placed["w"].is_deleted()


@pytest.mark.parametrize(
    ("found", "got"), [(1.0, "float"), ({"nll": np.ones(2)}, "arrays in it")], ids=["one", "many"]
)
def test_an_evaluation_that_gives_no_numbers_by_name_is_refused(found, got):
    still = Algorithm(lambda key: jnp.zeros(()), lambda state, key, batch: (state, {}))
    with pytest.raises(ValueError, match=f"evaluate must return a dict .*; got {got}"):
        train(
            still,
            jax.random.key(0),
            num_steps=1,
            evaluate=lambda params, key: found,
            progress=False,
        )
