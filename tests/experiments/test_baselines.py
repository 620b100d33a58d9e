"""The baselines are densities, and reach their known optimum."""

import itertools
import re

import numpy as np
import pytest

from experiments import baselines


def test_the_histogram_sums_to_one_and_finds_the_frequencies():
    rng = np.random.default_rng(0)
    p = np.array([0.5, 0.3, 0.2])
    draw = lambda n: np.stack([rng.choice(3, n, p=p), rng.choice(3, n, p=p[::-1])], 1)
    train, valid = draw(20000), draw(2000)
    states = np.array(list(itertools.product(range(3), repeat=2)))
    probabilities = np.exp(baselines.histogram(train, valid, states, 3))
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(probabilities.reshape(3, 3), np.outer(p, p[::-1]), atol=0.01)


def test_a_level_that_training_never_saw_is_still_possible():
    train = np.zeros((50, 1), int)
    assert np.isfinite(baselines.histogram(train, train, np.array([[1]]), 2)).all()


def test_the_gaussian_reaches_the_entropy_of_gaussian_data():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(4, 4))
    train, valid, test = (rng.normal(size=(n, 4)) @ factor.T + 3 for n in (20000, 500, 20000))
    log_p = baselines.gaussian(train, valid, test)
    optimum = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * factor @ factor.T)[1]
    assert abs(log_p.mean() - optimum) < 4 * log_p.std() / np.sqrt(len(test)) + 0.01


def test_the_gaussian_does_not_depend_on_the_units_of_the_columns():
    """Of which one is a million times another: the ridge is relative to each."""
    rng = np.random.default_rng(3)
    train, valid, test = rng.normal(size=(3, 200, 3))
    units = np.array([1e-3, 1.0, 1e3])
    plain, scaled = (
        baselines.gaussian(train * u, valid * u, test * u) for u in (np.ones(3), units)
    )
    np.testing.assert_allclose(scaled, plain, atol=1e-8)


def test_the_gaussian_of_rows_with_a_constant_column_is_finite():
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(size=(100, 2)), np.ones((100, 1))], 1)
    assert np.isfinite(baselines.gaussian(x, x, x)).all()


def row(nats, best_step=None, num_steps=100):
    trained = {} if best_step is None else {"best_step": best_step, "num_steps": num_steps}
    return {"test_nats": nats, **trained}


def test_a_model_that_beats_the_baselines_is_not_spoken_of():
    assert baselines.verdicts({"coins": row(-3.0), "MADE": row(-2.9, best_step=100)}) == []


@pytest.mark.parametrize(
    ("best_step", "advice"),
    [
        (0, "no step was better .* than the start. Try a tenth of --learning-rate"),
        (40, "best after step 40 of 100 and overfits from there. Try more --weight-decay"),
        (100, "still learning at its last step, 100. Try more --num-updates"),
    ],
)
def test_a_model_worse_than_a_baseline_is_told_with_what_to_try(best_step, advice):
    rows = {"coins": row(-3.0), "chain": row(-1.0), "MADE": row(-3.5, best_step)}
    (line,) = baselines.verdicts(rows | {"good": row(-0.9, 50)}, steps="--num-updates")
    assert re.match("MADE ends at -3.50 nats, worse than chain \\(-1.00\\): .*" + advice, line)


def test_a_model_that_never_got_better_than_its_start_is_told_without_baselines_too():
    (line,) = baselines.verdicts({"MADE": row(-3.0, best_step=0)})
    assert line.startswith("MADE: no step was better on the validation split than the start.")


def test_independent_gaussians_have_the_deviations_of_the_columns_or_what_validation_wants():
    rng = np.random.default_rng(4)
    train, valid = (rng.normal(size=(n, 2, 3)) * [1, 2, 0.0] + 5 for n in (2000, 500))
    mean, std = baselines.fit_independent(train, valid)
    np.testing.assert_allclose(mean, [5] * 6, atol=0.1)
    np.testing.assert_allclose(std[[0, 1, 3, 4]], [1, 2, 1, 2], rtol=0.05)
    assert 0 < std[2] < 0.05
    valid[:50, 0, 2] = 6  # it does vary, elsewhere
    assert baselines.fit_independent(train, valid)[1][2] > 0.15
