"""Steps of training beside pythae, and the metrics of codes."""

import importlib.util
import json

import jax
import numpy as np
import pytest

from benchmarks import disentangled

CONFIG = disentangled.Config(batch=64, hidden=(16, 16), num_latents=4, critic=(8,) * 5, num_steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["tc-vae", "factor-vae"])
@pytest.mark.filterwarnings("ignore")  # theirs
def test_pythae_has_the_same_model(objective):
    if importlib.util.find_spec("pythae") is None:
        pytest.skip("pythae is not installed")
    with jax.debug_key_reuse(False):  # of the peer
        peer = disentangled.pythae(CONFIG, objective)
        own = disentangled.ours(CONFIG, objective)["dgm_jax"]
        assert peer.num_params == own.num_params
        assert abs(peer.loss / own.loss - 1) < 0.02  # they draw other z
        peer.step()


def test_codes_are_of_the_factors_of_dsprites():
    codes, factors = disentangled.coded(46_080, 0)
    assert codes.shape == (46_080, 10) and len(np.unique(factors, axis=0)) == 46_080
    np.testing.assert_array_equal(factors.max(0) + 1, disentangled.FACTORS)


def test_a_tiny_run_tells_each_metric_and_those_together(command, tmp_path, capsys):
    args = ["--parts", "scores", "--num-codes", 300, "--score-repeats", 1]
    command("disentangled", *args, "--out", "q.json", "--figure", "q.png")
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    names = {row["metric"] for row in rows}
    assert set(disentangled.FOUR) | {"sap", "explicitness", "dci", "code_scores", "udr"} == names
    said = capsys.readouterr().out
    assert "MIG, modularity, BetaVAE and FactorVAE" in said and "first calls s" in said
    assert (tmp_path / "q.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--parts"], "parts is empty"),
        (["--parts", "steps", "--objectives"], "objectives is empty"),
        (["--parts", "scores", "--num-codes", "5"], "num_codes must be an integer of at least 100"),
    ],
)
def test_a_slip_is_one_line(command, capsys, args, message):
    with pytest.raises(SystemExit) as stop:
        command("disentangled", *args)
    assert stop.value.code == 2 and message in capsys.readouterr().err
