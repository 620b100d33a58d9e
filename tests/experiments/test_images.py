"""The image experiment, run small: what it writes, and that the flows invert there."""

import json

import jax
import numpy as np
import pytest

from dgm_jax import runs
from dgm_jax.data import dequantize, logit_map
from experiments import sets
from experiments.flows import images
from tests.helpers import perturb

TINY = {
    "num_updates": 4,
    "eval_every": 2,
    "hidden": 4,
    "num_steps": 1,
    "num_scales": 1,
    "num_shown": 4,
    "batch_size": 16,
    "noise_couplings": 1,
}


def run(workdir, **options):
    config = images.Config(workdir=workdir, progress=False, **TINY | options)
    return runs.keep(config, images.main, show=images.show)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, dequantization, conditional",
    [("realnvp", "uniform", False), ("glow", "variational", True)],
)
def test_the_run_writes_results_and_pictures(name, dequantization, conditional, tmp_path, capsys):
    options = {"dequantization": dequantization, "class_conditional": conditional}
    results = run(tmp_path, models=(name,), **options)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    model = results["models"][name]
    assert model["test_bits_per_dim"] == pytest.approx(-model["test_nats"] / (64 * np.log(2)))
    assert 0 < model["max_reconstruction_error"] < 1e-3
    assert results["baselines"]["histogram"]["test_bits_per_dim"] == pytest.approx(2.431, abs=1e-3)
    for picture in ("samples.png", "reconstructions.png", "curves.png"):
        assert (tmp_path / picture).stat().st_size > 3000
    assert "histogram" in capsys.readouterr().out
    assert run(tmp_path, models=(name,), **options) == results


def test_samples_of_a_conditional_flow_have_a_class_a_column():
    config = images.Config(num_shown=3, num_scales=1, num_steps=1, hidden=4)
    model, _ = images.build(
        config, "glow", (8, 8, 1), logit_map(17, event_ndims=3), 17, num_classes=2
    )
    made = jax.jit(lambda *keys: perturb(model.init(keys[0]), keys[1], 0.1))
    params = made(jax.random.key(0), jax.random.key(1))
    y = images.sampled(config, model, params, jax.random.key(2), 2)
    assert y.shape == (6, 8, 8, 1)

    @jax.jit
    def back(y, c):
        p = model.dist(params, c)
        return p.bijector.inverse(y), p.distribution.sample(seed=jax.random.key(2))

    labels = np.array([0, 1, 0, 0, 1, 0])
    (z, noise), (other, _) = (back(y, sets.one_hot(c, 2)) for c in (labels, 1 - labels))
    np.testing.assert_allclose(z, noise, atol=1e-3)
    assert (abs(other - noise).max(1) > 0.1).all()  # not that of the other class


def test_a_set_without_images_is_refused_by_name(tmp_path, capsys):
    (tmp_path / "nltcs").mkdir()
    with pytest.raises(SystemExit) as leaving:
        run(tmp_path / "run", data="nltcs", data_dir=tmp_path)
    assert leaving.value.code == 2
    assert "nltcs" in capsys.readouterr().err


def test_pixels_are_standard_each_by_itself_and_one_that_never_varies_is_no_constant():
    """Its noise alone would be a deviation of 0.02, and another level 40 deviations away."""
    rng = np.random.default_rng(0)
    levels = np.array([[3, 0], [200, 100]])
    x = levels + rng.integers(0, 40, (600, 2, 2)) * (levels > 0)
    rows = {"train": (x[:500, ..., None],), "valid": (x[500:, ..., None].copy(),)}
    rows["valid"][0][0, 0, 1, 0] = 9
    statistics = images.of_pixels(images.Config(by_pixel=True), rows, 256)
    pixels = images.standard_pixels(images.Config(), 256, **statistics)
    y = pixels.forward(dequantize(jax.random.key(1), rows["train"][0]))
    np.testing.assert_allclose(y.mean(0), 0, atol=0.1)
    spread = y.std(0)[..., 0]
    np.testing.assert_allclose(spread[levels > 0], 1, atol=0.15)
    assert spread[levels == 0] < 0.5
    back = pixels.inverse(y)
    np.testing.assert_array_equal(np.floor(back), rows["train"][0])
