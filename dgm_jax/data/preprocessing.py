"""Preprocessing of data for continuous densities, each step with its log-determinant.

Integers x in {0, ..., K-1}^d get a density by adding uniform noise (`dequantize`). By Jensen's
inequality E_u log p(x + u) <= log P(x): the density of dequantised data is a lower bound on the
log-likelihood of the levels. `logit_map` then maps [0, K)^d to R^d, where flows are defined:

    bits/dim = -(log p(y) + log |det ∂y/∂x|) / (d log 2),    y = logit_map(K).forward(x + u)

There is no further constant, because x is in units of one level. A uniform density on [0, 256)^d
has 8 bits/dim.
"""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .. import checks
from ..arrays import in_a_row, same_rank, wide, within_cell
from ..protocol import Array, Key


def dequantize(key: Key, x: ArrayLike) -> Array:
    """x + u, u ~ U[0, 1)^d, float32, for integers x of any shape; ⌊x + u⌋ = x always.

    A density of x + u is a lower bound of the probability of the levels x: E_u log p(x + u) ≤ log
    P(x), by Jensen's inequality.

    key: draws u; x: integers, such as grey levels, of any shape

    Raises `InputError` for numbers that are not integers, and, if the values of x are known, for
    integers beyond ±2^24, which float32 does not represent exactly. Uria et al. (2013), "RNADE: the
    real-valued neural autoregressive density-estimator"; Theis et al. (2016), "A note on the
    evaluation of generative models", section 3.1.
    """
    checks.key(key)
    checks.numbers(x, "x")
    if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
        raise checks.InputError(
            f"x must be integers; got {jnp.result_type(x)}. Do not dequantize it."
        )
    checks.within(x, -(2**24), 2**24, "x")
    x = jnp.asarray(x, jnp.float32)
    return within_cell(x, in_a_row(jax.random.uniform, key, x.shape, jnp.float32))


def quantize(x: ArrayLike, num_levels: int) -> Array:
    """⌊x⌋ clipped to {0, ..., num_levels - 1}, int32: the inverse of `dequantize`.

    x: real numbers of any shape; the result has the same. NaN becomes -1, which is no level
    num_levels: K, at least 2
    """
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    checks.numbers(x, "x")
    levels = jnp.clip(jnp.floor(x), 0, num_levels - 1).astype(jnp.int32)
    return jnp.where(jnp.isnan(x), -1, levels)


def logit_map(num_levels: int, *, alpha: float = 0.05, event_ndims: int = 1) -> distrax.Bijector:
    """y = logit(α + (1 - 2α) x / K) from [0, K)^d to R^d, K = `num_levels`, α in (0, 1/2).

    A distrax bijector: `forward` is x -> y, and log |det ∂y/∂x| = Σ_i log((1 - 2α) / K) - log s_i -
    log(1 - s_i), with s the argument of the logit. For dequantised levels, x in units of one level.

    alpha: α, the margin that keeps s away from 0 and 1, where the logit is infinite
    event_ndims: the number of last axes that the sum is over

    `inverse` of any y lies in [-αK/(1-2α), K + αK/(1-2α)], beyond [0, K) by this margin at most.
    `forward` of an x beyond the margin is NaN; integers raise `InputError`. Dinh et al. (2017),
    "Density estimation using Real NVP", section 4.1; Papamakarios et al. (2017) take α = 1e-6 for
    MNIST and 0.05 for CIFAR-10.
    """
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    event_ndims = checks.positive_int(event_ndims, "event_ndims", least=0)
    alpha = checks.positive(alpha, "alpha")
    if alpha >= 0.5:
        raise checks.InputError(f"alpha must be below 0.5; got {alpha!r}.")
    return _LogitMap(num_levels, alpha, event_ndims)


class _LogitMap(distrax.Bijector):
    same_as = checks.same_bijector

    def __init__(self, num_levels, alpha, event_ndims):
        super().__init__(event_ndims_in=event_ndims)
        self.num_levels = num_levels
        self.alpha = alpha
        self.log_slope = float(np.log1p(-2 * alpha) - np.log(num_levels))

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        _check_event(self, x, "x")
        # 1 - s is computed from K - x, not from s: near x = K the difference would lose all digits
        log_s, log_1ms = self._log(x), self._log(self.num_levels - x)
        return log_s - log_1ms, _sum_event(self, self.log_slope - log_s - log_1ms)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        _check_event(self, y, "y")
        span = self.num_levels / (1 - 2 * self.alpha)
        above_0 = span * (jax.nn.sigmoid(y) - self.alpha)  # each form is exact near its own end
        below_k = span * (jax.nn.sigmoid(-y) - self.alpha)
        x = jnp.where(y < 0, above_0, self.num_levels - below_k)
        return x, _sum_event(self, -jax.nn.softplus(y) - jax.nn.softplus(-y) - self.log_slope)

    def _log(self, x):
        """log(α + (1 - 2α) x / K); NaN beyond the margin, save what rounding may explain."""
        s = self.alpha + (1 - 2 * self.alpha) * x / self.num_levels
        return jnp.log(jnp.where(s < -1e-6, jnp.nan, jnp.maximum(s, jnp.finfo(s.dtype).tiny)))


