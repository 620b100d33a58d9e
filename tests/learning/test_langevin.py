import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.learning import fit
from dgm_jax.learning.langevin import langevin

MEAN, SCALE, NUM = 2.0, 0.7, 40_000


def score(x):
    """That of N(MEAN, SCALE²)."""
    return (MEAN - x) / SCALE**2


def start(key):
    return jnp.full(NUM, -1.0)


def samples(algorithm, num_steps, **options):
    run = jax.jit(lambda key: fit(algorithm, key, num_steps=num_steps, **options))
    state, metrics = run(jax.random.key(0))
    return algorithm.params(state), metrics


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_the_chain_has_the_variance_of_its_discretisation(temperature):
    """T s² / (1 - η / 2s²), here 1.4 times that of the density it samples."""
    eta = 0.6 * SCALE**2
    x, _ = samples(langevin(start, score, eta, temperature=temperature), 60)
    variance = temperature * SCALE**2 / (1 - eta / (2 * SCALE**2))
    assert x.var() == pytest.approx(variance, rel=6 * np.sqrt(2 / NUM))
    assert x.mean() == pytest.approx(MEAN, abs=6 * np.sqrt(variance / NUM))


def test_mean_and_variance_move_as_the_schedule_predicts():
    schedule = optax.linear_schedule(0.3, 0.02, 8)
    x, metrics = samples(langevin(start, score, schedule), 8)
    mean, variance = -1.0, 0.0
    for t in range(8):
        eta = float(schedule(t))
        assert metrics["step_size"][t] == pytest.approx(eta)
        mean += eta * (MEAN - mean) / SCALE**2
        variance = (1 - eta / SCALE**2) ** 2 * variance + 2 * eta
    assert x.mean() == pytest.approx(mean, abs=6 * np.sqrt(variance / NUM))
    assert x.var() == pytest.approx(variance, rel=6 * np.sqrt(2 / NUM))
    assert metrics["score_norm"][0] == pytest.approx(np.sqrt(NUM) * 3 / SCALE**2, rel=1e-4)


def test_without_temperature_it_is_gradient_ascent_of_what_the_score_is_given():
    """Noise levels by `weights`, a learned score by `fixed`, data by the batch."""

    def score(x, batch, weights, fixed):
        given = weights["sigma"] * fixed["theta"] + batch.sum()
        return {"a": given - x["a"], "b": given - x["b"]}

    algorithm = langevin(
        lambda key: {"a": jnp.zeros(2), "b": jnp.zeros(())},
        score,
        0.5,
        temperature=0.0,
        weights={"sigma": lambda step: 1.0 - step},
    )
    draw = lambda key, t: jnp.ones(3) * t
    x, _ = samples(algorithm, 2, draw=draw, fixed={"theta": jnp.float32(5)})
    np.testing.assert_allclose(x["a"], 0.5 * (0.5 * 5) + 0.5 * 3)
    np.testing.assert_allclose(x["b"], x["a"][0])


def test_every_number_gets_noise_of_its_own():
    algorithm = langevin(lambda key: {"a": jnp.zeros(4), "b": jnp.zeros(4)}, lambda x: x, 0.1)
    x, _ = samples(algorithm, 1)
    assert len(np.unique(np.concatenate([x["a"], x["b"]]))) == 8


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("step_size must be", {"step_size": 0.0}),
        ("temperature must be", {"temperature": -1.0}),
        ("score must be a function", {"score": 1.0}),
        ("init must be a function", {"init": jnp.zeros(3)}),
    ],
)
def test_a_wrong_argument_is_named(said, options):
    given = {"init": start, "score": score, "step_size": 0.1} | options
    with pytest.raises(ValueError, match=said):
        langevin(given.pop("init"), given.pop("score"), given.pop("step_size"), **given)


@pytest.mark.parametrize(
    ("said", "x", "score"),
    [
        (r"score must have the shapes of x, \(3,\); got \(\)", jnp.zeros(3), lambda x: -x.sum()),
        ("init must give floating samples", jnp.zeros(3, int), lambda x: -x),
    ],
)
def test_a_score_that_does_not_fit_its_samples_is_refused(said, x, score):
    algorithm = langevin(lambda key: x, score, 0.1)
    with pytest.raises(ValueError, match=said):
        jax.eval_shape(
            lambda key: algorithm.step(algorithm.init(key), key, None), jax.random.key(0)
        )
