"""Scores, tables and pictures of codes, which `compare` and `dsprites` share."""

from __future__ import annotations  # types are not looked up: distrax takes a second

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import metrics, plots, protocol, runs
from experiments.disentangled.methods import unit_kl

SCORES = ("betavae_score", "factorvae_score", "mig", "dci", "modularity", "sap")
WORDS = {
    "betavae_score": "BetaVAE",
    "factorvae_score": "FactorVAE",
    "mig": "MIG",
    "dci": "DCI",
    "modularity": "modularity",
    "sap": "SAP",
}
DRAWS = 5  # draws of random codes
MOST_CODES = 2000  # codes at which the density q(z) is computed, by a sum over all rows
COARSE = 0.2  # the deviation of the noise of the coarse total correlation
SHOWN = 5  # units in a picture
STEPS = np.linspace(-2, 2, 9)


# --------------------------------------------------------------------------------------- numbers
def judged(key: protocol.Key, found: dict[str, np.ndarray], factors: np.ndarray) -> dict:
    """All scores and the terms of the ELBO, from the `methods.seen` of all rows of a set."""
    score_key, term_key = jax.random.split(key)
    mean, scale = found["mean"], found["scale"]
    terms = _terms(term_key, mean, scale)
    kl = np.asarray(unit_kl(mean, scale)).mean(0)
    return metrics.code_scores(score_key, np.asarray(mean), factors) | {
        "reconstruction": float(np.mean(found["distortion"])),
        "kl": float(kl.sum()),
        "total_correlation": float(terms.total_correlation),
        "coarse_total_correlation": coarse_total_correlation(protocol.again(term_key), mean, scale),
        "mutual_information": float(terms.mutual_information),
        "dimension_kl": float(terms.dimension_kl),
        "active_units": int(metrics.active_units(mean).sum()),
        "kl_of_units": np.sort(kl)[::-1].tolist(),
    }


@jax.jit
def _terms(key, mean, scale):
    return metrics.kl_terms(key, mean, scale, num_codes=min(len(mean), MOST_CODES))


def coarse_total_correlation(key: protocol.Key, mean: np.ndarray, scale: np.ndarray) -> float:
    """The total correlation of z + 0.2 ε in nats, at most that of z.

    For n rows, TC + Σ_j KL(q(z_j) ‖ p(z_j)) = KL - I(n; z) >= KL - log n. If codes are more precise
    than is needed to tell n rows apart, q(z) consists of n separate peaks, which ∏_j q(z_j) does
    not have, and the total correlation is large. No critic of samples sees this detail; noise of
    its own on each entry removes it.
    """
    blurred = jnp.sqrt(jnp.square(scale) + COARSE**2)
    return float(_terms(key, mean, blurred).total_correlation)


def gathered(rows: list[dict], seen: list[dict]) -> dict:
    """{score: values over seeds} of one method and strength, with UDR if seeds are several."""
    found = {what: [row[what] for row in rows] for what in rows[0]}
    if len(rows) > 1:
        kl = [np.asarray(unit_kl(run["mean"], run["scale"])).mean(0) for run in seen]
        found["udr"] = metrics.udr([run["mean"] for run in seen], kl).tolist()
    return found


def references(key: protocol.Key, factors: np.ndarray, num_latents: int) -> dict:
    """The scores of known codes: of the factors themselves, one per unit, and of random noise."""
    key, *keys = jax.random.split(key, DRAWS + 1)
    rng = np.random.default_rng(0)
    noise = [
        metrics.code_scores(k, rng.normal(size=(len(factors), num_latents)), factors) for k in keys
    ]
    known = metrics.code_scores(key, (factors - factors.mean(0)) / factors.std(0), factors)
    return {
        "factors": {what: [value] for what, value in known.items()},
        "noise": {what: [row[what] for row in noise] for what in noise[0]},
    }


