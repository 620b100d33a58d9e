"""Neural splines: monotone rational-quadratic curves between knots, the identity outside."""

import math
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import wide
from ..protocol import Array
from .laws import Law


class Spline(NamedTuple):
    """The options of a spline; min_width and min_height are fractions of the interval."""

    num_bins: int
    bound: float
    min_width: float
    min_height: float
    min_slope: float


class Bin(NamedTuple):
    """The piece of the curve from (left, bottom) to (right, top), with the slopes at its ends."""

    left: Array
    right: Array
    bottom: Array
    top: Array
    slope_left: Array
    slope_right: Array
    overflows: Array  # whether a slope is beyond the dtype; then log τ' is -∞ between the knots


@checks.spelled
def rational_quadratic_spline(
    *,
    num_bins: int = 8,
    bound: float = 3.0,
    min_width: float = 1e-3,
    min_height: float = 1e-3,
    min_slope: float = 1e-3,
) -> Law:
    """τ(x; c) = y_k + h ξ(s ξ + δ_k(1-ξ)) / (s + (δ_k + δ_{k+1} - 2s) ξ(1-ξ)) in [-bound, bound].

    ξ = (x - x_k) / w in the bin k of x, with width w, height h, s = h / w, and slopes δ at its
    knots; τ(x) = x outside. c holds the logits of K = num_bins widths, of K heights, and K-1
    slopes, so num_params = 3K - 1; the slope at ±bound is 1. τ is once continuously differentiable.

    min_width, min_height: the smallest fraction of the interval that a bin takes; min_slope: the
    smallest slope at a knot. They bound how steep, and so how ill-conditioned, a spline can be.
    Both directions are closed forms of equal cost. Arithmetic in float32 at least.
    Durkan et al. (2019), "Neural spline flows".
    """
    num_bins = checks.positive_int(num_bins, "num_bins")
    bound = checks.positive(bound, "bound")
    min_width = checks.positive(min_width, "min_width")
    min_height = checks.positive(min_height, "min_height")
    min_slope = checks.positive(min_slope, "min_slope")
    for value, name in [(min_width, "min_width"), (min_height, "min_height")]:
        if value * num_bins >= 1:
            raise checks.InputError(
                f"{name} must be below 1 / num_bins = 1 / {num_bins}; got {value!r}. Lower either."
            )
    if min_slope >= 1:
        raise checks.InputError(
            f"min_slope must be below 1, the identity's slope; got {min_slope!r}."
        )
    spline = Spline(num_bins, bound, min_width, min_height, min_slope)
    return Law(3 * num_bins - 1, lambda c: RationalQuadraticSpline(c, spline))


class RationalQuadraticSpline(distrax.Bijector):
    """One spline for each c [..., 3K - 1]; x [...] broadcasts against them."""

    same_as = checks.same_bijector

    def __init__(self, c: Array, spline: Spline):
        super().__init__(event_ndims_in=0)
        self._c, self._spline = c, spline

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return self._run(x, curve, by="width")

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return self._run(y, inverse_curve, by="height")

    def _run(self, x, formula, by):
        dtype = jnp.result_type(x, self._c)
        x, c = jnp.asarray(x, wide(dtype)), self._c.astype(wide(dtype))
        inside = jnp.abs(x) < self._spline.bound
        safe = jnp.where(inside, x, 0)  # before the formula: a `where` after it would leak NaNs
        y, log_det = formula(safe, choose_bin(self._spline, c, safe, by))
        y, log_det = jnp.where(inside, y, x), jnp.where(inside, log_det, 0)
        return y.astype(dtype), log_det.astype(dtype)


