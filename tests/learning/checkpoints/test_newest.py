import shutil

import pytest

from dgm_jax.learning.checkpoints.newest import NoUsableCheckpoint, newest_intact, steps
from dgm_jax.learning.checkpoints.reading import Damaged
from tests.learning.checkpoints.states import bits, make_state, restored, written

pytestmark = pytest.mark.usefixtures("small_heap")  # what is damaged is read with gc.collect()


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


@pytest.mark.parametrize("name", ["0005", "٥", "²", "5.0", "-5", "1_0", "9" * 40])
def test_a_name_that_no_step_is_written_as_is_none(tmp_path, name):
    for folder in (name, "0", "4"):
        (tmp_path / folder).mkdir()
    assert sorted(steps(tmp_path)) == [0, 4]


def read_named(directory):
    """As a reader of files does, of directories named by their steps."""

    def read(step):
        if not (directory / str(step)).is_dir():
            raise Damaged(f"no directory of step {step}")
        return step

    return newest_intact(directory, read)


def test_a_link_to_nowhere_and_a_file_are_damaged_checkpoints(tmp_path):
    written(tmp_path, 3)
    (tmp_path / "5").symlink_to("nowhere")
    (tmp_path / "6").symlink_to("6")
    (tmp_path / "7").write_text("a file")
    (tmp_path / "0022").mkdir()
    step, damaged = read_named(tmp_path)
    assert step == 3 and set(damaged) == {5, 6, 7}
    assert restored(tmp_path).step == 3
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"0022", "3", "corrupt-5", "corrupt-6", "corrupt-7"}


def test_a_checkpoint_deleted_while_it_is_read_is_not_damaged(tmp_path):
    written(tmp_path, 3)

    def read(step):
        if step == 3:  # the run in progress goes on
            (tmp_path / "3").rename(tmp_path / "8")
            raise Damaged("half of it is gone")
        return step

    assert newest_intact(tmp_path, read) == (8, {})
