"""β-TCVAE, β-VAE and controlled capacity: weights of the parts of one ELBO."""

import jax
import numpy as np
import optax
import pytest

from dgm_jax import disentangled, learning, objectives
from tests.contracts.compiled import jit
from tests.disentangled.models import bits, small_vae
from tests.helpers import drawn

NUM = 50
MODEL = small_vae()
PARAMS = drawn(MODEL, 0.7)
X = bits(8)


def of(loss, **options):
    return lambda params, key: loss(MODEL, params, key, X, num_data=NUM, **options)


LOSSES = {
    "elbo": lambda params, key: objectives.elbo(MODEL, params, key, X),
    "beta 1": of(disentangled.beta_vae_loss, beta=1.0),
    "beta 4": of(disentangled.beta_vae_loss, beta=4.0),
    "tc 1": of(disentangled.tc_vae_loss, beta=1.0),
    "tc 1, weighted": of(disentangled.tc_vae_loss, beta=1.0, estimate="weighted"),
    "tc": of(disentangled.tc_vae_loss, beta=5.0, alpha=0.5, gamma=2.0),
    "below": of(disentangled.capacity_loss, capacity=0.01, gamma=10.0),
    "above": of(disentangled.capacity_loss, capacity=1000.0, gamma=10.0),
    "met": of(disentangled.capacity_loss, capacity=1000.0, gamma=0.0),
}


@pytest.fixture(scope="module")
def found():
    """Every loss with its gradient, of the same draws."""

    def all_of(params, key):
        again = jax.random.clone
        losses = {
            name: jax.value_and_grad(loss, has_aux=True)(params, again(key))
            for name, loss in LOSSES.items()
        }
        terms = objectives.elbo_terms(MODEL, params, again(key), X, num_data=NUM)
        return losses | {"terms": terms}

    return jax.tree.map(np.asarray, jit(all_of)(PARAMS, jax.random.key(3)))


def loss_of(found, name):
    return found[name][0][0]


def test_with_weights_of_1_all_are_the_negative_elbo(found):
    for name in ("beta 1", "tc 1", "tc 1, weighted"):
        assert loss_of(found, name) == pytest.approx(loss_of(found, "elbo"), rel=1e-6)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
            found[name][1],
            found["elbo"][1],
        )


def test_each_loss_is_its_weights_times_its_parts(found):
    terms = found["terms"]
    i, tc, dim = terms.mutual_information, terms.total_correlation, terms.dimension_kl
    assert min(abs(i), abs(tc), abs(dim)) > 0.01
    expected = {
        "beta 4": terms.distortion + 4 * terms.kl,
        "tc": terms.distortion + 0.5 * i + 5 * tc + 2 * dim,
        "below": terms.distortion + 10 * (terms.kl - 0.01),
        "above": terms.distortion + 10 * (1000 - terms.kl),
        "met": terms.distortion,
    }
    for name, value in expected.items():
        assert loss_of(found, name) == pytest.approx(value, rel=1e-5), name


def test_below_its_capacity_the_kl_is_pushed_up_and_above_it_down(found):
    """By the gradient of γ |KL - C|, where that of the distortion is taken away."""

    def of_kl(name):
        flat = lambda tree: np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])
        return flat(found[name][1]) - flat(found["met"][1])

    np.testing.assert_allclose(of_kl("below"), -of_kl("above"), atol=1e-4)
    assert np.abs(of_kl("below")).max() > 1


def test_the_parts_are_told_and_sum_to_the_kl(found):
    told = found["tc"][0][1]
    parts = [told[name] for name in ("mutual_information", "total_correlation", "dimension_kl")]
    assert sum(parts) == pytest.approx(told["kl"], rel=1e-5)
    assert told["neg_elbo"] == pytest.approx(loss_of(found, "elbo"), rel=1e-6)


def test_the_capacity_may_grow_with_the_step():
    def loss(params, key, x, weights):
        return disentangled.capacity_loss(
            MODEL, params, key, x, capacity=weights["capacity"], num_data=NUM
        )

    weights = {"capacity": optax.linear_schedule(0.0, 25.0, 100)}
    algorithm = learning.gradient_descent(MODEL.init, loss, optax.adam(1e-3), weights=weights)
    key = jax.random.key(0)
    state = jax.eval_shape(algorithm.init, key)
    assert "kl" in jax.eval_shape(algorithm.step, state, key, X)[1]
