"""Experiments of diffusion: their closed forms, and runs as short as can be."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion, learning, runs
from dgm_jax.checks import InputError
from dgm_jax.protocol import Net
from experiments.diffusion import digits, langevin, plane, steps

KEPT = {"progress": False}


def test_the_code_length_of_the_ode_is_that_of_levels(key):
    """Of levels that are all alike, whose denoiser is known: no nats, up to the error of q."""
    most = diffusion.linear_log_snr(9.0, -9.0)

    def apply(params, x, level, key=None):
        return jnp.full_like(x, 0.5)

    model = diffusion.denoiser(Net(lambda key: {}, apply), (2, 1, 1), most, target="data")
    log_prob = digits.ode_log_prob(model, 5)
    x = jnp.full((200, 2, 1, 1), 3)  # at 0.5 of [-1, 1]
    nats = jax.jit(lambda key, x: log_prob({}, key, x))(key, x)
    np.testing.assert_allclose(nats.mean(), 0, atol=0.02)


def test_a_run_of_digits_tells_bound_and_code_length_and_loads(tmp_path, capsys):
    options = digits.QUICK | {"models": ("ddpm",), "chain_steps": 2, "few_steps": 2}
    config = digits.Config(workdir=tmp_path, **KEPT, **options)
    found = runs.keep(config, digits.main, show=digits.show)
    row = found["models"]["ddpm"]
    parts = sum(row[f"{part}_nats"] for part in ("prior", "steps", "reconstruction"))
    assert abs(parts + row["test_nats"]) < 0.2 * parts
    assert abs(row["ode_bits_per_dim"] - row["bound_of_ode_rows"]) < 2
    assert json.loads((tmp_path / "results.json").read_text())["models"].keys() == {"ddpm"}
    assert "DPM-Solver-2" in capsys.readouterr().out
    loaded = learning.load(tmp_path / "ddpm")
    x = diffusion.sample(loaded.model, loaded.params, jax.random.key(0), 2, num_steps=2)
    assert x.shape == (2, 8, 8, 1) and np.isfinite(x).all()


def test_a_run_of_the_plane_tells_kl_and_distances(tmp_path):
    options = plane.QUICK | {"models": ("velocity", "sliced"), "passes": 4}
    found = runs.keep(
        plane.Config(workdir=tmp_path, **KEPT, **options), plane.main, show=plane.show
    )
    rows = found["toys"]["gaussians"]["models"]
    assert rows["velocity"]["kl"] > -0.1 and rows["sliced"]["sliced_langevin"] > 0
    for picture in ("samples-gaussians", "scores-gaussians"):
        assert (tmp_path / f"{picture}.png").exists()


def test_langevin_tells_biases_and_weights(tmp_path):
    options = langevin.QUICK | {"num_chains": 4000, "num_steps": 40, "plain_steps": 100}
    options |= {"levels": 12, "steps_a_level": 60}
    config = langevin.Config(workdir=tmp_path, **KEPT, **options)
    found = runs.keep(config, langevin.main, show=langevin.show)
    biased = found["bias"]["0.4"]
    np.testing.assert_allclose(biased["plain"], biased["exact"], rtol=0.1)
    np.testing.assert_allclose(biased["corrected"], 1, rtol=0.1)
    shares = found["share_of_larger_mode"]
    assert abs(shares["plain"] - 0.5) < 0.1 and abs(shares["annealed"] - 0.8) < 0.1
    # 1 in the mixture; chains without correction have a bias.
    spreads = found["variance_of_larger_mode"]
    np.testing.assert_allclose([spreads["corrected"], spreads["annealed"]], 1, atol=0.2)


def test_passes_of_samplers_are_those_that_are_told(tmp_path, key):
    """Counted by calls of the net, outside of any loop."""
    for name, sampler in steps.samplers(5).items():
        count = []

        def apply(params, x, level, key=None):
            count.append(1)
            return 0 * x

        model = diffusion.denoiser(Net(lambda key: {}, apply), (2,), diffusion.cosine())
        with jax.disable_jit():
            sampler(model, {}, jax.random.clone(key), 3)
        assert len(count) == 5, name


def test_one_pass_of_a_sampler_is_refused_before_a_model_learns(tmp_path):
    for module, passes in ((plane, 1), (steps, (5, 1))):
        with pytest.raises(InputError, match="passes must be an integer of at least 2; got 1"):
            module.main(module.Config(workdir=tmp_path, passes=passes, **KEPT))


def test_steps_need_a_run(tmp_path):
    with pytest.raises(InputError, match="run must name the directory"):
        steps.main(steps.Config(workdir=tmp_path, **KEPT))
