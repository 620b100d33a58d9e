import numpy as np
import pytest

from dgm_jax.data.batches import batches

NUM, SIZE = 23, 5  # four batches an epoch, three rows left over


def test_an_epoch_visits_each_row_at_most_once_in_batches_of_one_shape():
    batch = batches(np.arange(NUM), SIZE, seed=0)
    for epoch in range(3):
        seen = [batch(4 * epoch + i) for i in range(4)]
        assert {rows.shape for rows in seen} == {(SIZE,)}
        assert len(set(np.concatenate(seen))) == 4 * SIZE


def test_epochs_differ_and_leave_out_different_rows():
    batch = batches(np.arange(NUM), SIZE, seed=0)
    epochs = [np.concatenate([batch(4 * e + i) for i in range(4)]) for e in range(30)]
    assert not np.array_equal(epochs[0], epochs[1])
    assert set(np.concatenate(epochs)) == set(range(NUM))


def test_batches_are_the_same_from_any_starting_step_and_in_any_order():
    x = np.random.default_rng(0).random((NUM, 2))
    forward = batches(x, SIZE, seed=3)
    backward = batches(x, SIZE, seed=3)
    steps = range(9)
    want = [forward(step) for step in steps]
    for step in reversed(steps):
        np.testing.assert_array_equal(backward(step), want[step])


def test_rows_are_those_of_the_documented_permutation():
    batch = batches(np.arange(NUM), SIZE, seed=7)
    want = np.random.default_rng([7, 1]).permutation(NUM)[5:10]
    np.testing.assert_array_equal(batch(np.int64(5)), want)
    assert not np.array_equal(batch(5), batches(np.arange(NUM), SIZE, seed=8)(5))


def test_parts_of_a_tuple_keep_their_rows_together():
    x = np.arange(2 * NUM).reshape(NUM, 2)
    first, second = batches((x, x[:, 0]), SIZE, seed=0)(6)
    np.testing.assert_array_equal(first[:, 0], second)
    assert isinstance(batches((x,), SIZE, seed=0)(0), tuple)


def test_a_batch_of_the_whole_data_is_one_epoch():
    batch = batches(np.arange(NUM), NUM, seed=0)
    assert set(batch(0)) == set(batch(1)) == set(range(NUM))


def test_writing_into_a_batch_leaves_the_data_alone():
    x = np.zeros(NUM)
    batches(x, SIZE, seed=0)(0)[:] = 1
    assert (x == 0).all()


@pytest.mark.parametrize(
    ("data", "size", "seed", "message"),
    [
        (np.zeros((0, 2)), 1, 0, "data is empty"),
        (np.zeros((3, 2)), 4, 0, "batch_size must be at most the 3 rows; got 4"),
        (np.zeros((3, 2)), 0, 0, "batch_size must be an integer of at least 1"),
        (np.zeros((3, 2)), 1, -1, "seed must be an integer of at least 0"),
        ((np.zeros(3), np.zeros(4)), 1, 0, r"same number of rows in each part; got \(3,\), \(4,\)"),
        ((np.zeros(3), 5.0), 1, 0, "same number of rows"),
        ((), 1, 0, "same number of rows"),
    ],
)
def test_bad_data_is_refused_at_once(data, size, seed, message):
    with pytest.raises(ValueError, match=message):
        batches(data, size, seed=seed)


def test_a_negative_step_is_refused():
    with pytest.raises(ValueError, match="step must be an integer of at least 0; got -1"):
        batches(np.arange(5), 2, seed=0)(-1)
