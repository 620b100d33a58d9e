"""Samples of a model against real data, by their features: two arrays of rows, [n, d] and [m, d].

| question                               | function                      | file                 |
|----------------------------------------|-------------------------------|----------------------|
| how far are mean and covariance?       | `frechet_distance`            | `frechet.py`         |
| are samples sharp and of all classes?  | `inception_score`             | `inception_score.py` |
| how far are all moments, by a kernel?  | `mmd`, `kernel_distance`      | `mmd.py`             |
| how many are good, how much is there?  | `precision_recall`            | `neighbours.py`      |
| ... where outliers are forgiven        | `density_coverage`            | `neighbours.py`      |
| how far must mass move, on lines?      | `sliced_wasserstein`          | `sliced.py`          |
| can a classifier tell them apart?      | `two_sample_test`             | `two_sample.py`      |

`features` computes rows from images; any other function works too, and low-dimensional data need
none. Real rows are the first argument. A result states the number of rows of both, because most of
these metrics depend on it. Compare each value with the same metric between two sets of real data.
"""

import numpy as np

from .. import checks
from ..protocol import Rows


def feature_rows(x: Rows, name: str, *, least: int = 2) -> np.ndarray:
    """Rows of features as a NumPy array [n, d], if they are finite and enough, else `InputError`.

    x: the argument; name: its name in the error; least: the smallest n
    """
    x = checks.finite_rows(x, name)
    if x.ndim != 2:
        raise checks.InputError(
            f"{name} must be rows of features, [n, d]; got shape {x.shape}. Of images: "
            f"{name}.reshape(len({name}), -1), or metrics.features(...)."
        )
    if len(x) < least:
        raise checks.InputError(f"{name} must have at least {least} rows; got {len(x)}.")
    return x


def real_and_fake(real: Rows, fake: Rows, *, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Rows of real data [n, d] and of samples [m, d] as NumPy arrays, after checking them.

    real, fake: finite rows with equally many features; least: the smallest n and m. Others raise
        `InputError`.
    """
    real = feature_rows(real, "real", least=least)
    fake = feature_rows(fake, "fake", least=least)
    if real.shape[1] != fake.shape[1]:
        raise checks.InputError(
            f"fake must have as many features as real, {real.shape[1]}; got {fake.shape[1]}."
        )
    return real, fake


def centred(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x - μ, y - μ), μ the mean of all rows: in float32, with less rounding error of distances.

    real, fake: x [n, d] and y [m, d]
    """
    real, fake = (x.astype(np.float64) for x in (real, fake))
    mean = (real.sum(0) + fake.sum(0)) / (len(real) + len(fake))
    return (real - mean).astype(np.float32), (fake - mean).astype(np.float32)
