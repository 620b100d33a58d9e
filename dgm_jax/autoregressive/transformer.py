"""Decoder-only transformers: each value is predicted from all before it by attention."""

from collections.abc import Sequence

import numpy as np

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


@checks.spelled
def transformer(
    dim: int,
    conditional: Conditional,
    *,
    hidden: int,
    num_layers: int,
    num_heads: int,
    window: int | None = None,
    positions: str = "learned",
    grid: Sequence[int] | None = None,
    order: Sequence[int] | np.ndarray | None = None,
    dropout: float = 0.0,
    cond_shape: Shape | None = None,
) -> Density:
    """log p(x | c) = Σ_i log p(x_i; f_i(x_<i, c)), in nats, with f a transformer of x [..., dim].

    Vaswani et al. (2017), "Attention is all you need"; Radford et al. (2019), "GPT-2". The net is
    `nets.transformer`, which describes its options in more detail.

    dim: the length of a sequence x [..., dim]
    conditional: any likelihood of one entry, such as `categorical(K)` for text with K characters
    hidden, num_layers, num_heads: the size of the vector that represents a step, the layers (each
        of causal attention and an MLP), and the attention heads, whose number divides `hidden`
    window: how many of the last inputs a layer sees; None sees all
    positions: "learned", a vector for each position, or "rotary", which depends on distances only
    grid: the shape of the grid of the steps, such as (H, W, C), dim in all, in which "rotary"
        measures distances; None is a line
    order: order[t] is the coordinate generated t-th, for "learned" positions only; None is
        0..dim-1
    dropout: the fraction of units set to 0 in training, when `dist` gets a key
    cond_shape: of a condition c [..., *cond_shape], (n,) for the whole sequence, (dim, n) with a
        vector for each step; None for p(x)

    With positions="rotary" and a window no parameter depends on dim. Trained on short texts, the
    model scores and writes texts of any length, in time linear in the length:

        options = dict(hidden=128, num_layers=4, num_heads=4, positions="rotary", window=64)
        short = transformer(256, categorical(65), **options)
        long = transformer(10_000, categorical(65), **options)
        text = long.dist(params).sample(seed=key)  # params of `short`

    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0).
    Costs: `log_prob` one pass of the net; `sample` one unroll, which caches keys and values, the
    arithmetic of one pass in dim steps.
    """
    net = nets.transformer(
        dim,
        hidden=hidden,
        num_layers=num_layers,
        num_heads=num_heads,
        window=window,
        positions=positions,
        grid=grid,
        order=order,
        dropout=dropout,
        cond_shape=cond_shape,
        **outputs_of(conditional),
    )
    return density(net, conditional, dim)
