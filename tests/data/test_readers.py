import ast
import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.data import bundled, formats, own, readers
from dgm_jax.data.readers import LOADERS, SHAKESPEARE, load, load_file, subset
from tests.data.published import cifar_pickle, idx

rng = np.random.default_rng(0)


def write_mnist(folder, name, suffix):
    files = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte": np.arange(30, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (4, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(4, dtype=np.uint8),
    }
    (folder / name).mkdir()
    for file, x in files.items():
        content = gzip.compress(idx(x)) if suffix else idx(x)
        (folder / name / (file + suffix)).write_bytes(content)
    return files


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_holds_out_the_last_sixth_and_comes_as_int32(tmp_path, name, suffix):
    files = write_mnist(tmp_path, name, suffix)
    data = load(name, tmp_path)
    assert {x.dtype for x in data[1:4]} == {np.dtype(np.int32)}
    x = files["train-images-idx3-ubyte"]
    np.testing.assert_array_equal(data.train, x[:25])
    np.testing.assert_array_equal(data.valid, x[25:])
    np.testing.assert_array_equal(data.test, files["t10k-images-idx3-ubyte"])
    assert data.labels["valid"].tolist() == [5, 6, 7, 8, 9]
    assert data.labels["test"].dtype == np.int32
    assert (data.name, data.num_levels) == (name, 256)


def test_mnist_with_other_labels_than_pictures_is_refused(tmp_path):
    write_mnist(tmp_path, "mnist", "")
    path = tmp_path / "mnist/t10k-labels-idx1-ubyte"
    path.write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(ValueError, match="mnist test: 4 rows, but 3 labels"):
        load("mnist", tmp_path)


def test_binarized_mnist_from_text_equals_that_from_arrays(tmp_path):
    parts = {split: rng.integers(0, 2, (3, 784), dtype=np.uint8) for split in readers.SPLITS}
    folder = tmp_path / "binarized_mnist"
    folder.mkdir()
    for split, x in parts.items():
        np.savetxt(folder / f"binarized_mnist_{split}.amat", x, fmt="%d")
    text = load("binarized_mnist", tmp_path)
    np.savez(folder / "binarized_mnist.npz", **parts)
    arrays = load("binarized_mnist", tmp_path)
    for split, x in parts.items():
        np.testing.assert_array_equal(getattr(text, split), x.reshape(3, 28, 28))
        np.testing.assert_array_equal(getattr(arrays, split), x.reshape(3, 28, 28))


def test_binarized_mnist_refuses_grey_levels(tmp_path):
    (tmp_path / "binarized_mnist").mkdir()
    for split in readers.SPLITS:
        path = tmp_path / f"binarized_mnist/binarized_mnist_{split}.amat"
        np.savetxt(path, np.full((2, 784), 0.5))
    with pytest.raises(ValueError, match=r"whole numbers in 0\.\.1; got 0\.5"):
        load("binarized_mnist", tmp_path)


def test_binary_tables_from_text(tmp_path):
    (tmp_path / "binary_density").mkdir()
    for split in readers.SPLITS:
        rows = ("0,1,1,1" + 12 * ",0", "1,0,0,1" + 12 * ",1")
        (tmp_path / f"binary_density/nltcs.{split}.data").write_text("\n".join(rows))
    data = load("nltcs", tmp_path)
    np.testing.assert_array_equal(data.test, [[0, 1, 1, 1] + 12 * [0], [1, 0, 0, 1] + 12 * [1]])
    assert data.labels is None and data.num_levels == 2