def choose_bin(spline: Spline, c: Array, at: Array, by: str) -> Bin:
    """The bin of `spline` with parameters c that contains `at`; by: "width" or "height".

    Comparisons and sums instead of gathers; the bins are the first axis, so that the arithmetic
    runs over long axes.
    """
    c = jnp.expand_dims(c, range(at.ndim + 1 - c.ndim))  # as many batch axes as `at`
    k = spline.num_bins
    widths, heights, slopes = jax.lax.split(jnp.moveaxis(c, -1, 0), [k, k, k - 1])
    bound = jnp.full_like(widths[:1], spline.bound)
    one = jnp.zeros_like(bound)  # unconstrained slope 0 is slope 1

    def knots(logits, least):
        shares = least + (1 - k * least) * jax.nn.softmax(logits, 0)
        inner = spline.bound * (2 * jnp.cumsum(shares, 0)[:-1] - 1)
        return jnp.concatenate([-bound, inner, bound])  # [K + 1, ...]

    ends = [
        knots(widths, spline.min_width),
        knots(heights, spline.min_height),
        jnp.concatenate([one, slopes, one]),
    ]
    edges = ends[0 if by == "width" else 1]
    here = (edges[:-1] <= at[None]) & (at[None] < edges[1:])  # [K, ...], True once
    picked = [jnp.where(here, e, 0).sum(0) for end in ends for e in (end[:-1], end[1:])]
    offset = math.log(math.expm1(1 - spline.min_slope))
    slopes = [spline.min_slope + jax.nn.softplus(p + offset) for p in picked[4:]]
    largest = jnp.finfo(at.dtype).max / 8  # sums of slopes are finite
    overflows = jnp.maximum(*slopes) > largest
    return Bin(*picked[:4], *(jnp.minimum(slope, largest) for slope in slopes), overflows)


def curve(x: Array, piece: Bin) -> tuple[Array, Array]:
    """y and log dy/dx; ξ and 1-ξ are both computed by subtraction, to avoid cancellation."""
    width, height = piece.right - piece.left, piece.top - piece.bottom
    s = height / width
    xi, rest = (x - piece.left) / width, (piece.right - x) / width
    share = xi * (s * xi + piece.slope_left * rest) / denominator(xi, rest, s, piece)
    log_det = jnp.where(piece.overflows, -jnp.inf, log_slope(xi, rest, s, piece))
    return piece.bottom + height * share, log_det


def inverse_curve(y: Array, piece: Bin) -> tuple[Array, Array]:
    """x and log dx/dy: the root ξ in [0, 1] of a quadratic equation.

    With η = (y - y_k) / h, e = δ_k(1-η) - δ_{k+1}η and D = e² + 4s²η(1-η), a sum of two squares, ξ
    = 2sη / (2sη + e + √D), which is the paper's 2c / (-b - √(b² - 4ac)). For e < 0 it would cancel,
    and the same formula is used from the right end: 1-ξ = 2s(1-η) / (2s(1-η) - e + √D).
    """
    width, height = piece.right - piece.left, piece.top - piece.bottom
    slope = height / width
    eta, rest = (y - piece.bottom) / height, (piece.top - y) / height
    # In units of the largest slope, which cancel: no square overflows.
    slopes = jnp.stack([slope, piece.slope_left, piece.slope_right])
    s, left, right = slopes / jax.lax.stop_gradient(slopes.max(0, keepdims=True))
    e = left * rest - right * eta
    from_left = e >= 0
    root = jnp.where(from_left, e, -e) + jnp.sqrt(e * e + 4 * s * s * eta * rest)
    near = 2 * s * jnp.where(from_left, eta, rest)
    near, far = near / (near + root), root / (near + root)  # shares of the width from each end
    xi, rest = jnp.where(from_left, near, far), jnp.where(from_left, far, near)
    log_det = jnp.where(piece.overflows, -jnp.inf, -log_slope(xi, rest, slope, piece))
    return piece.left + width * xi, log_det


def denominator(xi: Array, rest: Array, s: Array, piece: Bin) -> Array:
    """s + (δ_k + δ_{k+1} - 2s) ξ(1-ξ) without cancellation; at least s / 2.

    xi: ξ; rest: 1 - ξ; s: the mean slope of the `piece`.
    """
    return s * (xi * xi + rest * rest) + (piece.slope_left + piece.slope_right) * xi * rest


def log_slope(xi: Array, rest: Array, s: Array, piece: Bin) -> Array:
    """log dy/dx of the `piece` with mean slope s, at ξ = xi and 1-ξ = rest."""
    ratio = s / denominator(xi, rest, s, piece)
    ends = piece.slope_right * xi * xi + 2 * s * xi * rest + piece.slope_left * rest * rest
    return 2 * jnp.log(ratio) + jnp.log(ends)  # ratio² may be 0 where log τ' is but -100
