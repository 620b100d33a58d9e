"""WaveNet: dilated causal convolutions, for sound."""

from collections.abc import Sequence

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


@checks.spelled
def wavenet(
    dim: int,
    conditional: Conditional,
    *,
    hidden: int,
    dilations: Sequence[int],
    kernel_size: int = 2,
    skip: int | None = None,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_{i-R}, ..., x_{i-1}, c), R = 1 + (kernel_size - 1) Σ dilations.

    van den Oord et al. (2016), "WaveNet: a generative model for raw audio", equations 1 to 3. The
    net is `nets.wavenet`, and R is `nets.receptive_field(dilations, kernel_size)`: 1024 values for
    dilations (1, 2, 4, ..., 512), and 1023 more for each repetition of them.

    dim: the length of a sequence x [..., dim]. No parameter depends on it, so that one can train on
        short sequences and sample long ones
    conditional: any likelihood of one entry. In the paper x are the µ-law levels of
        `data.mu_law_encode` with `categorical(256)`; later work uses `discretized_logistic(256)`
    hidden: channels of a layer z = tanh(a) ∘ σ(b), with a and b causal convolutions of the layer
        below
    dilations: one for each layer, such as (1, 2, 4, ..., 512) * 3
    kernel_size: how many values a layer combines, each `dilation` steps apart
    skip: channels of the sum of all layers; None is 2 · hidden
    cond_shape: of a condition c [..., *cond_shape], (n,) for the whole sequence (global
        conditioning, such as on a speaker), (dim, n) with a vector for each step (local
        conditioning, such as on a text); None for p(x)

        model = wavenet(16_000, discretized_logistic(256), hidden=32, dilations=(1, 2, 4, 8) * 2)
        sound = mu_law_decode(model.dist(params).sample(seed=key))

    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0).
    Costs: `log_prob` one pass of the net; `sample` the arithmetic of one pass in dim small steps,
    each layer with a queue of its last inputs.
    """
    net = nets.wavenet(
        dim,
        hidden=hidden,
        dilations=dilations,
        kernel_size=kernel_size,
        skip=skip,
        cond_shape=cond_shape,
        **outputs_of(conditional),
    )
    return density(net, conditional, dim)
