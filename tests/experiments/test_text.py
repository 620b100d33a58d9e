"""The transformer of texts, run small: tables and a network beside each other, and a text."""

import json

import numpy as np
import pytest

from dgm_jax import runs
from experiments import sets
from experiments.autoregressive import text

TINY = {
    "num_steps": 2,
    "eval_every": 1,
    "hidden": 8,
    "num_layers": 1,
    "num_heads": 2,
    "length": 16,
    "window": 4,
    "num_written": 40,
}


def folder(tmp_path):
    """A text of the published form, of few words."""
    rng = np.random.default_rng(0)
    words = rng.choice(["To be, ", "or not ", "to be: ", "that\n"], 16000)
    file = tmp_path / "tiny_shakespeare" / "input.txt"
    file.parent.mkdir(parents=True)
    file.write_text("".join(words), encoding="ascii")
    return tmp_path


def run(tmp_path, **options):
    config = text.Config(workdir=tmp_path / "run", progress=False, **TINY | options)
    return runs.keep(config, text.main, show=text.show)


@pytest.mark.slow
def test_a_text_of_four_words_is_told_by_what_comes_before(tmp_path, capsys):
    results = run(tmp_path, data="tiny_shakespeare", data_dir=folder(tmp_path))
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results
    assert results["num_characters"] == 65
    bits = {name: r["test_bits_per_dim"] for name, r in results["models"].items()}
    # A word in four is 2 bits for 6.5 characters: no table does better, and each context helps.
    assert bits["one character"] > bits["given the last"] > bits["given the last two"] > 2 / 6.5
    assert bits["given the last two"] < 1
    assert 4 < bits["transformer"] < 6.1  # two steps from uniform
    assert "given the last two" in capsys.readouterr().out
    samples = (tmp_path / "run" / "samples.txt").read_text(encoding="utf-8")
    *_, completed = samples.split(" =====\n")
    assert (
        len(completed) == 40 + 1
        and completed[:20] in (tmp_path / "tiny_shakespeare" / "input.txt").read_text()
    )


def test_every_python_carries_a_text():
    parts, alphabet = sets.text(text.Config())
    assert 400_000 < sum(map(len, parts.values())) and set("abc(): \n") <= set(alphabet)
    start = "".join(alphabet[i] for i in parts["train"][:300])
    assert "assert" in start.lower()


def test_the_text_of_the_published_form_is_asked_for_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="tiny_shakespeare.*DGM_DATA"):
        text.main(text.Config(workdir=tmp_path, data="tiny_shakespeare", data_dir=tmp_path))


def test_a_length_beyond_the_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"length must be at most \d+, the text; got 100000000"):
        text.main(text.Config(workdir=tmp_path, length=100_000_000))
