import pickle
import pickletools
import tracemalloc

import numpy as np
import pytest

from dgm_jax.data import formats, pickles
from tests.data.published import frame_pickle, python_2


def array_pickle(shape=(2, 3), code="u1", order="|", content=bytes(6), flags=0, by_columns=False):
    """What numpy writes of an array, each part as it is given here; protocol 2."""
    kind = Call("numpy", "dtype", (code, False, True), (3, order, None, None, None, -1, -1, flags))
    start = (Global("numpy", "ndarray"), (0,), b"b")
    state = (1, shape, kind, by_columns, content)
    return written(Call("numpy.core.multiarray", "_reconstruct", start, state))


class Global:
    def __init__(self, module, name):
        self.module, self.name = module, name


class Call(Global):
    def __init__(self, module, name, args, state):
        super().__init__(module, name)
        self.args, self.state = args, state


def opcodes(told) -> bytes:
    if isinstance(told, Call):
        call = Global(told.module, told.name), told.args, told.state
        name, args, state = map(opcodes, call)
        return name + args + b"R" + state + b"b"
    if isinstance(told, Global):
        return f"c{told.module}\n{told.name}\n".encode()
    if isinstance(told, (tuple, list)):
        inside = b"(" + b"".join(map(opcodes, told))
        return inside + (b"t" if isinstance(told, tuple) else b"l")
    if isinstance(told, dict):
        return b"(" + b"".join(opcodes(part) for pair in told.items() for part in pair) + b"d"
    return pickle.dumps(told, 3)[2:-1]


def written(told) -> bytes:
    return b"\x80\x03" + opcodes(told) + b"."


def cifar(x=None, **changes):
    """A batch of CIFAR-10 whose array is told by `changes`."""
    array = array_pickle(**changes)[2:-1] if x is None else x
    return b"\x80\x03}(C\x04data" + array + b"C\x06labels](K\x01eu."


def addresses():
    """Objects that lie about themselves: kind O8 without its flags, and bytes for addresses."""
    return {"shape": (1, 3072), "code": "O8", "content": b"\x41" * 8 * 3072, "flags": 0}


def test_an_array_of_objects_without_its_flags_reads_no_addresses(tmp_path):
    (tmp_path / "b").write_bytes(cifar(**addresses()))
    with pytest.raises(ValueError, match="an array of 'O8' in it holds no plain numbers"):
        formats.read_cifar_pickle(tmp_path / "b")
    state = ([], [pickles.read(array_pickle(**addresses()))], [[]])
    assert isinstance(state[1][0], pickles.Made)  # a note: nothing was made of it
    with pytest.raises(ValueError, match="no plain numbers"):
        pickles.array(state[1][0])


@pytest.mark.timeout(20)
@pytest.mark.parametrize("told", [{}, [], 3, "text", None, (1, 2), {"_data": {}}, [[]]], ids=str)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_is_no_frame_is_refused_at_once(tmp_path, told, protocol):
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(told, protocol))
    with pytest.raises(ValueError, match=r"x\.pickle: no data frame of pandas before 1\.3"):
        formats.read_frame(tmp_path / "x.pickle")
    with pytest.raises(ValueError, match="stands where an array is due"):
        formats.read_cifar_pickle(tmp_path / "x.pickle")


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("code", pickles.PLAIN)
def test_arrays_are_read_as_numpy_wrote_them(code, protocol):
    x = np.arange(-3, 9).reshape(3, 4) % (2 if code == "b1" else 100)
    for order in "<>":
        for y in (x, x.T, np.asfortranarray(x), x[:1, :1], x[1]):
            y = y.astype(np.dtype(code).newbyteorder(order))
            z = pickles.array(pickles.read(pickle.dumps(y, protocol)))
            assert z.dtype == np.dtype(code) and z.flags.c_contiguous
            np.testing.assert_array_equal(z, y)


@pytest.mark.parametrize("protocol", range(5))
def test_containers_numbers_and_text_are_read_as_the_standard_library_does(protocol):
    shared = ["a", 2**70, -1.5, True, None, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), "é\n'☃"]
    told = {"one": shared, "two": [shared, {}, {"x": -7}, b"\x00\xff'\""], "long": "x" * 300}
    read = pickles.read(pickle.dumps(told, protocol))
    if protocol == 0:  # which has no bytes, and quotes them
        assert read["one"] == shared and read["two"][0] is read["one"]
    else:
        assert read == told and read["two"][0] is read["one"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"content": bytes(5)}, r"5 bytes in it are no array \(2, 3\) of u1"),
        ({"content": bytes(7)}, "7 bytes in it are no array"),
        ({"code": "f8"}, "6 bytes in it are no array"),
        ({"shape": (2**62, 3)}, "6 bytes in it are no array"),
        ({"shape": (-2, -3)}, "has no shape"),
        ({"shape": (2**80,)}, "has no shape"),
        ({"shape": (True, 6)}, "has no shape"),
        ({"shape": [2, 3]}, "has no shape"),
        ({"shape": 6}, "has no shape"),
        ({"shape": (1,) * 33, "content": b"0"}, "has no shape"),
        ({"content": [0] * 6}, "no plain numbers"),
        ({"content": "000000"}, "no plain numbers"),
        ({"code": "c8"}, "'c8' in it holds no plain numbers"),
        ({"code": "f16"}, "no plain numbers"),
        ({"code": "V1"}, "no plain numbers"),
        ({"code": "U1"}, "no plain numbers"),
        ({"code": "i1,i1"}, "no plain numbers"),
        ({"code": "(2,)u1"}, "no plain numbers"),
        ({"code": 8}, "no kind that has a name"),
        ({"order": "!"}, "no byte order"),
        ({"code": "b1", "content": bytes([0, 1, 2, 0, 1, 0])}, "booleans in it holds others"),
    ],
)
def test_an_array_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        pickles.array(pickles.read(array_pickle(**changes)))


