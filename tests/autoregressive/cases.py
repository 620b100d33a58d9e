"""The autoregressive densities that the contracts test: a name, and how to make it.

Heads and causal nets are factored: every head with one MADE, every net with one head.
"""

import numpy as np

from dgm_jax import autoregressive, nets
from dgm_jax.autoregressive import Masks, density, image_gpt, made, table
from dgm_jax.bijectors import additive
from dgm_jax.combinators import pushforward
from dgm_jax.flows import coupling
from dgm_jax.likelihoods import bernoulli, categorical, discretized_logistic, gaussian, mixture
from dgm_jax.nets import scaled
from dgm_jax.nets.causal.stepwise import stepwise
from tests.contracts.cases import COND, DensityCase, LevelsCase
from tests.nets.causal.test_stepwise import Columns, Rows

C = {"cond_shape": (COND,)}


# ------------------------------------------------------------------- densities of real numbers
DENSITIES = {
    "gaussian made, dim 1": DensityCase(lambda: made(1, gaussian(), hidden=(4,)), dim=1),
    "gaussian made": DensityCase(lambda: made(2, gaussian(), hidden=(6,), order=[1, 0]), full=True),
    "gaussian made, additive": DensityCase(lambda: made(2, gaussian(additive()), hidden=(6,))),
    "gaussian made, conditional": DensityCase(lambda: made(2, gaussian(), hidden=(6,), **C), **C),
    "gaussian made, masks": DensityCase(lambda: made(2, gaussian(), hidden=(6,), masks=Masks(2))),
    "mixture made": DensityCase(lambda: made(2, mixture(3), hidden=(6,)), full=True),
    "mixture made, logistic": DensityCase(
        lambda: made(2, mixture(3, kind="logistic"), hidden=(6,), order=[1, 0]),
        low=-40.0,
        high=40.0,
    ),
    "mixture made, conditional": DensityCase(lambda: made(2, mixture(2), hidden=(6,), **C), **C),
    "gaussian rnn": DensityCase(lambda: autoregressive.rnn(2, gaussian(), hidden=4)),
    "gaussian markov, conditional": DensityCase(
        lambda: autoregressive.markov(2, gaussian(), window=1, hidden=(6,), **C), **C, full=True
    ),
    "mixture wavenet": DensityCase(
        lambda: autoregressive.wavenet(2, mixture(3), hidden=4, dilations=(1, 2)), full=True
    ),
    "mixture transformer, conditional": DensityCase(
        lambda: autoregressive.transformer(
            2, mixture(2), hidden=8, num_heads=2, num_layers=1, order=[1, 0], **C
        ),
        **C,
        full=True,
    ),
    "a flow of a gaussian made": DensityCase(
        lambda: pushforward(coupling(2, hidden=(6,)), made(2, gaussian(), hidden=(6,)))
    ),
}

# ------------------------------------------------------------------- densities of grey levels
BITS, THREE = (0, 1, 2, 3), (0, 1, 2)
SMALL = {"hidden": 8, "num_heads": 2}


def of_net(net, head, shape, order=None, cond_shape=None):
    """The density of a causal net; with inverse="naive", of its definition."""

    def make(inverse=None):
        how = net
        if inverse == "naive":
            dim = int(np.prod(shape))
            how = nets.naive(net.init, net.apply, dim, order, levels=True, cond_shape=cond_shape)
        return density(how, head, shape)

    return make


def levels(name, head, shape, num_levels, cond_shape=None, *, order=None, sees=None, **own):
    """A model of sequences or images, by its name in nets and in autoregressive."""
    is_in = {flag: own.pop(flag, False) for flag in ("sharp", "full")}
    dim = int(np.prod(shape))
    options = own | ({} if order is None else {"order": order}) | {"cond_shape": cond_shape}
    one_step = (
        {"head": head.head(shape[2])} if len(shape) == 3 and head.head and shape[2] > 1 else {}
    )
    of_events = shape[0] if len(shape) == 1 else shape

    def make(inverse=None):
        if inverse is None:
            return getattr(autoregressive, name)(of_events, head, **options)
        outputs = {"num_outputs": head.num_params, "encoding": head.encoding}
        net = getattr(nets, name)(of_events, **outputs, **one_step, **options)
        return of_net(net, head, of_events, order, cond_shape)(inverse)

    return LevelsCase(
        make, shape, num_levels, cond_shape, order=order or tuple(range(dim)), sees=sees, **is_in
    )


