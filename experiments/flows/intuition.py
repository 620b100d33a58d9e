"""Two pictures of a flow: F⁻¹(G(z)) on the line, and areas that grow by |det J| on the plane.

    python -m experiments.flows.intuition

needs no data. line.png is about a mixture of three logistics with distribution function F: it shows
F and the distribution function G of the normal, the map x = F⁻¹(G(z)) that takes a normal z to the
mixture, and a histogram of mapped noise beside the density. Nothing is learned there.

plane.png shows a small RealNVP that has learned a toy density: the density, a grid of squares in
the space of z, and the same grid after the map T, with each cell coloured by its log|det J|. The
area of each mapped cell, within its curved boundary, is compared with ∫ |det J| dz over the cell;
the boundary and the integral are computed with 1, 4 and 16 parts of each side of the cell.

It takes fifteen seconds on one CPU core, most of it compilation. Expect errors of rounding on the
line (1e-7 of the density, 5e-7 of F⁻¹(G(z)) and back). On the plane the areas agree on average to
20 % if |det J| is taken at the middle of the cell, to 2 % by 4×4 parts and to 0.1 % by 16×16 parts.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from dgm_jax import combinators, distributions, flows, plots, runs
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import fitting
from experiments.flows import toy
from experiments.options import check

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ToyName = Literal["checkerboard", "gaussians", "moons", "pinwheel", "rings", "spirals"]


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    toy: ToyName = "moons"
    """the toy density that the flow learns"""
    num_layers: int = 6
    """coupling layers of the RealNVP"""
    hidden: tuple[int, ...] = (32, 32)
    """widths of the hidden layers of each conditioner"""
    num_steps: int = 600
    """training steps of the RealNVP"""
    num_noise: int = 20000
    """samples in the histogram of line.png"""
    num_cells: int = 24
    """cells of the grid along each side of [-3, 3]²"""
    parts: tuple[int, ...] = (1, 4, 16)
    """parts of each side of a cell by which its area is computed; the picture shows the last"""


QUICK = {"num_steps": 50, "num_noise": 2000, "num_cells": 8, "parts": (1, 4)}

MIXTURE = {  # of F: the parameters of flows.cdf, [1, K]
    "logits": np.log([[0.5, 0.3, 0.2]]).astype(np.float32),
    "means": np.array([[-2.0, 0.5, 3.0]], np.float32),
    "log_scales": np.log([[0.35, 0.15, 0.5]]).astype(np.float32),
}
SIDE = 3.0  # of the square of noise that is drawn and measured


# ---------------------------------------------------------------------------------- on the line
def mixture(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F(x), F'(x)): distribution function and density of MIXTURE at x, in float64."""
    logits, means, log_scales = (MIXTURE[name].astype(np.float64) for name in MIXTURE)
    weights, scales = np.exp(logits) / np.exp(logits).sum(), np.exp(log_scales)
    sigmoid = 0.5 * (1 + np.tanh(0.5 * (x[:, None] - means) / scales))
    return (weights * sigmoid).sum(1), (weights * sigmoid * (1 - sigmoid) / scales).sum(1)


def on_the_line(config: Config) -> tuple[dict[str, float], tuple[np.ndarray, ...]]:
    """The numerical errors of the flow F⁻¹ ∘ G, and the arrays that `draw_line` shows."""
    flow = flows.cdf(1, num_components=MIXTURE["means"].size)
    params = {"base": {}, "flow": MIXTURE}
    model = combinators.pushforward(flow, distributions.standard_normal(1))
    z, x = (np.linspace(-end, end, 1001, dtype=np.float32)[:, None] for end in (3.5, 5.5))

    @jax.jit
    def compute(params, key):
        dist = model.dist(params)
        bijector = flow.bijector(params["flow"])
        there = bijector.forward(z)
        back = bijector.inverse(there)
        noise = dist.sample(seed=key, sample_shape=config.num_noise)
        return dist.prob(x), there, back, noise

    p, there, back, noise = map(np.asarray, compute(params, jax.random.key(config.seed)))
    found = {
        "max_density_error": np.abs(p - mixture(x[:, 0])[1]).max(),
        "max_round_trip_error": np.abs(back - z).max(),
    }
    return found, (z[:, 0], there[:, 0], x[:, 0], noise[:, 0])


