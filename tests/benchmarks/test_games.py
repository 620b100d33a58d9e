"""A turn in torch is ours by its loss at our weights, and a tiny run writes its rows."""

import importlib.util
import json

import jax
import pytest

from benchmarks import games

CONFIG = games.Config(batch=256, channels=(4, 8), num_latents=8)


@pytest.mark.slow
@pytest.mark.parametrize("turn", ["critic", "generator"])
@pytest.mark.filterwarnings("ignore")  # theirs
def test_a_turn_in_torch_is_ours(turn):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    with jax.debug_key_reuse(False):  # each call of a benchmark draws again what it drew
        peer, own = games.torch_peer(CONFIG, turn), games.ours(CONFIG, turn)
        assert peer.num_params == own.num_params
        assert peer.loss == pytest.approx(own.loss, rel=0.03, abs=0.02)  # they draw other z
        before = own.loss
        for _ in range(3):
            peer.call()
            after = float(own.call()["loss"])
        assert after < before


@pytest.mark.slow
def test_a_tiny_run_writes_its_rows(command, tmp_path):
    args = ["--no-torch", "--turns", "generator", "seeds", "--seeds", 1, 2, "--channels", 2]
    args += ["--batch", 4, "--num-latents", 2, "--min-seconds", 0, "--repeats", 1]
    command("games", *args, "--out", "q.json", "--figure", "q.png")
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    assert [r["who"] for r in rows] == ["dgm_jax", "1 under vmap", "2 under vmap"]
    assert all(r["ms"] > 0 for r in rows) and rows[1]["relative"] == pytest.approx(1.0)
