"""The impossibility theorem: the priors, the labels, and two models of one likelihood."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import objectives, runs
from experiments.disentangled import impossible
from tests.contracts.compiled import jit
from tests.helpers import drawn


@pytest.mark.parametrize("prior", ["uniform", "mixture"])
def test_codes_of_another_prior_leave_the_bound_of_every_image(prior):
    model = impossible.build(impossible.Config(hidden=(5,)), 4, 9)
    params = drawn(model, 0.15)  # few z within 1e-3 of 1, where float32 is coarse
    other, from_normal = impossible.moved(model, prior, 4)
    x = np.random.default_rng(0).integers(0, 2, (6, 9))

    def of(key):
        again = jax.random.clone
        both = [objectives.log_weights(m, params, again(key), x) for m in (model, other)]
        z = other.prior(params).sample(seed=again(key), sample_shape=4000)
        return both, z, from_normal.inverse(z)

    (one, two), z, noise = jit(of)(jax.random.key(0))
    np.testing.assert_allclose(one, two, atol=2e-3)
    np.testing.assert_allclose(noise.std(0), 1, atol=0.05)
    if prior == "uniform":
        assert z.min() > 0 and z.max() < 1
        np.testing.assert_allclose(z.std(0), 1 / np.sqrt(12), atol=0.01)


def test_labels_put_each_factor_into_the_cells_of_its_unit():
    """The least of the loss of labels is at a posterior on the cell of the factors."""
    sizes, x = (2, 3, 2, 2), jnp.zeros((3, 9), jnp.int32)
    model = impossible.build(impossible.Config(hidden=(5,)), 4, 9)
    params = drawn(model, 0.1)
    factors = jnp.int32([[0, 0, 0, 0], [1, 2, 1, 1], [0, 1, 1, 0]])

    def of(key):
        batches = [(x, factors), (x, 1 - jnp.minimum(factors, 1))]
        again = jax.random.clone
        losses = [impossible.labelled(model, sizes, 3.0, params, again(key), b) for b in batches]
        slope = jax.grad(
            lambda mean: (
                -((jax.scipy.special.ndtri((factors + 0.5) / jnp.asarray(sizes)) - mean) ** 2).sum()
            )
        )
        return losses, slope(jnp.zeros((3, 4)))

    losses, slope = jit(of)(jax.random.key(0))
    for loss, told in losses:
        assert loss == pytest.approx(float(told["neg_elbo"] + 3 * told["labels"]), rel=1e-5)
    assert np.all(slope[1] > 0) and slope[2][1] == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_run_has_two_models_of_one_likelihood(tmp_path):
    options = impossible.QUICK | {"num_steps": 300, "hidden": (64,)}
    config = impossible.Config(workdir=tmp_path, progress=False, **options)
    found = runs.keep(config, impossible.main, show=impossible.show)
    assert json.loads((tmp_path / "results.json").read_text()) == found
    for both in found["priors"].values():
        one, other = both["disentangled"], both["entangled"]
        assert one["elbo"] == pytest.approx(other["elbo"], abs=0.02)
        assert one["log_prob"] == pytest.approx(other["log_prob"], abs=0.02)
        assert one["mig"] > other["mig"] + 0.1
    assert (tmp_path / "traversals.png").stat().st_size > 1000
