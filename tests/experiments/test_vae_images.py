"""The images of the VAE chapter: each name is a model of any images, and what a run writes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import objectives, runs, vae
from experiments.vae import images
from tests.helpers import drawn

TINY = {
    "num_steps": 2,
    "eval_every": 1,
    "hidden": 4,
    "num_layers": 1,
    "num_latents": 4,
    "map_channels": 2,
    "num_components": 2,
    "num_shown": 2,
    "batch_size": 16,
    "test_samples": 2,
    "groups": (1, 1),
    "width": 8,
}


@pytest.mark.slow
def test_a_short_run_writes_results_and_pictures(tmp_path, capsys):
    config = images.Config(
        workdir=tmp_path,
        models=("without-z", "vlae", "conv"),
        progress=False,
        causal="gated",
        **TINY,
    )
    results = runs.keep(config, images.main, show=images.show)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    row = results["models"]["vlae"]
    assert row["test_bits_per_dim"] == pytest.approx(-row["test_nats"] / (64 * np.log(2)))
    assert row["num_samples"] == 2 and row["num_units"] == 4
    for picture in ("samples.png", "codes.png", "curves.png"):
        assert (tmp_path / picture).stat().st_size > 1000
    assert "vlae" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "shape", "num_levels"),
    [
        ("pixelvae", (4, 4, 3), 256),
        ("vlae", (6, 5, 1), 2),
        ("ladder", (8, 8, 1), 17),
        ("ladder", (6, 6, 3), 256),
        ("conv", (5, 4, 3), 256),
    ],
)
def test_each_name_is_a_model_of_grey_levels_of_bits_and_of_colours(name, shape, num_levels):
    """Traced only: a loss with dropout, scores, and the draws of the pictures."""
    config = images.Config(**TINY)
    model = images.build(config, name, shape, num_levels)
    x = jax.ShapeDtypeStruct((3, *shape), jnp.int32)

    def trace(key, x):
        params = model.init(key)
        key = jax.random.key(1)
        loss, told = objectives.elbo(model, params, key, x, parts_key=jax.random.key(2))
        log_w = objectives.log_weights(model, params, jax.random.key(3), x, num_samples=2)
        return loss, log_w, images.drawn(model, params, jax.random.key(4), x)

    loss, log_w, (samples, *again) = jax.eval_shape(trace, jax.random.key(0), x)
    assert (loss.shape, log_w.shape) == ((), (2, 3))
    assert samples.shape == (6, *shape)
    assert [a.shape for a in again] == [(3, *shape)] * 2


def test_without_z_it_is_the_decoder_of_the_pixelvae_alone():
    """A density: one exact figure for each image, and samples."""
    model = images.build(images.Config(**TINY), "without-z", (4, 4, 1), 17)
    x = jax.ShapeDtypeStruct((3, 4, 4, 1), jnp.int32)

    def trace(key, x):
        params = model.init(key)
        return model.dist(params).log_prob(x), images.drawn(model, params, jax.random.key(1), x)

    log_prob, (samples,) = jax.eval_shape(trace, jax.random.key(0), x)
    assert (log_prob.shape, samples.shape) == ((3,), (6, 4, 4, 1))


def test_the_ladder_ends_at_one_pixel_whatever_the_groups():
    config = images.Config(**TINY | {"groups": (1, 2, 1)})
    model = images.build(config, "ladder", (8, 8, 1), 17)
    params = jax.eval_shape(model.init, jax.random.key(0))
    sample = lambda params, key: model.prior(params).sample(seed=key)
    z = jax.eval_shape(sample, params, jax.random.key(1))
    assert [z_l.shape for z_l in z] == [(8, 8, 4), (4, 4, 4), (4, 4, 4), (1, 1, 4)]


def test_the_decoder_of_the_vlae_sees_the_window_that_the_option_says():
    config = images.Config(**TINY | {"window": 3})
    local = images.local_net(config, (6, 9, 1), images.head(config, 17))
    cond = jnp.ones((6, 9, 2))
    found = vae.window_of(
        local, drawn(local), jax.random.key(0), (6, 9, 1), num_levels=17, cond=cond
    )
    assert found == (3, 3, 3)


def test_what_is_given_is_not_overridden_by_the_settings_of_a_model():
    config = images.of_model(images.Config(weight_decay=0.0), "pixelvae")
    assert config.weight_decay == 0.0
    assert config.num_steps == images.SETTINGS["pixelvae"]["num_steps"]
