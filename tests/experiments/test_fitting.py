"""What every fit shares: the kept step, the units of its row, conditions beside the data."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import flows
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.learning import gradient_descent
from experiments import fitting


@dataclasses.dataclass
class Config:
    workdir: Path
    seed: int = 0
    batch_size: int = 100
    num_steps: int = 60
    eval_every: int = 20
    learning_rate: float = 0.03
    weight_decay: float = 0.0
    ema_decay: float | None = None
    progress: bool = False


def test_a_gaussian_is_found_and_told_in_nats_and_bits(tmp_path):
    model = pushforward(flows.diagonal(2), standard_normal(2))
    rng = np.random.default_rng(0)
    rows = {
        s: 3 * rng.normal(size=(n, 2)).astype(np.float32)
        for s, n in (("train", 400), ("valid", 100), ("test", 3000))
    }
    config = Config(tmp_path, num_steps=300, eval_every=100)
    fitted = fitting.maximum_likelihood(config, "gaussian", model, rows)
    entropy = np.log(2 * np.pi * np.e * 9)  # of two deviations of 3
    assert fitted.row["test_nats"] == pytest.approx(-entropy, abs=0.05)
    assert fitted.row["test_bits_per_dim"] == pytest.approx(-fitted.row["test_nats"] / np.log(4))
    assert fitted.row["test_nats_stderr"] == pytest.approx(1 / np.sqrt(3000), rel=0.1)
    assert (fitted.row["num_params"], fitted.row["num_steps"]) == (2, 300)
    np.testing.assert_allclose(np.exp(fitted.params["flow"]["log_scale"]), 3, atol=0.3)
    assert (tmp_path / "gaussian" / "metrics.jsonl").is_file()


def test_the_step_that_is_best_on_the_validation_split_is_kept(tmp_path):
    """θ grows by one a step, and log p = -(θ - 40)² is best after 40 of 60."""
    algorithm = gradient_descent(
        lambda key: jnp.zeros(()), lambda params, key, x: (-params, {}), fitting.optax.sgd(1.0)
    )
    log_prob = lambda params, key, x: -((params - 40) ** 2) + 0 * x[:, 0]  # noqa: E731
    rows = {split: np.zeros((100, 1), np.float32) for split in ("train", "valid", "test")}
    fitted = fitting.fit(
        Config(tmp_path), "line", algorithm, log_prob, rows, num_steps=60, eval_every=20
    )
    assert (fitted.params, fitted.row["best_step"], fitted.row["test_nats"]) == (40, 40, 0)
    assert fitted.curve[0] == (20, 40, 60) and fitted.row["valid_nats"] == 0


@pytest.mark.parametrize("name", ["num_steps", "learning_rate"])
def test_no_steps_and_no_rate_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name} must be .*; got 0"):
        fitting.adamw(**{"num_steps": 10, "learning_rate": 0.1} | {name: 0})


def test_noise_is_the_same_at_every_score_and_conditions_keep_their_rows():
    def log_prob(params, key, batch):
        return batch[1] + jax.random.normal(key, batch[1].shape)

    scores, key = fitting.scorer(log_prob, eval_batch=3), jax.random.key(0)
    rows = np.zeros((7, 2)), np.arange(7.0)
    np.testing.assert_array_equal(scores({}, key, rows), scores({}, key, rows))
    assert np.abs(scores({}, key, rows, 400) - rows[1]).max() < 0.3
