"""Pictures: grids of samples, densities on the plane, curves over training.

Every function returns a `matplotlib.figure.Figure` and touches no global state, so it works in
scripts, notebooks and threads. `save` writes the figure; a notebook shows it as the last value of a
cell. Matplotlib is imported on first use.
"""

import functools
import io
import itertools
import math
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks
from .protocol import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by colour-blind readers too. Curves take them in this order.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, QUIET = "#333333", "#767676"  # words; what should stay behind them
LOG_STEPS = ((1,), (1, 3), (1, 2, 5))  # ticks of a decade: the fewest that give enough in all
FEWEST_TICKS = 4
LINE, LETTER = 22, 9  # dots of a line of text and of a letter, in grids of images


def sample_grid(
    images: Rows,
    *,
    columns: int | None = None,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    vmin: float | None = None,
    vmax: float | None = None,
    title: str = "",
) -> "Figure":
    """Images [n, h, w] or [n, h, w, 3] in a grid, row by row, with sharp square pixels.

    images: numbers; black is vmin, and white vmax
    columns: how many images are side by side; None for ⌈√n⌉
    row_names: written at the left, each for an equal number of rows of the grid
    column_names: written above, one for each column
    vmin, vmax: values outside are clipped. None for the minimum and maximum of `images`; give both
        to compare two grids
    title: above all

    Returns a matplotlib figure. Names that do not fit the grid, and vmin ≥ vmax, raise
    `InputError`.
    """
    images = _in_colour(checks.finite_rows(images, "images"), vmin, vmax)
    row_names = checks.texts(row_names, "row_names")
    column_names = checks.texts(column_names, "column_names")
    title = checks.text(title, "title")
    columns = math.ceil(math.sqrt(len(images))) if columns is None else columns
    columns = checks.positive_int(columns, "columns")
    canvas, across = tile(images, columns), min(columns, len(images))
    _check_names(math.ceil(len(images) / columns), across, row_names, column_names)

    height, width = canvas.shape[:2]
    dots = max(1, round(720 / max(height, width)))  # whole screen dots a pixel keep edges sharp
    if row_names:  # rows, or groups of rows, no lower than their names
        dots = max(dots, math.ceil(LINE * len(row_names) / height))
    if column_names:  # columns no narrower
        widest = LETTER * (max(map(len, column_names)) + 1)
        dots = max(dots, math.ceil(widest * across / width))
    heading = 24 if column_names else 0
    strip, dpi = (40 if title else 0) + heading, 100
    margin = 24 + LETTER * max(map(len, row_names)) if row_names else 0
    size = (width * dots + margin, height * dots + strip)
    figure = new_figure((size[0] / dpi, size[1] / dpi), dpi=dpi)
    image = (margin / size[0], 0, width * dots / size[0], height * dots / size[1])
    axes = figure.add_axes(image)
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.set_axis_off()

    def write(x, y, text, *, align="center", fontsize=11):
        figure.text(x, y, text, ha=align, va="center", fontsize=fontsize, color=INK)

    for i, name in enumerate(row_names):
        middle = (1 - (i + 0.5) / len(row_names)) * image[3]
        write(image[0] - 8 / size[0], middle, name, align="right")
    for i, name in enumerate(column_names):
        middle = image[0] + (i + 0.5) / across * image[2]
        write(middle, image[3] + heading / 2 / size[1], name)
    if title:
        write(0.5, 1 - (strip - heading) / 2 / size[1], title, fontsize=13)
    return figure


