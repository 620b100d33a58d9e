"""Stochastic layers: a linear Gaussian hierarchy whose posterior and likelihood are known."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.distributions import standard_normal
from dgm_jax.likelihoods import bernoulli, discretized_logistic
from dgm_jax.objectives import infer
from dgm_jax.protocol import Density
from dgm_jax.vae import hierarchy, stochastic_layers
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

# z_2 ~ N(0, I), z_1 | z_2 ~ N(B z_2 + b, S), x | z_1 ~ N(W z_1, N)
RNG = np.random.default_rng(0)
B, b, W = RNG.normal(size=(2, 1)), RNG.normal(size=2), RNG.normal(size=(3, 2))
S, N = np.array([[0.5, 0.2], [0.2, 0.4]]), np.diag([0.3, 0.6, 0.2])


def linear(matrix, shift, cov):
    """The density N(matrix c + shift, cov) under c, with these as its parameters."""
    values = {"matrix": matrix, "shift": shift, "chol": np.linalg.cholesky(cov)}

    def init(key):
        return {name: jnp.asarray(value) for name, value in values.items()}

    def dist(params, cond=None, *, key=None):
        mean = jnp.einsum("ij,...j->...i", params["matrix"], cond) + params["shift"]
        return distrax.MultivariateNormalTri(
            mean, jnp.broadcast_to(params["chol"], (*mean.shape, len(shift)))
        )

    return Density(init, dist, cond_shape=(matrix.shape[1],))


def posterior_of(matrix, shift, noise, mean, cov):
    """(matrix, shift, cov) of z | y, linear in y, for y | z ~ N(matrix z + shift, noise)."""
    gain = cov @ matrix.T @ np.linalg.inv(matrix @ cov @ matrix.T + noise)
    return gain, mean - gain @ (matrix @ mean + shift), cov - gain @ matrix @ cov


def gaussian_hierarchy():
    of_z_1 = b, B @ B.T + S
    up = [
        linear(*posterior_of(W, np.zeros(3), N, *of_z_1)),
        linear(*posterior_of(B, b, S, np.zeros(1), np.eye(1))),
    ]
    return hierarchy(up, [linear(B, b, S), standard_normal(1)], linear(W, np.zeros(3), N))


def test_with_the_exact_posterior_every_weight_is_the_likelihood():
    model, x = gaussian_hierarchy(), points(5, 3)
    with jax.enable_x64(True):

        @jit
        def run(key, x):
            return infer(model, model.init(key), jax.random.clone(key), x, num_samples=4)

        found = run(jax.random.key(0), np.asarray(x, np.float64))
    cov = W @ (B @ B.T + S) @ W.T + N
    away = np.asarray(x) - W @ b
    log_p = -0.5 * np.einsum("ni,ij,nj->n", away, np.linalg.inv(cov), away)
    log_p -= 0.5 * np.linalg.slogdet(2 * np.pi * cov)[1]
    log_w = found.log_likelihood + found.log_prior - found.log_posterior
    np.testing.assert_allclose(log_w, np.broadcast_to(log_p, (4, 5)), rtol=1e-10)
    assert np.asarray(found.z[0]).std(0).min() > 0.01  # the samples differ


BITS = jnp.asarray(np.random.default_rng(1).integers(0, 2, (4, 2, 3)))
SIZES = {"num_latents": (4, 2, 3), "hidden": ((5,), (6,), (5, 5))}


@pytest.fixture(scope="module")
def found():
    """What `infer` and the three distributions say of the same draws of a net's hierarchy."""
    model = stochastic_layers((2, 3), bernoulli(), **SIZES)
    params = drawn(model)

    @jit
    def run(params, key, other_key):
        posterior, prior = model.posterior(params, BITS), model.prior(params)
        one = infer(model, params, key, BITS, num_samples=3)
        z, log_q = posterior.sample_and_log_prob(seed=other_key, sample_shape=3)
        return {
            "infer": one,
            "z": z,
            "log_q": (log_q, posterior.log_prob(z)),
            "log_p": prior.log_prob(z),
            "log_likelihood": model.likelihood(params, z).log_prob(BITS),
            "means": posterior.means(),
            "prior means": prior.means(),
            "many": infer(model, params, jax.random.key(5), BITS, num_samples=4000),
        }

    return run(params, jax.random.key(0), jax.random.key(0))


def test_infer_says_what_the_three_distributions_say(found):
    one = found["infer"]
    for z, again in zip(one.z, found["z"], strict=True):
        np.testing.assert_allclose(z, again, atol=1e-5)
    for log_q in found["log_q"]:
        np.testing.assert_allclose(one.log_posterior, log_q, atol=1e-5)
    np.testing.assert_allclose(one.log_prior, found["log_p"], atol=1e-5)
    np.testing.assert_allclose(one.log_likelihood, found["log_likelihood"], atol=1e-5)


