"""A point mass, such as the posterior of a deterministic encoder of discrete codes."""

from typing import Any

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Shape
from .divergence import exact
from .drawn import Drawn


@exact
class Dirac(Drawn):
    """P(z) = 1 for one z of integers, and 0 for any other; log P is 0 or -∞, in nats.

    The posterior of a deterministic encoder of discrete codes, as in a VQ-VAE.

    value: z, an array [*batch_shape, *event] of integers, or a tuple of such, one for each group of
        latent variables of a hierarchy
    batch_shape: the number of points, one for each example; the rest of the axes is the event

    KL(δ_z ‖ p) = -log p(z), the code length of z under p, in nats. Floating values raise
    InputError.
    """

    def __init__(self, value: Array | tuple[Array, ...], *, batch_shape: Shape = ()):
        super().__init__()
        self._batch = checks.sample_shape(batch_shape, "batch_shape")
        leaves = jax.tree.leaves(value)
        for leaf in leaves or [value]:
            checks.array(leaf, "value")
            if not jnp.issubdtype(leaf.dtype, jnp.integer):
                raise checks.InputError(f"value must be integers; got {leaf.dtype}.")
            if leaf.shape[: len(self._batch)] != self._batch:
                raise checks.InputError(
                    f"value must begin with batch_shape={self._batch}; got {leaf.shape}."
                )
        self._value = value

    @property
    def event_shape(self) -> Any:
        """The shape of one event, or of each array of a tuple."""
        return jax.tree.map(lambda z: z.shape[len(self._batch) :], self._value)

    @property
    def batch_shape(self) -> Shape:
        return self._batch

    def mode(self) -> Array | tuple[Array, ...]:
        """z itself, as it was given."""
        return self._value

    def mean(self) -> Array:
        """Refused: z are integers that stand for codes, and `mode` is z."""
        raise checks.NoClosedForm("codes are integers, without a mean; z itself is .mode().")

    def entropy(self) -> Array:
        """0 nats, [*batch_shape]."""
        return jnp.zeros(self._batch)

    def log_prob(self, value: Array | tuple[Array, ...]) -> Array:
        """0 where `value` equals z in all entries, else -∞: [..., *batch_shape].

        value: [..., *batch_shape, *event], or a tuple of as many arrays as z; else InputError
        """
        if jax.tree.structure(value) != jax.tree.structure(self._value):
            raise checks.InputError("value must be an array, or a tuple of as many as z.")
        same = [
            (z == at).all(range(-(at.ndim - len(self._batch)), 0))
            for z, at in zip(jax.tree.leaves(value), jax.tree.leaves(self._value))
        ]
        return jnp.where(jnp.stack(jnp.broadcast_arrays(*same)).all(0), 0.0, -jnp.inf)

    def kl_to(self, other: distrax.Distribution) -> Array:
        """KL(δ_z ‖ p) = -log p(z), in nats, for any distribution p = other of the same events."""
        return -other.log_prob(self._value)

    def _sample_n(self, key, n):
        return jax.tree.map(lambda z: jnp.broadcast_to(z, (n, *z.shape)), self._value)

    def _sample_n_and_log_prob(self, key, n):
        return self._sample_n(key, n), jnp.zeros((n, *self._batch))
