"""The contract of latent variable models: p(x, z) and q(z | x) of every case in `MODELS`.

x has so few states, or z so few dimensions, that p(x) is known by summing. One program a case
computes all that is looked at.
"""

import itertools
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import objectives
from dgm_jax.protocol import LatentVariable, again
from tests.contracts.cases import WAYS, drawn, parametrize, quickly
from tests.quantized import cases as quantized
from tests.vae import cases as vae

MODELS = {**vae.MODELS, **quantized.MODELS}
everywhere = parametrize(MODELS)
summed = parametrize(MODELS, lambda name, way: MODELS[name].num_latents is not None)
conditional = quickly(MODELS, lambda name, way: MODELS[name].cond_shape is not None)
NUM = 4000  # draws
CHOSEN = np.array([0.6, -0.8])  # one condition


@cache
def built(name, way="quick"):
    """The model, parameters drawn on the host, and one condition."""
    case, dtype = MODELS[name], WAYS[way].dtype()
    model = case.make()
    params = drawn(jax.eval_shape(model.init, jax.random.key(0)), 0, case.spread, dtype)
    cond = None if case.cond_shape is None else np.resize(CHOSEN, case.cond_shape).astype(dtype)
    return model, params, cond


def middles(low, high, num):
    edges = np.linspace(low, high, num + 1)
    return (edges[:-1] + edges[1:]) / 2


def all_x(name, way):
    """Every x [n, *shape] and what one of them counts for in a sum."""
    case = MODELS[name]
    if case.num_levels is None:
        x = middles(case.low, case.high, 120).astype(WAYS[way].dtype())[:, None]
        return x, (case.high - case.low) / len(x)
    states = itertools.product(range(case.num_levels), repeat=int(np.prod(case.shape)))
    return np.array(list(states), np.int32).reshape(-1, *case.shape), 1.0


def grid(name, way):
    """z [n, num_latents] all over the latent space, and the volume of each."""
    dim = MODELS[name].num_latents
    axis = middles(-12, 12, 1000 if dim == 1 else 150)
    z = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), -1).reshape(-1, dim)
    return z.astype(WAYS[way].dtype()), 24.0**dim / len(z)


class Summed(NamedTuple):
    """On the grid of z."""

    prior: np.ndarray  # log p(z), [n]
    posterior: np.ndarray  # log q(z | x), [n, x]
    likelihood: np.ndarray  # log p(x | z), [n, x]
    again: np.ndarray  # log q(z | x) of the draws, [NUM, x]


class Measured(NamedTuple):
    """All that a model says of every x."""

    found: Any  # Inferred
    gradient: Any  # of the mean of log w by the parameters
    x: np.ndarray  # from p(x, z), [NUM, *shape]
    summed: Summed | None


@cache
def program(name, way):
    model, _, cond = built(name, way)
    x, _ = all_x(name, way)
    z = None if MODELS[name].num_latents is None else grid(name, way)[0]

    def on_grid(params, drawn_z):
        posterior = model.posterior(params, x, cond)
        return Summed(
            model.prior(params, cond).log_prob(z),
            posterior.log_prob(z[:, None]),
            model.likelihood(params, z[:, None], cond).log_prob(x),
            posterior.log_prob(drawn_z),
        )

    def run(params, key, z_key, x_key):
        found = objectives.infer(model, params, key, x, cond, num_samples=NUM)
        made_z = model.prior(params, cond).sample(seed=z_key, sample_shape=NUM)
        made_x = model.likelihood(params, made_z, cond).sample(seed=x_key)
        few = lambda params: objectives.log_weights(model, params, again(key), x, cond).mean()
        return Measured(
            found, jax.grad(few)(params), made_x, None if z is None else on_grid(params, found.z)
        )

    return WAYS[way].jit(run)


@cache
def measured(name, way="quick"):
    with WAYS[way].precision():
        keys = jax.random.split(jax.random.key(1), 3)
        return jax.device_get(program(name, way)(built(name, way)[1], *keys))


def log_weights(name, way):
    found = measured(name, way).found
    return np.float64(found.log_likelihood) + found.log_prior - found.log_posterior  # [NUM, x]


