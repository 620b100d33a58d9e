"""log p(x) of latent variable models by annealed importance sampling, from below and from above."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .. import checks
from ..arrays import compiled_once
from ..protocol import Array, Key, LatentVariable, Params, Rows
from .importance import Estimate, from_prior, gathered, rows_of, told
from .likelihood import in_batches

STARTS = {"prior": "from the prior", "posterior": "from q(z | x)"}
RATE = 0.1  # of the adaptation: log ε moves by this times what acceptance is above its target


class Bidirectional(NamedTuple):
    """E lower.log_prob ≤ E log p(x) ≤ E upper.log_prob, for x simulated by the model itself.

    x: the simulated data, [n, ...]
    z: the latents from which each x was simulated, samples of p(z | x): [n, ...], or a tree of
        these
    lower, upper: an `Estimate` of log p(x) for each row, in nats, from below and from above

    Returned by `bidirectional_log_prob`.
    """

    x: np.ndarray  # [n, ...]
    z: Array  # the z that made each x, a sample of p(z | x)
    lower: Estimate
    upper: Estimate


class Settings(NamedTuple):
    """The options that a program is compiled for."""

    start: str
    num_steps: int
    num_chains: int
    num_leapfrogs: int
    step_size: float
    acceptance: float


@checks.spelled
def annealed_log_prob(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Rows,
    cond: Rows | None = None,
    *,
    num_steps: int = 1000,
    num_chains: int = 16,
    start: str = "prior",
    num_leapfrogs: int = 10,
    step_size: float = 0.1,
    acceptance: float = 0.65,
    batch_size: int = 100,
) -> Estimate:
    """log 1/K Σ_k w_k, log w = Σ_t (β_t - β_{t-1}) [log p(x, z_{t-1}) - log p_0(z_{t-1})], in nats.

    Annealed importance sampling of log p(x), by K chains for each row of x, each from z_0 ~ p_0
    through z_t ~ T_t(· | z_{t-1}). T_t is a step of Hamiltonian Monte Carlo, which leaves the
    density p_0^{1-β_t} p(x, ·)^{β_t} invariant; β_t rises from 0 to 1, slowly at both ends (a
    sigmoid over ±4). E w = p(x), so the estimate is a lower bound in expectation, and the variance
    of w decreases with the number of steps. Returns an `Estimate` with `log_prob` [n], `stderr`
    [n], `effective_samples` [n] = (Σ w)² / Σ w², `num_samples` K and `method`, in words.

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    key: draws all chains
    x: rows [n, ...]; cond: one condition per row, or one for all
    num_steps, num_chains: the number of steps t of a chain, and K
    start: p_0, "prior" for p(z) or "posterior" for the encoder's q(z | x), which needs far fewer
        steps if it is good
    num_leapfrogs: leapfrog steps of size ε in each T_t
    step_size, acceptance: ε starts at step_size and is adapted for each row to the target rate of
        acceptance, in a preliminary chain that is discarded; adaptation in the chain itself would
        violate E w = p(x)
    batch_size: rows at a time; memory is that of batch_size · K gradients

    Cost: n (K + 1) num_steps (num_leapfrogs + 2) gradients of log p(x, z) with respect to z, which
    must be continuous and may be a tree; integers raise `InputError`, and so do wrong shapes. Neal
    (2001), "Annealed importance sampling"; Wu et al. (2017), "On the quantitative analysis of
    decoder-based generative models", section 3.
    """
    options = (start, num_steps, num_chains, num_leapfrogs, step_size, acceptance)
    settings, batch_size = _settings(*options), checks.positive_int(batch_size, "batch_size")
    parts = rows_of(model, params, key, x, cond)

    def scored(batch_key, *batch):
        return _forward(model, settings, params, batch_key, *batch)

    return _estimate(in_batches(scored, key, parts, batch_size), settings)


@checks.spelled
def bidirectional_log_prob(
    model: LatentVariable,
    params: Params,
    key: Key,
    cond: Rows | None = None,
    *,
    num_rows: int = 100,
    num_steps: int = 1000,
    num_chains: int = 16,
    start: str = "prior",
    num_leapfrogs: int = 10,
    step_size: float = 0.1,
    acceptance: float = 0.65,
    batch_size: int = 100,
) -> Bidirectional:
    """-log 1/K Σ_k 1/w_k ≥ log p(x) ≥ log 1/K Σ_k w_k in expectation: two bounds, for simulated x.

    num_rows rows z ~ p(z), x ~ p(x | z) are sampled from the model. The z of such an x is a sample
    of its true posterior. Chains that start there, annealed back from β = 1 to 0, have E 1/w =
    1/p(x), so that they give the upper bound; `annealed_log_prob` of the same x gives the lower
    one. Their difference bounds the error of either on these data, and shows whether num_steps are
    enough for similar data. Returns `Bidirectional`: `x` [num_rows, ...], `z`, from which they were
    simulated, and `lower` and `upper`, each an `Estimate` with `log_prob` [num_rows] in nats.

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    key: draws z, x and all chains
    cond: one condition per row [num_rows, *cond_shape], or one for all
    num_rows: how many x are simulated
    num_steps, num_chains: steps of a chain, and K, the number of chains per row
    start: the density at β = 0, "prior" for p(z) or "posterior" for the encoder's q(z | x)
    num_leapfrogs, step_size, acceptance: leapfrog steps of each transition, their first size, and
        the rate of acceptance to which a preliminary chain adapts it, for both directions
    batch_size: rows at a time

    Cost: twice that of `annealed_log_prob`. Latents of integers, which have no gradient, raise
    `InputError`. Grosse, Ghahramani and Adams (2015), "Sandwiching the marginal likelihood using
    bidirectional Monte Carlo".
    """
    options = (start, num_steps, num_chains, num_leapfrogs, step_size, acceptance)
    settings, batch_size = _settings(*options), checks.positive_int(batch_size, "batch_size")
    num_rows = checks.positive_int(num_rows, "num_rows")
    rows, *of_rows = rows_of(model, params, key, num_rows, cond)
    simulate_key, key = jax.random.split(key)

    def simulated(batch_key, rows, *cond):
        return _simulated(model, len(rows), params, batch_key, *cond)

    x, z = in_batches(simulated, simulate_key, (rows, *of_rows), batch_size)
    leaves, tree = jax.tree.flatten(z)

    def scored(batch_key, x, *rest):
        z, cond = tree.unflatten(rest[: len(leaves)]), rest[len(leaves) :]
        return _both_ways(model, settings, params, batch_key, z, x, *cond)

    lower, upper = in_batches(scored, key, (x, *leaves, *of_rows), batch_size)
    return Bidirectional(x, z, _estimate(lower, settings), _estimate(upper, settings, "reverse "))


def _settings(start, num_steps, num_chains, num_leapfrogs, step_size, acceptance):
    checks.choice(start, STARTS, "start")
    return Settings(
        start,
        checks.positive_int(num_steps, "num_steps"),
        checks.positive_int(num_chains, "num_chains"),
        checks.positive_int(num_leapfrogs, "num_leapfrogs"),
        checks.positive(step_size, "step_size"),
        checks.rate(acceptance, "acceptance"),
    )


def _estimate(found, settings, direction=""):
    method = (
        f"{direction}annealed importance sampling, {settings.num_steps} steps "
        f"{STARTS[settings.start]}"
    )
    return Estimate(*(np.asarray(a, float) for a in found), settings.num_chains, method)


def temperatures(num_steps: int) -> np.ndarray:
    """β_t = (s_t - s_0) / (s_T - s_0), s_t = σ(8 t / T - 4), t = 0, ..., T: from 0 to 1, [T + 1].

    σ is the logistic function, so that β rises slowly at both ends. num_steps: T.
    """
    s = 1 / (1 + np.exp(-np.linspace(-4, 4, num_steps + 1)))
    return (s - s[0]) / (s[-1] - s[0])


# ---------------------------------------------------------------------------------- the programs
def _simulate(model, num, params, key, cond=None):
    """z ~ p(z) and x ~ p(x | z), num rows."""
    z_key, x_key = jax.random.split(key)
    z = jax.tree.map(lambda a: a[0], from_prior(model, params, z_key, 1, num, cond))
    return model.likelihood(params, z, cond).sample(seed=x_key), z


def _run_forward(model, settings, params, key, x, cond=None):
    start_key, pilot_key, chain_key = jax.random.split(key, 3)
    z = _starts(model, settings, params, start_key, x, cond, settings.num_chains + 1)
    pilot, chains = jax.tree.map(lambda a: a[:1], z), jax.tree.map(lambda a: a[1:], z)
    sizes = _adapted(model, settings, params, pilot_key, pilot, x, cond)
    log_w = _annealed(model, settings, params, chain_key, chains, sizes, x, cond, reverse=False)
    return told(gathered(log_w), settings.num_chains), sizes


def _forwards(model, settings, params, key, x, cond=None):
    return _run_forward(model, settings, params, key, x, cond)[0]


def _both(model, settings, params, key, z, x, cond=None):
    forward_key, reverse_key = jax.random.split(key)
    lower, sizes = _run_forward(model, settings, params, forward_key, x, cond)
    shape = (settings.num_chains,)
    chains = jax.tree.map(lambda a: jnp.broadcast_to(a, shape + a.shape), z)
    log_w = _annealed(model, settings, params, reverse_key, chains, sizes, x, cond, reverse=True)
    inverse, *errors = told(gathered(-log_w), settings.num_chains)
    return lower, (-inverse, *errors)


_simulated = compiled_once(_simulate, static_argnums=(0, 1))
_forward = compiled_once(_forwards, static_argnums=(0, 1))
_both_ways = compiled_once(_both, static_argnums=(0, 1))


# --------------------------------------------------------------------------------------- the chain
def _starts(model, settings, params, key, x, cond, num):
    """z ~ p_0 for each row, [num, b, ...]."""
    if settings.start == "posterior":
        z = model.posterior(params, x, cond).sample(seed=key, sample_shape=(num,))
    else:
        z = from_prior(model, params, key, num, len(x), cond)
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(z)):
        raise checks.InputError(
            "model must have continuous z, along which to differentiate; got integers. "
            "Try metrics.importance_log_prob."
        )
    return z


def _densities(model, settings, params, x, cond):
    """(z ↦ log p_0(z), z ↦ log p(x, z) - log p_0(z)), of one z, for one x."""

    def log_start(z):
        if settings.start == "prior":
            return model.prior(params, cond).log_prob(z)
        return model.posterior(params, x, cond).log_prob(z)

    def log_ratio(z):
        log_likelihood = model.likelihood(params, z, cond).log_prob(x)
        if settings.start == "prior":
            return log_likelihood
        return log_likelihood + model.prior(params, cond).log_prob(z) - log_start(z)

    return log_start, log_ratio


def _move(model, settings, params, key, flat, unravel, beta, step_size, x, cond):
    """One step of HMC that leaves p_0^{1-β} p(x, ·)^β as it is: (z, acceptance)."""
    import blackjax  # a third of a second

    log_start, log_ratio = _densities(model, settings, params, x, cond)

    def log_density(flat):
        z = unravel(flat)
        return log_start(z) + beta * log_ratio(z)

    state = blackjax.hmc.init(flat, log_density)
    kernel = blackjax.hmc.build_kernel()
    state, info = kernel(
        key, state, log_density, step_size, jnp.ones_like(flat), settings.num_leapfrogs
    )
    return state.position, info.acceptance_rate


def _flat(z):
    """z [K, b, ...], each a vector, [K, b, m], and what takes one of these back."""
    ravel = jax.vmap(jax.vmap(lambda z: ravel_pytree(z)[0]))
    return ravel(z), ravel_pytree(jax.tree.map(lambda a: a[0, 0], z))[1]


def _for_all(function, x, cond):
    """function(key, flat, size, x, cond), of one chain, for chains [K, b, m] and sizes [b]."""
    rows = jax.vmap(function, in_axes=(0, 0, 0, 0, 0))
    chains = jax.vmap(rows, in_axes=(0, 0, None, None, None))

    def of_all(key, flat, sizes):
        return chains(jax.random.split(key, flat.shape[:2]), flat, sizes, x, cond)

    return of_all


def _adapted(model, settings, params, key, z, x, cond):
    """Step sizes ε_0, ..., ε_T of each row, [T + 1, b], by one chain for each, z [1, b, ...]."""
    betas = temperatures(settings.num_steps)
    flat, unravel = _flat(z)
    first = jnp.full(len(x), math.log(settings.step_size), flat.dtype)

    def step(carry, t):
        flat, log_sizes = carry
        beta, step_key = t

        def move(key, flat, size, x, cond):
            return _move(model, settings, params, key, flat, unravel, beta, size, x, cond)

        flat, accepted = _for_all(move, x, cond)(step_key, flat, jnp.exp(log_sizes))
        better = log_sizes + RATE * (accepted[0] - settings.acceptance)
        return (flat, better.astype(flat.dtype)), log_sizes

    ts = jnp.asarray(betas, flat.dtype), jax.random.split(key, len(betas))
    return jnp.exp(jax.lax.scan(step, (flat, first), ts)[1])


def _annealed(model, settings, params, key, z, sizes, x, cond, *, reverse):
    """log w [K, b] of chains z [K, b, ...]. Forward, weight t is followed by a move at β_t; in
    reverse, from t = T on, by one at β_{t-1}, so that the path is that of the forward chain."""
    betas = temperatures(settings.num_steps)
    rises = np.diff(betas)
    if reverse:
        rises, betas, sizes = rises[::-1], betas[-2::-1], sizes[-2::-1]
    else:
        betas, sizes = betas[1:], sizes[1:]
    flat, unravel = _flat(z)

    def step(carry, t):
        flat, log_w = carry
        rise, beta, sizes, step_key = t

        def weigh_and_move(key, flat, size, x, cond):
            ratio = _densities(model, settings, params, x, cond)[1](unravel(flat))
            moved = _move(model, settings, params, key, flat, unravel, beta, size, x, cond)
            return moved[0], rise * ratio

        flat, more = _for_all(weigh_and_move, x, cond)(step_key, flat, sizes)
        return (flat, (log_w + more).astype(log_w.dtype)), None

    numbers = (jnp.asarray(a, sizes.dtype) for a in (rises, betas))
    ts = (*numbers, sizes, jax.random.split(key, len(rises)))
    start = flat, jnp.zeros(flat.shape[:2], sizes.dtype)
    return jax.lax.scan(step, start, ts)[0][1]
