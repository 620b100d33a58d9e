"""The adapters of other libraries: each is the same model. Those not installed are skipped."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import peers
from dgm_jax.measure.timing import Timing

CONFIG = peers.Config(num_layers=2, hidden=(16, 16))
CAN = {
    "distrax": ("realnvp",),
    "bijx": ("realnvp", "nsf_c"),
    "numpyro": ("maf", "iaf"),
    "zuko": ("maf", "iaf", "realnvp", "nsf_ar"),
    "normflows": ("maf", "iaf", "realnvp"),
    **{name: ("maf", "iaf", "realnvp", "nsf_ar", "nsf_c") for name in ("flowjax", "nflows")},
}


@pytest.mark.parametrize(("library", "name"), [(lib, n) for lib in CAN for n in CAN[lib]])
@pytest.mark.filterwarnings("ignore")  # theirs
def test_a_peer_is_the_same_model(library, name):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    x = jax.random.normal(jax.random.key(0), (6, 4))
    peer = peers.LIBRARIES[library](name, CONFIG, x, jax.random.key(1))
    ours = peers.ours(name, CONFIG, x, jax.random.key(1), "")
    assert np.abs(np.asarray(peer.round_trip()) - x).max() < 1e-4
    assert np.asarray(peer.density().detach() if library in TORCH else peer.density()).shape == (6,)
    assert np.asarray(peer.sample()).shape == (6, 4)
    if library != "distrax":  # masked, not split
        assert abs(peer.num_params / ours.num_params - 1) < 0.1
    peer.gradient()


TORCH = ("zuko", "nflows", "normflows")


@pytest.mark.parametrize("library", ["bijx", "distrax"])
def test_what_a_library_lacks_is_said(library):
    pytest.importorskip(library)
    with pytest.raises(NotImplementedError, match="has no autoregressive flow"):
        peers.LIBRARIES[library]("maf", CONFIG, jnp.zeros((2, 4)), jax.random.key(0))


def test_ratios_are_to_the_fastest_peer_and_a_call_left_out_has_no_time():
    def peer(num_params):
        return peers.Peer(None, None, None, None, num_params)

    found = {"dgm_jax unit_once": peer(100), "a": peer(101), "b": peer(150)}
    ms = {
        ("dgm_jax unit_once", "density"): 1.0,
        ("a", "density"): 2.0,
        ("b", "density"): 4.0,
        ("dgm_jax unit_once", "sample"): 1.0,
        ("a", "sample"): 50.0,
    }
    timed = {what: Timing(t, t, t, 0.0) for what, t in ms.items()}
    trips = dict.fromkeys(found, 1e-7)
    rows = peers.rows_of("maf", 4, CONFIG, found, timed, trips)
    ratio = {(r["library"], r["way"]): r["to_fastest_peer"] for r in rows}
    assert ratio["dgm_jax unit_once", "density"] == 0.5 and ratio["b", "density"] == 2.0
    assert ratio["dgm_jax unit_once", "sample"] == 0.02 and ratio["b", "sample"] is None
    assert {r["library"]: r["same_size"] for r in rows} == {
        "dgm_jax unit_once": True,
        "a": True,
        "b": False,
    }


@pytest.mark.slow
def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path):
    args = ["--libraries", "distrax", "--models", "realnvp", "--dims", 4, "--batch", 4]
    args += ["--num-layers", 1, "--hidden", 8, 8, "--min-seconds", 0, "--repeats", 1]
    command("peers", *args, "--out", "q.json", "--figure", "q.png")
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    assert {(r["library"], r["way"]) for r in rows} == {
        (library, way) for library in ("dgm_jax", "distrax") for way in peers.WAYS
    }
    assert all(r["ms"] > 0 and r["round_trip"] < 1e-4 for r in rows)
    assert (tmp_path / "q.png").read_bytes()[:4] == b"\x89PNG"
