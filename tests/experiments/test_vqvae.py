"""The two stages of a VQ-VAE: what is built, what a run writes, and that it resumes."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, learning, objectives, quantized, runs
from experiments.quantized import dalle, stages, vqvae, vqvae2
from tests.experiments.stopping import check_goes_on

TINY = {"hidden": (4,), "num_blocks": 0, "dim": 4, "num_codes": 5, "num_components": 2}
TINY |= {"prior_hidden": 4, "prior_layers": 1, "dropout": 0.0}
SHORT = TINY | {"num_steps": 4, "prior_steps": 4, "eval_every": 2, "pixels_steps": 0}
SHORT |= {"num_shown": 2, "num_samples": 70, "classifier_steps": 0}
SHORT |= {"priors": ("gated-pixelcnn", "transformer")}


def traced(module, config, shape, num_levels):
    """A loss of stage one, and the bound of both."""
    coder, model = (f(config, shape, num_levels) for f in (module.build_coder, module.build))
    x = jax.ShapeDtypeStruct((3, *shape), jnp.int32)

    def trace(key, x):
        init_key, loss_key, key = jax.random.split(key, 3)
        params = model.init(init_key)
        of_coder, state = params["coder"]
        loss, _ = quantized.vqvae_loss(coder, of_coder, loss_key, x, state=state)
        return loss, objectives.log_weights(model, params, key, x)

    return jax.eval_shape(trace, jax.random.key(0), x)


@pytest.mark.parametrize(
    ("options", "shape", "num_levels"),
    [
        ({}, (8, 8, 1), 17),
        ({"quantiser": "gradient", "num_parts": 2, "dim": 2}, (6, 5, 3), 256),
        ({"quantiser": "finite-scalar", "levels": (3, 3)}, (4, 4, 1), 2),
    ],
)
def test_each_quantiser_is_a_model_of_pictures(options, shape, num_levels):
    loss, log_w = traced(vqvae, vqvae.Config(**TINY | options), shape, num_levels)
    assert (loss.shape, log_w.shape) == ((), (1, 3))


@pytest.mark.parametrize("levels", [2, 3])
def test_levels_are_a_model_of_pictures(levels):
    options = TINY | {"hidden": 4, "num_codes": (5, 4, 3)[:levels], "halvings": (1,) * levels}
    loss, log_w = traced(vqvae2, vqvae2.Config(**options), (8, 8, 1), 17)
    assert (loss.shape, log_w.shape) == ((), (1, 3))
    with pytest.raises(checks.InputError, match="num_codes must be as many as halvings"):
        vqvae2.build_coder(vqvae2.Config(halvings=(1,)), (8, 8, 1), 17)


def test_samples_too_few_to_judge_are_refused_before_anything_learns(tmp_path):
    for module in (vqvae, vqvae2, dalle):
        config = module.Config(workdir=tmp_path, num_samples=3)
        with pytest.raises(checks.InputError, match="num_samples and the held-out rows must be"):
            module.main(config)
    assert not list(tmp_path.iterdir())


def test_usage_is_that_of_all_codes_and_of_each_level():
    coder = vqvae.build_coder(vqvae.Config(**TINY), (8, 8, 1), 17)
    codes = np.arange(5).repeat(3).reshape(15, 1)
    found = stages.usage(coder, codes)
    assert found == {"perplexity": pytest.approx(5), "num_codes": 5}
    levels = coder._replace(num_codes=(5, 2))
    found = stages.usage(levels, (codes, codes // 3))
    assert found["perplexity_0"] == pytest.approx(5) and found["num_codes_1"] == 2


@pytest.mark.parametrize("prior", ["gated-pixelcnn", "pixelsnail", "transformer"])
def test_each_prior_is_one_of_codes_by_its_name(prior):
    """Traced only: of a map, under a class, and as the top of levels."""
    config = vqvae.Config(**TINY | {"prior_hidden": 8, "prior_heads": 2})
    density = stages.density_of_codes(config, prior, (3, 2, 1), 5, (4,))
    kinds = {"gated-pixelcnn": "rowconv", "pixelsnail": "causalconv_9", "transformer": "place"}

    def trace(key, codes, classes):
        params = density.init(key)
        return params, density.dist(params, classes).log_prob(codes)

    codes, classes = jnp.zeros((7, 3, 2, 1), int), jnp.zeros((7, 4))
    params, log_p = jax.eval_shape(trace, jax.random.key(0), codes, classes)
    assert log_p.shape == (7,)
    told = jax.tree_util.tree_flatten_with_path(params)[0]
    names = " ".join(jax.tree_util.keystr(path).lower() for path, _ in told)
    assert kinds[prior] in names, names
    of_levels = TINY | {"hidden": 4, "num_codes": (5, 4), "prior": prior, "prior_heads": 2}
    model = vqvae2.build(vqvae2.Config(**of_levels), (8, 8, 1), 17, 3)
    assert model.cond_shape == (3,)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_writes_results_and_pictures_loads_in_a_line_and_goes_on_bit_by_bit(
    tmp_path, monkeypatch
):
    config = vqvae.Config(workdir=tmp_path / "a", progress=False, **SHORT)
    results = runs.keep(config, vqvae.main, show=vqvae.show)
    assert json.loads((tmp_path / "a" / "results.json").read_text()) == results
    row = results["models"]["vqvae"]
    parts = row["rate_bits_per_dim"] + row["distortion_bits_per_dim"]
    assert row["test_bits_per_dim"] == pytest.approx(parts, rel=1e-5)
    uniform = row["uniform_bits_per_dim"]
    wanted = row["distortion_bits_per_dim"] + 16 * np.log2(5) / 64
    assert uniform == pytest.approx(wanted, rel=1e-5)
    assert results["models"]["vqvae-transformer"]["uniform_bits_per_dim"] == uniform
    assert set(results["samples"]) == {
        *("training rows", "codes at random", "gated-pixelcnn", "transformer")
    }
    for picture in ("samples", "reconstructions", "codes", "usage", "curves", "prior"):
        assert (tmp_path / "a" / f"{picture}.png").stat().st_size > 1000
    for name in ("vqvae", "vqvae-transformer"):
        loaded = learning.load(tmp_path / "a" / name)
        z = loaded.model.prior(loaded.params).sample(seed=jax.random.key(0), sample_shape=3)
        x = loaded.model.likelihood(loaded.params, z).sample(seed=jax.random.key(1))
        assert z.shape == (3, 4, 4, 1) and x.shape == (3, 8, 8, 1)
    again = dataclasses.replace(config, workdir=tmp_path / "b")
    check_goes_on(monkeypatch, again, vqvae.main, row, "vqvae", training=1, step=3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_run_of_levels_by_class_loads_in_a_line_and_goes_on_bit_by_bit(
    tmp_path, monkeypatch
):
    options = vqvae2.QUICK | {"class_conditional": True, "classifier_steps": 5}
    config = vqvae2.Config(workdir=tmp_path / "a", progress=False, **options)
    results = runs.keep(config, vqvae2.main, show=vqvae2.show)
    row = results["models"]["vqvae2"]
    assert row["num_codes_0"] == 4 and 1 <= row["perplexity_1"] <= 4
    parts = row["rate_bits_per_dim"] + row["distortion_bits_per_dim"]
    assert row["test_bits_per_dim"] == pytest.approx(parts, rel=1e-5)
    assert 0 <= results["samples"]["codes of the prior"]["right"] <= 1
    for picture in ("samples", "reconstructions", "levels", "curves", "classes"):
        assert (tmp_path / "a" / f"{picture}.png").stat().st_size > 1000
    loaded = learning.load(tmp_path / "a" / "vqvae2")
    prior = loaded.model.prior(loaded.params, jnp.eye(10)[3])
    z = prior.sample(seed=jax.random.key(0), sample_shape=2)
    x = loaded.model.likelihood(loaded.params, z).mean()
    assert [c.shape for c in z] == [(2, 2, 2, 1), (2, 4, 4, 1)] and x.shape == (2, 8, 8, 1)
    again = dataclasses.replace(config, workdir=tmp_path / "b")
    check_goes_on(monkeypatch, again, vqvae2.main, row, "vqvae2", training=1, step=7)
