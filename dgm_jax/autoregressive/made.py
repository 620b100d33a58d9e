"""MADE: p(x) = ∏_i p(x_i | x_<i) from one masked net, for bits, levels and real numbers."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of
from .masks import ONE_MASK, Masks, checked_masks, random_places, under_masks


@checks.spelled
def made(
    dim: int,
    conditional: Conditional,
    *,
    hidden: Sequence[int],
    order: Sequence[int] | np.ndarray | None = None,
    cond_shape: Shape | None = None,
    masks: Masks = ONE_MASK,
    activation: Callable = jax.nn.silu,
    residual: bool = False,
    direct: bool | None = None,
    dropout: float = 0.0,
    inverse: str = "unit_once",
    num_blocks: int | None = None,
    density_blocks: int | None = None,
    tolerance: float = 0.0,
) -> Density:
    """log p(x | c) = Σ_i log p(x_i; f_i(x_<i, c)), in nats, with f one masked net.

    Germain et al. (2015), "MADE: masked autoencoder for distribution estimation", equations 2-7.
    The net is `nets.made`.

        model = made(784, bernoulli(), hidden=(500,))
        params = model.init(jax.random.key(0))
        log_prob = jax.jit(lambda params, x: model.dist(params).log_prob(x))  # x [..., 784] bits

    dim: the size of the vectors x [..., dim]
    conditional: `bernoulli()`, `categorical(K)`, `discretized_logistic(K)`, `gaussian()` or
        `mixture()`
    hidden, activation: widths of the hidden layers, and the non-linearity between them
    order: order[t] is the coordinate generated t-th; None is 0..dim-1
    cond_shape: of a condition c [..., *cond_shape], for all coordinates; None for p(x)
    masks: one mask by default; `Masks(num=32)` trains with one of 32 random masks each step, and
        evaluates the ensemble of all, 1/M Σ_m p_m(x) with M = 32. They differ in what the tuple
        agnostic_to names: "order", that of the coordinates, and "connectivity", how many of the
        first coordinates in the order each hidden unit may depend on. The latter differs for a
        fraction `roaming` of the units; `seed` makes the masks
    residual: hidden layers in residual blocks; they must be an odd number of equal widths
    direct: connections from inputs to outputs beside the hidden layers, a linear model of each
        coordinate; None has them only if a hidden layer has fewer than dim - 1 units, or than dim
        with a condition, since an output might otherwise miss an input
    dropout: the fraction of hidden units set to 0 in training, when `dist` gets a key
    inverse: how samples are computed, with the same result: "unit_once" computes each hidden unit
        once, in dim small steps; "block_fixed_point" repeats a pass over a block of coordinates
        until nothing changes, then goes on to the next block; "fixed_point" does so with all
        coordinates as one block; "naive" makes one whole pass for each coordinate
    num_blocks: the number of blocks of coordinates in sampling, at most dim; None is 2 or 3 up to
        dim = 16, √dim / 2 up to 64, 4 up to 256 and √dim / 4 above
    density_blocks: the number of row blocks of each weight matrix in `log_prob`, at most dim; with
        more than 1, products with masked zeros are left out. None is 1 if dim < 8 or a layer has
        fewer than 256 units, else 2 for dim < 512 and 4 above
    tolerance: the largest change at which a fixed-point iteration stops; 0 is exact

    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0). For
    bits and categorical levels, `combinators.adapt(model, params, x)` sets fresh parameters to the
    histogram of each coordinate of x [n, dim], with half a count added to each level. This start
    helps if some levels are rare: their log-odds are far from 0, and Adam moves a parameter by
    about its learning rate per step.

    To impute missing values, build the model with order=`observed_first(given)` and one mask, and
    use the trained parameters with it: `complete` then samples from p(x_missing | x_given).
    Parameters trained with many masks (thousands) serve every such order; those of one order only
    that order.

    Costs: `log_prob` one pass, `sample` the arithmetic of one pass in dim small steps; an ensemble
    of M masks M times that. InputError for hidden widths that `residual` does not allow, and for
    `masks` with roaming < 1 unless num > 1, agnostic_to has "connectivity", and roaming times the
    largest width rounds to at least 2 units.
    """
    dim = checks.positive_int(dim, "dim")
    net = nets.made(
        dim,
        hidden=hidden,
        order=order,
        cond_shape=cond_shape,
        activation=activation,
        residual=residual,
        direct=direct,
        dropout=dropout,
        inverse=inverse,
        num_blocks=num_blocks,
        density_blocks=density_blocks,
        tolerance=tolerance,
        **outputs_of(conditional),
    )
    masks = checked_masks(masks, hidden)
    if masks.num == 1:
        model = density(net, conditional, dim)
    else:
        places = random_places(dim, hidden, masks, residual=residual)
        all_units_move = "connectivity" in masks.agnostic_to and masks.roaming == 1
        model = under_masks(net, conditional, dim, places, free=all_units_move)
    if conditional.marginal is None:
        return model
    return model._replace(adapt=_from_histograms(net, conditional, dim))


def _from_histograms(net, conditional, dim):
    """`Density.adapt`: with outputs that do not depend on inputs yet, all of f is in the offset."""

    def adapt(params, x, cond=None):
        checks.parameters(params, net.init)
        checks.levels(x, dim, conditional.encoding.num_levels)
        if jnp.ndim(x) != 2 or not len(x):
            raise checks.InputError(
                f"x must be a batch [n, {dim}], n >= 1; got shape {jnp.shape(x)}."
            )
        checks.within(x, 0, conditional.encoding.num_levels - 1, "x")
        offset = conditional.marginal(x).astype(params["offset"].dtype)
        return params | {"offset": offset}, x

    return adapt


def observed_first(given: np.ndarray) -> np.ndarray:
    """order [d] with order[t] the t-th coordinate: first those that are given, then the others.

    given: booleans [d], on the host; else InputError. Both parts are ascending: (True, False, True)
        -> [0, 2, 1]
    With it as the `order` of a `made`, `complete` samples from p(x_missing | x_given).
    """
    given = checks.on_host(given, "given")
    if given.dtype != bool or given.ndim != 1:
        raise checks.InputError(
            f"given must be booleans [d]; got shape {given.shape} of {given.dtype}."
        )
    return np.argsort(~given, kind="stable")
