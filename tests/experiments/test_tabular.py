"""Tables, run small: every flow starts at the Gaussian; what stands beside published figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import runs
from experiments import baselines
from experiments.flows import tabular

TINY = {"num_steps": 4, "eval_every": 2, "hidden": (8,), "num_layers": 1, "num_bins": 3}
MODELS = ("maf", "realnvp", "nsf-coupling", "nsf", "made", "made-mog")


def correlated(num, dim=5):
    rng = np.random.default_rng(0)
    return 7 + rng.normal(size=(num, dim)) @ rng.normal(size=(dim, dim))


@pytest.mark.parametrize("name", MODELS)
def test_every_flow_starts_at_the_gaussian_of_the_training_split(name):
    x = correlated(600).astype(np.float32)
    whiten = tabular.whitening(*baselines.fit_gaussian(x[:500], x[:500]))
    model = tabular.build(
        tabular.Config(hidden=(8,), num_layers=1, scale_bound=2.0), name, whiten, 5
    )
    score = jax.jit(lambda key, x: model.dist(model.init(key)).log_prob(x))
    log_prob = score(jax.random.key(0), jnp.asarray(x[500:]))
    want = baselines.gaussian(x[:500], x[:500], x[500:])
    np.testing.assert_allclose(log_prob, want, atol=1e-3)


@pytest.mark.slow
def test_a_run_tells_nats_beside_the_gaussian(tmp_path, capsys):
    config = tabular.Config(
        workdir=tmp_path / "run", progress=False, batch_size=50, models=("nsf-coupling",), **TINY
    )
    found = runs.keep(config, tabular.main, show=tabular.show)
    assert list(found["models"]) == ["RQ-NSF (C)"]
    start = found["baselines"]["Gaussian"]["test_nats"]
    assert all(abs(r["test_nats"] - start) < 3 for r in found["models"].values())
    assert (tmp_path / "run" / "curves.png").stat().st_size > 5000
    assert "Durkan" not in capsys.readouterr().out


def test_missing_files_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="data='digits' has no rows of numbers"):
        tabular.main(tabular.Config(workdir=tmp_path, data="digits"))
    with pytest.raises(FileNotFoundError, match=r"hepmass/1000_train\.csv"):
        tabular.main(tabular.Config(workdir=tmp_path, data="hepmass", data_dir=tmp_path))
