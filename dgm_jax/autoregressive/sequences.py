"""Densities of sequences: one conditional for all places, p(x) = ∏_i p(x_i | what the net keeps).

What they keep of the past: the last `window` values, a recurrent state, a receptive field of
dilated convolutions. All take any conditional (for sound `discretized_logistic(256)` of µ-law
levels, for numbers a mixture), and conditions c [..., *cond_shape], the same for a whole sequence.
None knows how long a sequence is: parameters learned with one dim serve any other, so training on
short ones makes long samples.

Costs: density one pass of the net, sample the arithmetic of one in dim small steps, one loop. A
step takes on a CPU core, for 1 and for 16 sequences: 18 and 96 µs in a WaveNet of 20 layers with 32
channels, 77 and 435 µs with 30 of 64, 4 and 18 µs in a GRU of 96 units. Two seconds of sound, 16000
steps, are so made in 0.3 s by the first. All start as the conditional of f = 0.
"""

from collections.abc import Sequence

from .. import nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density_of


def markov(
    dim: int,
    conditional: Conditional,
    *,
    window: int,
    hidden: Sequence[int],
    cond_shape: Shape | None = None,
) -> Density:
    """p(x) = ∏_i p(x_i | x_{i-w}, ..., x_{i-1}), w = window: a homogeneous Markov chain.

    `table(dim, window=w, shared=True)` with an MLP, `nets.markov`, in place of the table: K^w rows
    become w inputs. Lecture: the Markov property, from tables to nets.
    """
    return density_of(
        nets.markov, dim, conditional, cond_shape=cond_shape, window=window, hidden=hidden
    )


def rnn(
    dim: int,
    conditional: Conditional,
    *,
    hidden: int,
    cell: str = "gru",
    num_layers: int = 1,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x) = ∏_i p(x_i | h_i), h_i = cell(h_{i-1}, x_{i-1}): all of the past, through a state.

    The net is `nets.rnn`, cell "gru" or "lstm". The density too takes its dim steps one after the
    other. Lecture: recurrent networks as autoregressive models.
    """
    options = {"hidden": hidden, "cell": cell, "num_layers": num_layers}
    return density_of(nets.rnn, dim, conditional, cond_shape=cond_shape, **options)


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
    """p(x) = ∏_i p(x_i | x_{i-R}, ..., x_{i-1}, c), R = 1 + (kernel_size - 1) Σ dilations.

    The net is `nets.wavenet`; R is `nets.receptive_field(dilations, kernel_size)`, 1024 for
    (1, 2, 4, ..., 512), and each further such block adds 1023. In the paper x are µ-law levels,
    `data.mu_law_encode`, with `categorical(256)`; later work took `discretized_logistic(256)`.
    van den Oord et al. (2016), "WaveNet: a generative model for raw audio".
    """
    options = {"hidden": hidden, "dilations": dilations, "kernel_size": kernel_size, "skip": skip}
    return density_of(nets.wavenet, dim, conditional, cond_shape=cond_shape, **options)
