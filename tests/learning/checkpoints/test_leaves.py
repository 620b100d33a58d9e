import jax
import jax.numpy as jnp
import pytest

from dgm_jax.learning import TrainState
from dgm_jax.learning.checkpoints.leaves import describe, named, parts, within

STATE = TrainState(jnp.int32(1), {"w": jnp.ones((2, 3)), "of": [jax.random.key(0), ...]}, {}, None)


def test_leaves_have_the_names_of_their_places():
    assert list(named(STATE)) == ["step", "params/of/0", "params/w"]
    wanted = {"step": "int32[]", "params/of/0": "key<fry>[]", "params/w": "float32[2, 3]"}
    assert describe(STATE) == wanted


def test_every_part_has_a_name():
    found = dict(parts(STATE))
    assert found[""] is STATE and found["params/of"] is STATE.params["of"]
    assert found["params/w"] is STATE.params["w"] and found["opt_state"] == {}
    assert dict(parts(3.0)) == {"": 3.0}


@pytest.mark.parametrize(
    ("leaf", "part", "inside"),
    [
        ("a/b", "a", True),
        ("ab", "a", False),
        ("a", "a", True),
        ("a", "a/b", False),
        ("a", "", True),
    ],
)
def test_a_leaf_lies_in_the_parts_that_its_name_begins_with(leaf, part, inside):
    assert within(leaf, part) == inside
