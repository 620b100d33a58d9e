"""InfoGAN of images: how categories are paired with classes, the game, and what a run writes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, runs
from experiments import options
from experiments.disentangled import infogan

TINY = {"hidden": 2, "num_features": 3, "num_noise": 2, "batch_size": 4, "num_samples": 70}


def test_categories_are_paired_one_to_one_and_by_their_majority():
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    turned = np.array([2, 0, 1])[labels]
    found = infogan.errors((turned, labels), (turned, labels), 3)
    assert found == {"error": 0, "majority": 0}
    merged = np.where(labels == 1, 0, labels)  # classes 0 and 1 are one category, 1 is empty
    found = infogan.errors((merged, labels), (merged, labels), 3)
    assert found == {"error": 2 / 8, "majority": 2 / 8}
    split = np.array([0, 0, 1, 2, 2, 3, 3, 3])  # class 0 is two categories
    found = infogan.errors((split, labels), (split, labels), 4)
    assert found == {"error": 1 / 8, "majority": 0}


def test_labels_of_the_rows_that_are_judged_pair_nothing():
    """All of the pairs come from the rows that are given: judged by others they may be wrong."""
    given = (np.array([0, 1]), np.array([0, 1]))
    assert infogan.errors(given, (np.array([0, 1]), np.array([1, 0])), 2)["error"] == 1


@pytest.mark.parametrize("name", ["infogan", "gan"])
def test_a_game_keeps_the_shapes_of_its_state_and_only_one_reads_the_codes(name):
    """Traced only."""
    config = infogan.Config(**TINY)
    model = infogan.build(config, (8, 8, 1))
    algorithm = infogan.game(config, name, model)

    def play(key, batch):
        state = algorithm.init(key)
        return state, *algorithm.step(state, jax.random.clone(key), batch)

    state, after, told = jax.eval_shape(play, jax.random.key(0), jnp.zeros((8, 8, 8, 1)))
    shapes = lambda tree: jax.tree.map(lambda a: (a.shape, a.dtype), tree)
    assert shapes(state) == shapes(after)
    assert {"generator/categorical", "critic/continuous"} <= told.keys()


@pytest.mark.parametrize(("name", "value"), [("categories", 1), ("num_samples", 1)])
def test_what_would_be_missed_after_training_is_told_before(name, value):
    with pytest.raises(checks.InputError, match=f"{name} must be an integer of at least 2; got 1"):
        infogan.main(infogan.Config(**{name: value}))


def test_a_code_may_have_no_numbers(tmp_path):
    """Its options are taken, and rows of samples drawn for each category alone."""
    config = infogan.Config(**TINY, num_continuous=0, workdir=tmp_path)
    options.check(config, "models")
    z = infogan.latents(config, jnp.zeros((3, 2)), 1, jnp.zeros(0))
    assert z.shape == (3, infogan.build(config, (8, 8, 1)).codes.size) and z[0, 3] == 1


@pytest.mark.slow
def test_a_short_run_writes_results_and_pictures(tmp_path):
    config = infogan.Config(
        workdir=tmp_path / "a", progress=False, num_steps=4, eval_every=2, **TINY
    )
    results = runs.keep(config, infogan.main, show=infogan.show)
    assert json.loads((tmp_path / "a" / "results.json").read_text()) == results
    for row in results["models"].values():
        assert 0 <= row["majority"] <= row["error"] <= 1
        assert row["categorical"] <= results["most"] + 1e-5
    for picture in ("codes", "numbers", "curves"):
        assert (tmp_path / "a" / f"{picture}.png").stat().st_size > 500