def images(name, head, shape, num_levels, cond_shape=None, **own):
    return levels(name, head, shape, num_levels, cond_shape, **{"hidden": 3, "num_layers": 1} | own)


def mades(dim, head, num_levels, *, hidden=(7, 6), cond_shape=None, sharp=False, full=False, **own):
    order = None if "masks" in own else own.get("order", tuple(range(dim)))
    return LevelsCase(
        lambda **how: made(dim, head, hidden=hidden, cond_shape=cond_shape, **own, **how),
        (dim,),
        num_levels,
        cond_shape,
        order=order,
        sharp=sharp,
        full=full,
    )


def tables(dim, window, **own):
    return LevelsCase(
        lambda: table(dim, num_levels=3, window=window, **own),
        (dim,),
        3,
        slow=False,
        order=tuple(range(dim)),
        sees=window,
        sharp=True,
    )


def gpt(inverse=None):
    """Pixels in another order, channels of one together."""
    if not inverse:
        return image_gpt((2, 1, 2), bernoulli(), **SMALL, num_layers=1, order=(1, 0))
    order, options = (2, 3, 0, 1), {"num_outputs": 1, "encoding": bernoulli().encoding}
    net = nets.transformer(4, **SMALL, num_layers=1, order=order, **options)
    return of_net(net, bernoulli(), (2, 1, 2), order)(inverse)


def rotary_gpt(inverse=None):
    """Places by rows and columns."""
    own = SMALL | {"num_layers": 1, "positions": "rotary"}
    if not inverse:
        return image_gpt((2, 2, 1), bernoulli(), **own)
    net = nets.transformer(4, grid=(2, 2), num_outputs=1, encoding=bernoulli().encoding, **own)
    return of_net(net, bernoulli(), (2, 2, 1))(inverse)


