"""Training steps of other libraries: each is the same model, by its loss at our weights."""

import importlib.util
import json

import jax
import pytest

from benchmarks import latent, times

CONFIG = latent.Config(batch=64, hidden=(16, 16), num_latents=4, num_samples=3, num_steps=2)
CAN = {
    "torch": ("vae", "iwae", "conv"),
    "pythae": ("vae", "iwae", "conv"),
    "numpyro": ("vae", "iwae"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("library", "objective"), [(lib, o) for lib in CAN for o in CAN[lib]])
@pytest.mark.filterwarnings("ignore")  # theirs
def test_a_peer_is_the_same_model(library, objective):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    with jax.debug_key_reuse(False):  # of the peers
        peer = latent.LIBRARIES[library](CONFIG, objective)
        own = latent.ours(CONFIG, objective)["dgm_jax"]
        assert peer.num_params == own.num_params
        assert abs(peer.loss / own.loss - 1) < 0.02  # they draw other z: by 0.5 %
        peer.step()


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["iwae", "dreg"])
def test_a_step_of_ours_trains_and_a_scan_makes_several(objective):
    with jax.debug_key_reuse(False):  # each call of a benchmark draws again what it drew
        found = latent.ours(CONFIG, objective)
        one, scan = found["dgm_jax"], found["dgm_jax scan"]
        before = float(one.step()["loss"])
        assert float(one.step()["loss"]) < before
        assert scan.in_one_call and scan.step()["loss"].shape == (CONFIG.num_steps,)
        assert float(times.in_a_row(one.step, 3)()["loss"]) < before


def test_a_library_that_cannot_is_said():
    with pytest.raises(NotImplementedError, match="dense nets"):
        latent.numpyro(CONFIG, "dreg")


@pytest.mark.slow
def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path):
    args = ["--libraries", "numpyro", "--objectives", "iwae", "dreg", "--batch", 4]
    args += [
        "--num-steps",
        2,
        "--hidden",
        8,
        "--num-latents",
        2,
        "--min-seconds",
        0,
        "--repeats",
        1,
    ]
    command("latent", *args, "--out", "q.json", "--figure", "q.png")
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    assert {r["objective"] for r in rows} == {"iwae", "dreg"} and all(r["ms"] > 0 for r in rows)
    scan = [r for r in rows if r["library"] == "dgm_jax scan"]
    assert all(r["to_scan"] == pytest.approx(1.0) for r in scan)
    assert (tmp_path / "q.png").read_bytes()[:4] == b"\x89PNG"
