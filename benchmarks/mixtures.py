"""One iteration of EM and of variational inference, beside scikit-learn, from the same parameters.

    python -m benchmarks.mixtures

times an E-step with its M-step on n = 50,000 rows of dimension d = 64 with K = 32 full covariances,
in float64 and float32, in interleaved calls within one process, in about three minutes. Ours goes
through the rows in chunks, scikit-learn keeps an array [n, K] (and [n, d] for each k) in memory.
Ratios are the time of scikit-learn to ours. The two gaps are the largest relative differences of
the log-likelihood per row and of the means, after --num-agree iterations of both from the same
start. Memory is, for ours, what the compiled step needs beside its arguments, and for scikit-learn
the peak of NumPy's allocations in a step. --clock cpu compares processor times, which other work on
the machine disturbs less.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import os
import tracemalloc
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import checks, inference, measure, plots, runs
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import State


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    kinds: tuple[Literal["em", "cavi"], ...] = ("em", "cavi")
    """which iterations: EM, or coordinate ascent of the Bayesian mixture"""
    dtypes: tuple[Literal["float64", "float32"], ...] = ("float64", "float32")
    """in which precisions"""
    num_rows: int = 50_000
    """the number of rows n"""
    dim: int = 64
    """the dimension d of a row"""
    num_components: int = 32
    """the number of components K"""
    chunks: tuple[int, ...] = ()
    """the chunk sizes to compare, in rows; by default one that fits into a cache"""
    num_agree: int = 3
    """iterations after which the results of both are compared"""
    repeats: int = 5
    """rounds of timing; in each, all are called in turn"""
    min_seconds: float = 0.0
    """the least duration of all rounds, in seconds, for each kind and dtype"""
    clock: Literal["wall", "cpu"] = "wall"
    """what is measured: elapsed time, or the processor time of this process"""
    threads: int | None = None
    """threads of scikit-learn's BLAS; by default one for each core"""


def rows_of_data(config: Config, dtype: str) -> np.ndarray:
    """Overlapping clusters, each with its own covariance."""
    rng = np.random.default_rng(0)
    labels = rng.integers(config.num_components, size=config.num_rows)
    spread = rng.uniform(0.5, 1.5, (config.num_components, config.dim))
    means = 0.7 * rng.normal(size=(config.num_components, config.dim))
    noise = rng.normal(size=(config.num_rows, config.dim))
    return (means[labels] + spread[labels] * noise).astype(dtype)


