"""Estimators of ∇_φ E_{z ~ q_φ} f(z), as losses: `jax.grad` of the value is the estimator.

The value of each is the mean of f over K samples, which estimates E f(z). They differ in the
gradient and its variance. If f itself depends on the parameters, all include its own derivative.

For f(z) = z² and z ~ N(μ, 1) the expected gradient with respect to μ is 2μ. One sample of it has
the variance 4 with `pathwise`, and μ⁴ + 14 μ² + 15 with `score_function`, which the best constant
baseline reduces to 8 μ² + 6. Only the variance of pathwise gradients does not grow with the number
of coordinates of z. Mohamed et al. (2020), "Monte Carlo gradient estimation in machine learning".
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax.lax import stop_gradient

from .. import checks
from ..distributions import reparametrised
from ..protocol import Array, Density, Key, Params, Shape


def score_function(
    model: Density,
    params: Params,
    key: Key,
    function: Callable[[Array], Array],
    cond: Array | None = None,
    *,
    num_samples: int,
    baseline: float | Array = 0.0,
) -> Array:
    """∇ = 1/K Σ_k (f(z_k) - b) ∇ log q_φ(z_k | c), for any f and any q, also of levels. [*batch].

    model: q; function: f, z [K, *batch, *event] -> [K, *batch]; num_samples: K. baseline: b, a
    number or [*batch], such as a running mean of f. Since E ∇ log q = 0 it does not change the
    expectation, if it does not depend on these samples. It is not differentiated.
    Cost: K samples with their density. Williams (1992), "Simple statistical gradient-following
    algorithms" (REINFORCE).
    """
    f, log_q = _scored(model, params, key, function, cond, num_samples)
    check_baseline(baseline, f.shape[1:])
    return _by_score(f, log_q, stop_gradient(f - jnp.expand_dims(baseline, 0)))


def check_baseline(baseline: float | Array, batch_shape: Shape) -> None:
    """Checks that the baseline b in f(z) - b has a shape that broadcasts to f(z) of one sample.

    baseline: one number, or an array such as [*batch]; batch_shape: the shape of f(z), (*batch,).
    Returns nothing. Raises `InputError` if it has another shape, since f - b would then have too
    many entries, or if it is not numeric.
    """
    checks.numbers(baseline, "baseline")
    shapes = {"baseline": jnp.shape(baseline), "function(z)": batch_shape}
    if checks.common_batch(shapes) != batch_shape:
        raise checks.InputError(
            f"baseline must be one number, or one for each of a batch {batch_shape}; got shape "
            f"{jnp.shape(baseline)}."
        )


def leave_one_out(
    model: Density,
    params: Params,
    key: Key,
    function: Callable[[Array], Array],
    cond: Array | None = None,
    *,
    num_samples: int,
) -> Array:
    """∇ = 1/K Σ_k (f(z_k) - 1/(K-1) Σ_{j≠k} f(z_j)) ∇ log q_φ(z_k | c), for K ≥ 2. [*batch].

    `score_function` with the mean over the other samples as baseline, which causes no bias because
    it is independent of the sample itself. function, num_samples and cost are those of
    `score_function`. Kool et al. (2019), "Buy 4 REINFORCE samples, get a baseline for free!".
    """
    num_samples = checks.positive_int(num_samples, "num_samples", least=2)
    f, log_q = _scored(model, params, key, function, cond, num_samples)
    others = (f.sum(0, keepdims=True) - f) / (num_samples - 1)
    return _by_score(f, log_q, stop_gradient(f - others))


def pathwise(
    model: Density,
    params: Params,
    key: Key,
    function: Callable[[Array], Array],
    cond: Array | None = None,
    *,
    num_samples: int,
) -> Array:
    """∇ = 1/K Σ_k ∇_φ f(z_φ(ε_k)): the reparametrisation gradient, through the samples. [*batch].

    For a differentiable f and a q_φ with reparametrised samples; any other is refused. function,
    num_samples: as in `score_function`. Kingma and Welling (2014); Rezende et al. (2014).
    """
    dist, num_samples = _dist(model, params, key, function, cond, num_samples)
    _check_pathwise(dist)
    return _values(function, dist.sample(seed=key, sample_shape=num_samples), dist).mean(0)


def sticking_the_landing(
    model: Density,
    params: Params,
    key: Key,
    function: Callable[[Array], Array],
    cond: Array | None = None,
    *,
    num_samples: int,
) -> Array:
    """1/K Σ_k f(z_k) - log q_φ(z_k | c), with the gradient through the samples only. [*batch].

    For E [f(z) - log q_φ(z)], such as an ELBO with f = log p(x, ·). Compared with `pathwise` it
    omits the score ∇ log q, which is 0 in expectation. If q_φ ∝ e^f, the gradient of every sample
    is 0. function, num_samples: as in `score_function`. Cost: K samples, and their density as that
    of given z. Roeder et al. (2017), "Sticking the landing"; for a latent variable model see
    `objectives.stl`.
    """
    dist, num_samples = _dist(model, params, key, function, cond, num_samples)
    _check_pathwise(dist)
    z = dist.sample(seed=key, sample_shape=num_samples)
    held = model.dist(*stop_gradient((params, cond)))
    return (_values(function, z, dist) - held.log_prob(z)).mean(0)


def _dist(model, params, key, function, cond, num_samples):
    checks.noun(model, Density, "model")
    checks.parameters(params, model.init)
    checks.key(key)
    checks.function(function, "function")
    num_samples = checks.positive_int(num_samples, "num_samples")
    return model.dist(params, cond), num_samples


def _scored(model, params, key, function, cond, num_samples):
    """f(z_k) and log q(z_k), [K, *batch], of samples that no gradient moves."""
    dist, num_samples = _dist(model, params, key, function, cond, num_samples)
    z = stop_gradient(dist.sample(seed=key, sample_shape=num_samples))
    return _values(function, z, dist), dist.log_prob(z)


def _values(function, z, dist):
    f = function(z)
    checks.floating(f, "function(z)", (len(z), *dist.batch_shape))
    return f


def _by_score(f, log_q, advantage):
    """The mean of f, with ∇f + (f - b) ∇ log q as the gradient of each sample."""
    return (f + advantage * (log_q - stop_gradient(log_q))).mean(0)


def _check_pathwise(dist):
    if not reparametrised(dist):
        raise checks.InputError(
            f"model must have samples that are reparametrised; those of {dist.name.lstrip('_')} "
            "are not. objectives.leave_one_out serves any."
        )