FIVE = discretized_logistic(5, num_components=2)
COLOURS = discretized_logistic(3, num_components=2)
BY_ROWS = stepwise(Columns(6), (2, 1, 2), num_outputs=3, encoding=nets.one_hot(3), rows=Rows())
LEVELS = {
    # every head with a MADE, and its masks
    "bernoulli": mades(4, bernoulli(), 2, sharp=True),
    "bernoulli, narrow": mades(4, bernoulli(), 2, hidden=(2,), order=(3, 0, 2, 1)),
    "bernoulli, conditional": mades(4, bernoulli(), 2, **C, sharp=True),
    "bernoulli, masks, conditional": mades(4, bernoulli(), 2, masks=Masks(3), **C, sharp=True),
    "categorical, of numbers": mades(3, categorical(3, encoding=scaled(3)), 3),
    "categorical, ordered": mades(3, categorical(3), 3, order=(2, 0, 1), sharp=True),
    "categorical, masks of one order": mades(
        3,
        categorical(3),
        3,
        masks=Masks(3, ("connectivity",), 0.5),
        order=(2, 0, 1),
        full=True,
    ),
    "categorical, residual masks": mades(
        3, categorical(3), 3, hidden=(6,) * 3, residual=True, masks=Masks(2)
    ),
    "discretized": mades(3, FIVE, 5, hidden=(7,), sharp=True),
    # every net with a head
    "stepwise, rows and channels": LevelsCase(
        of_net(BY_ROWS, categorical(3), (2, 1, 2)), (2, 1, 2), 3, order=BITS, sharp=True
    ),
    "markov": levels("markov", categorical(3), (4,), 3, sees=2, window=2, hidden=(6,)),
    "rnn": levels("rnn", categorical(3), (4,), 3, hidden=4),
    "rnn, lstm, conditional": levels("rnn", FIVE, (3,), 5, (COND,), hidden=4, cell="lstm"),
    "wavenet": levels("wavenet", categorical(3), (4,), 3, sees=3, hidden=3, dilations=(1, 1)),
    "wavenet, conditional": levels(
        "wavenet", bernoulli(), (4,), 2, (COND,), hidden=3, dilations=(1, 2), skip=4
    ),
    "pixelcnn": images("pixelcnn", bernoulli(), (2, 2, 1), 2),
    "pixelcnn, channels, conditional": images("pixelcnn", categorical(3), (1, 2, 2), 3, (COND,)),
    "gated pixelcnn, conditional": images(
        "gated_pixelcnn", bernoulli(), (2, 2, 1), 2, (COND,), num_layers=2
    ),
    "pixelcnn++, three channels": images("pixelcnn_pp", COLOURS, (1, 1, 3), 3),
    "pixelsnail, channels, conditional": images(
        "pixelsnail", bernoulli(), (1, 2, 2), 2, (COND,), num_convs=1
    ),
    "transformer, ordered, conditional": levels(
        "transformer",
        bernoulli(),
        (4,),
        2,
        (COND,),
        **SMALL,
        num_layers=1,
        order=(2, 0, 3, 1),
    ),
    "transformer, rotary, window": levels(
        "transformer",
        categorical(3),
        (4,),
        3,
        sees=2,
        window=2,
        **SMALL,
        num_layers=1,
        positions="rotary",
    ),
    "image gpt, ordered": LevelsCase(gpt, (2, 1, 2), 2, order=(2, 3, 0, 1)),
    "table, Markov": tables(4, 2),
    "table, homogeneous": tables(4, 1, shared=True),
    # the rest of the product
    "categorical": mades(3, categorical(3), 3, full=True),
    "categorical, residual": mades(3, categorical(3), 3, hidden=(6,) * 3, residual=True, full=True),
    "rnn, two layers": levels("rnn", bernoulli(), (4,), 2, hidden=5, num_layers=2, full=True),
    "transformer": levels("transformer", categorical(3), (4,), 3, **SMALL, num_layers=2, full=True),
    "categorical, narrow": mades(3, categorical(3), 3, hidden=(1,), order=(2, 0, 1), full=True),
    "categorical, conditional": mades(3, categorical(3), 3, **C, full=True),
    "categorical, masks": mades(3, categorical(3), 3, masks=Masks(3), full=True),
    "bernoulli, masks": mades(4, bernoulli(), 2, masks=Masks(3), full=True),
    "discretized, conditional": mades(3, FIVE, 5, hidden=(7,), **C, full=True),
    "discretized, masks": mades(3, FIVE, 5, hidden=(7,), masks=Masks(2), full=True),
    "markov, conditional": levels(
        "markov", bernoulli(), (4,), 2, (COND,), sees=1, window=1, hidden=(6, 5), full=True
    ),
    "wavenet, discretized, three taps": levels(
        "wavenet", FIVE, (3,), 5, hidden=3, dilations=(1,), kernel_size=3, full=True
    ),
    "gated pixelcnn": images(
        "gated_pixelcnn", categorical(3), (3, 1, 1), 3, num_layers=2, full=True
    ),
    "pixelcnn++, rows and channels, conditional": images(
        "pixelcnn_pp", COLOURS, (2, 1, 2), 3, (COND,), full=True
    ),
    "pixelsnail": images("pixelsnail", bernoulli(), (2, 2, 1), 2, num_convs=1, full=True),
    "transformer, windows in blocks, conditional": levels(
        "transformer",
        bernoulli(),
        (4,),
        2,
        (COND,),
        sees=1,
        window=1,
        **SMALL,
        num_layers=2,
        positions="rotary",
        full=True,
    ),
    "image gpt, rotary": LevelsCase(rotary_gpt, (2, 2, 1), 2, order=BITS, full=True),
    "table, independent": tables(4, 0)._replace(full=True),
    "table, full": tables(3, 2)._replace(full=True, sees=None),
}
