"""What is timed beside one another is the same model, and a tiny run writes its rows."""

import json

import jax
import numpy as np
import pytest

from benchmarks import scores
from dgm_jax.measure.timing import Timing

CONFIG = scores.Config(batch=4, hidden=8, passes=2, dims=(2, 3), width=8, chains=4, chain_steps=2)


def test_times_of_steps_are_told_in_those_of_the_first_of_a_group():
    found = {
        ("step", "a"): scores.Contestant(None, 5),
        ("step", "b"): scores.Contestant(None, 6, steps=4),
    }
    timed = {("step", "a"): Timing(2.0, 1.0, 3.0, 9.0), ("step", "b"): Timing(4.0, 4.0, 8.0, 7.0)}
    row = scores.row(("step", "b"), found, timed)
    assert (row["ms"], row["high_ms"], row["relative"]) == (1.0, 2.0, 0.5)
    assert (row["first_call_s"], row["params"]) == (7.0, 6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # theirs
def test_the_net_of_diffusers_is_as_large_and_learns_the_same_task():
    pytest.importorskip("diffusers")
    with jax.debug_key_reuse(False):  # each call of a benchmark draws again what it drew
        peer, own = scores.their_step(CONFIG)["diffusers"], scores.our_step(CONFIG)["dgm_jax"]
        assert peer.num_params == pytest.approx(own.num_params, rel=0.01)
        losses = [(float(peer.call().detach()), float(own.call()["loss"])) for _ in range(30)]
    theirs, ours = np.transpose(losses)
    assert theirs[-5:].mean() < theirs[:5].mean() and ours[-5:].mean() < ours[:5].mean()
    assert scores.their_sampling(CONFIG)["diffusers"].call().shape == (4, 1, 28, 28)


@pytest.mark.slow
def test_chains_of_blackjax_have_the_same_law():
    pytest.importorskip("blackjax")
    config = scores.Config(dims=(2,), chains=4000, chain_steps=300)
    with jax.debug_key_reuse(False):
        ours, theirs = scores.our_chains(config), scores.their_chains(config)
        y, (x, accepted) = (ours[part]["dgm_jax"].call() for part in ours)
        their_y, (states, rates) = (theirs[part]["blackjax"].call() for part in ours)
    for own, peer in ((y, their_y), (x, states.position)):
        np.testing.assert_allclose(np.std(own, 0), (1.0, 2.0), rtol=0.06)
        np.testing.assert_allclose(np.std(own, 0), np.std(peer, 0), rtol=0.06)
    assert float(accepted.mean()) == pytest.approx(float(rates.mean()), abs=0.01)


@pytest.mark.slow
def test_a_tiny_run_writes_its_rows(command, tmp_path):
    args = ["--no-peers", "--parts", "step", "matching", "langevin", "--batch", 2, "--hidden", 8]
    args += ["--scanned", 2, "--dims", 2, "--width", 8, "--chains", 4, "--chain-steps", 2]
    args += ["--min-seconds", 0, "--repeats", 1, "--out", "q.json", "--figure", "q.png"]
    command("scores", *args)
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    assert [(r["part"], r["who"]) for r in rows] == [
        ("step", "dgm_jax"),
        ("step", "dgm_jax scan"),
        ("matching, d = 2", "denoising"),
        ("matching, d = 2", "sliced"),
        ("matching, d = 2", "implicit"),
        ("matching, d = 2", "implicit, d derivatives"),
        ("unadjusted", "dgm_jax"),
        ("corrected", "dgm_jax"),
    ]
    assert all(r["ms"] > 0 for r in rows)