def image_rows(
    rows: Mapping[str, Rows],
    *,
    column_names: Sequence[str] = (),
    vmin: float | None = None,
    vmax: float | None = None,
    title: str = "",
) -> "Figure":
    """Images as rows, each with its name at its left, such as originals above reconstructions.

    rows: {name: images [n, h, w] or [n, h, w, 3]}, all of one shape, which share one grey scale
    column_names: written above, one for each of the n columns
    vmin, vmax: what is black and what white; None for the minimum and maximum of all images
    title: above all

    Returns a matplotlib figure. No rows, or rows of several shapes, raise `InputError`.
    """
    rows = checks.mapping(rows, "rows")
    if not rows:
        raise checks.InputError("rows is empty; give at least one {name: images [n, h, w]}.")
    images = {name: checks.finite_rows(x, f"rows[{name!r}]") for name, x in rows.items()}
    shapes = {x.shape for x in images.values()}
    if len(shapes) > 1:
        raise checks.InputError(f"rows must have images of one shape; got {sorted(shapes)}.")
    return sample_grid(
        np.concatenate(list(images.values())),
        columns=shapes.pop()[0],
        row_names=list(images),
        column_names=column_names,
        vmin=vmin,
        vmax=vmax,
        title=title,
    )


def _in_colour(images, vmin, vmax):
    """Images [n, h, w, 3] in [0, 1], clipped to vmin..vmax."""
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3):
        raise checks.InputError(
            f"images must be [n, h, w] or [n, h, w, 3]; got shape {images.shape}."
        )
    images = images.astype(np.float64)
    vmin = images.min() if vmin is None else checks.number(vmin, "vmin")
    vmax = max(images.max(), vmin + 1e-12) if vmax is None else checks.number(vmax, "vmax")
    if not vmin < vmax:
        raise checks.InputError(f"vmin must be below vmax; got vmin={vmin} and vmax={vmax}.")
    scaled = np.clip((images - vmin) / (vmax - vmin), 0, 1)
    return scaled if scaled.ndim == 4 else np.repeat(scaled[..., None], 3, -1)


def _check_names(rows, across, row_names, column_names):
    if row_names and rows % len(row_names):
        raise checks.InputError(
            f"row_names must name equal groups of the {rows} rows; got {row_names}."
        )
    if column_names and len(column_names) != across:
        raise checks.InputError(f"column_names must name the {across} columns; got {column_names}.")


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """[n, h, w, 3] -> [rows (h + gap) + gap, columns (w + gap) + gap, 3]: images as one, with gaps.

    images: [n, h, w, 3] in [0, 1], placed row by row; empty places and gaps are white (1)
    columns: images per row, at most n are used; gap is 1/16 of the shorter side, at least one pixel
    """
    n, h, w, _ = images.shape
    gap = max(1, round(min(h, w) / 16))
    rows, columns = math.ceil(n / columns), min(n, columns)
    canvas = np.ones((rows * (h + gap) + gap, columns * (w + gap) + gap, 3))
    for i, image in enumerate(images):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        canvas[top : top + h, left : left + w] = image
    return canvas


