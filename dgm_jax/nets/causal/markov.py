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

    x [..., dim] -> f [..., dim, num_outputs]. Returns a `CausalNet`, for `autoregressive.density`,
    with init(key) -> params, apply(params, x, cond=None, key=None) -> f for a known x, in one pass,
    and unroll(params, emit, batch_shape, cond=None, key=None) -> (x, f, units), which makes x entry
    by entry, as in sampling: x_i = emit(i, f_i). The weights are shared by all positions. Each
    value has an extra entry that is 1, and 0 for positions before the start, so that the net can
    tell these from values that are 0. It starts as f = 0.

    dim: the length of x
    window: w, how many of the last values are seen
    hidden: the widths of the hidden layers, at least one; the activation is SiLU
    num_outputs: k, the numbers f_i for each x_i, such as the logits of p(x_i | ...)
    encoding: how levels are seen (`nets.one_hot`, `nets.scaled`); None if x holds real numbers
    cond_shape: (n,) for one condition c for all positions, or (dim, n) for one per position; None
        for no condition
    Cost: `apply` and `unroll` each dim · ((w (e + 1) + n) hidden[0] + ...) multiplications, for
    values of e numbers; a step of `unroll` stores w values. Lecture: the Markov property, with a
    net in place of a table of K^w rows.
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
