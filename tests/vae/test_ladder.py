"""The ladder: one way down, seen by the prior, by the posterior, and at a given z."""

import importlib
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp

from dgm_jax import checks
from dgm_jax.likelihoods import bernoulli
from dgm_jax.measure import flops
from dgm_jax.objectives import infer
from dgm_jax.vae import ladder, topdown
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

ladder_module = importlib.import_module("dgm_jax.vae.ladder")

SHAPE, SIZES = (2, 3), {"num_latents": (4, 2, 3), "hidden": (5, 6, 7)}
BITS = jnp.asarray(np.random.default_rng(1).integers(0, 2, (4, *SHAPE)))
make = partial(ladder, SHAPE, bernoulli())


def log_weights(found):
    return found.log_likelihood + found.log_prior - found.log_posterior


def apart(model, params, key, x, num_samples):
    """`infer` by the three distributions, each of which goes its own way down."""
    z, log_q = model.posterior(params, x).sample_and_log_prob(seed=key, sample_shape=num_samples)
    log_likelihood = model.likelihood(params, z).log_prob(x)
    return z, log_likelihood + model.prior(params).log_prob(z) - log_q


@pytest.mark.parametrize("posterior", ["free", "precision_weighted"])
def test_infer_says_and_learns_what_the_three_distributions_do(posterior):
    model = make(**SIZES, posterior=posterior)
    params = drawn(model)

    @jit
    def run(params, key, other_key):
        def by_infer(params):
            found = infer(model, params, key, BITS, num_samples=2)
            return log_weights(found).mean(), found

        def by_three(params):
            z, log_w = apart(model, params, other_key, BITS, 2)
            return log_w.mean(), (z, log_w, model.posterior(params, BITS).log_prob(z))

        return [jax.value_and_grad(f, has_aux=True)(params) for f in (by_infer, by_three)]

    ((_, found), gradient), ((_, (z, log_w, log_q)), wanted) = run(
        params, jax.random.key(0), jax.random.key(0)
    )
    for a, b, n in zip(found.z, z, SIZES["num_latents"], strict=True):
        assert a.shape == (2, 4, n)
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert [kl.shape for kl in found.kl.values()] == [a.shape for a in found.z]
    assert list(found.kl) == ["z_1", "z_2", "z_3"]
    np.testing.assert_allclose(found.log_posterior, log_q, atol=1e-4)
    np.testing.assert_allclose(log_weights(found), log_w, atol=1e-4)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-3, rtol=1e-3), gradient, wanted)


def test_prior_posterior_and_likelihood_know_the_condition():
    """And `infer` says of it what they say; one condition may serve all rows."""
    model = make(**SIZES, cond_shape=(2,))
    params = drawn(model)
    z = tuple(points(4, n, seed=n) for n in SIZES["num_latents"])

    @jit
    def run(params, key, cond):
        found = infer(model, params, key, BITS, cond, num_samples=2)
        scores = [
            model.prior(params, cond).log_prob(found.z),
            model.likelihood(params, found.z, cond).log_prob(BITS),
            model.posterior(params, BITS, cond).log_prob(found.z),
        ]
        at_z = [
            model.prior(params, cond).log_prob(z),
            model.likelihood(params, z, cond).log_prob(BITS),
            model.posterior(params, BITS, cond).log_prob(z),
        ]
        return [found.log_prior, found.log_likelihood, found.log_posterior], scores, at_z

    conds = points(2, 2)
    (told, scores, first), (_, _, second) = (run(params, jax.random.key(0), c) for c in conds)
    for a, b in zip(told, scores, strict=True):
        assert a.shape == (2, 4)
        np.testing.assert_allclose(a, b, atol=1e-4)
    for a, b in zip(first, second, strict=True):
        assert (np.abs(a - b) > 1e-5).all()


def test_each_divergence_is_that_of_posterior_from_prior_by_quadrature():
    """Of z_1 given the z_2 that was drawn: its conditionals are the joints of a grid, scaled."""
    model = make(num_latents=(1, 1), hidden=(4, 4))
    params, grid = drawn(model, 0.5), np.linspace(-60, 60, 24_001)[:, None, None]

    @jit
    def run(key):
        found = infer(model, params, key, BITS)
        z = jnp.asarray(grid, jnp.float32), found.z[1]
        return found.kl, model.posterior(params, BITS).log_prob(z), model.prior(params).log_prob(z)

    kl, *joints = run(jax.random.key(0))
    step = grid[1, 0, 0] - grid[0, 0, 0]
    log_q, log_p = (np.asarray(a, float) - logsumexp(a, axis=0) - np.log(step) for a in joints)
    wanted = (np.exp(log_q) * (log_q - log_p)).sum(0) * step
    swapped = (np.exp(log_p) * (log_p - log_q)).sum(0) * step
    np.testing.assert_allclose(kl["z_1"][0, :, 0], wanted, rtol=1e-3, atol=1e-4)
    assert (np.abs(swapped - wanted) > 0.02).all()