def test_the_divergences_of_the_groups_add_up_to_that_of_the_whole(found):
    one = found["infer"]
    assert {name: kl.shape for name, kl in one.kl.items()} == {
        "z_1": (3, 4),
        "z_2": (3, 4),
        "z_3": (3, 4, 3),
    }
    many = found["many"]
    whole = np.asarray(many.log_posterior - many.log_prior)
    parts = np.asarray(many.kl["z_1"] + many.kl["z_2"] + many.kl["z_3"].sum(-1))
    error = (parts - whole).std(0) / np.sqrt(len(whole))
    assert (error > 0).all()  # the last in closed form, which is no estimate
    assert (np.abs(parts.mean(0) - whole.mean(0)) < 4 * error).all()


def test_means_go_up_and_down_without_noise(found):
    assert [z.shape for z in found["means"]] == [(4, 4), (4, 2), (4, 3)]
    assert [z.shape for z in found["prior means"]] == [(4,), (2,), (3,)]
    np.testing.assert_array_equal(found["prior means"][2], np.zeros(3))
    many = np.asarray(found["many"].z[0])
    error = many.std(0) / np.sqrt(len(many))
    assert (np.abs(many.mean(0) - found["means"][0]) < 5 * error).all()


def test_the_defaults_are_the_two_stochastic_layers_of_the_paper():
    shapes = jax.eval_shape(stochastic_layers((28, 28, 1), bernoulli()).init, jax.random.key(0))
    kernels = [a.shape for a in jax.tree.leaves(shapes) if len(a.shape) == 2]
    up = [(784, 200), (200, 200), (200, 2 * 100), (100, 100), (100, 100), (100, 2 * 50)]
    down = [(50, 100), (100, 100), (100, 2 * 100), (100, 200), (200, 200), (200, 784)]
    assert sorted(kernels) == sorted(up + down)


def test_the_net_of_the_posterior_sees_levels_over_one_range():
    model = stochastic_layers(2, discretized_logistic(5), num_latents=(1,), hidden=((1,),))
    params = drawn(model)
    for p in jax.tree.leaves(params["posteriors"][0]):
        assert p.ndim in (1, 2)
    kernel = params["posteriors"][0]["Dense_0"]["kernel"]
    flat = jax.tree.map(jnp.zeros_like, params["posteriors"][0])
    flat["Dense_0"]["kernel"], flat["Dense_1"]["kernel"] = jnp.ones_like(kernel), jnp.eye(1, 2)
    params["posteriors"][0] = flat
    (mean,) = model.posterior(params, jnp.array([[0, 4], [4, 4], [2, 2], [2, 3]])).means()
    np.testing.assert_allclose(mean[:, 0], np.tanh([0, 2, 0, 0.5]), rtol=1e-5)


WRONG = {
    "no groups": (lambda: hierarchy([], [], GIVEN), "posteriors must be a sequence of densities"),
    "one prior short": (
        lambda: hierarchy([GIVEN, GIVEN], [FREE], GIVEN),
        "priors must be as many as posteriors, 2; got 1",
    ),
    "a posterior that sees nothing": (
        lambda: hierarchy([FREE], [FREE], GIVEN),
        r"posteriors\[0\] must be a density under a condition; got none",
    ),
    "a prior that sees nothing": (
        lambda: hierarchy([GIVEN, GIVEN], [FREE, FREE], GIVEN),
        r"priors\[0\] must be a density under a condition",
    ),
    "something above the top": (
        lambda: hierarchy([GIVEN], [GIVEN], GIVEN),
        r"priors\[-1\] must have no condition",
    ),
    "a layer without widths": (
        lambda: stochastic_layers(3, bernoulli(), num_latents=(2, 2), hidden=((4,),)),
        "hidden must have the widths between each of the layers, 2 sequences",
    ),
    "another x": (
        lambda: infer(*_model_and_params(), jax.random.key(0), BITS[:, 0]),
        r"x must have shape \[..., 2, 3\]; got \(4, 3\)",
    ),
    "numbers for bits": (
        lambda: infer(*_model_and_params(), jax.random.key(0), BITS / 2),
        "x must be levels, integers in 0..1; got float32",
    ),
    "another z": (
        lambda: _model_and_params()[0].likelihood(_model_and_params()[1], jnp.zeros(4)),
        "z must be a tuple of 3 arrays, one for each group",
    ),
}
GIVEN, FREE = linear(B, b, S), standard_normal(2)


def _model_and_params():
    model = stochastic_layers((2, 3), bernoulli(), **SIZES)
    return model, drawn(model)


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused_in_one_line(what):
    make, message = WRONG[what]
    with pytest.raises(checks.InputError, match=message):
        make()
