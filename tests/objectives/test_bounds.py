"""Bounds of log p(x), where the truth is known: z ~ N(0, 1), x | z ~ N(2 z, 1).

And KL(q ‖ p) by the parts of z: in closed form, floored by free bits, weighed by β.
"""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import checks, learning
from dgm_jax.objectives import dreg, elbo, infer, iwae, log_weights, stl
from dgm_jax.protocol import Inferred, LatentVariable
from tests.contracts.compiled import jit
from tests.objectives import linear


def model(gain, scale):
    """The posterior is N(gain · x, scale²); the exact one has 2/5 and 1/√5."""

    def normal(mean, scale):
        return distrax.MultivariateNormalDiag(mean, jnp.full_like(mean, scale))

    return LatentVariable(
        lambda key: {},
        prior=lambda params, cond=None, *, key=None: normal(jnp.zeros(1), 1.0),
        likelihood=lambda params, z, cond=None, *, key=None: normal(
            2 * z + (0 if cond is None else cond), 1.0
        ),
        posterior=lambda params, x, cond=None, *, key=None: normal(
            gain * (x - (0 if cond is None else cond)), scale
        ),
    )


X = np.linspace(-3, 3, 7, dtype=np.float32)[:, None]
EXACT = -0.5 * (X[:, 0] ** 2 / 5 + np.log(2 * np.pi * 5))  # x ~ N(0, 5)


def weights(model, num, cond=None):
    x = X if cond is None else X + cond
    draw = jit(lambda key: log_weights(model, {}, key, x, cond, num_samples=num))
    return draw(jax.random.key(0))


@pytest.mark.parametrize(
    "cond",
    [None, np.linspace(1, 2, 7, dtype=np.float32)[:, None], np.float32([1.5])],
    ids=["", "one for each", "one for all"],
)
def test_with_the_exact_posterior_every_weight_is_the_likelihood(cond):
    log_w = weights(model(0.4, 5**-0.5), 3, cond)
    np.testing.assert_allclose(log_w, np.broadcast_to(EXACT, (3, 7)), atol=2e-5)


def test_with_another_posterior_the_weights_average_to_the_likelihood_and_the_elbo_is_below():
    log_w = np.asarray(weights(model(0.2, 0.8), 20_000), np.float64)
    np.testing.assert_allclose(np.log(np.exp(log_w).mean(0)), EXACT, atol=0.03)
    gap = 0.5 * (5 * 0.64 - 1 - np.log(5 * 0.64) + 5 * (0.2 * X[:, 0]) ** 2)  # KL(q ‖ posterior)
    np.testing.assert_allclose(log_w.mean(0), EXACT - gap, atol=0.06)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 1; got 0"):
        log_weights(model(0.4, 1.0), {}, jax.random.key(0), X, num_samples=0)


# --------------------------------------------------------------------------- the bounds as losses
def test_the_bounds_with_the_exact_posterior_are_the_likelihood_for_every_k():
    """C2. Of every draw, not in expectation."""
    x = jnp.float32([[-2.0], [0.3], [1.7]])

    @jit
    def find():
        key = lambda: jax.random.key(0)
        of = lambda bound, **options: bound(linear.model(), linear.exact(), key(), x, **options)[0]
        several = {f"iwae {num}": of(iwae, num_samples=num) for num in (1, 2, 7)}
        return several | {"dreg": of(dreg, num_samples=3), "stl": of(stl, num_samples=3)}

    for name, value in find().items():
        np.testing.assert_allclose(value, -linear.log_prob(x).mean(), rtol=2e-6, err_msg=name)