def correlations(models: dict) -> list[list[float]]:
    """Spearman's rank correlation of each two of SCORES, over all models and seeds."""
    values = np.stack([np.concatenate([row[s] for row in models.values()]) for s in SCORES], 1)
    ranks = metrics.codes.average_ranks(values)
    ranks = ranks - ranks.mean(0)
    lengths = np.linalg.norm(ranks, axis=0)
    ranks = ranks / np.where(lengths > 0, lengths, 1)
    return (ranks.T @ ranks).tolist()


# ------------------------------------------------------------------------------------- the tables
def show(found: dict) -> None:
    """Prints scores of references and models, the terms of the ELBO, and rank correlations."""
    every = found["references"] | found["models"]
    words = WORDS | {"mig_adjusted": "MIG adj.", "modularity_adjusted": "mod. adj."}
    _table(every, {what: (word, 2) for what, word in words.items()})
    print(
        "Means ± deviations over seeds. Factors are codes that are the factors, noise is random: "
        "what can be had, and what chance gives. MIG and modularity by 20 bins, as published; "
        "adj.: in enough bins of equal counts, less what shuffled rows have."
    )
    words = {"reconstruction": ("-log p(x|z)", 1), "kl": ("KL", 1), "total_correlation": ("TC", 2)}
    words |= {"coarse_total_correlation": ("coarse TC", 2), "active_units": ("active units", 1)}
    _table(found["models"], words)
    print(
        "In nats. Coarse: the total correlation of codes with noise of "
        f"{COARSE}, without the detail that no critic of samples sees."
    )
    print("Rank correlation over all models and seeds:")
    names = [WORDS[s] for s in SCORES]
    table = [
        {"": name} | {other: f"{r:.2f}" for other, r in zip(names, row)}
        for name, row in zip(names, found["rank_correlation"])
    ]
    runs.table(table, list(table[0]))


def _table(every, words):
    """Prints {model: {score: values over seeds}}; words: {score: (its column, digits)}."""
    rows = [
        {"model": name} | {word: _spread(row[what], n) for what, (word, n) in words.items()}
        for name, row in every.items()
    ]
    runs.table(rows, list(rows[0]))


def _spread(values, digits):
    mean = f"{round(np.mean(values), digits) + 0.0:.{digits}f}"  # no -0.00
    return mean if len(values) == 1 else f"{mean} ± {np.std(values):.{digits}f}"


# --------------------------------------------------------------------------------------- pictures
def draw_scores(config: Any, models: dict[str, dict], chance: dict[str, list]) -> None:
    """Saves scores.png: each score against the reconstruction, with a point for each seed."""
    figure = plots.new_figure((11.0, 6.8), layout="constrained")
    methods = list(dict.fromkeys(name.partition(",")[0] for name in models))
    colours = dict(zip(methods, plots.COLOURS))
    for axes, score in zip(figure.subplots(2, 3).ravel(), SCORES):
        for method in methods:
            of = [row for name, row in models.items() if name.partition(",")[0] == method]
            points = [np.array([row["reconstruction"], row[score]]) for row in of]
            style = {"color": colours[method]}
            axes.plot(*np.concatenate(points, 1), ".", alpha=0.4, **style)
            axes.plot(*np.stack([p.mean(1) for p in points], 1), "o-", label=method, **style)
        axes.axhline(np.mean(chance[score]), color=plots.QUIET, ls=(0, (5, 3)), lw=1)
        axes.set_title(WORDS[score], fontsize=12, color=plots.INK)
        plots.plain(axes, frame=True)
        if axes.get_subplotspec().is_last_row():
            axes.set_xlabel("-log p(x | z), nats", color=plots.INK)
    said = "Each seed, and the means of a strength. Dashed: noise"
    figure.suptitle(said, fontsize=12, color=plots.INK)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(methods),
        frameon=False,
    )
    plots.save(figure, config.directory / "scores.png")


