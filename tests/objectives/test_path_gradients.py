"""Gradients without the score of the posterior, on models that are known in closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.likelihoods import bernoulli
from dgm_jax.objectives import dreg, iwae, stl
from dgm_jax.vae import stochastic_layers
from tests.contracts.compiled import jit
from tests.helpers import drawn
from tests.objectives import linear

X = jnp.float32([[-2.0], [0.3], [1.7]])


def gradients(objective, model, params, keys, x, **options):
    """Of each key, in one program: {part: {name: [n]}}."""
    loss = lambda params, key: objective(model, params, key, x, **options)[0]
    return jax.vmap(jax.grad(loss), (None, 0))(params, keys)


def flat(tree):
    """{name: float64 numbers}"""
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(tree))
    return {jax.tree_util.keystr(path): np.float64(leaf) for path, leaf in leaves}


@jit
def of_one_draw():
    model, params = linear.model(), linear.numbers()
    find = lambda objective, **options: jax.value_and_grad(
        lambda p: objective(model, p, jax.random.key(0), X, **options)[0]
    )(params)
    return {
        "dreg": find(dreg, num_samples=5),
        "iwae": find(iwae, num_samples=5),
        "dreg 1": find(dreg, num_samples=1),
        "stl 1": find(stl),
    }


def test_the_value_and_the_gradient_of_the_decoder_are_those_of_the_importance_weighted_bound():
    found = jax.device_get(of_one_draw())
    (value, gradient), (wanted, by_autodiff) = found["dreg"], found["iwae"]
    np.testing.assert_allclose(value, wanted, rtol=1e-6)
    for name, of_decoder in by_autodiff["decoder"].items():
        np.testing.assert_allclose(gradient["decoder"][name], of_decoder, rtol=1e-4)
    assert abs(gradient["encoder"]["a"] - by_autodiff["encoder"]["a"]) > 0.01


def test_with_one_sample_it_is_sticking_the_landing():
    found = jax.device_get(of_one_draw())
    one, other = flat(found["dreg 1"]), flat(found["stl 1"])
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objective", [functools.partial(dreg, num_samples=4), stl])
def test_with_the_exact_posterior_its_gradient_is_zero_for_every_sample(objective):
    params = linear.exact()
    find = jit(lambda keys: gradients(objective, linear.model(), params, keys, X[:1]))
    found = find(jax.random.split(jax.random.key(0), 50))
    for name, values in flat(found["encoder"]).items():
        assert np.abs(values).max() < 2e-6, name
    assert np.abs(found["decoder"]["w"]).max() > 0.1


@pytest.mark.parametrize("make", [linear.model, linear.shared])
def test_in_expectation_it_is_the_gradient_of_the_bound(make):
    """Of weights of their own, and of one weight that all three distributions share."""
    model = make()
    params, x, half = model.init(jax.random.key(0)), jnp.tile(X, (20, 1)), 400

    @jit
    def find(keys):
        doubly = gradients(dreg, model, params, keys[:half], x, num_samples=3)
        return doubly, gradients(iwae, model, params, keys[half:], x, num_samples=3)

    doubly, by_autodiff = map(flat, find(jax.random.split(jax.random.key(1), 2 * half)))
    for name, one in doubly.items():
        other = by_autodiff[name]
        error = np.sqrt((one.var() + other.var()) / half)
        assert error < 0.1 * abs(other.mean()), name
        assert abs(one.mean() - other.mean()) < 4 * error, name


def test_the_signal_to_noise_ratio_follows_the_theorem_of_rainforth_et_al():
    """As √K for the decoder, as 1/√K for the posterior, and as √K for it by `dreg`."""
    num, counts = 20_000, (8, 64)
    params = linear.exact()
    of_q = {"b": params["encoder"]["b"] + 0.5, "log_s": params["encoder"]["log_s"] + 0.2}
    params["encoder"] |= of_q

    @jit
    def ratios():
        def of(objective, k):
            keys = jax.random.split(jax.random.key(k), num)
            found = gradients(objective, linear.model(), params, keys, X[2:], num_samples=k)
            return jax.tree.map(lambda g: jnp.abs(g.mean()) / g.std(), found)

        return [{f.__name__: of(f, k) for f in (iwae, dreg)} for k in counts]

    few, many = jax.device_get(ratios())
    for name, part, number, wanted in (
        ("iwae", "decoder", "m", 0.5),
        ("iwae", "encoder", "b", -0.5),
        ("dreg", "decoder", "m", 0.5),
        ("dreg", "encoder", "b", 0.5),
    ):
        assert many[name][part][number] > 5 / np.sqrt(num)  # above its own error
        power = np.log(many[name][part][number] / few[name][part][number]) / np.log(8)
        assert abs(power - wanted) < 0.12, (name, part)


def test_a_hierarchy_of_groups_has_the_bound_of_its_three_distributions():
    """z is a tuple; the gradient of what the posterior does not share is that of `iwae`."""
    model = stochastic_layers(3, bernoulli(), num_latents=(2, 1), hidden=((3,), (3,)))
    params, x = drawn(model), jnp.int32([[0, 1, 1], [1, 0, 1]])

    @jit
    def find():
        of = lambda objective: jax.value_and_grad(
            lambda p: objective(model, p, jax.random.key(0), x, num_samples=3)[0]
        )(params)
        return of(dreg), of(iwae)

    (value, gradient), (wanted, other) = jax.device_get(find())
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    for one, two in zip(*map(jax.tree.leaves, (gradient["likelihood"], other["likelihood"]))):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-6)
