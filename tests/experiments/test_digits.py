"""The autoregressive digits, run small: tables at known figures, pictures, results."""

import json

import jax
import numpy as np
import pytest

from dgm_jax import data, learning, runs
from experiments import sets
from experiments.autoregressive import digits

TINY = {"num_steps": 2, "eval_every": 1, "hidden": (4,), "num_masks": 2, "num_components": 2}


@pytest.mark.slow
def test_a_short_run_writes_results_and_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(digits, "NUM_ORDERS", 3)
    config = digits.Config(workdir=tmp_path, models=("any-order",), progress=False, **TINY)
    results = runs.keep(config, digits.main, show=digits.show)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    tables = {name: r["test_bits_per_dim"] for name, r in results["tables"].items()}
    assert tables["one histogram"] == pytest.approx(2.974, abs=2e-3)
    assert tables["a histogram of each pixel"] == pytest.approx(2.431, abs=1e-3)
    assert tables["Markov chain of order 1"] < 2.332
    assert [r["num_params"] for r in results["tables"].values()] == [16, 1024, 16 + 63 * 17 * 16]
    scored = results["models"]["any-order"]
    assert 2 < scored["test_bits_per_dim"] < 4.2
    loaded = learning.load(tmp_path)  # the one run in it
    test = data.load("digits").test.reshape(-1, 64)
    score = jax.jit(lambda params: loaded.model.dist(params).log_prob(test).mean())
    assert score(loaded.params) == pytest.approx(scored["test_nats"], rel=1e-5)
    assert list(results["missing"]) == ["lower half", "right half", "random half"]
    for imputed in results["missing"].values():
        counted, net = (r["bits_a_missing_pixel"] for r in imputed.values())
        assert 2 < counted < 3 < net < 4.2  # after two steps from uniform
    for picture in ("samples.png", "completions.png", "imputed.png"):
        assert (tmp_path / picture).stat().st_size > 5000
    told = capsys.readouterr().out
    assert "a number of 79 digits" in told and "bits a missing pixel" in told


@pytest.fixture(scope="module")
def pixels():
    return digits.Pixels(*sets.levels(digits.Config()))


def test_who_imputes_makes_the_given_pixels_first(pixels):
    """Histograms and the MADE of any order impute all; one of raster order only lower halves."""
    fitted = dict.fromkeys(("a histogram of each pixel", "mixture", "any-order"), (None, None))
    config = digits.Config(hidden=(4,))
    found = {name: digits.imputers(config, fitted, pixels, name) for name in pixels.given}
    able = {name: [*models][1:] for name, models in found.items()}
    assert able.pop("lower half") == ["mixture", "any-order"]
    assert set(map(tuple, able.values())) == {("any-order",)}


def test_what_is_missing_comes_last_in_the_order_that_imputes(pixels):
    for given in pixels.given.values():
        order = digits.ar.observed_first(given)
        assert given.sum() == 32 and given[order[:32]].all() and not given[order[32:]].any()


@pytest.mark.parametrize("shape", [(5,), (4, 6), (4, 6, 3)])
def test_halves_of_any_shape_are_halves(shape, pixels):
    x = np.zeros((2, *shape), np.int32)
    data = pixels.data._replace(train=x, valid=x, test=x)
    given = digits.Pixels(data, sets.vectors(data)).given
    dim = int(np.prod(shape))
    assert {name: half.sum() for name, half in given.items()} == dict.fromkeys(given, dim // 2)
    if len(shape) > 1:
        right = given["right half"].reshape(shape)
        assert right[:, :3].all() and not right[:, 3:].any()


def test_a_model_that_is_too_large_is_told_before_anything_is_counted(tmp_path, monkeypatch):
    """Two models, of which the second has a weight for each of 256 levels of 200 bytes."""
    monkeypatch.setattr(digits, "fit_tables", None)
    np.save(tmp_path / "own.npy", np.arange(6000, dtype=np.uint8).reshape(30, 200))
    options = {"models": ("mixture", "one-hot"), "max_params": 2_000_000}
    config = digits.Config(workdir=tmp_path, data=str(tmp_path / "own.npy"), **options)
    with pytest.raises(ValueError, match=r"one-hot has [\d,]{10,} parameters, above the 2,000,000"):
        digits.main(config)


def test_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="models is empty"):
        digits.main(digits.Config(workdir=tmp_path, models=()))
