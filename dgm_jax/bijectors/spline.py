"""Neural splines: monotone rational-quadratic curves between knots, the identity outside."""

import math
from functools import partial
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

    def width(self) -> Array:
        return self.right - self.left

    def height(self) -> Array:
        return self.top - self.bottom

    def mean_slope(self) -> Array:
        return self.height() / self.width()


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

    A law for coupling and autoregressive layers. (x_k, y_k) are K + 1 knots from (-bound, -bound)
    to (bound, bound), with slopes δ_k; between two of them lies a bin of width w, height h and mean
    slope s = h / w, in which ξ = (x - x_k) / w. Outside τ(x) = x. τ is once continuously
    differentiable.

    c holds K logits of widths, K of heights, and K-1 numbers r_k of the inner slopes, num_params =
    3K - 1: a bin takes the share min_width + (1 - K min_width) softmax(logits) of the width of the
    interval, likewise of its height, and δ_k = min_slope + softplus(r_k + a), with a such that
    r_k = 0 gives 1. The slope at ±bound is 1.

    num_bins: K
    bound: the interval is [-bound, bound]
    min_width, min_height: the smallest share of the interval that a bin takes, below 1 / K
    min_slope: the smallest slope at a knot, below 1. These three bound how steep, and so how
        ill-conditioned, a spline can be
    Returns a `Law`: τ, and how many numbers of c it takes for each entry; the argument `law` of
    flows such as `flows.coupling` and `flows.maf`. Cost: both directions are closed forms of equal
    cost. Arithmetic in float32 at least. Durkan et al. (2019), "Neural spline flows".
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
        piece, overflows = choose_bin(self._spline, c, safe, by)
        y, log_det = formula(safe, piece)
        # Between knots of which a slope is beyond the dtype, log τ' is -∞.
        log_det = jnp.where(inside, jnp.where(overflows, -jnp.inf, log_det), 0)
        y = jnp.where(inside, y, x)
        return y.astype(dtype), log_det.astype(dtype)


def choose_bin(spline: Spline, c: Array, at: Array, by: str) -> tuple[Bin, Array]:
    """The bin of `spline` with parameters c that contains `at`, and whether a slope overflows.

    by: "width" or "height". Comparisons and sums instead of gathers; the bins are the last axis but
    one, as nets make their outputs, so that the arithmetic runs along the last one.
    """
    c = jnp.expand_dims(c, range(at.ndim + 1 - c.ndim))  # as many batch axes as `at`
    at = jnp.expand_dims(at, range(c.ndim - 1 - at.ndim))
    k, axis = spline.num_bins, max(c.ndim - 2, 0)
    parts = jax.lax.split(jnp.moveaxis(c, -1, axis), [k, k, k - 1], axis)
    logits, slopes = parts[:2], parts[2]
    least = spline.min_width, spline.min_height
    chosen = 0 if by == "width" else 1
    edges = _knots(spline, axis, least[chosen], jax.lax.stop_gradient(logits[chosen]))
    low, high = _both_ends(edges, axis)
    at = jnp.expand_dims(at, axis)
    before, here = high <= at, (low <= at) & (at < high)  # [..., K, ...]; `here` is True once
    (left, right), (bottom, top) = (
        _ends_of_bin(spline, axis, *own, before, here) for own in zip(least, logits)
    )
    offset = math.log(math.expm1(1 - spline.min_slope))
    # Unconstrained slope 0, which the outermost knots have, is slope 1.
    inner = _both_ends(here, axis)[::-1]  # whether an inner knot is the left end, or the right one
    picked = [jnp.where(own, slopes, 0).sum(axis) for own in inner]
    steep = [spline.min_slope + _softplus(p + offset) for p in picked]
    largest = jnp.finfo(at.dtype).max / 8  # sums of slopes are finite
    overflows = jnp.maximum(*steep) > largest
    return Bin(left, right, bottom, top, *(jnp.minimum(s, largest) for s in steep)), overflows


def _both_ends(array, axis):
    """All but the last, and all but the first, along the axis."""
    size = array.shape[axis]
    return [jax.lax.slice_in_dim(array, i, size - 1 + i, axis=axis) for i in (0, 1)]


