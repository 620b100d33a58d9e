"""The experiment on posterior collapse: its closed forms hold, and what a run writes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import objectives, runs
from experiments.vae import collapse

TINY = {
    "num_steps": 2,
    "eval_every": 1,
    "hidden": 4,
    "num_layers": 1,
    "num_latents": 3,
    "batch_size": 16,
    "test_samples": 2,
    "linear_steps": 20,
    "variances": (1.0,),
    "linear_latents": 3,
}
NAMES = ("plain", "window", "none")  # the others are plain, with other losses


@pytest.mark.slow
def test_a_short_run_writes_results_and_pictures(tmp_path, capsys):
    config = collapse.Config(workdir=tmp_path, models=("annealed", "none"), progress=False, **TINY)
    results = runs.keep(config, collapse.main, show=collapse.show)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert 0 <= results["models"]["none"]["probe_accuracy"] <= 1
    assert len(results["linear"]["1.0"]["kl"]) == 3
    for picture in ("toy.png", "linear.png", "kl.png", "strong.png"):
        assert (tmp_path / picture).stat().st_size > 1000
    assert "class from z" in capsys.readouterr().out


def test_one_unit_is_no_plane_to_draw(tmp_path):
    """Pictures are the last of a run: it ends without one."""
    config = collapse.Config(workdir=tmp_path, num_latents=1)
    curves, codes = {"plain": ((1, 2), (3.0, 2.0))}, {"plain": np.ones((5, 1))}
    collapse.draw_strong(config, {"plain": {"kl_z": 2.0}}, curves, codes, None)
    assert [path.name for path in tmp_path.iterdir()] == ["kl.png"]


def test_the_toy_ends_with_one_unit_under_a_diagonal_posterior_and_with_two_under_a_full_one():
    found = collapse.toy(collapse.Config(linear_steps=3000))
    carried = np.log((collapse.RADIUS**2 + collapse.VARIANCE) / collapse.VARIANCE) / 2
    np.testing.assert_allclose(np.sort(found["diagonal"]["kl"]), [0, carried], atol=0.02)
    assert found["full"]["kl"].min() > 0.2
    bound = found["diagonal"]["bound"]
    assert bound[[0, -1]].min() == pytest.approx(found["log_prob"], abs=1e-4)
    assert bound.argmin() == len(bound) // 2  # an even split is the worst
    np.testing.assert_allclose(found["full"]["bound"], found["log_prob"], atol=1e-5)


def test_linear_vaes_reach_the_units_that_the_closed_form_says():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5)) * np.array([3.0, 2.0, 1.3, 0.4, 0.2])
    _, covariance, points = collapse.same_moments(x)
    np.testing.assert_allclose(points.mean(0), x.mean(0), atol=1e-12)
    np.testing.assert_allclose(np.cov(points.T, bias=True), covariance, atol=1e-12)
    config = collapse.Config(linear_latents=4, linear_steps=3000)
    found = collapse.linear(config, x, 1.0)
    assert found["num_active"] == found["num_active_trained"] == 3
    assert found["bound_trained"] == pytest.approx(found["bound"], abs=5e-3)
    np.testing.assert_allclose(found["kl_trained"], found["kl"], atol=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_a_model_of_pixels(name):
    """Traced only; of bits where the decoder looks at pixels."""
    shape, num_levels = ((4, 5, 1), 2) if name in ("plain", "window") else ((8, 8, 1), 17)
    model = collapse.build(collapse.Config(**TINY), name, shape, num_levels)
    x = jax.ShapeDtypeStruct((3, *shape), jnp.int32)
    loss = lambda key, x: objectives.elbo(
        model, model.init(key), jax.random.key(1), x, free_bits=0.5, parts_key=jax.random.key(2)
    )
    value, told = jax.eval_shape(loss, jax.random.key(0), x)
    assert value.shape == told["kl"].shape == ()
