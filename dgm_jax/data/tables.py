"""The published preprocessing of image patches and of four UCI tables, into (train, valid, test).

The functions take the published arrays: which columns they drop, which noise they add to discrete
columns, how they scale and split. Arithmetic is in float64.
Papamakarios et al. (2017), "Masked autoregressive flow for density estimation", appendix D.
"""

import numpy as np

from .. import checks

Parts = list[np.ndarray]


def tenths(x: np.ndarray) -> Parts:
    """[train, valid, test] of x [n, d]: the last tenth is test, the last tenth of the rest valid.

    x: a table, whose rows keep their order
    """
    test = len(x) - len(x) // 10
    valid = test - test // 10
    return [x[:valid], x[valid:test], x[test:]]


def scaled(parts: Parts) -> Parts:
    """(x - μ) / s for all of [train, valid, test], with mean μ and deviation s of train and valid.

    parts: arrays [n, d]. A column that is constant, or fewer than two rows, raise `InputError`.
    """
    seen = np.concatenate(parts[:2])
    mean, std = _moments(seen)
    return [(x - mean) / std for x in parts]


def _moments(x, ddof=0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column; an InputError where one is constant."""
    if len(x) < 2:
        raise checks.InputError(f"it has {len(x)} rows to scale by, and needs two")
    mean, std = x.mean(0), x.std(0, ddof=ddof)
    _vary(std > 0)
    return mean, std


def _vary(columns):
    if not columns.all():
        raise checks.InputError(f"column {int(np.argmin(columns))} of {len(columns)} is constant")


def _numbers(x: np.ndarray, columns: int | None = None) -> np.ndarray:
    """A table as float64: finite real numbers [n, columns]."""
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind not in "biuf" or x.shape[1] != (columns or x.shape[1]):
        raise checks.InputError(
            f"x must be real numbers [n, {columns or 'columns'}]; got {x.dtype} of shape {x.shape}."
        )
    checks.finite_rows(x, "x")
    return x.astype(np.float64, copy=False)


def power(x: np.ndarray) -> Parts:
    """POWER, electric power of a household [n, 8] -> 6 columns, shuffled by RandomState(42).

    Columns 1 and 3 (reactive power and intensity) are dropped. Uniform noise of one unit of the
    last digit is added: 0.001 kW to active power, 0.01 V to voltage, 1 Wh to the meters, none to
    time.
    """
    rng = np.random.RandomState(42)
    x = np.array(_numbers(x, 8))
    rng.shuffle(x)
    active, voltage, *meters, time = x[:, [0, 2, 4, 5, 6, 7]].T
    voltage_noise, active_noise = 0.01 * rng.rand(len(x)), 0.001 * rng.rand(len(x))
    meters = np.stack(meters, -1) + rng.rand(len(x), 3)
    columns = [active + active_noise, voltage + voltage_noise, *meters.T, time]
    return scaled(tenths(np.stack(columns, -1)))


def gas(columns: dict[str, np.ndarray]) -> Parts:
    """GAS, {column: array} of sensors in a mixture of ethylene and CO -> 8 columns.

    Time and both concentrations are dropped, then, from the left, each sensor with a correlation
    above 0.98 with a remaining one. Standardised by all rows; not shuffled.
    """
    sensors = [x for name, x in columns.items() if name not in ("Time", "Meth", "Eth")]
    if len(sensors) < 2:
        raise checks.InputError(f"it has {len(sensors)} sensors, and needs two")
    x = _numbers(np.stack(sensors, -1))
    _vary(np.array([sensor.min() < sensor.max() for sensor in sensors]))
    alike = np.corrcoef(x.T) > 0.98
    kept = np.arange(x.shape[1])
    while (twins := alike[np.ix_(kept, kept)].sum(1) > 1).any():
        kept = np.delete(kept, np.argmax(twins))
    x = x[:, kept]
    mean, std = _moments(x, ddof=1)
    return tenths((x - mean) / std)


def hepmass(train: np.ndarray, test: np.ndarray) -> Parts:
    """HEPMASS, collisions of particles of mass 1000, [n, 28], class first -> 21 columns.

    Background rows (class 0) are dropped, and each column whose smallest value occurs more than
    five times in train. Standardised by all of train, before a tenth of it becomes the validation
    set.
    """
    train, test = (_numbers(x, 28) for x in (train, test))
    for x in (train, test):
        if not np.isin(x[:, 0], (0, 1)).all():
            raise checks.InputError("the first column must be the class, 0 or 1")
    train, test = (x[x[:, 0] == 1, 1:] for x in (train, test))
    mean, std = _moments(train, ddof=1)
    train, test = ((x - mean) / std for x in (train, test))
    kept = (train == train.min(0)).sum(0) <= 5
    train, test = train[:, kept], test[:, kept]
    valid = len(train) - len(train) // 10
    return [train[:valid], train[valid:], test]


def miniboone(x: np.ndarray) -> Parts:
    """MINIBOONE, neutrinos, already cleaned [n, 43]: split, then standardised."""
    return scaled(tenths(_numbers(x, 43)))


def patches(x: np.ndarray, seed: int) -> np.ndarray:
    """Grey patches [n, 8, 8] of levels 0..255 -> 63 columns.

    Uniform noise of default_rng(seed) is added, the sum divided by 256, the mean of the patch
    subtracted and the last pixel dropped.
    """
    x = x.reshape(-1, 64)
    x = (x + np.random.default_rng(seed).random(x.shape)) / 256
    return (x - x.mean(1, keepdims=True))[:, :63].astype(np.float32)
