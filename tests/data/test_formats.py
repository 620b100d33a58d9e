import gzip
import os
import pickle

import numpy as np
import pytest

from dgm_jax.data import formats
from tests.data.published import cifar_pickle, idx


def cifar_rows(num=3):
    return np.random.default_rng(0).integers(0, 256, (num, 3072), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_is_read_back_with_its_shape(tmp_path, suffix):
    x = np.arange(2 * 300 * 3, dtype=np.uint8).reshape(2, 300, 3)
    path = tmp_path / f"x-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(idx(x)) if suffix else idx(x))
    np.testing.assert_array_equal(formats.read_idx(path), x)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("keep", [0, 3, 9, 500])
def test_truncated_idx_is_a_value_error_that_names_the_file(tmp_path, suffix, keep):
    x = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    path = tmp_path / f"x-idx3-ubyte{suffix}"
    path.write_bytes((gzip.compress(idx(x)) if suffix else idx(x))[:keep])
    with pytest.raises(ValueError, match="x-idx3-ubyte.* is damaged"):
        formats.read_idx(path)


def test_idx_of_other_numbers_than_bytes_is_refused(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\0\0\x0d\x01" + idx(np.zeros(4, np.uint8))[4:])
    with pytest.raises(ValueError, match="not an idx file of bytes"):
        formats.read_idx(path)


def test_damaged_npz_is_a_value_error_that_names_the_file(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random(1000))
    whole = path.read_bytes()
    np.testing.assert_array_equal(formats.read_npz(path, "x")[0].shape, (1000,))
    flipped = bytearray(whole)
    flipped[3000] ^= 255
    for content in (whole[:100], whole[:-30], bytes(flipped), b"", b"not a zip at all"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.npz is damaged"):
            formats.read_npz(path, "x")


def test_npz_without_the_array_or_with_objects_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, y=np.zeros(3))
    with pytest.raises(ValueError, match=r"x\.npz has no array x; it holds y"):
        formats.read_npz(path, "x")
    np.savez(path, objects=np.array([{}], object))
    with pytest.raises(ValueError, match="damaged or in another format"):
        formats.read_npz(path, "objects")


@pytest.mark.parametrize(
    "text",
    [
        "1 0\n0.5 1\n",
        "1,0\n0.5,1\n",
        "a,b\n1,0\n0.5,1\n",
        "\ufeffa,b\n1, 0\n.5, 1",
        "x y\n1 0\n5e-1 1",
    ],
)
def test_text_tables_by_comma_or_space_with_or_without_header(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(formats.read_text(path), [[1, 0], [0.5, 1]])


@pytest.mark.parametrize("text", ["", "a,b\n", "1 0\n1\n", "1,0\n1,\n", "1 0\nx 1\n"])
def test_damaged_text_is_a_value_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "table.amat"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"table\.amat is damaged"):
        formats.read_text(path)


def test_cifar_binary_and_pickled_are_the_same_pictures(tmp_path):
    rows, labels = cifar_rows(), [3, 9, 0]
    (tmp_path / "b.bin").write_bytes(np.c_[np.array(labels, np.uint8), rows].tobytes())
    (tmp_path / "b").write_bytes(cifar_pickle(rows, labels))
    for x, y in (
        formats.read_cifar_binary(tmp_path / "b.bin"),
        formats.read_cifar_pickle(tmp_path / "b"),
    ):
        assert y.tolist() == labels
        np.testing.assert_array_equal(x[1, 5, 7], rows[1].reshape(3, 32, 32)[:, 5, 7])


def test_cifar_pickled_by_todays_numpy_is_read(tmp_path):
    content = {b"data": cifar_rows(), b"labels": [1, 2, 3]}
    for protocol in (2, 3, 4):
        (tmp_path / "b").write_bytes(pickle.dumps(content, protocol))
        x, y = formats.read_cifar_pickle(tmp_path / "b")
        assert x.shape == (3, 32, 32, 3) and y.tolist() == [1, 2, 3]


def test_truncated_cifar_is_a_value_error_that_names_the_file(tmp_path):
    whole = cifar_pickle(cifar_rows(), [1, 2, 3])
    for content in (whole[:-100], whole[:30], whole[:4000], b""):
        (tmp_path / "data_batch_1").write_bytes(content)
        with pytest.raises(ValueError, match="data_batch_1 is damaged"):
            formats.read_cifar_pickle(tmp_path / "data_batch_1")
    (tmp_path / "data_batch_1.bin").write_bytes(cifar_rows().tobytes())
    with pytest.raises(ValueError, match=r"data_batch_1\.bin is damaged"):
        formats.read_cifar_binary(tmp_path / "data_batch_1.bin")


class Malicious:
    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("call", [os.mkdir, eval, getattr, np.load, np.fromfile])
def test_a_pickle_that_names_anything_but_arrays_is_refused_unrun(tmp_path, protocol, call):
    target = tmp_path / "made"
    argument = f"__import__('os').mkdir({str(target)!r})" if call is eval else str(target)
    content = {b"data": Malicious(call, argument), b"labels": []}
    (tmp_path / "b").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(ValueError, match="is no part of an array"):
        formats.read_cifar_pickle(tmp_path / "b")
    assert not target.exists()


def test_a_missing_file_stays_a_missing_file(tmp_path):
    for read in (formats.read_idx, formats.read_npz, formats.read_text, formats.read_cifar_pickle):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
