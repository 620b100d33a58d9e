"""Roots of increasing functions: slow and sure to find, exact to differentiate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ..protocol import Array


def bisect(excess: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, Array]:
    """Brackets low <= x <= high of the x with excess(x) = 0, halved to the dtype's precision.

    excess is increasing, entry by entry; low and high enclose the root and are floating. The last
    bracket is 2^-(p+1) of the first, p the bits of the dtype's mantissa: 24 halvings in float32, 53
    in float64. Nothing faster is safe: where a curve has flat pieces and sharp bends Newton steps
    creep or leave.
    """

    def halve(_, ends):
        low, high = ends
        x = (low + high) / 2
        below = excess(x) < 0
        return jnp.where(below, x, low), jnp.where(below, high, x)

    return jax.lax.fori_loop(0, jnp.finfo(low.dtype).nmant + 1, halve, (low, high))


def newton_within(step: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The root in a bracket that `bisect` has left, by two Newton steps x + step(x) kept in it."""
    x = (low + high) / 2
    return jax.lax.fori_loop(0, 2, lambda _, x: jnp.clip(x + step(x), low, high), x)


def find_root(f: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The x in [low, high] with f(x) = 0, to rounding of the bracket's width and of f.

    f is increasing with f' > 0, entry by entry. Cost: as many evaluations as the mantissa has bits,
    and two. Not to be differentiated; `increasing_root` is.
    """
    low, high = bisect(f, low, high)

    def step(x):
        value, slope = jax.jvp(f, (x,), (jnp.ones_like(x),))
        return -value / slope

    return newton_within(step, low, high)


def increasing_root(f: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """`find_root`, differentiated by the implicit function theorem: f_x ẋ + ∂_θ f θ̇ = 0.

    In forward and reverse mode and to any order, with respect to all that f closes over; the cost
    of a gradient does not depend on how the root was found.
    """
    low, high = jax.lax.stop_gradient((low, high))
    return jax.lax.custom_root(
        f,
        low,
        lambda f, _: find_root(f, low, high),
        lambda linear, y: y / linear(jnp.ones_like(y)),
    )
