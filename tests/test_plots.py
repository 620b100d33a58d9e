"""The pictures show the numbers they are given, and refuse what they cannot show."""

import os

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from dgm_jax import plots


def gaussian(variance=1.0):
    return lambda x: -0.5 * (x**2).sum(-1) / variance - jnp.log(2 * jnp.pi * variance)


def texts(figure):
    return {text.get_text(): text for axes in figure.axes for text in axes.texts}


# ------------------------------------------------------------------------------ sample_grid
def canvas(figure):
    (axes,) = figure.axes
    return np.asarray(axes.images[0].get_array())


def test_a_grid_shows_its_images_row_by_row():
    images = np.arange(5, dtype=float)[:, None, None] * np.ones((5, 4, 4))
    shown = canvas(plots.sample_grid(images, columns=3, vmin=0, vmax=4))
    assert shown.shape == (2 * 5 + 1, 3 * 5 + 1, 3)  # a gap of one pixel around each
    corners = shown[1::5, 1::5, 0]
    np.testing.assert_allclose(corners, [[0, 0.25, 0.5], [0.75, 1, 1]])  # the sixth is empty
    assert (shown[0] == 1).all() and (shown[:, 5] == 1).all()


def test_a_grid_keeps_channels_and_orientation():
    images = np.zeros((1, 2, 3, 3))
    images[0, 0, 2] = (1.0, 0.5, 0.25)
    shown = canvas(plots.sample_grid(images, vmin=0, vmax=1))[1:-1, 1:-1]
    np.testing.assert_allclose(shown, images[0])


def test_a_grid_is_black_at_vmin_white_at_vmax_and_clipped_outside(caplog):
    images = np.array([[[-5.0, 0.0, 8.0, 16.0, 99.0]]])
    row = canvas(plots.sample_grid(images, vmin=0, vmax=16))[1, 1:-1, 0]
    np.testing.assert_allclose(row, [0, 0, 0.5, 1, 1])
    assert not caplog.records  # matplotlib would complain where it has to clip
    row = canvas(plots.sample_grid(images))[1, 1:-1, 0]
    np.testing.assert_allclose([row.min(), row.max()], [0, 1])


def test_a_grid_of_constant_images_and_of_integers_can_be_shown():
    assert (canvas(plots.sample_grid(np.full((3, 4, 4), 7.0)))[1:-1, 1] == 0).any()
    assert canvas(plots.sample_grid(np.eye(3, dtype=np.uint8)[None] * 255)).max() == 1


def test_every_pixel_of_a_grid_takes_the_same_whole_number_of_dots(tmp_path):
    figure = plots.sample_grid(np.random.default_rng(0).uniform(size=(6, 7, 9)), title="six")
    plots.save(figure, tmp_path / "grid.png")
    picture = matplotlib.image.imread(tmp_path / "grid.png")[40:, :, 0]  # below the title
    shown = canvas(figure)[..., 0]
    dots = picture.shape[1] // shown.shape[1]
    assert picture.shape == (dots * shown.shape[0], dots * shown.shape[1])
    np.testing.assert_allclose(picture, np.kron(shown, np.ones((dots, dots))), atol=1 / 128)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((4, 4)), {}, r"images must be \[n, h, w\].* got shape \(4, 4\)"),
        (np.zeros((2, 4, 4, 1)), {}, r"got shape \(2, 4, 4, 1\)"),
        (np.zeros((0, 4, 4)), {}, "images is empty"),
        (np.zeros((2, 0, 4)), {}, "images is empty"),
        (np.full((2, 4, 4), np.nan), {}, "images: 2 of 2 rows have NaN"),
        (np.zeros((2, 4, 4)), dict(columns=0), "columns must be an integer of at least 1; got 0"),
        (np.zeros((2, 4, 4)), dict(vmin=1.0, vmax=1.0), "vmin must be below vmax"),
    ],
)
def test_a_grid_refuses(images, options, message):
    with pytest.raises(ValueError, match=message):
        plots.sample_grid(images, **options)


