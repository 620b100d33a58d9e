"""The cumulative distribution function of a mixture of logistics, as a map from R to R."""

from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid, log_softmax, logsumexp
from jax.typing import DTypeLike

from .. import checks
from ..arrays import mid_quantiles, parted, same_rank, soft_bound, wide
from ..protocol import Array
from .laws import Law
from .roots import bisect, newton_within


class Mixture(NamedTuple):
    """F(x) = Σ_j π_j σ((x - μ_j) / s_j), the CDF of a mixture of K logistics.

    σ(u) = 1 / (1 + e^-u) is the logistic function.

    log_weights: log π_j, normalised, [..., K]
    means: μ_j, [..., K]
    log_scales: log s_j, [..., K]
    """

    log_weights: Array
    means: Array
    log_scales: Array


def mixture_logistic_cdf(*, num_components: int = 8, bound: float = 3.0) -> Law:
    """τ(x; c) = e^a logit(Σ_j π_j σ((x - μ_j) / s_j)) + b, with logit(u) = log u - log(1 - u).

    A law for coupling layers: the CDF of a mixture of logistics, brought back from (0, 1) to R; σ
    is the inverse of logit. c holds K logits, whose softmax are the weights π_j, K shifts m_j, K
    log-scales, a and b: num_params = 3K + 2.

    num_components: K
    bound: B; the log-scales and a are B tanh(r / B) of the entries r of c, in (-B, B)

    c = 0 is the identity, logit(σ(x)). There all components are equal, but their gradients with
    respect to s_j differ, because component j shrinks onto its own point z_j: μ_j = m_j + z_j (1 -
    s_j), with z_j the quantiles (j - ½) / K of the standard logistic. So they separate in training.
    If components are narrow and far apart, τ is nearly flat between them: there log τ' may be -100,
    and the inverse and its gradient are as ill-conditioned as that.

    Returns a `Law`: τ, and how many numbers of c it takes for each entry; the argument `law` of
    flows such as `flows.coupling` and `flows.maf`. Cost: `inverse` is a bisection, with one
    evaluation of τ per bit of the mantissa; its gradient, by the implicit function theorem, does
    not differentiate the bisection. Arithmetic in float32 at least. Ho et al. (2019), "Flow++:
    improving flow-based generative models".
    """
    num_components = checks.positive_int(num_components, "num_components")
    bound = checks.positive(bound, "bound")
    k = num_components
    points = np.log(mid_quantiles(k) / (1 - mid_quantiles(k)))

    def bijector(c):
        exact = c.astype(wide(c))
        logits, shifts, scales, a, b = jax.lax.split(exact, [k, k, k, 1, 1], axis=c.ndim - 1)
        parts = parted(shifts, scales, points.astype(exact.dtype), bound)
        mixture = Mixture(log_softmax(logits), *parts)
        return MixtureLogisticCDF(mixture, soft_bound(a[..., 0], bound), b[..., 0], c.dtype)

    return Law(3 * k + 2, bijector)


class MixtureLogisticCDF(distrax.Bijector):
    """y = e^a logit(F(x)) + b, F the CDF of a mixture of logistics, logit(u) = log u - log(1 - u).

    A bijection of scalars x [...], R onto R, with log dy/dx = a + log F'(x) - log F(x) - log(1 -
    F(x)), precise in both tails. The inverse is found by bisection and differentiated by the
    implicit function theorem.

    mixture: F, a `Mixture` of K components, each field [..., K]
    log_scale, shift: a and b, [...]
    dtype: results have the common dtype of this and of x
    """

    same_as = checks.same_bijector

    def __init__(self, mixture: Mixture, log_scale: Array, shift: Array, dtype: DTypeLike):
        super().__init__(event_ndims_in=0)
        checks.noun(mixture, Mixture, "mixture")
        for value, name in zip(mixture, Mixture._fields):
            checks.floating(value, f"mixture.{name}")
        for value, name in ((log_scale, "log_scale"), (shift, "shift")):
            checks.floating(value, name)
        dtype = checks.dtype(dtype, "dtype")
        self._mixture, self._log_scale, self._shift = mixture, log_scale, shift
        self._dtype = dtype

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        exact, mixture, log_scale, shift = self._aligned(x)
        logit, log_slope = logit_cdf(mixture, exact)
        return self._narrow(x, jnp.exp(log_scale) * logit + shift, log_scale + log_slope)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        exact, mixture, log_scale, shift = self._aligned(y)
        x = quantile(mixture, (exact - shift) * jnp.exp(-log_scale))
        return self._narrow(y, x, -log_scale - logit_cdf(mixture, x)[1])

    def _aligned(self, x):
        """x in the precision of the arithmetic, and the parameters, all of one rank."""
        x = jnp.asarray(x, jnp.result_type(x, self._shift))
        x, log_scale, shift = same_rank(x, self._log_scale, self._shift)
        return x, Mixture(*same_rank(*self._mixture, x[..., None])[:3]), log_scale, shift

    def _narrow(self, like, *results):
        dtype = jnp.result_type(like, self._dtype)
        return tuple(result.astype(dtype) for result in results)


