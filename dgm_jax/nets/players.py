"""Checks of what the nets of a GAN are given, before anything is compiled."""

import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Shape, StatefulNet


def on_latents(net: StatefulNet, num_latents: int, num_classes: int | None = None) -> StatefulNet:
    """The generator `net`, with checks of z [batch, num_latents] and classes [batch] (or none).

    num_classes: the number of classes, None for an unconditional net.
    """

    def check(z):
        checks.events(z, num_latents, "z")

    return _checked(net, check, num_classes)


def on_images(net: StatefulNet, shape: Shape, num_classes: int | None = None) -> StatefulNet:
    """The critic `net`, with checks of x [batch, *shape] and classes [batch] (or none).

    num_classes: the number of classes, None for an unconditional net.
    """

    def check(x):
        checks.event_of(x, shape)

    return _checked(net, check, num_classes)


def classes(cond: Array | None, num_classes: int | None, batch: Shape) -> None:
    """Raises InputError unless cond holds one integer in 0..num_classes - 1 for each example.

    In traced code (`jit`) only shape and dtype are checked, because values are not known there.

    cond: classes y, integers of shape `batch`; it must be None if num_classes is None
    num_classes: the number of classes, None for an unconditional net
    batch: the batch shape of x or z, (n,) or ()
    """
    checks.condition(cond, None if num_classes is None else ())
    if num_classes is None or cond is None:
        return
    if not jnp.issubdtype(cond.dtype, jnp.integer) or jnp.shape(cond) != batch:
        raise checks.InputError(
            f"cond must be classes, integers of shape {batch}; got {cond.dtype} of shape "
            f"{jnp.shape(cond)}."
        )
    checks.within(cond, 0, num_classes - 1, "cond")


def _checked(net, check, num_classes):
    def apply(params, state, event, cond=None, *, train, key=None):
        check(event)
        batch = jnp.shape(event)[: 1 if jnp.ndim(event) > 1 else 0]
        classes(cond, num_classes, batch)
        seen = () if cond is None else (cond,)
        return net.apply(params, state, event, *seen, train=train, key=key)

    return StatefulNet(net.init, apply)
