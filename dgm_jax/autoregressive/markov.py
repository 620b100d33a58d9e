"""Markov chains whose transition probabilities are computed by a net instead of a table."""

from collections.abc import Sequence

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


@checks.spelled
def markov(
    dim: int,
    conditional: Conditional,
    *,
    window: int,
    hidden: Sequence[int],
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_{i-w}, ..., x_{i-1}, c), w = window: a homogeneous Markov chain.

    It is `table(dim, window=w, shared=True)` with an MLP, `nets.markov`, in place of the table: its
    K^w rows become w inputs. Lecture: the Markov property, from tables to nets.

    dim: the length of a sequence x [..., dim]. No parameter depends on it, so that parameters
        trained on short sequences can be used for long ones
    conditional: any likelihood of one entry, such as `categorical(K)` or `mixture()`
    window: w, how many of the last values x_i depends on. For each of them an additional input is 0
        if it would lie before the start, else 1
    hidden: widths of the layers of the MLP
    cond_shape: of a condition c [..., *cond_shape], (n,) for the whole sequence, (dim, n) with a
        vector for each step; None for p(x)
    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0).
    Cost: `log_prob` one pass of the net, `sample` the arithmetic of one pass in dim steps.
    """
    net = nets.markov(
        dim, window=window, hidden=hidden, cond_shape=cond_shape, **outputs_of(conditional)
    )
    return density(net, conditional, dim)
