"""Files and folders of one's own: which array is what, and how it is split."""

import gzip

import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.data import load, load_file
from tests.data.published import idx

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(30, 3)).astype(np.float32), np.arange(30) % 4
SPLITS = {"train": (X[:20], Y[:20]), "valid": (X[20:24], Y[20:24]), "test": (X[24:], Y[24:])}


def same_splits(data):
    for split, (x, y) in SPLITS.items():
        np.testing.assert_array_equal(getattr(data, split), x)
        np.testing.assert_array_equal(data.labels[split], y)


NAMES = {  # of rows and labels
    "train_labels": ("{}", "{}_labels"),
    "x_train": ("x_{}", "y_{}"),
    "Images-train": ("Images-{}", "{}.Targets"),
}


@pytest.mark.parametrize("names", NAMES)
def test_splits_and_labels_are_known_by_their_names(tmp_path, names):
    rows, labels = NAMES[names]
    arrays = {rows.format(split): x for split, (x, _) in SPLITS.items()}
    arrays |= {labels.format(split): y for split, (_, y) in SPLITS.items()}
    np.savez(tmp_path / "own.npz", **arrays)
    same_splits(load_file(tmp_path / "own.npz"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "README").write_text("no table")
    for name, x in arrays.items():
        np.save(folder / f"{name}.npy", x)
    same_splits(load_file(folder))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".txt"])
def test_a_table_of_text_has_its_labels_in_a_column(tmp_path, suffix):
    between = {".tsv": "\t", ".txt": " "}.get(suffix, ",")
    words = np.array(["ash", "birch", "elm", "fir"])
    folder = tmp_path / "folder"
    folder.mkdir()
    for split, (x, y) in SPLITS.items():
        lines = [between.join(("a", "Species", "b", "c"))]
        lines += [
            between.join((repr(a), words[k], repr(b), repr(c)))
            for (a, b, c), k in zip(x.tolist(), y, strict=True)
        ]
        text = ("\n".join(lines) + "\n").encode()
        (folder / (split + suffix)).write_bytes(gzip.compress(text) if "gz" in suffix else text)
    same_splits(load_file(folder))


def test_numbers_in_a_column_of_labels_keep_their_values(tmp_path):
    rows = "".join(f"{a},{3 + k % 2}\n" for k, a in enumerate(X[:, 0].tolist()))
    (tmp_path / "own.csv").write_text("a,label\n" + rows)
    labels = np.concatenate(list(load_file(tmp_path / "own.csv").labels.values()))
    assert sorted(labels) == [3] * 15 + [4] * 15


def test_rows_keep_their_labels_when_they_are_split_by_a_seed(tmp_path):
    np.savez(tmp_path / "own.npz", x=np.c_[X, Y], y=Y)
    found = [load_file(tmp_path / "own.npz", seed=seed) for seed in (0, 1)]
    for seed, data in enumerate(found):
        assert [len(data.train), len(data.valid), len(data.test)] == [24, 3, 3]
        assert f"80/10/10 by seed {seed}" in data.description
        for split, y in data.labels.items():
            np.testing.assert_array_equal(getattr(data, split)[:, 3], y)
    assert not np.array_equal(found[0].train, found[1].train)


def test_without_a_validation_split_it_is_a_tenth_of_train(tmp_path):
    np.savez(
        tmp_path / "own.npz", x_train=np.c_[X, Y], y_train=Y, x_test=np.c_[X, Y][:5], y_test=Y[:5]
    )
    data = load_file(tmp_path / "own.npz")
    assert [len(data.train), len(data.valid), len(data.test)] == [27, 3, 5]
    for split, y in data.labels.items():
        np.testing.assert_array_equal(getattr(data, split)[:, 3], y)
    np.testing.assert_array_equal(data.labels["test"], Y[:5])


def test_pictures_of_idx_are_read(tmp_path):
    x = rng.integers(0, 256, (12, 4, 5), dtype=np.uint8)
    (tmp_path / "own-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x)))
    data = load_file(tmp_path / "own-images-idx3-ubyte.gz")
    assert data.train.shape == (10, 4, 5) and data.num_levels == 256


BAD = {
    "labels of one split": ({"train": X, "test": X, "train_labels": Y}, "labels of train, and"),
    "too few labels": ({"x": X, "y": Y[:-1]}, "30 rows, but 29 labels"),
    "fractional labels": ({"x": X, "y": Y / 2}, "must be whole numbers"),
    "NaN labels": ({"x": X, "y": np.full(30, np.nan)}, "must be whole numbers"),
    "negative labels": ({"x": X, "y": Y - 1}, r"must be whole numbers.*-1\.\.2"),
    "labels of two columns": ({"x": X, "y": np.c_[Y, Y]}, r"shape \(30, 2\)"),
    "two of a split": ({"x_train": X, "data_train": X, "test": X}, "two are train"),
    "two splits in a name": ({"train_test": X, "valid": X}, "it needs the arrays"),
    "unknown names": ({"left": X, "right": X}, "holds left, right; it needs"),
    "a number": ({"x": np.float32(3)}, "holds one number"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_not_clear_is_refused_by_name(tmp_path, what):
    arrays, message = BAD[what]
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(checks.InputError, match=rf"own\.npz.*{message}"):
        load_file(tmp_path / "own.npz")


def test_an_index_that_was_written_along_is_refused(tmp_path):
    (tmp_path / "own.csv").write_text(",a,b\n" + "".join(f"{i},1.5,2\n" for i in range(20)))
    with pytest.raises(checks.InputError, match="first column has no name"):
        load_file(tmp_path / "own.csv")


def test_a_folder_without_tables_and_names_twice_are_refused(tmp_path):
    with pytest.raises(checks.InputError, match="holds no file that ends in .csv"):
        load_file(tmp_path)
    for name in ("train.npy", "train.npy.gz"):
        np.save(tmp_path / "x.npy", X)
        (tmp_path / name).write_bytes((tmp_path / "x.npy").read_bytes())
    (tmp_path / "train.npy.gz").write_bytes(gzip.compress((tmp_path / "train.npy").read_bytes()))
    with pytest.raises(checks.InputError, match="two arrays of the name 'train'"):
        load_file(tmp_path)


def test_the_files_of_one_set_in_a_folder_of_many_are_known_by_its_name(tmp_path):
    bits = rng.integers(0, 2, (4, 5))
    for name in ("kdd", "kdd2"):
        for k, split in enumerate(SPLITS):
            np.savetxt(tmp_path / f"{name}.{split}.data", bits ^ k % 2, fmt="%d", delimiter=",")
    data = load_file(tmp_path / "kdd")
    np.testing.assert_array_equal(data.valid, 1 - bits)
    assert data.num_levels == 2 and data.labels is None


def test_a_binary_table_is_found_in_its_folder_too(tmp_path):
    bits = rng.integers(0, 2, (4, 16), dtype=np.uint8)
    np.savez(tmp_path / "nltcs.npz", train=bits, valid=bits, test=bits)
    np.testing.assert_array_equal(load("nltcs", tmp_path).test, bits)


def test_names_in_a_file_cannot_write_over_the_line_that_tells_of_it(tmp_path):
    x = np.zeros((20, 2))
    np.savez(tmp_path / "x.npz", **{"x": x, "a\nb": x, "\x1b[2J": x})
    (tmp_path / "x.csv").write_text("label," + "class," * 100_000 + "class\x1b\n1,2\n")
    for name in ("x.npz", "x.csv"):
        with pytest.raises(ValueError, match=name) as error:
            load_file(tmp_path / name)
        assert str(error.value).isprintable() and len(str(error.value)) < 1000
