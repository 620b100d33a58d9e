"""The surgery of trained models, run small."""

import numpy as np
import pytest

from dgm_jax import runs
from experiments.vae import surgery

TINY = {"num_steps": 10, "eval_every": 5, "hidden": (8,), "num_latents": 2, "test_samples": 2}


@pytest.mark.slow
def test_the_run_tells_the_parts_along_the_training_and_of_whole_sets(tmp_path, capsys):
    options = {"num_components": 2, "models": ("vae",), "batch_sizes": (4, 5000)}
    config = surgery.Config(workdir=tmp_path, progress=False, **TINY, **options)
    found = runs.keep(config, surgery.main, show=surgery.show)
    parts = found["models"]["vae"]
    for split in ("train", "test"):
        r = parts[split]
        assert r["kl"] == pytest.approx(r["mutual_information"] + r["marginal_kl"], rel=1e-4)
        assert r["most"] == pytest.approx(np.log(parts[f"{split}_rows"]))
    assert parts["row"]["valid_information"] <= np.log(200)
    assert list(found["batches"]) == ["4"]  # no batch is larger than the set
    assert found["batches"]["4"]["plain"] <= np.log(4)
    assert "I(n; z), stratified" in capsys.readouterr().out
    for picture in ("parts", "batches"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 5000
