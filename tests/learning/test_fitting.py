import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import combinators, data, distributions, flows, learning, likelihoods, nets
from dgm_jax.distributions import Autoregressive
from dgm_jax.protocol import Density

RNG = np.random.default_rng(0)
TABLE = RNG.normal((5.0, -300.0), (0.1, 20.0), (60, 2))
CLASSES = RNG.integers(0, 3, 90)
BITS = (np.eye(3, dtype=np.uint8)[CLASSES] ^ (RNG.random((90, 3)) < 0.05)).astype(np.uint8)


def gaussian(dim):
    return combinators.pushforward(flows.diagonal(dim), distributions.standard_normal(dim))


def bits(num_classes=None):
    """Bits of which each depends on those before, and on the class."""
    cond_shape = None if num_classes is None else (num_classes,)
    bernoulli = likelihoods.bernoulli()
    net = nets.made(
        3, hidden=(4,), num_outputs=1, encoding=bernoulli.encoding, cond_shape=cond_shape
    )

    def dist(params, cond=None, *, key=None):
        return Autoregressive(net, params, bernoulli.dist, 3, cond, num_outputs=1, key=key)

    return Density(net.init, dist, cond_shape=cond_shape)


def fit(model, x, **options):
    options = {"num_steps": 2, "learning_rate": 1e-9, "progress": False} | options
    return learning.fit_to_data(model, x, jax.random.key(0), **options)


def normal(x, mean, std):
    return (-0.5 * ((x - mean) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))).sum(-1)


def test_numbers_are_scored_and_drawn_in_their_own_units():
    """A model that has not moved is a standard normal of the standardised rows."""
    fitted = fit(gaussian(2), TABLE)
    train = TABLE[fitted.rows["train"]]
    expected = normal(TABLE, train.mean(0), train.std(0))
    np.testing.assert_allclose(fitted.log_prob(TABLE), expected, rtol=1e-4)
    log_prob = jax.jit(lambda params, x: fitted.model.dist(params).log_prob(x))
    np.testing.assert_allclose(log_prob(fitted.params, jnp.asarray(TABLE)), expected, rtol=1e-4)
    x = fitted.sample(jax.random.key(1), 4000)
    assert x.shape == (4000, 2)
    np.testing.assert_allclose(x.mean(0), train.mean(0), atol=5 * train.std(0).max() / 4000**0.5)
    np.testing.assert_allclose(x.std(0), train.std(0), rtol=0.1)
    np.testing.assert_allclose(fitted.test_nats, expected[fitted.rows["test"]].mean(), rtol=1e-5)
    np.testing.assert_allclose(fitted.valid_nats, expected[fitted.rows["valid"]].mean(), rtol=1e-5)
    assert "test" in repr(fitted) and len(repr(fitted)) < 120  # what a notebook shows


def test_wide_numbers_that_float32_holds_as_whole_ones_are_numbers():
    fitted = fit(gaussian(2), TABLE * 1e20)
    train = TABLE[fitted.rows["train"]]
    expected = normal(TABLE, train.mean(0), train.std(0)) - 2 * np.log(1e20)
    np.testing.assert_allclose(fitted.log_prob(TABLE * 1e20), expected, rtol=1e-4)


def test_another_preprocessing_takes_the_place_of_the_standardisation():
    mean, std = np.array([5.0, -300.0]), np.array([0.2, 10.0])
    fitted = fit(gaussian(2), TABLE, preprocessing=data.standardize(mean, std))
    np.testing.assert_allclose(fitted.log_prob(TABLE[:9]), normal(TABLE[:9], mean, std), rtol=1e-4)


def test_the_rows_are_split_by_the_seed_and_a_fit_repeats_itself(tmp_path):
    first = fit(gaussian(2), TABLE, workdir=tmp_path)
    assert {name: len(rows) for name, rows in first.rows.items()} == {
        "train": 48,
        "valid": 6,
        "test": 6,
    }
    assert sorted(np.concatenate(list(first.rows.values()))) == list(range(60))
    again = fit(gaussian(2), TABLE, workdir=tmp_path)  # from what is kept
    assert again.history == first.history and again.test_nats == first.test_nats
    other = fit(gaussian(2), TABLE, split_seed=1)
    assert (other.rows["test"] != first.rows["test"]).any()


def test_levels_are_learned_by_class_until_the_validation_rows_are_worse():
    fitted = fit(bits(3), BITS, cond=CLASSES, num_steps=800, learning_rate=0.03, patience=3)
    valid = [row["valid_nats"] for row in fitted.history if "valid_nats" in row]
    steps = [row["step"] for row in fitted.history if "valid_nats" in row]
    assert fitted.valid_nats == max(valid) and fitted.best_step == steps[np.argmax(valid)]
    assert len(valid) == 1 + np.argmax(valid) + 3 and steps[-1] < 800  # patience
    drawn = np.asarray(fitted.sample(jax.random.key(1), 50, cond=range(3)))
    assert drawn.shape == (50, 3, 3)
    assert (drawn == np.eye(3)).mean() > 0.85
    coins = BITS.mean(0)
    coin = (BITS * np.log(coins) + (1 - BITS) * np.log(1 - coins)).sum(-1).mean()
    one_hot = np.eye(3)[CLASSES]
    scores = fitted.log_prob(BITS, CLASSES)
    assert scores.mean() > coin + 0.5
    np.testing.assert_array_equal(fitted.log_prob(BITS, one_hot), scores)


