"""Settings follow from rows and dimensions, and fill what is not given."""

import dataclasses

import pytest

from experiments import defaults


@dataclasses.dataclass(frozen=True)
class Config:
    hidden: tuple[int, ...] | None = None
    weight_decay: float | None = None
    seed: int = 0


def test_what_is_given_stays_and_the_rest_is_filled_and_told(capsys):
    settings = {"hidden": (40, 40), "weight_decay": 0.3}
    config, taken = defaults.completed(Config(weight_decay=0.0, seed=3), settings)
    assert config == Config(hidden=(40, 40), weight_decay=0.0, seed=3)
    assert taken == {"hidden": (40, 40)}
    assert capsys.readouterr().out == "from rows and dimensions: --hidden 40 40\n"
    assert defaults.completed(config, settings) == (config, {})
    assert capsys.readouterr().out == ""


def test_few_rows_of_many_bits_get_a_narrow_net_slow_steps_and_much_decay():
    few, many = (defaults.of_bits(*rows, batch_size=100) for rows in ((400, 500), (16000, 100)))
    assert few["hidden"] == (100,) and many["hidden"] == (500,)
    assert few["learning_rate"] == pytest.approx(1 / 500) and many["learning_rate"] == 0.01
    assert few["weight_decay"] == pytest.approx(0.12 * (500 * 100 / 400) ** 0.5, rel=0.05)
    assert few["weight_decay"] > 10 * many["weight_decay"]
    assert few["eval_every"] == 20 and many["eval_every"] == 160  # five epochs, one epoch


def test_many_masks_regularise_by_themselves():
    one, many = (defaults.of_bits(2000, 112, batch_size=100, num_masks=num) for num in (1, 32))
    assert many["weight_decay"] < one["weight_decay"] / 5 and many["num_steps"] > one["num_steps"]


@pytest.mark.parametrize("name", ["num_rows", "dim", "batch_size"])
def test_no_rows_and_no_dimensions_are_refused_by_name(name):
    given = {"num_rows": 100, "dim": 10, "batch_size": 10} | {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be .*; got 0"):
        defaults.of_bits(**given)
    with pytest.raises(ValueError, match=f"{name} must be .*; got 0"):
        defaults.of_table(**given, num_steps=10)


def test_large_images_come_in_small_batches_fewer_updates_and_more_scales():
    digits, faces = defaults.of_images(1297, (8, 8, 1)), defaults.of_images(300, (64, 64, 1))
    assert (digits["num_scales"], faces["num_scales"]) == (2, 3)
    assert (digits["batch_size"], faces["batch_size"]) == (64, 4)
    assert (digits["num_updates"], faces["num_updates"]) == (1000, 200)
    assert (digits["hidden"], faces["hidden"]) == (32, 16)
    assert digits["weight_decay"] == 0.5 and faces["weight_decay"] == 0.26
    assert digits["eval_every"] == 50 and faces["eval_every"] == 10
    assert faces["by_pixel"] and not digits["by_pixel"]


@pytest.mark.parametrize(
    ("shape", "num_scales"), [((28, 28, 1), 2), ((32, 32, 3), 3), ((28, 20, 1), 2), ((6, 4, 1), 1)]
)
def test_scales_halve_both_sides(shape, num_scales):
    assert defaults.of_images(1000, shape)["num_scales"] == num_scales


def test_nets_of_tables_are_as_wide_as_the_root_of_the_rows_allows():
    few, more, many = (defaults.of_table(n, 43, num_steps=3000) for n in (455, 1234, 200_000))
    assert [found["hidden"] for found in (few, more, many)] == [(32, 32), (64, 64), (512, 512)]
    assert [found["batch_size"] for found in (few, more, many)] == [56, 154, 256]
    assert few["weight_decay"] == more["weight_decay"] > 5 * many["weight_decay"]
    assert (few["eval_every"], many["eval_every"]) == (15, 187)


def test_the_others_follow_the_steps_and_the_batch_that_are_given():
    """Evaluations are a twentieth of a long run apart, or patience would end it early."""
    bits = defaults.of_bits(50_000, 784, batch_size=100, num_steps=40_000)
    assert bits["num_steps"] == 40_000 and bits["eval_every"] == 500  # an epoch
    images = defaults.of_images(50_000, (28, 28, 1), num_updates=40_000, batch_size=80)
    assert (images["num_updates"], images["eval_every"]) == (40_000, 2000)
    assert images["batch_size"] == 80 and images["weight_decay"] == 0.09
    table = defaults.of_table(1000, 10, num_steps=40, batch_size=1000)
    assert (table["batch_size"], table["eval_every"]) == (1000, 1)


def test_scales_are_bounded_where_they_multiply_or_rows_are_few():
    assert defaults.scale_bound(200_000, one_layer=True) == 3
    assert defaults.scale_bound(200_000, one_layer=False) == 1
    assert defaults.scale_bound(1000, one_layer=True) == 1