def densities(
    log_probs: Mapping[str, Callable],
    *,
    bounds: tuple[float, float] = (-4.0, 4.0),
    resolution: int = 200,
    samples: Mapping[str, Rows] | None = None,
    title: str = "",
) -> "Figure":
    """p(x) = exp log_prob(x) on the square [low, high]², one panel per density, one colour scale.

    log_probs: {name: function from points [r², 2] to log-densities [r²]}, r = resolution; each is
        called once, so `jit` it. The first sets the colour scale (put the true density first);
        larger values elsewhere get the top colour
    bounds: (low, high)
    resolution: r, the points on a side
    samples: {name: points [n, 2]}, drawn in white over the panel of the same name
    title: above all

    Returns a matplotlib figure. A log-density that is NaN or +inf raises `InputError`; -inf is p =
    0.
    """
    log_probs = checks.mapping(log_probs, "log_probs")
    for name, log_prob in log_probs.items():
        checks.function(log_prob, f"log_probs[{name!r}]")
    title = checks.text(title, "title")
    if not log_probs:
        raise checks.InputError("log_probs is empty; give at least one {name: log_prob}.")
    resolution = checks.positive_int(resolution, "resolution", least=2)
    low, high = _bounds(bounds)
    samples = {} if samples is None else checks.mapping(samples, "samples")
    points = {name: plane_points(name, x) for name, x in samples.items()}
    for name in points:
        checks.choice(name, log_probs, "each name in samples")
    cells = low + (np.arange(resolution) + 0.5) * (high - low) / resolution  # their centres
    grid = np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 2).astype(np.float32)
    values = {name: on_grid(name, f, grid, resolution) for name, f in log_probs.items()}

    n = len(values)
    figure = new_figure((3.1 * n + 0.9, 3.4 + (0.35 if title else 0)), layout="constrained")
    panels = figure.subplots(1, n, squeeze=False, sharex=True, sharey=True)[0]
    top = next(iter(values.values())).max() or 1.0
    for axes, (name, p) in zip(panels, values.items(), strict=True):
        image = axes.imshow(
            p,
            origin="lower",
            extent=(low, high, low, high),
            cmap="magma",
            vmin=0.0,
            vmax=top,
            interpolation="nearest",
        )
        if name in points:
            axes.scatter(*points[name].T, s=3, c="white", alpha=0.6, linewidths=0)
        axes.set(xlim=(low, high), ylim=(low, high))
        axes.locator_params(nbins=4, prune="both")  # ticks at the corners would touch
        axes.set_title(name, fontsize=12, color=INK)
        plain(axes, frame=False)
    over = any(p.max() > 1.001 * top for p in values.values())
    beside = panels[-1].inset_axes((1.05, 0.0, 0.05, 1.0))
    bar = figure.colorbar(image, cax=beside, extend="max" if over else "neither")
    bar.set_label("density", fontsize=11, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9, colors=INK, length=0)
    if title:
        figure.suptitle(title, fontsize=13, color=INK)
    return figure


def _bounds(bounds) -> tuple[float, float]:
    if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
        raise checks.InputError(f"bounds must be (low, high); got {checks.shown(bounds)}.")
    low, high = (checks.number(bound, "each of bounds") for bound in bounds)
    if not -math.inf < low < high < math.inf:
        raise checks.InputError(f"bounds must be finite with low < high; got {bounds!r}.")
    return low, high


def planes(
    rows: Mapping[str, Mapping[str, Rows]],
    *,
    bounds: tuple[float, float] = (-4.0, 4.0),
    fields: Mapping[str, Mapping[str, Rows]] | None = None,
    scale: float | None = None,
    label: str = "",
    title: str = "",
) -> "Figure":
    """Points [n, 2] on the square [low, high]², one panel each, in rows and columns with names.

    rows: {row: {column: points [n, 2]}}; all rows have the columns of the first, whose names are
        written above, else `InputError`. The fewer columns, the larger the panels
    bounds: (low, high)
    fields: {row: {column: values [r, r], y first}}, such as those of a critic on the square, drawn
        as colours behind the points, with 0 in white; a row without fields may be left out
    scale: with it all fields share one scale of colours from -scale to scale, shown by a bar;
        larger values have its last colours. None for a scale of its own for each panel
    label: what the values are, beside the bar; title: above all

    Returns a matplotlib figure.
    """
    rows, title = checks.mapping(rows, "rows"), checks.text(title, "title")
    label = checks.text(label, "label")
    scale = None if scale is None else checks.positive(scale, "scale")
    if not rows or not all(checks.mapping(row, f"rows[{name!r}]") for name, row in rows.items()):
        raise checks.InputError("rows must be {row: {column: points}} with a panel at least.")
    low, high = _bounds(bounds)
    fields = {} if fields is None else checks.mapping(fields, "fields")
    for name, field in fields.items():
        checks.mapping(field, f"fields[{name!r}]")
    columns = list(next(iter(rows.values())))
    bar, side = fields and scale is not None, max(1.3, min(2.6, 7.0 / len(columns)))  # of a panel
    size = (side * len(columns) + (1.2 if bar else 0.4), side * len(rows) + (0.6 if title else 0.3))
    figure = new_figure(size, layout="constrained")
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    shown = None
    for name, of_row in zip(rows, panels, strict=True):
        if list(rows[name]) != columns:
            raise checks.InputError(
                f"rows[{name!r}] must have the columns {columns}; got {list(rows[name])}."
            )
        wide = textwrap.fill(
            name, round(11 * side), break_on_hyphens=False
        )  # or it would meet the name of the next row
        of_row[0].set_ylabel(wide, fontsize=9, color=INK)
        for column, axes in zip(columns, of_row, strict=True):
            if name in fields:
                values = np.asarray(fields[name][column])
                shown = _field(axes, values, (low, high, low, high), scale)
            points = plane_points(column, rows[name][column])
            axes.scatter(*points.T, s=(side / 1.3) ** 2, c="black", alpha=0.5, linewidths=0)
            axes.set(xlim=(low, high), ylim=(low, high), xticks=[], yticks=[], aspect="equal")
            plain(axes, frame=False)
    for column, axes in zip(columns, panels[0], strict=True):
        axes.set_title(column, fontsize=7 if len(columns) > 8 else 9, color=INK)
    if bar and shown is not None:
        legend = figure.colorbar(shown, ax=panels, extend="both", aspect=30)
        legend.set_label(label, fontsize=9, color=INK)
        legend.ax.tick_params(labelsize=8, colors=INK)
    if title:
        figure.suptitle(title, fontsize=11, color=INK)
    return figure


