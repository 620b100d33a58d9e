"""Models made of models: the order in which things happen."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import Permutation, affine
from dgm_jax.combinators import compose, conditional, fixed, invert, pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import autoregression, iaf, maf, realnvp
from dgm_jax.nets import mlp
from dgm_jax.protocol import Flow
from tests.contracts.compiled import jit


def scalar(name, cond_shape=None):
    """x = z e^{θ_1} + θ_0 + c for each coordinate, with a name in its parameters."""

    def bijector(params, cond=None, *, key=None):
        shift = params[name][0] if cond is None else params[name][0] + cond
        return distrax.Block(distrax.ScalarAffine(shift=shift, log_scale=params[name][1]), 1)

    init = lambda key: {name: jax.random.normal(key, (2,))}  # noqa: E731
    return Flow(init, bijector, cond_shape=cond_shape)


Z = jnp.array([0.5, -1.0])


def test_compose_runs_the_last_first():
    """compose(f, g) = f ∘ g: 3 (z + 1), not 3 z + 1."""
    times_3, plus_1 = {"a": jnp.array([0.0, np.log(3)])}, {"b": jnp.array([1.0, 0.0])}
    t = compose(scalar("a"), scalar("b")).bijector([times_3, plus_1])
    np.testing.assert_allclose(t.forward(Z), 3 * (Z + 1), rtol=1e-6)
    np.testing.assert_allclose(t.inverse(3 * (Z + 1)), Z, rtol=1e-6)
    np.testing.assert_allclose(t.forward_log_det_jacobian(Z), 2 * np.log(3), rtol=1e-6)


def test_compose_gives_each_flow_a_key_and_parameters_of_its_own(key):
    params = compose(scalar("a"), scalar("b"), scalar("a")).init(key)
    assert [list(p) for p in params] == [["a"], ["b"], ["a"]]
    assert not np.allclose(params[0]["a"], params[2]["a"])


def test_compose_refuses_parameters_of_another_number_of_flows(key):
    two, three = (compose(*[scalar("a")] * n) for n in (2, 3))
    with pytest.raises(ValueError, match="params must be a list of 2, one for each flow; got 3"):
        two.bijector(three.init(key))


def test_compose_hands_the_condition_to_every_flow_that_takes_one():
    params = {"a": jnp.zeros(2)}
    flow = compose(scalar("a", (2,)), fixed(Permutation([0, 1])), scalar("a", (2,)))
    t = flow.bijector([params, {}, params], jnp.array([1.0, 10.0]))
    np.testing.assert_allclose(t.forward(Z), Z + jnp.array([2.0, 20.0]))
    assert flow.cond_shape == repeat(invert(flow), 2).cond_shape == (2,)


@pytest.mark.parametrize("unroll", [False, True])
def test_repeat_is_the_composition_of_its_slices_first_slice_first(unroll, key):
    flow = repeat(scalar("a"), 3, unroll=unroll)
    params = flow.init(key)
    assert params["a"].shape == (3, 2) and len(np.unique(params["a"])) == 6
    slices = [jax.tree.map(lambda a, k=k: a[k], params) for k in (2, 1, 0)]
    written_out = compose(*[scalar("a")] * 3).bijector(slices)
    x, log_det = flow.bijector(params).forward_and_log_det(Z)
    wanted, wanted_log_det = written_out.forward_and_log_det(Z)
    np.testing.assert_allclose(x, wanted, rtol=1e-5)
    np.testing.assert_allclose(log_det, wanted_log_det, rtol=1e-5)


def test_invert_swaps_the_directions_of_the_same_parameters(key):
    flow = scalar("a")
    params = flow.init(key)
    assert jax.tree.structure(invert(flow).init(jax.random.key(1))) == jax.tree.structure(params)
    there, back = flow.bijector(params), invert(flow).bijector(params)
    for one, other in [
        (there.forward_and_log_det, back.inverse_and_log_det),
        (there.inverse_and_log_det, back.forward_and_log_det),
    ]:
        np.testing.assert_array_equal(one(Z)[0], other(Z)[0])
        np.testing.assert_array_equal(one(Z)[1], other(Z)[1])
    back_and_there = invert(invert(flow)).bijector(params)
    np.testing.assert_array_equal(back_and_there.forward(Z), there.forward(Z))


def test_fixed_has_no_parameters_and_refuses_a_condition(key):
    flow = fixed(Permutation([1, 0]))
    assert flow.init(key) == {}
    np.testing.assert_array_equal(flow.bijector({}).forward(Z), Z[::-1])
    with pytest.raises(ValueError, match="unconditional"):
        flow.bijector({}, jnp.ones(3))


def test_pushforward_of_a_normal_by_an_affine_map_is_the_normal_with_that_mean_and_scale():
    model = pushforward(scalar("a"), standard_normal(2))
    params = {"base": {}, "flow": {"a": jnp.array([1.0, np.log(2.0)])}}
    wanted = distrax.MultivariateNormalDiag(jnp.ones(2), 2 * jnp.ones(2))
    np.testing.assert_allclose(model.dist(params).log_prob(Z), wanted.log_prob(Z), rtol=1e-5)


def test_pushforward_composes_with_itself():
    """The law of f(g(z)) is the pushforward by f of the pushforward by g."""
    f, g = scalar("f"), scalar("g")
    f_params, g_params = {"f": jnp.array([1.0, 0.5])}, {"g": jnp.array([-2.0, 0.3])}
    nested = pushforward(f, pushforward(g, standard_normal(2)))
    at_once = pushforward(compose(f, g), standard_normal(2))
    np.testing.assert_allclose(
        nested.dist({"base": {"base": {}, "flow": g_params}, "flow": f_params}).log_prob(Z),
        at_once.dist({"base": {}, "flow": [f_params, g_params]}).log_prob(Z),
        rtol=1e-5,
    )


def test_pushforward_gives_base_and_flow_keys_of_their_own(key):
    flow = scalar("a")
    model = pushforward(flow, pushforward(flow, standard_normal(2)))
    params = model.init(key)
    assert not np.allclose(params["flow"]["a"], params["base"]["flow"]["a"])


def test_conditional_is_the_distribution_that_the_net_names(key):
    net = mlp(2, 1, hidden=(3,))

    @jit
    def run(key, c, x):
        params = net.init(key)
        model = conditional(net, lambda f: distrax.Normal(f[..., 0], 2.0), cond_shape=(2,))
        return model.dist(params, c).log_prob(x), distrax.Normal(
            net.apply(params, c)[..., 0], 2.0
        ).log_prob(x)

    got, wanted = run(key, jnp.ones((3, 2)), jnp.arange(3.0))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_a_condition_of_integers_such_as_a_one_hot_label_has_gradients():
    flow = autoregression(2, hidden=(4,), cond_shape=(3,), law=affine())

    @jit
    def run(key):
        params = flow.init(key)
        label = jnp.array([1, 0, 0])

        def loss(params):
            return (flow.bijector(params, label).inverse(Z) ** 2).sum()

        return jax.grad(loss)(params)

    assert jnp.abs(run(jax.random.key(0))["offset"]).max() > 0


def test_a_repeated_flow_runs_where_jit_is_disabled():
    """As one debugs it: op by op."""
    flow = maf(2, num_layers=2, hidden=(3,))
    params, x = flow.init(jax.random.key(0)), jnp.ones((3, 2))
    with jax.disable_jit():
        by_hand = flow.bijector(params).inverse(x)
    np.testing.assert_allclose(by_hand, flow.bijector(params).inverse(x), rtol=1e-5)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("make", [maf, iaf, realnvp])
def test_a_second_call_outside_of_jit_compiles_nothing(make, unroll):
    """Counts how often the law is traced, for a bijector made anew each time, as usual."""
    traced = []

    def of_values(c):
        traced.append(c)
        return affine().bijector(c)

    law = affine()._replace(bijector=of_values)
    flow = make(2, law=law, num_layers=2, hidden=(3,), cond_shape=(1,), unroll=unroll)
    params = flow.init(jax.random.key(0))
    for method in ("forward", "inverse", "forward_and_log_det", "inverse_and_log_det"):
        for i in range(2):
            traced.clear()
            getattr(flow.bijector(params, jnp.ones(1) + i), method)(jnp.ones((3, 2)))
            assert (len(traced) > 0) == (i == 0), method
