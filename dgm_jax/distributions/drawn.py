"""What all distributions here refuse when they are asked for draws."""

import distrax
import jax

from .. import checks
from ..protocol import Array, Key, Shape


class Drawn(distrax.Distribution):
    """Draws by a typed key, and of a shape that is one.

    distrax itself would draw 2 for a sample_shape of 2.5, and make a legacy key of an integer.
    """

    def sample(self, *, seed: Key, sample_shape: int | Shape = ()) -> Array:
        checks.key(seed, "seed")
        return super().sample(seed=seed, sample_shape=checks.sample_shape(sample_shape))

    def sample_and_log_prob(
        self, *, seed: Key, sample_shape: int | Shape = ()
    ) -> tuple[Array, Array]:
        checks.key(seed, "seed")
        shape = checks.sample_shape(sample_shape)
        return super().sample_and_log_prob(seed=seed, sample_shape=shape)

    @property
    def dtype(self):
        """That of a draw, asked for with a typed key; distrax takes a legacy one."""
        return jax.eval_shape(lambda: self._sample_n(jax.random.key(0), 1)).dtype
