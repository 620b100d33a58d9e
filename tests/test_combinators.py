"""Models made of models: the order in which things happen."""

import math

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.bijectors import Permutation, affine
from dgm_jax.combinators import adapt as adapted
from dgm_jax.combinators import (
    compose,
    conditional,
    encoded,
    fixed,
    invert,
    latent_variable,
    preprocessed,
    pushforward,
    quantized,
    repeat,
)
from dgm_jax.data import standardize
from dgm_jax.distributions import standard_normal, uniform_noise
from dgm_jax.flows import actnorm, autoregression, iaf, maf, realnvp
from dgm_jax.learning import fit, gradient_descent
from dgm_jax.nets import mlp
from dgm_jax.objectives import log_weights
from dgm_jax.protocol import Flow, Net
from tests.contracts.compiled import jit
from tests.helpers import drawn, points


def scalar(name, cond_shape=None):
    """x = z e^{θ_1} + θ_0 + c for each coordinate, with a name in its parameters."""

    def bijector(params, cond=None, *, key=None):
        shift = params[name][0] if cond is None else params[name][0] + cond
        return distrax.Block(distrax.ScalarAffine(shift=shift, log_scale=params[name][1]), 1)

    init = lambda key: {name: jax.random.normal(key, (2,))}
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
    """The distribution of f(g(z)) is the pushforward by f of the pushforward by g."""
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


def test_preprocessed_is_the_pushforward_by_the_inverse_with_the_parameters_of_the_model(key):
    flow, base = scalar("f", (1,)), standard_normal(2)
    model, g = pushforward(flow, base), standardize([1.0, -2.0], [0.5, 3.0])
    params, cond, x = model.init(key), points(5, 1), points(5, 2, seed=2)
    outside = pushforward(compose(invert(fixed(g)), flow), base)

    @jit
    def run(params, key):
        dist = preprocessed(model, g).dist(params, cond)
        expected = outside.dist({"base": {}, "flow": [{}, params["flow"]]}, cond)
        same = jax.random.clone(key)
        drawn = dist.sample(seed=key), expected.sample(seed=same)
        return (dist.log_prob(x), expected.log_prob(x)), drawn

    for found, wanted in run(params, jax.random.key(1)):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert preprocessed(model, g).cond_shape == (1,)


def test_quantized_takes_the_parameters_of_the_model_or_with_noise_both():
    model = pushforward(actnorm(2), standard_normal(2))
    x, params = jnp.array([[3, 0], [1, 2], [0, 3]]), drawn(model)
    plain, noisy = quantized(model, 4), quantized(model, 4, uniform_noise((2,)))
    both = {"model": params, "noise": {}}

    @jit
    def run(key):
        scores = plain.dist(params).log_prob(x), noisy.dist(both).log_prob(x)
        first = adapted(plain, params, x)
        return scores, first, adapted(noisy, both, x)["model"], plain.dist(first).log_prob(x)

    scores, first, other, score = run(jax.random.key(0))
    assert all((log_prob < 0).all() and log_prob.shape == (3,) for log_prob in scores)
    assert jax.tree.map(jnp.shape, first) == jax.tree.map(jnp.shape, params)
    np.testing.assert_array_equal(*map(jax.tree.leaves, (first, other)))
    u = jax.random.uniform(jax.random.key(0), x.shape)  # actnorm makes mean 0 and deviation 1
    np.testing.assert_allclose(score.sum(), _of_normal(np.asarray(x + u)), rtol=1e-4)
    assert jax.eval_shape(noisy.init, jax.random.key(0)).keys() == {"model", "noise"}


def _of_normal(x):
    """Of the rows, under a normal of their own mean and deviation."""
    return len(x) * (-1 - np.log(2 * np.pi) - np.log(x.std(0)).sum())


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


def test_encoded_is_the_density_under_what_the_net_says():
    net, flow = mlp(3, 2, hidden=(4,)), autoregression(2, hidden=(4,), cond_shape=(2,))
    density = pushforward(flow, standard_normal(2))
    model = encoded(net, density, cond_shape=(3,))
    params, cond = drawn(model), points(5, 3)
    assert sorted(params) == ["density", "net"] and model.cond_shape == (3,)

    @jit
    def run(params, cond, x):
        seen = net.apply(params["net"], cond)
        inner = density.dist(params["density"], seen)
        dist = model.dist(params, cond)
        draws = dist.sample(seed=jax.random.key(0), sample_shape=2000)
        return dist.log_prob(x), inner.log_prob(x), draws

    got, wanted, draws = run(params, cond, points(5, 2))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert draws.shape == (2000, 5, 2)
    assert np.abs(np.corrcoef(draws[..., 0].T)[np.triu_indices(5, 1)]).max() < 0.1


@pytest.mark.parametrize("event", [(3,), (4, 4, 2)])
def test_a_condition_joins_the_latent_and_the_data_of_a_latent_variable_model(event):
    """Each sees [z, c] or [x, c], c the same at every position; the prior sees c alone."""

    def told(f):  # the mean of what a part saw
        return distrax.Independent(distrax.Normal(f, 1.0), 1)

    def seeing(shape):
        net = Net(lambda key: {}, lambda params, seen, key=None: seen.reshape(-1, *shape).sum(1))
        return conditional(net, told, cond_shape=shape)

    joined = (*event[:-1], event[-1] + 2)
    model = latent_variable(seeing((2,)), seeing(joined), seeing(joined), cond_shape=(2,))
    value, cond = points(5, *event), points(5, 2, seed=2)
    wide = jnp.broadcast_to(cond.reshape(5, *[1] * (len(event) - 1), 2), (5, *event[:-1], 2))
    params = model.init(jax.random.key(0))
    for part in (model.likelihood, model.posterior):
        seen = jnp.concatenate([value, wide], -1).sum(1)
        np.testing.assert_allclose(part(params, value, cond).mean(), seen, rtol=1e-6)
    with pytest.raises(ValueError, match="cond is missing"):
        model.posterior(params, value)


