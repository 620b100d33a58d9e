"""KL(p ‖ q) in closed form, or refused, for the distributions of this library.

distrax looks up a divergence by the classes of p and q, and a subclass inherits formulas that may
not hold for it: two `distrax.Transformed`, for example, count as the same map if their programs
agree, whatever their parameters. Every class here therefore registers itself (`exact`).
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import distrax
import jax
import jax.numpy as jnp
from jax.nn import log_softmax
from tensorflow_probability.substrates import jax as tfp

from .. import checks
from ..arrays import same_rank
from ..protocol import Array

ESTIMATES = {
    "mean": "the mean of samples",
    "variance": "the variance of samples",
    "mode": "the likeliest of many samples",
    "entropy": "the mean of -log_prob over samples",
}


Class = TypeVar("Class", bound=type[distrax.Distribution])


def exact(cls: Class) -> Class:
    """Class decorator: divergences without a closed form raise `NoClosedForm`.

    All divergences from and to the class are computed by `kl_divergence`. Moments and entropy are
    those that the class defines.
    """
    for name, estimate in ESTIMATES.items():
        if getattr(cls, name) is getattr(distrax.Distribution, name):
            setattr(cls, name, _refused(name, estimate))
    others = [distrax.Distribution, tfp.distributions.Distribution]
    if distrax.Transformed in cls.__bases__:  # what is registered for it would be found as soon
        others += [distrax.Transformed, distrax.Transformed.equiv_tfp_cls]
    for pair in [(cls, cls), *((cls, other) for other in others), *((o, cls) for o in others)]:
        tfp.distributions.RegisterKL(*pair)(kl_divergence)
    return cls


def _refused(name, estimate):
    def method(self):
        """Raises InputError: there is no closed form here. The message names an estimate."""
        raise checks.InputError(
            f"{name} of {_name(self)} has no closed form here. Estimate it: {estimate}."
        )

    return method


def kl_divergence(p: distrax.Distribution, q: distrax.Distribution, **unused: Any) -> Array:
    """KL(p ‖ q) = E_p [log p(x) - log q(x)], in nats, [*batch].

    Closed forms are known for:

    - two distributions on the same number K of levels: a sum over the levels
    - T(z) and T(z') with the same bijector object T: KL(z ‖ z'), because T preserves divergences
    - independent entries: the sum of their divergences (`by_entries`)
    - Gaussians, including linear flows of Gaussians, and independent normal entries
    - two tables (`autoregressive.table`)

    Any other pair raises NoClosedForm, an InputError that names the Monte Carlo estimate.
    `p.kl_divergence(q)` calls this function.
    """
    _check_events(p, q)
    for closed_form in (
        _of_copies,
        _of_levels,
        _of_one_map,
        _of_entries,
        _of_gaussians,
        _of_its_kind,
    ):
        found = closed_form(p, q)
        if found is not None:
            return found
    raise checks.NoClosedForm(
        f"kl_divergence of {_name(p)} and {_name(q)} has no closed form here. Estimate it from "
        "samples of the first: x, log_p = p.sample_and_log_prob(seed=key, sample_shape=(n,)), and "
        "then objectives.mean_log_ratio(log_p, q.log_prob(x))."
    )


def by_entries(p: distrax.Distribution, q: distrax.Distribution) -> Array | None:
    """KL(p_i ‖ q_i) of each entry i, in nats, [*batch, *event]; their sum is KL(p ‖ q).

    p, q: two distributions with independent entries and closed forms: Gaussians with diagonal
        covariance (`distrax.MultivariateNormalDiag`, a Gaussian decoder, `standard_normal`), or
        `distrax.Independent`. Events of two shapes raise InputError

    Returns None for any other pair.
    """
    _check_events(p, q)
    p, q = getattr(p, "one", p), getattr(q, "one", q)
    of_p, of_q = normal_entries(p), normal_entries(q)
    if of_p is not None and of_q is not None:
        return _of_normal_entries(*same_rank(*of_p, *of_q))
    if not isinstance(p, distrax.Independent) or not isinstance(q, distrax.Independent):
        return None
    if p.distribution.event_shape or q.distribution.event_shape:  # of vectors, say
        return None
    return _between(p.distribution, q.distribution)


def divergence_at(p: distrax.Distribution, q: distrax.Distribution, log_ratio: Array) -> Array:
    """KL(p ‖ q) in closed form if there is one, else its estimate log p(x) - log q(x).

    Returns, in nats, the first of these that exists:

    - KL(p_i ‖ q_i) of each entry, [*samples, *event], for independent entries (`by_entries`)
    - KL(p ‖ q), [*samples], where `kl_divergence` has a closed form
    - log_ratio itself, [*samples], an unbiased estimate at each sample

    p, q: two distributions of the same events
    log_ratio: log p(x) - log q(x) at samples x ~ p, [*samples], where the last axes of `samples`
        are the batch of p and q. Closed forms use its shape only, and repeat the same value for all
        samples
    """
    checks.floating(log_ratio, "log_ratio")
    found, event = by_entries(p, q), tuple(p.event_shape)
    if found is None:
        found, event = closed_form(p, q), ()
    return log_ratio if found is None else jnp.broadcast_to(found, (*log_ratio.shape, *event))


def closed_form(p: distrax.Distribution, q: distrax.Distribution) -> Array | None:
    """`kl_divergence`, or None if there is no closed form."""
    try:
        return kl_divergence(p, q)
    except checks.NoClosedForm:
        return None


def normal_entries(dist: distrax.Distribution) -> tuple[Array, Array] | None:
    """(mean, scale) of each entry, [*batch, *event], of a Gaussian with independent entries.

    None for any other distribution.
    """
    if isinstance(dist, distrax.MultivariateNormalDiag):
        return dist.loc, dist.scale_diag
    if isinstance(dist, distrax.Independent) and isinstance(dist.distribution, distrax.Normal):
        return dist.distribution.loc, dist.distribution.scale
    return None


def level_logits(dist: distrax.Distribution) -> Array | None:
    """log p of every level up to a constant, [..., K], or None if events are not levels."""
    logits = None if tuple(dist.event_shape) else getattr(dist, "logits", None)
    if logits is None or not jnp.issubdtype(dist.dtype, jnp.integer):
        return None
    if isinstance(dist, distrax.Bernoulli):  # its one logit is that of level 1 against level 0
        return jnp.stack([jnp.zeros_like(logits), logits], -1)
    return logits


def affine_map(dist: distrax.Distribution) -> tuple[distrax.Bijector, tuple[int, ...]] | None:
    """(T, shape of ε) of a distribution of T(ε) with T affine and ε ~ N(0, I); None for others."""
    dist = getattr(dist, "one", dist)
    if isinstance(dist, distrax.Independent) and isinstance(dist.distribution, distrax.Normal):
        each = distrax.ScalarAffine(dist.distribution.loc, dist.distribution.scale)
        return distrax.Block(each, len(dist.event_shape)), tuple(dist.event_shape)
    if isinstance(dist, distrax.Transformed) and dist.bijector.is_constant_jacobian:
        base = affine_map(dist.distribution)
        if base is not None:
            return distrax.Chain([dist.bijector, base[0]]), base[1]
    return None


def columns(function: Callable[[Array], Array], shape: tuple[int, ...]) -> tuple[Array, Array]:
    """f(0) [..., *event] and the columns f(e_k) - f(0), [k, ..., *event], of an affine f."""
    centre, push = jax.linearize(function, jnp.zeros(shape))
    units = jnp.eye(math.prod(shape)).reshape(-1, *shape)
    return centre, jax.vmap(push)(units)


def kl_of_logits(p: Array, q: Array) -> Array:
    """Σ_k p_k (log p_k - log q_k) for logits p and q [..., K], in nats."""
    log_p, log_q = log_softmax(p), log_softmax(q)
    never = log_p == -jnp.inf  # of which 0 log 0 = 0, whatever q says
    ratio = jnp.where(never, 0, log_p) - jnp.where(never, 0, log_q)
    return (jnp.exp(log_p) * ratio).sum(-1)


# ------------------------------------------------ KL(p ‖ q), or None where they are of another kind
def _of_copies(p, q):
    if not (hasattr(p, "one") or hasattr(q, "one")):
        return None
    batch_shape = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    one, other = getattr(p, "one", p), getattr(q, "one", q)
    found = _between(one, other)
    return None if found is None else jnp.broadcast_to(found, batch_shape)


def _of_levels(p, q):
    log_p, log_q = level_logits(p), level_logits(q)
    if log_p is None or log_q is None:
        return None
    if log_p.shape[-1] != log_q.shape[-1]:
        raise checks.InputError(
            f"p and q must have the same number of levels; got {log_p.shape[-1]} of {_name(p)} and "
            f"{log_q.shape[-1]} of {_name(q)}."
        )
    return kl_of_logits(log_p, log_q)


def _of_one_map(p, q):
    if all(isinstance(dist, distrax.Transformed) for dist in (p, q)) and p.bijector is q.bijector:
        return _between(p.distribution, q.distribution)
    return None


def _of_entries(p, q):
    each, axes = by_entries(p, q), len(p.event_shape)
    if each is None and all(isinstance(dist, distrax.Independent) for dist in (p, q)):
        axes = p.reinterpreted_batch_ndims
        if axes == q.reinterpreted_batch_ndims:
            each = _between(p.distribution, q.distribution)
    return None if each is None else each.sum(range(-axes, 0))


def _of_normal_entries(mean, scale, q_mean, q_scale):
    """½ ((σ/τ)² + ((μ - ν)/τ)² - 1) - log σ/τ, for N(μ, σ²) and N(ν, τ²)."""
    ratio, distance = scale / q_scale, (mean - q_mean) / q_scale
    return (ratio**2 + distance**2 - 1) / 2 - jnp.log(ratio)


def _of_gaussians(p, q):
    """x = T_p(ε): with T_q⁻¹ T_p ε = C ε + m, ½ (‖C‖² + ‖m‖² - d) - log|det C|."""
    of_p, of_q = affine_map(p), affine_map(q)
    if of_p is None or of_q is None:
        return None
    (t_p, shape), (t_q, other_shape) = of_p, of_q

    def between(noise):
        there = t_q.inverse(t_p.forward(noise))
        batch = there.shape[: there.ndim - len(other_shape)]
        return there.reshape(*batch, math.prod(other_shape))

    m, c = columns(between, shape)
    log_det = t_p.forward_log_det_jacobian(jnp.zeros(shape))
    log_det = log_det - t_q.forward_log_det_jacobian(jnp.zeros(other_shape))
    kl = ((c**2).sum((0, -1)) + (m**2).sum(-1) - m.shape[-1]) / 2 - log_det
    return jnp.broadcast_to(kl, jnp.broadcast_shapes(p.batch_shape, q.batch_shape))


def _of_its_kind(p, q):
    """`kl_to` of a class, which is None where q is of another."""
    return p.kl_to(q) if hasattr(p, "kl_to") else None


def _between(p, q):
    """KL(p ‖ q) of any two, None where distrax knows of none."""
    try:
        return p.kl_divergence(q)
    except NotImplementedError:
        return None


def _check_events(p, q):
    checks.instance(p, distrax.Distribution, "p")
    checks.instance(q, distrax.Distribution, "q")
    if tuple(p.event_shape) != tuple(q.event_shape):
        raise checks.InputError(
            f"p and q must have the same event_shape; got {tuple(p.event_shape)} of {_name(p)} and "
            f"{tuple(q.event_shape)} of {_name(q)}."
        )


def _name(dist):
    return dist.name.lstrip("_")
