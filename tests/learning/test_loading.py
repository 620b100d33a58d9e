import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import combinators, distributions, flows
from dgm_jax.learning import (
    Checkpoints,
    NoUsableCheckpoint,
    TrainState,
    gradient_descent,
    load,
    train,
)
from dgm_jax.protocol import Algorithm
from tests.runs import damage

pytestmark = pytest.mark.usefixtures("small_heap")  # what is damaged is read with gc.collect()


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def run(workdir, num_steps=20, **options):
    algorithm = gradient_descent(
        lambda key: {"w": jnp.zeros(3), "fixed": {}, "list": [jnp.ones(2), (jnp.zeros(()),)]},
        lambda params, key, x: (((params["w"] - x) ** 2).mean(), {}),
        optax.adam(0.1),
        ema_decay=options.pop("ema_decay", None),
    )
    return train(
        algorithm,
        jax.random.key(0),
        lambda t: np.ones(3, np.float32),
        progress=False,
        num_steps=num_steps,
        workdir=workdir,
        **options,
    )


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_run_gives_its_best_averaged_parameters_and_its_options(tmp_path, ema_decay):
    (tmp_path / "config.json").write_text(json.dumps({"experiment": "mine", "hidden": [8]}))
    worse = itertools.chain([99], itertools.count())  # after the start, where averages are none yet
    trained = run(
        tmp_path / "maf",
        evaluate=lambda params, key: {"worse": next(worse)},
        monitor="worse",
        eval_every=5,
        ema_decay=ema_decay,
    )
    config, params, step, recipe = load(tmp_path / "maf")
    assert recipe is None
    best = trained.best.params if ema_decay is None else trained.best.ema
    assert bits(params) == bits(best) != bits(trained.state.params)
    assert step == 20 and config == {"experiment": "mine", "hidden": [8]}
    assert params["fixed"] == {} and isinstance(params["list"], list)


def test_without_a_monitor_it_is_the_last_and_without_options_there_are_none(tmp_path):
    trained = run(tmp_path)
    assert bits(load(tmp_path).params) == bits(trained.state.params)
    assert load(str(tmp_path)).config is None


def test_a_state_without_parameters_is_given_whole(tmp_path):
    algorithm = Algorithm(lambda key: jnp.zeros(2), lambda x, key, batch: (x + 1, {}))
    train(algorithm, jax.random.key(0), num_steps=7, workdir=tmp_path, progress=False)
    assert (load(tmp_path).params == 7).all()


def test_what_an_algorithm_selects_is_what_is_loaded(tmp_path):
    """Parts of parts, a whole part, nothing, and tuples, which come back as lists."""
    moments = optax.ScaleByAdamState(jnp.int32(3), {"w": jnp.ones(2)}, {"w": jnp.zeros(2)})
    start = {"a": (jnp.zeros(2), {"w/b": jnp.ones(3)}), "empty": {}, "moments": moments}

    def select(state):
        parts = (state["a"][1], state["a"][1]["w/b"])
        return {"parts": parts, "moments": state["moments"], "empty": state["empty"], "no": None}

    algorithm = Algorithm(lambda key: start, lambda state, key, batch: (state, {}), select)
    train(algorithm, jax.random.key(0), num_steps=2, workdir=tmp_path, progress=False)
    params = load(tmp_path).params
    assert params.keys() == {"parts", "moments", "empty", "no"}
    assert isinstance(params["parts"], list) and (params["parts"][0]["w/b"] == jnp.ones(3)).all()
    assert (params["parts"][1] == jnp.ones(3)).all() and params["moments"]["count"] == 3
    assert params["empty"] == {} and params["no"] is None


@pytest.mark.parametrize(("ema", "monitored"), [(None, False), (5.0, False), (5.0, True)])
def test_a_checkpoint_that_does_not_say_what_is_selected_is_known_by_its_names(
    ema, monitored, tmp_path
):
    def state(number):
        average = None if ema is None else {"w": jnp.full(2, ema + number)}
        return TrainState(jnp.int32(3), {"w": jnp.full(2, number)}, {"m": jnp.ones(2)}, average)

    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        note = {"best_value": 0.5 if monitored else None}
        checkpoints.save(3, {"state": state(1.0), "best": state(2.0)}, note=note)
    assert (load(tmp_path).params["w"] == (2 if monitored else 1) + (ema or 0)).all()


def test_a_flow_from_disk_is_the_flow(tmp_path):
    flow = combinators.compose(flows.coupling(2, hidden=(4,)))
    model = combinators.pushforward(flow, distributions.standard_normal(2))

    def loss(params, key, x):
        return -model.dist(params).log_prob(x).mean(), {}

    x = np.asarray(jax.random.normal(jax.random.key(1), (16, 2)))
    trained = train(
        gradient_descent(model.init, loss, optax.adam(0.01)),
        jax.random.key(0),
        lambda t: x,
        num_steps=3,
        workdir=tmp_path,
        progress=False,
    )
    log_prob = jax.jit(lambda params: model.dist(params).log_prob(x))
    assert bits(log_prob(load(tmp_path).params)) == bits(log_prob(trained.state.params))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's threads
def test_a_damaged_one_is_passed_over_and_left_alone(tmp_path, capfd):
    run(tmp_path, checkpoint_every=10)
    whole = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for file in (tmp_path / "checkpoints" / "20").rglob("d/*"):
        file.write_bytes(b"")
    assert load(tmp_path).step == 10
    line = capfd.readouterr().err
    assert line.count("\n") == 1 and "/20 is damaged" in line
    assert "left as it is; taking step 10" in line and whole.keys() == set(tmp_path.rglob("*"))


def test_a_leaf_that_left_the_table_of_contents_is_missed(tmp_path):
    run(tmp_path)
    contents = tmp_path / "checkpoints" / "20" / "state" / "_METADATA"
    table = json.loads(contents.read_text())
    (gone,) = (name for name in table["tree_metadata"] if "'params'" in name and "'w'" in name)
    del table["tree_metadata"][gone]
    contents.write_text(json.dumps(table))
    with pytest.raises(NoUsableCheckpoint, match="state/params/w is missing"):
        load(tmp_path)


def test_what_is_not_there_is_said_with_what_is(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no checkpoints in .*no, which does not exist; name"
    ):
        load(tmp_path / "no")
    assert not (tmp_path / "no").exists()
    for name in ("maf", "iaf"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match="several runs \\(iaf, maf\\); name one: .*/iaf"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint in .*maf/checkpoints yet"):
        load(tmp_path / "maf")


def test_the_one_run_in_a_folder_is_the_run_of_the_folder(tmp_path):
    trained = run(tmp_path / "maf")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pictures").mkdir()
    loaded = load(tmp_path)
    assert bits(loaded.params) == bits(trained.params) and loaded.config == {}


def test_a_run_without_a_recipe_says_what_to_do_for_its_model(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="does not say how its model is built. Build it as for"):
        _ = load(tmp_path).model


def test_damaged_options_are_told_and_the_parameters_are_given(tmp_path, capfd):
    run(tmp_path / "maf")
    options = tmp_path / "maf" / "config.json"
    for form, make in damage.FORMS.items():
        damage.done(options, make)
        if form == "a circle of links":  # is no file, so there is none
            continue
        config, params, _, _ = load(tmp_path / "maf")
        assert config is None and np.isfinite(params["w"]).all()
        line = capfd.readouterr().err
        assert line.count("\n") == 1 and "config.json is damaged (" in line, form
