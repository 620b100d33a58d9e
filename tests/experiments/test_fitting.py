"""What every fit shares: the kept step, the units of its row, conditions beside the data."""

import dataclasses
from pathlib import Path

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import flows
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.learning import gradient_descent
from dgm_jax.objectives import log_weights
from dgm_jax.protocol import LatentVariable
from experiments import fitting


@dataclasses.dataclass
class Config:
    workdir: Path
    seed: int = 0
    batch_size: int = 100
    num_steps: int = 60
    eval_every: int = 20
    patience: int | None = None
    learning_rate: float = 0.03
    weight_decay: float = 0.0
    ema_decay: float | None = None
    progress: bool = False
    devices: int | None = None
    max_params: int = 1000


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


def test_a_directory_belongs_to_its_options_and_to_all_rows(tmp_path):
    model = pushforward(flows.diagonal(2), standard_normal(2))
    x = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    rows, config = {"train": x, "valid": x, "test": x}, Config(tmp_path, num_steps=20)
    first = fitting.maximum_likelihood(config, "gaussian", model, rows)
    again = fitting.maximum_likelihood(config, "gaussian", model, rows)
    assert again.row == first.row and again.history == first.history
    for split, said in (("train", "data/train is"), ("test", "data/held out is")):
        last = x.copy()
        last[-1] += 1  # the first batch may be the same
        with pytest.raises(ValueError, match=said):
            fitting.maximum_likelihood(config, "gaussian", model, rows | {split: last})
    other = dataclasses.replace(config, batch_size=50)
    with pytest.raises(ValueError, match="options/batch_size is 100 there and 50 here"):
        fitting.maximum_likelihood(other, "gaussian", model, rows)


def test_the_step_that_is_best_on_the_validation_split_is_kept(tmp_path):
    """θ grows by one a step, and log p = -(θ - 40)² is best after 40 of 60."""
    algorithm = gradient_descent(
        lambda key: jnp.zeros(()), lambda params, key, x: (-params, {}), fitting.optax.sgd(1.0)
    )
    log_prob = lambda params, key, x: -((params - 40) ** 2) + 0 * x[:, 0]
    rows = {split: np.zeros((100, 1), np.float32) for split in ("train", "valid", "test")}
    task = fitting.likelihood_task(log_prob, rows)
    fitted = fitting.fit(
        Config(tmp_path), "line", algorithm, task, rows["train"], num_steps=60, eval_every=20
    )
    assert (fitted.params, fitted.row["best_step"], fitted.row["test_nats"]) == (40, 40, 0)
    assert fitted.curves["valid_nats"] == ((20, 40, 60), (-400, 0, -400))
    assert fitted.row["valid_nats"] == 0


def test_a_report_that_is_infinite_is_told_at_once(tmp_path, capsys):
    algorithm = gradient_descent(
        lambda key: jnp.zeros(()), lambda params, key, x: (-params, {}), fitting.optax.sgd(1.0)
    )
    task = fitting.Task(lambda *_: {"nll": 0.0}, lambda *_: {"test_nats": -np.inf}, monitor="nll")
    fitting.fit(
        Config(tmp_path), "line", algorithm, task, lambda t: np.ones(1), num_steps=2, eval_every=1
    )
    said = "line: test_nats is -inf, which results.json cannot hold\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("minimise", "best"), [(True, 40), (False, 60)])
def test_samples_are_judged_in_their_own_direction(tmp_path, minimise, best):
    """θ grows by one a step; samples are θ, judged by their distance from 38, NaN before 30."""
    algorithm = gradient_descent(
        lambda key: jnp.zeros(()), lambda params, key, x: (-params, {}), fitting.optax.sgd(1.0)
    )
    task = fitting.samples_task(
        lambda params, key: params + 0 * jax.random.normal(key, (5,)),
        lambda samples, held_out: {
            "distance": abs(np.where(samples > 30, samples, np.nan) - held_out).mean()
        },
        {"valid": np.float32(38), "test": np.float32(41)},
        monitor="distance",
        minimise=minimise,
    )
    fitted = fitting.fit(
        Config(tmp_path), "line", algorithm, task, lambda t: np.ones(1), num_steps=60, eval_every=20
    )
    assert (fitted.params, fitted.row["best_step"]) == (best, best)
    assert fitted.row["test_distance"] == abs(best - 41)
    np.testing.assert_equal(fitted.curves, {"valid_distance": ((20, 40, 60), (np.nan, 2, 22))})
    assert not {"test_nats", "valid_nats"} & fitted.row.keys()


