"""The four UCI tables from small files of the published formats."""

import pickle
import sys
import types

import numpy as np
import pytest

from dgm_jax.data import load, tables


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def save(folder, name, x):
    (folder / name).mkdir()
    np.save(folder / name / "data.npy", x)


def test_power_is_shuffled_by_its_seed_and_noise_fills_the_last_digit(tmp_path, rng):
    """Columns of whole units: the noise is what is left of them, before the scale."""
    x = rng.integers(0, 50, (2000, 8)).astype(float)
    x[:, 0] = np.arange(2000)
    save(tmp_path, "power", x)
    data = load("power", tmp_path)
    assert [part.shape for part in data[1:4]] == [(1620, 6), (180, 6), (200, 6)]
    assert data.num_levels is None and data.train.dtype == np.float32
    seen = np.concatenate([data.train, data.valid])
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std(0), 1, atol=1e-5)

    y = x.copy()
    np.random.RandomState(42).shuffle(y)
    z = np.concatenate(tables.power(x))
    for column, source, width in ((0, 0, 0.001), (1, 2, 0.01), (2, 4, 1), (4, 6, 1), (5, 7, 0)):
        centred = y[:, source] - y[:, source].mean()
        scale = (centred**2).sum() / (centred * z[:, column]).sum()
        noise = z[:, column] * scale - y[:, source]
        spread = noise.max() - noise.min()
        assert abs(spread - width) < 0.1 * width + 1e-9, (column, spread)


def test_gas_drops_sensors_that_repeat_others_and_reads_the_published_pickle(
    tmp_path, rng, monkeypatch
):
    """Sensor b is a but for noise: a, the first, goes."""
    a, c, first, second = rng.normal(size=(4, 400))
    columns = {"Time": np.arange(400.0), "Meth": first, "Eth": second}
    columns |= {"a": a, "b": a + 0.01 * c, "c": c}
    (tmp_path / "gas").mkdir()
    (tmp_path / "gas" / "ethylene_CO.pickle").write_bytes(old_frame(columns, monkeypatch))
    data = load("gas", tmp_path)
    x = np.stack([columns["b"], c], -1)
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    np.testing.assert_allclose(np.concatenate(data[1:4]), x, atol=1e-6)
    assert [len(part) for part in data[1:4]] == [324, 36, 40]


def old_frame(columns, monkeypatch):
    """The pickle of a DataFrame as pandas 0.19 makes it: protocol 2, a block manager's state."""

    def stand_in(module, name, **methods):
        cls = type(name, (), methods | {"__module__": module})
        parts = module.split(".")
        for package in (".".join(parts[: i + 1]) for i in range(len(parts))):
            monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
        monkeypatch.setattr(sys.modules[module], name, cls, raising=False)
        return cls

    def new_index(cls, told):
        raise AssertionError("nothing of the file is run")

    new_index.__module__, new_index.__qualname__ = "pandas.indexes.base", "new_index"
    index_type = stand_in("pandas.indexes.base", "Index")
    monkeypatch.setattr(sys.modules["pandas.indexes.base"], "new_index", new_index, raising=False)
    index_type.__reduce__ = lambda self: (
        new_index,
        (index_type, {"data": self.data, "name": None}),
    )

    def index(labels):
        made = index_type()
        made.data = labels
        return made

    names = index(np.array(list(columns), dtype=object))
    rows = index(np.arange(len(columns["Time"])))
    block = np.stack(list(columns.values()))
    place = {"values": block, "mgr_locs": slice(0, len(block), 1)}
    axes = [names, rows]
    state = (axes, [block], [names], {"0.14.1": {"axes": axes, "blocks": [place]}})
    manager = stand_in("pandas.core.internals", "BlockManager", __getstate__=lambda self: state)()
    told = {"_data": manager, "_typ": "dataframe", "_metadata": []}
    frame = stand_in("pandas.core.frame", "DataFrame", __getstate__=lambda self: told)()
    return pickle.dumps(frame, protocol=2)


def test_a_frame_that_names_anything_else_is_refused(tmp_path):
    (tmp_path / "gas").mkdir()
    path = tmp_path / "gas" / "ethylene_CO.pickle"
    path.write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(ValueError, match=r"ethylene_CO\.pickle is damaged .*it names .*print"):
        load("gas", tmp_path)


def test_hepmass_keeps_the_signal_and_drops_what_repeats(tmp_path, rng):
    """27 features of which the third has its least value in most rows; the last file has a column
    too many."""

    def table(n):
        x = rng.normal(size=(n, 28))
        x[:, 0] = np.arange(n) % 2
        x[:, 3] = np.maximum(x[:, 3], 0)
        return x

    (tmp_path / "hepmass").mkdir()
    train, test = table(200), table(40)
    header = ",".join(["# label", *(f"f{i}" for i in range(27))])
    path = str(tmp_path / "hepmass" / "1000_{}.csv")
    np.savetxt(path.format("train"), train, delimiter=",", header=header, comments="")
    np.savetxt(
        path.format("test"),
        np.c_[test, test[:, 0]],
        delimiter=",",
        header=header + ",mass",
        comments="",
    )
    data = load("hepmass", tmp_path)
    assert [part.shape for part in data[1:4]] == [(90, 26), (10, 26), (20, 26)]
    signal = train[1::2, 1:]
    want = (test[1::2, 1:] - signal.mean(0)) / signal.std(0, ddof=1)
    np.testing.assert_allclose(data.test, np.delete(want, 2, 1), atol=1e-5)
    np.testing.assert_allclose(np.concatenate(data[1:3]).std(0, ddof=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["miniboone", "miniboone_head"])
def test_miniboone_is_split_in_order_and_scaled_by_what_is_no_test(tmp_path, rng, name):
    x = 5 + 3 * rng.normal(size=(300, 4))
    save(tmp_path, name, x)
    np.savez(tmp_path / name / "miniboone_head.npz", x=x)
    data = load(name, tmp_path)
    assert [len(part) for part in data[1:4]] == [243, 27, 30]
    seen = x[:270]
    np.testing.assert_allclose(data.test, (x[270:] - seen.mean(0)) / seen.std(0), atol=1e-5)