# ------------------------------------------------- probabilistic PCA as a linear autoencoder
PPCA_COV = np.array([[2.0, 0.9, 0.3], [0.9, 1.5, -0.4], [0.3, -0.4, 0.8]])
EIGENVALUES, EIGENVECTORS = np.linalg.eigh(PPCA_COV)  # in increasing order
SIGMA = math.sqrt(EIGENVALUES[:2].mean())  # of the noise: the maximum likelihood estimate


def linear_autoencoder():
    """p(z) = N(0, 1), p(x | z) = N(w z + b, σ² I) and q(z | x) = N(v·x + c, s(x)²), all linear."""

    def around(f):
        return distrax.MultivariateNormalDiag(f, SIGMA * jnp.ones(f.shape))

    def normal(f):
        return distrax.MultivariateNormalDiag(f[..., :1], jnp.exp(f[..., 1:]))

    decoder = conditional(mlp(1, 3, hidden=()), around, cond_shape=(1,))
    encoder = conditional(mlp(3, 2, hidden=(), zero_last=True), normal, cond_shape=(3,))
    return latent_variable(standard_normal(1), decoder, encoder)


def optimum():
    """w = u (λ - σ²)^½ of the first principal component; then q is the posterior, M = ‖w‖² + σ²."""
    w = math.sqrt(EIGENVALUES[2] - SIGMA**2) * EIGENVECTORS[:, 2]
    m = w @ w + SIGMA**2
    encoder = np.stack([w / m, np.zeros(3)], 1), np.array([0.0, 0.5 * math.log(SIGMA**2 / m)])
    tree = {"prior": {}, "likelihood": (w[None], np.zeros(3)), "posterior": encoder}

    def dense(pair):
        return {"Dense_0": dict(zip(("kernel", "bias"), map(jnp.float32, pair), strict=True))}

    return {name: dense(pair) if pair else {} for name, pair in tree.items()}


def whitened(num):
    """x [num, 3] of mean 0 and covariance PPCA_COV, to rounding."""
    x = np.random.default_rng(0).normal(size=(num, 3))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T
    return jnp.asarray(x @ np.linalg.cholesky(PPCA_COV).T, jnp.float32)


def test_the_elbo_of_a_linear_autoencoder_is_log_p_of_probabilistic_pca_where_q_is_exact():
    """Tight for every draw at the optimum, and lower by the KL of q elsewhere."""
    model, params, x = linear_autoencoder(), optimum(), whitened(200)
    w = np.asarray(params["likelihood"]["Dense_0"]["kernel"])[0]
    run = jit(lambda params, key, x: log_weights(model, params, key, x)[0])
    got = run(params, jax.random.key(0), x)
    cov = np.outer(w, w) + SIGMA**2 * np.eye(3)
    quadratic = (x @ np.linalg.inv(cov) * x).sum(-1)
    log_p = -0.5 * (quadratic + np.linalg.slogdet(2 * math.pi * cov).logabsdet)
    np.testing.assert_allclose(got, log_p, rtol=1e-4)

    shift, log_scale = 0.3, 0.2  # away from the posterior of standard deviation s
    off = jax.tree.map(jnp.asarray, params)
    s = math.exp(params["posterior"]["Dense_0"]["bias"][1])
    off["posterior"]["Dense_0"]["bias"] += jnp.array([shift * s, log_scale])
    kl = 0.5 * (math.exp(2 * log_scale) + shift**2 - 1) - log_scale
    many = jnp.tile(x[:1], (20_000, 1))
    gap = log_p[0] - run(off, jax.random.key(1), many)
    assert abs(gap.mean() - kl) < 4 * gap.std() / math.sqrt(20_000) and kl > 0.05


def test_a_linear_autoencoder_learns_the_optimum_of_probabilistic_pca():
    """max log p = -½ (d log 2π + log λ_1 + (d - q) log σ² + d). Tipping and Bishop (1999)."""
    model, x = linear_autoencoder(), whitened(200)

    def loss(params, key, x):
        return -log_weights(model, params, key, x).mean(), {}

    descent = gradient_descent(model.init, loss, optax.adam(optax.cosine_decay_schedule(0.03, 600)))
    run = jit(lambda key: fit(descent, key, lambda key, t: x, num_steps=600))
    state, metrics = run(jax.random.key(0))
    best = -0.5 * (3 * math.log(2 * math.pi) + np.log(EIGENVALUES[2]) + 4 * math.log(SIGMA) + 3)
    np.testing.assert_allclose(-metrics["loss"][-50:].mean(), best, atol=2e-3)
    assert metrics["loss"][0] > 0.5 - best
    w = state.params["likelihood"]["Dense_0"]["kernel"][0]
    wanted = (EIGENVALUES[2] - SIGMA**2) * np.outer(EIGENVECTORS[:, 2], EIGENVECTORS[:, 2])
    np.testing.assert_allclose(np.outer(w, w), wanted, atol=0.02)


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
@pytest.mark.parametrize("make", [maf, pytest.param(iaf, marks=pytest.mark.full), realnvp])
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
