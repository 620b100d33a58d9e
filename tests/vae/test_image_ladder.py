"""Very deep ladders of images: a scan over equal layers, and the sizes of the paper."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.likelihoods import bernoulli, discretized_logistic
from dgm_jax.measure import flops
from dgm_jax.objectives import infer
from dgm_jax.vae import image_ladder
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

SHAPE = (4, 4, 2)
SIZES = {"resolutions": (4, 1), "num_layers": (2, 1), "width": 4, "num_latents": 2}
LEVELS = jnp.asarray(np.random.default_rng(1).integers(0, 3, (2, *SHAPE)))
GROUPS = [(4, 4, 2), (4, 4, 2), (1, 1, 2)]
TINY = {"resolutions": (2,), "num_layers": (3,), "num_blocks": (2,), "width": 3, "num_latents": 2}
BITS = jnp.asarray(np.random.default_rng(1).integers(0, 2, (4, 2, 2, 1)))
KEY = jax.eval_shape(lambda: jax.random.key(0))


def log_weights(found):
    return found.log_likelihood + found.log_prior - found.log_posterior


def test_infer_says_what_the_three_distributions_say():
    model = image_ladder(SHAPE, discretized_logistic(3, num_components=1), **SIZES)

    @jit
    def run(params, key, other_key):
        found = infer(model, params, key, LEVELS, num_samples=2)
        posterior = model.posterior(params, LEVELS)
        z = posterior.sample(seed=other_key, sample_shape=2)
        return found, {
            "z": z,
            "log_posterior": posterior.log_prob(z),
            "log_prior": model.prior(params).log_prob(z),
            "log_likelihood": model.likelihood(params, z).log_prob(LEVELS),
        }

    found, told = run(drawn(model, 0.2), jax.random.key(0), jax.random.key(0))
    assert [a.shape for a in found.z] == [(2, 2, *group) for group in GROUPS]
    assert [kl.shape for kl in found.kl.values()] == [(2, 2, *group) for group in GROUPS]
    for name, value in told.items():
        close = partial(np.testing.assert_allclose, atol=1e-3)
        jax.tree.map(close, getattr(found, name), value)


def test_layers_in_a_scan_are_those_written_out_and_drop_the_same():
    models = [
        image_ladder((2, 2, 1), bernoulli(), **TINY, dropout=0.5, unroll=unroll)
        for unroll in (False, True)
    ]
    params = drawn(models[0])

    @jit
    def run(params, keys):
        def weights(params, model, key):
            parts_key = jax.random.key(1)
            found = infer(model, params, key, BITS, num_samples=2, parts_key=parts_key)
            return log_weights(found).mean(), found

        gradient = jax.value_and_grad(weights, has_aux=True)
        return [gradient(params, model, key) for model, key in zip(models, keys)]

    (scanned, written_out) = run(params, [jax.random.key(0), jax.random.key(0)])
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-3, rtol=1e-3), scanned, written_out)


def test_the_defaults_have_the_groups_and_the_size_of_the_paper():
    model = image_ladder(
        (32, 32, 3), discretized_logistic(256, num_components=10), num_blocks=(12, 7, 7, 4, 3)
    )
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert round(sum(a.size for a in jax.tree.leaves(shapes)) / 1e6) == 39
    z = jax.eval_shape(lambda params, key: model.prior(params).sample(seed=key), *(shapes, KEY))
    sides = [32] * 22 + [16] * 11 + [8] * 6 + [4] * 3 + [1]
    assert [a.shape for a in z] == [(r, r, 16) for r in sides] and len(z) == 43


def test_a_step_costs_one_way_up_and_one_way_down():
    batch, shape = 3, (8, 8, 2)
    model = image_ladder(
        shape, bernoulli(), resolutions=(8, 4), num_layers=(3, 2), width=8, num_latents=3
    )
    params, x, key = drawn(model, 0.1), jnp.zeros((batch, *shape), int), jax.random.key(0)
    by_infer = lambda params: log_weights(infer(model, params, key, x)).mean()

    def by_three(params):
        z, log_q = model.posterior(params, x).sample_and_log_prob(seed=key)
        log_p = model.prior(params).log_prob(z)
        return (model.likelihood(params, z).log_prob(x) + log_p - log_q).mean()

    # each entry of a kernel at each pixel: forward, its gradient and that of its input
    entries = 64 * (_entries(params["stages"][0]) + _entries(params["decoder"]))
    entries += 16 * _entries(params["stages"][1])
    of_x = 64 * _entries(params["stages"][0]["shrink"])
    wanted = 2 * batch * (3 * entries - of_x)
    assert 0.97 * wanted < flops.products(jax.grad(by_infer), params) < 1.05 * wanted
    assert flops.products(jax.grad(by_three), params) > 1.5 * wanted


def _entries(params):
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return sum(a.size for path, a in leaves if "kernel" in jax.tree_util.keystr(path[-1:]))


def test_every_group_starts_as_a_standard_normal_and_adds_little():
    model = image_ladder((2, 2, 1), bernoulli(), **TINY)
    z = tuple(points(2, 2, 2, seed=i) for i in range(3))

    @jit
    def run(key):
        params = model.init(key)
        return params["stages"][0]["layers"]["project"], model.prior(params).log_prob(z)

    project, found = run(jax.random.key(0))
    wanted = sum((-0.5 * a**2 - 0.5 * np.log(2 * np.pi)).sum() for a in z)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    spread = np.sqrt(np.square(project["Dense_0"]["kernel"]).mean())
    np.testing.assert_allclose(spread, (1 / 2 / 3) ** 0.5, rtol=0.35)  # 1 / √(inputs · layers)


WRONG = {
    "no part of it": ({"resolutions": (4, 3, 1)}, r"resolutions must each divide the one before"),
    "twice": ({"resolutions": (4, 2, 2)}, r"resolutions must each divide the one before"),
    "layers of a resolution short": (
        {"num_layers": (3,)},
        r"num_layers must have a number for each of resolutions, 2 of them; got \(3,\)",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused_in_one_line(what):
    options, message = WRONG[what]
    with pytest.raises(checks.InputError, match=message):
        image_ladder(SHAPE, bernoulli(), **SIZES | options)


def test_images_that_are_not_square_are_refused():
    with pytest.raises(checks.InputError, match=r"shape must be that of square images"):
        image_ladder((4, 2, 1), bernoulli(), **SIZES)
