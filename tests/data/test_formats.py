import gzip
import io
import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from dgm_jax import checks
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
    with pytest.raises(ValueError, match="x-idx3-ubyte.* is (damaged|not an idx file)"):
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
    np.testing.assert_array_equal(formats.read_npz(path, x=())[0].shape, (1000,))
    flipped = bytearray(whole)
    flipped[3000] ^= 255
    for content in (whole[:100], whole[:-30], bytes(flipped), b"", b"not a zip at all"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.npz.* is damaged"):
            formats.read_npz(path, x=())


def test_npz_without_the_array_or_with_objects_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, y=np.zeros(3))
    with pytest.raises(ValueError, match=r"x\.npz: it has no array x; it holds 'y'"):
        formats.read_npz(path, x=())
    np.savez(path, objects=np.array([{}], object))
    with pytest.raises(ValueError, match="needs rows of numbers; got object"):
        formats.read_npz(path, objects=())


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


@pytest.mark.parametrize(
    "text",
    [
        "1 0\n1\n",
        "1,0\n1,\n",
        "1,0\n1,red\n",
        "1 0\nx 1\n",
        "1 0\n# 1 0\n1 1",
        "1 0 # 1\n",
        "1,0\n1,1#\n",
    ],
)
def test_text_of_other_than_numbers_says_where(tmp_path, text):
    path = tmp_path / "table.amat"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"table\.amat: .* at row \d.*; every row needs"):
        formats.read_text(path)


@pytest.mark.parametrize("text", ["", "a,b\n"])
def test_text_of_no_numbers_is_said_to_be_that(tmp_path, text):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=r"table\.csv: it holds no numbers"):
        formats.read_text(tmp_path / "table.csv")


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


# ------------------------------------------------------------------ sizes before memory
def head(*sizes, content=b""):
    return bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}i", *sizes) + content


def npy(kind="|u1", shape=(3,), content=bytes(3), by_columns=False, told=None):
    told = told or repr({"descr": kind, "fortran_order": by_columns, "shape": shape})
    told = told.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(told)) + told + content


