import jax
import jax.numpy as jnp
from experiments import runner
from experiments.flows import toy

from dgm_jax.data import TOYS


def test_a_short_run_beats_one_gaussian_and_draws_what_it_learned(tmp_path, capsys):
    config = toy.Config(workdir=tmp_path, toys=("moons",), models=("maf",), quick=True)
    quick = {"num_steps": 300, "num_layers": 4, "hidden": (32, 32), "num_test": 2000}
    result = runner.run(config, toy.main, quick=quick, show=toy.show)["toys"]["moons"]
    moons = TOYS["moons"]()
    x = moons.sample(jax.random.key(5), 10_000)
    gaussian = 0.5 * jnp.linalg.slogdet(2 * jnp.pi * jnp.e * jnp.cov(x.T)).logabsdet
    maf = result["models"]["maf"]
    assert -4 * maf["kl_stderr"] < maf["kl"] < 0.6 * (gaussian - moons.entropy)
    assert result["entropy"] == moons.entropy
    assert (tmp_path / "densities-moons.png").stat().st_size > 10_000
    assert "KL" in capsys.readouterr().out
