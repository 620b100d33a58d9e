"""Checks of the arguments of `sample`, for all distributions of this library."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Key, Shape, family

P = ParamSpec("P")
R = TypeVar("R")


def _by_name(method: Callable[P, R]) -> Callable[P, R]:
    """A decorator: the error for a key that is given by position says how to give it."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) > 1:
            name = call.__name__
            raise checks.InputTypeError(
                f"{name} takes arguments by name: {name}(seed=key, sample_shape=n)."
            )
        return method(*args, **kwargs)

    return call


class Drawn(distrax.Distribution):
    """Mixin that samples only with a typed key and a valid sample_shape.

    distrax itself takes a sample_shape of 2.5 as 2, and turns an integer into a legacy key. Fewer
    types than in distrax are allowed here.
    """

    @_by_name
    def sample(self, *, seed: Key, sample_shape: int | Shape = ()) -> Array:
        """Independent samples x, [*sample_shape, *batch_shape, *event_shape].

        seed: a key, made by `jax.random.key`; integers raise InputTypeError
        sample_shape: an integer or a shape; () is one sample for each entry of the batch
        """
        checks.key(seed, "seed")
        return super().sample(seed=seed, sample_shape=checks.sample_shape(sample_shape))

    @_by_name
    def sample_and_log_prob(
        self, *, seed: Key, sample_shape: int | Shape = ()
    ) -> tuple[Array, Array]:
        """(x, log p(x)): samples and their log-densities, in nats, [*sample_shape, *batch_shape].

        It costs less than `sample` and `log_prob` in turn, where the way to the sample gives its
        density, as in a flow. seed, sample_shape: as in `sample`.
        """
        checks.key(seed, "seed")
        shape = checks.sample_shape(sample_shape)
        return super().sample_and_log_prob(seed=seed, sample_shape=shape)

    def __repr__(self):
        try:
            return f"{family(self)}, batch shape {self.batch_shape}"
        except Exception:  # half made: an error while another one is shown would hide that
            return type(self).__name__

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of a sample; distrax's own rule would need a legacy key."""
        return jax.eval_shape(lambda: self._sample_n(jax.random.key(0), 1)).dtype
