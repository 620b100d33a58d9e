"""A linen module as a pair of pure functions."""

from functools import partial

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from dgm_jax import checks, nets
from dgm_jax.learning import data_mesh
from dgm_jax.nets import adapter, from_linen, stateful
from dgm_jax.nets.adapter import Dense
from tests.contracts.compiled import jit
from tests.helpers import points


class Noisy(linen.Module):
    @linen.compact
    def __call__(self, x, deterministic):
        return linen.Dropout(0.5, deterministic=deterministic)(linen.Dense(4)(x))


class Silent(linen.Module):
    @linen.compact
    def __call__(self, x, c):
        return linen.Dense(4)(x) + linen.Dense(4)(c)


class Double(linen.Module):
    def __call__(self, x):
        return 2 * x


class WithState(linen.Module):
    """Batch normalisation as it starts, scale 1 and bias 0, of which a tenth of a batch is kept."""

    axis_name: str | None = None

    @linen.compact
    def __call__(self, x, train=True):
        norm = linen.BatchNorm(
            use_running_average=not train, momentum=0.9, axis_name=self.axis_name
        )
        return norm(x)


def test_dropout_acts_with_a_key_and_only_then(key):
    net = from_linen(Noisy(), (3,))
    params, x = jit(net.init)(key), jnp.ones((64, 3))
    apply = jit(net.apply)
    still = apply(params, x)
    np.testing.assert_array_equal(still, apply(params, x))
    noisy = apply(params, x, key=jax.random.key(1))
    dropped = (noisy == 0).mean()
    assert 0.3 < dropped < 0.7
    np.testing.assert_allclose(noisy[noisy != 0], 2 * still[noisy != 0], rtol=1e-6)
    assert jnp.any(noisy != apply(params, x, key=jax.random.key(2)))
    np.testing.assert_array_equal(noisy, apply(params, x, key=jax.random.key(1)))


def test_a_module_without_a_switch_takes_several_inputs_and_batches(key):
    net = from_linen(Silent(), (3,), (2,))
    params = jit(net.init)(key)
    x, c = jnp.ones((5, 3)), jnp.ones((5, 2))
    dense = params["Dense_0"]["kernel"], params["Dense_1"]["kernel"]
    np.testing.assert_allclose(net.apply(params, x, c), x @ dense[0] + c @ dense[1], rtol=1e-6)


@pytest.mark.parametrize("batch", [(), (6,), (1, 6), (3, 2), (2, 1, 3), (2, 0)])
@pytest.mark.parametrize("devices", [1, 8])
def test_a_dense_layer_takes_any_batch_axes_row_by_row(key, monkeypatch, batch, devices):
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    net = from_linen(Dense(4), (3,))
    params, x = net.init(jax.random.clone(key)), jax.random.normal(key, (*batch, 3))
    y, pull = jax.vjp(net.apply, params, x)
    np.testing.assert_allclose(y, x @ params["kernel"] + params["bias"], rtol=1e-5, atol=1e-6)
    assert y.shape == (*batch, 4)
    at_params, at_x = pull(y)
    np.testing.assert_allclose(at_x, y @ params["kernel"].T, rtol=1e-5, atol=1e-6)
    rows = lambda a: (
        np.asarray(a).reshape(-1, a.shape[-1]) if a.size else np.zeros((0, a.shape[-1]))
    )
    np.testing.assert_allclose(at_params["kernel"], rows(x).T @ rows(y), rtol=1e-5, atol=1e-6)


def test_a_dense_layer_of_many_rows_and_few_outputs_is_the_same_product(key):
    """Its kernel is transposed first; derivatives in both modes, for several kernels under vmap."""
    net = from_linen(Dense(2), (8,))
    params = jax.vmap(net.init)(jax.random.split(jax.random.clone(key), 3))
    x = jax.random.normal(key, (2, 70, 8))

    @jit
    def run(params, x):
        y, pull = jax.vjp(net.apply, params, x)
        return y, *pull(jnp.sin(y)), jax.jvp(net.apply, (params, x), (params, x))[1]

    kernel = params["kernel"]
    y, at_params, at_x, moved = jax.vmap(run, (0, None))(params, x)
    np.testing.assert_allclose(y, jnp.einsum("bni,kio->kbno", x, kernel), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved, 2 * y, rtol=1e-5, atol=1e-6)
    pulled = jnp.einsum("bni,kbno->kio", x, jnp.sin(y))
    np.testing.assert_allclose(at_params["kernel"], pulled, rtol=1e-5, atol=1e-5)
    pulled = jnp.einsum("kbno,kio->kbni", jnp.sin(y), kernel)
    np.testing.assert_allclose(at_x, pulled, rtol=1e-5, atol=1e-6)