def draw_line(z: np.ndarray, there: np.ndarray, x: np.ndarray, noise: np.ndarray) -> Figure:
    """Three panels: F and G with one z on its way to x, the map F⁻¹(G(z)), and mapped noise.

    z, there: noise and where it is mapped; x: where F and its density are drawn; noise: the samples
    of the histogram.
    """
    cdf, density = mixture(x)
    figure = plots.new_figure((11.0, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    blue, orange = plots.COLOURS[:2]
    titles = ("distribution functions", "the map x = F⁻¹(G(z))", "mapped noise and density")
    labels = (("z or x", "probability"), ("z", "x"), ("x", "density"))
    g = np.array(jax.scipy.stats.norm.cdf(z))
    panels[0].plot(z, g, color=orange, lw=1.8, label="G, normal")
    panels[0].plot(x, cdf, color=blue, lw=1.8, label="F, mixture")
    i = np.searchsorted(z, 1.0)  # one point on its way: z -> G(z) = F(x) -> x
    way = [z[i], z[i], there[i], there[i]], [0, g[i], g[i], 0]
    panels[0].plot(*way, color=plots.QUIET, lw=1.2, ls=(0, (5, 3)))
    panels[1].plot(z, there, color=blue, lw=1.8)
    panels[1].plot(z[i], there[i], "o", color=plots.QUIET)
    bins = np.linspace(x[0], x[-1], 101)
    panels[2].hist(noise, bins, density=True, color="#BBD7EA", label="F⁻¹(G(z))")
    panels[2].plot(x, density, color=blue, lw=1.8, label="F'")
    for axes, title, (xlabel, ylabel) in zip(panels, titles, labels):
        axes.set_title(title, fontsize=12, color=plots.INK)
        axes.set_xlabel(xlabel, color=plots.INK)
        axes.set_ylabel(ylabel, color=plots.INK)
        plots.plain(axes, frame=True)
    for axes in panels[::2]:
        axes.legend(frameon=False, fontsize=10, loc="upper left" if axes is panels[0] else "best")
    return figure


# --------------------------------------------------------------------------------- on the plane
def polygons(corners: np.ndarray, parts: int) -> np.ndarray:
    """The boundaries [n², 4 parts, 2] of n² cells, from points [n parts + 1, n parts + 1, 2]."""
    steps, first, last = np.arange(parts), np.zeros(parts, int), np.full(parts, parts)
    i = np.concatenate([steps, last, parts - steps, first])  # once around
    j = np.concatenate([first, steps, last, parts - steps])
    starts = np.arange(0, len(corners) - 1, parts)
    rows, columns = (start.reshape(-1, 1) for start in np.meshgrid(starts, starts, indexing="ij"))
    return corners[rows + i, columns + j].astype(np.float64)


def areas(polygons: np.ndarray) -> np.ndarray:
    """½ |Σ_i x_i y_{i+1} - x_{i+1} y_i| of polygons [n, corners, 2], [n]."""
    x, y = np.moveaxis(polygons, -1, 0)
    return 0.5 * np.abs((x * np.roll(y, -1, -1) - np.roll(x, -1, -1) * y).sum(-1))


def on_the_plane(
    config: Config,
) -> tuple[dict[str, dict], tuple[np.ndarray, np.ndarray, np.ndarray, datasets.Toy]]:
    """The errors of the areas of mapped cells against ∫ |det J| dz, and what `draw_plane` shows."""
    options: dict[str, Any] = {"num_layers": config.num_layers, "hidden": config.hidden}
    learning = toy.Config(num_steps=config.num_steps, **options)
    model = toy.build(learning, "realnvp")
    truth = datasets.TOYS[config.toy]()
    params, norms = toy.learn(learning, model, truth, jax.random.key(config.seed))
    fitting.tell_clipped(config.toy, fitting.rows_of_norms(norms), fitting.CLIP)
    bend = jax.jit(lambda p, z: model.dist(p).bijector.forward_and_log_det(z))  # ty: ignore[missing-attribute]
    n, found = config.num_cells, {}
    for parts in config.parts:
        lines = np.linspace(-SIDE, SIDE, n * parts + 1, dtype=np.float32)
        middles = (lines[1:] + lines[:-1]) / 2
        corners, middles = (
            np.stack(np.meshgrid(a, a, indexing="ij"), -1) for a in (lines, middles)
        )
        before = polygons(corners, parts)
        after = polygons(np.asarray(bend(params, corners)[0]), parts)
        det = np.exp(np.asarray(bend(params, middles)[1], np.float64))
        det = det.reshape(n, parts, n, parts).mean((1, 3)).ravel()  # over each cell
        error = np.abs(areas(after) / (det * areas(before)) - 1)
        found[str(parts)] = {"mean_area_error": error.mean(), "max_area_error": error.max()}
    return found, (before, after, np.log(det), truth)


def draw_plane(before: np.ndarray, after: np.ndarray, log_det: Any, truth: datasets.Toy) -> Figure:
    """Three panels: the density to learn, the grid of z, and the grid after the flow."""
    from matplotlib.collections import PolyCollection

    figure = plots.new_figure((11.0, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    edge = 1.05 * np.abs(after).max()
    axis = np.linspace(-edge, edge, 200, dtype=np.float32)
    p = np.exp(truth.log_prob(np.stack(np.meshgrid(axis, axis), -1)))
    panels[0].imshow(p, origin="lower", extent=(-edge, edge) * 2, cmap="magma")
    top = np.quantile(np.abs(log_det), 0.99)
    for axes, shapes in zip(panels[1:], (before, after)):
        drawn = PolyCollection(list(shapes), array=log_det, cmap="RdBu", edgecolors="white", lw=0.2)
        drawn.set_clim(-top, top)
        axes.add_collection(drawn)
    bar = figure.colorbar(drawn, ax=panels[2], label="log |det J|", extend="both", pad=0.04)
    bar.outline.set_visible(False)
    ends, titles = (edge, SIDE, edge), ("the density to learn", "noise z, in squares", "x = T(z)")
    for axes, end, title in zip(panels, ends, titles):
        axes.set(xlim=(-end, end), ylim=(-end, end), aspect="equal")
        axes.set_title(title, fontsize=12, color=plots.INK)
        axes.locator_params(nbins=4, prune="both")
        plots.plain(axes, frame=False)
    return figure


def show(found: dict[str, dict]) -> None:
    for name, value in found["line"].items():
        print(f"on the line, {name.replace('_', ' ')}: {value:.1e}")
    rows = [
        {
            "parts of a side": int(parts),
            "mean": f"{r['mean_area_error']:.1e}",
            "largest": f"{r['max_area_error']:.1e}",
        }
        for parts, r in found["plane"].items()
    ]
    runs.table(rows, list(rows[0]))
    print("How far the area of T(cell) is from ∫ |det J| over the cell, relative, over the grid.")


def main(config: Config) -> dict:
    check(config, "parts")
    line, line_drawn = on_the_line(config)
    plane, plane_drawn = on_the_plane(config)
    if processes.first():
        plots.save(draw_line(*line_drawn), config.directory / "line.png")
        plots.save(draw_plane(*plane_drawn), config.directory / "plane.png")
    return {"line": line, "plane": plane}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=0.25)