# -------------------------------------------------------------------------------- densities
def panels(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


def test_a_panel_is_the_density_at_the_centres_of_its_cells():
    def uneven(x):
        return -x[:, 0] - 2 * x[:, 1]

    (image,) = panels(plots.densities({"p": uneven}, bounds=(0.0, 2.0), resolution=4))
    assert image.get_extent() == [0, 2, 0, 2] and image.origin == "lower"
    p = np.asarray(image.get_array())  # [y, x]
    np.testing.assert_allclose(p[3, 1], np.exp(-0.75 - 2 * 1.75), rtol=1e-6)


def test_the_cells_of_a_normalised_density_sum_to_one():
    (image,) = panels(plots.densities({"p": gaussian()}, bounds=(-6, 6), resolution=60))
    np.testing.assert_allclose(image.get_array().sum() * (12 / 60) ** 2, 1.0, rtol=1e-5)


def test_panels_share_the_scale_of_the_first():
    both = {"truth": gaussian(), "maf": gaussian(0.25)}
    truth, maf = panels(plots.densities(both, resolution=50))
    assert truth.get_clim() == maf.get_clim() == (0.0, truth.get_array().max())
    assert maf.get_array().max() > truth.get_clim()[1]


def test_the_bar_tells_whether_a_density_goes_over_the_scale():
    both = {"truth": gaussian(), "maf": gaussian(0.25)}
    reverse = dict(reversed(both.items()))
    figures = [plots.densities(each, resolution=50) for each in (both, reverse)]
    extends = [panels(figure)[-1].colorbar.extend for figure in figures]
    assert extends == ["max", "neither"]


def test_samples_lie_over_the_panel_of_their_name():
    points = np.array([[1.0, 2.0], [3.0, -1.0]])
    figure = plots.densities(
        {"truth": gaussian(), "maf": gaussian()}, resolution=10, samples={"maf": points}
    )
    truth, maf = [axes for axes in figure.axes if axes.images]
    assert not truth.collections
    np.testing.assert_allclose(maf.collections[0].get_offsets(), points)


def test_planes_have_points_over_the_field_of_their_panel():
    points = {"a": np.zeros((2, 2)), "b": np.array([[1.0, 2.0]])}
    field = np.array([[0.0, 1.0], [0.0, -3.0]])
    figure = plots.planes(
        {"one": points, "two": points}, fields={"two": {"a": field, "b": field}}, bounds=(-2, 2)
    )
    axes = figure.axes
    assert [len(a.images) for a in axes] == [0, 0, 1, 1]
    assert axes[2].images[0].get_clim() == (-3, 3) and axes[2].images[0].origin == "lower"
    np.testing.assert_allclose(axes[1].collections[0].get_offsets(), points["b"])
    same = {"one": {"a": field, "b": field / 10}}
    figure = plots.planes({"one": points}, fields=same, scale=2.0, label="score")
    *panels, bar = figure.axes
    assert [a.images[0].get_clim() for a in panels] == [(-2, 2)] * 2
    assert bar.get_ylabel() == "score" and bar.get_ylim() == (-2, 2)
    two, four = (plots.planes({"a": dict.fromkeys("abcd"[:n], points["b"])}) for n in (2, 4))
    widths = [figure.get_size_inches()[0] * figure.dpi for figure in (two, four)]
    assert all(800 < width < 1300 for width in widths)  # as wide as the other pictures
    long = "a name that is longer than a panel is high"
    figure = plots.planes({long: dict.fromkeys("abcdefghi", points["b"])})
    figure.draw_without_rendering()
    label = figure.axes[0].yaxis.label
    assert label.get_window_extent().height < figure.axes[0].get_window_extent().height
    with pytest.raises(ValueError, match="must have the columns"):
        plots.planes({"one": points, "two": {"a": points["a"]}})
    with pytest.raises(ValueError, match="with a panel at least"):
        plots.planes({"one": {}})


def test_a_density_may_be_zero():
    def uniform(x):
        return jnp.where((jnp.abs(x) < 1).all(-1), -jnp.log(4.0), -jnp.inf)

    (image,) = panels(plots.densities({"uniform": uniform}, resolution=20))
    assert set(np.unique(image.get_array()).round(6)) == {0.0, 0.25}


@pytest.mark.parametrize(
    ("log_probs", "options", "message"),
    [
        ({}, {}, "log_probs is empty"),
        ({"p": gaussian()}, dict(bounds=(1.0, 1.0)), "low < high; got"),
        ({"p": gaussian()}, dict(resolution=1), "resolution must be .* at least 2; got 1"),
        ({"p": lambda x: x}, {}, r"log_probs\['p'\] must map \[n, 2\] to \[n\]; got"),
        ({"p": lambda x: x[:, 0] * jnp.nan}, {}, r"log_probs\['p'\] is NaN or \+inf, first at x"),
        ({"p": lambda x: x[:, 0] + jnp.inf}, {}, r"log_probs\['p'\] is NaN or \+inf, first at x"),
        ({"p": gaussian()}, dict(samples={"p": np.zeros((3, 3))}), r"must have shape \[n, 2\]"),
        ({"maf": gaussian()}, dict(samples={"mad": np.zeros((3, 2))}), "Did you mean 'maf'"),
    ],
)
def test_densities_refuse(log_probs, options, message):
    with pytest.raises(ValueError, match=message):
        plots.densities(log_probs, **options)


# ----------------------------------------------------------------------------------- curves
STEPS = np.arange(1, 11)


def draw(series, **options):
    return plots.curves(series, xlabel="step", ylabel="nats", **options)


def test_a_curve_is_drawn_and_named_at_its_end():
    figure = draw({"maf": (STEPS, 1 / STEPS), "iaf": (STEPS, 2.0 * STEPS)})
    for line, name, y in zip(figure.axes[0].lines, ("maf", "iaf"), (0.1, 20.0), strict=True):
        label = texts(figure)[name]
        np.testing.assert_allclose(label.xy, (10.0, y))
        assert to_hex(label.get_color()) == to_hex(line.get_color())


def test_names_do_not_overlap_and_stand_in_the_order_of_the_ends():
    ends = {"e": 4, "b": 1, "f": 5, "a": 0, "c": 2, "d": 3}
    figure = draw({name: (STEPS, STEPS + 0.001 * end) for name, end in ends.items()})
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(texts(figure)[name]) for name in "abcdef"]  # without leader
    assert all(low.y1 < high.y0 for low, high in zip(boxes[:-1], boxes[1:], strict=True))


