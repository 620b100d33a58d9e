from experiments import runner
from experiments.flows import ffjord


def test_a_short_run_learns_and_draws(tmp_path, capsys):
    config = ffjord.Config(workdir=tmp_path, toys=("moons",), quick=True, progress=False)
    quick = {
        "toy_steps": 60, "toy_hidden": (16, 16), "num_test": 1000,
        "digits_steps": 40, "digits_hidden": (32, 32),
    }  # fmt: skip
    found = runner.run(config, ffjord.main, quick=quick, show=ffjord.show)
    cnf, digits = found["toys"]["moons"]["models"]["cnf"], found["digits"]
    assert -4 * cnf["kl_stderr"] < cnf["kl"] < 1.1 and cnf["num_evals"] >= 13
    assert 1.9 < digits["test_bits_per_dim"] < 2.65  # a Gaussian of each pixel, at the start: 2.67
    assert digits["log_prob_moved_by_a_tenth_of_the_tolerance"] < 1e-3
    for name in ("densities-moons.png", "digits.png"):
        assert (tmp_path / name).stat().st_size > 5_000
    assert "bits" in capsys.readouterr().out