def linear_gaussian():
    """x ∈ R³ of two units z, with a posterior that is learned: N(A x, diag s²).

    The first unit starts with more to say: of rotations of z a diagonal posterior favours few.
    """
    size = jnp.array([0.5, 0.01])

    def init(key):
        w_key, a_key = jax.random.split(key)
        return {
            "w": size[:, None] * jax.random.normal(w_key, (2, 3)),
            "a": size * jax.random.normal(a_key, (3, 2)),
            "log_s": jnp.zeros(2),
            "log_noise": jnp.zeros(()),
        }

    def normal(mean, log_scale):
        scale = jnp.broadcast_to(jnp.exp(log_scale), mean.shape)
        return distrax.MultivariateNormalDiag(mean, scale)

    return LatentVariable(
        init,
        prior=lambda params, cond=None, *, key=None: normal(jnp.zeros(2), 0.0),
        likelihood=lambda p, z, cond=None, *, key=None: normal(z @ p["w"], p["log_noise"]),
        posterior=lambda p, x, cond=None, *, key=None: normal(x @ p["a"], p["log_s"]),
    )


def test_a_latent_variable_model_is_told_by_its_bound_and_the_units_that_it_uses(tmp_path):
    """Data with one direction of variance: of two units one stays at its prior."""
    rng, direction = np.random.default_rng(0), np.array([[2.0, -1.0, 0.5]])
    rows = {
        split: (rng.normal(size=(n, 1)) @ direction + 0.5 * rng.normal(size=(n, 3))).astype("f4")
        for split, n in (("train", 2000), ("valid", 500), ("test", 500))
    }
    model, config = linear_gaussian(), Config(tmp_path, batch_size=200)

    def loss(params, key, x):
        return -log_weights(model, params, key, x).mean(), {}

    fitted = fitting.fit(
        config,
        "linear",
        gradient_descent(model.init, loss, fitting.AdamW(0.05, 600).optimizer()),
        fitting.bound_task(model, rows, test_samples=20, eval_batch=300),
        rows["train"],
        num_steps=600,
        eval_every=200,
    )
    assert (fitted.row["active_units"], fitted.row["num_units"]) == (1, 2)
    covariance = direction.T @ direction + 0.25 * np.eye(3)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    assert fitted.row["test_nats"] == pytest.approx(-entropy, abs=0.2)
    assert fitted.row["valid_nats"] <= fitted.row["test_nats"] + 0.2  # a bound of more samples
    assert set(fitted.curves) == {"valid_nats", "valid_bits_per_dim"}


def test_a_bound_of_many_samples_is_tighter_than_that_of_one():
    """Away from the true posterior; log p itself, N(0, WᵀW + I), is still above."""
    x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    rows, model = {"valid": x, "test": x}, linear_gaussian()
    params = model.init(jax.random.key(0)) | {"w": jnp.array([[1.5, 0, 0], [0, 1.5, 0]])}
    task = fitting.bound_task(model, rows, test_samples=100)
    one = -task.evaluate(params, jax.random.key(1))["valid_nll"]
    many = task.report(params, jax.random.key(2))["test_nats"]
    valid = fitting.bound_task(model, rows, num_samples=100).evaluate(params, jax.random.key(1))
    assert -valid["valid_nll"] == pytest.approx(many, abs=0.1)  # the same rows
    covariance = np.asarray(params["w"]).T @ params["w"] + np.eye(3)
    squares = (x @ np.linalg.inv(covariance) * x).sum(1)
    exact = -0.5 * (squares.mean() + np.linalg.slogdet(2 * np.pi * covariance)[1])
    assert one + 0.5 < many < exact + 0.05


def off_the_posterior():
    """300 rows, each of 150 twice, a model, and parameters whose posterior is not the true one."""
    x = np.tile(np.random.default_rng(0).normal(size=(150, 3)).astype(np.float32), (2, 1))
    model = linear_gaussian()
    params = model.init(jax.random.key(0)) | {"w": jnp.array([[1.5, 0, 0], [0, 1.5, 0]])}
    return {"valid": x, "test": x}, model, params


