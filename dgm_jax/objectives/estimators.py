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
    """∇_φ E f(z) ≈ 1/K Σ_k (f(z_k) - b) ∇_φ log q_φ(z_k | c), z_k ~ q_φ.

    The score-function gradient, for any f and any q, also of levels. The value is 1/K Σ_k f(z_k),
    [*batch], and `jax.grad` of it is this estimate.

    model: q_φ; params: φ; key: draws the z_k
    function: f, z [K, *batch, *event] -> [K, *batch], with *event the shape of one z. If f depends
        on the parameters, its own gradient is added
    cond: conditions c [*batch, *cond_shape]; None, and no batch axes, for a q without condition
    num_samples: K
    baseline: b, one number or [*batch], such as a running mean of f, which no gradient passes.
        Since E ∇ log q = 0 it leaves the expectation as it is if it does not depend on these z_k,
        and it can reduce the variance

    Raises `ValueError` if f or b has another shape. Cost: K samples with their density. Williams
    (1992), "Simple statistical gradient-following algorithms" (REINFORCE).
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
    """∇_φ E f(z) ≈ 1/K Σ_k (f(z_k) - 1/(K-1) Σ_{j≠k} f(z_j)) ∇_φ log q_φ(z_k | c), z_k ~ q_φ.

    The score-function gradient, for any f and q, where the baseline of each sample is the mean of f
    over the others. It causes no bias, because it is independent of the sample itself. The value is
    1/K Σ_k f(z_k), [*batch], and `jax.grad` of it is this estimate.

    model: q_φ; params: φ; key: draws the z_k
    function: f, z [K, *batch, *event] -> [K, *batch], with *event the shape of one z
    cond: conditions c [*batch, *cond_shape]; None, and no batch axes, for a q without condition
    num_samples: K

    Raises `ValueError` for K < 2. Cost: K samples with their density. Kool et al. (2019), "Buy 4
    REINFORCE samples, get a baseline for free!".
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
    """∇_φ E f(z) ≈ 1/K Σ_k ∇_φ f(z_φ(ε_k)), with z_φ(ε) ~ q_φ for noise ε.

    The reparametrisation gradient. The value is 1/K Σ_k f(z_k), [*batch], and `jax.grad` of it (of
    its sum, for a batch) is this estimate.

    model: q_φ, whose samples must be reparametrised, as those of a Gaussian or a flow are; a model
        of levels raises `ValueError`
    params, key: φ; the key draws the ε_k
    function: a differentiable f, z [K, *batch, *event] -> [K, *batch], with *event the shape of one
        z. If f depends on φ itself, its own gradient is added
    cond: conditions c [*batch, *cond_shape] of q_φ(z | c); None, and no batch axes, without
    num_samples: K

    Another shape of f raises `InputError`. Cost: K samples. Kingma and Welling (2014),
    "Auto-encoding variational Bayes"; Rezende et al. (2014), "Stochastic backpropagation".
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
    """1/K Σ_k [f(z_k) - log q_φ(z_k | c)], z_k ~ q_φ, with the gradient through the z_k only.

    The result, [*batch], estimates E [f(z) - log q_φ(z | c)], such as an ELBO with f = log p(x, ·).
    Compared with `pathwise` its gradient omits the score ∂/∂φ log q_φ(z) at constant z, which is 0
    in expectation. If q_φ ∝ e^f, the gradient of every sample is 0.

    params, key: φ; the key draws the z_k
    model: q_φ, whose samples must be reparametrised; other models raise `ValueError`
    function: a differentiable f, z [K, *batch, *event] -> [K, *batch], with *event the shape of one
        z
    cond: conditions c [*batch, *cond_shape]; None, and no batch axes, for a q without condition
    num_samples: K

    Cost: K samples, and their density as that of given z, for which an IAF inverts its map. Roeder
    et al. (2017), "Sticking the landing"; for a latent variable model see `objectives.stl`.
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
