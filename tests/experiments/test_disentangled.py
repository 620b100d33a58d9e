"""Disentanglement on the shapes: runs of strengths by seeds, what is told of them, and beside."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import data, learning, runs
from experiments.disentangled import compare, dsprites, judge, methods

EVERY = (*methods.DEFAULT, "dip-vae-i")
TINY = {"hidden": (3,), "num_latents": 2, "batch_size": 4, "critic_hidden": (3,), "num_seeds": 2}
TINY |= {"capacities": (1.0, 2.0), "betas": (2.0,), "gammas": (1.0, 3.0)}
IMAGES = {"channels": (2, 2), "width": 3, "num_latents": 2, "batch_size": 4, "critic_hidden": (3,)}
ROWS = np.random.default_rng(0).integers(0, 2, (12, 6))


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def made(module):
    """A config, its model, and the shape of a row."""
    if module is compare:
        config = compare.Config(**TINY)
        return config, compare.build(config, 6), (6,)
    config = dsprites.Config(**IMAGES)
    return config, dsprites.build(config, (8, 8, 1)), (8, 8, 1)


@pytest.mark.parametrize(
    ("module", "name"),
    [*((compare, name) for name in EVERY), *((dsprites, name) for name in ("vae", "factor-vae"))],
    ids=lambda value: getattr(value, "__name__", value).rpartition(".")[-1],
)
def test_each_method_takes_a_step_of_its_strength(module, name):
    """Traced only: shapes of a state are those after a step, and metrics are numbers."""
    config, model, shape = made(module)
    one = methods.learner(config, name, model, 12, 10)
    state = jax.eval_shape(one.init, jax.random.key(0))
    assert shapes(one.params(state)) == shapes(jax.eval_shape(model.init, jax.random.key(0)))
    x = jnp.zeros((methods.num_rows(config, name), *shape), jnp.uint8)
    given = {"fixed": {"strength": jnp.float32(2)}}
    after, told = jax.eval_shape(lambda s: one.step(s, jax.random.key(1), x, **given), state)
    assert shapes(after) == shapes(state)
    assert all(metric.shape == () for metric in told.values())


def run_of(config, name):
    """train(num_steps, folder): all seeds of all strengths of a method at once."""
    one = methods.learner(config, name, compare.build(config, 6), len(ROWS), 4)
    strength = np.repeat(np.float32(methods.strengths(config, name)), config.num_seeds)
    options = {"num_seeds": config.num_seeds, "num_rows": methods.num_rows(config, name)}
    algorithm = compare.stacked(one, num_runs=len(strength), chunk=2, **options)
    return lambda num_steps, folder: learning.train(
        algorithm,
        jax.random.key(0),
        num_steps=num_steps,
        fixed={"strength": strength, "rows": ROWS},
        workdir=folder,
        progress=False,
    )


@pytest.mark.parametrize(
    "name", ["annealed-vae", pytest.param("factor-vae", marks=pytest.mark.slow)]
)
def test_runs_differ_by_seed_and_by_strength_and_a_resumed_run_is_the_run(
    name, tmp_path, compiled_once
):
    train = run_of(compare.Config(**TINY), name)
    with jax.debug_key_reuse(False):  # within a map it takes parts of one split for the whole
        whole = train(3, tmp_path / "whole")
        train(1, tmp_path / "parts")
        resumed = train(3, tmp_path / "parts")
    jax.tree.map(np.testing.assert_array_equal, whole.params, resumed.params)
    for leaf in jax.tree.leaves(whole.params):  # [strengths × seeds]
        assert leaf.shape[0] == 4
        assert not np.array_equal(leaf[0], leaf[1]) and not np.array_equal(leaf[2], leaf[3])
    assert any(not np.array_equal(leaf[0], leaf[2]) for leaf in jax.tree.leaves(whole.params))


def test_one_seed_starts_at_the_same_parameters_at_each_strength():
    config = compare.Config(**TINY)
    one = methods.learner(config, "annealed-vae", compare.build(config, 6), 12, 4)
    with jax.debug_key_reuse(False):
        state = compare.stacked(one, num_seeds=2, num_runs=4, num_rows=4, chunk=1).init(
            jax.random.key(0)
        )
    for leaf in jax.tree.leaves(one.params(state)):
        np.testing.assert_array_equal(leaf[:2], leaf[2:])


def test_factors_and_noise_stand_beside_the_scores(monkeypatch):
    monkeypatch.setattr(judge, "DRAWS", 2)
    grid = data.load_factored("shapes").factors
    found = judge.references(jax.random.key(0), grid, 6)
    for score in ("betavae_score", "factorvae_score", "mig", "dci", "modularity"):
        assert found["factors"][score] == pytest.approx([1], abs=1e-6)
        assert len(found["noise"][score]) == judge.DRAWS
    assert np.mean(found["noise"]["betavae_score"]) == pytest.approx(0.25, abs=0.04)
    assert np.mean(found["noise"]["modularity"]) > 0.4
    assert np.mean(found["noise"]["modularity_adjusted"]) < 0.1


@pytest.mark.parametrize(("apart", "coarse"), [(1.0, np.log(2)), (0.005, 0.0)])
def test_detail_is_no_coarse_total_correlation(apart, coarse):
    """Two places where both entries agree have log 2, but seen through noise only if far apart."""
    sign = np.repeat([-1.0, 1.0], 200)[:, None]
    mean, scale = (np.float32(a) for a in (apart * sign * np.ones(2), np.full((400, 2), apart / 9)))
    key = jax.random.key(0)
    whole = float(judge._terms(key, mean, scale).total_correlation)
    assert whole == pytest.approx(np.log(2), abs=1e-3)
    found = judge.coarse_total_correlation(jax.random.clone(key), mean, scale)
    assert found == pytest.approx(coarse, abs=2e-3)


def test_metrics_that_order_models_alike_have_rank_correlation_one():
    rng = np.random.default_rng(0)
    models = {}
    for i in range(3):
        up = rng.normal(size=4)
        rows = [np.exp(up), up, up**3, -up, up * 0 + 1, rng.normal(size=4)]
        models[f"model {i}"] = {s: row.tolist() for s, row in zip(judge.SCORES, rows)}
    found = np.array(judge.correlations(models))
    np.testing.assert_allclose(found[:3, :3], 1)
    np.testing.assert_allclose(found[3, :4], [-1, -1, -1, 1])
    np.testing.assert_allclose(found[4], 0)  # one that is the same for all
    assert abs(found[5, 0]) < 0.8


@pytest.mark.parametrize("strengths", [(), (2.0, 2.0)])
def test_strengths_that_are_none_or_twice_the_same_are_refused(strengths):
    config = dataclasses.replace(compare.Config(), betas=strengths)
    with pytest.raises(ValueError, match="strengths of beta-vae must be different numbers"):
        compare.main(config)


def check(found, names, seeds):
    assert tuple(found["models"]) == names and np.shape(found["rank_correlation"]) == (6, 6)
    for row in found["models"].values():
        numbers = ("total_correlation", "coarse_total_correlation", "reconstruction", "kl", "udr")
        for what in (*judge.SCORES, *numbers):
            assert len(row.get(what, [])) == (seeds if what != "udr" or seeds > 1 else 0)


def test_a_run_tells_each_strength_by_seed_and_draws_its_pictures(tmp_path, capsys):
    options = TINY | {"models": ("vae", "annealed-vae"), "num_steps": 50}
    config = compare.Config(workdir=tmp_path, progress=False, **options)
    with jax.debug_key_reuse(False):
        found = runs.keep(config, compare.main, show=judge.show)
    check(found, ("vae", "annealed-vae, 1", "annealed-vae, 2"), 2)
    assert "Rank correlation over all models" in capsys.readouterr().out
    for picture in ("scores", "ranks", "traversals", "capacity"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 5000


@pytest.mark.slow
def test_a_run_of_convolutions_tells_the_same_and_says_how_its_models_are_built(tmp_path, capsys):
    options = IMAGES | {"data": "shapes", "num_steps": 4, "eval_every": 2}
    options |= {"models": ("vae", "factor-vae", "annealed-vae")}
    config = dsprites.Config(workdir=tmp_path, progress=False, **options)
    found = runs.keep(config, dsprites.main, show=judge.show)
    check(found, ("vae", "factor-vae, 20", "annealed-vae, 15"), 1)
    loaded = learning.load(tmp_path / "factor-vae-20-seed-0")
    x = np.zeros((3, 16, 16, 1), np.uint8)
    assert loaded.model.posterior(loaded.params, x).mean().shape == (3, 2)
    for picture in ("scores", "ranks", "traversals", "capacity"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 5000