def _knots(spline, axis, least, logits):
    """The K + 1 knots, for bins of at least the fraction `least` of the interval."""
    k = spline.num_bins
    shares = least + (1 - k * least) * jax.nn.softmax(logits, axis)
    inner = spline.bound * (2 * _both_ends(jnp.cumsum(shares, axis), axis)[0] - 1)
    bound = jnp.full_like(jax.lax.index_in_dim(logits, 0, axis), spline.bound)
    return jnp.concatenate([-bound, inner, bound], axis)


# The derivatives below are written so that their transposes end in a division. XLA computes these
# once for each point, where sums and products would be computed anew for each bin.


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _ends_of_bin(spline, axis, least, logits, before, here):
    """The two knots of the bin where `here` is True; the bins where `before` is are left of it."""
    ends = _both_ends(_knots(spline, axis, least, logits), axis)
    return tuple(jnp.where(here, end, 0).sum(axis) for end in ends)


@_ends_of_bin.defjvp
def _move_ends(spline, axis, least, primals, tangents):
    """dx_k = Σ_j e_j (2bθ [j < k] - x_k - b + 2bεk) dl_j / Σ_j e_j, with e_j = exp(l_j).

    For a knot x_k = 2b (εk + θ Σ_{j<k} e_j / Σ_j e_j) - b, with ε = `least` and θ = 1 - Kε: no sum
    of sums over bins, as autodiff has for `cumsum`.
    """
    logits, before, here = primals
    ends, twice = _ends_of_bin(spline, axis, least, *primals), 2 * spline.bound
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(axis, keepdims=True)))
    number = before.astype(logits.dtype).sum(axis)
    moved = weights * tangents[0]
    left, size = (jnp.where(own, moved, 0).sum(axis) for own in (before, here))
    moves = [
        twice * (1 - spline.num_bins * least) * own
        - (end + spline.bound - twice * least * k) * moved.sum(axis)
        for own, end, k in zip((left, left + size), ends, (number, number + 1))
    ]
    total = weights.sum(axis)
    return ends, tuple(move / total for move in moves)


@jax.custom_jvp
def _softplus(a):
    return jax.nn.softplus(a)


@_softplus.defjvp
def _move_softplus(primals, tangents):
    return _softplus(*primals), tangents[0] / (1 + jnp.exp(-primals[0]))


@jax.custom_jvp
def curve(x: Array, piece: Bin) -> tuple[Array, Array]:
    """y and log dy/dx; ξ and 1-ξ are both computed by subtraction, to avoid cancellation."""
    xi, rest = _place(x, piece)
    s = piece.mean_slope()
    share = xi * (s * xi + piece.slope_left * rest) / denominator(xi, rest, s, piece)
    return piece.bottom + piece.height() * share, log_slope(xi, rest, s, piece)


@curve.defjvp
def _move_curve(primals, tangents):
    (x, piece), (dx, moved) = primals, tangents
    xi, rest = _place(x, piece)
    (y_by_xi, slope_by_xi), (dy, dslope) = differential(xi, rest, piece, moved)
    dxi = (dx - rest * moved.left - xi * moved.right) / piece.width()
    return curve(x, piece), (dy + y_by_xi * dxi, dslope + slope_by_xi * dxi)


def _place(x, piece):
    """ξ and 1-ξ."""
    return (x - piece.left) / piece.width(), (piece.right - x) / piece.width()


@jax.custom_jvp
def inverse_curve(y: Array, piece: Bin) -> tuple[Array, Array]:
    """x and log dx/dy; the derivative is that of `curve`, solved for dx."""
    xi, rest = root(y, piece)
    log_det = -log_slope(xi, rest, piece.mean_slope(), piece)
    return piece.left + piece.width() * xi, log_det


@inverse_curve.defjvp
def _move_inverse_curve(primals, tangents):
    (y, piece), (dy, moved) = primals, tangents
    xi, rest = root(y, piece)
    (y_by_xi, slope_by_xi), (y_by_piece, dslope) = differential(xi, rest, piece, moved)
    dxi = (dy - y_by_piece) / y_by_xi
    dx = rest * moved.left + xi * moved.right + piece.width() * dxi
    return inverse_curve(y, piece), (dx, -(dslope + slope_by_xi * dxi))