def _field(axes, values, extent, scale):
    most = scale or np.abs(values).max() or 1.0
    options = {"cmap": "RdBu", "vmin": -most, "vmax": most, "interpolation": "bilinear"}
    return axes.imshow(values, origin="lower", extent=extent, **options)


def plane_points(name: str, x: Rows) -> np.ndarray:
    """Points [n, 2] as a numpy array, after checking their shape.

    name: used in the error; x: an array or nested lists. Another shape raises `InputError`
    """
    x = checks.on_host(x, f"samples[{name!r}]")
    if x.ndim != 2 or x.shape[1] != 2:
        raise checks.InputError(f"samples[{name!r}] must have shape [n, 2]; got {x.shape}.")
    return x


def on_grid(name: str, log_prob: Callable, grid: np.ndarray, resolution: int) -> np.ndarray:
    """exp log_prob at the points of a grid, [resolution, resolution] (y first), in float64.

    name: that of the density, for errors
    log_prob: a function from points [n, 2] to log-densities [n]
    grid: points [resolution², 2], row by row, y slowest
    resolution: the points on a side

    Another shape, NaN or +inf raise `InputError`; -inf becomes 0.
    """
    log_p = checks.on_host(log_prob(grid), f"log_probs[{name!r}](x)")
    if log_p.shape != (len(grid),):
        raise checks.InputError(
            f"log_probs[{name!r}] must map [n, 2] to [n]; got {log_p.shape} from {grid.shape}."
        )
    if np.isnan(log_p).any() or (log_p == np.inf).any():
        bad = grid[np.argmax(np.isnan(log_p) | (log_p == np.inf))].tolist()
        raise checks.InputError(
            f"log_probs[{name!r}] is NaN or +inf, first at x = {bad}; repair it."
        )
    return np.exp(log_p.astype(np.float64)).reshape(resolution, resolution)


