"""Markov chains whose transition probabilities come from a net instead of a table."""

from collections.abc import Sequence

from .. import nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


def markov(
    dim: int,
    conditional: Conditional,
    *,
    window: int,
    hidden: Sequence[int],
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_{i-w}, ..., x_{i-1}, c), w = window: a homogeneous Markov chain.

    It is `table(dim, window=w, shared=True)` with an MLP, `nets.markov`, in place of the table,
    whose K^w rows become w inputs. Lecture: the Markov property, from tables to nets.

    dim: the length of a sequence x [..., dim]; no parameter depends on it, so that parameters
        learned on short sequences serve long ones
    conditional: any likelihood of one value, such as `categorical(K)` or `mixture()`
    hidden: widths of the layers of the MLP
    cond_shape: of a condition c [..., *cond_shape], (n,) for the whole sequence, (dim, n) with a
        value for each step; None for p(x)
    Starts as the conditional of f = 0. Costs: `log_prob` one pass of the net, `sample` the
    arithmetic of one pass in dim steps.
    """
    net = nets.markov(
        dim, window=window, hidden=hidden, cond_shape=cond_shape, **outputs_of(conditional)
    )
    return density(net, conditional, dim)