def test_levels_become_numbers_for_a_flow_and_come_back():
    """The probabilities of all levels of one entry are those of their cells; they sum to one."""
    x = RNG.choice(4, (400, 1), p=[0.1, 0.2, 0.3, 0.4])
    fitted = fit(gaussian(1), x, num_levels=4)
    copies = np.repeat(np.arange(4), 2000)[:, None]
    found = np.exp(fitted.log_prob(copies)).reshape(4, -1).mean(1)
    np.testing.assert_allclose(found.sum(), 1, atol=0.05)
    drawn = fitted.sample(jax.random.key(1), 4000)
    assert drawn.dtype == jnp.int32 and 0 <= drawn.min() and drawn.max() <= 3
    np.testing.assert_allclose(np.bincount(drawn[:, 0], minlength=4) / 4000, found, atol=0.05)


def test_parameters_that_start_from_data_do():
    flow = combinators.compose(flows.actnorm(2), flows.diagonal(2))
    model = combinators.pushforward(flow, distributions.standard_normal(2))
    raw = data.standardize(0.0, 1.0)
    fitted = fit(model, TABLE, preprocessing=raw)
    train = TABLE[fitted.rows["train"]]
    expected = normal(TABLE, train.mean(0), train.std(0))
    np.testing.assert_allclose(fitted.log_prob(TABLE), expected, rtol=1e-3)


NAN = np.where(np.arange(60)[:, None] == 7, np.nan, TABLE)
WRONG = {
    "NaN": (gaussian(2), NAN, {}, "x: 1 of 60 rows have NaN or infinite .* first at row 7"),
    "words": (gaussian(2), np.full((9, 2), "a"), {}, "x must be an array of real numbers; got <U1"),
    "a list of numbers": (gaussian(2), np.arange(9.0), {}, r"rows \[n, ...\]; got shape \(9,\)"),
    "another shape": (gaussian(3), TABLE, {}, r"shape of the model, \(3,\); got \(2,\)"),
    "few rows": (gaussian(2), TABLE[:5], {}, "x has 5 rows, .* fewer than two to learn from"),
    "integers": (gaussian(2), TABLE.astype(int), {}, "x are integers .* give num_levels"),
    "whole numbers": (gaussian(2), np.round(TABLE), {}, "x are whole numbers"),
    "levels of numbers": (gaussian(2), TABLE, {"num_levels": 4}, "num_levels is for integers"),
    "more levels": (gaussian(3), BITS * 2, {"num_levels": 2}, r"x must lie in 0..1; got .* 0..2"),
    "a constant column": (gaussian(2), TABLE * [1, 0] + 0.5, {}, "Drop the constant columns"),
    "numbers for levels": (bits(), BITS * 1.0, {}, "x must be levels, integers"),
    "levels that are told": (bits(), BITS, {"num_levels": 2}, "num_levels is for a model of num"),
    "levels beyond those": (bits(), BITS + 4 * (CLASSES == 2)[:, None], {}, "rows have no prob"),
    "no conditions": (bits(3), BITS, {}, "cond is missing"),
    "a condition too much": (bits(), BITS, {"cond": CLASSES}, "unconditional model"),
    "a class too much": (
        bits(2),
        BITS,
        {"cond": CLASSES},
        r"cond, as classes, must lie in 0..1; got",
    ),
    "few conditions": (
        bits(3),
        BITS,
        {"cond": CLASSES[:5]},
        "a row for each of the 90",
    ),
    "classes that are no integers": (
        bits(3),
        BITS,
        {"cond": CLASSES * 1.0},
        "be classes, integers",
    ),
    "a column of classes": (bits(3), BITS, {"cond": CLASSES[:, None]}, r"int32 of shape \(90, 1\)"),
    "numbers far from 0": (
        gaussian(2),
        TABLE * [1e3, 1] + 1e8,
        {},
        "x: mean 1.0.*e.08 is too large",
    ),
    "a flow": (flows.diagonal(2), TABLE, {}, "got Flow. Give it a base: combinators.pushforward"),
    "no model": (gaussian, TABLE, {}, "model must be a Density; got function gaussian. Call it"),
    "no patience": (gaussian(2), TABLE, {"patience": 0}, "patience must be"),
    "no rate": (gaussian(2), TABLE, {"learning_rate": 0.0}, "learning_rate must be"),
    "no share": (gaussian(2), TABLE, {"test_share": 0}, "test_share must be"),
}


def test_draws_of_no_number_and_scores_of_other_rows_are_refused():
    fitted = fit(gaussian(2), TABLE, patience=None)
    with pytest.raises(ValueError, match="sample_shape"):
        fitted.sample(jax.random.key(1), 2.5)
    with pytest.raises(ValueError, match="key must be a typed key"):
        fitted.sample(1, 2)
    with pytest.raises(ValueError, match=r"x of shape \(6, 1\) does not fit"):
        fitted.log_prob(TABLE[:, :1])
    with pytest.raises(ValueError, match=r"x of shape \(6, 3\) does not fit"):
        fitted.log_prob(TABLE[:, [0, 1, 1]])
    with pytest.raises(ValueError, match=r"x must be rows, \[n, ...\]; got one number, 3"):
        fitted.log_prob(3)


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused(case):
    model, x, options, message = WRONG[case]
    with pytest.raises((ValueError, TypeError), match=message):
        fit(model, x, **options)
