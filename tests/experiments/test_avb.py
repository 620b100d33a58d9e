"""AVB beside a VAE: the example whose log p(x) is by quadrature, and a short run."""

import math

import numpy as np
import pytest

from dgm_jax import runs
from experiments.gans import avb
from tests.helpers import drawn

SMALL = {"num_latents": 2, "hidden": (4,), "num_noise": 2, "num_basis": 2, "num_moments": 3}


def test_the_log_probability_of_four_data_is_that_of_coins_where_z_means_nothing():
    for name in ("vae", "avb"):
        model, _ = avb.build(avb.Config(**SMALL), name, np.full(4, 0.25))
        found = avb.exact(model, drawn(model, spread=0.0))
        np.testing.assert_allclose(found, math.log(0.25 * 0.75**3), atol=1e-3)


@pytest.mark.slow
def test_a_run_tells_all_three_by_annealing(tmp_path, capsys):
    options = {"num_steps": 20, "eval_every": 10, "batch_size": 20, "test_samples": 10}
    options |= {"valid_samples": 2, "ais_rows": 5, "ais_steps": 4, "points_steps": 20}
    config = avb.Config(workdir=tmp_path, progress=False, **SMALL, **options)
    found = runs.keep(config, avb.main, show=avb.show)
    for row in found["models"].values():
        assert row["ais_nats"] < 0 and row["claimed_nats"] < 0
    assert found["points"].keys() == found["models"].keys()
    assert "annealed importance sampling, 4 steps from q(z | x)" in capsys.readouterr().out
    for picture in ("samples", "reconstructions", "curves", "points"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 3000