def test_a_dense_layer_of_many_samples_leaves_a_batch_on_the_devices_that_hold_it(key):
    """Of 5 samples of each of 8 examples a device makes 5 rows; the one that gathers makes 40."""
    net, mesh = from_linen(Dense(4), (3,)), data_mesh()
    params = net.init(key)
    x = jax.device_put(jnp.ones((5, 8, 3)), NamedSharding(mesh, PartitionSpec(None, "data")))
    loss = lambda params, x: (net.apply(params, x) ** 2).sum()
    with jax.set_mesh(mesh):
        program = jit(jax.grad(loss)).lower(params, x).compile().as_text()
    assert "all-reduce" in program and "all-gather" not in program


def test_a_module_without_parameters_is_a_net_of_none(key):
    net = from_linen(Double(), (3,))
    assert net.init(key) == {}
    np.testing.assert_array_equal(net.apply({}, jnp.ones(3)), 2)


def test_a_module_that_keeps_state_is_refused_and_told_the_remedy(key):
    with pytest.raises(ValueError, match="WithState keeps state .*batch_stats.*nets.stateful"):
        from_linen(WithState(), (3,)).init(key)


# ------------------------------------------------------------------------------ nets with a state
BATCH = np.random.default_rng(0).normal(2.0, 3.0, (16, 3)).astype(np.float32)


def normalised(x, mean, var):
    return (x - mean) / np.sqrt(var + 1e-5)


def test_a_step_of_training_uses_the_batch_and_moves_the_state_by_a_tenth(key):
    net = stateful(WithState(), (3,))
    params, state = net.init(key)
    assert set(state) == {"batch_stats"} and set(params) == {"BatchNorm_0"}
    y, moved = jit(partial(net.apply, train=True))(params, state, BATCH)
    mean, var = BATCH.mean(0), BATCH.var(0)
    np.testing.assert_allclose(y, normalised(BATCH, mean, var), rtol=1e-4, atol=1e-5)
    kept = moved["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(kept["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(kept["var"], 0.9 + 0.1 * var, rtol=1e-5)


def test_otherwise_it_uses_the_state_and_changes_nothing(key):
    net = stateful(WithState(), (3,))
    params, state = net.init(key)
    mean, var = jnp.array([1.0, -1.0, 2.0]), jnp.array([4.0, 1.0, 9.0])
    state = {"batch_stats": {"BatchNorm_0": {"mean": mean, "var": var}}}
    y, same = net.apply(params, state, BATCH, train=False)
    assert same is state
    np.testing.assert_allclose(y, normalised(BATCH, mean, var), rtol=1e-5, atol=1e-5)
    one, _ = net.apply(params, state, BATCH[0], train=False)
    np.testing.assert_allclose(one, y[0], rtol=1e-6)  # of a point no companion matters


def test_statistics_are_those_of_the_whole_batch_on_every_layout(key):
    """8 devices with 2 rows each: one program over a mesh, and eight by `pmap`."""
    plain, named = stateful(WithState(), (3,)), stateful(WithState("batch"), (3,))
    params, state = plain.init(key)
    y, moved = plain.apply(params, state, BATCH, train=True)

    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    spread = jax.device_put(BATCH, rows)
    of_mesh = jit(partial(plain.apply, train=True))(params, state, spread)
    assert len(spread.sharding.device_set) == 8

    run = jax.pmap(partial(named.apply, train=True), axis_name="batch", in_axes=(None, None, 0))
    y_pmap, state_pmap = run(params, state, BATCH.reshape(8, 2, 3))
    of_pmap = y_pmap.reshape(16, 3), jax.tree.map(lambda a: a[5], state_pmap)
    for got in (of_mesh, of_pmap):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, (y, moved)
        )


def test_a_state_keeps_its_dtype_so_that_a_loop_can_carry_it(key):
    with jax.enable_x64(True):
        net = stateful(WithState(), (3,))
        params, state = net.init(jax.random.clone(key))
        _, moved = jax.eval_shape(partial(net.apply, train=True), params, state, jnp.ones((4, 3)))
    assert jax.tree.map(lambda a: a.dtype, state) == jax.tree.map(lambda a: a.dtype, moved)


