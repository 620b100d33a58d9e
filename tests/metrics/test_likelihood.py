import jax
import numpy as np
import pytest

from dgm_jax.metrics import expected_log_prob


def test_every_row_is_scored_once_whatever_the_batch_size():
    x = np.arange(10.0)
    for batch_size in (1, 3, 5, 10, 1000):
        shapes = set()

        def log_prob(key, batch, shapes=shapes):
            shapes.add(batch.shape)
            return -batch

        scores = expected_log_prob(log_prob, jax.random.key(0), x, batch_size=batch_size)
        np.testing.assert_array_equal(scores, -x)
        assert len(shapes) == 1  # one compilation


def test_a_condition_goes_with_its_row():
    x, cond = np.arange(7.0), np.arange(7.0)[:, None] ** 2
    log_prob = lambda key, batch: batch[0] - batch[1][:, 0]
    scores = expected_log_prob(log_prob, jax.random.key(0), (x, cond), batch_size=3)
    np.testing.assert_array_equal(scores, x - x**2)
    with pytest.raises(ValueError, match=r"as many rows in each part; got \[7, 6\]"):
        expected_log_prob(log_prob, jax.random.key(0), (x, cond[:6]))


def test_draws_are_independent_and_averaged():
    def log_prob(key, batch):
        return jax.random.normal(key, batch.shape)

    def scores(num_draws):
        key = jax.random.key(1)
        return expected_log_prob(log_prob, key, np.zeros(2000), num_draws=num_draws, batch_size=100)

    one, many = scores(1), scores(16)
    assert len(np.unique(one)) == 2000  # no noise is used for two rows
    assert abs(one.std() - 1) < 0.1 and abs(many.std() - 1 / 4) < 0.03
    assert abs(np.corrcoef(one[:-100], one[100:])[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (np.zeros(0), {}, "x is empty"),
        (np.array([0.0, np.nan]), {}, "first at row 1"),
        (np.zeros(3), {"num_draws": 0}, "num_draws"),
        (np.zeros(3), {"batch_size": -1}, "batch_size"),
    ],
)
def test_bad_input_is_named(x, options, words):
    with pytest.raises(ValueError, match=words):
        expected_log_prob(lambda key, x: x, jax.random.key(0), x, **options)
