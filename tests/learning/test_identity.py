"""A directory belongs to one run: whatever makes another one of it is refused, and named."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import nets
from dgm_jax.learning import identity, run
from dgm_jax.learning.checkpoints import Checkpoints
from dgm_jax.learning.devices import data_mesh
from dgm_jax.learning.gradient import gradient_descent
from dgm_jax.learning.loop import train
from tests.learning import algorithms


def learner(rate=0.1, scale=1.0):
    def loss(params, key, x, fixed):
        return ((params - x.mean() - fixed.sum()) ** 2).sum(), {}

    return gradient_descent(lambda key: jnp.full(3, scale), loss, optax.adam(rate))


def distance(params, key):
    return {"distance": params.sum(), "other": -params.sum()}


def data(step, seed=0):
    return np.random.default_rng([seed, step]).normal(size=(8, 2)).astype(np.float32)


def call(workdir=None, *, rate=0.1, scale=1.0, seed=0, batch=data, params=None, **changed):
    options = {"num_steps": 12, "evaluate": distance, "monitor": "distance", "eval_every": 4}
    options |= {"fixed": np.ones(2, np.float32), "identity": {"options": {"width": 3}}}
    options |= {"log_every": 3, "workdir": workdir, "progress": False}
    algorithm = learner(rate, scale)
    algorithm = algorithm if params is None else algorithm._replace(params=params)
    return train(algorithm, jax.random.key(seed), batch, **options | changed)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, call(workdir)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 1}, r"key is \"key<fry> \[0, 0\]\" there and \"key<fry> \[0, 1\]\" here"),
        ({"num_steps": 8}, "num_steps is 12 there and 8 here"),
        ({"eval_every": 6}, "eval_every is 4 there and 6 here"),
        ({"monitor": "other"}, 'monitor is "distance" there and "other" here'),
        ({"monitor": None}, 'monitor is "distance" there and null here'),
        ({"minimise": False}, "minimise is true there and false here"),
        ({"patience": 3}, "patience is null there and 3 here"),
        ({"rate": 0.2}, r"the step computes something else \(the model, the loss, a rate\)"),
        ({"scale": 2.0}, "init makes another state"),
        ({"params": lambda state: state.opt_state[0].mu}, "algorithm.params selects other parts"),
        ({"batch": lambda t: data(t, 1)}, "the first batch has other numbers"),
        ({"fixed": np.full(2, 2, np.float32)}, "what is fixed has other numbers"),
        ({"identity": {"options": {"width": 4}}}, "options/width is 3 there and 4 here"),
        ({"identity": None}, "options/width is 3 there and absent here"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_directory_of_another_run_is_refused_with_what_differs(changed, said, finished):
    workdir, _ = finished
    before = (workdir / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match=f"/checkpoints holds another run: {said}.*Give") as error:
        call(workdir, **changed)
    assert error.value.exit_code == 2
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_checkpoints_that_train_did_not_write_are_refused(tmp_path):
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(3, {"w": jnp.ones(3)})
    with pytest.raises(ValueError, match="holds checkpoints that train did not write"):
        call(tmp_path)


def test_what_changes_no_number_is_no_other_run(finished):
    workdir, first = finished
    again = call(workdir, log_every=100, checkpoint_every=7, mesh=data_mesh(8))
    np.testing.assert_array_equal(again.params, first.params)
    assert again.history == first.history


def test_a_longer_run_goes_on_where_the_shorter_evaluated_nothing_else(tmp_path):
    """After 6 steps an evaluation every 4 was made at 6, which might be the best, and is none."""
    call(tmp_path / "even", num_steps=8)
    np.testing.assert_array_equal(call(tmp_path / "even").state.params, call().state.params)
    call(tmp_path / "odd", num_steps=6)
    with pytest.raises(ValueError, match="num_steps is 6 there and 12 here"):
        call(tmp_path / "odd")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1], "identity must be a dict .*; got list"),
        ({"rate": np.nan}, "identity/rate is nan, which JSON cannot hold"),
        ({"loss": print}, "identity/loss is a builtin_function"),
        ({"key": 1}, "identity names 'key', which train says itself"),
    ],
)
def test_an_identity_that_no_checkpoint_can_hold_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        call(identity=given)


def program(value=1.0, scale=2.0, steps=3, table=(0.0, 1.0)):
    """A constant, a loop, a rule of differentiation, and a program in the program."""
    constant = np.asarray(table, np.float32)

    @jax.custom_vjp
    def scaled(x):
        return scale * x

    scaled.defvjp(lambda x: (scaled(x), None), lambda _, g: (scale * g,))

    @jax.jit
    def inner(x):
        return x + value

    def outer(x):
        x = inner(inner(x)) + jnp.asarray(constant).sum()
        return jax.lax.scan(lambda x, _: (jnp.sin(scaled(x)), None), x, None, length=steps)[0]

    return jax.make_jaxpr(jax.grad(outer))(1.0)


def test_a_program_is_known_by_what_it_computes():
    mark = identity.of_program(program())
    assert identity.of_program(program()) == mark
    others = [program(2.0), program(scale=3.0), program(steps=4), program(table=(0.0, 2.0))]
    assert len({mark, *map(identity.of_program, others)}) == 5


def test_arrays_are_known_by_their_bits_shapes_dtypes_and_places():
    x = np.arange(6, dtype=np.float32)
    trees = [x, x[::-1], x.reshape(2, 3), x.view(np.int32), {"x": x}, [x], jax.random.key(0)]
    assert len({identity.fingerprint(tree) for tree in trees}) == len(trees)
    assert identity.fingerprint({"x": jnp.asarray(x)}) == identity.fingerprint({"x": x})


def spread_program():
    """One whose operation has a set of names, whose order is another in each process."""
    names = tuple("abcdef")
    auto = (jax.sharding.AxisType.Auto,) * len(names)
    mesh = jax.make_mesh((1,) * len(names), names, auto, devices=jax.devices()[:1])
    rows = jax.sharding.PartitionSpec(names)
    return jax.make_jaxpr(jax.shard_map(jnp.sin, mesh=mesh, in_specs=rows, out_specs=rows))(
        jnp.ones(4)
    )


def of_samples(_):
    """A dense layer of two samples of each row, which joins them where there is no mesh."""
    net = nets.mlp(4, 1, hidden=(2,))
    loss = lambda params, key, batch: (net.apply(params, jnp.stack([batch] * 2)).var(), {})
    return gradient_descent(net.init, loss, optax.sgd(0.1))


class Known(Exception):
    """The identity of a run is made; nothing of it needs to be compiled."""


def identities(num_devices):
    """Of a run of each kind, on so many devices, and of a program that is spread."""
    made, identify = {"spread": identity.of_program(spread_program())}, run.Run.identify
    mesh = data_mesh(num_devices) if num_devices > 1 else None
    for kind, algorithm in (algorithms.KINDS | {"samples": of_samples}).items():

        def kept(self, *args, kind=kind):
            identify(self, *args)
            made[kind] = self.identity
            raise Known

        run.Run.identify = kept
        options = {"num_steps": 1, "mesh": mesh, "progress": False}
        try:
            with pytest.raises(Known):
                train(algorithm(4), jax.random.key(0), algorithms.batch, **options)
        finally:
            run.Run.identify = identify
    return made


def test_an_identity_is_the_same_in_another_process_and_on_eight_devices():
    here = identities(8)
    assert here == identities(1)
    code = "from tests.learning.test_identity import identities; print(identities(1))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert done.stdout.strip() == str(here), done.stderr
