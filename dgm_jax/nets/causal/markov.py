"""A Markov chain whose conditionals are one multilayer perceptron of the last values."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ... import checks
from ...protocol import CausalNet, Shape
from ..adapter import linen
from .affine import Affine, affine_of_condition, output_layer
from .encodings import Encoding
from .stepwise import stepwise


@checks.spelled
def markov(
    dim: int,
    *,
    window: int,
    hidden: Sequence[int],
    num_outputs: int,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
) -> CausalNet:
    """f_i = MLP(x_{i-w}, ..., x_{i-1}, c), the same for all i: a Markov chain of order w = window.

    Positions before the start have a special value. Starts as f = 0. num_outputs: k numbers for
    each x_i; encoding, cond_shape: as in `nets.made`. With encoding size e, `apply` and `unroll`
    cost dim · (w e + c) · hidden[0] and so on; a step stores w values.
    Lecture: the Markov property, with a net in place of a table of K^w rows.
    """
    dim = checks.positive_int(dim, "dim")
    window = checks.positive_int(window, "window")
    hidden = checks.widths(hidden, fewest=1)
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    body = Markov(num_outputs, window, tuple(hidden))
    return stepwise(
        body, (1, dim, 1), num_outputs=num_outputs, encoding=encoding, cond_shape=cond_shape
    )


class Markov(linen.Module):
    """The linen module of `markov`."""

    size: int
    window: int
    hidden: tuple[int, ...]

    @linen.compact
    def __call__(self, view, u, cond):
        h = jnp.concatenate(view.past(u, range(self.window)), -1)
        h = jax.nn.silu(Affine(self.hidden[0])(h) + affine_of_condition(view, cond, self.hidden[0]))
        for width in self.hidden[1:]:
            h = jax.nn.silu(Affine(width)(h))
        return output_layer(self.size)(h)
