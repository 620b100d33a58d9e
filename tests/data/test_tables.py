"""The four UCI tables from small files of the published formats."""

import pickle

import numpy as np
import pytest

from dgm_jax.data import load, tables
from tests.data.published import frame_pickle


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


def test_gas_drops_sensors_that_repeat_others_and_reads_the_published_pickle(tmp_path, rng):
    """Sensor b is a but for noise: a, the first, goes; eight are left."""
    a, *others, first, second = rng.normal(size=(10, 400))
    columns = {"Time": np.arange(400.0), "Meth": first, "Eth": second}
    columns |= {"a": a, "b": a + 0.01 * others[0]}
    columns |= {f"c{i}": other for i, other in enumerate(others)}
    (tmp_path / "gas").mkdir()
    (tmp_path / "gas" / "ethylene_CO.pickle").write_bytes(frame_pickle(columns))
    data = load("gas", tmp_path)
    x = np.stack([columns["b"], *others], -1)
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    np.testing.assert_allclose(np.concatenate(data[1:4]), x, atol=1e-6)
    assert [len(part) for part in data[1:4]] == [324, 36, 40]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((50, 9)), r"data\.npy.*\(50, 9\), where \[n, 8\] is due"),
        (np.zeros((50, 7)), r"where \[n, 8\] is due"),
        (np.zeros(400), r"where \[n, 8\] is due"),
        (np.zeros((50, 8), complex), "needs rows of numbers; got complex128"),
        (np.full((50, 8), np.nan), "x: 50 of 50 rows have NaN"),
        (np.zeros((50, 8)), "column 5 of 6 is constant"),
        (np.zeros((0, 8)), "is empty"),
    ],
)
def test_a_table_of_other_columns_or_numbers_is_refused(tmp_path, x, message):
    save(tmp_path, "power", x)
    with pytest.raises(ValueError, match=message):
        load("power", tmp_path)


@pytest.mark.parametrize("table", [tables.power, tables.miniboone, lambda x: tables.hepmass(x, x)])
def test_tables_take_real_numbers_of_their_columns(table):
    for x in (np.zeros((50, 9)), np.zeros(400), np.zeros((50, 8), complex), np.zeros((50, 8), "U")):
        with pytest.raises(ValueError, match="x must be real numbers"):
            table(x)


def test_hepmass_of_a_third_class_or_one_event_is_refused(rng):
    x = rng.normal(size=(50, 28))
    for label, message in ((2, "the class, 0 or 1"), (0, "0 rows to scale by")):
        x[:, 0] = label
        with pytest.raises(ValueError, match=message):
            tables.hepmass(x, x)


def test_gas_of_too_few_or_constant_sensors_is_refused(tmp_path, rng):
    columns = {"Time": np.arange(50.0), "a": rng.normal(size=50)}
    for more, message in (({}, "1 sensors"), ({"b": np.ones(50)}, "column 1 of 2 is constant")):
        with pytest.raises(ValueError, match=message):
            tables.gas(columns | more)
    (tmp_path / "gas").mkdir()
    content = frame_pickle(columns | {"b": rng.normal(size=50)})
    (tmp_path / "gas" / "ethylene_CO.pickle").write_bytes(content)
    with pytest.raises(ValueError, match=r"a row of train is \(2,\), and must be \(8,\)"):
        load("gas", tmp_path)


def test_a_frame_that_names_anything_else_is_refused(tmp_path):
    (tmp_path / "gas").mkdir()
    path = tmp_path / "gas" / "ethylene_CO.pickle"
    path.write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(ValueError, match=r"ethylene_CO\.pickle: it names .*print"):
        load("gas", tmp_path)


def test_hepmass_keeps_the_signal_and_drops_what_repeats(tmp_path, rng):
    """27 features of which six have their least value in most rows; the last file has a column
    too many."""

    def table(n):
        x = rng.normal(size=(n, 28))
        x[:, 0] = np.arange(n) % 2
        x[:, 3:9] = np.maximum(x[:, 3:9], 0)
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
    assert [part.shape for part in data[1:4]] == [(90, 21), (10, 21), (20, 21)]
    signal = train[1::2, 1:]
    want = (test[1::2, 1:] - signal.mean(0)) / signal.std(0, ddof=1)
    np.testing.assert_allclose(data.test, np.delete(want, slice(2, 8), 1), atol=1e-5)
    np.testing.assert_allclose(np.concatenate(data[1:3]).std(0, ddof=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["miniboone", "miniboone_head"])
def test_miniboone_is_split_in_order_and_scaled_by_what_is_no_test(tmp_path, rng, name):
    x = 5 + 3 * rng.normal(size=(300, 43))
    save(tmp_path, name, x)
    np.savez(tmp_path / name / "miniboone_head.npz", x=x)
    data = load(name, tmp_path)
    assert [len(part) for part in data[1:4]] == [243, 27, 30]
    seen = x[:270]
    np.testing.assert_allclose(data.test, (x[270:] - seen.mean(0)) / seen.std(0), atol=1e-5)
