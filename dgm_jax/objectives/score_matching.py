"""Score matching: s(x) ≈ ∇ log p(x) learned from data, without p and its normaliser.

Hyvärinen's theorem, by partial integration: ½ E‖s - ∇ log p‖² = E[tr ∂s/∂x + ½ ‖s‖²] + const under
p. The trace is expensive. The three losses here compute it exactly, estimate it by projections, or
avoid it by adding noise to the data. At s = ∇ log p of N(m, Σ) the first is -½ tr Σ⁻¹.

`score` is a function x [batch, *event] -> [batch, *event] with independent rows: a net, or the
gradient of an energy model, `jax.grad(lambda x: log_p(x).sum())`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import in_a_row, row_sums
from ..protocol import Array, Key

PROJECTIONS = {"rademacher": jax.random.rademacher, "gaussian": jax.random.normal}


def implicit_score_matching(
    score: Callable[[Array], Array],
    x: Array,
    *,
    with_trace: Callable[[Array], tuple[Array, Array]] | None = None,
) -> Array:
    """E[tr ∂s/∂x + ½ ‖s(x)‖²], exact, for vectors x [batch, d].

    Under the density p of the data it equals ½ E ‖s - ∇ log p‖² up to a constant, so that it fits s
    to the score ∇ log p without p or its normaliser.

    score: s, x [batch, d] -> [batch, d], each row of its own x only: a net, or the gradient of an
        energy model
    with_trace: x -> (s [batch, d], tr ∂s/∂x [batch]), used in place of `score` if the trace has a
        closed form, such as for the field of an MLP (`flows.mlp_field(...).divergence`)

    Returns a scalar, the mean over the batch. Cost: without with_trace, d forward derivatives of s.
    Raises `ValueError` if x is not [batch, d]. Hyvärinen (2005), "Estimation of non-normalized
    statistical models by score matching", eq. 4.
    """
    _check(score, x)
    if with_trace is not None:
        checks.function(with_trace, "with_trace")
    if jnp.ndim(x) != 2:
        raise checks.InputError(f"x must be rows [batch, d]; got shape {jnp.shape(x)}.")
    s, trace = _traced(score, x) if with_trace is None else with_trace(x)
    return (trace + jnp.square(s).sum(-1) / 2).mean()


def sliced_score_matching(
    score: Callable[[Array], Array],
    key: Key,
    x: Array,
    *,
    projections: str = "rademacher",
    num: int = 1,
) -> Array:
    """E[vᵀ (∂s/∂x) v + ½ ‖s(x)‖²] for random directions v: an unbiased estimate of the exact loss.

    The exact loss, `implicit_score_matching`, is E[tr ∂s/∂x + ½ ‖s(x)‖²]; it equals ½ E ‖s - ∇ log
    p‖² up to a constant for data with the density p, and E vᵀ (∂s/∂x) v is the trace.

    score: s, x [batch, *event] -> [batch, *event], each row of its own x only
    x: data [batch, *event]. key: draws v
    projections: the distribution of v, with covariance I: "rademacher", ±1, with lower variance, or
        "gaussian"
    num: how many v are drawn for each x and call, of which the mean is taken

    ½ ‖s‖² is exact, the paper's variant with reduced variance. Returns a scalar, the mean over the
    batch. Cost: num forward derivatives of s in one direction. Song et al. (2019), "Sliced score
    matching", equation 8.
    """
    _check(score, x)
    checks.key(key)
    checks.choice(projections, PROJECTIONS, "projections")
    num = checks.positive_int(num, "num")

    directions = PROJECTIONS[projections](key, (num, *x.shape), x.dtype)
    if num == 1:
        s, along = jax.jvp(score, (x,), (directions[0],))
        slopes = row_sums(along * directions[0])
    else:
        s, push = jax.linearize(score, x)
        slopes = jax.vmap(lambda v: row_sums(push(v) * v))(directions).mean(0)
    return (slopes + row_sums(jnp.square(s)) / 2).mean()


def denoising_score_matching(
    score: Callable[..., Array], key: Key, x: Array, sigma: float | Array
) -> Array:
    """E σ² ‖s(x + σ ε) + ε / σ‖² / d, ε ~ N(0, I): the optimal s is the score of x + σ ε.

    score: s, x [batch, *event] -> [batch, *event], or score(x, sigma) if sigma has one entry per
        row
    x: data [batch, *event], with d the number of entries of an event. key: draws ε
    sigma: σ > 0, the standard deviation of the noise: one number, or one per row, [batch], for a
        net of many scales

    Returns a scalar, the mean over the batch. The weight σ² gives all scales a similar magnitude.
    Cost: one pass of s, and no derivative with respect to x. Vincent (2011), "A connection between
    score matching and denoising autoencoders"; Song and Ermon (2019), "Generative modeling by
    estimating gradients of the data distribution", equation 6.
    """
    _check(score, x)
    checks.key(key)
    if not isinstance(sigma, (jax.Array, np.ndarray)):
        sigma = checks.positive(sigma, "sigma")
    else:
        checks.numbers(sigma, "sigma")
    many = jnp.ndim(sigma) > 0
    if many and jnp.shape(sigma) != x.shape[:1]:
        raise checks.InputError(
            f"sigma must be a number, or one for each of {len(x)} rows; got {jnp.shape(sigma)}."
        )
    noise = in_a_row(jax.random.normal, key, x.shape, x.dtype)
    scale = jnp.asarray(sigma, x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    noisy = x + scale * noise
    s = score(noisy, sigma) if many else score(noisy)
    return jnp.square(scale * s + noise).mean()


def _traced(score, x):
    """s and the trace of ∂s/∂x of each row, by the columns of the unit matrix."""
    s, push = jax.linearize(score, x)
    units = jnp.eye(x.shape[-1], dtype=x.dtype)
    columns = jax.vmap(lambda e: push(jnp.broadcast_to(e, x.shape)))(units)  # [d, batch, d]
    return s, jnp.trace(columns, axis1=0, axis2=2)


def _check(score, x):
    checks.function(score, "score")
    checks.floating(x, "x")
    if not jnp.ndim(x) or not np.size(x):
        raise checks.InputError(f"x must be rows [batch, *event]; got shape {jnp.shape(x)}.")
