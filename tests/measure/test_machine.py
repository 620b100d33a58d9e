"""What is written beside a table of times."""

import json
import os

import jax

from dgm_jax.measure import machine


def test_it_says_what_a_reader_needs_to_repeat_a_table():
    said = machine()
    assert json.loads(json.dumps(said)) == said  # it is written into records
    assert said["jax"] == jax.__version__
    assert said["device"].startswith(f"{jax.device_count()} x ")
    assert 1 <= said["cores"] <= os.cpu_count()
    assert said["cpu"] and len(said["date"]) == len("2026-01-31")
