"""Distillation: zero at student = teacher, the closed form between Gaussians, a frozen teacher."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.autoregressive import made
from dgm_jax.combinators import fixed, invert, pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import autoregression, distillation, iaf, maf
from dgm_jax.learning import gradient_descent
from dgm_jax.likelihoods import gaussian
from dgm_jax.objectives import mean_and_stderr
from dgm_jax.protocol import Density
from tests.contracts.compiled import jit
from tests.helpers import drawn

DIM = 3


def test_it_is_zero_on_every_sample_where_student_and_teacher_are_one():
    """One autoregression, run as an IAF by the student, as an inverted MAF by the teacher."""
    two = {"num_layers": 2, "hidden": (8,)}
    student = pushforward(iaf(DIM, **two), standard_normal(DIM))
    teacher = pushforward(invert(maf(DIM, **two)), standard_normal(DIM))
    params = drawn(student)
    run = jit(
        lambda params, key: distillation(student, params, key, teacher, params, num_samples=50)
    )
    for seed in range(3):
        assert abs(run(params, jax.random.key(seed))[0]) < 1e-5
    other = {"base": {}, "flow": jax.tree.map(lambda a: 1.5 * a, params["flow"])}
    got = jit(
        lambda params, key: distillation(student, params, key, teacher, other, num_samples=500)[0]
    )(params, jax.random.key(0))
    assert got > 0.01


def scaled(shift, scale):
    """x = shift + scale · z, as a flow without a network."""
    return fixed(distrax.Block(distrax.ScalarAffine(jnp.asarray(shift), jnp.asarray(scale)), 1))


def test_between_gaussians_it_is_the_closed_form_and_so_are_its_two_terms():
    mean, scale = jnp.array([0.3, -0.5]), jnp.array([0.7, 1.6])
    student = pushforward(scaled(mean, scale), standard_normal(2))
    teacher = standard_normal(2)
    nothing = {"base": {}, "flow": {}}

    def both(key):
        return distillation(student, nothing, key, teacher, {}, num_samples=200)

    losses, metrics = jit(jax.vmap(both))(jax.random.split(jax.random.key(0), 200))
    entropy = 0.5 * jnp.log(2 * jnp.pi * jnp.e * scale**2).sum()
    cross_entropy = 0.5 * (jnp.log(2 * jnp.pi) + scale**2 + mean**2).sum()
    np.testing.assert_allclose(metrics["entropy"], entropy, rtol=1e-5)  # exact, sample by sample
    for values, wanted in [
        (losses, cross_entropy - entropy),
        (metrics["cross_entropy"], cross_entropy),
    ]:
        got, stderr = mean_and_stderr(values)
        assert abs(got - wanted) < 4 * stderr and stderr < 0.02 * wanted


def test_the_entropy_of_a_logistic_student_is_log_scale_plus_two():
    def logistic(params, cond=None, *, key=None):
        return distrax.Independent(distrax.Logistic(jnp.zeros(2), jnp.ones(2)), 1)

    base = Density(lambda key: {}, logistic)
    student = pushforward(scaled([1.0, 0.0], [0.5, 3.0]), base)
    nothing = {"base": {}, "flow": {}}
    _, metrics = distillation(
        student, nothing, jax.random.key(0), standard_normal(2), {}, num_samples=5
    )
    np.testing.assert_allclose(metrics["entropy"], np.log(0.5) + np.log(3.0) + 4, rtol=1e-5)


def test_the_teacher_gets_no_gradient_and_every_part_of_the_student_does():
    student = pushforward(autoregression(DIM, hidden=(8,)), standard_normal(DIM))
    teacher = made(DIM, gaussian(), hidden=(8,))

    def loss(params, teacher_params, key):
        return distillation(student, params, key, teacher, teacher_params, num_samples=64)[0]

    grad = jit(jax.grad(loss, argnums=(0, 1)))
    of_student, of_teacher = grad(drawn(student), drawn(teacher, seed=1), jax.random.key(2))
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(of_teacher))
    assert all(jnp.abs(leaf).max() > 1e-6 for leaf in jax.tree.leaves(of_student))


def test_a_student_learns_its_teacher():
    """A Gaussian is within the reach of an affine autoregression: KL 0."""
    student = pushforward(autoregression(2, hidden=(8,)), standard_normal(2))
    teacher = Density(
        lambda key: {},
        lambda params, cond=None, key=None: distrax.MultivariateNormalFullCovariance(
            jnp.array([1.0, -0.5]), jnp.array([[1.0, 0.6], [0.6, 0.8]])
        ),
    )
    descent = gradient_descent(
        student.init,
        lambda params, key, batch: distillation(student, params, key, teacher, {}, num_samples=128),
        optax.adam(optax.cosine_decay_schedule(0.03, 600)),
    )

    @jax.jit
    def train(key):
        def body(state, k):
            state, metrics = descent.step(state, k, None)
            return state, metrics["kl"]

        init_key, loop_key = jax.random.split(key)
        return jax.lax.scan(body, descent.init(init_key), jax.random.split(loop_key, 600))[1]

    kl = train(jax.random.key(0))
    assert kl[0] > 0.5 and abs(kl[-50:].mean()) < 0.01


def test_a_student_that_is_no_pushforward_is_refused():
    model = made(DIM, gaussian(), hidden=(4,))
    with pytest.raises(ValueError, match="pushforward"):
        jax.eval_shape(
            lambda: distillation(
                model, model.init(jax.random.key(0)), jax.random.key(1), model, {}, num_samples=2
            )
        )