def test_cifar10_of_every_published_kind_is_the_same(tmp_path):
    """Ten pictures: two a training batch."""
    rows, labels = rng.integers(0, 256, (12, 3072), dtype=np.uint8), list(range(10)) + [4, 2]
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for kind in "bin", "py":
        folder = tmp_path / f"{kind}/cifar10/cifar-10-batches-{kind}"
        folder.mkdir(parents=True)
        for i, name in enumerate(names):
            x, y = rows[2 * i : 2 * i + 2], labels[2 * i : 2 * i + 2]
            if kind == "py":
                (folder / name).write_bytes(cifar_pickle(x, y))
            else:
                (folder / f"{name}.bin").write_bytes(np.c_[np.array(y, np.uint8), x].tobytes())
    binary, pickled = load("cifar10", tmp_path / "bin"), load("cifar10", tmp_path / "py")
    for a, b in zip(binary[1:4], pickled[1:4], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(binary.valid[0, 5, 6], rows[9].reshape(3, 32, 32)[:, 5, 6])
    assert binary.train.shape == (9, 32, 32, 3) and pickled.labels["test"].tolist() == [4, 2]
    (tmp_path / "py/cifar10/cifar-10-batches-py/data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match="data_batch_3.*DGM_DATA"):
        load("cifar10", tmp_path / "py")


def test_cifar10_undoes_the_differences_of_the_reduced_file(tmp_path):
    (tmp_path / "cifar10").mkdir()
    x = rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    red, green, blue = np.moveaxis(x, -1, 0)
    delta = np.stack([red - green, green, blue - green], 1)  # [n, 3, 32, 32], mod 256
    delta[..., 1:] = delta[..., 1:] - delta[..., :-1]
    for part in "train", "test":
        np.savez(tmp_path / f"cifar10/cifar10_{part}10k.npz", x_delta=delta, y=np.arange(10))
    data = load("cifar10", tmp_path)
    np.testing.assert_array_equal(data.test, x)
    np.testing.assert_array_equal(data.valid, x[9:])


def test_spoken_digits_are_cut_and_padded_to_one_length(tmp_path):
    (tmp_path / "fsdd").mkdir()
    audio = np.full(5000 + 100, 16384, np.int16)
    for part in "train", "test":
        np.savez(
            tmp_path / f"fsdd/fsdd_{part}.npz",
            **{"audio": audio, "offset": [0, 100, 5100], "digit": [3, 7], "take": [25, 24]},
        )
    data = load("spoken_digits", tmp_path)
    np.testing.assert_array_equal(data.train, np.full((1, 4096), 0.5))
    assert (data.valid[0] != 0).sum() == 100 and data.labels["valid"].tolist() == [3]
    assert data.train.dtype == np.float32 and data.num_levels is None


def test_dsprites_holds_out_nothing_of_its_grid_and_labels_the_full_grid(tmp_path):
    (tmp_path / "dsprites").mkdir()
    for file, index in {"grid46080": [0, 2, 737279], "random20000": range(1, 30)}.items():
        index = np.array(index, np.int32)
        x = np.broadcast_to((index % 2)[:, None, None], (len(index), 64, 64)).astype(np.uint8)
        np.savez(tmp_path / f"dsprites/dsprites_{file}.npz", x=x, original_index=index)
    data = load("dsprites", tmp_path)
    assert data.labels["train"].tolist() == [[0] * 5, [0, 0, 0, 0, 2], [2, 5, 39, 31, 31]]
    held_out = np.concatenate([data.labels["valid"], data.labels["test"]])[:, 4]
    assert sorted(held_out) == [1, *range(3, 30)]
    np.testing.assert_array_equal(data.test[:, 0, 0], data.labels["test"][:, 4] % 2)


def test_patches_have_noise_of_their_split_no_mean_and_no_last_pixel(tmp_path):
    (tmp_path / "bsds300_patches").mkdir()
    x = rng.integers(0, 256, (4, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "bsds300_patches/bsds300_patches.npz", train=x, valid=x, test=x)
    data = load("bsds300_patches", tmp_path)
    want = (x.reshape(4, 64) + np.random.default_rng(1).random((4, 64))) / 256
    want -= want.mean(1, keepdims=True)
    np.testing.assert_allclose(data.valid, want[:, :63], atol=1e-6)
    assert data.train.dtype == np.float32
    assert not np.array_equal(data.train, data.test)


def test_tiny_shakespeare_is_ids_of_its_vocabulary_in_order(tmp_path):
    (tmp_path / "tiny_shakespeare").mkdir()
    text = "First Citizen:\nBefore we proceed any further, hear me speak.\n" * 10
    (tmp_path / "tiny_shakespeare/input.txt").write_text(text)
    data = load("tiny_shakespeare", tmp_path)
    assert "".join(SHAKESPEARE[i] for part in data[1:4] for i in part) == text
    assert len(SHAKESPEARE) == data.num_levels == 65
    (tmp_path / "tiny_shakespeare/input.txt").write_text("Grüße")
    with pytest.raises(
        ValueError, match=r"input\.txt: byte 195 at place 2 is not in the vocabulary"
    ):
        load("tiny_shakespeare", tmp_path)


def test_digits_reproduce_the_reference_figures_of_their_split():
    """Bits/dim on test: global histogram 2.974, one histogram a pixel 2.431."""
    data = load("digits")
    assert [len(x) for x in data[1:4]] == [1297, 200, 300]
    everywhere = np.bincount(data.train.ravel(), minlength=17) / data.train.size
    assert abs(-np.log2(everywhere[data.test]).mean() - 2.974) < 1e-3
    train, test = data.train.reshape(-1, 64), data.test.reshape(-1, 64)
    count = np.stack([np.bincount(column, minlength=17) for column in train.T]) + 0.1
    by_pixel = count / count.sum(1, keepdims=True)
    assert abs(-np.log2(by_pixel[np.arange(64), test]).mean() - 2.431) < 1e-3


@pytest.mark.parametrize("name", sorted(LOADERS.keys() - bundled.SETS))
def test_a_missing_set_says_what_where_and_how(tmp_path, monkeypatch, name):
    with pytest.raises(FileNotFoundError, match=f"{name}: found none.* in {tmp_path}.*--data-dir"):
        load(name, tmp_path)
    monkeypatch.delenv("DGM_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="no data folder is set.*DGM_DATA.*Published as"):
        load(name)


def test_data_folder_is_the_argument_before_the_environment(tmp_path, monkeypatch):
    write_mnist(tmp_path, "mnist", "")
    monkeypatch.setenv("DGM_DATA", str(tmp_path))
    assert len(load("mnist").test) == 4
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        load("mnist", tmp_path / "elsewhere")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'mnist'"):
        load("mnits")


def test_own_table_is_shuffled_by_seed_zero_and_split_80_10_10(tmp_path):
    x = rng.normal(size=(25, 3))
    np.savetxt(tmp_path / "own.csv", x, delimiter=",", header="a,b,c", comments="")
    np.save(tmp_path / "own.npy", x)
    np.savez(tmp_path / "own.npz", anything=x)
    want = x[np.random.default_rng(0).permutation(25)].astype(np.float32)
    for suffix in "csv", "npy", "npz":
        data = load_file(tmp_path / f"own.{suffix}")
        assert [len(part) for part in data[1:4]] == [21, 2, 2]
        np.testing.assert_allclose(np.concatenate(data[1:4]), want)
        assert data.train.dtype == np.float32 and data.num_levels is None


def test_own_npz_keeps_its_split(tmp_path):
    parts = {split: rng.integers(0, 5, (n, 2)) for split, n in zip(readers.SPLITS, (1, 2, 3))}
    np.savez(tmp_path / "own.npz", **parts)
    data = load_file(tmp_path / "own.npz")
    for split in readers.SPLITS:
        np.testing.assert_array_equal(getattr(data, split), parts[split])
    np.savez(tmp_path / "own.npz", train=parts["train"], valid=parts["test"])
    with pytest.raises(ValueError, match="holds train, valid; it needs the arrays train, valid"):
        load_file(tmp_path / "own.npz")


@pytest.mark.parametrize(
    ("x", "num_levels"),
    [
        (np.full((10, 2), 200, np.uint8), 256),
        (np.full((10, 2), 200, np.int64), 201),
        (np.full((10, 2), True), 2),
        (np.full((10, 2), 1, np.uint8), 2),
        (np.full((10, 2), 4.0), 5),
        (np.full((10, 2), -1), None),
        (np.full((10, 2), 2**40), None),
        (np.full((10, 2), 0.5), None),
    ],
)
def test_own_numbers_are_int32_levels_or_float32(tmp_path, x, num_levels):
    np.save(tmp_path / "own.npy", x)
    data = load_file(tmp_path / "own.npy")
    assert data.num_levels == num_levels
    assert data.train.dtype == (np.float32 if num_levels is None else np.int32)
    np.testing.assert_allclose(data.train, x[:8].astype(float))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((10, 2), np.nan), "NaN or infinite"),
        (np.full((10, 2), 1e300), "NaN or infinite"),
        (np.zeros((9, 2)), "needs 10 rows"),
        (np.zeros(12), r"of shape \(12,\); it needs rows of numbers.*such as x\[:, None\]"),
        (np.zeros(()), "needs 10 rows"),
        (np.full((10, 2), "a"), "needs rows of numbers"),
        (np.full((10, 2), 1j), "needs rows of numbers"),
    ],
)
def test_own_bad_array_is_refused_by_name(tmp_path, x, message):
    np.save(tmp_path / "own.npy", x)
    with pytest.raises(ValueError, match=rf"own\.npy.*{message}"):
        load_file(tmp_path / "own.npy")


@pytest.mark.parametrize(
    ("x", "column"),
    [
        (np.arange(2**24 - 4, 2**24 + 6), 0),
        (-np.arange(2**24 - 4, 2**24 + 6), 0),
        (np.arange(10) + 2**60, 0),
        (np.arange(10, dtype=np.uint64) + 2**63, 0),
        (np.c_[np.full(10, 0.5), 1.6e9 + np.arange(10)], 1),
    ],
)
def test_own_whole_numbers_that_float32_merges_are_refused(tmp_path, x, column):
    np.save(tmp_path / "own.npy", x.reshape(10, -1))
    message = rf"own\.npy: column {column} holds whole numbers beyond 16777216"
    with pytest.raises(ValueError, match=message):
        load_file(tmp_path / "own.npy")


def test_own_large_numbers_that_are_no_integers_are_rounded_as_floats_are(tmp_path):
    x = np.c_[np.arange(10) * 1e22 + 1, np.arange(10) * 1e8 + 0.5, np.arange(10) - 2.0**24]
    np.save(tmp_path / "own.npy", x)
    assert load_file(tmp_path / "own.npy").num_levels is None


def test_own_file_of_unknown_kind_or_missing(tmp_path):
    (tmp_path / "own.xlsx").write_text("")
    with pytest.raises(ValueError, match="suffix of path.* must be one of .csv"):
        load_file(tmp_path / "own.xlsx")
    with pytest.raises(FileNotFoundError, match="none.csv"):
        load_file(tmp_path / "none.csv")


def test_subset_is_a_random_sample_without_replacement():
    x = np.arange(100)
    part = subset(x, 30)
    assert len(set(part)) == 30 and part.max() > 60
    np.testing.assert_array_equal(part, subset(x, 30, seed=0))
    assert not np.array_equal(part, subset(x, 30, seed=1))
    with pytest.raises(ValueError, match="num must be at most the 100 rows"):
        subset(x, 101)


def test_readers_import_nothing_but_numpy_and_the_checks():
    for module in readers, formats, own, bundled:
        for node in ast.parse(Path(module.__file__).read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("jax", "distrax", "sklearn") for name in names)


# --- sets that contradict themselves ------------------------------------------------------------


def save(folder, path, **arrays):
    file = folder / path
    file.parent.mkdir(exist_ok=True)
    np.savez(file, **arrays)


def faces(n=10, **changes):
    x = np.zeros((n, 64, 64), np.uint8)
    return {"x": x, "person": np.arange(n) * 4} | changes


@pytest.mark.parametrize(
    ("person", "message"),
    [
        (np.arange(10) * 5, r"labels of olivetti_faces test must lie in 0\.\.39; got 35\.\.45"),
        (np.arange(10) * 4 - 1, r"labels of olivetti_faces train must lie in 0\.\.39; got -1"),
        (np.arange(10) * 4 + 0.5, r"must be integers \[n\]; got float64"),
        (np.where(np.arange(10) == 3, np.nan, np.arange(10) * 4), "must be integers|rows"),
        (np.arange(9) * 4, "rows of unequal number: 10 of x, 9 of person"),
        (np.zeros((10, 2), int), r"array 'person': .*where \[n\] is due"),
    ],
)
def test_labels_of_no_class_are_refused(tmp_path, person, message):
    save(tmp_path, "olivetti_faces/olivetti_faces.npz", **faces(person=person))
    with pytest.raises(checks.InputError, match=message):
        load("olivetti_faces", tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_pictures_and_labels_that_changed_places_are_refused(tmp_path, name):
    files = write_mnist(tmp_path, name, "")
    pictures = files["train-images-idx3-ubyte"]
    (tmp_path / name / "train-labels-idx1-ubyte").write_bytes(idx(pictures))
    with pytest.raises(checks.InputError, match=r"train-labels.*where \[n\] is due"):
        load(name, tmp_path)
    (tmp_path / name / "train-labels-idx1-ubyte").write_bytes(idx(np.full(30, 10, np.uint8)))
    with pytest.raises(checks.InputError, match=rf"labels of {name} train must lie in 0\.\.9"):
        load(name, tmp_path)
    (tmp_path / name / "train-images-idx3-ubyte").write_bytes(idx(pictures[:, :27]))
    with pytest.raises(checks.InputError, match=r"train-images.*where \[n, 28, 28\] is due"):
        load(name, tmp_path)


def test_cifar10_of_a_class_beyond_the_tenth_is_refused(tmp_path):
    folder = tmp_path / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        (folder / f"{name}.bin").write_bytes(bytes([200 if name == "test_batch" else 3] * 3073 * 2))
    with pytest.raises(checks.InputError, match=r"labels of cifar10 test must lie in 0\.\.9"):
        load("cifar10", tmp_path)
    (folder / "data_batch_3.bin").write_bytes(b"")
    with pytest.raises(checks.InputError, match=r"data_batch_3\.bin is damaged"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (np.arange(12) % 4, r"split of .*npz must lie in 0\.\.2; got 0\.\.3"),
        (np.arange(12) % 3 + 0.5, "split of .*must be integers"),
        (np.arange(12) % 2, "caltech_silhouettes test is empty"),
        (np.arange(11) % 3, "rows of unequal number"),
    ],
)
def test_rows_of_no_split_do_not_vanish(tmp_path, split, message):
    x, y = np.zeros((12, 28, 28), bool), np.arange(12)
    save(tmp_path, "caltech_silhouettes/caltech101_silhouettes_28.npz", x=x, y=y, split=split)
    with pytest.raises(checks.InputError, match=message):
        load("caltech_silhouettes", tmp_path)


@pytest.mark.parametrize("shape", [(300, 16, 16), (300, 64), (300, 63), (300,)])
def test_patches_of_another_size_are_refused(tmp_path, shape):
    x = np.zeros(shape, np.uint8)
    save(tmp_path, "bsds300_patches/bsds300_patches.npz", train=x, valid=x, test=x)
    with pytest.raises(checks.InputError, match=r"array 'train': .*where \[n, 8, 8\] is due"):
        load("bsds300_patches", tmp_path)


@pytest.mark.parametrize("x", [np.full((5, 8, 8), 0.5), np.full((5, 8, 8), 300)])
def test_patches_of_other_numbers_than_bytes_are_refused(tmp_path, x):
    save(tmp_path, "bsds300_patches/bsds300_patches.npz", train=x, valid=x, test=x)
    with pytest.raises(checks.InputError, match="train of .*must (be integers|lie in 0..255)"):
        load("bsds300_patches", tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"original_index": [0, 2, 737280]},
        {"original_index": [-1, 0, 2]},
        {"original_index": [0.0, 1.0, 2.0]},
        {"original_index": [0, 1]},
        {"x": np.zeros((3, 32, 32))},
    ],
)
def test_dsprites_of_no_place_in_the_grid_are_refused(tmp_path, changes):
    arrays = {"x": np.zeros((3, 64, 64), bool), "original_index": [0, 2, 5]} | changes
    for file in "grid46080", "random20000":
        save(tmp_path, f"dsprites/dsprites_{file}.npz", **arrays)
    with pytest.raises(checks.InputError, match=r"dsprites_grid46080\.npz"):
        load("dsprites", tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": [0, 100, 50, 200]},
        {"offset": [0, 100, 150, 201]},
        {"offset": [0, 100, 200]},
        {"offset": [-1, 100, 150, 200]},
        {"take": [5, 25, 50]},
        {"take": [5, 25, np.nan]},
        {"digit": [1, 2]},
        {"audio": np.zeros(200)},
        {"audio": np.zeros((200, 2), np.int16)},
    ],
)
def test_clips_that_do_not_lie_in_their_sound_are_refused(tmp_path, changes):
    clips = {"audio": np.zeros(200, np.int16), "offset": [0, 100, 150, 200]}
    clips |= {"digit": [1, 2, 3], "take": [5, 6, 25]}
    save(tmp_path, "fsdd/fsdd_train.npz", **(clips | changes))
    save(tmp_path, "fsdd/fsdd_test.npz", **clips)
    with pytest.raises(checks.InputError, match=r"fsdd_train\.npz"):
        load("spoken_digits", tmp_path)


