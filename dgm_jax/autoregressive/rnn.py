"""Recurrent neural networks: the past is summarised in a state of fixed size."""

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


@checks.spelled
def rnn(
    dim: int,
    conditional: Conditional,
    *,
    hidden: int,
    cell: str = "gru",
    num_layers: int = 1,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i; f(h_i)) with the state h_i = cell(h_{i-1}, x_{i-1}, c).

    f is an affine map of the state. Lecture: recurrent networks as autoregressive models. The net
    is `nets.rnn`, which has the equations of the cells.

    dim: the length of a sequence x [..., dim]. No parameter depends on it, so that parameters
        trained on short sequences can be used for long ones
    conditional: any likelihood of one entry, such as `categorical(K)` or `mixture()`
    hidden, num_layers: the size of a state, and the number of recurrent layers
    cell: "gru", Cho et al. (2014), or "lstm", Hochreiter and Schmidhuber (1997)
    cond_shape: of a condition c [..., *cond_shape], (n,) for the whole sequence, (dim, n) with a
        vector for each step; None for p(x)
    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0).
    Costs: `log_prob` and `sample` one pass of the net each, both in dim sequential steps.
    """
    net = nets.rnn(
        dim,
        hidden=hidden,
        cell=cell,
        num_layers=num_layers,
        cond_shape=cond_shape,
        **outputs_of(conditional),
    )
    return density(net, conditional, dim)
