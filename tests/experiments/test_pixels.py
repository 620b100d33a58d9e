"""The autoregressive images, run small: what it writes, what is drawn, what the fields show."""

import json

import jax
import numpy as np
import pytest

from dgm_jax import runs
from experiments.autoregressive import images

TINY = {
    "num_steps": 2,
    "eval_every": 1,
    "hidden": 4,
    "num_layers": 1,
    "num_components": 2,
    "num_shown": 2,
    "batch_size": 16,
}


@pytest.mark.slow
def test_a_short_run_writes_results_and_pictures(tmp_path, capsys):
    config = images.Config(
        workdir=tmp_path, models=("gated",), class_conditional=True, progress=False, **TINY
    )
    results = runs.keep(config, images.main, show=images.show)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    row = results["models"]["gated"]
    assert row["test_bits_per_dim"] == pytest.approx(-row["test_nats"] / (64 * np.log(2)))
    assert 3 < row["test_bits_per_dim"] < 4.2
    for picture in ("samples.png", "completions.png", "receptive.png"):
        assert (tmp_path / picture).stat().st_size > 1000
    assert "gated" in capsys.readouterr().out


@pytest.mark.parametrize("name", images.MAKE)
def test_each_name_is_a_density_of_colours_with_classes(name):
    """As it is of grey levels and of bits, in the contract of all experiments."""
    shape, num_levels, num_classes = (4, 4, 3), 256, 5
    config = images.Config(hidden=4, num_layers=1)
    conditional = images.conditional_of(config, num_levels)
    model = images.build(config, name, shape, conditional, num_classes)
    x, cond = np.zeros((2, *shape), int), np.zeros((2, 5)) if num_classes else None
    score = lambda key: model.dist(model.init(key), cond).log_prob(x)
    assert jax.eval_shape(score, jax.random.key(0)).shape == (2,)


def test_the_picture_of_fields_shows_a_blind_spot():
    """Of the last row, first column: PixelCNN does not see the right end of the row above."""
    config = images.Config(hidden=8, num_layers=3)
    blind, all_seen = (images.fields(config, name, (6, 8, 1))[0] for name in ("pixelcnn", "gated"))
    assert blind[5, 0] == all_seen[5, 0] == 1
    assert (blind[4, :4] > 0).all() and (blind[4, 4:] == 0).all()  # its first kernel is 7 wide
    assert (all_seen[:5, :6] > 0).all() and (all_seen[5, 1:] == 0).all()


@pytest.mark.slow
def test_image_gpt_looks_back_over_the_rows_it_is_told():
    config = images.Config(hidden=16, num_layers=1, positions="rotary", rows_seen=2)
    field = images.fields(config, "image-gpt", (6, 8, 1))[0].ravel()  # of the last row's first
    np.testing.assert_array_equal(field > 0, (np.arange(48) > 40 - 17) & (np.arange(48) <= 40))
    with pytest.raises(ValueError, match="rows_seen must be an integer of at least 1; got 0"):
        images.build(
            images.Config(rows_seen=0), "image-gpt", (4, 4, 1), images.conditional_of(config, 2)
        )


def test_what_is_blind_is_orange():
    """Earlier pixels that are not seen; later ones stay black, seen ones grey."""
    field = np.array([[0.5, 0.0, 0.5], [0.5, 1.0, 0.0]])
    orange, *others = images.coloured(field[None])[0].reshape(6, 3)[[1, 0, 2, 3, 4, 5]]
    assert orange[0] > 0.8 > 0.4 > orange[1] > orange[2] == 0
    np.testing.assert_array_equal(others, np.repeat([[0.5], [0.5], [0.5], [1], [0]], 3, 1))


def test_a_column_shows_test_images_of_its_class():
    config = images.Config(num_shown=5)
    labels = np.array([0, 1, 1, 2, 2, 2, 0, 0, 0])
    chosen = images.shown(config, labels, labels, 3)
    assert labels[chosen].tolist() == [0, 1, 2, 0, 1] * 2
    assert len({c for c in chosen if labels[c] == 0}) == 4  # another one each time
    assert len(images.shown(config, labels[:4], labels[:4] * 0, 2)) == 10  # there is no class 1


def test_a_wrong_option_of_a_later_model_is_told_before_the_first_is_trained(tmp_path):
    config = images.Config(workdir=tmp_path, models=("gated", "image-gpt"), hidden=6)
    with pytest.raises(ValueError, match="num_heads must divide hidden=6; got 4"):
        images.main(config)
    assert not (tmp_path / "gated").exists()


def test_no_model_and_sets_without_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="models is empty"):
        images.main(images.Config(workdir=tmp_path, models=()))
