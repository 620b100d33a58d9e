"""ELBO surgery: how much codes know of their rows, and how far they are from the prior.

    python -m experiments.vae.surgery

trains VAEs of the 8x8 digits with three priors and evaluates the two parts of their KL term,

    E KL(q(z | x_n) ‖ p(z)) = I(n; z) + KL(q(z) ‖ p(z)),    q(z) = 1/N Σ_n q(z | x_n),

during training on the validation split, and at the end on all of the training split and of the test
split. It takes about four minutes on two CPU cores. Expect that a learned prior lowers the marginal
KL, and not the information I(n; z). This is close to log N, the largest value it can have, so the
codes identify the digit among the N rows.

parts.png shows both parts during training. batches.png shows estimates of I(n; z) of the first
model from batches of B rows, plain (at most log B) and stratified (too high on average), beside the
exact value as a line.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from dgm_jax import metrics, plots, runs
from dgm_jax.runs import processes
from experiments import fitting
from experiments.options import check
from experiments.vae import compare

if TYPE_CHECKING:
    from dgm_jax.protocol import Key, Params


@dataclasses.dataclass(frozen=True)
class Config(compare.Config):
    models: tuple[
        Literal["vae", "iwae", "vamp", "flow-prior", "iaf-posterior", "ladder", "pixelvae"], ...
    ] = ("vae", "vamp", "flow-prior")
    """which models to train"""
    num_steps: int | None = 2000
    anneal: float | None = 0.0
    """the share of the steps in which the weight of the KL rises from 0 to 1; none for an IWAE"""
    surgery: bool = True
    """evaluate both parts of the KL term during training too"""
    batch_sizes: tuple[int, ...] = (4, 16, 64, 256, 1024)
    """the batch sizes B of the estimates; those above the number of rows are left out"""


QUICK = compare.QUICK | {"models": ("vae",), "batch_sizes": (4, 64)}


def operated(model: Any, params: Params, key: Key, x: Any, **options: Any) -> dict:
    """The terms of the ELBO over all rows, in nats."""
    operate = jax.jit(functools.partial(metrics.elbo_surgery, model, **options))
    return {name: float(value) for name, value in operate(params, key, x)._asdict().items()}


def by_batches(config: Config, model: Any, params: Params, x: Any) -> dict:
    """{B: {"plain": estimate of I(n; z), "stratified": estimate of I(n; z)}} in nats."""
    key = jax.random.key(config.seed + 2)
    sizes = [size for size in config.batch_sizes if 2 <= size <= len(x)]
    return {
        size: {
            how: operated(
                model,
                params,
                jax.random.clone(key),
                x,
                batch_size=size,
                stratified=how == "stratified",
            )["mutual_information"]
            for how in ("plain", "stratified")
        }
        for size in sizes
    }


def show(found: dict) -> None:
    """Prints one table for the whole splits and one for the batches."""
    rows = []
    for name, splits in found["models"].items():
        for split in ("train", "test"):
            r = splits[split]
            rows.append(
                {
                    "model": name,
                    "rows": f"{split}, {splits[f'{split}_rows']}",
                    "ELBO": f"{r['elbo']:.2f}",
                    "reconstruction": f"{r['reconstruction']:.2f}",
                    "KL": f"{r['kl']:.2f}",
                    "I(n; z)": f"{r['mutual_information']:.2f}",
                    "log N": f"{r['most']:.2f}",
                    "KL(q(z) ‖ p)": f"{r['marginal_kl']:.2f}",
                }
            )
    runs.table(rows, list(rows[0]))
    batches = [
        {"batch": size, "log B": f"{np.log(int(size)):.2f}"}
        | {f"I(n; z), {how}": f"{value:.2f}" for how, value in r.items()}
        for size, r in found["batches"].items()
    ]
    if batches:
        runs.table(batches, list(batches[0]))
    fitting.tell({name: r["row"] for name, r in found["models"].items()})


def draw(config: Config, fitted: Any, found: dict) -> None:
    """Saves parts.png and batches.png."""
    curves = {}
    for name, (_, learned) in fitted.items():
        curves[f"{name}: I(n; z)"] = learned.curves["valid_information"]
        curves[f"{name}: KL(q(z) ‖ p)"] = learned.curves["valid_marginal_kl"]
    most = {"log N": found["most"]}
    figure = plots.curves(
        curves, xlabel="step", ylabel="nats, of the validation split", baselines=most
    )
    plots.save(figure, config.directory / "parts.png")
    sizes = np.array(list(found["batches"]), float)
    if not len(sizes):
        return
    series = {
        how: (sizes, [r[how] for r in found["batches"].values()]) for how in ("plain", "stratified")
    }
    first = next(iter(found["models"].values()))["train"]
    figure = plots.curves(
        series | {"log B": (sizes, np.log(sizes))},
        xlabel="rows of a batch, B",
        ylabel="I(n; z) of the training split, nats",
        logx=True,
        baselines={"exact": first["mutual_information"], "log N": first["most"]},
    )
    plots.save(figure, config.directory / "batches.png")


def main(config: Config) -> dict:
    check(config, "models")
    data, rows, shape = compare.images(config)
    names = [field.name for field in dataclasses.fields(compare.Config)]
    of_compare = compare.Config(**{name: getattr(config, name) for name in names})
    fitted = {}
    for name in config.models:
        fitted[name] = compare.fit(of_compare, name, rows, shape, data.num_levels)
    key, models = jax.random.key(config.seed + 1), {}
    for name, (model, learned) in fitted.items():
        parts = {"row": learned.row}
        for split in ("train", "test"):
            parts[split] = operated(model, learned.params, jax.random.clone(key), rows[split])
            parts[f"{split}_rows"] = len(rows[split])
        models[name] = parts
    model, learned = next(iter(fitted.values()))
    batches = by_batches(config, model, learned.params, rows["train"])
    most = float(np.log(min(len(rows["valid"]), 1000)))
    found = {"models": models, "batches": batches, "most": most}
    if processes.first():
        draw(config, fitted, found)
    return found | {"batches": {str(size): r for size, r in batches.items()}}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=4)
