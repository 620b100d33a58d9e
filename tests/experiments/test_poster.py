"""The picture with which the README begins: a panel for each chapter, small, readable, as drawn."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dgm_jax import plots, runs
from experiments import poster

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHAPTERS = "autoregressive flows inference vae gans disentangled quantized diffusion".split()


def test_the_readme_opens_with_the_poster_which_is_small_and_readable_at_half_size():
    first = README.partition("\n## ")[0]
    assert "](experiments/pictures/poster.png)" in first and "python -m experiments.poster" in first
    path = ROOT / "experiments" / "pictures" / "poster.png"
    assert 50_000 < path.stat().st_size < 300_000
    with Image.open(path) as picture:
        assert picture.mode == "P" and 1500 < picture.width < 1800
        grey = np.asarray(picture.convert("L"))
        size = plots.new_figure((1, 1)).dpi * np.array(poster.poster(blank()).get_size_inches())
    assert abs(np.array(grey.shape[::-1]) - size).max() <= 1  # by the code as it is
    panels = [part for row in np.array_split(grey, 2) for part in np.array_split(row, 4, 1)]
    assert min(panel.std() for panel in panels) > 20  # none is empty


def blank():
    return {name: lambda axes: axes.set(xlim=(0, 1), ylim=(0, 1)) for name in poster.PANELS}


def test_a_panel_for_each_chapter_with_its_name_and_what_it_shows(tmp_path):
    assert list(poster.PANELS) == CHAPTERS
    shown = np.linspace(0, 1, 4 * 64).reshape(4, 8, 8)
    panels = blank() | {"vae": lambda axes: poster.images(axes, shown, 2)}
    figure = poster.poster(panels)
    figure.draw_without_rendering()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert len(boxes) == 8 and len({round(box.width) for box in boxes}) == 1
    for text in figure.texts:  # within the picture, and off every panel
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.y1 <= figure.bbox.y1
        assert box.width < boxes[0].width * 1.05 and not any(box.overlaps(b) for b in boxes)
        assert text.get_fontsize() >= 9  # 10 dots high at half size
    plots.save(figure, tmp_path / "poster.png")
    poster.in_few_colours(tmp_path / "poster.png")
    with Image.open(tmp_path / "poster.png") as picture:
        assert picture.mode == "P" and picture.size == tuple(figure.canvas.get_width_height())


def test_codes_that_are_alike_have_colours_that_are_alike():
    line = np.arange(10.0)[:, None] * np.array([3.0, 4.0])  # all in one direction
    colours = poster.colours_of(np.concatenate([line, np.zeros((10, 2))], 1))
    steps = np.diff(colours[:, 0])
    assert colours.min() >= 0 and colours.max() <= 1
    assert (steps > 0).all() or (steps < 0).all()
    np.testing.assert_allclose(abs(steps), 0.8 / 9)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_quick_run_draws_every_panel_and_tells_a_figure_of_each(tmp_path, capsys):
    config = poster.Config(workdir=tmp_path, **poster.QUICK)
    found = runs.keep(config, poster.main, show=poster.show)["chapters"]
    assert list(found) == CHAPTERS
    assert all(np.isfinite(list(row.values())).all() for row in found.values())
    assert found["flows"]["error of an area, relative"] < 0.1
    assert (tmp_path / "poster.png").stat().st_size > 50_000
    assert "bits a pixel" in capsys.readouterr().out