def test_dots_lead_from_a_run_that_stopped_early_to_its_name():
    figure = draw({"short": (STEPS[:4], STEPS[:4]), "long": (STEPS, STEPS)})
    (dots,) = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    np.testing.assert_array_equal(dots.get_xydata(), [[4, 4], [10, 4]])
    np.testing.assert_allclose(texts(figure)["short"].xy, (10, 4))


def test_colours_follow_the_order_or_the_choice():
    figure = draw({"a": (STEPS, STEPS), "b": (STEPS, STEPS)}, colours={"b": "#123456"})
    assert [line.get_color() for line in figure.axes[0].lines] == [plots.COLOURS[0], "#123456"]


def test_more_curves_than_colours_can_be_drawn():
    n = len(plots.COLOURS) + 1
    figure = draw({str(i): (STEPS, STEPS) for i in range(n)})
    lines = figure.axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == n
    assert {"0", f"{n - 1} (dashed)"} <= set(texts(figure))


def test_baselines_are_levels_with_their_value():
    figure = draw({"maf": (STEPS, STEPS)}, baselines={"histogram": 2.43})
    assert "histogram 2.43" in texts(figure)
    assert any(set(line.get_ydata()) == {2.43} for line in figure.axes[0].lines)


def test_axes_are_logarithmic_where_asked():
    (axes,) = draw({"maf": (STEPS, STEPS)}, logx=True).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    (axes,) = draw({"maf": (STEPS, STEPS)}, logy=True).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")


def labels_of(axis):
    """What stands at the ticks within the limits, from low to high."""
    axis.figure.draw_without_rendering()
    low, high = axis.get_view_interval()
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    shown = {t.get_loc(): t.label1.get_text() for t in ticks if low <= t.get_loc() <= high}
    return [text for _, text in sorted(shown.items()) if text]


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.9, 50, ["1", "3", "10", "30"]),
        (0.009, 1.1, ["0.01", "0.03", "0.1", "0.3", "1"]),
        (1, 10_000, ["1", "10", "100", "1000", "10000"]),
        (64, 1024, ["100", "200", "500", "1000"]),
        (21, 29, ["22", "24", "26", "28"]),
        (0.0004, 0.25, ["0.001", "0.003", "0.01", "0.03", "0.1"]),
        (2e-5, 0.2, ["$10^{-4}$", "0.001", "0.01", "0.1"]),
        (20, 7e6, ["100", "1000", "10000", "$10^{5}$", "$10^{6}$"]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_plain_numbers(low, high, wanted):
    ends = np.array([low, high])
    both = draw({"maf": (ends, ends)}, logx=True, logy=True).axes[0]
    assert labels_of(both.xaxis) == wanted
    values = {"maf": {"a": 1.5, "b": 40.0}}
    bars = plots.bars(values, ylabel="ms", logy=True).axes[0]
    assert set(labels_of(bars.yaxis)) <= {"1", "2", "3", "5", "10", "20", "30", "50", "100"}


def test_ticks_that_are_set_by_hand_stay():
    axes = plots.new_figure((4.0, 3.0)).add_subplot()
    axes.plot([64, 1024], [1, 2])
    axes.set_xscale("log")
    axes.set_xticks([64, 256, 1024], ["64", "256", "1024"])
    plots.plain(axes, frame=True)
    assert labels_of(axes.xaxis) == ["64", "256", "1024"]


def test_a_diverged_run_is_named_at_its_last_finite_value():
    values = np.where(STEPS < 5, STEPS, np.nan)
    figure = draw({"diverged": (STEPS, values)})
    assert texts(figure)["diverged"].xy[1] == 4.0
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), values)


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        ({}, {}, "series is empty"),
        ({"a": (STEPS, STEPS[:-1])}, {}, r"series\['a'\] must be .* \(10,\) and \(9,\)"),
        ({"a": (np.ones((2, 2)), np.ones((2, 2)))}, {}, r"series\['a'\] must be \(steps \[n\]"),
        ({"a": ([], [])}, {}, r"series\['a'\] has no finite value"),
        ({"a": ([1.0], [np.nan])}, {}, r"series\['a'\] has no finite value"),
        ({"a": ([np.nan], [1.0])}, {}, r"a step that is not"),
        ({"a": ([0, 1], [1, 2])}, dict(logx=True), "falls to 0; logx needs all above 0"),
        ({"a": ([0, 1], [-1, 2])}, dict(logy=True), "falls to -1; logy needs all above 0"),
        ({"a": ([1], [1])}, dict(baselines={"b": np.nan}), r"baselines\['b'\] must be a finite"),
        ({"a": ([1], [1])}, dict(baselines={"b": -1.0}, logy=True), r"baselines\['b'\]=-1.0"),
    ],
)
def test_curves_refuse(series, options, message):
    with pytest.raises(ValueError, match=message):
        draw(series, **options)