@pytest.mark.parametrize("columns", [15, 17])
def test_a_binary_table_of_other_columns_is_refused(tmp_path, columns):
    x = np.zeros((5, columns), np.uint8)
    save(tmp_path, "binary_density/nltcs.npz", train=x, valid=x, test=x)
    with pytest.raises(checks.InputError, match=rf"a row of train is \({columns},\).*\(16,\)"):
        load("nltcs", tmp_path)


def test_rows_and_classes_are_those_of_the_table():
    told = re.findall(
        r"^\| ([a-z][\w, ]*?) +\| [\w/ ]+ +\| ([\d, ]+|\(scalar\)) +\|", readers.__doc__, re.M
    )
    rows = {name: row for names, row in told for name in names.split(", ")}
    assert rows.keys() == readers.ROWS.keys() == LOADERS.keys()
    for name, row in rows.items():
        assert tuple(map(int, re.findall(r"\d+", row))) == readers.ROWS[name]


# --- the real files, where there are any --------------------------------------------------------

SIZES = {  # from the table in readers.py
    "mnist": ((50000, 10000, 10000), (28, 28)),
    "fashion_mnist": ((50000, 10000, 10000), (28, 28)),
    "binarized_mnist": ((50000, 10000, 10000), (28, 28)),
    "omniglot": ((23000, 1345, 8070), (28, 28)),
    "caltech_silhouettes": ((4100, 2264, 2307), (28, 28)),
    "frey_faces": ((1565, 200, 200), (28, 20)),
    "olivetti_faces": ((300, 50, 50), (64, 64)),
    "dsprites": ((46080, 3750, 15004), (64, 64)),
    "bsds300_patches": ((200000, 10000, 50000), (63,)),
    "power": ((1659917, 184435, 204928), (6,)),
    "gas": ((852174, 94685, 105206), (8,)),
    "hepmass": ((315123, 35013, 174987), (21,)),
    "miniboone": ((29556, 3284, 3648), (43,)),
    "miniboone_head": ((1234, 137, 152), (43,)),
    "spoken_digits": ((1200, 300, 300), (4096,)),
    "tiny_shakespeare": ((1003854, 55770, 55770), ()),
    "nltcs": ((16181, 2157, 3236), (16,)),
    "baudio": ((15000, 2000, 3000), (100,)),
    "bnetflix": ((15000, 2000, 3000), (100,)),
    "jester": ((9000, 1000, 4116), (100,)),
    "accidents": ((12758, 1700, 2551), (111,)),
    "mushrooms": ((2000, 500, 5624), (112,)),
    "adult": ((5000, 1414, 26147), (123,)),
    "pumsb_star": ((12262, 1635, 2452), (163,)),
    "bbc": ((1670, 225, 330), (1058,)),
    "voting": ((1214, 200, 350), (1359,)),
}
needs_files = pytest.mark.skipif("DGM_DATA" not in os.environ, reason="DGM_DATA is not set")


