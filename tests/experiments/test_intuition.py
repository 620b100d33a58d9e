"""The two pictures of what a flow is: their numbers are those of the theorems they show."""

import numpy as np
import pytest

from dgm_jax import runs
from experiments.flows import intuition


def test_the_mixture_is_a_density_and_its_distribution_function():
    x = np.linspace(-20, 20, 40001)
    cdf, density = intuition.mixture(x)
    assert cdf[0] < 1e-9 and abs(cdf[-1] - 1) < 1e-6
    np.testing.assert_allclose(np.gradient(cdf, x)[1:-1], density[1:-1], atol=1e-5)


def test_on_the_line_the_flow_is_exact_and_its_samples_follow_the_mixture():
    found, (_, _, _, noise) = intuition.on_the_line(intuition.Config(num_noise=5000))
    assert 0 < found["max_density_error"] < 1e-5 and 0 < found["max_round_trip_error"] < 1e-5
    cdf = intuition.mixture(np.sort(noise).astype(np.float64))[0]
    assert np.abs(cdf - np.arange(5000) / 5000).max() < 0.025  # Kolmogorov, at 0.4 %


@pytest.mark.parametrize("parts", [1, 3])
def test_a_linear_map_multiplies_every_area_by_its_determinant(parts):
    line = np.linspace(-1, 1, 2 * parts + 1)
    corners = np.stack(np.meshgrid(line, line, indexing="ij"), -1)
    matrix = np.array([[2.0, 1.0], [0.5, -1.5]])
    before, after = (intuition.polygons(c, parts) for c in (corners, corners @ matrix.T))
    assert before.shape == (4, 4 * parts, 2)
    np.testing.assert_allclose(intuition.areas(before), 1.0)
    np.testing.assert_allclose(intuition.areas(after), abs(np.linalg.det(matrix)))
    np.testing.assert_allclose(before.mean(1)[:2], [[-0.5, -0.5], [-0.5, 0.5]])  # row by row


@pytest.mark.slow
def test_a_short_run_finds_areas_nearer_to_the_determinant_on_finer_grids(tmp_path, capsys):
    tiny = {"num_steps": 20, "num_layers": 2, "hidden": (8,), "num_cells": 6, "parts": (1, 4)}
    config = intuition.Config(workdir=tmp_path, **tiny)
    plane = runs.keep(config, intuition.main, show=intuition.show)["plane"]
    assert plane["4"]["mean_area_error"] < 0.2 * plane["1"]["mean_area_error"] < 0.1
    for picture in ("line.png", "plane.png"):
        assert (tmp_path / picture).stat().st_size > 10_000
    assert "|det J|" in capsys.readouterr().out