def curves(
    series: Mapping[str, tuple],
    *,
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    baselines: Mapping[str, float] | None = None,
    colours: Mapping[str, str] | None = None,
    title: str = "",
) -> "Figure":
    """Lines of values against steps, each with its name written at its end.

    series: {name: (steps [n], values [n])}; values that are not finite leave a gap
    xlabel, ylabel: names of the axes, with units; logx, logy: whether the axes are logarithmic
    baselines: {name: value}, dashed horizontal lines
    colours: {name: matplotlib colour}, to keep the colour of a model across pictures. By default
        colours follow the order of `series`; where they come a second time, lines are dashed, and
        named so
    title: above all

    Dots lead from the end of a shorter line to its name. Returns a matplotlib figure. No series, no
    finite value, or values of 0 or less on a logarithmic axis raise `InputError`.
    """
    series = checks.mapping(series, "series")
    xlabel, ylabel = checks.text(xlabel, "xlabel"), checks.text(ylabel, "ylabel")
    logx, logy = checks.flag(logx, "logx"), checks.flag(logy, "logy")
    title = checks.text(title, "title")
    if not series:
        raise checks.InputError("series is empty; give at least one {name: (steps, values)}.")
    lines = {name: line(name, pair, logx, logy) for name, pair in series.items()}
    levels = {} if baselines is None else checks.mapping(baselines, "baselines")
    for name, level in levels.items():
        levels[name] = checks.number(level, f"baselines[{name!r}]")
        if logy and level <= 0:
            raise checks.InputError(
                f"baselines[{name!r}]={level} cannot be drawn; drop it, or logy."
            )
    order = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(lines)}
    colours = {} if colours is None else _colours(colours)
    dashed = {name for name in list(lines)[len(COLOURS) :] if name not in colours}
    order |= colours

    figure = new_figure((7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    axes.margins(x=0)
    for level in levels.values():
        axes.axhline(level, color=QUIET, lw=1.2, ls=(0, (5, 3)), zorder=1)
    for name, (steps, values) in lines.items():
        dashes, marker = "--" if name in dashed else "-", "o" if len(steps) == 1 else None
        axes.plot(steps, values, dashes, color=order[name], lw=1.8, marker=marker)
    last = max(steps.max() for steps, _ in lines.values())
    ends = [((last, level), f"{name} {level:.4g}", QUIET) for name, level in levels.items()]
    for name, (steps, values) in lines.items():
        end = np.flatnonzero(np.isfinite(values))[-1]
        if steps[end] < last:  # it stopped early: dots lead to its name
            axes.plot([steps[end], last], [values[end]] * 2, color=order[name], lw=1, ls=":")
        told = f"{name} (dashed)" if name in dashed else name
        ends.append(((last, values[end]), told, order[name]))
    label_ends(axes, ends)
    axes.set_xlabel(xlabel, fontsize=12, color=INK)
    axes.set_ylabel(ylabel, fontsize=12, color=INK)
    axes.set_title(title, fontsize=13, color=INK, loc="left")
    axes.grid(axis="y", color="#E6E6E6", lw=0.8)
    plain(axes, frame=True)
    return figure


def bars(
    values: Mapping[str, Mapping[str, float]],
    *,
    ylabel: str,
    outlines: Mapping[tuple[str, str], tuple[float, str]] | None = None,
    logy: bool = False,
    title: str = "",
) -> "Figure":
    """Groups of bars, with the value of each written on top.

    values: {group: {bar: value}}; a bar has the same colour in all groups
    ylabel: the name of the axis, with units
    outlines: {(group, bar): (value, text)}, second values, drawn as empty dashed bars behind the
        first ones, with their texts on top
    logy: whether the axis is logarithmic
    title: above all

    Returns a matplotlib figure. Values that are not finite, or not above 0 with logy, raise
    `InputError`.
    """
    ylabel, title = checks.text(ylabel, "ylabel"), checks.text(title, "title")
    logy = checks.flag(logy, "logy")
    values = checks.mapping(values, "values")
    values = {group: checks.mapping(bars, f"values[{group!r}]") for group, bars in values.items()}
    outlines = {} if outlines is None else outlines
    if not isinstance(outlines, Mapping):
        raise checks.InputError(
            f"outlines must be {{(group, bar): (value, words)}}; got {checks.shown(outlines)}."
        )
    if not values or not all(values.values()):
        raise checks.InputError(
            f"values must be {{group: {{bar: value}}}}, none empty; got {values!r}."
        )
    heights = [checks.number(v, "each of values") for b in values.values() for v in b.values()]
    heights += [_outline(place, behind) for place, behind in outlines.items()]
    if not np.isfinite(heights).all() or (logy and min(heights) <= 0):
        raise checks.InputError(f"values must be finite, and above 0 with logy; got {heights}.")
    names = list(dict.fromkeys(name for group in values.values() for name in group))
    colours = dict(zip(names, itertools.cycle(COLOURS)))
    width = 0.84 / max(map(len, values.values()))

    figure = new_figure((7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_yscale("log" if logy else "linear")

    def bar(x, value, words, colour, **style):
        axes.bar(x, value, 0.9 * width, edgecolor=colour, **style)
        axes.annotate(
            words,
            (x, value),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=10,
            color=colour,
        )

    labelled = set()
    for i, (group, members) in enumerate(values.items()):
        for place, name in enumerate(sorted(members, key=names.index)):
            value, x = members[name], i + (place - (len(members) - 1) / 2) * width
            label = None if name in labelled else name
            labelled.add(name)
            bar(x, value, f"{value:.3g}", colours[name], color=colours[name], label=label)
            if (group, name) in outlines:
                bar(x, *outlines[group, name], colours[name], fill=False, ls=(0, (5, 3)), lw=1.2)
    axes.set_xticks(range(len(values)), list(values), fontsize=12)
    axes.set_ylabel(ylabel, fontsize=12, color=INK)
    axes.set_title(title, fontsize=13, color=INK, loc="left")
    axes.margins(y=0.12)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=11)
    plain(axes, frame=True)
    return figure


def latent_space(
    codes: Mapping[str, Rows],
    labels: Rows | None = None,
    *,
    title: str = "",
) -> "Figure":
    """Latents z of a data set as points on a plane, one panel for each model, coloured by class.

    codes: {name: z [n, k]}, k ≥ 2. For k > 2 the first two principal components are shown, and the
        title of the panel says which fraction of the variance they explain
    labels: the class of each row, integers [n]; the number of a class is written at its median.
        None for one colour
    title: above all

    Returns a matplotlib figure. Classes have the same colours in all panels.
    """
    codes, title = checks.mapping(codes, "codes"), checks.text(title, "title")
    if not codes:
        raise checks.InputError("codes is empty; give at least one {name: codes [n, k]}.")
    planes = {name: principal_plane(name, each) for name, each in codes.items()}
    classes = None if labels is None else checks.on_host(labels, "labels")
    columns = min(len(planes), 4)
    rows = math.ceil(len(planes) / columns)
    figure = new_figure((3.2 * columns, 3.4 * rows), layout="constrained")
    for i, (name, (points, share)) in enumerate(planes.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        _scatter(axes, points, classes, name)
        told = "" if share is None else f", {share:.0%} of the variance"
        axes.set_title(f"{name}{told}", fontsize=11, color=INK)
        axes.set_xticks([])
        axes.set_yticks([])
        plain(axes, frame=False)
    figure.suptitle(title, fontsize=13, color=INK)
    return figure


def principal_plane(name: str, codes: Rows) -> tuple[np.ndarray, float | None]:
    """(x V_2, (s_1² + s_2²) / Σ_i s_i²): the first two principal components of centred codes x.

    s and V are singular values and right singular vectors of x, the codes minus their mean.

    name: used in the error; codes: [n, k], k ≥ 2, else `InputError`

    Returns points [n, 2] and the fraction of the variance that they explain. For k = 2 the codes
    themselves and None.
    """
    codes = checks.finite_rows(codes, f"codes[{name!r}]").astype(np.float64)
    if codes.ndim != 2 or codes.shape[1] < 2:
        raise checks.InputError(
            f"codes[{name!r}] must be [n, k] with k of 2 or more; got shape {codes.shape}."
        )
    if codes.shape[1] == 2:
        return codes, None
    centred = codes - codes.mean(0)
    _, scales, directions = np.linalg.svd(centred, full_matrices=False)
    share = (scales[:2] ** 2).sum() / max((scales**2).sum(), 1e-300)
    return centred @ directions[:2].T, float(share)


def _scatter(axes, points, classes, name):
    if classes is None:
        axes.scatter(*points.T, s=9, color=COLOURS[0], linewidths=0)
        return
    if classes.shape != (len(points),):
        raise checks.InputError(
            f"labels must have one number for each of the {len(points)} codes[{name!r}]; got shape "
            f"{classes.shape}."
        )
    from matplotlib import colormaps

    known = np.unique(classes)
    for i, each in enumerate(known):
        of_class = points[classes == each]
        few = len(known) <= 10
        colour = colormaps["tab10"](i) if few else colormaps["turbo"](i / len(known))
        axes.scatter(*of_class.T, s=9, color=colour, linewidths=0, alpha=0.75)
        axes.annotate(
            str(each),
            np.median(of_class, 0),
            ha="center",
            va="center",
            fontsize=11,
            weight="bold",
            color=INK,
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": colour, "alpha": 0.85},
        )


def _colours(colours):
    from matplotlib.colors import is_color_like

    for name, colour in checks.mapping(colours, "colours").items():
        if not is_color_like(colour):
            raise checks.InputError(f"colours[{name!r}] is no colour: {checks.shown(colour)}.")
    return dict(colours)


def _outline(place, behind):
    for value, what in ((place, "each key"), (behind, "each value")):
        if not isinstance(value, tuple) or len(value) != 2:
            raise checks.InputError(
                f"outlines must be {{(group, bar): (value, words)}}; got {checks.shown(value)} as "
                f"{what}."
            )
    return checks.number(behind[0], f"outlines[{place}]")


def line(name: str, pair: Any, logx: bool, logy: bool) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of a series for `curves`, as float64 arrays [n], after checking them.

    name: that of the series, for errors
    pair: (steps [n], values [n])
    logx, logy: whether an axis is logarithmic, so that all its numbers must be above 0

    Raises `InputError` for unequal shapes, no finite value, or a step that is not finite.
    """
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise checks.InputError(
            f"series[{name!r}] must be (steps [n], values [n]); got {checks.shown(pair)}."
        )
    steps, values = (checks.on_host(a, f"series[{name!r}]").astype(np.float64) for a in pair)
    if steps.shape != values.shape or steps.ndim != 1:
        raise checks.InputError(
            f"series[{name!r}] must be (steps [n], values [n]); "
            f"got shapes {steps.shape} and {values.shape}."
        )
    if not np.isfinite(values).any() or not np.isfinite(steps).all():
        raise checks.InputError(
            f"series[{name!r}] has no finite value, or a step that is not; drop it."
        )
    for axis, flag, a in (("logx", logx, steps), ("logy", logy, values)):
        if flag and (a <= 0).any():
            raise checks.InputError(
                f"series[{name!r}] falls to {a.min():g}; {axis} needs all above 0."
            )
    return steps, values


def label_ends(axes: "Axes", ends: list[tuple]) -> None:
    """Writes texts at the right of the axes, as near as possible to given heights, without overlap.

    axes: of matplotlib, with all lines drawn
    ends: [((x, y), text, colour), ...]: a thin line leads from the point (x, y) to its text

    The heights are the nearest in the least-squares sense that are one line of text apart (isotonic
    regression).
    """
    from sklearn.isotonic import isotonic_regression

    axes.autoscale_view()
    ends = sorted(ends, key=lambda end: end[0][1])
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = np.array([to_axes.transform(point)[1] for point, _, _ in ends])
    apart = 0.065 * np.arange(len(ends))  # one line of text, in heights of the axes
    placed = isotonic_regression(heights - apart) + apart  # the nearest that are so far apart
    for (point, text, colour), height in zip(ends, placed, strict=True):
        leader = dict(arrowstyle="-", color=colour, lw=0.7, relpos=(0, 0.5), shrinkA=1, shrinkB=0)
        axes.annotate(
            text,
            point,
            (1.04, height),
            textcoords="axes fraction",
            color=colour,
            fontsize=11,
            va="center",
            arrowprops=leader,
            annotation_clip=False,
        )


def save(figure: "Figure", path: str | os.PathLike) -> None:
    """Writes a figure as a PNG file, atomically: a reader sees the old file or the new one.

    figure: of matplotlib
    path: ends in .png, in a folder that exists, else `InputError`
    """
    path = checks.path(path, "path")
    if not hasattr(figure, "savefig"):
        raise checks.InputError(f"figure must be one of matplotlib; got {checks.shown(figure)}.")
    if path.suffix != ".png":
        raise checks.InputError(f"path must end in .png; got {str(path)!r}.")
    if not path.parent.is_dir():
        raise checks.InputError(
            f"path: the folder {str(path.parent)!r} does not exist; make it first."
        )
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _write(figure, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def new_figure(size: tuple[float, float], *, dpi: int = 160, **options: Any) -> "Figure":
    """An empty matplotlib figure that a notebook shows once, as the last value of a cell.

    It is not registered with pyplot, which would open a window or show it a second time.

    size: width and height in inches; dpi: dots per inch
    options: those of `matplotlib.figure.Figure`, such as layout="constrained"
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, facecolor="white", **options)
    # The name that notebooks look for, which is none of matplotlib's
    figure._repr_png_ = functools.partial(_png, figure)  # ty: ignore[missing-attribute]
    return figure


def _png(figure):
    """The bytes of what `save` writes."""
    file = io.BytesIO()
    _write(figure, file)
    return file.getvalue()


def _write(figure, file):
    figure.savefig(file, format="png", dpi=max(figure.dpi, 100), facecolor="white")


def plain(axes: "Axes", *, frame: bool) -> None:
    """Axes with readable ticks and few lines, in the style of this module.

    axes: of matplotlib, changed in place
    frame: True keeps the left and the bottom line, which carry the scales; False keeps none

    The ticks of a logarithmic axis depend on its current limits: call this last.
    """
    axes.tick_params(labelsize=10, colors=INK, length=3 if frame else 0)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            _logarithmic(axis)
    for side, spine in axes.spines.items():
        spine.set_visible(frame and side in ("left", "bottom"))
        spine.set_color(QUIET)


def _logarithmic(axis):
    """Ticks at 1, 10, 100, or at 1, 3, 10, 30, in plain numbers; ticks set by hand stay."""
    from matplotlib import ticker

    if not isinstance(axis.get_major_locator(), ticker.LogLocator):
        return
    low, high = axis.get_view_interval()
    decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.log10(high))
    for steps in LOG_STEPS:
        ticks = np.outer(decades, steps)
        if ((low <= ticks) & (ticks <= high)).sum() >= FEWEST_TICKS:
            axis.set_major_locator(ticker.LogLocator(subs=steps))
            break
    else:  # within a decade, where the scale is nearly even
        axis.set_major_locator(ticker.MaxNLocator(5))
    axis.set_major_formatter(ticker.FuncFormatter(_plain_number))
    axis.set_minor_formatter(ticker.NullFormatter())


def _plain_number(value, _=None):
    """0.001 to 10000 in digits, and powers of ten beyond, where zeros would have to be counted."""
    if 0.00099 < value < 10_001:
        return f"{value:g}"
    times, power = f"{value:.2e}".split("e")
    times = "" if float(times) == 1 else rf"{float(times):g} \times "
    return f"${times}10^{{{int(power)}}}$"