class Spectral(linen.Module):
    @linen.compact
    def __call__(self, x, train, deterministic):
        x = linen.SpectralNorm(linen.Dense(4, use_bias=False))(x, update_stats=train)
        return linen.Dropout(0.5, deterministic=deterministic)(x)


def test_a_spectral_norm_finds_the_largest_singular_value_and_dropout_needs_a_key(key):
    """Power iterations, one a step: the layer tends to W / σ_1."""
    net = stateful(Spectral(), (3,))
    params, state = net.init(key)

    @jit
    def run(params, state):
        def step(state, _):
            return net.apply(params, state, jnp.eye(3), train=True)[1], None

        state, _ = jax.lax.scan(step, state, length=100)
        noisy, _ = net.apply(params, state, jnp.eye(3), train=False, key=jax.random.key(1))
        return net.apply(params, state, jnp.eye(3), train=False)[0], noisy

    still, noisy = run(params, state)
    (kernel,) = jax.tree.leaves(params)
    np.testing.assert_allclose(still, kernel / np.linalg.norm(kernel, 2), rtol=1e-4)
    np.testing.assert_allclose(noisy[noisy != 0], 2 * still[noisy != 0], rtol=1e-5)
    assert (noisy == 0).any() and (noisy != 0).any()


def test_a_module_that_cannot_be_told_of_training_is_refused():
    with pytest.raises(ValueError, match="module Double must declare `train` in __call__"):
        stateful(Double(), (3,))
    for make in (stateful, from_linen):
        with pytest.raises(ValueError, match="module must be a flax Module; got type WithState"):
            make(WithState, (3,))


def test_parameters_cross_jit_vmap_and_grad(key):
    net = from_linen(Silent(), (3,), (2,))
    params = jit(jax.vmap(net.init))(jax.random.split(key, 2))
    x, c = jnp.ones((5, 3)), jnp.ones((5, 2))
    together = jit(jax.vmap(net.apply, (0, None, None)))(params, x, c)
    grads = jit(jax.vmap(jax.grad(lambda p: (net.apply(p, x, c) ** 2).sum())))(params)
    for i in range(2):
        one = jax.tree.map(lambda a: a[i], params)
        np.testing.assert_allclose(together[i], jit(net.apply)(one, x, c), rtol=1e-5)
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))


