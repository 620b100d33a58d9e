"""Real data against real data, run small."""

import numpy as np
import pytest

from dgm_jax import runs
from experiments.gans import floor


def test_the_run_tells_every_metric_of_real_data_and_draws_the_widths(tmp_path, capsys):
    config = floor.Config(
        workdir=tmp_path, progress=False, sets=("digits",), network="pixels", num=100,
        num_gaussian=40, dim=4,
    )  # fmt: skip
    found = runs.keep(config, floor.main, show=floor.show)["sets"]["digits"]
    assert found["frechet"]["distance"] == pytest.approx(found["expected"], rel=0.3)
    assert abs(found["kernel"]["squared"]) < 0.02 and 0.3 < found["test"]["accuracy"] < 0.7
    assert found["neighbours"]["num_real"] == found["density"]["num_fake"] == 100
    assert "digits" in capsys.readouterr().out
    assert (tmp_path / "widths.png").stat().st_size > 5000


def test_widths_show_what_each_metric_does_not_see():
    config = floor.Config(num_gaussian=300, dim=32)
    found = {name: dict(zip(floor.WIDTHS, values)) for name, values in floor.widths(config).items()}
    assert found["precision"][0.5] == found["recall"][1.5] == found["coverage"][0.5] == 1
    assert found["recall"][0.5] == 0 and found["precision"][1.5] < 0.05
    assert found["density"][0.5] > 5 and found["coverage"][1.5] < 0.05
    assert np.isclose(found["precision"][1.0], found["recall"][1.0], atol=0.15)
