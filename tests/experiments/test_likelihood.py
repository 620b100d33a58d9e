"""One model and all estimators: what is written, and that a trained run can be asked."""

import pytest

from dgm_jax import runs
from experiments.inference import likelihood, ppca

TINY = {**likelihood.QUICK, "num_samples": (3,)}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_model_is_trained_and_asked_and_can_be_asked_again(tmp_path):
    config = likelihood.Config(workdir=tmp_path / "one", progress=False, **TINY)
    found = runs.keep(config, likelihood.main, show=likelihood.show)
    for rows in ("test", "made"):
        assert found[rows]["importance"].keys() == {"3"}
        assert "K = 3)" in found[rows]["naive"]["3"]["says"]
        assert (tmp_path / "one" / f"{rows}.png").stat().st_size > 5000
    assert found["made"]["reverse"]["says"].split("; ")[1].startswith("reverse annealed")
    model, params, rows = likelihood.given(
        likelihood.Config(run=tmp_path / "one" / "vae", **likelihood.QUICK)
    )
    x = rows["test"][:6]
    assert x.shape == (6, 64) and model.posterior(params, x).mean().shape == (6, 3)


def test_without_samples_nothing_is_asked():
    with pytest.raises(ValueError, match="num_samples is empty"):
        likelihood.main(likelihood.Config(num_samples=()))


@pytest.mark.parametrize("module", [likelihood, ppca], ids=["likelihood", "ppca"])
def test_one_row_has_no_standard_error_and_is_refused_before_training(module):
    with pytest.raises(ValueError, match="num_rows must be an integer of at least 2; got 1"):
        module.main(module.Config(num_rows=1))
