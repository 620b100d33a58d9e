"""A turn in torch is ours by its loss at our weights, and a tiny run writes its rows."""

import json

import jax
import numpy as np
import pytest

from benchmarks import games
from tests.helpers import points

CONFIG = games.Config(batch=64, channels=(4, 8), num_latents=8)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # theirs
def test_the_nets_in_torch_are_ours():
    torch = pytest.importorskip("torch")
    model, params, state = games.start(CONFIG)
    generator, critic = games.torch_nets(CONFIG)
    z, x = np.asarray(points(3, CONFIG.num_latents)), games.pictures(CONFIG)
    with torch.no_grad():
        made = generator(torch.tensor(z)).numpy().transpose(0, 2, 3, 1)
        values = critic(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()[:, 0]
    for net, inputs, theirs in (("generator", z, made), ("critic", x, values)):
        apply = getattr(model, net).apply
        own, _ = apply(params[net], state[net], inputs, train=False)
        np.testing.assert_allclose(own, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("turn", ["critic", "generator"])
@pytest.mark.filterwarnings("ignore")  # theirs
def test_turns_of_both_libraries_lower_their_losses(turn):
    pytest.importorskip("torch")
    with jax.debug_key_reuse(False):  # each call of a benchmark draws again what it drew
        peer, own = games.torch_peer(CONFIG, turn), games.ours(CONFIG, turn)
        assert peer.num_params == own.num_params
        for _ in range(5):
            theirs, after = float(peer.call().detach()), float(own.call()["loss"])
    assert after < own.loss
    assert theirs == pytest.approx(after, abs=0.1)


@pytest.mark.slow
def test_a_tiny_run_writes_its_rows(command, tmp_path):
    args = [
        "--no-torch",
        "--turns",
        "generator",
        "spectral",
        "seeds",
        "--seeds",
        1,
        2,
        "--channels",
        2,
    ]
    args += ["--batch", 4, "--num-latents", 2, "--min-seconds", 0, "--repeats", 1]
    command("games", *args, "--out", "q.json", "--figure", "q.png")
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    assert [r["who"] for r in rows] == [
        "dgm_jax",
        "none",
        "spectral",
        "1 under vmap",
        "2 under vmap",
    ]
    assert all(r["ms"] > 0 for r in rows) and rows[3]["relative"] == pytest.approx(1.0)
