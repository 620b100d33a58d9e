import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.learning.checkpoints import Checkpoints, load
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
        assert checkpoints.latest == 9 and checkpoints.note() == {"best": 0.1 * 9}
        restored = checkpoints.restore(make_state())
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["5", "9"]
    assert jax.tree.structure(restored) == jax.tree.structure(make_state())
    assert bits(restored) == bits(make_state(9))
    assert bits(load(tmp_path / "c", make_state())) == bits(make_state(9))
    assert load(tmp_path / "c")["state"]["params"]["w"].dtype == jnp.bfloat16


def test_a_checkpoint_is_what_the_state_was_when_it_was_saved(tmp_path):
    """The state is donated to the next step while it is still being written."""
    grow = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = grow(jnp.zeros((1_000_000,)))
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 4):
            checkpoints.save(step, {"x": x})
            for _ in range(20):
                x = grow(x)
            saved = checkpoints.restore({"x": x})["x"]
            assert (np.asarray(saved) == 20 * (step - 1) + 1).all()


def test_half_written_checkpoints_are_cleared_away(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(1))
    half = tmp_path / "2.orbax-checkpoint-tmp"
    half.mkdir()
    (half / "junk").write_text("half")
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 1
        assert bits(checkpoints.restore(make_state())) == bits(make_state(1))
    assert not half.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {**s, "key": jnp.zeros((2,))}, r"key is key<fry>\[\], wanted float32\[2\]"),
        (lambda s: {"state": s["state"]}, r"key is key<fry>\[\], wanted absent"),
        (lambda s: {**s, "more": jnp.zeros(3)}, r"more is absent, wanted float32\[3\]"),
        (lambda s: jax.tree.map(lambda x: x.astype(jnp.int32) if x.dtype == jnp.bfloat16 else x, s),
         r"params/w is bfloat16\[2, 3\], wanted int32\[2, 3\]"),
    ],
)  # fmt: skip
def test_another_model_is_refused_not_cast(tmp_path, change, said):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(1))
        with pytest.raises(ValueError, match=said):
            checkpoints.restore(change(make_state()))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's threads
def test_what_is_missing_or_broken_is_said_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such directory"):
        load(tmp_path / "no")
    assert not (tmp_path / "no").exists()
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load(tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, make_state())
        with pytest.raises(ValueError, match="step 4 is not after"):
            checkpoints.save(4, make_state())
    for file in (tmp_path / "4").rglob("d/*"):
        file.write_bytes(b"")
    with pytest.raises(RuntimeError, match="/4 cannot be read") as error:
        load(tmp_path, make_state())
    assert "\n" not in str(error.value)


def test_arrays_come_back_on_the_devices_of_the_template(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.arange(8.0)})
    mesh = jax.make_mesh((len(jax.devices()),), ("data",),
                         axis_types=(jax.sharding.AxisType.Auto,))  # fmt: skip
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    x = load(tmp_path, {"x": jax.ShapeDtypeStruct((8,), jnp.float32, sharding=sharding)})["x"]
    assert x.sharding == sharding and (x == jnp.arange(8.0)).all()
