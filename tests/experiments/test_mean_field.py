"""The experiment on mean field, run small: its figures are the closed forms."""

import numpy as np

from dgm_jax import runs
from experiments.inference import mean_field


def test_a_short_run_finds_the_closed_forms_and_never_falls(tmp_path, capsys):
    config = mean_field.Config(
        workdir=tmp_path, correlations=(0.6, 0.9), num_rows=(5, 50), num_steps=100
    )
    found = runs.keep(config, mean_field.main, show=mean_field.show)
    for r in found["correlated"]:
        np.testing.assert_allclose(r["variance"], r["exact_variance_given_the_other"], rtol=1e-4)
        np.testing.assert_allclose(r["elbo"], r["exact_elbo"], atol=1e-4)
    slow, few = (r["steps"] for r in reversed(found["correlated"]))
    assert slow > 3 * few  # log(1 / 0.36) / log(1 / 0.81) = 4.8
    gaps = [r["gap"] for r in found["unknown"]]
    assert gaps[0] > 5 * gaps[1] > 0 and min(r["least_rise"] for r in found["unknown"]) > -1e-4
    assert (tmp_path / "mean-field.png").stat().st_size > 10_000
    assert "½ log(1 - ρ²)" in capsys.readouterr().out