def average(values):
    """The mean over draws, and its standard error."""
    return values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5


def by_summing(name, way):
    """p(x) of every x, by quadrature."""
    s = measured(name, way).summed
    joint = np.exp(np.float64(s.prior)[:, None] + s.likelihood)
    return joint.sum(0) * grid(name, way)[1]


def probabilities(name, way):
    """That of each x (of its cell, if a number) with its error; by E w = p(x) where need be."""
    volume = all_x(name, way)[1]
    if MODELS[name].num_latents is not None:
        return by_summing(name, way) * volume, np.zeros(1)
    p, error = average(np.exp(log_weights(name, way)))
    return p * volume, error * volume


@summed
def test_prior_and_posterior_integrate_to_one(name, way):
    s, volume = measured(name, way).summed, grid(name, way)[1]
    assert abs(np.exp(np.float64(s.prior)).sum() * volume - 1) < 2e-3
    np.testing.assert_allclose(np.exp(np.float64(s.posterior)).sum(0) * volume, 1, atol=2e-3)


@summed
def test_draws_are_scored_as_the_posterior_scores_them(name, way):
    m = measured(name, way)
    np.testing.assert_allclose(m.found.log_posterior, m.summed.again, rtol=2e-3, atol=2e-3)


@everywhere
def test_the_probabilities_of_all_x_sum_to_one(name, way):
    p, error = probabilities(name, way)
    assert abs(p.sum() - 1) < 5 * np.sqrt((error**2).sum()) + 2e-3 and error.max() < 0.05


@summed
def test_draws_and_their_weights_are_of_the_posterior(name, way):
    """E_q g(w) = ∫ q g(w) for g(w) = w / (p(x) + w), bounded: w itself may have no variance."""
    p, s = by_summing(name, way), measured(name, way).summed
    bounded = lambda log_w: 1 / (1 + np.exp(np.clip(np.log(p) - log_w, -60, 60)))
    mean, error = average(bounded(log_weights(name, way)))
    exact = bounded(np.float64(s.prior)[:, None] + s.likelihood - s.posterior)
    exact = (np.exp(np.float64(s.posterior)) * exact).sum(0) * grid(name, way)[1]
    assert (np.abs(mean - exact) < 5 * error + 2e-3).all()


@summed
def test_the_elbo_is_below_the_likelihood_and_its_gap_is_the_divergence_of_q(name, way):
    """log p(x) - ELBO = KL(q(z | x) ‖ p(z | x)), by quadrature."""
    elbo, error = average(log_weights(name, way))
    s, volume = measured(name, way).summed, grid(name, way)[1]
    q, log_p = np.exp(np.float64(s.posterior)), np.log(by_summing(name, way))
    exact = np.float64(s.prior)[:, None] + s.likelihood - log_p
    gap = (np.where(q > 0, q * (s.posterior - exact), 0)).sum(0) * volume
    assert (gap > 0).all()
    assert (np.abs(log_p - elbo - gap) < 5 * error + 5e-3).all()


@everywhere
def test_the_divergences_are_those_of_posterior_and_prior_in_the_mean(name, way):
    found, num_x = measured(name, way).found, len(all_x(name, way)[0])
    kl = sum(np.float64(part).reshape(NUM, num_x, -1).sum(-1) for part in found.kl.values())
    difference, error = average(found.log_posterior - np.float64(found.log_prior) - kl)
    assert (np.abs(difference) < 5 * error + 2e-3).all()


@everywhere
def test_what_is_generated_is_as_frequent_as_it_is_probable(name, way):
    (x, volume), made = all_x(name, way), measured(name, way).x
    p, error = probabilities(name, way)
    if MODELS[name].num_levels is None:  # P(x < each), of numbers
        share = (made.reshape(-1, 1) < x[:, 0] + volume / 2).mean(0)
        p, error = p.cumsum(), np.sqrt((error**2).cumsum())
    else:
        share = (made[:, None] == x).all(tuple(range(2, made.ndim + 1))).mean(0)
    spread = np.maximum(p * (1 - p), 0) / NUM  # a sum over cells may pass 1 by rounding
    assert (np.abs(share - p) < 5 * np.sqrt(error**2 + spread) + 2e-3).all()


