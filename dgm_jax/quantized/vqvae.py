"""The VQ-VAE: an encoder, a codebook and a decoder; and its bound of log p(x) under any prior."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..distributions import Ancestral, Dirac, Levels
from ..likelihoods import Conditional, as_numbers, factorised
from ..protocol import (
    Array,
    Density,
    Key,
    LatentVariable,
    Metrics,
    Net,
    Params,
    Shape,
    State,
    described,
    split,
)
from .vq import Quantised, Quantiser, check_codes


class Coded(NamedTuple):
    """What a `Coder` makes of a batch x [*batch, *shape]: its codes c, p(x | c), and two losses.

    likelihood: p(x | c), a distrax distribution, whose gradient passes straight through the codes
        to the encoder
    codes: c, integers [*batch, *code_shape]; a tuple of them for several levels (`vqvae2`)
    codebook_loss: E ‖sg(z) - e‖², which moves the codebook; sg stops the gradient
    commitment_loss: E ‖z - sg(e)‖², which moves the encoder

    Both losses are sums over the vectors of one x, as log p(x | c) is over its entries, and means
    over the batch.
    """

    likelihood: distrax.Distribution  # p(x | c), straight through to the encoder
    codes: Any  # c [*batch, *code_shape]; a tuple of such where there are levels
    codebook_loss: Array
    commitment_loss: Array


class Coder(NamedTuple):
    """x ↦ codes c, and c ↦ p(x | c): encoder, codebook and decoder of a VQ-VAE.

    - `init(key)` -> (params, state); the state is that of the codebook
    - `apply(params, state, x, *, train, key=None)` -> (Coded, state), for training
    - `encode(params, state, x)` -> c, and `decode(params, state, c)` -> p(x | c), for a prior of
      codes
    - `adapt(params, state, key, x)` -> (params, state) initialises the codebook from a batch; None
      if there is nothing to initialise
    - `code_shape`, `num_codes`: codes are integers [..., *code_shape] in 0..num_codes - 1

    code_shape is that of the encoder's map, followed by an axis of the integers of one code, of
    size 1 for a plain codebook: a density of images of this shape, such as a PixelCNN, is a prior
    of codes. With several levels (`vqvae2`) c, code_shape and num_codes are tuples, the top level
    first.
    """

    init: Callable[[Key], tuple[Params, State]]
    apply: Callable[..., tuple[Coded, State]]
    encode: Callable[[Params, State, Array], Any]
    decode: Callable[[Params, State, Any], distrax.Distribution]
    code_shape: Any
    num_codes: Any
    adapt: Callable[..., tuple[Params, State]] | None = None

    __repr__ = described


def vqvae(
    encoder: Net, decoder: Net, likelihood: Conditional, shape: int | Shape, quantiser: Quantiser
) -> Coder:
    """c = codes of the vectors e nearest to z = g(x), and p(x | c) = ∏_i p(x_i; f_i(e)).

    encoder: g, from x [..., *shape] to z [..., *map, dim], a map of vectors of the quantiser's
        size, such as `nets.map_encoder`. It sees bits as 0 and 1, and grey levels scaled to [-1, 1]
    decoder: f, from e [..., *map, dim] to the parameters of the likelihood for each entry of x, in
        a layout of `likelihoods.factorised`, such as `nets.map_decoder`
    likelihood: p(x_i; f_i), the family of one entry
    shape: the shape of one x
    quantiser: `gradient_codebook`, `averaged_codebook`, `finite_scalar`, or `residual` or `grouped`
        of one

        coder = vqvae(
            nets.map_encoder(shape, 16), nets.map_decoder(16, shape, 5 * 3),
            likelihoods.discretized_logistic(17), shape, averaged_codebook(64, 16))

    Returns a `Coder`, which holds the functions of a VQ-VAE, for `vqvae_loss` and `with_prior`. Its
    encode(params, state, x) is c, integers [..., *map, 1] (more than 1 for `residual` and
    `grouped`), and decode(params, state, c) is p(x | c), a distrax distribution. Train it by
    `vqvae_loss`; `with_prior` makes it a latent variable model. Parameters {"encoder", "quantiser",
    "decoder"}; the state is that of the quantiser. An encoder whose vectors do not have `dim`
    entries raises `InputError`. van den Oord, Vinyals and Kavukcuoglu (2017), "Neural discrete
    representation learning".
    """
    for name, net in (("encoder", encoder), ("decoder", decoder)):
        checks.noun(net, Net, name)
    checks.noun(likelihood, Conditional, "likelihood")
    checks.noun(quantiser, Quantiser, "quantiser")
    shape = checks.one_or_more(shape, "shape")
    places = _places(encoder, shape, quantiser.dim)
    density = factorised(decoder, likelihood, shape, cond_shape=(*places, quantiser.dim))

    def init(key):
        checks.key(key)
        encoder_key, quantiser_key, decoder_key = jax.random.split(key, 3)
        params, state = quantiser.init(quantiser_key)
        nets = {"encoder": encoder.init(encoder_key), "decoder": density.init(decoder_key)}
        return nets | {"quantiser": params}, state

    def features(params, x, key=None):
        seen = as_numbers(x, shape, likelihood, jnp.result_type(float))
        return encoder.apply(params["encoder"], seen, key=key)

    def apply(params, state, x, *, train, key=None):
        encoder_key, quantiser_key, decoder_key = split(key, 3)
        z = features(params, x, encoder_key)
        found, state = quantiser.apply(
            params["quantiser"], state, z, train=train, key=quantiser_key
        )
        given = density.dist(params["decoder"], found.vectors, key=decoder_key)
        return coded(given, found, places, quantiser), state

    def encode(params, state, x):
        z = features(params, x)
        found, _ = quantiser.apply(params["quantiser"], state, z, train=False)
        return with_axis(found.codes, quantiser)

    def decode(params, state, codes):
        codes = without_axis(codes, places, quantiser)
        vectors = quantiser.vectors(params["quantiser"], state, codes)
        return density.dist(params["decoder"], vectors)

    def adapt(params, state, key, x):
        z = features(params, x)
        assert quantiser.adapt is not None
        started, state = quantiser.adapt(params["quantiser"], state, key, z)
        return params | {"quantiser": started}, state

    code_shape = (*places, *(quantiser.code_shape or (1,)))
    start = adapt if quantiser.adapt else None
    return Coder(init, apply, encode, decode, code_shape, quantiser.num_codes, start)


def vqvae_loss(
    coder: Coder,
    params: Params,
    key: Key,
    x: Array,
    *,
    state: State,
    beta: float | Array = 0.25,
) -> tuple[Array, tuple[Metrics, State]]:
    """-E log p(x | c) + E Σ ‖sg(z) - e‖² + β E Σ ‖z - sg(e)‖², the sums over the vectors of one x.

    The loss of a VQ-VAE: distortion in nats per example, codebook loss and commitment loss; sg
    stops the gradient, which otherwise passes straight through e to the encoder.

    coder: made by `vqvae` or `vqvae2`
    key: for dropout, and for codes that are revived
    x: data [n, *shape]
    state: that of the coder
    beta: β

    Returns (loss, (metrics, state)), as `learning.gradient_descent(..., init_state=...)` wants:

        def loss(params, key, x, *, state):
            return vqvae_loss(coder, params, key, x, state=state)

        algorithm = gradient_descent(
            lambda key: coder.init(key)[0], loss, optimizer,
            init_state=lambda key, params: coder.init(key)[1])

    The metrics are distortion, -E log p(x | c), and quantisation, E Σ ‖z - e‖² without β. van den
    Oord et al. (2017), "Neural discrete representation learning", equation 3.
    """
    checks.noun(coder, Coder, "coder")
    checks.key(key)
    checks.rows_of(x, "x")
    beta = checks.weight(beta, "beta")
    checks.parameters((params, state), coder.init)
    found, state = coder.apply(params, state, x, train=True, key=key)
    distortion = -found.likelihood.log_prob(x).mean()
    loss = distortion + found.codebook_loss + beta * found.commitment_loss
    return loss, ({"distortion": distortion, "quantisation": found.commitment_loss}, state)


def with_prior(coder: Coder, prior: Density | None = None) -> LatentVariable:
    """log p(x) = log Σ_c p(c) p(x | c) ≥ log p(c(x)) + log p(x | c(x)), the ELBO of a VQ-VAE.

    c(x) are the codes that the encoder gives x. The posterior has all its probability at them
    (`distributions.Dirac`). So the ELBO is the right-hand side, in nats and without sampling noise:
    the negative sum of the rate -log p(c(x)) and the distortion -log p(x | c(x)). The bound leaves
    out the probability that other codes give x.

        model = with_prior(coder, prior)
        params = {"coder": (coder_params, coder_state), "prior": prior_params}
        nats = objectives.log_weights(model, params, key, x)[0]  # the ELBO of each row, [n]
        bits = objectives.bits_per_dim(nats.mean(), 64)  # of rows of 64 levels

    Samples: z from model.prior(params), then x from model.likelihood(params, z). `objectives.elbo`
    refuses the model, because a point mass is not reparametrised and the encoder would get no
    gradient.

    coder: a VQ-VAE, such as `vqvae` makes
    prior: a density of codes, such as `autoregressive.gated_pixelcnn(coder.code_shape,
        categorical(coder.num_codes))`, or a `level_prior` if the coder has several levels. None is
        the uniform density, under which each number of a code has the rate log num_codes; its
        parameters are {}

    A condition, such as a class, is that of the prior: the decoder and the encoder do not see it.
    Parameters {"coder", "prior"}; the first is the pair (params, state) of the coder. The bound has
    a gradient for the prior, the decoder and a `gradient_codebook`, but none for the encoder, since
    codes are integers; train the coder first, by `vqvae_loss`. van den Oord et al. (2017), "Neural
    discrete representation learning", section 4.1, report it with the uniform prior.
    """
    checks.noun(coder, Coder, "coder")
    prior = uniform(coder.code_shape, coder.num_codes) if prior is None else prior
    checks.noun(prior, Density, "prior")

    def init(key):
        checks.key(key)
        coder_key, prior_key = jax.random.split(key)
        return {"coder": coder.init(coder_key), "prior": prior.init(prior_key)}

    def of_prior(params, cond=None, *, key=None):
        return prior.dist(params["prior"], cond, key=key)

    def likelihood(params, z, cond=None, *, key=None):
        _check_unread(cond)
        return coder.decode(*params["coder"], z)

    def posterior(params, x, cond=None, *, key=None):
        _check_unread(cond)
        codes = coder.encode(*params["coder"], x)
        one, shape = (codes, coder.code_shape)
        if isinstance(codes, tuple):
            one, shape = codes[0], coder.code_shape[0]
        return Dirac(codes, batch_shape=one.shape[: one.ndim - len(shape)])

    def _check_unread(cond):
        """A condition that neither reads is right where there is one."""
        checks.condition(cond, None if cond is None else prior.cond_shape)

    return LatentVariable(init, of_prior, likelihood, posterior, cond_shape=prior.cond_shape)


def uniform(code_shape: Shape, num_codes: int) -> Density:
    """p(c) = K^-n for codes c of n integers in 0..K-1: the uniform prior, without parameters.

    code_shape: the shape of c, with n entries
    num_codes: K, at least 2

    For several levels (`vqvae2`) both are tuples with an entry for each level, and events are
    tuples of codes; lengths that differ raise `InputError`. No condition. -log p(c) = n log K is
    the rate, in nats, that a VQ-VAE has while its codes are learned. van den Oord et al. (2017),
    "Neural discrete representation learning", section 3.2.
    """
    several = isinstance(num_codes, tuple)
    if several and not (isinstance(code_shape, tuple) and len(code_shape) == len(num_codes)):
        raise checks.InputError(
            "num_codes is a tuple, one number a level, so code_shape must be a tuple of as many "
            f"shapes; got {num_codes} and {code_shape}."
        )
    pairs = list(zip(code_shape, num_codes)) if several else [(code_shape, num_codes)]
    pairs = [(checks.one_or_more(s, "code_shape"), _at_least_two(num)) for s, num in pairs]

    def init(key):
        checks.key(key)
        return {}

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        # Not a constant for the compiler, which would take seconds to work out its log-softmax.
        zero = jax.lax.optimization_barrier(jnp.zeros(()))
        each = [
            distrax.Independent(Levels(jnp.full((*shape, num), zero)), len(shape))
            for shape, num in pairs
        ]

        def walk(choose, seen):
            z, told = zip(*map(choose, each, seen))
            return z, told

        return Ancestral(walk, len(each)) if several else each[0]

    return Density(init, dist)


def _at_least_two(num_codes):
    return checks.positive_int(num_codes, "num_codes", least=2)


# ------------------------------------------------------------------ what several levels need too
def coded(
    likelihood: Any,
    found: Quantised,
    places: Shape,
    quantiser: Quantiser,
) -> Coded:
    """`Coded`, from what a quantiser makes of a map of features: losses as sums over one example.

    likelihood: p(x | c), or None; found: the result of the quantiser, whose losses are means over
        vectors
    places: the shape of the map, whose size multiplies the losses; quantiser: gives the shape of a
        code
    """
    losses = (math.prod(places) * loss for loss in (found.codebook_loss, found.commitment_loss))
    return Coded(likelihood, with_axis(found.codes, quantiser), *losses)


def with_axis(codes: Array, quantiser: Quantiser) -> Array:
    """Codes [..., *places, parts]: the last axis holds the integers of one code, or its only one.

    codes: as the quantiser gives them; quantiser: gives the shape of a code
    """
    return codes if quantiser.code_shape else codes[..., None]


def without_axis(codes: Array, places: Shape, quantiser: Quantiser) -> Array:
    """Codes as the quantiser takes them: without their last axis if a code is a single integer.

    codes: integers [..., *places, parts], else `InputError`
    places: the shape of the map; quantiser: gives the shape of a code
    """
    check_codes(codes)
    checks.event_shape(codes, (*places, *(quantiser.code_shape or (1,))), "codes")
    return codes if quantiser.code_shape else codes[..., 0]


def _places(encoder, shape, dim):
    """The shape of the map of vectors that the encoder makes of one x."""
    x = jax.ShapeDtypeStruct(shape, jnp.result_type(float))
    made = jax.eval_shape(lambda key, x: encoder.apply(encoder.init(key), x), jax.random.key(0), x)
    *places, got = made.shape
    if not places or got != dim:
        raise checks.InputError(
            f"encoder must give a map of vectors of {dim} numbers, as the quantiser takes; got "
            f"{made.shape} for an x of shape {shape}."
        )
    return tuple(places)
