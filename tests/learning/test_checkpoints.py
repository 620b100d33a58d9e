import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.learning import checkpoints as checkpoints_module
from dgm_jax.learning.checkpoints import (
    Checkpoints,
    NotFinite,
    NoUsableCheckpoint,
    fingerprints,
    newest_intact,
)
from dgm_jax.learning.gradient import TrainState


def make_state(step=0):
    params = {"w": jnp.full((2, 3), step, jnp.bfloat16), "empty": {}, "stack": [jnp.arange(4.0)]}
    optimizer = optax.chain(optax.clip(1.0), optax.adam(1e-3))
    state = TrainState(jnp.int32(step), params, optimizer.init(params), None)
    return {"state": state, "key": jax.random.key(step)}


def bits(tree):
    def plain(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    leaves = [np.asarray(plain(x)) for x in jax.tree.leaves(tree)]
    return [(leaf.dtype, leaf.tobytes()) for leaf in leaves]


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


# ------------------------------------------------------------------------------ what is damaged
def written(directory, *steps):
    with Checkpoints(directory) as checkpoints:
        for step in steps:
            checkpoints.save(step, make_state(step), note={"best": 0.1 * step})


def restored(directory):
    with Checkpoints(directory) as checkpoints:
        return checkpoints.restore(make_state())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's threads
@pytest.mark.parametrize("what", ["arrays", "description", "everything"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_taken(tmp_path, capfd, what):
    written(tmp_path, 3, 5)
    if what == "arrays":
        for file in (tmp_path / "5").rglob("d/*"):
            file.write_bytes(file.read_bytes()[:-9])
    if what == "description":  # still whole JSON, of another number
        file = tmp_path / "5" / "_CHECKPOINT_METADATA"
        file.write_text(file.read_text().replace('"best": 0.5', '"best": 0.4'))
    if what == "everything":
        shutil.rmtree(tmp_path / "5")
        (tmp_path / "5").mkdir()
    step, state, note = restored(tmp_path)
    assert step == 3 and bits(state) == bits(make_state(3)) and note["best"] == 0.1 * 3
    line = capfd.readouterr().err
    assert line.count("\n") == 1 and "/5 is damaged (" in line
    assert "kept as corrupt-5; taking step 3" in line
    written(tmp_path, 5)
    assert restored(tmp_path).step == 5 and (tmp_path / "corrupt-5").is_dir()


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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_all_damaged_is_an_error_and_nothing_is_moved(tmp_path):
    written(tmp_path, 3, 5)
    for file in tmp_path.rglob("d/*"):
        file.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(NoUsableCheckpoint, match="step 5: .*step 3: .*start afresh") as error:
            restored(tmp_path)
        assert "\n" not in str(error.value) and error.value.exit_code == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "5"]
    (tmp_path / "3").rename(tmp_path / "corrupt-3")
    shutil.rmtree(tmp_path / "5")
    with pytest.raises(NoUsableCheckpoint, match="damaged checkpoints only: corrupt-3"):
        restored(tmp_path)


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


def test_a_checkpoint_deleted_while_it_is_read_is_not_damaged(tmp_path):
    written(tmp_path, 3)

    def read(step):
        if step == 3:  # the run in progress goes on
            (tmp_path / "3").rename(tmp_path / "8")
            raise checkpoints_module._Damaged("half of it is gone")
        return step

    assert newest_intact(tmp_path, read) == (8, {})


def test_notes_are_read_as_they_were_written(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(), note={"of": {9: 1.5, 10: (1, None)}})
        assert checkpoints.restore(make_state()).note == {"of": {"9": 1.5, "10": [1, None]}}


DTYPES = ("float32", "bfloat16", "float16", "int32", "int8", "uint8", "bool", "complex64", "uint32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fingerprint_sees_every_single_bit(dtype):
    x = np.asarray(jnp.arange(7) % 2 + 1).astype(jnp.dtype(dtype))
    flipped = [x]
    for place in range(8 * x.nbytes if dtype != "bool" else 0):
        content = bytearray(x.tobytes())
        content[place // 8] ^= 1 << place % 8
        flipped.append(np.frombuffer(bytes(content), x.dtype))
    if dtype == "bool":
        flipped += [x ^ (np.arange(7) == i) for i in range(7)]
    prints = fingerprints({str(i): jnp.asarray(y) for i, y in enumerate(flipped)})
    assert len(prints) > 7 and all(prints[str(i)] != prints["0"] for i in range(1, len(flipped)))


def test_the_fingerprint_sees_order_and_zeroed_sectors():
    ones = jnp.ones((32, 128))
    rows = jnp.arange(4096.0).reshape(32, 128)
    keys = [jax.random.key(0), jax.random.key(1)]
    tree = {
        "ones": ones,
        "sector": ones.at[4].set(0),
        "zeros": 0 * ones,
        "rows": rows,
        "swapped": rows[::-1],
        "key": keys[0],
        "other": keys[1],
    }
    prints = fingerprints(tree)
    assert len(set(prints.values())) == len(tree)


def test_the_fingerprint_is_that_of_any_layout():
    x = jax.random.normal(jax.random.key(0), (16, 24))
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    for spec in ((), ("a",), ("b", "a"), (None, ("a", "b"))):
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
        assert fingerprints({"x": jax.device_put(x, sharding)}) == fingerprints({"x": x})


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


def test_arrays_come_back_on_the_devices_of_the_template(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.arange(8.0)})
    mesh = jax.make_mesh((len(jax.devices()),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    template = {"x": jax.ShapeDtypeStruct((8,), jnp.float32, sharding=sharding)}
    with Checkpoints(tmp_path) as checkpoints:
        x = checkpoints.restore(template).state["x"]
    assert x.sharding == sharding and (x == jnp.arange(8.0)).all()
