import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from dgm_jax import flows
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.learning import devices, run
from dgm_jax.learning.checkpoints import Checkpoints
from dgm_jax.learning.devices import (
    data_mesh,
    over_devices,
    replicate,
    shard_batch,
    training_mesh,
)
from dgm_jax.learning.gradient import gradient_descent
from dgm_jax.learning.loop import train


def init(key):
    first, second = jax.random.split(key)
    return {"a": jax.random.normal(first, (4, 16)), "b": jax.random.normal(second, (16,))}


def loss(params, key, x):
    return ((jnp.tanh(x @ params["a"]) @ params["b"] - x.sum(-1)) ** 2).mean(), {}


def noisy_loss(params, key, x):
    return loss(params, key, x + 0.1 * jax.random.normal(key, x.shape))


def batch(t):
    return np.random.default_rng(t).normal(size=(32, 4)).astype(np.float32)


def make(loss=loss, **options):
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    return gradient_descent(init, loss, optimizer, **options)


def assert_close(a, b, atol=1e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, atol=atol, rtol=1e-5)


@pytest.mark.parametrize("num_devices", [1, 8])
def test_the_same_step_on_a_mesh_gives_the_parameters_of_one_device(num_devices):
    algorithm, mesh = make(noisy_loss), data_mesh(num_devices)
    step = jax.jit(algorithm.step)
    alone = algorithm.init(jax.random.key(0))
    spread = replicate(algorithm.init(jax.random.key(0)), mesh)
    for t in range(20):
        alone, one = step(alone, jax.random.key(t), batch(t))
        shards = shard_batch(batch(t), mesh)
        assert shards.addressable_shards[0].data.shape == (32 // num_devices, 4)
        spread, many = step(spread, jax.random.key(t), shards)
    assert spread.params["a"].sharding.is_fully_replicated
    assert_close(spread.params, alone.params)
    assert_close(many, one)


def test_pmap_gives_the_parameters_of_one_device():
    plain, mapped = make(), make(axis_name="data")
    step = jax.jit(plain.step)
    pmap_step = jax.pmap(mapped.step, "data", in_axes=(None, None, 0), out_axes=None)
    alone, spread = plain.init(jax.random.key(0)), mapped.init(jax.random.key(0))
    for t in range(20):
        alone, one = step(alone, jax.random.key(t), batch(t))
        spread, many = pmap_step(spread, jax.random.key(t), batch(t).reshape(8, 4, 4))
    assert_close(spread.params, alone.params)
    assert_close(many, one)


def test_pmap_gives_exactly_what_jit_over_the_mesh_gives():
    plain, mapped, mesh = make(), make(axis_name="data"), data_mesh(8)
    step = jax.jit(plain.step)
    pmap_step = jax.pmap(mapped.step, "data", in_axes=(None, None, 0), out_axes=None)
    one, other = replicate(plain.init(jax.random.key(0)), mesh), mapped.init(jax.random.key(0))
    for t in range(20):
        one, _ = step(one, jax.random.key(t), shard_batch(batch(t), mesh))
        other, _ = pmap_step(other, jax.random.key(t), batch(t).reshape(8, 4, 4))
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_device_of_a_pmap_draws_its_own_noise():
    def echo(params, key, x):
        noise = jax.random.normal(key)
        return params["a"].sum() * 0.0, {"mean": noise, "square": noise**2}

    mapped = make(echo, axis_name="data")
    step = jax.pmap(mapped.step, "data", in_axes=(None, None, 0), out_axes=None)
    _, metrics = step(mapped.init(jax.random.key(0)), jax.random.key(1), batch(0).reshape(8, 4, 4))
    assert metrics["square"] - metrics["mean"] ** 2 > 0.1


def test_random_bits_are_those_of_one_device_on_any_number_and_normals_to_rounding():
    def draw(key):
        one, other = jax.random.split(key)
        return jax.random.normal(one, (32, 3)), jax.random.bits(other, (32,))

    alone = jax.jit(draw)(jax.random.key(0))
    for num_devices in (1, 2, 8):
        rows = NamedSharding(data_mesh(num_devices), PartitionSpec("data"))
        spread = jax.jit(draw, out_shardings=rows)(jax.random.key(0))
        assert len(spread[0].addressable_shards) == num_devices
        np.testing.assert_allclose(spread[0], alone[0], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(spread[1], alone[1])


def test_a_run_on_a_mesh_is_resumed_on_another(tmp_path, monkeypatch):
    spread = []
    monkeypatch.setattr(run, "shard_batch", lambda *a: spread.append(0) or shard_batch(*a))
    options = {"log_every": 10, "progress": False}
    alone = train(make(noisy_loss), jax.random.key(0), batch, num_steps=20, **options)
    for num_steps, mesh in ((8, data_mesh(8)), (15, data_mesh(2)), (20, None)):
        resumed = train(
            make(noisy_loss),
            jax.random.key(0),
            batch,
            num_steps=num_steps,
            mesh=mesh,
            workdir=tmp_path,
            **options,
        )
    assert_close(resumed.state, alone.state)
    assert len(spread) == 15
    template = replicate(make().init(jax.random.key(0)), data_mesh(8))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        saved = checkpoints.restore({"state": template}).state["state"]
    assert saved.params["a"].sharding == template.params["a"].sharding


def test_what_does_not_divide_is_said_with_what_does():
    with pytest.raises(ValueError, match="8 devices; got 10. Use 8 or 16"):
        shard_batch({"x": np.zeros((10, 3))}, data_mesh(8))
    with pytest.raises(ValueError, match="8 devices; got 3. Use 8\\."):
        shard_batch(np.zeros((3,)), data_mesh(8))
    with pytest.raises(ValueError, match="num_devices is 9, but there are 8"):
        data_mesh(9)
    with pytest.raises(ValueError, match="static_argnums must be .* at least 0; got -1"):
        over_devices(np.add, static_argnums=-1)


@pytest.fixture
def three_cores(monkeypatch):
    monkeypatch.setattr(devices, "num_cores", lambda: 3)


def test_scores_and_samples_over_devices_are_those_of_one_whatever_their_number(three_cores):
    """Of 7 rows: two devices have 3, and one has one; of the 8 that JAX has, three."""
    seen, model = [], pushforward(flows.maf(4, hidden=(8,)), standard_normal(4))
    params = jax.tree.map(lambda a: a + 0.1, model.init(jax.random.key(0)))

    def score(params, x):
        log_prob = model.dist(params).log_prob(x)
        jax.debug.inspect_array_sharding(log_prob, callback=seen.append)
        return log_prob, x.sum()

    def sample(params, key, num):
        one, other = jax.random.split(key)
        x = model.dist(params).sample(seed=one, sample_shape=num)
        jax.debug.inspect_array_sharding(x, callback=seen.append)
        return x, jax.random.bits(other, (num, 2))

    x = batch(0)[:7]
    found = over_devices(score)(params, x)
    assert_close(found, jax.jit(score)(params, x))
    drawn = over_devices(sample, static_argnums=2)(params, jax.random.key(1), 7)
    alone = jax.jit(sample, static_argnums=2)(params, jax.random.key(1), 7)
    assert_close(drawn[0], alone[0])
    np.testing.assert_array_equal(drawn[1], alone[1])
    assert [len(leaf.devices()) for leaf in (*found, *drawn)] == [1] * 4
    spread = [at for at in seen if at.num_devices > 1]
    assert [(at.num_devices, at.spec) for at in spread] == [(3, PartitionSpec("data"))] * 2


def test_rows_that_divide_are_placed_where_they_are_used_and_not_copied_to_every_device():
    mesh = data_mesh(3)
    tree = np.ones((6, 2)), np.ones((7, 2)), jax.random.key(0), 2.0
    places = devices._places(tree, mesh, True)
    assert [place.spec for place in places] == [PartitionSpec("data")] + [PartitionSpec()] * 3
    (params,) = devices._places((np.ones((6, 2)),), mesh, False)
    assert params.spec == PartitionSpec()


@pytest.mark.parametrize("where", ["numpy", "loose", "put on another device", "in place"])
def test_arrays_are_moved_from_wherever_they_are(where, three_cores):
    """What was put on a device stays there in JAX, and a program of others refuses it."""
    x, w = np.arange(12.0, dtype=np.float32).reshape(6, 2), np.float32([1, 2])
    mesh = data_mesh(3)
    at = {
        "numpy": lambda a: a,
        "loose": jnp.asarray,
        "put on another device": lambda a: jax.device_put(a, jax.devices()[5]),
        "in place": lambda a: shard_batch(a, mesh) if a is x else replicate(a, mesh),
    }[where]
    call = over_devices(lambda w, x, scale: scale * x @ w)
    for _ in range(2):
        np.testing.assert_array_equal(call(at(w), at(x), 2.0), 2 * x @ w)
    result = call(at(w), at(x), 1.0)[:2]  # which is on the first device
    np.testing.assert_array_equal(call(result, at(x), 1.0), x @ (x @ w)[:2])


def test_inside_of_another_transformation_rows_stay_where_they_are(three_cores):
    double = over_devices(lambda params, x: params * x)
    assert jax.jit(jax.grad(lambda p: double(p, jnp.ones(6)).sum()))(2.0) == 6
    assert jax.grad(lambda p: p * double(2.0, np.ones(6)).sum())(1.0) == 12
    assert jax.jit(lambda p: p * double(2.0, np.ones(6)).sum())(1.0) == 12


def test_a_step_of_many_flops_per_parameter_is_shared_by_the_cores_and_of_few_is_not(monkeypatch):
    """n rows times w cost 4 n FLOPs per parameter: 2 n forward, and 2 n for the gradient in w."""
    monkeypatch.setattr(devices, "num_cores", lambda: 4)

    def of(copies):
        def loss(params, key, x):
            return jnp.tanh(jnp.concatenate([x] * copies) @ params).mean(), {}

        return gradient_descent(lambda key: jnp.ones((3, 2)), loss, optax.sgd(0.1))

    x = lambda num: np.ones((num, 3), np.float32)
    assert training_mesh(of(devices.WORTH // (4 * 64)), x(64)) is None
    sizes = {32: 4, 27: 3, 16: 2, 15: 1, 31: 1}  # of which each device has 8 rows at least
    for num_rows, size in sizes.items():
        mesh = training_mesh(of(devices.WORTH // (4 * num_rows) + 1), x(num_rows))
        assert (1 if mesh is None else mesh.size) == size
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # there all share a batch
    assert [training_mesh(of(1), x(num)).size for num in (64, 60)] == [8, 6]
    assert all(training_mesh(of(1), batch) is None for batch in ({}, x(7)[:1], (x(64), 3.0)))