IMAGE, PICTURE = (2, 2, 2), (8, 8, 1)
OF_PICTURES = {"hidden": 4, "num_layers": 1, "num_outputs": 2, "cond_shape": (2,)}
NETS = {
    "made": lambda: nets.made(3, hidden=(4,), num_outputs=2, cond_shape=(2,)),
    "markov": lambda: nets.markov(3, window=1, hidden=(4,), num_outputs=2, cond_shape=(2,)),
    "rnn": lambda: nets.rnn(3, hidden=4, num_outputs=2, cond_shape=(2,)),
    "wavenet": lambda: nets.wavenet(3, hidden=4, dilations=(1,), num_outputs=2, cond_shape=(2,)),
    "transformer": lambda: nets.transformer(3, **OF_PICTURES, num_heads=2),
    "pixelcnn": lambda: nets.pixelcnn(IMAGE, **OF_PICTURES),
    "gated_pixelcnn": lambda: nets.gated_pixelcnn(IMAGE, **OF_PICTURES),
    "pixelcnn_pp": lambda: nets.pixelcnn_pp(IMAGE, **OF_PICTURES),
    "pixelsnail": lambda: nets.pixelsnail(IMAGE, **OF_PICTURES),
    "mlp": lambda: nets.mlp((3, 2), 2, hidden=(4,)),
    "conv_resnet": lambda: nets.conv_resnet(IMAGE, 2, hidden=4, cond_shape=(2,)),
    "gated_attention": lambda: nets.gated_attention(IMAGE, 2, hidden=4, cond_shape=(2,)),
    "revnet": lambda: nets.revnet(nets.mlp(2, 2, hidden=(4,)), num_layers=1),
    "irevnet": lambda: nets.irevnet(IMAGE, num_stages=1, num_layers=1),
    "bottleneck": lambda: nets.bottleneck(3, 2, hidden=(4,)),
    "conv_encoder": lambda: nets.conv_encoder(IMAGE, 2, hidden=(4,), num_groups=2),
    "conv_decoder": lambda: nets.conv_decoder(3, IMAGE, 2, hidden=(4,), num_groups=2),
    "map_encoder": lambda: nets.map_encoder(IMAGE, 2, hidden=(4,)),
    "map_decoder": lambda: nets.map_decoder(3, IMAGE, 2, hidden=(4,)),
    "unet": lambda: nets.unet(IMAGE, hidden=4, multipliers=(1,), num_blocks=1),
    "time_mlp": lambda: nets.time_mlp(3, hidden=(4,), num_waves=2),
    "equalised_dense": lambda: nets.equalised_dense(3, 2),
    "equalised_conv": lambda: nets.equalised_conv(IMAGE[-1], 2),
}
STATEFUL = {
    "strided_generator": (lambda: nets.strided_generator(3, PICTURE, hidden=4), (3,)),
    "strided_critic": (lambda: nets.strided_critic(PICTURE, hidden=4, norm="spectral"), PICTURE),
    "strided_features": (lambda: nets.strided_features(PICTURE, 3, hidden=4), PICTURE),
    "residual_generator": (lambda: nets.residual_generator(3, PICTURE, hidden=4), (3,)),
    "residual_critic": (lambda: nets.residual_critic(PICTURE, hidden=4), PICTURE),
    "residual_features": (lambda: nets.residual_features(PICTURE, hidden=4), PICTURE),
    "residual_head": (lambda: nets.residual_head((4, 4, 4)), (4, 4, 4)),
}
INPUTS = {
    "equalised_dense": ((3,),),
    "equalised_conv": ((1, *IMAGE),),
    "mlp": ((3,), (2,)),
    "conv_resnet": (IMAGE, (1, 1, 2)),
    "gated_attention": (IMAGE, (1, 1, 2)),
    "revnet": ((4,),),
    "irevnet": (IMAGE,),
    "bottleneck": ((3,),),
    "unet": ((1, *IMAGE), (1,)),
    "time_mlp": ((2, 3), (2,)),
    "conv_encoder": (IMAGE,),
    "conv_decoder": ((3,),),
    "map_encoder": (IMAGE,),
    "map_decoder": ((1, 1, 3),),
}


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_parameters_of_all_nets_and_their_outputs_have_the_default_float(name, x64):
    """One dtype, whichever layers a net is made of; nothing is computed."""
    with jax.enable_x64(x64):
        dtype, net = jnp.zeros(()).dtype, NETS[name]()
        params = jax.eval_shape(net.init, jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {dtype}
        dim = 3 if name in ("made", "markov", "rnn", "wavenet", "transformer") else 8
        shapes = INPUTS.get(name, ((dim,), (2,)))
        assert jax.eval_shape(net.apply, params, *map(jnp.zeros, shapes)).dtype == dtype


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("name", STATEFUL)
def test_parameters_and_states_of_players_have_the_default_float(name, x64):
    make, shape = STATEFUL[name]
    with jax.enable_x64(x64):
        dtype, net = jnp.zeros(()).dtype, make()
        params, state = jax.eval_shape(net.init, jax.random.key(0))
        floating = [
            x for x in jax.tree.leaves((params, state)) if jnp.issubdtype(x.dtype, jnp.floating)
        ]
        assert {leaf.dtype for leaf in floating} == {dtype}
        x = jnp.zeros((2, *shape))
        y, _ = jax.eval_shape(partial(net.apply, train=True), params, state, x)
        assert y.dtype == dtype


def test_the_table_has_every_net():
    others = {"from_linen", "stateful", "naive", "one_hot", "scaled", "receptive_field"}
    others |= {"up_conv", "down_conv", "group_norm"}  # the arithmetic of layers
    others |= {"adain", "add_noise", "doubled", "halved", "smoothed", "pixel_norm"}
    others |= {"minibatch_deviation", "virtual_batch_norm", "operator_norm", "power_iteration"}
    others |= {"stateless"} | set(STATEFUL)
    others |= {"inception", "efficientnet_lite0"}  # weights of others, in float32
    others |= {"inception_params", "efficientnet_params"}
    functions = {n for n, f in vars(nets).items() if callable(f) and not isinstance(f, type)}
    assert functions - others == set(NETS)


def test_a_convolution_is_that_of_linen_and_has_no_options_that_it_would_ignore(key):
    x = points(2, 3, 5, 4, 3)
    ours, theirs = (conv(2, (3, 3)) for conv in (adapter.Conv, linen.Conv))
    params = ours.init(key, x)
    np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), atol=1e-5)
    with pytest.raises(checks.InputError, match="Conv has one stride for both axes"):
        adapter.Conv(2, (3, 3), kernel_dilation=2).init(jax.random.key(1), x)