def draw_ranks(config: Any, correlation: list[list]) -> None:
    """Saves ranks.png: the rank correlations of the metrics."""
    figure = plots.new_figure((5.4, 4.8), layout="constrained")
    axes, names = figure.add_subplot(), [WORDS[s] for s in SCORES]
    axes.imshow(correlation, vmin=-1, vmax=1, cmap="RdBu")
    for (i, j), r in np.ndenumerate(np.array(correlation)):
        colour = "white" if abs(r) > 0.6 else plots.INK
        axes.text(j, i, f"{r:.2f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_title("Rank correlation of the metrics", fontsize=12, color=plots.INK)
    plots.plain(axes, frame=False)
    plots.save(figure, config.directory / "ranks.png")


def traversed(
    model: protocol.LatentVariable, params: protocol.Params, x: protocol.Array
) -> tuple[protocol.Array, protocol.Array, protocol.Array]:
    """The units with the largest KL, their KL, and E[x | z] as each moves, [units, steps, ...]."""
    posterior = model.posterior(params, x)
    mean, scale = posterior.mean(), posterior.stddev()
    kl = unit_kl(mean, scale).mean(0)
    units = jnp.argsort(-kl)[:SHOWN]
    start = mean[len(mean) // 2]

    def moved(unit):
        z = jnp.repeat(start[None], len(STEPS), 0).at[:, unit].set(jnp.asarray(STEPS))
        return model.likelihood(params, z).mean()

    return units, kl[units], jax.lax.map(moved, units)


def draw_traversals(config: Any, shape: tuple[int, int], models: dict) -> None:
    """Saves traversals.png, a panel for each of {name: what `traversed` returns}."""
    across = min(len(models), 3)
    down = -(-len(models) // across)
    height = 0.6 + 0.42 * max(len(units) for units, *_ in models.values())
    figure = plots.new_figure((4.6 * across, 0.4 + height * down), dpi=120, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (name, (units, kl, x)) in zip(panels, models.items()):
        images = np.asarray(x).reshape(-1, *shape, 1)
        canvas = plots.tile(np.repeat(images, 3, -1), len(STEPS))
        axes.imshow(canvas, interpolation="nearest", vmin=0, vmax=1)
        rows, columns = _middles(canvas.shape[0], len(units)), _middles(canvas.shape[1], len(STEPS))
        axes.set_yticks(rows, [f"z[{unit}] {nats:.1f}" for unit, nats in zip(units, kl)])
        axes.set_xticks(columns[::2], [f"{step:g}" for step in STEPS[::2]])
        axes.set_title(name, fontsize=12, color=plots.INK)
        plots.plain(axes, frame=False)
    for axes in panels[len(models) :]:
        axes.set_axis_off()
    said = "E[x | z] as one unit moves and the others stay; at its left its KL in nats"
    figure.suptitle(said, fontsize=12, color=plots.INK)
    plots.save(figure, config.directory / "traversals.png")


def _middles(length, num):
    """The middles of `num` equal parts of an axis with `length` pixels."""
    return (np.arange(num) + 0.5) * length / num


def draw_capacity(config: Any, history: list[dict], chunk: int, strength: float) -> None:
    """Saves capacity.png: the KL of each unit of the annealed-vae as its capacity C grows."""
    rows = [row for row in history if "kl_0" in row]
    if len(rows) < 2:
        return
    steps = chunk * np.array([row["step"] for row in rows])
    kl = np.array([[row[f"kl_{i}"] for i in range(config.num_latents)] for row in rows])
    order = np.argsort(-kl[-1])[:SHOWN]
    series = {f"z[{i}]": (steps, kl[:, i]) for i in order} | {"all": (steps, kl.sum(1))}
    figure = plots.curves(
        series,
        xlabel="step",
        ylabel="KL(q(z | x) ‖ p(z)), nats",
        baselines={"C at the end": strength},
        title="What each unit carries while the capacity grows",
    )
    plots.save(figure, config.directory / "capacity.png")
