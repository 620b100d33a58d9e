"""Gradients of E f(z) against closed forms: f(z) = ‖z‖² and z ~ N(μ, I), whose gradient is 2μ."""

import functools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.objectives import leave_one_out, pathwise, score_function, sticking_the_landing
from dgm_jax.protocol import Density
from tests.contracts.compiled import jit

MU, NUM = 0.7, 20_000
NORMAL = Density(
    lambda key: {"mean": jnp.full(1, MU), "log_scale": jnp.zeros(())},
    lambda params, cond=None, *, key=None: distrax.MultivariateNormalDiag(
        params["mean"], jnp.exp(params["log_scale"]) * jnp.ones(1)
    ),
)
LEVELS = Density(
    lambda key: jnp.float32([0.5, -0.2, 0.1]),
    lambda params, cond=None, *, key=None: distrax.Categorical(logits=params),
)


def square(z):
    return jnp.square(z).sum(-1)


def draws(estimator, model, params, num=NUM, **options):
    """num values and gradients, each of K samples."""
    one = lambda params, key: estimator(model, params, key, **options)
    many = jax.vmap(jax.value_and_grad(one), (None, 0))
    return many(params, jax.random.split(jax.random.key(3), num))


@jit
def of_the_mean():
    params = NORMAL.init(None)
    of = functools.partial(draws, model=NORMAL, params=params, function=square)
    return {
        "no baseline": of(score_function, num_samples=1),
        "baseline": of(score_function, num_samples=1, baseline=MU**2 + 3),
        "leave one out": of(leave_one_out, num_samples=4),
        "pathwise": of(pathwise, num_samples=1),
    }


VARIANCES = {
    "no baseline": MU**4 + 14 * MU**2 + 15,
    "baseline": 8 * MU**2 + 6,
    "pathwise": 4,
    # of a covariance of 4 samples: (E (f - Ef)² ε² - 2/3 cov² + var f / 3) / 4
    "leave one out": (12 * MU**2 + 10 - 2 / 3 * (2 * MU) ** 2 + (4 * MU**2 + 2) / 3) / 4,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_the_gradient_has_the_mean_and_the_variance_of_the_closed_form(name):
    value, gradient = jax.device_get(of_the_mean())[name]
    gradient = np.float64(gradient["mean"][:, 0])
    np.testing.assert_allclose(value.mean(), MU**2 + 1, atol=0.05)
    error = np.sqrt(VARIANCES[name] / NUM)
    assert abs(gradient.mean() - 2 * MU) < 4 * error
    spread = np.std((gradient - gradient.mean()) ** 2) / np.sqrt(NUM)  # of the variance
    assert abs(gradient.var() - VARIANCES[name]) < 4 * spread < 0.25 * VARIANCES[name]


def test_leaving_one_out_has_less_variance_than_no_baseline():
    """Both of 4 samples."""
    found = jax.device_get(of_the_mean())
    spread = {name: gradient["mean"].var() for name, (_, gradient) in found.items()}
    assert spread["leave one out"] < 0.8 * spread["no baseline"] / 4


def test_sticking_the_landing_is_zero_at_the_optimum_and_elsewhere_the_gradient_in_expectation():
    """Of E [log N(z; 0, 1) - log q(z)], -μ by the mean and 1 - σ² by log σ."""
    log_target = lambda z: distrax.Normal(0.0, 1.0).log_prob(z).sum(-1)

    @jit
    def find():
        at = lambda mean, log_scale: draws(
            sticking_the_landing,
            NORMAL,
            {"mean": jnp.full(1, mean), "log_scale": jnp.float32(log_scale)},
            function=log_target,
            num_samples=1,
        )
        return at(0.0, 0.0), at(0.5, 0.4)

    (value, landed), (_, gradient) = jax.device_get(find())
    for of_each in (value, landed["mean"], landed["log_scale"]):
        assert np.abs(of_each).max() < 1e-5
    for name, wanted in (("mean", -0.5), ("log_scale", 1 - np.exp(0.8))):
        found = np.float64(gradient[name]).ravel()
        error = found.std() / np.sqrt(NUM)
        assert error < 0.02 and abs(found.mean() - wanted) < 4 * error


@pytest.mark.parametrize("estimator", [score_function, leave_one_out])
def test_levels_have_the_gradient_of_the_sum_over_them(estimator):
    values = jnp.float32([1.0, -2.0, 4.0])
    exact = jax.grad(lambda logits: jax.nn.softmax(logits) @ values)(LEVELS.init(None))
    find = functools.partial(
        draws, estimator, LEVELS, function=lambda z: values[z], num_samples=2, num=20_000
    )
    gradient = np.float64(jit(find)(LEVELS.init(None))[1])
    error = gradient.std(0) / np.sqrt(len(gradient))
    assert (error < 0.05).all() and (np.abs(gradient.mean(0) - exact) < 4 * error).all()


@pytest.mark.parametrize("estimator", [score_function, leave_one_out, pathwise])
def test_what_the_function_depends_on_is_differentiated_too(estimator):
    """f(z) = a z²: the derivative by a is the mean of z²."""

    @jit
    def find(a):
        key, params = jax.random.key(0), NORMAL.init(None)
        loss = lambda a: estimator(NORMAL, params, key, lambda z: a * square(z), num_samples=5)
        value, gradient = jax.value_and_grad(loss)(a)
        return value / a, gradient

    value, gradient = find(3.0)
    np.testing.assert_allclose(gradient, value, rtol=1e-5)


@pytest.mark.parametrize("estimator", [pathwise, sticking_the_landing])
def test_samples_that_choose_are_refused(estimator):
    with pytest.raises(checks.InputError, match="leave_one_out"):
        estimator(LEVELS, LEVELS.init(None), jax.random.key(0), square, num_samples=2)


def test_one_sample_cannot_be_its_own_baseline():
    with pytest.raises(checks.InputError, match="num_samples must be an integer of at least 2"):
        leave_one_out(NORMAL, NORMAL.init(None), jax.random.key(0), square, num_samples=1)