class Posterior(NamedTuple):
    """What the mixture says at x; each field [..., K] but the three sums [...]."""

    u: Array  # (x - μ_j) / s_j
    log_cdf: Array  # log F = log Σ_j π_j σ(u_j)
    log_rest: Array  # log(1 - F) = log Σ_j π_j σ(-u_j)
    log_slope: Array  # log Σ_j p_j q_j / (π_j s_j)
    log_below: Array  # log p_j, the share of component j in F
    log_above: Array  # log q_j, its share in 1 - F
    log_share: Array  # log r_j, its share in the slope


def posterior(mixture: Mixture, x: Array) -> Posterior:
    """p_j = P(j | X ≤ x) and q_j = P(j | X > x) of the components j of X ~ F, and their sums.

    All are logarithms, so that no tail rounds to 0 or 1. In a tail F' and F (1 - F) both vanish;
    the slope F' / (F (1 - F)) = Σ_j p_j q_j / (π_j s_j) has terms of moderate size there.
    """
    u = standardised(mixture, x)
    log_cdf, below = _sum_and_shares(mixture.log_weights + log_sigmoid(u))
    log_rest, above = _sum_and_shares(mixture.log_weights + log_sigmoid(-u))
    terms = below + above - mixture.log_weights - mixture.log_scales
    log_slope, share = _sum_and_shares(terms)
    return Posterior(u, log_cdf, log_rest, log_slope, below, above, share)


def standardised(mixture: Mixture, x: Array) -> Array:
    """u_j = (x - μ_j) / s_j for every component, [..., K]."""
    return (x[..., None] - mixture.means) * jnp.exp(-mixture.log_scales)


def _sum_and_shares(a):
    """log Σ_j e^{a_j} and the log-shares log(e^{a_j} / Σ).

    The largest a_j is subtracted first: far out all may be near -1e30, where floating-point numbers
    are too coarse for the differences to log Σ.
    """
    top = a.max(-1, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0)
    log_sum = jnp.log(jnp.exp(a - top).sum(-1, keepdims=True))
    return (top + log_sum)[..., 0], a - top - log_sum


@jax.custom_jvp
def logit_cdf(mixture: Mixture, x: Array) -> tuple[Array, Array]:
    """logit F(x) = log F - log(1 - F), and the logarithm of its slope F' / (F (1 - F))."""
    found = posterior(mixture, x)
    return found.log_cdf - found.log_rest, found.log_slope


@logit_cdf.defjvp
def logit_cdf_jvp(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    """The derivatives in closed form: three sums over j, in place of those of three logsumexps.

    With r_j the share of component j in the slope, ẇ = d log π and u̇ = e^{-log s} (ẋ - μ̇) - u ṡ,

        d log F = Σ_j p_j (ẇ_j + σ(-u_j) u̇_j)      d log(1 - F) = Σ_j q_j (ẇ_j - σ(u_j) u̇_j)
        d log slope = Σ_j r_j (ẇ_j - ṡ_j + (σ(-u_j) - σ(u_j)) u̇_j) - d log F - d log(1 - F).
    """
    mixture, x = primals
    (weights, means, scales), along = tangents
    found = posterior(mixture, x)
    p, q, r = (jnp.exp(log) for log in (found.log_below, found.log_above, found.log_share))
    left, right = jax.nn.sigmoid(found.u), jax.nn.sigmoid(-found.u)
    moved = (along[..., None] - means) * jnp.exp(-mixture.log_scales) - found.u * scales
    cdf = (p * (weights + right * moved)).sum(-1)
    rest = (q * (weights - left * moved)).sum(-1)
    slope = (r * (weights - scales + (right - left) * moved)).sum(-1) - cdf - rest
    return (found.log_cdf - found.log_rest, found.log_slope), (cdf - rest, slope)


@jax.custom_jvp
def quantile(mixture: Mixture, logit: Array) -> Array:
    """The x with logit F(x) = logit.

    Component j alone has it at μ_j + s_j logit; the smallest and the largest of these enclose x.
    """
    ends = mixture.means + jnp.exp(mixture.log_scales) * logit[..., None]
    # Compare on the side where F or 1 - F is small: one logarithm, without cancellation.
    sign = jnp.where(logit > 0, -1, 1).astype(logit.dtype)
    target = log_sigmoid(sign * logit)

    def excess(x):
        u = sign[..., None] * standardised(mixture, x)
        return sign * (logsumexp(mixture.log_weights + log_sigmoid(u), -1) - target)

    def step(x):
        reached, log_slope = logit_cdf(mixture, x)
        return (logit - reached) * jnp.exp(-log_slope)

    return newton_within(step, *bisect(excess, ends.min(-1), ends.max(-1)))


@quantile.defjvp
def quantile_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """Differentiates G(x; mixture) = logit:  G_x ẋ + ∂_mixture G · mixturė = logiṫ."""
    mixture, logit = primals
    x = quantile(mixture, logit)
    still = jnp.zeros_like(x)
    (_, log_slope), (push, _) = jax.jvp(logit_cdf, (mixture, x), (tangents[0], still))
    return x, (tangents[1] - push) * jnp.exp(-log_slope)
