import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.learning.checkpoints.saving import Checkpoints, NotFinite
from tests.learning.checkpoints.states import bits, make_state


def test_every_leaf_comes_back_bit_by_bit_and_the_oldest_checkpoints_go(tmp_path):
    with Checkpoints(tmp_path / "c", keep=2) as checkpoints:
        assert checkpoints.latest is None
        for step in (3, 5, 9):
            checkpoints.save(step, make_state(step), note={"best": 0.1 * step})
        assert checkpoints.latest == 9
        step, restored, note = checkpoints.restore(make_state())
    assert step == 9 and note == {"best": 0.1 * 9}
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["5", "9"]
    assert jax.tree.structure(restored) == jax.tree.structure(make_state())
    assert bits(restored) == bits(make_state(9))


def test_a_checkpoint_is_what_the_state_was_when_it_was_saved(tmp_path):
    """The state is donated to the next step while it is still being written."""
    grow = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = grow(jnp.zeros((1_000_000,)))
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 4):
            checkpoints.save(step, {"x": x})
            for _ in range(20):
                x = grow(x)
            saved = checkpoints.restore({"x": x}).state["x"]
            assert (np.asarray(saved) == 20 * (step - 1) + 1).all()


def test_half_written_checkpoints_are_cleared_away(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(1))
    half = tmp_path / "2.orbax-checkpoint-tmp"
    half.mkdir()
    (half / "junk").write_text("half")
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 1
        assert bits(checkpoints.restore(make_state()).state) == bits(make_state(1))
    assert not half.exists()


def test_notes_are_read_as_they_were_written(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(), note={"of": {9: 1.5, 10: (1, None)}})
        assert checkpoints.restore(make_state()).note == {"of": {"9": 1.5, "10": [1, None]}}


@pytest.mark.parametrize("bad", [jnp.nan, -jnp.inf])
def test_what_is_not_finite_is_not_written(tmp_path, bad):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"good": jnp.ones(3), "x": jnp.zeros(3, jnp.bfloat16)})
        with pytest.raises(NotFinite, match="x is not finite"):
            checkpoints.save(2, {"good": jnp.ones(3), "x": jnp.full(3, bad, jnp.bfloat16)})
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_the_order_of_steps_and_empty_arrays_are_checked(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(make_state()) is None
        checkpoints.save(4, make_state())
        with pytest.raises(ValueError, match="step 4 is not after the newest checkpoint, 4"):
            checkpoints.save(4, make_state())
        with pytest.raises(ValueError, match="params/w has no elements"):
            checkpoints.save(5, {"params": {"w": jnp.zeros((0, 3))}})