def root(y: Array, piece: Bin) -> tuple[Array, Array]:
    """ξ and 1-ξ of the point that the `piece` maps to y, as the root of a quadratic equation.

    With η = (y - y_k) / h, e = δ_k(1-η) - δ_{k+1}η and D = e² + 4s²η(1-η), a sum of two squares, ξ
    = 2sη / (2sη + e + √D), which is the paper's 2c / (-b - √(b² - 4ac)). For e < 0 it would cancel,
    and the same formula is used from the right end: 1-ξ = 2s(1-η) / (2s(1-η) - e + √D).
    """
    slopes = piece.mean_slope(), piece.slope_left, piece.slope_right
    # In units of the largest slope, which cancel: no square overflows.
    largest = jax.lax.stop_gradient(jnp.maximum(jnp.maximum(*slopes[:2]), slopes[2]))
    s, left, right = (slope / largest for slope in slopes)
    eta, rest = (y - piece.bottom) / piece.height(), (piece.top - y) / piece.height()
    e = left * rest - right * eta
    from_left = e >= 0
    root = jnp.where(from_left, e, -e) + jnp.sqrt(e * e + 4 * s * s * eta * rest)
    near = 2 * s * jnp.where(from_left, eta, rest)
    near, far = near / (near + root), root / (near + root)  # shares of the width from each end
    return jnp.where(from_left, near, far), jnp.where(from_left, far, near)


def differential(
    xi: Array, rest: Array, piece: Bin, moved: Bin
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(∂y/∂ξ, ∂ log τ'/∂ξ), and (dy, d log τ') at fixed ξ if the `piece` moves by `moved`.

    D: `denominator`; E: `ends`; y = y_k + g h; m = ξ(1-ξ) / D; a, b: the slopes. ∂g/∂a = m (1-g),
    ∂g/∂b = -m g, ∂g/∂s = m (bξ² - a(1-ξ)²) / D and ∂g/∂ξ = sE / D². No square is computed that
    overflows where its quotient does not. xi, rest: ξ, 1-ξ.
    """
    a, b, s = piece.slope_left, piece.slope_right, piece.mean_slope()
    below = denominator(xi, rest, s, piece)
    above = ends(xi, rest, s, piece)
    m = xi * rest / below
    low, high = xi * (s * xi + a * rest) / below, rest * (s * rest + b * xi) / below  # g, 1-g
    ds = (moved.height() - s * moved.width()) / piece.width()
    by_s = (b * xi * xi - a * rest * rest) / below
    by_slopes = m * (high * moved.slope_left - low * moved.slope_right + by_s * ds)
    dy = high * moved.bottom + low * moved.top + piece.height() * by_slopes
    dslope = (
        (rest * rest / above - 2 * m) * moved.slope_left
        + (xi * xi / above - 2 * m) * moved.slope_right
        + 2 * (m * (a + b) / s + xi * rest / above) * ds
    )
    y_by_xi = piece.height() * (s / below) * (above / below)
    bend = (b * xi + s * (rest - xi) - a * rest) / above - (rest - xi) * (a + b - 2 * s) / below
    return (y_by_xi, 2 * bend), (dy, dslope)


def denominator(xi: Array, rest: Array, s: Array, piece: Bin) -> Array:
    """s + (δ_k + δ_{k+1} - 2s) ξ(1-ξ) without cancellation; at least s / 2.

    xi: ξ; rest: 1 - ξ; s: the mean slope of the `piece`.
    """
    return s * (xi * xi + rest * rest) + (piece.slope_left + piece.slope_right) * xi * rest


def ends(xi: Array, rest: Array, s: Array, piece: Bin) -> Array:
    """δ_{k+1} ξ² + 2s ξ(1-ξ) + δ_k (1-ξ)², for ξ, 1-ξ and s as in `denominator`."""
    return piece.slope_right * xi * xi + 2 * s * xi * rest + piece.slope_left * rest * rest


def log_slope(xi: Array, rest: Array, s: Array, piece: Bin) -> Array:
    """log dy/dx of the `piece` with mean slope s, at ξ = xi and 1-ξ = rest."""
    ratio = s / denominator(xi, rest, s, piece)
    above = ends(xi, rest, s, piece)
    return 2 * jnp.log(ratio) + jnp.log(above)  # ratio² may be 0 where log τ' is but -100