def test_more_samples_tighten_the_bound_and_the_gap_is_the_relative_variance_over_2k():
    """C3 and T34. The weights are those of N(0.3, 1) for the posterior of x = 0.9."""
    of_q = {"a": 0.2, "b": 0.12, "log_s": 0.0}
    params = linear.numbers({"decoder": {"m": 0.3, "w": 1.5}, "encoder": of_q})
    x, num = jnp.full((40_000, 1), 0.9, jnp.float32), 64

    @jit
    def find(key):
        log_w = log_weights(linear.model(), params, key, x, num_samples=num)
        groups = lambda k: log_w.reshape(num // k, k, len(x))
        return log_w, {k: jax.nn.logsumexp(groups(k), 1) - np.log(k) for k in (1, 4, 16, 64)}

    log_w, bounds = jax.device_get(find(jax.random.key(0)))
    exact = linear.log_prob(0.9)
    off = {k: np.float64(bound) - exact for k, bound in bounds.items()}
    gaps = {k: -value.mean() for k, value in off.items()}
    assert gaps[1] > gaps[4] > gaps[16] > gaps[64] > 0
    relative = np.exp(np.float64(log_w) - exact).var()
    for k in (16, 64):
        each = np.expm1(off[k]) - off[k]  # E w = p(x) makes it the gap too, with less noise
        error = each.std() / np.sqrt(each.size)
        np.testing.assert_allclose(each.mean(), gaps[k], atol=5 * off[k].std() / each.size**0.5)
        assert error < 0.03 * each.mean()
        np.testing.assert_allclose(each.mean(), relative / 2 / k, rtol=0.1)


def test_the_value_of_each_loss_is_the_mean_of_its_bound_over_the_batch():
    x = jnp.float32([[-2.0], [0.3], [1.7]])

    @jit
    def find():
        of = lambda f, **options: f(
            linear.model(), linear.numbers(), jax.random.key(5), x, num_samples=4, **options
        )
        return of(log_weights), of(elbo), of(stl), of(iwae), of(infer)

    log_w, (of_elbo, told), (of_stl, _), (of_iwae, _), found = jax.device_get(find())
    np.testing.assert_allclose(of_stl, -log_w.mean(), rtol=1e-6)
    np.testing.assert_allclose(of_iwae, -np.log(np.exp(log_w).mean(0)).mean(), rtol=1e-6)
    np.testing.assert_allclose(told["distortion"], -found.log_likelihood.mean(), rtol=1e-6)
    np.testing.assert_allclose(told["distortion"] + told["kl"], of_elbo, rtol=1e-6)
    assert found.kl["z"].shape == (4, 3, 1)
    mean, scale = 0.2 * x - 0.4, np.exp(-0.4)  # in closed form, of the prior N(0.3, 1)
    kl = 0.5 * (scale**2 + (mean - 0.3) ** 2 - 1) + 0.4
    np.testing.assert_allclose(found.kl["z"][2], kl, rtol=1e-5)


def test_the_course_problem_has_the_optimum_of_its_closed_form():
    """C1: E ELBO = -1 - ½ log 2π at θ = μ, φ = -μ.

    x | z ~ N(z + θ, 1), x ~ N(μ, 1): q(z | x) = N(x + φ, 1) gives log N(x; z + θ, 1) - KL.
    """
    mu = 0.8

    def posterior(params, x, cond=None, *, key=None):
        return linear.normal(x + params["phi"])

    toy = LatentVariable(
        lambda key: {"theta": jnp.zeros(()), "phi": jnp.zeros(())},
        prior=lambda params, cond=None, *, key=None: linear.normal(jnp.zeros(1)),
        likelihood=lambda params, z, cond=None, *, key=None: linear.normal(z + params["theta"]),
        posterior=posterior,
    )
    x = mu + jax.random.normal(jax.random.key(1), (200_000, 1))
    value = lambda params, key: elbo(toy, params, key, x)[0]

    @jit
    def find(key):
        best = {"theta": jnp.float32(mu), "phi": jnp.float32(-mu)}
        return jax.value_and_grad(value)(best, key)

    loss, gradient = jax.device_get(find(jax.random.key(2)))
    np.testing.assert_allclose(loss, 1 + 0.5 * np.log(2 * np.pi), atol=0.01)
    assert max(abs(g) for g in gradient.values()) < 0.02


# ------------------------------------------------------------------------------------ parts of KL
def of_kl(kl, distortion=2.0):
    """A model that finds this KL of one group or more, whose parameters are the numbers in it."""

    def infer(params, key, x, cond=None, *, num_samples=1, parts_key=None):
        one = jnp.zeros((num_samples, len(x)))
        groups = {
            name: jnp.broadcast_to(v, (*one.shape, *jnp.shape(v))) for name, v in params.items()
        }
        return Inferred(one, one - distortion, one, one, groups)

    plain = lambda params, *args, key=None: linear.normal(jnp.zeros(1))
    return LatentVariable(lambda key: kl, plain, plain, plain, infer)


def loss_and_gradient(kl, rows=2, **options):
    model, x = of_kl(kl), jnp.zeros((rows, 1))

    @jit
    def find(kl):
        return jax.value_and_grad(
            lambda p: elbo(model, p, jax.random.key(0), x, **options), has_aux=True
        )(kl)

    (loss, told), gradient = jax.device_get(find(kl))
    return loss, told, gradient


@pytest.mark.parametrize("rows", [1, 5])
def test_free_bits_of_an_entry_floor_its_mean_and_leave_the_others_alone(rows):
    """T80: KL (0.1, 3) and λ = 1 cost 1 + 3, and the gradient is (0, 1)."""
    kl = {"z": jnp.float32([0.1, 3.0])}
    loss, told, gradient = loss_and_gradient(kl, rows, free_bits=1.0)
    np.testing.assert_allclose(loss, 2 + 1 + 3, rtol=1e-6)
    np.testing.assert_allclose(gradient["z"], [0, 1])
    np.testing.assert_allclose([told["kl"], told["neg_elbo"]], [3.1, 5.1], rtol=1e-6)


def test_free_bits_of_a_group_floor_the_sum_of_its_entries():
    kl = {"low": jnp.float32([0.1, 3.0]), "high": jnp.float32([0.2, 0.3])}
    loss, told, gradient = loss_and_gradient(kl, free_bits=1.0, per="group")
    np.testing.assert_allclose(loss, 2 + 3.1 + 1, rtol=1e-6)
    np.testing.assert_allclose(gradient["low"], [1, 1])
    np.testing.assert_allclose(gradient["high"], [0, 0])
    np.testing.assert_allclose([told["kl/low"], told["kl/high"]], [3.1, 0.5], rtol=1e-6)


def test_free_bits_are_of_the_mean_over_the_batch_not_of_each_example():
    """T35: KL 0 and 3 of two examples is 1.5 on average, above λ = 1; each alone would cost 1."""
    of_each = {"z": jnp.float32([[0.0], [3.0]])}  # [batch, entries]

    def infer(params, key, x, cond=None, *, num_samples=1, parts_key=None):
        one = jnp.zeros((num_samples, 2))
        kl = {name: jnp.broadcast_to(v, (num_samples, *v.shape)) for name, v in params.items()}
        return Inferred(one, one, one, one, kl)

    model = of_kl(of_each)._replace(infer=infer)
    find = lambda p: elbo(model, p, jax.random.key(0), jnp.zeros((2, 1)), free_bits=1.0)[0]
    np.testing.assert_allclose(find(of_each), 1.5)
    np.testing.assert_allclose(jax.grad(find)(of_each)["z"], [[0.5], [0.5]])


def test_beta_weighs_the_floored_divergence_and_a_sampled_one_may_be_negative():
    kl = {"z": jnp.float32([0.1, 3.0])}
    loss, _, gradient = loss_and_gradient(kl, free_bits=1.0, beta=0.5)
    np.testing.assert_allclose([loss, *gradient["z"]], [2 + 0.5 * 4, 0, 0.5], rtol=1e-6)
    loss, told, gradient = loss_and_gradient({"z": jnp.float32(-0.25)})
    np.testing.assert_allclose([loss, told["kl"], gradient["z"]], [1.75, -0.25, 1], rtol=1e-6)


def test_every_option_changes_the_loss_with_several_samples_too():
    """T76."""
    x = jnp.float32([[-2.0], [0.3], [1.7]])

    @jit
    def find(beta, free_bits):
        of = lambda beta, free_bits: elbo(
            linear.model(),
            linear.numbers(),
            jax.random.key(0),
            x,
            num_samples=3,
            beta=beta,
            free_bits=free_bits,
        )[0]
        return jax.grad(of, (0, 1))(beta, free_bits)

    assert all(abs(slope) > 0.1 for slope in find(0.7, 2.0))


def test_a_schedule_of_beta_is_a_function_of_the_step():
    """T81: warm-up over 4 steps, as weights of gradient_descent."""
    kl = {"z": jnp.float32(3.0)}
    model = of_kl(kl)

    def loss(params, key, x, weights):
        return elbo(model, params, key, x, beta=weights["beta"])

    algorithm = learning.gradient_descent(
        model.init, loss, optax.set_to_zero(), weights={"beta": optax.linear_schedule(0, 1, 4)}
    )
    step, state = jit(algorithm.step), algorithm.init(jax.random.key(0))
    losses = []
    for i in range(6):
        state, told = step(state, jax.random.key(i), jnp.zeros((2, 1)))
        losses.append(float(told["loss"]))
    np.testing.assert_allclose(losses, [2 + 3 * b for b in (0, 0.25, 0.5, 0.75, 1, 1)], rtol=1e-6)


# -------------------------------------------------------------------------------- what is refused
X_BAD = jnp.zeros((3, 1))


def refused(objective, model, match, **options):
    """Nothing is compiled."""
    params = model.init(jax.random.key(0))
    x = options.pop("x", X_BAD)
    with pytest.raises(checks.InputError, match=match):
        jax.eval_shape(lambda p: objective(model, p, jax.random.key(0), x, **options), params)


@pytest.mark.parametrize("kind", ["levels", "mixture"])
@pytest.mark.parametrize("objective", [elbo, iwae, dreg, stl])
def test_a_posterior_whose_samples_choose_is_refused(objective, kind):
    def posterior(params, x, cond=None, *, key=None):
        if kind == "levels":
            return distrax.Independent(distrax.Bernoulli(logits=x), 1)
        parts = linear.normal(jnp.stack([x, -x], -2))
        return distrax.MixtureSameFamily(distrax.Categorical(jnp.zeros((len(x), 2))), parts)

    options = {"num_samples": 2}
    model = linear.model()._replace(posterior=posterior)
    refused(objective, model, "reparametrised.*leave_one_out", **options)


def test_free_bits_by_entry_need_entries():
    one = of_kl({"z": jnp.float32(3.0)})
    refused(elbo, one, "Give per='group'", free_bits=0.5)
    refused(elbo, one, "Give per='group'", free_bits=jnp.float32(0.5))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"beta": -1.0}, "beta must be a finite number of at least 0; got -1.0"),
        ({"free_bits": -0.1}, "free_bits must be a finite number of at least 0; got -0.1"),
        ({"beta": jnp.ones(2)}, r"beta must be one number; got shape \(2,\)"),
        ({"per": "layer"}, "per must be one of entry, group"),
        ({"num_samples": 0}, "num_samples must be an integer of at least 1; got 0"),
        ({"x": X_BAD[:0]}, "x is empty"),
    ],
)
def test_what_no_bound_can_mean_is_refused(options, match):
    refused(elbo, linear.model(), match, **options)


def test_a_latent_dimension_that_fits_only_one_of_prior_and_posterior_is_refused():
    def prior(params, cond=None, *, key=None):
        return distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))

    refused(elbo, linear.model()._replace(prior=prior), "same event_shape")
