"""GANs of images: each name is a game of any images, and what a run writes."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, runs
from experiments.gans import images, judge

TINY = {"hidden": 2, "num_latents": 3, "batch_size": 4, "num_samples": 8, "num_features": 3}


@pytest.mark.parametrize(
    ("name", "shape"), [(name, (8, 8, 1)) for name in images.MODELS] + [("sagan", (32, 32, 3))]
)
def test_each_name_is_a_game_whose_state_stays_of_one_shape_and_whose_samples_are_images(
    name, shape
):
    """Traced only."""
    config = images.of_model(images.Config(**TINY), name)
    model = images.build(config, name, shape, 3)
    algorithm, rows = images.game(config, name, model), 4 * (config.critic_updates + 1)
    batch = jnp.zeros((rows, *shape))
    batch = batch if model.cond_shape is None else (batch, jnp.arange(rows) % 3)

    def play(key, batch):
        state = algorithm.init(key)
        after, metrics = algorithm.step(state, jax.random.clone(key), batch)
        key = jax.random.key(1)
        samples = images.sampled(config, model, 6, 3, algorithm.params(after), key)
        return state, after, metrics, samples

    state, after, metrics, samples = jax.eval_shape(play, jax.random.key(0), batch)
    shapes = lambda tree: jax.tree.map(lambda a: (a.shape, a.dtype), tree)
    assert shapes(state) == shapes(after) and samples.shape == (6, *shape)
    assert {"critic/loss", "generator/loss"} <= metrics.keys()


def test_images_without_classes_are_judged_by_means_of_their_pixels():
    x = np.arange(2 * 16 * 24, dtype=np.float32).reshape(2, 16, 24, 1)
    found = judge.pixels(x)
    assert found.shape == (2, 64)
    np.testing.assert_allclose(found[1, 9], x[1, 2:4, 3:6].mean())


def test_the_arc_between_two_z_is_of_equal_steps_and_ends_at_both():
    one, other = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0])
    z = images.arc(one, other)
    angles = np.arctan2(z[:, 1], z[:, 0])
    np.testing.assert_allclose(angles, np.linspace(0, np.pi / 2, images.COLUMNS), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1, rtol=1e-5)


def test_a_game_by_class_of_images_without_classes_is_refused(tmp_path):
    np.save(tmp_path / "mine.npy", np.arange(40 * 64).reshape(40, 8, 8) % 7)
    config = images.Config(data=str(tmp_path / "mine.npy"), models=("biggan",))
    with pytest.raises(checks.InputError, match="models has biggan, which needs classes"):
        images.pictures(config)


def test_fewer_samples_than_metrics_need_are_told_before_anything_is_trained(tmp_path):
    config = images.Config(workdir=tmp_path, num_samples=3, progress=False)
    with pytest.raises(checks.InputError, match="num_samples and the held-out rows must be more"):
        images.main(config)
    config = dataclasses.replace(config, num_samples=64, inception=1)
    with pytest.raises(checks.InputError, match="inception must be 0, none, or at least 2"):
        images.main(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_short_run_writes_results_and_pictures(tmp_path):
    options = TINY | {"num_steps": 4, "eval_every": 2, "num_samples": 16, "classifier_steps": 5}
    config = images.Config(workdir=tmp_path / "a", models=("biggan", "dcgan"), progress=False)
    config = dataclasses.replace(config, **options)
    results = runs.keep(config, images.main, show=images.show)
    assert json.loads((tmp_path / "a" / "results.json").read_text()) == results
    assert {"frechet", "precision", "recall"} == results["floor"].keys()
    for picture in ("samples", "interpolations", "arithmetic", "truncation", "curves", "critic"):
        assert (tmp_path / "a" / f"{picture}.png").stat().st_size > 500
