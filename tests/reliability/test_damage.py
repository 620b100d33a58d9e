"""Checkpoints on a bad disk: never a wrong state, never a silent fresh start."""

import collections
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.learning.checkpoints import Checkpoints, NoUsableCheckpoint
from tests.reliability.damage import WAYS, damage, files

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.timeout(900),
    # from threads of orbax
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def make_state(step):
    """Arrays stored in files of their own, and noise, so that no compression hides a flip."""
    key = jax.random.key(step)
    return {
        "w": jax.random.normal(key, (64, 64)),
        "m": jnp.full((4096,), step, jnp.bfloat16),
        "ones": jnp.ones((3000,)),
        "t": jnp.int32(step),
        "key": key,
    }


def bits(tree):
    leaves = [
        x if x.dtype != jax.random.key(0).dtype else jax.random.key_data(x)
        for x in jax.tree.leaves(tree)
    ]
    return [np.asarray(leaf).tobytes() for leaf in leaves]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "checkpoints"
    with Checkpoints(directory) as checkpoints:
        for step in (10, 20, 30):
            checkpoints.save(step, make_state(step), note={"best_value": step / 7})
    return directory


def copied(saved, directory):
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(saved, directory)
    return directory


def restored(directory):
    with Checkpoints(directory) as checkpoints:
        step, state, note = checkpoints.restore(make_state(0))
        checkpoints.save(40, make_state(40))  # the run goes on
    return step, bits(state) == bits(make_state(step)) and note == {"best_value": step / 7}


def test_no_damage_to_any_file_gives_a_wrong_state(saved, tmp_path, capfd):
    rng = np.random.default_rng(0)
    newest = [file.relative_to(saved) for file in files(saved / "30")]
    cases = [(file, way) for file in newest for way in WAYS]
    sizes = np.array([(saved / file).stat().st_size for file in newest])
    cases += [(newest[i], "flip") for i in rng.choice(len(newest), size=20)]
    cases += [(newest[i], "flip") for i in rng.choice(len(newest), size=20, p=sizes / sizes.sum())]
    taken = collections.Counter()
    for file, way in cases:
        directory = copied(saved, tmp_path / "checkpoints")
        damage(directory / file, way, rng)
        step, right = restored(directory)
        said = capfd.readouterr().err
        assert right, (file, way)
        if step == 30:
            assert said == ""
        else:
            assert said.count("\n") == 1 and "/30 is damaged (" in said and "step 20" in said
        taken[step] += 1
    with capfd.disabled():
        print(f"\n{len(cases)} damages: 0 wrong states, {dict(taken)} restored")
    assert taken.keys() == {20, 30}


def test_three_of_three_damaged_is_an_error_that_lists_them(saved, tmp_path):
    directory = copied(saved, tmp_path / "checkpoints")
    for file in directory.rglob("d/*"):
        file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(NoUsableCheckpoint, match="step 30: .*step 20: .*step 10: "):
        restored(directory)
    assert {path.name for path in directory.iterdir()} == {"10", "20", "30"}


def test_two_of_three_damaged_leaves_the_oldest(saved, tmp_path, capfd):
    directory = copied(saved, tmp_path / "checkpoints")
    for step in ("20", "30"):
        for file in (directory / step).rglob("d/*"):
            file.write_bytes(file.read_bytes()[:-7])
    assert restored(directory) == (10, True)
    assert capfd.readouterr().err.count("taking step 10\n") == 2
    assert {path.name for path in directory.iterdir()} == {"10", "40", "corrupt-20", "corrupt-30"}
