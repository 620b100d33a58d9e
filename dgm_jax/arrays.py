"""Small functions of arrays that are needed in many places."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike


def wide(*arrays_or_dtypes: ArrayLike | DTypeLike) -> jnp.dtype:
    """The common dtype of the arguments, but at least float32.

    arrays_or_dtypes: arrays of any shapes, or dtypes. bfloat16 and float16, which are too coarse
        for a log-density, give float32; float64 stays.
    """
    return jnp.promote_types(jnp.result_type(*arrays_or_dtypes), jnp.float32)


def same_rank(*arrays: ArrayLike) -> tuple[Array, ...]:
    """The arrays, of any shapes, with axes of size 1 in front: all get the same number of axes.

    They broadcast as before, and also under `jax_numpy_rank_promotion="raise"`, which forbids
    operations between arrays of different rank. Returns a tuple in the order of the arguments.
    """
    ndim = max(map(jnp.ndim, arrays))
    return tuple(jnp.expand_dims(a, range(ndim - jnp.ndim(a))) for a in arrays)


def row_sums(a: Array) -> Array:
    """Σ over all axes but the first, a [n, ...] -> [n]: the sum of the entries of each row."""
    return a.reshape(len(a), -1).sum(-1)


def soft_bound(x: Array, bound: float) -> Array:
    """b tanh(x / b), in [-b, b] and close to x for small x: a smooth bound for x of any shape.

    bound: b > 0. The slope is 1 at 0 and falls gradually, where that of a clip is 0 beyond b.
    """
    return bound * jnp.tanh(x / bound)


def straight_through(value: Array, soft: Array) -> Array:
    """`value` in the forward pass, with the gradient of `soft`: the straight-through estimator.

    value, soft: arrays of one shape, such as a rounded number and the number itself, or a one-hot
        sample and its probabilities. value gets no gradient. The result equals `value` exactly; the
        usual form, soft + stop_gradient(value - soft), can differ from it by rounding. Bengio et
        al. (2013), "Estimating or propagating gradients through stochastic neurons".
    """
    return jax.lax.stop_gradient(value) + (soft - jax.lax.stop_gradient(soft))


def mid_quantiles(num: int) -> np.ndarray:
    """(j + ½) / K for j = 0..K-1: the midpoints of K intervals of equal probability, [K].

    num: K. A quantile function at these levels gives K points that represent a distribution.
    """
    return (np.arange(num) + 0.5) / num


def parted(shifts: Array, scales: Array, points: Array, bound: float) -> tuple[Array, Array]:
    """μ_j = m_j + z_j (1 - s_j), log s_j = b tanh(r_j / b): K components that separate in training.

    Components that start equal would receive equal gradients and stay equal. In this
    parametrisation all of them are the standard one at m = 0, r = 0, but their gradients with
    respect to s_j differ: component j shrinks onto its own point z_j. Every (μ, s) within the bound
    can be reached.

    shifts: m [..., K]. scales: r [..., K]. bound: b
    points: z [K], the `mid_quantiles` of the standard component, such as Φ⁻¹((j + ½) / K)

    Returns (means μ, log-scales log s), each [..., K].
    """
    log_scales, points = same_rank(soft_bound(scales, bound), points)
    return shifts - points * jnp.expm1(log_scales), log_scales


def places(order: np.ndarray) -> np.ndarray:
    """The inverse of a permutation: places[order[i]] = i, so that x[order][places(order)] is x.

    order: integers [d], each of 0..d-1 once, on the host. The result has its shape and dtype.
    """
    return np.argsort(order).astype(order.dtype)


def rearranged(array: Array, *orders: Array | np.ndarray | None) -> Array:
    """b[m, n, ...] = a[i[m], k[n], ...]: permutes each axis, with a gradient as fast as the value.

    array: a, floats [d_1, d_2, ...]; b has the same shape
    orders: i, k, ...: one for each axis, else `ValueError`; a permutation of 0..d-1 as integers
        [d], which may be traced, or None for an axis that stays. It is not checked: the gradient
        is wrong if an index is repeated, and b is undefined if one is out of range

    The gradient of an indexed array is by default a scatter, an addition at each index, which is
    slow on a CPU. For permutations it equals indexing by the inverse permutations, as is done here.
    Cost: one pass over the array, and one for the gradient; least if only one axis moves.
    """

    def stays(own, same):
        return own is None or isinstance(own, np.ndarray) and bool((own == same).all())

    here = [np.arange(size) for size in array.shape]
    there = [None if stays(own, same) else own for own, same in zip(orders, here, strict=True)]
    moved = [n for n, own in enumerate(there) if own is not None]
    if not moved:
        return array
    between = slice(moved[0], moved[-1] + 1)  # others are slices: a batch stays where it is spread
    here, there = here[between], there[between]
    back = [same if own is None else jnp.argsort(own) for same, own in zip(here, there)]
    there = [same if own is None else own for same, own in zip(here, there)]

    def gather(index):  # one of all these axes: one after the other, XLA may transpose between
        index = (slice(None),) * moved[0] + jnp.ix_(*index)
        return lambda a: a.at[index].get(mode="promise_in_bounds", unique_indices=True)

    move, undo = gather(there), gather(back)
    return jax.lax.custom_linear_solve(undo, array, lambda _, a: move(a), lambda _, a: undo(a))


def within_cell(corner: Array, u: Array) -> Array:
    """min(corner + u, the largest float below corner + 1): a dequantised level in its own cell.

    corner: levels as floats. u: noise in [0, 1); any shapes that broadcast. In float32, 255 +
        0.99999999 would be 256, the next level.
    """
    return jnp.minimum(corner + u, jnp.nextafter(corner + 1, corner))


def total(log_det: Array, event_ndims: int = 1) -> Array:
    """Σ over the last event_ndims axes, [..., *event] -> [...], written as a product with ones.

    log_det: the logarithms of the derivatives of an element-wise map, whose sum is its
        log-determinant. On a CPU, XLA would fuse a plain sum with the function before it and
        evaluate that function one number at a time, which is much slower.
    """
    log_det = jax.lax.collapse(log_det, log_det.ndim - event_ndims)
    return jnp.dot(log_det, jnp.ones(log_det.shape[-1], log_det.dtype), precision="highest")


def no_log_det(x: Array, event_ndims: int = 1) -> Array:
    """0 for each event of x, [*batch]: the log-determinant of a map that only moves entries.

    x: [*batch, *event]. event_ndims: the number of axes of an event.
    """
    return jnp.zeros(x.shape[: x.ndim - event_ndims], x.dtype)


def as_vectors(x: Array, event_ndims: int) -> Array:
    """[..., *event] -> [..., n]: each event as one vector, of n = its number of entries.

    x: an array; event_ndims: how many of its last axes are those of an event
    """
    batch_shape = x.shape[: x.ndim - event_ndims]
    return x.reshape(*batch_shape, math.prod(x.shape[len(batch_shape) :]))


def squeezed(x: Array) -> Array:
    """[..., H, W, C] -> [..., H/2, W/2, 4C]: each 2×2 square of pixels becomes one pixel.

    x: images [..., H, W, C] with even H and W. The channels are ordered: the C of the top left
        pixel, top right, bottom left, bottom right.
    """
    *batch, h, w, c = x.shape
    x = jnp.swapaxes(x.reshape(*batch, h // 2, 2, w // 2, 2, c), -4, -3)
    return x.reshape(*batch, h // 2, w // 2, 4 * c)


def unsqueezed(y: Array) -> Array:
    """[..., H, W, 4C] -> [..., 2H, 2W, C]: each pixel becomes 2×2, the inverse of `squeezed`.

    y: images whose channels are four groups of C: those of the top left pixel, top right, bottom
        left, bottom right.
    """
    *batch, h, w, c = y.shape
    y = jnp.swapaxes(y.reshape(*batch, h, w, 2, 2, c // 4), -4, -3)
    return y.reshape(*batch, 2 * h, 2 * w, c // 4)


def in_a_row(
    draw: Callable[..., Array], key: Array, shape: tuple[int, ...], *options: DTypeLike | float
) -> Array:
    """draw(key, shape, *options) with a `draw` of `jax.random`, drawn as one vector.

    The numbers are the same. For weights, and for noise whose first axis is the batch. XLA's CPU
    backend compiles the random bits of an array with three or four axes up to ten times as long as
    those of a vector. Where a batch is the second axis, as in [samples, batch, ...], several
    devices could not share the drawing.

    draw: such as `jax.random.normal`, draw(key, shape, *options). shape: of the result
    options: the further arguments of `draw`, such as a dtype
    """
    return draw(key, (math.prod(shape),), *options).reshape(shape)


def compiled_once(function: Callable, *, static_argnums: tuple[int, ...] = ()) -> Callable:
    """The function under `jit`: compiled once if called outside of `jit`, and inlined inside.

    JAX caches a compiled program under the Python function it was traced from. A `lax.scan` outside
    of `jit` gets a new body function at every call and is therefore compiled at every call. Wrap
    the function that contains such a loop in `compiled_once`, once, and pass all that changes as
    arguments.

    function: of arrays, made of jax functions. static_argnums: the positions of arguments that are
        no arrays, as in `jax.jit`; each value compiles anew
    """
    return jax.jit(function, static_argnums=static_argnums, inline=True)


def on_host_generator(key: Array) -> np.random.Generator:
    """A NumPy generator seeded by the data of a JAX key; equal keys give equal draws.

    key: made by `jax.random.key`, not traced. Returns `numpy.random.Generator`.
    """
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))