def real(name):
    try:
        return load(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@needs_files
@pytest.mark.parametrize("name", SIZES)
def test_real_set_has_the_sizes_of_the_table(name):
    data = real(name)
    sizes, row = SIZES[name]
    assert tuple(len(x) for x in data[1:4]) == sizes
    assert {x.shape[1:] for x in data[1:4]} == {row}


@needs_files
@pytest.mark.parametrize(
    ("name", "mean", "std"), [("mnist", 0.1307, 0.3081), ("fashion_mnist", 0.2860, 0.3530)]
)
def test_real_mnist_family_has_the_published_moments_and_classes(name, mean, std):
    data = real(name)
    x = np.concatenate([data.train, data.valid]) / 255
    np.testing.assert_allclose([x.mean(), x.std()], [mean, std], atol=1e-4)
    if name == "fashion_mnist":
        assert np.bincount(data.labels["test"]).tolist() == [1000] * 10


@needs_files
def test_real_binarized_mnist_has_the_published_means():
    means = [x.mean() for x in real("binarized_mnist")[1:4]]
    np.testing.assert_allclose(means, [0.13056, 0.13113, 0.13251], atol=1e-5)


@needs_files
def test_real_cifar10_has_the_published_pixels_labels_and_means():
    data = real("cifar10")
    assert data.train[0, 0, 0].tolist() == [59, 62, 63]
    assert data.test[0, 0, 0].tolist() == [158, 112, 49]
    assert data.labels["train"][:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert data.labels["test"][:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    means = (data.test / 255).mean((0, 1, 2))
    np.testing.assert_allclose(means, [0.49421, 0.48513, 0.45041], atol=1e-5)


@needs_files
def test_real_dsprites_grid_is_every_combination_in_order():
    data = real("dsprites")
    factors = data.labels["train"].reshape(3, 6, 10, 16, 16, 5)
    np.testing.assert_array_equal(factors[2, 5, 9, 15, 15], [2, 5, 36, 30, 30])
    in_grid = (data.labels["test"] % [1, 1, 4, 2, 2] == 0).all(1)
    assert not in_grid.any()


@needs_files
def test_real_patches_score_a_gaussian_as_published():
    """A Gaussian with full covariance: 95.98 nats on test, standard error 0.3."""
    data = real("bsds300_patches")
    cov = np.cov(data.train.T.astype(np.float64))
    z = np.linalg.solve(np.linalg.cholesky(cov), data.test.T - data.train.mean(0)[:, None])
    log_p = -0.5 * ((z**2).sum(0) + np.linalg.slogdet(2 * np.pi * cov)[1])
    assert abs(log_p.mean() - 95.98) < 0.02


@needs_files
def test_real_small_sets_have_the_stated_statistics():
    assert abs(np.mean(np.concatenate(real("caltech_silhouettes")[1:4])) - 0.456) < 1e-3
    assert abs(np.mean(np.concatenate(real("omniglot")[1:4])) - 0.0805) < 1e-3
    frey = np.concatenate(real("frey_faces")[1:4])
    assert (frey.min(), frey.max()) == (8, 238)
    olivetti = real("olivetti_faces")
    assert set(olivetti.labels["test"]) == set(range(35, 40))
    assert max(x.max() for x in olivetti[1:4]) == 242
