"""Metrics of samples, beside the formulas of torch-fidelity, clean-fid and prdc.

    taskset -c 0 python -m benchmarks.samples --clock cpu

takes two minutes. It times the Fréchet distance of two sets of moments (2048 features), precision
and recall (2000 rows against 2000 with 512 features, k = 3) and the kernel distance (20 subsets of
500 of these rows). The formulas of the other libraries are written out here and used on the same
features. torch-fidelity 0.4.0: the eigenvalues of S S', `torch.cdist` and `kthvalue`, and kernels
in NumPy; clean-fid 0.1.35: the square root of S S' by SciPy; prdc 0.2: distances by scikit-learn
and `argpartition`, for four numbers in place of two. *value* is the result of each. Goals on one
quiet core: the Fréchet distance in at most 0.4 of torch-fidelity's time and equal to 1e-8,
precision and recall in at most 0.7, the kernel distance in about the same time.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import jax
import numpy as np

from benchmarks import peers, times
from dgm_jax import checks, measure, metrics, plots, runs
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Metric = Literal["frechet", "neighbours", "kernel"]
K = 3  # of precision and recall


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    metrics: tuple[Metric, ...] = ("frechet", "neighbours", "kernel")
    """which metrics to time"""
    frechet_dim: int = 2048
    """the number of features for the Fréchet distance"""
    dim: int = 512
    """the number of features for the other two metrics"""
    rows: int = 2000
    """rows in each of the two sets, for the other two metrics"""
    num_subsets: int = 20
    """subsets of the kernel distance"""
    subset_size: int = 500
    """rows in each subset"""
    clock: Literal["wall", "cpu"] = "wall"
    """what is measured: elapsed time, or the processor time of this process, which should then be
    pinned to one core"""
    repeats: int = 5
    """rounds of timing; in each, all calls are made in turn"""
    min_seconds: float = 0.0
    """the least duration of all rounds, in seconds, for each metric"""


class Peer(NamedTuple):
    """One formula of a metric: a call to time, and its result."""

    call: Callable
    value: float


def peer(call: Callable) -> Peer:
    """A `Peer` with the value of a first call."""
    return Peer(call, float(call()))


# -------------------------------------------------------------------------- each beside its peers
def frechet(config: Config) -> dict[str, Callable]:
    """The Fréchet distance of two sets of moments, given the moments."""
    import scipy.linalg

    dim, rng = config.frechet_dim, np.random.default_rng(0)
    decay = 1 / np.sqrt(1 + np.arange(dim))  # eigenvalues decrease as those of images
    draw = lambda: (rng.normal(size=(2 * dim, dim)) * decay) @ rng.normal(size=(dim, dim)) / dim
    real, fake = metrics.moments(draw()), metrics.moments(draw() + 0.01)

    def with_root(trace_of_root):
        traces = np.trace(real.covariance) + np.trace(fake.covariance)
        root = trace_of_root(real.covariance @ fake.covariance)
        return ((real.mean - fake.mean) ** 2).sum() + traces - 2 * root

    by_values = lambda product: np.sqrt(np.linalg.eigvals(product).astype(complex)).real.sum()
    by_root = lambda product: np.trace(scipy.linalg.sqrtm(product).real)
    return {
        "dgm_jax": lambda: metrics.frechet_distance(real, fake).distance,
        "torch-fidelity": lambda: with_root(by_values),
        "clean-fid": lambda: with_root(by_root),
    }


def pair(config: Config) -> np.ndarray:
    """Two sets of rows in float32, the second a little wider than the first."""
    real, fake = np.random.default_rng(1).normal(size=(2, config.rows, config.dim))
    return np.stack([real, 1.02 * fake]).astype(np.float32)


def neighbours(config: Config) -> dict[str, Callable]:
    """Precision, with the recall (and for prdc density and coverage) computed too."""
    real, fake = pair(config)
    found = {"dgm_jax": lambda: metrics.precision_recall(real, fake, k=K).precision}
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        x, y = torch.tensor(real), torch.tensor(fake)

        def by_torch():
            of_x, of_y = (torch.cdist(a, a).kthvalue(K + 1).values for a in (x, y))
            across = torch.cdist(x, y)
            (across <= of_y).any(1).float().mean().item()  # the recall
            return (across.T <= of_x).any(1).float().mean().item()

        found["torch-fidelity"] = by_torch
    try:
        from sklearn.metrics import pairwise_distances
    except ImportError:
        return found

    def radii(x):
        distances = pairwise_distances(x, x, metric="euclidean", n_jobs=1)
        places = np.argpartition(distances, K + 1, axis=-1)[..., : K + 1]
        return np.take_along_axis(distances, places, axis=-1).max(-1)

    def by_prdc():
        of_real, of_fake = radii(real)[:, None], radii(fake)[None]
        across = pairwise_distances(real, fake, metric="euclidean", n_jobs=1)
        precision = (across < of_real).any(0).mean()
        (across < of_fake).any(1).mean(), (across < of_real).sum(0).mean()  # recall, density
        (across.min(1) < of_real[:, 0]).mean()  # coverage
        return precision

    return found | {"prdc": by_prdc}


def kernel(config: Config) -> dict[str, Callable]:
    """The squared kernel distance, by the cubic kernel and as many subsets."""
    real, fake = pair(config)
    key, size = jax.random.key(0), config.subset_size
    ours = lambda: metrics.kernel_distance(
        jax.random.clone(key), real, fake, num_subsets=config.num_subsets, subset_size=size
    )

    def cubic(x, y):
        return (np.matmul(x, y.T) / x.shape[1] + 1) ** 3

    def by_numpy():
        rng, found = np.random.RandomState(2020), []
        for _ in range(config.num_subsets):
            x, y = (a[rng.choice(len(a), size, replace=False)] for a in (real, fake))
            of_x, of_y, across = cubic(x, x), cubic(y, y), cubic(x, y)
            others = sum(a.sum() - np.trace(a) for a in (of_x, of_y))
            found.append(others / (size * (size - 1)) - 2 * across.sum() / size**2)
        return np.mean(found)

    return {"dgm_jax": lambda: ours().squared, "torch-fidelity": by_numpy}


METRICS = {f.__name__: f for f in (frechet, neighbours, kernel)}


# -------------------------------------------------------------------------------------- the run
def main(config: Config) -> dict:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    for name in ("frechet_dim", "dim", "rows", "num_subsets", "subset_size"):
        checks.positive_int(getattr(config, name), name, least=2 if "size" in name else 1)
    if config.rows <= K or config.subset_size > config.rows:
        raise checks.InputError(
            f"rows must be above {K} and at least subset_size={config.subset_size}; got "
            f"{config.rows}."
        )
    if not config.metrics:
        raise checks.InputError("metrics is empty; name at least one, as --metrics kernel.")
    machine, rows = measure.machine(), []
    for name in config.metrics:
        found = {library: peer(call) for library, call in METRICS[name](config).items()}
        timed = timing.compare(
            {library: p.call for library, p in found.items()},
            repeats=config.repeats,
            min_seconds=config.min_seconds,
            warm_up=False,  # by the value of each
            clock=config.clock,
        )
        for library, result in timed.items():
            rows.append(
                {
                    "metric": name,
                    "library": library,
                    "value": found[library].value,
                    **times.measured(result),
                    "to_ours": result.median_ms / timed["dgm_jax"].median_ms,
                }
            )
    machine |= peers.versions(("torch", "scipy", "scikit-learn"))
    return {"rows": rows, "machine": machine | {"clock": config.clock}}


def tables(found: dict) -> list[list]:
    """A line for each metric and library: its value, times, the ratio to ours."""
    return [
        [
            {
                "metric": r["metric"],
                "library": r["library"],
                "value": f"{r['value']:.10g}",
                **times.cells(r),
                "/ ours": f"{r['to_ours']:.2f}",
            }
            for r in found["rows"]
        ]
    ]


def draw(config: Config, found: dict) -> Figure:
    """A bar of milliseconds for each library."""
    return times.bars(found["rows"], "metric", "library", title="Metrics of samples")


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=2)
