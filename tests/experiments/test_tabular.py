"""Tables, run small: every flow starts at the Gaussian; what stands beside published figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import runs
from experiments import baselines, published
from experiments.flows import tabular
from tests.experiments import published_sets

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
def test_a_run_tells_nats_beside_the_gaussian_and_the_published_figures(tmp_path, capsys):
    published_sets.patches(tmp_path)
    config = tabular.Config(
        workdir=tmp_path / "run",
        data_dir=tmp_path,
        progress=False,
        batch_size=50,
        models=("nsf-coupling",),
        **TINY,
    )
    found = runs.keep(config, tabular.main, show=tabular.show)
    assert list(found["models"]) == ["RQ-NSF (C)"]
    start = found["baselines"]["Gaussian"]["test_nats"]
    assert all(abs(r["test_nats"] - start) < 3 for r in found["models"].values())
    assert (tmp_path / "run" / "curves.png").stat().st_size > 5000
    out = capsys.readouterr().out
    assert "157.54 (Durkan et al. 2019)" in out
    assert "96.67 (Papamakarios et al. 2017, recalled)" in out


def test_levels_and_missing_files_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="data='digits' has no rows of real numbers"):
        tabular.main(tabular.Config(workdir=tmp_path, data="digits"))
    with pytest.raises(FileNotFoundError, match=r"hepmass/1000_train\.csv"):
        tabular.main(tabular.Config(workdir=tmp_path, data="hepmass", data_dir=tmp_path))


def test_published_figures_are_found_by_set_unit_and_model():
    assert published.find("hepmass", "nats", "MAF (5)").value == -17.70
    assert published.find("gas", "nats", "MADE MoG").value == 8.47
    assert published.find("cifar10", "bits/dim", "glow").value == 3.35
    assert published.find("cifar10", "nats", "glow") is None
    assert published.find("digits", "bits/dim", "glow") is None
    deep = [published.find(name, "nats", "MAF (10)") for name in published.UCI]
    assert [figure.value for figure in deep] == [0.24, 10.08, -17.73, -12.24, 154.93]
    assert ["recalled" in figure.source for figure in deep] == [False, False, True, True, True]
    assert all(
        len(row) == len(table.sets) for table in published.TABLES for row in table.figures.values()
    )
