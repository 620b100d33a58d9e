"""Total correlation and mutual information of codes: estimates by batches, and sums over the data.

    python -m experiments.disentangled.estimates

The codes are made so that the answer is known. Each of N = 50,000 rows has a posterior q(z | n)
whose means are drawn from N(0, 1 - s²) and whose deviation is s = 0.3, in each of ten entries. For
infinitely many rows q(z) would be N(0, I), with TC = 0 and I(n; z) = 12.04 nats. For 50,000 rows
I(n; z) <= log N = 10.82. The sums over all rows, which are exact but for the draws of z, give I
about 10.1 and TC 1.8. They are compared with estimates from batches of B rows, which weight the
rows of the batch in q(z) ≈ Σ w_n q(z | n) in one of four ways; the table has their means over
batches:

    stratified    w = 1/N for the row of z itself, and equal shares of the rest for the others
    plain         w = 1/B for every row, as if the batch were the data set
    weighted      w = 1/(N B) for every row (minibatch-weighted sampling, MWS): plain, up to
                  constants of log N
    first column  the matrix of published code, which has 1/N in its first column and not on its
                  diagonal; it hardly differs from plain

The same is done with codes of two entries, where all agree, except for the constants in `weighted`.
It takes half a minute of one CPU core. estimates.png shows the total correlation against the batch
size. Chen et al. (2018), "Isolating sources of disentanglement in VAEs", equation 5 and appendix
C.1.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import checks, metrics, objectives, plots, runs
from dgm_jax.runs import processes
from experiments.options import check

if TYPE_CHECKING:
    from dgm_jax.protocol import Array, Key

CASES = {"ten entries": (10, 0.3), "two entries": (2, 0.3), "ten, wide": (10, 0.7)}
ESTIMATES = ("stratified", "plain", "weighted")


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    num_rows: int = 50_000
    """the number of rows N of the data set"""
    batch_sizes: tuple[int, ...] = (64, 256, 1024)
    """the batch sizes B of the estimates"""
    num_codes: int = 1000
    """the number of draws of z at which the sums over all rows are computed"""
    num_batches: int = 100
    """the number of batches over which the estimate by the published matrix is averaged"""


QUICK = {"num_rows": 500, "batch_sizes": (16, 64), "num_codes": 50, "num_batches": 4}


def numbers(terms: metrics.KLTerms) -> dict:
    """The two terms that results.json keeps, in nats."""
    return {
        "total_correlation": float(terms.total_correlation),
        "mutual_information": float(terms.mutual_information),
    }


def first_column(key: Key, mean: Array, scale: Array, size: int, num_batches: int) -> dict:
    """TC and MI with the weights of published code, on random batches.

    W = 1/(B - 1) everywhere, then 1/N in column 0 and (N - B + 1) / (N (B - 1)) in column 1, and
    the latter also in the first column of the last row but one.
    """
    num = len(mean)
    w = np.full((size, size), 1 / (size - 1))
    w[:, 0], w[:, 1] = 1 / num, (num - size + 1) / (num * (size - 1))
    w[size - 2, 0] = (num - size + 1) / (num * (size - 1))
    log_w = jnp.log(w).astype(mean.dtype)

    def of_batch(key):
        row_key, draw_key = jax.random.split(key)
        rows = jax.random.choice(row_key, num, (size,), replace=False)
        mean_of, scale_of = mean[rows], scale[rows]
        z = mean_of + scale_of * jax.random.normal(draw_key, mean_of.shape)
        log_q = objectives.aggregate.log_pairs(z, mean_of, scale_of)
        joint = jax.nn.logsumexp(log_q.sum(-1) + log_w, 1)
        product = jax.nn.logsumexp(log_q + log_w[..., None], 1).sum(-1)
        own = jnp.diagonal(log_q.sum(-1))
        return jnp.stack([(joint - product).mean(), (own - joint).mean()])

    keys = jax.random.split(key, num_batches)
    found = jax.jit(lambda keys: jax.lax.map(of_batch, keys).mean(0))(keys)
    return dict(zip(("total_correlation", "mutual_information"), map(float, found)))


def fit(config: Config, dim: int, width: float) -> dict[str, dict]:
    """{"exact": ..., B: {estimate: ...}} of codes with `dim` entries."""
    rng = np.random.default_rng(config.seed)
    shape = (config.num_rows, dim)
    mean = jnp.asarray(rng.normal(0, np.sqrt(1 - width**2), shape), jnp.float32)
    scale = jnp.full_like(mean, width)
    keys = iter(jax.random.split(jax.random.key(config.seed), 1 + 4 * len(config.batch_sizes)))

    def terms(**options):
        of = functools.partial(metrics.kl_terms, **options)
        return numbers(jax.jit(of)(next(keys), mean, scale))

    found = {"exact": terms(num_codes=config.num_codes), "batches": {}}
    for size in config.batch_sizes:
        each = {name: terms(batch_size=size, estimate=name) for name in ESTIMATES}
        each["first column"] = first_column(next(keys), mean, scale, size, config.num_batches)
        found["batches"][str(size)] = each
    return found


def main(config: Config) -> dict:
    check(config)
    for size in config.batch_sizes:
        if not 3 <= size <= config.num_rows:
            raise checks.InputError(
                f"batch_sizes must be from 3 to num_rows={config.num_rows}; got {size}."
            )
    if config.num_codes > config.num_rows:
        raise checks.InputError(f"num_codes must be at most num_rows; got {config.num_codes}.")
    found = {name: fit(config, *case) for name, case in CASES.items()}
    if processes.first():
        draw(config, found)
    return {"codes": found, "log_num_rows": float(np.log(config.num_rows))}


def show(found: dict) -> None:
    rows = []
    for name, case in found["codes"].items():
        for size, each in {"all": {"exact": case["exact"]}, **case["batches"]}.items():
            for estimate, r in each.items():
                row = {"codes": name, "batch": size, "estimate": estimate}
                row |= {"TC": f"{r['total_correlation']:.2f}"}
                rows.append(row | {"I(n; z)": f"{r['mutual_information']:.2f}"})
    runs.table(rows, list(rows[0]))
    print(f"I(n; z) is at most {found['log_num_rows']:.2f} nats.")


def draw(config: Config, found: dict[str, dict]) -> None:
    """Saves estimates.png: the TC of the first case against the batch size."""
    case = next(iter(found.values()))
    sizes = np.array(config.batch_sizes, float)
    curves = {
        name: (sizes, [r[name]["total_correlation"] for r in case["batches"].values()])
        for name in ("stratified", "plain", "first column")
    }
    figure = plots.curves(
        curves,
        xlabel="rows of a batch, B",
        ylabel="total correlation, nats",
        logx=True,
        baselines={"sum over all rows": case["exact"]["total_correlation"]},
    )
    plots.save(figure, config.directory / "estimates.png")


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=0.5)