@everywhere
def test_every_parameter_has_a_gradient(name, way):
    for path, slope in jax.tree_util.tree_leaves_with_path(measured(name, way).gradient):
        assert np.isfinite(slope).all() and np.abs(slope).max() > 0, jax.tree_util.keystr(path)


# ------------------------------------------------------------------- traced, and not compiled
def traced(name, x_batch=(), cond_batch=(), cond="its own", key=None):
    """Shapes of what `infer` finds at x [*x_batch, *shape]."""
    model, params, own = built(name)
    case = MODELS[name]
    x = np.zeros((*x_batch, *case.shape), np.float32 if case.num_levels is None else np.int32)
    if isinstance(cond, str):
        cond = None if own is None else np.broadcast_to(own, (*cond_batch, *own.shape))

    def run(params, z_key):
        return objectives.infer(model, params, z_key, x, cond, num_samples=3, parts_key=key)

    return jax.eval_shape(run, params, jax.random.key(0))


@quickly(MODELS)
def test_it_is_a_noun_that_states_its_condition(name, way):
    model = built(name)[0]
    assert isinstance(model, LatentVariable) and model.cond_shape == MODELS[name].cond_shape


@quickly(MODELS)
def test_axes_before_those_of_x_are_a_batch(name, way):
    for batch in ((), (0,), (5, 2)):
        found = traced(name, batch)
        for part in (found.log_likelihood, found.log_prior, found.log_posterior):
            assert part.shape == (3, *batch) and part.dtype == jnp.float32
        for part in found.kl.values():
            assert part.shape[: 1 + len(batch)] == (3, *batch)
        for z in jax.tree.leaves(found.z):
            assert z.shape[: 1 + len(batch)] == (3, *batch) and z.dtype == jnp.float32


@quickly(MODELS)
def test_a_key_of_the_parts_changes_no_shape(name, way):
    of_none, of_key = traced(name, (4,)), traced(name, (4,), key=jax.random.key(2))
    assert of_none == of_key


@quickly(MODELS)
def test_parameters_are_a_tree_that_init_makes_alike_for_every_key(name, way):
    model, _, _ = built(name)
    one, other = (jax.eval_shape(model.init, key) for key in jax.random.split(jax.random.key(0)))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert jax.tree.leaves(one) == jax.tree.leaves(other) and jax.tree.leaves(one)


@conditional
def test_there_may_be_a_condition_for_each_x(name, way):
    assert traced(name, (4,), (4,)).log_likelihood.shape == (3, 4)
    assert traced(name, (), (4,)).log_likelihood.shape == (3, 4)


@conditional
def test_conditions_of_another_shape_are_refused(name, way):
    shape = MODELS[name].cond_shape
    for wrong in (None, np.zeros((shape[0] + 1,), np.float32)):
        with pytest.raises(ValueError, match="cond must have|cond is missing"):
            traced(name, cond=wrong)


@quickly(MODELS, lambda name, way: MODELS[name].cond_shape is None)
def test_a_condition_of_a_model_that_takes_none_is_refused(name, way):
    with pytest.raises(ValueError, match="unconditional model"):
        traced(name, cond=np.zeros(2, np.float32))


@quickly(MODELS)
def test_wrong_events_are_refused(name, way):
    """Of another shape, levels in the place of numbers, and numbers in the place of levels."""
    model, params, cond = built(name)
    case = MODELS[name]
    dtype, other = (np.int32, np.float32) if case.num_levels else (np.float32, np.int32)
    longer = (*case.shape[:-1], case.shape[-1] + 1)
    for x, said in ((np.zeros(longer, dtype), "shape"), (np.zeros(case.shape, other), "x must be")):
        with pytest.raises(ValueError, match=said):
            jax.eval_shape(
                lambda p, key, x=x: objectives.infer(model, p, key, x, cond),
                params,
                jax.random.key(0),
            )
