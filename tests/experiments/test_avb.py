"""AVB beside a VAE: the example whose log p(x) is by quadrature, and a short run."""

import json
import math

import jax
import numpy as np
import pytest

from dgm_jax import gans, learning, objectives, runs
from dgm_jax.learning.recipes import rebuilt
from experiments.gans import avb
from tests.helpers import drawn

SMALL = {"num_latents": 2, "hidden": (4,), "num_noise": 2, "num_basis": 2, "num_moments": 3}


def test_the_log_probability_of_four_data_is_that_of_coins_where_z_means_nothing():
    for name in ("vae", "avb"):
        model, _ = avb.parts(avb.Config(**SMALL), name, np.full(4, 0.25))
        found = avb.exact(model, drawn(model, spread=0.0))
        np.testing.assert_allclose(found, math.log(0.25 * 0.75**3), atol=1e-3)


def test_the_model_of_a_run_is_that_of_its_recipe_with_the_parameters_of_both_players():
    config, mean = avb.Config(**SMALL), np.full(4, 0.25)
    recipe = learning.Recipe(avb.build, {"config": config, "name": "avb", "mean": mean})
    model, params = rebuilt(json.loads(json.dumps(recipe.record()))), drawn(recipe.model())
    inner, critic = avb.parts(config, "avb", mean)
    algorithm = avb.players(config, "avb", inner, critic, 1, 1e-3)
    recipe.check(algorithm.params(jax.eval_shape(algorithm.init, jax.random.key(0))))
    z, x = np.ones((3, 2), np.float32), np.eye(4, dtype=np.int32)
    decoded = model.likelihood(params, z).mean(), inner.likelihood(params["model"], z).mean()
    np.testing.assert_array_equal(*decoded)
    key = jax.random.key(0)
    codes = [of.posterior(p, x) for of, p in ((model, params), (inner, params["model"]))]
    np.testing.assert_array_equal(*(code.sample(seed=jax.random.clone(key)) for code in codes))


@pytest.mark.slow
def test_a_run_tells_all_three_by_annealing(tmp_path, capsys):
    options = {"num_steps": 20, "eval_every": 10, "batch_size": 20, "test_samples": 10}
    options |= {"valid_samples": 2, "ais_rows": 5, "ais_steps": 4, "points_steps": 20}
    config = avb.Config(workdir=tmp_path, progress=False, **SMALL, **options)
    found = runs.keep(config, avb.main, show=avb.show)
    for row in found["models"].values():
        assert row["ais_nats"] < 0 and row["claimed_nats"] < 0
    loaded = learning.load(tmp_path / "avb-ac")
    proposed = gans.gaussian_proposal(loaded.model)
    x = np.zeros((3, 64), np.int32)
    log_w = objectives.log_weights(proposed, loaded.params, jax.random.key(0), x)
    assert np.isfinite(log_w).all()
    assert found["points"].keys() == found["models"].keys()
    assert "annealed importance sampling, 4 steps from q(z | x)" in capsys.readouterr().out
    for picture in ("samples", "reconstructions", "curves", "points"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 3000
