import jax
import jax.numpy as jnp
import pytest

from dgm_jax import learning, runs
from experiments.flows import ffjord


def short(tmp_path, **options):
    config = ffjord.Config(workdir=tmp_path, progress=False, **options)
    return runs.keep(config, ffjord.main, show=ffjord.show)


@pytest.mark.slow
def test_a_short_run_on_the_plane_learns_and_draws(tmp_path, capsys):
    options = {"toy_steps": 60, "toy_hidden": (16, 16), "num_test": 1000, "digits_steps": 0}
    found = short(tmp_path, **options, toys=("moons",))
    cnf = found["toys"]["moons"]["models"]["cnf"]
    assert -4 * cnf["kl_stderr"] < cnf["kl"] < 1.1 and cnf["num_evals"] >= 13
    assert (tmp_path / "densities-moons.png").stat().st_size > 5_000
    assert "KL" in capsys.readouterr().out
    loaded = learning.load(tmp_path / "moons-cnf")
    score = jax.jit(lambda params: loaded.model.dist(params).log_prob(jnp.zeros((1, 2))))
    assert -20 < score(loaded.params)[0] < 0


@pytest.mark.slow
def test_a_short_run_on_the_digits_learns_and_draws(tmp_path, capsys):
    digits = short(tmp_path, digits_steps=40, digits_hidden=(32, 32), toys=())["digits"]
    assert 1.9 < digits["test_bits_per_dim"] < 2.65  # a Gaussian of each pixel, at the start: 2.67
    assert digits["log_prob_moved_by_a_tenth_of_the_tolerance"] < 1e-3
    assert digits["num_evals_of_a_score"] >= 13
    assert 0 < digits["max_reconstruction_error"] < 1e-2  # grey levels, of 17
    assert (tmp_path / "samples.png").stat().st_size > 5_000
    assert "bits" in capsys.readouterr().out
