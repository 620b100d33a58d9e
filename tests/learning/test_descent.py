import jax
import jax.numpy as jnp
import optax
import pytest

from dgm_jax.learning.descent import descend, first, in_full


def init(key):
    return {"w": jnp.ones(3), "b": jnp.ones(())}


def quadratic(params, key, batch):
    return 0.5 * sum(((leaf - batch) ** 2).sum() for leaf in jax.tree.leaves(params)), {}


def step(loss=quadratic, optimizer=optax.sgd(0.1), state=None):  # noqa: B008
    """One step of descent, traced only."""

    def run(key):
        begin = first(init(key), optimizer, None)._replace(state=state)
        whole = in_full(loss, state is not None)
        of_params = lambda params: whole(params, key, 2.0, begin.state)
        return descend(begin, of_params, optimizer, ema_decay=None, axis_name=None)

    return jax.eval_shape(run, jax.random.key(0))


def test_a_state_of_another_structure_is_refused():
    with pytest.raises(ValueError, match="must return a state like that of init_state"):
        step(lambda p, key, x, state: (p["b"], ({}, {"mean": state})), state=jnp.zeros(2))
    with pytest.raises(ValueError, match=r"with int32 of shape \(\); got float32 of shape \(2,\)"):
        step(lambda p, key, x, state: (p["b"], ({}, state + jnp.ones(2))), state=jnp.zeros((), int))
    with pytest.raises(ValueError, match=r"\(scalar, \(metrics, state\)\); got dict"):
        step(lambda p, key, x, state: (p["b"], {}), state=jnp.zeros(2))


@pytest.mark.parametrize(
    ("said", "returned"),
    [
        (r"loss must return a pair \(scalar, metrics\); got one array", lambda x: x.sum()),
        (r"loss must return a scalar; got shape \(3,\)", lambda x: (x, {})),
        ("loss must give metrics as a dict .*; got float", lambda x: (x.sum(), 1.0)),
    ],
)
def test_a_loss_that_returns_something_else_is_refused_by_what_it_returns(said, returned):
    with pytest.raises(ValueError, match=said):
        step(lambda params, key, batch: returned(params["w"]))


def test_a_wrong_rate_is_told_as_one():
    with pytest.raises(ValueError, match="optimizer fails at a step .*rate is a number"):
        step(optimizer=optax.adam("0.1"))
    with pytest.raises(ValueError, match="optimizer fails at a step .*rate is a number"):
        step(optimizer=optax.adam(lambda count: None))


def test_a_mistake_in_a_schedule_is_told_as_what_it_is():
    with pytest.raises(TypeError, match="unsupported operand"):
        step(optimizer=optax.adam(lambda count: count + "1"))