def test_flags_of_a_kind_are_ignored():
    for flags in (0, 1, 27, 63, -1, 2**40):
        x = pickles.array(pickles.read(array_pickle(flags=flags, content=bytes(range(6)))))
        np.testing.assert_array_equal(x, [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b".",
        b"NN.",
        b"N",
        b"(.",
        b"0.",
        b"h\x00.",
        b"}NNs.",
        b"}" + b")" + b"\x85" * 300_000 + b"Ns.",  # the hash of a deep tuple ends the program
        b"(" * 1000 + b"t.",
        b"T\xff\xff\xff\x7fa.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",
        b"\x8b\xff\xff\xff\xffa.",
        b"I" + b"9" * 5000 + b"\n.",
        b"]N\x90.",  # a set
        b"\x82\x01.",  # an extension
        b"Pname\n.",
        b"ios\nsystem\n(.",
        b"cnumpy\nndarray\n)R}bN.",
    ],
)
def test_what_is_no_pickle_of_arrays_is_refused_with_the_place(content):
    with pytest.raises((ValueError, pickle.UnpicklingError), match="at byte|it names 'os.system'"):
        pickles.read(content)


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("numpy", "load"), ("numpy", "dtype.__new__")]
)
def test_other_names_are_told_and_never_looked_up(module, name):
    for content in (f"c{module}\n{name}\n.".encode(), pickle.dumps([module, name], 4)[:-2]):
        if content[0] != ord("c"):
            content = b"\x80\x04" + opcodes(module) + opcodes(name) + b"\x93."
        for pandas in (False, True):
            with pytest.raises(ValueError, match=f"it names '{module}.{name}', which is no part"):
                pickles.read(content, pandas=pandas)
    with pytest.raises(ValueError, match="it names 'pandas.read_pickle'"):
        pickles.read(b"cpandas\nread_pickle\n.")


def test_memory_is_that_of_the_file():
    tracemalloc.start()
    try:
        assert pickles.read(b"Nr\xff\xff\xff\x7f.") is None  # a place two billion places on
        with pytest.raises(pickle.UnpicklingError):
            pickles.read(b"B\xff\xff\xff\x7fa.")
        told = pickles.read(b"]" + b"]q\x00(" + b"h\x00" * 20 + b"e" + b"a.")
        assert len(told[0]) == 20
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    with pytest.raises(ValueError, match="more than 1048576 steps"):
        pickles.read(b"(" + b"N" * 2**20)


@pytest.mark.parametrize("labels", [[1, 2.5], [1, 300], [1, -1], ["1", 2], [True, 1], (1, 2), None])
def test_labels_of_a_batch_are_a_list_of_bytes(tmp_path, labels):
    content = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": labels}, 2)
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(ValueError, match="labels in it are no list of bytes"):
        formats.read_cifar_pickle(tmp_path / "b")


@pytest.mark.parametrize(
    "x", [np.zeros((2, 3073), "u1"), np.zeros((2, 3072)), np.zeros(6144, "u1")]
)
def test_pictures_of_a_batch_are_bytes_of_one_size(tmp_path, x):
    (tmp_path / "b").write_bytes(pickle.dumps({b"data": x, b"labels": [1, 2]}, 2))
    with pytest.raises(ValueError, match=r"not bytes \[n, 3072\]"):
        formats.read_cifar_pickle(tmp_path / "b")


# ------------------------------------------------------------------------------- data frames
COLUMNS = {name: np.arange(4.0) + i for i, name in enumerate(("Time", "a", "b"))}


def test_a_frame_is_read_by_column_from_either_python(tmp_path):
    for content in (frame_pickle(COLUMNS), python_2(frame_pickle(COLUMNS))):
        (tmp_path / "x").write_bytes(content)
        read = formats.read_frame(tmp_path / "x")
        assert list(read) == list(COLUMNS)
        for name, x in COLUMNS.items():
            np.testing.assert_array_equal(read[name], x)
    assert b"U\x05_data" in content and b"_data" not in [
        arg for op, arg, _ in pickletools.genops(content) if op.name == "BINUNICODE"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["Time", "a"]}, r"a block \(3, 4\) in it is not of 2 columns"),
        ({"names": ["Time", "a", "a"]}, "other columns than it names"),
        ({"axis": ["Time", "a", "c"]}, "other columns than it names"),
        ({"blocks": [np.zeros(4)]}, r"a block \(4,\) in it"),
        ({"blocks": []}, r"damaged or in another format"),
        ({"blocks": [np.zeros((3, 4), complex)]}, "no plain numbers"),
        ({"blocks": [None]}, "NoneType stands where an array is due"),
    ],
)
def test_a_frame_that_contradicts_itself_is_refused(tmp_path, changes, message):
    (tmp_path / "x").write_bytes(frame_pickle(COLUMNS, **changes))
    with pytest.raises(ValueError, match=message):
        formats.read_frame(tmp_path / "x")


def test_one_block_in_the_place_of_many_is_refused(tmp_path):
    """A file of 30 kB would make 100 columns of 3000 numbers."""
    block = np.zeros((1, 3000))
    labels = [[f"c{i}"] for i in range(100)]
    content = frame_pickle({}, blocks=[block] * 100, items=labels, axis=[n for (n,) in labels])
    (tmp_path / "x").write_bytes(content)
    assert len(content) < 100 * block.nbytes / 50
    with pytest.raises(ValueError, match="a block"):
        formats.read_frame(tmp_path / "x")
