"""What an experiment learns: a set by its name, or a file of one's own, in the form it needs."""

import dataclasses
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from dgm_jax import checks
from experiments import sets
from experiments.options import Data

rng = np.random.default_rng(0)
BITS = rng.integers(0, 2, (40, 6))


@dataclasses.dataclass(frozen=True)
class Config(Data):
    data_dir: Path | None = None
    seed: int = 0
    class_conditional: bool = False


def config(data, **options):
    return Config(data=str(data), **options)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int64, np.float32])
def test_bits_of_any_type_are_bits(tmp_path, dtype):
    np.save(tmp_path / "own.npy", BITS.astype(dtype))
    data, rows = sets.bits(config(tmp_path / "own.npy"))
    assert data.num_levels == 2 and rows["train"].dtype == np.int32
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(rows["test"], BITS[order][36:])


def test_a_split_is_drawn_by_the_seed_that_is_told(tmp_path, capsys):
    np.save(tmp_path / "own.npy", BITS)
    first, _ = sets.bits(config(tmp_path / "own.npy", split_seed=3))
    assert "80/10/10 by seed 3" in capsys.readouterr().out
    order = np.random.default_rng(3).permutation(40)
    np.testing.assert_array_equal(first.valid, BITS[order][32:36])


def test_any_set_in_the_folder_of_binary_tables_is_known_by_its_name(tmp_path, monkeypatch):
    folder = tmp_path / "binary_density"
    folder.mkdir()
    np.savez(folder / "kdd.npz", train=BITS, valid=BITS[:5], test=BITS[:7])
    for split, num in (("train", 40), ("valid", 5), ("test", 7)):
        np.savetxt(folder / f"msweb.{split}.data", BITS[:num], fmt="%d", delimiter=",")
    for name in ("kdd", "msweb"):
        for place in (tmp_path, folder):
            _, rows = sets.bits(config(name, data_dir=place))
            np.testing.assert_array_equal(rows["test"], BITS[:7])
    monkeypatch.setenv("DGM_DATA", str(tmp_path))
    assert len(sets.bits(config("kdd"))[1]["valid"]) == 5


def test_a_name_that_is_none_suggests_the_nearest_and_a_path_says_it_is_missing(tmp_path):
    with pytest.raises(checks.InputError, match="Did you mean 'digits'"):
        sets.load(config("digit"))
    with pytest.raises(checks.InputError, match="there is no such file"):
        sets.load(config(tmp_path / "never.csv"))


def test_one_row_for_testing_is_refused_before_anything_is_learned(tmp_path):
    np.save(tmp_path / "own.npy", BITS[:19])
    with pytest.raises(checks.InputError, match="1 row for testing; a standard error needs 2"):
        sets.bits(config(tmp_path / "own.npy"))


REFUSED = {  # what is asked for: a set that is none
    sets.images: "photo_patches",
    sets.levels: "photo_patches",
    sets.bits: "digits",
    sets.table: "digits",
    sets.sound: "digits",
    sets.text: "digits",
}


@pytest.mark.parametrize("asked", REFUSED)
def test_a_set_of_another_kind_is_refused_with_one_that_would_do(asked):
    with pytest.raises(checks.InputError, match=f"{REFUSED[asked]}.*(try|data must be)|data must"):
        asked(config(REFUSED[asked]))


def test_whole_numbers_of_a_table_get_noise_and_large_ones_are_no_levels(tmp_path, capsys):
    x = rng.integers(0, 5000, (40, 3))
    np.save(tmp_path / "own.npy", x)
    data, rows = sets.table(config(tmp_path / "own.npy"))
    np.testing.assert_array_equal(np.floor(rows["train"]), data.train)
    assert "noise, uniform in [0, 1)" in capsys.readouterr().out
    with pytest.raises(checks.InputError, match="above the 1024 levels.*tabular"):
        sets.levels(config(tmp_path / "own.npy"))


def test_a_column_of_few_values_is_told(tmp_path, capsys):
    x = rng.normal(size=(40, 4))
    x[:, 2] = x[:, 2] > 0.1
    np.save(tmp_path / "own.npy", x)
    sets.table(config(tmp_path / "own.npy"))
    assert "in column 2 one value" in capsys.readouterr().out
    sets.table(config("breast_cancer"))
    assert "in column" not in capsys.readouterr().out


