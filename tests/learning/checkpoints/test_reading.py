import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.learning.checkpoints import Checkpoints, NoUsableCheckpoint
from tests.learning.checkpoints.states import bits, make_state, restored, written

pytestmark = pytest.mark.usefixtures("small_heap")  # what is damaged is read with gc.collect()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {**s, "key": jnp.zeros((2,))}, r"key is key<fry>\[\], wanted float32\[2\]"),
        (lambda s: {"state": s["state"]}, r"key is key<fry>\[\], wanted absent"),
        (lambda s: {**s, "more": jnp.zeros(3)}, r"more is absent, wanted float32\[3\]"),
        (
            lambda s: jax.tree.map(
                lambda x: x.astype(jnp.int32) if x.dtype == jnp.bfloat16 else x, s
            ),
            r"params/w is bfloat16\[2, 3\], wanted int32\[2, 3\]",
        ),
    ],
)
def test_another_model_is_refused_not_cast(tmp_path, change, said):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(1))
        with pytest.raises(ValueError, match=said):
            checkpoints.restore(change(make_state()))


def test_leaves_are_known_by_their_names_whatever_holds_them(tmp_path):
    """So that a field without leaves may be added to a state whose checkpoints exist."""
    state = make_state(4)["state"]
    with Checkpoints(tmp_path) as checkpoints:
        without = {name: part for name, part in state._asdict().items() if name != "state"}
        checkpoints.save(4, {"state": without})
        found = checkpoints.restore({"state": make_state()["state"]}).state["state"]
    assert jax.tree.structure(found) == jax.tree.structure(state) and bits(found) == bits(state)


def test_arrays_come_back_on_the_devices_of_the_template(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.arange(8.0)})
    mesh = jax.make_mesh((len(jax.devices()),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    template = {"x": jax.ShapeDtypeStruct((8,), jnp.float32, sharding=sharding)}
    with Checkpoints(tmp_path) as checkpoints:
        x = checkpoints.restore(template).state["x"]
    assert x.sharding == sharding and (x == jnp.arange(8.0)).all()


def test_an_array_that_changed_on_disk_is_seen_where_orbax_sees_nothing(tmp_path):
    """A bit of an array that is stored in plain: every file has its right form."""
    x = np.asarray(jax.random.bits(jax.random.key(0), (4096,)))  # does not compress
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.asarray(x)})
    seen = 0
    for file in (tmp_path / "1" / "state").rglob("d/*"):
        content = bytearray(file.read_bytes())
        place = content.find(x[2000:2002].tobytes())
        if place >= 0:
            content[place] ^= 1
            file.write_bytes(content)
            seen += 1
    assert seen
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(NoUsableCheckpoint, match="step 1: x is not what was saved"):
            checkpoints.restore({"x": jnp.asarray(x)})


def test_a_checkpoint_under_another_number_is_not_taken_for_it(tmp_path):
    written(tmp_path, 3)
    (tmp_path / "3").rename(tmp_path / "7")
    with pytest.raises(NoUsableCheckpoint, match="step 7: it is of step 3"):
        restored(tmp_path)


def test_what_the_machine_lacks_is_not_damage(tmp_path, monkeypatch):
    """Or a device that is full today would cost the newest checkpoint."""
    written(tmp_path, 3, 5)
    with Checkpoints(tmp_path) as checkpoints:

        def load(*_):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

        monkeypatch.setattr(checkpoints._checkpointer, "load", load)
        with pytest.raises(jax.errors.JaxRuntimeError, match="out of memory"):
            checkpoints.restore(make_state())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "5"]