# ------------------------------------------------------------------------------------ theirs
def start(config: Config, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weights, means and covariances from which both begin."""
    num, dim = config.num_components, config.dim
    weights = np.full(num, 1 / num, x.dtype)
    return weights, x[:num].copy(), np.tile(np.eye(dim, dtype=x.dtype), (num, 1, 1))


def prior_of(config: Config, x: np.ndarray) -> inference.Conjugate:
    """The prior that scikit-learn takes by default, in our form."""
    return inference.normal_inverse_wishart(
        x.mean(0),
        jnp.asarray(np.cov(x.T).astype(x.dtype)),
        concentration=1 / config.num_components,
        degrees=float(config.dim),
    )


def theirs(kind: str, config: Config, x: np.ndarray) -> Any:
    """The estimator of scikit-learn at the start; its E- and M-steps are then called one by one."""
    from sklearn import mixture

    weights, means, covariances = start(config, x)
    few = {"n_components": config.num_components, "max_iter": 1, "reg_covar": 1e-6}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one iteration
        if kind == "em":
            found = mixture.GaussianMixture(
                weights_init=weights, means_init=means, precisions_init=covariances, **few
            )
            found.set_params(reg_covar=0.1).fit(x[: 4 * config.num_components])  # to have its parts
            found.set_params(reg_covar=1e-6)
            found.weights_, found.means_ = weights, means
            found.covariances_ = found.precisions_cholesky_ = covariances
            return found
        found = mixture.BayesianGaussianMixture(
            weight_concentration_prior_type="dirichlet_distribution", **few | {"reg_covar": 0}
        )
        found.fit(x[: 4 * config.num_components])
        found._check_parameters(x)  # priors of all rows
        nearest = ((x[:, None, :2] - means[:, :2]) ** 2).sum(-1).argmin(1)
        r = np.eye(config.num_components, dtype=x.dtype)[nearest]
        found._m_step(x, np.log(r + 1e-30))
        return found


def their_step(found: Any, x: np.ndarray) -> float:
    """An E-step and an M-step; returns the log-likelihood before it, in nats per row."""
    log_likelihood, log_r = found._e_step(x)
    found._m_step(x, log_r)
    return log_likelihood


# -------------------------------------------------------------------------------------- ours
def ours(kind: str, config: Config, x: Any, found: Any, chunk: int | None) -> tuple:
    """(step, state) at the parameters of scikit-learn's estimator."""
    num = config.num_components
    if kind == "em":
        algorithm = inference.gaussian_mixture_em(x[: 4 * num], num, chunk=chunk)
        state = inference.gaussian_parameters(
            *(jnp.asarray(a) for a in (found.weights_, found.means_, found.covariances_))
        )
        return algorithm.step, state
    algorithm = inference.variational_mixture(
        x[: 4 * num], num, prior=prior_of(config, x), chunk=chunk
    )
    return algorithm.step, posterior_of(found)


def posterior_of(found: Any) -> inference.Conjugate:
    """The q of scikit-learn's Bayesian mixture; ours has ν Σ_k where it has Σ_k."""
    degrees = found.degrees_of_freedom_
    return inference.Conjugate(
        *map(jnp.asarray, (found.weight_concentration_, found.means_, found.mean_precision_)),
        jnp.asarray(degrees),
        jnp.asarray(found.covariances_ * degrees[:, None, None]),
    )


def gap(
    kind: str, config: Config, step: Callable, state: State, found: Any, x: np.ndarray
) -> tuple[float, float]:
    """The relative differences of log-likelihoods and of means, after some iterations of both."""
    largest = 0.0
    for _ in range(config.num_agree):
        state, metrics = step(state, None, x)
        value = their_step(found, x)
        if kind == "em":
            largest = max(largest, abs(float(metrics["log_likelihood"]) / float(value) - 1))
    means = np.asarray(state["means"] if kind == "em" else state.mean)
    return largest, float(np.abs(means - found.means_).max() / np.abs(found.means_).max())


def their_peak_mb(found: Any, x: np.ndarray) -> float:
    """The most that NumPy holds at once in a step of scikit-learn, in MB."""
    tracemalloc.start()
    their_step(found, x)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return peak


# ----------------------------------------------------------------------------------- the run
def compared(config: Config, kind: str, dtype: str) -> list[dict]:
    """The rows of the table: ours for each chunk size, and scikit-learn's."""
    with jax.enable_x64(dtype == "float64"):
        x = rows_of_data(config, dtype)
        on_device = jnp.asarray(x)
        programs, gaps = {}, {}
        for chunk in config.chunks or (None,):
            found = theirs(kind, config, x)
            step, state = ours(kind, config, x, found, chunk)
            state = jax.tree.map(lambda a: jnp.asarray(a, x.dtype), state)
            program = timing.program(
                lambda state, x, step=step: step(state, None, x), state, on_device
            )
            compiled = jax.jit(step)
            gaps[chunk] = gap(kind, config, compiled, state, found, x)
            programs[chunk] = program
        peer = theirs(kind, config, x)
        thunks = {f"chunk {c}": p.run for c, p in programs.items()}
        thunks["scikit-learn"] = lambda: their_step(peer, x)
        timed = timing.compare(
            thunks, repeats=config.repeats, min_seconds=config.min_seconds, clock=config.clock
        )
        peak = their_peak_mb(peer, x)
    base = {"kind": kind, "dtype": dtype, "n": config.num_rows, "d": config.dim}
    base |= {"K": config.num_components, "clock": config.clock}
    theirs_ms = timed["scikit-learn"].median_ms
    arguments_mb = x.nbytes / 1e6
    rows = [
        base
        | {
            "library": "dgm_jax",
            "chunk": chunk,
            "ms": timed[f"chunk {chunk}"].median_ms,
            "low_ms": timed[f"chunk {chunk}"].low_ms,
            "ratio": theirs_ms / timed[f"chunk {chunk}"].median_ms,
            "ratio_of_low": timed["scikit-learn"].low_ms / timed[f"chunk {chunk}"].low_ms,
            "memory_mb": program.peak_mb and program.peak_mb - arguments_mb,
            "likelihood_gap": gaps[chunk][0],
            "means_gap": gaps[chunk][1],
        }
        for chunk, program in programs.items()
    ]
    other = {"library": "scikit-learn", "ms": theirs_ms, "low_ms": timed["scikit-learn"].low_ms}
    return [*rows, base | other | {"memory_mb": peak}]


def main(config: Config) -> dict:
    # Waiting threads of BLAS must not spin: they would slow down the call that is timed next.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    checks.positive_int(config.num_components, "num_components")
    checks.positive_int(config.dim, "dim")
    checks.positive_int(config.num_rows, "num_rows", least=4 * config.num_components)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=config.threads):
        found = [compared(config, kind, d) for kind in config.kinds for d in config.dtypes]
    import sklearn

    machine = measure.machine() | {"scikit-learn": sklearn.__version__, "threads": config.threads}
    return {"rows": [row for rows in found for row in rows], "machine": machine}


def tables(found: dict) -> list[list]:
    """A line for each library, and each chunk of ours: time, memory and gaps."""

    def told(r):
        row = {"iteration": r["kind"], "dtype": r["dtype"], "library": r["library"]}
        row |= {"chunk": r.get("chunk"), f"ms ({r['clock']})": runs.short(r["ms"])}
        row["theirs / ours"] = f"{r['ratio']:.2f}" if "ratio" in r else None
        row["of lower quartiles"] = f"{r['ratio_of_low']:.2f}" if "ratio" in r else None
        row["memory MB"] = r["memory_mb"] and runs.short(r["memory_mb"])
        row["gap of likelihoods"] = f"{r['likelihood_gap']:.0e}" if "ratio" in r else None
        row["gap of means"] = f"{r['means_gap']:.0e}" if "ratio" in r else None
        return row

    return [[told(row) for row in found["rows"]]]


def draw(config: Config, found: dict) -> Figure:
    """The ratio of times for each kind of iteration and chunk size."""
    lines = {}
    for r in found["rows"]:
        if "ratio" in r:
            xs, ys = lines.setdefault(f"{r['kind']}, {r['dtype']}", ([], []))
            xs.append(len(xs))
            ys.append(r["ratio"])
    return plots.curves(
        lines,
        xlabel="chunk, as in the table",
        ylabel="time of scikit-learn / ours",
        baselines={"alike": 1.0},
    )


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=3)