def test_the_bound_of_many_samples_on_some_rows_corrects_that_of_few_on_all():
    rows, model, params = off_the_posterior()

    def report(**options):
        return fitting.bound_task(model, rows, **options).report(params, jax.random.key(1))

    every, few = report(test_samples=2000), report(test_samples=20)
    some = report(test_samples=2000, test_rows=150)
    assert every["test_nats"] > few["test_nats"] + 0.15
    assert some["test_nats"] == pytest.approx(every["test_nats"], abs=0.15)
    assert some["test_nats_stderr"] > every["test_nats_stderr"]  # it knows of the rows left out
    assert (some["num_samples"], some["test_rows"]) == (2000, 150) and "test_rows" not in every
    exact = every["reconstruction_nats"] - every["kl_z"]
    assert every["elbo_nats"] == pytest.approx(exact) and every["elbo_nats"] < few["test_nats"]


def test_units_are_told_active_without_a_closed_form_of_the_mean():
    """By draws, whose noise alone, Var ≫ 0.01, makes no unit active."""
    rows, model, params = off_the_posterior()
    params = params | {"a": jnp.array([[0.5, 0.0], [0.5, 0.0], [0.0, 0.0]])}

    class Drawn(distrax.MultivariateNormalDiag):
        def mean(self):
            raise NotImplementedError

    def posterior(params, x, cond=None, *, key=None):
        of = model.posterior(params, x)
        return Drawn(of.mean(), 2 * jnp.ones_like(of.mean()))

    flow = model._replace(posterior=posterior)
    found = fitting.bound_task(flow, rows).report(params, jax.random.key(1))
    assert (found["active_units"], found["num_units"]) == (1, 2)


def test_evaluations_tell_the_parts_of_the_kl_where_they_are_asked_for():
    rows, model, params = off_the_posterior()
    task = fitting.bound_task(model, rows, surgery=True)
    found = task.evaluate(params, jax.random.key(1))
    assert 0 <= found["valid_information"] <= np.log(300)
    parts = task.report(params, jax.random.key(2))
    kl = found["valid_information"] + found["valid_marginal_kl"]
    assert kl == pytest.approx(parts["kl_z"], abs=0.3)
    assert {"valid_nats", "valid_information"} <= task.units(found).keys()
    assert fitting.bound_task(model, rows).evaluate(params, jax.random.key(1)).keys() == {
        "valid_nll"
    }


def test_a_bound_is_maximised_from_given_parameters_with_a_weight_that_rises(tmp_path):
    """The weight is that of the step: 0 at the first, where the KL has no gradient."""
    rows, model, params = off_the_posterior()
    rows, seen = rows | {"train": rows["valid"]}, []

    def loss(model, params, key, x, *, parts_key, beta):
        seen.append(beta)
        return jnp.square(params["w"]).sum() * beta, {"beta": beta}

    fitted = fitting.maximum_bound(
        Config(tmp_path, num_steps=4, eval_every=2, batch_size=10),
        "started",
        model,
        rows,
        fitting.bound_task(model, rows),
        loss=loss,
        start=params,
        beta_steps=4,
    )
    assert seen and fitted.history[-1]["beta"] == pytest.approx((0.5 + 0.75) / 2)
    assert np.abs(np.asarray(fitted.params["w"]) - params["w"]).max() < 0.1  # it began there


def test_a_number_that_nobody_gives_cannot_be_monitored():
    task = fitting.samples_task(
        lambda params, key: params,
        lambda x, y: {"fid": 1},
        {"valid": 0},
        monitor="f",
        minimise=True,
    )
    with pytest.raises(ValueError, match="monitor must be one of fid.*got 'f'"):
        task.evaluate(jnp.zeros(1), jax.random.key(0))


@pytest.mark.parametrize("name", ["num_steps", "learning_rate"])
def test_no_steps_and_no_rate_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name} must be .*; got 0"):
        fitting.AdamW(**{"num_steps": 10, "learning_rate": 0.1} | {name: 0}).optimizer()


