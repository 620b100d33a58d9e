"""JSON of results: whole or not at all, and each refusal names its place."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.runs.values import leaves, write_json


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": np.float32(0.5), "per": {"maf": jnp.arange(2)}, "at": tmp_path})
    kept = {"a": 0.5, "per": {"maf": [0, 1]}, "at": str(tmp_path)}
    assert json.loads(path.read_text()) == kept
    with pytest.raises(ValueError, match="x/a/1 is inf"):
        write_json(path, {"a": [1.0, float("inf")]})
    with pytest.raises(TypeError, match="x/model is a object"):
        write_json(path, {"model": object()})
    assert json.loads(path.read_text()) == kept
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_each_number_has_a_name():
    assert leaves({"maf": {"nll": 1.5, "n": 2}}) == [("maf/nll", 1.5), ("maf/n", 2)]
