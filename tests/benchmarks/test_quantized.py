"""Draws of categories: both ways are right, and a run as small as can be."""

import json

import jax
import pytest

from benchmarks import quantized


def test_a_tiny_run_tells_both_ways_and_that_they_are_right(command, tmp_path):
    with jax.debug_key_reuse(False):  # each call draws again what it drew
        args = ["--rows", 9, "--categories", 4, "--repeats", 1, "--out", "q.json"]
        command("quantized", *args)
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    assert {r["by"] for r in rows} == set(quantized.DRAWS)
    assert all(r["ms"] > 0 and r["error"] < 4.5 for r in rows)


def test_frequencies_that_are_wrong_are_seen():
    always = lambda key, logits: jax.numpy.zeros(len(logits), int)
    assert quantized.error(always, quantized.logits_of(9, 4)) > 10


def test_rows_without_categories_are_refused(command, capsys):
    with pytest.raises(SystemExit):
        command("quantized", "--rows", 9, 8, "--categories", 4)
    assert "rows and categories must be as many; got 2 and 1" in capsys.readouterr().err
