import pytest

from dgm_jax import runs
from experiments.flows import distill


@pytest.mark.slow
def test_a_short_run_distils_and_draws(tmp_path, capsys):
    tiny = {
        "teacher_steps": 60,
        "student_steps": 150,
        "hidden": (32, 32),
        "num_test": 2000,
        "timing_repeats": 2,
        "student_layers": 2,
        "num_layers": 2,
        "learning_rate": 3e-3,
    }
    config = distill.Config(workdir=tmp_path, progress=False, **tiny)
    found = runs.keep(config, distill.main, show=distill.show)
    assert found["kl_in_training"][0][1] > found["kl"] > -4 * found["kl_stderr"]
    assert all(1.9 < r["test_bits_per_dim"] < 2.9 for r in found["models"].values())
    assert set(found["sampling_ms"]) == {"student", "teacher", "teacher, d passes"}
    assert (tmp_path / "samples.png").stat().st_size > 5_000
    out = capsys.readouterr().out
    assert "KL(student ‖ teacher)" in out
    times = next(line for line in out.splitlines() if line.startswith("Sampling 256"))
    ratio = found["sampling_ms"]["teacher, d passes"] / found["sampling_ms"]["student"]
    assert f"ms ({ratio:.1f})" in times and "teacher, each unit once" in times
