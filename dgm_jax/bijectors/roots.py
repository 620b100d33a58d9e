"""Roots of increasing functions, by bisection, with gradients by the implicit function theorem."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array


def bisect(excess: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, Array]:
    """Brackets low <= x <= high of the x with excess(x) = 0, halved to the dtype's precision.

    excess: an increasing function, entry by entry; low and high enclose the root. The last bracket
    is 2^-(p+1) of the first, with p bits in the mantissa: 24 halvings in float32, 53 in float64.
    Newton steps would be faster but can fail for curves with flat pieces and sharp bends.
    """

    def halve(_, ends):
        low, high = ends
        x = (low + high) / 2
        below = excess(x) < 0
        return jnp.where(below, x, low), jnp.where(below, high, x)

    return jax.lax.fori_loop(0, jnp.finfo(low.dtype).nmant + 1, halve, (low, high))


def newton_within(step: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The root in a bracket left by `bisect`, by two Newton steps clipped to [low, high].

    step(x): the Newton step -f / f' at x.
    """
    x = (low + high) / 2
    return jax.lax.fori_loop(0, 2, lambda _, x: jnp.clip(x + step(x), low, high), x)


def find_root(f: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The x in [low, high] with f(x) = 0, to rounding of the bracket's width and of f.

    f is increasing with f' > 0, entry by entry. Cost: one evaluation per bit of the mantissa, and
    two. Not differentiable; use `increasing_root`.
    """
    low, high = bisect(f, low, high)

    def step(x):
        value, slope = jax.jvp(f, (x,), (jnp.ones_like(x),))
        return -value / slope

    return newton_within(step, low, high)


def increasing_root(f: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The x in [low, high] with f(x) = 0, for an increasing function f, with its gradient.

    By the implicit function theorem: if f depends on θ, then ∂x/∂θ = -(∂f/∂θ) / (∂f/∂x) at the
    root: forward and reverse mode, to any order, with respect to all that f closes over. The cost
    of a gradient does not depend on how the root was found.

    f: acts entry by entry, [...] -> [...], with f' > 0
    low, high: the ends of the intervals, in the shape of x

    Returns x to rounding. If there is no root in [low, high] it raises InputError; traced code
    (`jit`) cannot raise, and there the root is NaN. Cost: bisection, one evaluation of f per bit of
    the mantissa (24 in float32), then two Newton steps.
    """
    checks.function(f, "f")
    for value, name in ((low, "low"), (high, "high")):
        checks.floating(value, name)
    if low.shape != high.shape:
        raise checks.InputError(f"high must have the shape of low, {low.shape}; got {high.shape}.")
    dtype = jnp.result_type(low, high)
    low, high = jnp.asarray(low, dtype), jnp.asarray(high, dtype)
    found = jax.eval_shape(f, low)
    if getattr(found, "shape", None) != low.shape:
        raise checks.InputError(f"f must map {low.shape} to {low.shape}; got {found} of low.")
    x = implicit_root(f, low, high, solve=_nan_without_root)
    if checks.readable(x) and jnp.isnan(x).any():
        raise checks.InputError(
            f"low and high must enclose a root of f; got f = {f(low)} at low = {low} and "
            f"{f(high)} at high = {high}.".replace("\n", " ")
        )
    return x


def _nan_without_root(f, low, high):
    """`find_root`, and NaN where one Newton step would leave the bracket by more than rounding."""
    x = find_root(f, low, high)
    value, slope = jax.jvp(f, (x,), (jnp.ones_like(x),))
    rounding = 64 * jnp.finfo(x.dtype).eps * jnp.maximum(jnp.abs(low), jnp.abs(high))
    beyond = x - value / slope
    return jnp.where((beyond >= low - rounding) & (beyond <= high + rounding), x, jnp.nan)


def implicit_root(
    f: Callable[[Array], Array], low: Array, high: Array, *, solve: Callable = find_root
) -> Array:
    """`increasing_root` of f, for low and high known to enclose the root; `solve` finds it."""
    low, high = jax.lax.stop_gradient((low, high))
    return jax.lax.custom_root(
        f,
        low,
        lambda f, _: solve(f, low, high),
        lambda linear, y: y / linear(jnp.ones_like(y)),
    )
