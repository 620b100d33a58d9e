"""`python -m benchmarks.memory`: a RevNet keeps no activations, and its three gradients are one."""

import json

import jax
import numpy as np
import pytest

from benchmarks import memory

CONFIG = memory.Config(batch=64, dim=8, width=16)


@pytest.mark.parametrize("name", ["revnet", "irevnet"])
def test_the_layers_written_out_are_those_of_the_net(name):
    net, shape, plain = memory.case(CONFIG, name, 2)
    params = jax.jit(net.init)(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), shape)
    run = jax.jit(lambda p, x: (net.apply(p, x), plain(p, x, True), plain(p, x, False)))
    y, kept, recomputed = run(params, x)
    np.testing.assert_allclose(kept, y, atol=1e-5)
    np.testing.assert_allclose(recomputed, y, atol=1e-5)


def test_only_what_is_found_again_does_not_grow_with_depth():
    shallow, deep = (memory.measurements(CONFIG, "revnet", depth) for depth in (4, 32))
    assert deep["found again MB"] < 1.1 * shallow["found again MB"]
    for way in ("backprop", "checkpoint"):
        assert deep[f"{way} MB"] > 3 * shallow[f"{way} MB"]
    assert 0 < deep["difference"] < 1e-3


def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path):
    args = ["--nets", "revnet", "--depths", 1, 2, "--batch", 4, "--dim", 4, "--width", 4]
    command("memory", *args, "--out", "m.json", "--figure", "m.png")
    rows = json.loads((tmp_path / "m.json").read_text())["rows"]
    assert [(r["net"], r["depth"]) for r in rows] == [("revnet", 1), ("revnet", 2)]
    assert (tmp_path / "m.png").read_bytes()[:4] == b"\x89PNG"
