"""Batch normalisation: plain, conditional, and virtual (by a fixed reference batch)."""

from typing import Any

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import same_rank, wide
from ..protocol import Array, State
from .adapter import linen
from .weights import Linear

EPSILON = 1e-5
COLLECTION = "batch_stats"


class BatchNorm(linen.Module):
    """y = γ (x - m) / √(v + ε) + β, with mean and variance over all axes but the last.

    With train=True m and v are those of the batch, and the state is updated: it is the plain mean
    of the first n batches while n ≤ 1 / (1 - momentum), then an exponential moving average. With
    train=False they are read from the state, so that no example depends on another; before any
    batch they are 0 and 1.

    The batch is the whole batch: under `jit` also if it is sharded over devices, under `jax.pmap`
    if `axis_name` is the name of its axis. affine: train γ and β, which start as 1 and 0. Ioffe and
    Szegedy (2015), "Batch normalization".
    """

    affine: bool = True
    momentum: float = 0.99
    axis_name: str | None = None

    @linen.compact
    def __call__(self, x, train):
        channels, dtype = x.shape[-1:], wide(x)
        zeros, ones = (lambda a=a: jnp.full(channels, a, dtype) for a in (0, 1))
        mean, variance = (
            self.variable(COLLECTION, name, start)
            for name, start in (("mean", zeros), ("variance", ones))
        )
        count = self.variable(COLLECTION, "count", lambda: jnp.zeros((), dtype))
        now = mean.value, variance.value
        if train:
            now = _moments(x.astype(dtype), self.axis_name)
        if train and not self.is_initializing():
            share = jnp.maximum(1 / (count.value + 1), 1 - self.momentum)
            for old, new in zip((mean, variance), now):
                old.value = old.value + share * (jax.lax.stop_gradient(new) - old.value)
            count.value = count.value + 1
        scale, shift = jax.lax.rsqrt(now[1] + EPSILON), 0.0
        if self.affine:
            scale = scale * self.param("scale", linen.initializers.ones, channels)
            shift = self.param("bias", linen.initializers.zeros, channels)
        scale, shift, numbers = same_rank(scale, shift - now[0] * scale, x.astype(dtype))
        return (numbers * scale + shift).astype(x.dtype)


class ConditionalBatchNorm(linen.Module):
    """y = (1 + γ(c)) (x - m) / √(v + ε) + β(c), with linear γ and β of the condition c.

    x [batch, ..., C]; c [batch, n], such as an embedding or a one-hot class, for which γ and β are
    tables. At the start γ = β = 0, which is plain batch normalisation. Dumoulin et al. (2017), "A
    learned representation for artistic style"; de Vries et al. (2017).
    """

    axis_name: str | None = None

    @linen.compact
    def __call__(self, x, c, train):
        zeros: dict[str, Any] = {"use_bias": False, "kernel_init": linen.initializers.zeros}
        at_pixels = (*c.shape[:-1], *[1] * (x.ndim - c.ndim), x.shape[-1])
        gain, shift = (
            Linear(x.shape[-1], name=name, **zeros)(c, train).reshape(at_pixels)
            for name in ("gain", "shift")
        )
        return BatchNorm(affine=False, axis_name=self.axis_name)(x, train) * (1 + gain) + shift


def virtual_batch_norm(
    x: Array, scale: Array, bias: Array, *, num_reference: int, epsilon: float = EPSILON
) -> Array:
    """(x - m) / √(v + ε) · scale + bias, by statistics of an example and a fixed reference batch.

    m and v are mean and variance of a channel over pixels and examples. The reference batch is
    normalised by its own statistics, any other example by those of the n + 1 examples that are the
    reference batch and itself: so it does not depend on the rest of its batch.

    x: [n + batch, ..., C], floating, whose first n examples are the reference batch, in the same
        features; y has the same shape
    scale, bias: [C]
    num_reference: n; x of fewer examples raises InputError
    epsilon: ε
    Cost: that of batch normalisation, and of carrying the reference batch through the net each
    time. Salimans et al. (2016), "Improved techniques for training GANs", section 3.4.
    """
    n = checks.positive_int(num_reference, "num_reference")
    epsilon = checks.positive(epsilon, "epsilon")
    checks.floating(x, "x")
    if jnp.ndim(x) < 2 or x.shape[0] < n:
        raise checks.InputError(
            f"x must be [n, ..., channels] and begin with the num_reference={n} examples of the "
            f"reference batch; got {jnp.shape(x)}."
        )
    for value, name in ((scale, "scale"), (bias, "bias")):
        checks.floating(value, name, x.shape[-1:])
    numbers = jnp.asarray(x, wide(x))
    pixels = tuple(range(1, x.ndim - 1))
    means, squares = (a.mean(pixels, keepdims=True) for a in (numbers, numbers**2))
    reference = [a[:n].mean(0, keepdims=True) for a in (means, squares)]
    mixed = [(n * of_all + own[n:]) / (n + 1) for of_all, own in zip(reference, (means, squares))]
    mean, square = (
        jnp.concatenate([jnp.repeat(of_all, n, 0), each]) for of_all, each in zip(reference, mixed)
    )
    factor = jax.lax.rsqrt(jnp.maximum(square - mean**2, 0.0) + epsilon)
    scale, bias, _ = same_rank(scale, bias, x)
    return ((numbers - mean) * factor * scale + bias).astype(x.dtype)


class VirtualBatchNorm(linen.Module):
    """`virtual_batch_norm` with trained scale and bias, which start as 1 and 0."""

    num_reference: int

    @linen.compact
    def __call__(self, x):
        scale = self.param("scale", linen.initializers.ones, x.shape[-1:])
        bias = self.param("bias", linen.initializers.zeros, x.shape[-1:])
        return virtual_batch_norm(x, scale, bias, num_reference=self.num_reference)


def forgotten(state: State) -> State:
    """The state of a net with its batch-norm statistics reset, as before the first batch.

    Batches that then pass through the net with train=True are averaged evenly, up to a hundred: the
    "standing statistics" of Brock et al. (2019), "Large scale GAN training", section 3.
    """
    if not isinstance(state, dict):
        raise checks.InputError(
            f"state must be a dict, that of a StatefulNet; got {checks.shown(state)}."
        )
    empty = jax.tree_util.tree_map_with_path(
        lambda path, a: jnp.zeros_like(a) if getattr(path[-1], "key", "") == "count" else a,
        state.get(COLLECTION, {}),
    )
    return {**state, COLLECTION: empty} if empty else state


def _moments(x, axis_name):
    """Mean and variance over all axes but the last, and over the devices of a named axis."""
    axes = tuple(range(x.ndim - 1))
    over = (lambda a: a) if axis_name is None else (lambda a: jax.lax.pmean(a, axis_name))
    mean = over(x.mean(axes))
    centre, x = same_rank(mean, x)
    return mean, over(jnp.square(x - centre).mean(axes))
