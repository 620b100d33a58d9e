"""Games on the plane: what is judged, and that a run that was stopped ends as one that was not."""

import jax
import numpy as np
import pytest

from dgm_jax import learning, runs
from experiments.gans import plane

TINY = {"num_steps": 4, "num_seeds": 2, "hidden": (4,), "batch_size": 4, "num_latents": 2}


@pytest.mark.parametrize("toy", plane.TARGETS)
def test_the_data_have_every_mode_and_the_share_of_three_deviations(toy):
    target = plane.TARGETS[toy]()
    found = plane.judged(target, plane.drawn(target, jax.random.key(0), 2500))
    assert found["modes"] == len(target.centres)
    if toy == "roll":
        assert found["good_share"] > 0.989  # from the nearest point of a curve
    else:  # 1 - exp(-9/2) of a round Gaussian
        assert found["good_share"] == pytest.approx(1 - np.exp(-4.5), abs=0.006)
    assert 0 <= found["kl"] < 0.03


def test_one_point_is_one_mode_and_points_between_are_none():
    target = plane.grid()
    found = plane.judged(target, np.zeros((100, 2), np.float32))
    assert found["modes"] == 1 and found["good_share"] == 1
    np.testing.assert_allclose(found["kl"], np.log(25), rtol=1e-5)
    between = plane.judged(target, np.full((100, 2), 0.5, np.float32))
    assert between["modes"] == between["good_share"] == between["kl"] == 0


@pytest.mark.parametrize("name", ["wasserstein, clipped", "packed"])
def test_each_seed_plays_a_game_of_its_own_and_a_resumed_run_is_the_run(
    name, tmp_path, compiled_once
):
    config = plane.Config(workdir=tmp_path, progress=False, **TINY)
    play = plane.GAMES[name]()
    game = plane.played(config, play, plane.ring(), 2)

    def train(folder, num_steps):
        return learning.train(
            game,
            jax.random.key(0),
            num_steps=num_steps,
            workdir=folder,
            progress=False,
        )

    with jax.debug_key_reuse(False):  # under vmap it takes parts of one split for the whole
        whole = train(tmp_path / "whole", 2)
        train(tmp_path / "parts", 1)
        resumed = train(tmp_path / "parts", 2)
    jax.tree.map(np.testing.assert_array_equal, whole.params, resumed.params)
    for leaf in jax.tree.leaves(whole.params[0]["generator"]):
        assert not np.array_equal(leaf[0], leaf[1])
    if play.clip is not None:
        critic = jax.tree.leaves(whole.params[0]["critic"])
        assert max(np.abs(leaf).max() for leaf in critic) <= play.clip * 1.0001


def test_the_strip_has_frames_from_the_start_to_the_end_of_any_number_of_steps():
    whole = plane.over_training(list(range(8)), 13, 2)
    assert list(whole.items())[:: plane.FRAMES - 1] == [("0 %", 0), ("100 %", 7)]
    assert len(whole) == plane.FRAMES and whole["61 %"] == 4  # at step 8 of 13
    assert plane.over_training(list(range(5)), 13, 2) == {}  # went on from a checkpoint


@pytest.mark.slow
def test_a_run_tells_each_game_by_seed_and_draws_both_pictures(tmp_path, capsys):
    games = ("minimax", "wasserstein, clipped", "packed")
    options = {"games": games, "toys": ("ring", "roll"), "num_steps": 13}
    config = plane.Config(workdir=tmp_path, progress=False, **TINY | options)
    with jax.debug_key_reuse(False):
        found = runs.keep(config, plane.main, show=plane.show)
    for toy in ("ring", "roll"):
        for game in games:
            row = found["toys"][toy]["models"][game]
            assert all(len(row[what]) == 2 for what in plane.JUDGED)
    assert "each seed" in capsys.readouterr().out
    for picture in ("samples", "strip"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 5000
