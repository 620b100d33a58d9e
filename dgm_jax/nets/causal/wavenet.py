"""WaveNet: a stack of dilated causal convolutions with gates."""

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
def wavenet(
    dim: int,
    *,
    hidden: int,
    dilations: Sequence[int],
    num_outputs: int,
    kernel_size: int = 2,
    skip: int | None = None,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
) -> CausalNet:
    """f_i of the R values before x_i, by dilated causal convolutions; R is `receptive_field`.

    x [..., dim] -> f [..., dim, num_outputs]. Returns a `CausalNet`, for `autoregressive.density`,
    with init(key) -> params, apply(params, x, cond=None, key=None) -> f for a known x, in one pass,
    and unroll(params, emit, batch_shape, cond=None, key=None) -> (x, f, units), which makes x entry
    by entry, as in sampling: x_i = emit(i, f_i). h_t starts as a linear map of x_{t-1}; then for
    each layer

        (a, b) = Σ_{j<k} W_j h_{t - j·dilation} + V c,   z = tanh(a) ∘ σ(b),   h ← h + W z
        f = W'' relu(W' relu(Σ_layers S z))              # weights differ from layer to layer

    Before the start h is 0. The net starts as f = 0.

    dim: the length of x
    hidden: the channels of h and z
    dilations: one per layer, such as (1, 2, 4, ..., 512) * 3
    num_outputs: the numbers f_i for each x_i
    kernel_size: k, the values that a layer combines
    skip: the channels of Σ S z and of the layer after it, by default twice `hidden`
    encoding: how levels are seen (`nets.one_hot`, `nets.scaled`); None if x holds real numbers
    cond_shape: of c, (n,) for one condition for all steps or (dim, n) for one per step; None for
        none
    Cost in multiplications: `apply` dim · layers · hidden (2 k hidden + hidden + skip), and the
    last layers; `unroll` the same, with (k - 1) · dilation + 1 stored steps of h for each layer.
    van den Oord et al. (2016), "WaveNet: a generative model for raw audio", equations 2 and 3.
    """
    dim = checks.positive_int(dim, "dim")
    hidden = checks.positive_int(hidden, "hidden")
    dilations, kernel_size = _checked(dilations, kernel_size)
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    skip = 2 * hidden if skip is None else skip
    skip = checks.positive_int(skip, "skip")
    body = WaveNet(num_outputs, hidden, skip, dilations, kernel_size)
    return stepwise(
        body, (1, dim, 1), num_outputs=num_outputs, encoding=encoding, cond_shape=cond_shape
    )


def receptive_field(dilations: Sequence[int], kernel_size: int = 2) -> int:
    """R = 1 + (kernel_size - 1) Σ dilations: how many values an output of `wavenet` sees.

    f_i depends on x_{i-R}, ..., x_{i-1}.

    dilations: for each layer, the distance between two values that it combines
    kernel_size: how many values a layer combines

    Returns R, an int: 1024 for (1, 2, 4, ..., 512) and kernel_size=2.
    """
    dilations, kernel_size = _checked(dilations, kernel_size)
    return 1 + (kernel_size - 1) * sum(dilations)


def _checked(dilations, kernel_size):
    dilations = checks.shape(dilations, "dilations", "a sequence such as (1, 2, 4, 8)")
    return dilations, checks.positive_int(kernel_size, "kernel_size", least=2)


class WaveNet(linen.Module):
    """The linen module of `wavenet`."""

    size: int
    hidden: int
    skip: int
    dilations: tuple[int, ...]
    kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond):
        h, gated, width = Affine(self.hidden)(u), [], 2 * self.hidden
        shared = affine_of_condition(view, cond, width * len(self.dilations))
        for i, dilation in enumerate(self.dilations):
            if gated:  # not after the last: nothing reads it
                h = h + Affine(self.hidden)(gated[-1])
            # A dilated convolution would be a little faster in the parallel pass, but be a second
            # program beside that of the step.
            taps = view.past(h, [j * dilation for j in range(self.kernel_size)])
            a = Affine(width)(jnp.concatenate(taps, -1))
            if cond is not None:
                a = a + shared[..., i * width : (i + 1) * width]
            a, b = jnp.split(a, 2, -1)
            gated.append(jnp.tanh(a) * jax.nn.sigmoid(b))
        # The sum of all skips as one product: fewer operations a step, equal arithmetic.
        s = jax.nn.relu(Affine(self.skip)(jnp.concatenate(gated, -1)))
        return output_layer(self.size)(jax.nn.relu(Affine(self.skip)(s)))