def test_labels_are_classes_where_they_are_asked_for(tmp_path):
    x, y = rng.integers(0, 9, (40, 3, 4)), np.arange(40) % 3
    np.savez(tmp_path / "own.npz", x=x, y=y)
    data = sets.images(config(tmp_path / "own.npz", class_conditional=True))
    assert data.shape == (3, 4, 1) and data.num_levels == 9 and data.num_classes == 3
    np.testing.assert_array_equal(data.rows["valid"][1].argmax(1), data.labels["valid"])
    np.save(tmp_path / "own.npy", x)
    with pytest.raises(checks.InputError, match="has no classes"):
        sets.images(config(tmp_path / "own.npy", class_conditional=True))
    np.savez(tmp_path / "many.npz", x=x, y=1000 * y)
    with pytest.raises(checks.InputError, match="labels up to 2000, above the 1024"):
        sets.images(config(tmp_path / "many.npz", class_conditional=True))


def test_sound_of_16_bits_and_of_floats_is_the_same(tmp_path):
    x = rng.integers(-3000, 3000, (20, 50))
    np.save(tmp_path / "whole.npy", x.astype(np.int16))
    np.save(tmp_path / "real.npy", (x / 32768).astype(np.float32))
    whole, real = (sets.sound(config(tmp_path / f"{name}.npy"))[1] for name in ("whole", "real"))
    np.testing.assert_array_equal(whole["train"], real["train"])
    assert 0.05 < np.abs(whole["train"]).max() < 0.1
    for bad, message in (
        (x * 20, "in -.*must be in"),
        (x + 3000, r"samples in \d"),
        (x * 0.3, "no clips"),
    ):
        np.save(tmp_path / "bad.npy", bad)
        with pytest.raises(checks.InputError, match=message):
            sets.sound(config(tmp_path / "bad.npy"))


def test_text_is_spelled_by_its_vocabulary(tmp_path):
    words = "Größe über alles – 東京.\n" * 30
    (tmp_path / "own.txt").write_text(words, encoding="utf-8")
    parts, vocabulary = sets.text(config(tmp_path / "own.txt"))
    assert "".join(vocabulary[i] for part in parts.values() for i in part) == words
    assert [len(part) for part in parts.values()] == [621, 34, 35]
    folder = tmp_path / "folder"
    folder.mkdir()
    for split in sets.SPLITS:
        (folder / f"{split}.txt").write_text(split + " words", encoding="utf-8")
    parts, vocabulary = sets.text(config(folder))
    assert "".join(vocabulary[i] for i in parts["valid"]) == "valid words"
    (tmp_path / "short.txt").write_text("short", encoding="utf-8")
    with pytest.raises(checks.InputError, match="too few characters"):
        sets.text(config(tmp_path / "short.txt"))


@pytest.mark.parametrize("shape", [(5,), (3, 4), (3, 4, 1), (3, 4, 3), (3, 4, 5)])
@pytest.mark.parametrize("num", [1, 20])
def test_rows_of_any_shape_and_number_are_drawn(shape, num):
    x = rng.integers(0, 3, (num, *shape), np.int32)
    data = sets.datasets.Dataset("own", x, x, x, None, 3, "")
    rows = x.reshape(num, -1)
    figure = sets.grid(data, {"test data": rows, "samples": np.repeat(rows, 2, 0)}, columns=16)
    assert len(figure.axes) == 1


def test_real_numbers_are_standard_in_training_and_levels_too():
    for name in ("wine", "digits"):
        data = sets.load(config(name))
        rows, scaling, noise = sets.scaling(data, alpha=0.01, seed=0)
        to_z = sets.standard(**scaling, alpha=0.01)
        z = to_z.forward(noise(sets.jax.random.key(1), rows["train"]))
        np.testing.assert_allclose(z.mean(0), 0, atol=0.1)
        np.testing.assert_allclose(z.std(0), 1, atol=0.1)


def test_help_names_all_sets():
    told = inspect.getsource(Data)
    assert not [name for name in sets.datasets.LOADERS if not re.search(rf"\b{name}\b", told)]