# ------------------------------------------------------------------------------------- save
def test_save_writes_one_png_and_nothing_else(tmp_path):
    plots.save(draw({"maf": (STEPS, STEPS)}), tmp_path / "curves.png")
    assert os.listdir(tmp_path) == ["curves.png"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    figure = draw({"maf": (STEPS, STEPS)})

    def full(file, **options):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", full)
    with pytest.raises(OSError, match="disk full"):
        plots.save(figure, path)
    assert os.listdir(tmp_path) == ["curves.png"] and path.read_bytes() == b"old"


def test_a_notebook_shows_what_would_be_saved(tmp_path):
    """It asks a value for _repr_png_ and takes the first that answers; no other is known here."""
    figure = plots.sample_grid(np.eye(4)[None])
    shown = figure._repr_png_()
    plots.save(figure, tmp_path / "grid.png")
    assert shown.startswith(b"\x89PNG") and shown == (tmp_path / "grid.png").read_bytes()
    others = ("html", "svg", "jpeg", "markdown", "latex", "mimebundle")
    assert not any(getattr(figure, f"_repr_{kind}_", lambda: None)() for kind in others)


@pytest.mark.parametrize(
    ("name", "message"),
    [("curves.pdf", "must end in .png"), ("nowhere/curves.png", "does not exist; make it first")],
)
def test_save_refuses(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        plots.save(draw({"maf": (STEPS, STEPS)}), tmp_path / name)


def test_no_picture_touches_the_settings_of_matplotlib(tmp_path):
    before = dict(matplotlib.rcParams)
    plots.save(plots.densities({"p": gaussian()}, resolution=10), tmp_path / "p.png")
    plots.save(draw({"maf": (STEPS, STEPS)}), tmp_path / "c.png")
    assert dict(matplotlib.rcParams) == before


def test_bars_show_every_value_and_refuse_what_a_log_axis_cannot():
    values = {"maf": {"density": 1.0, "sampling": 2.0}, "iaf": {"density": 3.0}}
    outlines = {("maf", "sampling"): (64.0, "64 passes")}
    figure = plots.bars(values, ylabel="ms", outlines=outlines, logy=True)
    (axes,) = figure.axes
    assert sorted(bar.get_height() for bar in axes.patches) == [1, 2, 3, 64]
    words = {text.get_text() for text in axes.texts}
    assert words == {"1", "2", "3", "64 passes"}
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["maf", "iaf"]
    more = plots.bars({"a": {f"a{i}": 1.0 for i in range(9)}, "b": {"b": 2.0}}, ylabel="ms")
    entries = [text.get_text() for text in more.axes[0].get_legend().get_texts()]
    assert entries == [*(f"a{i}" for i in range(9)), "b"]
    with pytest.raises(ValueError, match="above 0"):
        plots.bars({"maf": {"density": 0.0}}, ylabel="ms", logy=True)
    with pytest.raises(ValueError, match="none empty"):
        plots.bars({"maf": {}}, ylabel="ms")


def test_row_names_stand_at_the_middle_of_their_rows():
    images = np.random.default_rng(0).random((8, 4, 4))
    figure = plots.sample_grid(images, columns=2, row_names=("data", "maf"))
    upper, lower = figure.texts
    assert (upper.get_text(), lower.get_text()) == ("data", "maf")
    assert (upper.get_position()[1], lower.get_position()[1]) == pytest.approx((0.75, 0.25))
    with pytest.raises(ValueError, match="equal groups of the 4 rows"):
        plots.sample_grid(images, columns=2, row_names=("a", "b", "c"))


def test_column_names_stand_above_their_columns():
    images = np.random.default_rng(0).random((8, 4, 4))
    plain = plots.sample_grid(images, columns=2)
    figure = plots.sample_grid(images, columns=2, column_names=("0", "1"))
    left, right = figure.texts
    assert (left.get_position()[0], right.get_position()[0]) == pytest.approx((0.25, 0.75))
    top = figure.axes[0].get_position().y1
    assert top < left.get_position()[1] == right.get_position()[1] < 1
    kept = top * figure.get_size_inches()[1]  # the pixels stay as large as without names
    assert kept == pytest.approx(plain.get_size_inches()[1])
    with pytest.raises(ValueError, match="column_names must name the 2 columns"):
        plots.sample_grid(images, columns=2, column_names=("0",))


def test_rows_and_columns_are_as_large_as_their_names():
    """Where many small images would leave less room than the letters take."""
    images = np.random.default_rng(0).random((90 * 9, 4, 4))
    names = {"row_names": [f"{i}" for i in range(90)], "column_names": ["-0.25"] * 9}
    figure = plots.sample_grid(images, columns=9, **names)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts]
    rows, columns = boxes[:90], boxes[90:]
    assert all(upper.y0 > lower.y1 for upper, lower in zip(rows, rows[1:]))
    assert all(left.x1 < right.x0 for left, right in zip(columns, columns[1:]))


# --------------------------------------------------------------------- image_rows, latent_space
def test_rows_of_images_are_one_below_the_other_in_their_order():
    rows = {name: np.full((3, 4, 4), i) for i, name in enumerate(("data", "made", "far"))}
    figure = plots.image_rows(rows, column_names=("a", "b", "c"), vmin=0, vmax=2)
    shown = canvas(figure)
    assert shown.shape == (3 * 5 + 1, 3 * 5 + 1, 3)
    np.testing.assert_allclose(shown[1::5, 1, 0], [0, 0.5, 1])
    names = [text.get_text() for text in figure.texts]
    assert names == ["data", "made", "far", "a", "b", "c"]


def test_rows_of_images_of_several_shapes_are_refused():
    with pytest.raises(ValueError, match="images of one shape; got"):
        plots.image_rows({"a": np.zeros((3, 4, 4)), "b": np.zeros((2, 4, 4))})


def test_codes_are_shown_where_they_vary_most():
    """In a plane of 5 dimensions, turned by any rotation; distances there are kept."""
    rng = np.random.default_rng(0)
    inside = rng.normal(size=(200, 2)) * (3.0, 1.0)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0][:, :2]
    shown, share = plots.principal_plane("a", inside @ turn.T + 7.0)
    assert share == pytest.approx(1.0)
    apart = np.linalg.norm(inside[:, None] - inside, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(shown[:, None] - shown, axis=-1), apart, atol=1e-9)
    far = inside @ turn.T + 2 * rng.normal(size=(200, 5))
    assert 0.3 < plots.principal_plane("a", far)[1] < 0.95
    assert plots.principal_plane("a", inside)[1] is None  # two numbers are shown as they are


def test_a_class_is_one_colour_in_all_panels_with_its_number_at_its_median():
    labels = np.repeat([0, 1, 4], 5)
    codes = np.stack([labels, 2.0 * labels], -1)
    figure = plots.latent_space({"one": codes, "two": codes + 1}, labels)
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    first, second = (
        [to_hex(points.get_facecolor()[0]) for points in axes.collections] for axes in figure.axes
    )
    assert first == second and len(set(first)) == 3
    at = {text.get_text(): text.xy for text in figure.axes[0].texts}
    np.testing.assert_allclose(at["4"], (4, 8))
    assert set(at) == {"0", "1", "4"}


def test_codes_without_a_plane_and_labels_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="k of 2 or more; got shape"):
        plots.latent_space({"a": np.zeros((4, 1))})
    with pytest.raises(ValueError, match="each of the 4 codes"):
        plots.latent_space({"a": np.zeros((4, 2))}, np.zeros(3))