@pytest.mark.parametrize("warm_up", [0, 2])
def test_the_rate_rises_then_falls_as_a_cosine_and_long_gradients_are_clipped(warm_up):
    """Adam moves by the rate where all gradients are the same, as these are once clipped to 5."""
    gradients = jnp.outer(jnp.array([10.0, 1, 3, 100, 1, 2]), jnp.array([3.0, 4]))

    @jax.jit
    def updates(start):
        optimizer = fitting.AdamW(0.1, 6, warm_up=warm_up).optimizer()

        def step(state, gradient):
            update, state = optimizer.update(gradient, state, start)
            return state, update

        return jax.lax.scan(step, optimizer.init(start), gradients)[1]

    t = np.arange(6)
    falling = 0.05 * (1 + np.cos(np.pi * (t - warm_up) / (6 - warm_up)))
    rate = np.where(t < warm_up, 0.1 * t / max(warm_up, 1), falling)
    np.testing.assert_allclose(updates(jnp.zeros(2)), -np.stack([rate] * 2, 1), rtol=1e-4)


def test_options_of_adamw_are_those_of_a_config_with_changes(tmp_path):
    config = dataclasses.replace(
        Config(tmp_path), learning_rate=0.3, num_steps=60, weight_decay=0.2
    )
    assert fitting.adamw_of(config) == fitting.AdamW(0.3, 60, 0.2)
    warmed = fitting.adamw_of(config, warmed=True, clip=1.0)
    assert warmed == fitting.AdamW(0.3, 60, 0.2, clip=1.0, warm_up=3)


@pytest.mark.parametrize("slope", [100.0, 1.0])
def test_it_is_told_where_gradients_are_clipped_in_most_steps(slope, tmp_path, capsys):
    task = fitting.Task(lambda params, _: {"valid": float(params)}, lambda *_: {}, monitor="valid")
    fitting.fit_by_adamw(
        Config(tmp_path),
        "line",
        lambda key: jnp.zeros(()),
        lambda params, key, x: (slope * params, {}),
        task,
        np.zeros((100, 1), np.float32),
        fitting.AdamW(0.1, 4),
        ema_decay=0.9,
        eval_every=2,
    )
    said = "line: the gradient was clipped to a norm of 5 in most steps: its norm was 100 (median)"
    assert (said in capsys.readouterr().out) == (slope > fitting.CLIP)


def test_noise_is_the_same_at_every_score_and_conditions_keep_their_rows():
    def log_prob(params, key, batch):
        return batch[1] + jax.random.normal(key, batch[1].shape)

    scores, key = fitting.scorer(log_prob, eval_batch=3), jax.random.key(0)
    rows = np.zeros((7, 2)), np.arange(7.0)
    np.testing.assert_array_equal(scores({}, key, rows), scores({}, key, rows))
    assert np.abs(scores({}, key, rows, 400) - rows[1]).max() < 0.3


def test_fewer_rows_than_a_batch_are_all_of_each_batch(tmp_path, capsys):
    model = pushforward(flows.diagonal(2), standard_normal(2))
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    config = Config(tmp_path, num_steps=2, eval_every=1)
    fitted = fitting.maximum_likelihood(
        config, "few", model, {s: x for s in ("train", "valid", "test")}
    )
    assert fitted.row["num_steps"] == 2 and "each batch is all 30 rows" in capsys.readouterr().out


def test_a_model_beyond_the_limit_is_refused_before_memory_is_taken(tmp_path):
    """10^15 numbers, which no memory holds."""
    model = pushforward(flows.diagonal(2), standard_normal(2))
    huge = model._replace(init=lambda key: {"weights": jnp.zeros((10**9, 10**6))})
    x = np.zeros((100, 2), np.float32)
    rows = {"train": x, "valid": x, "test": x}
    with pytest.raises(ValueError, match=r"made has 1,000,000,000,000,000 param.*--max-params 10"):
        fitting.maximum_likelihood(Config(tmp_path), "made", huge, rows)
    assert not (tmp_path / "made").exists()


def test_a_table_beyond_the_limit_is_left_out_and_told(tmp_path, capsys):
    tables = {"coins": {"window": 0}, "pairs": {"window": 1, "shared": True}}
    assert list(fitting.affordable(Config(tmp_path), tables, 3, 100)) == ["coins"]
    assert "pairs: left out, it has 9,999 parameters" in capsys.readouterr().out