def test_where_posterior_and_prior_are_one_every_divergence_is_zero():
    model = make(**SIZES)
    params = jax.tree.map(jnp.zeros_like, drawn(model))
    params["stages"][1]["layers"]["prior"]["Dense_1"]["bias"] += jnp.arange(10.0) / 10
    params["stages"][1]["layers"]["posterior"]["Dense_1"]["bias"] += jnp.arange(4.0) / 10
    kl = jit(lambda key: infer(model, params, key, BITS).kl)(jax.random.key(0))
    for of_group in kl.values():
        np.testing.assert_allclose(of_group, 0, atol=1e-6)


def test_the_precision_weighted_posterior_is_the_normalised_product():
    p, q = (topdown.normal_of(jnp.array(f)) for f in ([1.0, 0.3], [-2.0, -0.5]))
    z, step = np.linspace(-30, 30, 6001)[:, None], 0.01
    wanted = np.asarray(p.log_prob(z) + q.log_prob(z), float)
    wanted -= logsumexp(wanted) + np.log(step)
    near = np.abs(z[:, 0]) < 3
    np.testing.assert_allclose(topdown.product(p, q).log_prob(z)[near], wanted[near], atol=1e-3)


def test_given_z_the_way_down_is_the_same_whatever_x_is():
    model = make(**SIZES)
    params, stages = drawn(model), _stages()
    z = tuple(points(4, n, seed=n) for n in SIZES["num_latents"])

    @jit
    def ends(x):
        features = topdown.ascend(stages, params["stages"], x, None)
        at_hand = lambda p, q, z: (z, (p.log_prob(z), q.log_prob(z)))
        return topdown.descend(stages, params["stages"], at_hand, z, features, None)

    (h, _, told), (h_2, _, told_2) = ends(points(4, 6)), ends(points(4, 6, seed=2))
    np.testing.assert_array_equal(h, h_2)
    for (log_p, log_q), (log_p_2, log_q_2) in zip(told, told_2, strict=True):
        np.testing.assert_array_equal(log_p, log_p_2)
        assert (np.asarray(log_q) != log_q_2).all()  # which x is for


def _stages():
    """Those of the ladder of this file."""
    with mock.patch.object(ladder_module, "of_stages", lambda stages, *rest, **options: stages):
        return make(**SIZES)


def test_a_step_costs_one_way_up_and_one_way_down():
    model = ladder((6, 5), bernoulli(), num_latents=(6, 5, 4), hidden=(24, 20, 16), num_blocks=2)
    params, x, key = drawn(model), jnp.zeros((32, 6, 5), int), jax.random.key(0)
    by_infer = lambda params: log_weights(infer(model, params, key, x)).mean()
    by_three = lambda params: apart(model, params, key, x, 1)[1].mean()
    # of each entry of a matrix: forward, its gradient, and that of its input, but for those of x
    # and of what only the start of the way down goes through, which is one row and no batch
    sizes = _matrices(params)
    entries = 3 * (sum(sizes.values()) - sum(n for name, n in sizes.items() if TOP in name))
    wanted = 2 * 32 * (entries - 30 * 24)
    assert 0.98 * wanted < flops.products(jax.grad(by_infer), params) < 1.02 * wanted
    assert flops.products(jax.grad(by_three), params) > 1.5 * wanted  # it sees what is done twice


TOP = "['stages'][2]['layers']['prior']"


def _matrices(params):
    leaves = jax.tree_util.tree_leaves_with_path(params)
    named = [(jax.tree_util.keystr(path), a.size) for path, a in leaves]
    return {name: size for name, size in named if name.endswith("['kernel']")}


def test_every_group_starts_as_a_standard_normal():
    model = make(**SIZES)
    z = tuple(points(5, n, seed=n) for n in SIZES["num_latents"])
    found = jit(lambda key: model.prior(model.init(key)).log_prob(z))(jax.random.key(0))
    wanted = sum((-0.5 * a**2 - 0.5 * np.log(2 * np.pi)).sum(-1) for a in z)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


WRONG = {
    "a width short": ({"hidden": (5, 5)}, r"hidden must have a number for each of num_latents, 3"),
    "no such posterior": (
        {"posterior": "precision_weight"},
        "posterior must be one of free, precision_weighted",
    ),
    "no latents": ({"num_latents": ()}, "num_latents must name at least one layer"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused_in_one_line(what):
    options, message = WRONG[what]
    with pytest.raises(checks.InputError, match=message):
        make(**options)


def test_x_and_z_of_other_shapes_are_refused():
    model = make(**SIZES)
    params = drawn(model)
    with pytest.raises(checks.InputError, match=r"x must have shape \[..., 2, 3\]"):
        infer(model, params, jax.random.key(0), BITS[:, 0])
    with pytest.raises(checks.InputError, match=r"z\[1\] must have shape \[..., 2\]; got \(3,\)"):
        model.likelihood(params, (jnp.zeros(4), jnp.zeros(3), jnp.zeros(3)))
