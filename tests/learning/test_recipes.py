import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import bijectors, combinators, distributions, flows, learning, runs
from dgm_jax.learning.recipes import rebuilt
from dgm_jax.protocol import Density
from tests.helpers import drawn


@dataclasses.dataclass(frozen=True)
class Config:
    workdir: Path | None = None
    hidden: tuple[int, ...] = (8,)
    scale: float = 1.0


@runs.builder
def build(config: Config, mean, dim=2, names=None) -> Density:
    """A scaled Gaussian, with a weight that has the width of the config."""
    flow = flows.coupling(dim, hidden=config.hidden, law=bijectors.affine(bound=config.scale))
    model = combinators.pushforward(flow, distributions.standard_normal(dim))
    build.seen = {"config": config, "mean": mean, "names": names}
    return model


def not_marked(dim):
    return build(Config(), None, dim)


ARGUMENTS = {
    "config": Config(Path("/somewhere"), (4, 3), 0.1),
    "mean": np.array([0.1, 1 / 3], np.float32),
    "names": {"a": [1, (2, "b")], "none": None},
}


def test_a_model_is_built_from_json_as_it_was_built():
    record = json.loads(json.dumps(learning.Recipe(build, ARGUMENTS).record()))
    model = rebuilt(record)
    made = build.seen
    assert made["config"] == Config(None, (4, 3), 0.1)  # what no model is made of is left out
    assert made["mean"].dtype == np.float32 and (made["mean"] == ARGUMENTS["mean"]).all()
    assert made["names"] == {"a": (1, (2, "b")), "none": None}
    expected = jax.eval_shape(build(**ARGUMENTS).init, jax.random.key(0))
    assert jax.eval_shape(model.init, jax.random.key(0)) == expected


def train(workdir, recipe, model=None):
    model = recipe.model() if model is None else model

    def loss(params, key, x):
        return -model.dist(params).log_prob(x).mean(), {}

    return learning.train(
        learning.gradient_descent(model.init, loss, optax.adam(0.01)),
        jax.random.key(0),
        lambda t: np.ones((4, 2), np.float32),
        num_steps=2,
        workdir=workdir,
        recipe=recipe,
        progress=False,
    )


def test_a_run_that_is_loaded_scores_in_one_line(tmp_path):
    recipe = learning.Recipe(build, ARGUMENTS)
    trained = train(tmp_path, recipe)
    loaded = learning.load(tmp_path)
    x = jnp.array([[0.3, -0.7]])
    score = jax.jit(lambda params: loaded.model.dist(params).log_prob(x))
    expected = jax.jit(lambda params: recipe.model().dist(params).log_prob(x))
    assert (score(loaded.params) == expected(trained.params)).all()


def test_parameters_that_fit_has_learned_are_saved_and_loaded_with_their_model(tmp_path):
    recipe = learning.Recipe(build, ARGUMENTS)
    model = recipe.model()
    first, second = (drawn(model, seed=seed) for seed in (0, 1))
    for params in (first, second):
        learning.save(tmp_path / "moons", params, recipe=recipe)
    loaded = learning.load(tmp_path)
    assert jax.tree.leaves(loaded.params)[0].tolist() == jax.tree.leaves(second)[0].tolist()
    x = jnp.array([[0.3, -0.7]])
    score = jax.jit(lambda params: loaded.model.dist(params).log_prob(x))
    assert (score(loaded.params) == score(second)).all()
    with pytest.raises(ValueError, match="recipe builds another model"):
        learning.save(tmp_path / "other", {"w": jnp.ones(3)}, recipe=recipe)
    with pytest.raises(ValueError, match="params cannot be kept: .* is not finite"):
        learning.save(tmp_path / "other", {"w": jnp.full(3, jnp.nan)})


def test_a_recipe_of_another_model_is_refused_before_anything_is_trained(tmp_path):
    wider = build(Config(hidden=(5, 3)), None)
    with pytest.raises(ValueError, match=r"recipe builds another .* shape \(.*4.*\); got \(.*5.*"):
        train(tmp_path / "run", learning.Recipe(build, ARGUMENTS), wider)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        (not_marked, {"dim": 2}, "not_marked of .*test_recipes is not, marked with"),
        (runs.builder(lambda dim: None), {}, "must be a function of a module"),
        (3, {}, "builder of the recipe must be a function"),
        (build, {"config": Config(scale=float("nan"))}, "recipe/config/scale is nan"),
        (build, {"mean": {1, 2}}, "recipe/mean is a set, which JSON cannot hold"),
        (build, {"mean": Config()}, "recipe/mean is a Config: the builder must annotate"),
        (build, ARGUMENTS | {"wide": 3}, "does not take the arguments of the recipe .*'wide'"),
        (build, {"mean": 0}, "missing a required argument: 'config'"),
    ],
)
def test_a_recipe_refuses(builder, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        learning.Recipe(builder, arguments).model()


def test_a_recipe_that_cannot_be_kept_and_one_that_is_none_are_refused():
    with pytest.raises(ValueError, match="recipe needs workdir"):
        train(None, learning.Recipe(build, ARGUMENTS))
    with pytest.raises(ValueError, match="recipe must be a Recipe; got function"):
        train(None, build, build(Config(), None))


def test_a_builder_that_is_not_here_or_not_marked_is_not_called():
    record = learning.Recipe(build, ARGUMENTS).record()
    module = record["builder"].partition(":")[0]
    with pytest.raises(ValueError, match="nowhere:build, which cannot be imported here .*nowhere"):
        rebuilt(record | {"builder": "nowhere:build"})
    for other in ("os:system", f"{module}:not_marked", f"{module}:Config", f"{module}:gone"):
        with pytest.raises(ValueError, match=f"built by {other}, which is no function marked"):
            rebuilt(record | {"builder": other})
    fields = record["arguments"]["config"]["fields"] | {"gone": 3}
    changed = record["arguments"] | {"config": {"fields": fields}}
    with pytest.raises(ValueError, match="'gone'.*Another version of the code"):
        rebuilt(record | {"arguments": changed})
