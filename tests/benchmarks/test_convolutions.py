"""Upsampling and norms of other libraries: each is the same function, by its numbers."""

import importlib.util
import json

import pytest

from benchmarks import convolutions

SMALL = {
    "up": convolutions.Up(2, 3, 4, 2),
    "norm": convolutions.Norm(2, 3, 8),
}


@pytest.mark.parametrize(
    ("library", "kind"), [("lax", "up"), ("torch", "up"), ("flax", "norm"), ("torch", "norm")]
)
@pytest.mark.filterwarnings("ignore")  # theirs
def test_a_peer_is_the_same_function(library, kind):
    if library == "torch" and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    own = convolutions.ours(SMALL[kind]).gradients()
    peer = convolutions.LIBRARIES[library](SMALL[kind])
    found = peer.gradients()
    assert [g.shape for g in found] == [g.shape for g in own]
    assert convolutions.difference(found, own) < 1e-4


def test_a_library_without_the_operation_is_left_out():
    found = convolutions.contestants(convolutions.Config(libraries=("flax",)), SMALL["up"])
    assert list(found) == ["dgm_jax"]


@pytest.mark.slow
def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path, monkeypatch):
    monkeypatch.setattr(convolutions, "CASES", tuple(SMALL.values()))
    args = ["--libraries", "lax", "--repeats", 1, "--min-seconds", 0]
    command("convolutions", *args, "--out", "q.json", "--figure", "q.png")
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    timed = {(r["case"], r["library"], r["way"]) for r in rows}
    assert len(timed) == 3 * len(convolutions.WAYS)  # both libraries, and one of them twice
    assert all(r["ms"] > 0 for r in rows)
    assert (tmp_path / "q.png").read_bytes()[:4] == b"\x89PNG"