def standardize(mean: ArrayLike, std: ArrayLike, event_ndims: int = 1) -> distrax.Bijector:
    """z = (x - mean) / std, log |det ∂z/∂x| = -Σ_i log std_i over the last `event_ndims` axes.

    Returns a distrax bijector, whose `forward` is x -> z: the argument `preprocessing` of
    `combinators.preprocessed` and `learning.fit_to_data`.

    mean, std: constants, such as those of the training set: numbers, or arrays [*event], which
        broadcast to the last axes of x
    event_ndims: the number of last axes of x that make one event

    Raises `InputError` for a std that is not above 0, or a mean that is not finite.
    """
    event_ndims = checks.positive_int(event_ndims, "event_ndims", least=0)
    mean = checks.on_host(mean, "mean").astype(np.float32)
    std = checks.on_host(std, "std").astype(np.float32)
    for value, name in ((mean, "mean"), (std, "std")):
        if not value.size:
            raise checks.InputError(f"{name} is empty (shape {value.shape}).")
    if not np.isfinite(mean).all():
        raise checks.InputError(f"mean must be finite; got {mean[~np.isfinite(mean)][0]}.")
    bad = ~(np.isfinite(std) & (std > 0))
    if bad.any():
        raise checks.InputError(
            f"std must be finite and above 0; got {std[bad][0]} (the first of {bad.sum()} such). "
            "Drop the constant columns (as float32 has them)."
        )
    checks.common_batch({"mean": mean.shape, "std": std.shape})
    return _Standardize(mean, std, event_ndims)


class _Standardize(distrax.Bijector):
    same_as = checks.same_bijector

    def __init__(self, mean, std, event_ndims):
        super().__init__(event_ndims_in=event_ndims, is_constant_jacobian=True)
        self.mean = mean
        self.std = std

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        log_std = self._log_std(x, "x")
        x, mean, std = same_rank(x, self.mean, self.std)
        return (x - mean) / std, -log_std

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        log_std = self._log_std(y, "z")
        z, mean, std = same_rank(y, self.mean, self.std)
        return z * std + mean, log_std

    def _log_std(self, x, name):
        _check_event(self, x, name)
        for constant in self.mean, self.std:
            sizes = zip(x.shape[::-1], constant.shape[::-1])
            if constant.ndim > x.ndim or any(c not in (1, n) for n, c in sizes):
                raise checks.InputError(
                    f"{name} of shape {x.shape} does not fit mean and std of shapes "
                    f"{self.mean.shape} and {self.std.shape}."
                )
        log_std = jnp.log(self.std.astype(jnp.result_type(x, self.std)))
        return _sum_event(self, jnp.broadcast_to(log_std, x.shape))


def _check_event(bijector, x, name):
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise checks.InputError(
            f"{name} must be floating; got {jnp.result_type(x)}. Dequantize it first."
        )
    if jnp.ndim(x) < bijector.event_ndims_in:
        raise checks.InputError(
            f"{name} must have at least {bijector.event_ndims_in} axes; got shape {jnp.shape(x)}."
        )


def _sum_event(bijector, log_det) -> Array:
    return log_det.sum(tuple(range(-bijector.event_ndims_in, 0)))


def mu_law_encode(x: ArrayLike, num_levels: int = 256) -> Array:
    """⌊(f(x) + 1) μ/2 + ½⌋, f(x) = sign(x) log(1 + μ|x|) / log(1 + μ), μ = K - 1: sound as levels.

    f maps [-1, 1] to itself and is rounded to the nearest of K equally spaced values. The steps in
    x are fine near 0 (2e-4 for K = 256) and coarse near ±1.

    x: floating-point samples of any shape, in [-1, 1]; beyond they are clipped; NaN becomes -1,
        which is no level
    num_levels: K

    Returns int32 levels 0..K-1 of the shape of x. ITU-T G.711 (in a piecewise linear form); van den
    Oord et al. (2016), "WaveNet: a generative model for raw audio", section 2.2.
    """
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    checks.numbers(x, "x")
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise checks.InputError(
            f"x must be floating, in [-1, 1]; got {jnp.result_type(x)}. Divide by its full scale."
        )
    mu = num_levels - 1
    x = jnp.clip(jnp.asarray(x, wide(x)), -1, 1)
    f = jnp.sign(x) * jnp.log1p(mu * jnp.abs(x)) / np.log1p(mu)
    levels = jnp.floor((f + 1) / 2 * mu + 0.5).astype(jnp.int32)
    return jnp.where(jnp.isnan(x), -1, levels)


def mu_law_decode(levels: ArrayLike, num_levels: int = 256) -> Array:
    """x = sign(f) ((1 + μ)^|f| - 1) / μ, f = 2 l / μ - 1, μ = K - 1: sound from levels l.

    The inverse of `mu_law_encode` up to rounding: mu_law_encode(mu_law_decode(l)) = l.

    levels: l, integers in 0..K-1 of any shape. Others raise `InputError`; in traced code, where
        they cannot be read, they become NaN
    num_levels: K

    Returns float32 in [-1, 1], of the same shape.
    """
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    checks.numbers(levels, "levels")
    if not jnp.issubdtype(jnp.result_type(levels), jnp.integer):
        raise checks.InputError(f"levels must be integers; got {jnp.result_type(levels)}.")
    mu = num_levels - 1
    checks.within(levels, 0, mu, "levels")
    f = (2 * jnp.asarray(levels, jnp.float32) - mu) / mu
    x = jnp.sign(f) * jnp.expm1(jnp.abs(f) * np.log1p(mu)) / mu
    return jnp.where(jnp.abs(f) <= 1, x, jnp.nan)
