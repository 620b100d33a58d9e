"""Look-ups and steps of the peers are ours, and a tiny run writes its rows."""

import json

import jax
import numpy as np
import pytest

from benchmarks import codebooks

CONFIG = codebooks.Config(num_vectors=256, dim=4, num_codes=8, batch=2, num_batches=20)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # theirs
def test_codebooks_of_both_libraries_learn_the_same():
    pytest.importorskip("vector_quantize_pytorch")
    own, peer = (of(CONFIG).told for of in (codebooks.our_look_up, codebooks.their_look_up))
    np.testing.assert_array_equal(own["codes"], peer["codes"])
    np.testing.assert_allclose(own["codebook"], peer["codebook"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # theirs
def test_steps_of_both_libraries_have_the_same_losses():
    pytest.importorskip("torch")
    with jax.debug_key_reuse(False):  # each call of a benchmark draws again what it drew
        own, peer = codebooks.our_step(CONFIG), codebooks.their_step(CONFIG)
        assert own.told["loss"] == pytest.approx(peer.told["loss"], rel=1e-4)
        for _ in range(3):
            after, theirs = float(own.call()["loss"]), float(peer.call().detach())
    assert after == pytest.approx(theirs, rel=1e-3)


@pytest.mark.slow
def test_a_tiny_run_writes_its_rows(command, tmp_path):
    args = ["--no-torch", "--num-vectors", 16, "--dim", 2, "--num-codes", 4, "--batch", 1]
    args += ["--num-batches", 2, "--min-seconds", 0, "--repeats", 1]
    command("codebooks", *args, "--out", "q.json", "--figure", "q.png")
    found = json.loads((tmp_path / "q.json").read_text())
    assert [(r["part"], r["who"]) for r in found["rows"]] == [
        ("look-up", "dgm_jax"),
        ("step", "dgm_jax"),
    ]