def npz(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def refused(read, path, content, message, most=2**20):
    """In one line with the name of the file, and without allocating more than `most` bytes."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(checks.InputError, match=message) as error:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
    assert path.name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("sizes", [(100_000, 28, 28), (3,), (2**31 - 1, 1), (100_000_000,)])
def test_a_head_that_promises_too_much_costs_no_memory(tmp_path, sizes, packed):
    content = head(*sizes, content=bytes(20_000_000) if sizes[0] == 100_000_000 else b"12")
    path = tmp_path / f"x{'.gz' if packed else ''}"
    most = 2**20 if len(content) < 1000 or not packed else 2**27  # inflated to find its end
    content = gzip.compress(content) if packed else content
    refused(formats.read_idx, path, content, "is damaged", most)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (head(-1, 28, 28), r"negative shape \(-1, 28, 28\)"),
        (head(-28, -28, 1), "negative shape"),
        (head(2**31 - 1, 2**31 - 1, 2**31 - 1), r"GiB of numbers, above the limit of 4;"),
        (head(*[2**16] * 4), "above the limit"),  # 2^64 is 0 to a machine
        (head(1, content=b"12"), "more than the 1 bytes"),
    ],
)
def test_an_idx_of_impossible_size_is_refused(tmp_path, content, message):
    refused(formats.read_idx, tmp_path / "x", content, message)


def test_pictures_in_the_place_of_labels_are_refused_by_their_head(tmp_path):
    pictures = head(1000, 28, 28, content=bytes(784_000))
    refused(
        lambda path: formats.read_idx(path, ()),
        tmp_path / "train-labels-idx1-ubyte",
        pictures,
        r"an array of shape \(1000, 28, 28\), where \[n\] is due",
        100_000,
    )
    for wanted in ((28, 29), (784,)):
        with pytest.raises(ValueError, match="is due"):
            formats.read_idx(tmp_path / "train-labels-idx1-ubyte", wanted)


def test_what_inflates_beyond_the_limit_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MOST_BYTES", 2**20)
    message = r"above the limit of 0\.000977; take a part, or raise dgm_jax\.data\.formats"
    zeros = bytes(2**25)
    x = npy(shape=(2**25,), content=zeros)
    for name, read, content in (
        ("x.gz", formats.read_idx, gzip.compress(head(2**25, content=zeros))),
        ("x.npy", formats.read_npy, x),
        ("x.npz", formats.read_arrays, npz(x=x)),
        ("x.bin", formats.read_cifar_binary, bytes(3073 * 400)),
        ("x.csv", formats.read_text, b"0\n" * 2**18),
        ("x.csv.gz", formats.read_text, gzip.compress(b"0\n" * 2**24)),
        ("x.pickle", formats.read_frame, bytes(2**21)),
        ("x.txt", lambda path: formats.read_ids(path, "0"), b"0" * 2**18),
    ):
        refused(read, tmp_path / name, content, message, 2**22)
    many = npz(**{f"x{i}": npy(shape=(2**18,), content=bytes(2**18)) for i in range(5)})
    refused(formats.read_arrays, tmp_path / "many.npz", many, message)
    (one,) = formats.read_npz(tmp_path / "many.npz", x3=())
    assert one.shape == (2**18,)


def test_an_array_that_is_not_asked_for_is_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MOST_BYTES", 2**20)
    (tmp_path / "x.npz").write_bytes(npz(x=npy(), bomb=npy(shape=(2**24,), content=bytes(2**24))))
    np.testing.assert_array_equal(formats.read_npz(tmp_path / "x.npz", x=())[0], [0, 0, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(shape=(4,)), "is damaged.*it ends after 3 of 4 bytes|by its length"),
        (npy(shape=(2,)), "is damaged.*more than the 2 bytes"),
        (npy(shape=(-3,)), "negative shape"),
        (npy(shape=(True,)), "records"),
        (npy(shape=3, told="{'descr': '|u1', 'fortran_order': False, 'shape': 3}"), "records"),
        (npy(kind=[("a", "u1")]), "records"),
        (npy("|O"), "needs rows of numbers; got object"),
        (npy("<c16"), "needs rows of numbers; got complex128"),
        (npy("<f16"), "needs rows of numbers; got (float|longdouble)"),
        (npy("<U1"), "needs rows of numbers; got"),
        (npy("(3,)u1"), "needs rows of numbers; got"),
        (npy("<M8[s]"), "needs rows of numbers; got datetime64"),
        (npy("?", content=bytes([0, 1, 2])), "booleans other than 0 and 1"),
        (npy(told="(" * 900), "is damaged"),
        (npy(told="__import__('os').getcwd()"), "is damaged"),
        (npy(told=" " * 5000), "a head of 5001 bytes"),
        (npy(shape=(2**40, 0, 2**40), content=b""), "is damaged"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a head of 4294967295 bytes"),
        (b"\x93NUMPY\x03\x00\xff\xff\xff\xff", "not an .npy file of numbers"),
        (b"", "not an .npy file of numbers"),
    ],
)
def test_an_npy_that_contradicts_itself_is_refused_alone_and_in_an_archive(
    tmp_path, content, message
):
    refused(formats.read_npy, tmp_path / "x.npy", content, message)
    refused(formats.read_arrays, tmp_path / "x.npz", npz(x=content), f"array 'x'.*({message})")


@pytest.mark.parametrize("kind", ["?", "|i1", "<i2", ">i4", "<u8", ">f4", "<f2", ">f8"])
def test_an_npy_is_read_as_numpy_does(tmp_path, kind):
    x = (np.arange(24).reshape(2, 3, 4) % 2).astype(kind)
    for y in (x, np.asfortranarray(x), x[:0], x[0, 0, 0]):
        np.save(tmp_path / "x.npy", y)
        read = formats.read_npy(tmp_path / "x.npy")
        np.testing.assert_array_equal(read, y)
        assert read.dtype == y.dtype.newbyteorder("=")
    told = "{'descr': '|u1', 'fortran_order': False, 'shape': (3L,), }"  # of Python 2
    (tmp_path / "x.npy").write_bytes(npy(told=told))
    assert formats.read_npy(tmp_path / "x.npy", ()).tolist() == [0, 0, 0]


def test_an_archive_of_two_arrays_of_one_name_or_packed_otherwise_is_refused(tmp_path):
    for compression, names in ((zipfile.ZIP_LZMA, ["x"]), (zipfile.ZIP_STORED, ["x", "x"])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with zipfile.ZipFile(tmp_path / "x.npz", "w", compression) as archive:
                for name in names:
                    archive.writestr(f"{name}.npy", npy())
        with pytest.raises(ValueError, match="another way than deflate|two arrays in it have one"):
            formats.read_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,4\n", "it has 2 columns, where 3 are due"),
        ("1,2,3,4,5\n", "it has 5 columns, where 3 are due"),
        ("1,2,3,4\n1,2\n", "the number of columns changed from 4 to 2"),
        ("a,b\n", "it has 2 columns"),
    ],
)
def test_a_text_of_other_columns_is_refused(tmp_path, text, message):
    (tmp_path / "x.csv").write_text("1,2,3,4\n5,6,7,8\n")
    read = formats.read_text(tmp_path / "x.csv", columns=3, spare=1)
    np.testing.assert_array_equal(read, [[1, 2, 3], [5, 6, 7]])
    refused(
        lambda path: formats.read_text(path, columns=3, spare=1),
        tmp_path / "x.csv",
        text.encode(),
        message,
    )


def test_a_text_of_one_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "LINE", 1000)
    refused(formats.read_text, tmp_path / "x.csv", b"0 " * 1000, "longer than 1000 characters")


@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    for read in (formats.read_npy, formats.read_idx, formats.read_text, formats.read_frame):
        for path in (tmp_path / "x.npy", tmp_path):
            with pytest.raises(ValueError, match="it is no regular file"):
                read(path)


def test_ids_are_places_in_the_vocabulary_and_line_ends_are_one(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"ba\r\nb\n")
    assert formats.read_ids(tmp_path / "x.txt", "\nab").tolist() == [2, 1, 0, 2, 0]


def test_a_column_of_words_is_told_what_to_do_with_and_a_missing_number_is_not(tmp_path):
    for text, words in (("a,b\n1,sand\n", True), ("a,b\n1,\n", False), ("a,b\n1\n2,3\n", False)):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(checks.InputError, match="every row needs as many entries") as refused:
            formats.read_text(tmp_path / "x.csv")
        assert ("Write words as numbers" in str(refused.value)) == words
        assert ("at row 1, column 2 below the header" in str(refused.value)) == (
            text[-4:] != "2,3\n"
        )
        assert "damaged" not in str(refused.value)
