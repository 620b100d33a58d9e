"""JSON of results: whole or not at all, and each refusal names its place."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.runs.values import leaves, read_json, write_json
from tests.runs import damage


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


def test_what_was_written_is_read_and_nothing_else(tmp_path):
    path = tmp_path / "x.json"
    value = {"a": [1, 2.5e-300, None, True, "é"], "per": {"maf": {}}}
    write_json(path, value)
    assert read_json(path) == value
    for name, make in damage.FORMS.items():
        damage.done(path, make)
        with pytest.raises(
            checks.InputError, match="x.json is damaged \\(.+\\)\\. Delete it\\.$"
        ) as told:
            read_json(path, "Delete it.")
        assert len(str(told.value)) < 300 and "\n" not in str(told.value), name
    assert len(damage.FORMS) >= 24
