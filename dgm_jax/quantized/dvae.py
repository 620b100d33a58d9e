"""The discrete VAE of DALL-E: a grid of categories for a picture, and a text that it continues.

Stage one is a `categorical_vae` with convolutions, trained by `relaxed_loss`. Stage two is a model
of sequences, trained on texts followed by the codes of their pictures, and `captioned` puts both
together: one latent variable model of hard codes, p(x, z | text).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import one_hot

from .. import checks, nets
from ..distributions import Autoregressive, OneHot
from ..distributions.divergence import exact, level_logits
from ..distributions.drawn import Drawn
from ..likelihoods import Conditional
from ..protocol import Array, Density, LatentVariable, Rows, Shape
from .gumbel import categorical_vae


@checks.spelled
def dvae(
    shape: tuple[int, int, int],
    likelihood: Conditional,
    *,
    num_categories: int,
    hidden: tuple[int, ...] = (32, 64),
    num_blocks: int = 1,
    kernel_size: int = 4,
    num_groups: int | None = None,
    dropout: float = 0.0,
) -> LatentVariable:
    """p(x, z) = K^-hw p(x | z), q(z | x): images x [..., H, W, C], one-hot codes z [..., h, w, K].

    The discrete VAE of DALL-E: a `categorical_vae` with convolutions. Its encoder halves height and
    width once for each width in `hidden`, rounded up (28×28 becomes 7×7 codes for two), and its
    decoder doubles them. Train it by `relaxed_loss`.

    shape: (H, W, C)
    likelihood: p(x_i; f_i), such as `likelihoods.logit_laplace(256)`, that of DALL-E, for grey
        levels
    num_categories: K, at least 2
    hidden: the channels of each stage of the encoder; the decoder has them in reverse order
    num_blocks: residual blocks of each stage
    kernel_size: of the convolutions that halve and double
    num_groups: groups of channels of the group normalisation; None for no normalisation
    dropout: the fraction of hidden units that is set to 0 if a key is given

    The prior p(z) is uniform. Ramesh et al. (2021), "Zero-shot text-to-image generation", section
    2.1; they weight KL(q ‖ p) by 6.6, so that more codes are used, and lower τ from 1 to 1/16.
    """
    shape = checks.image_shape(shape)
    checks.noun(likelihood, Conditional, "likelihood")
    num_categories = checks.positive_int(num_categories, "num_categories", least=2)
    hidden = checks.widths(hidden, fewest=1)
    options: dict[str, Any] = {"num_blocks": num_blocks, "kernel_size": kernel_size}
    options |= {"num_groups": num_groups, "dropout": dropout}
    height, width, channels = shape
    for _ in hidden:
        height, width = -(-height // 2), -(-width // 2)
    out_channels = likelihood.outputs(channels)
    return categorical_vae(
        nets.map_encoder(shape, num_categories, hidden=hidden, **options),
        nets.map_decoder(num_categories, shape, out_channels, hidden=hidden[::-1], **options),
        likelihood,
        shape,
        codes=(height, width),
        num_categories=num_categories,
    )


def as_integers(z: Array) -> Array:
    """argmax_k z_k: one-hot codes as integers, [..., K] -> int32 [...].

    z: one-hot, or any floating-point numbers, of which the largest counts, the first of equals. A
        vector with a NaN becomes -1
    """
    checks.floating(z, "z")
    if not jnp.ndim(z) or not z.shape[-1]:
        raise checks.InputError(f"z must have shape [..., K]; got {z.shape}.")
    return jnp.where(jnp.isnan(z).any(-1), -1, jnp.argmax(z, -1)).astype(jnp.int32)


def captioned(
    model: LatentVariable, sequence: Density, *, length: int, num_symbols: int
) -> LatentVariable:
    """p(x, z | c) = p(z | c) p(x | z): an image x by way of codes z that continue a text c.

    p(z | c) = ∏_i p(z_i | c, z_1, ..., z_{i-1}) is autoregressive: `sequence` is read as one
    sequence, first the text and then the codes. At the positions of codes its probabilities of the
    K codes are renormalised to sum to 1, so that no code is a symbol of text.

        gpt = autoregressive.transformer(5 + 49, categorical(20 + 64), ...)
        model = captioned(coder, gpt, length=5, num_symbols=20)
        x = model.likelihood(params, model.prior(params, text).sample(seed=key)).sample(seed=key_x)

    model: p(x | z) and q(z | x) of the codes of an image, with z one-hot [*codes, K], such as a
        `dvae`. Its own prior is replaced
    sequence: an autoregressive density of integers [length + n] in 0..num_symbols + K - 1, for the
        n codes in raster order; category k is num_symbols + k. Train it on what `sequences` makes
    length, num_symbols: the number of symbols of a text, and of different symbols

    The condition is text as integers [..., length] in 0..num_symbols - 1. q(z | x) does not see it.
    Parameters {"model", "prior"}. Cost of p(z | c): one pass of `sequence` for log_prob, and one
    unroll of it, one code after the other, for a sample. Raises `InputError` if model or sequence
    has a condition of its own, or if their sizes do not fit. Ramesh et al. (2021), "Zero-shot
    text-to-image generation", section 2.2.
    """
    checks.noun(model, LatentVariable, "model")
    checks.noun(sequence, Density, "sequence")
    length = checks.positive_int(length, "length")
    num_symbols = checks.positive_int(num_symbols, "num_symbols")
    for part, name in ((model, "model"), (sequence, "sequence")):
        if part.cond_shape is not None:
            raise checks.InputError(
                f"{name} must have no condition of its own; got cond_shape={part.cond_shape}."
            )
    event = _event(model)

    def init(key):
        checks.key(key)
        model_key, prior_key = jax.random.split(key)
        return {"model": model.init(model_key), "prior": sequence.init(prior_key)}

    def prior(params, cond=None, *, key=None):
        checks.condition(cond, (length,))
        assert cond is not None
        whole = sequence.dist(params["prior"], key=key)
        whole = checks.instance(whole, Autoregressive, "the distribution of sequence")
        return _Continued(whole, cond.astype(jnp.int32), num_symbols, event)

    def likelihood(params, z, cond=None, *, key=None):
        return model.likelihood(params["model"], z, key=key)

    def posterior(params, x, cond=None, *, key=None):
        return model.posterior(params["model"], x, key=key)

    return LatentVariable(init, prior, likelihood, posterior, cond_shape=(length,))


def sequences(text: Rows, codes: Rows, *, num_symbols: int) -> Array:
    """(t_1, ..., t_m, S + c_1, ..., S + c_k): a text and its codes as a sequence, for `captioned`.

    text: t, symbols [..., m], integers in 0..S - 1
    codes: c, integers from 0, [..., *code_shape] with the batch axes of the text; k in raster order
        for each text
    num_symbols: S, the number of different symbols, by which codes are shifted

    Returns int32 [..., m + k]. Ramesh et al. (2021), "Zero-shot text-to-image generation", section
    2.2.
    """
    num_symbols = checks.positive_int(num_symbols, "num_symbols")
    for value, name in ((text, "text"), (codes, "codes")):
        checks.array(value, name)
        if not jnp.issubdtype(value.dtype, jnp.integer) or not jnp.ndim(value):
            raise checks.InputError(
                f"{name} must be integers; got {value.dtype} of shape {jnp.shape(value)}."
            )
    batch = text.shape[:-1]
    if codes.shape[: len(batch)] != batch:
        raise checks.InputError(
            f"codes must be one set for each text of a batch {batch}; got shape {codes.shape}."
        )
    flat = codes.reshape(*batch, math.prod(codes.shape[len(batch) :]))
    return jnp.concatenate([text.astype(jnp.int32), flat.astype(jnp.int32) + num_symbols], -1)


# ------------------------------------------------------------------- codes that continue a text
def _event(model):
    """The shape of z."""
    params = jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)))
    found = []
    jax.eval_shape(lambda params: found.append(model.prior(params).event_shape), params)
    return tuple(found[0])


@exact
class _Continued(Drawn):
    """p(z | text) of one-hot z [*codes, K], by a density of both as one sequence."""

    reparametrised = False

    def __init__(self, whole: Autoregressive, text: Array, num_symbols: int, event: Shape):
        super().__init__()
        num_codes, length = math.prod(event[:-1]), text.shape[-1]
        if tuple(whole.event_shape) != (length + num_codes,):
            raise checks.InputError(
                f"sequence must be a density of {length} symbols and {num_codes} codes; got events "
                f"of shape {tuple(whole.event_shape)}."
            )
        self._whole, self._text, self._num_symbols = whole, text, num_symbols
        self._event = event

    @property
    def event_shape(self) -> Shape:
        return self._event

    @property
    def batch_shape(self) -> Shape:
        return self._text.shape[:-1]

    def log_prob(self, value: Array) -> Array:
        """log p(z | text) in nats; -∞ of what is not one-hot."""
        checks.event_shape(value, self._event, "value")
        batch = value.shape[: value.ndim - len(self._event)]
        flat = value.reshape(*batch, -1, self._event[-1])
        batch = jnp.broadcast_shapes(batch, self.batch_shape)
        codes = jnp.broadcast_to(as_integers(flat), (*batch, flat.shape[-2]))
        text = jnp.broadcast_to(self._text, (*batch, self._text.shape[-1]))
        logits = level_logits(self._whole.conditionals(self._sequence(text, codes)))
        assert logits is not None
        self._check_levels(logits)
        of_codes = logits[..., text.shape[-1] :, self._num_symbols :]
        return OneHot(of_codes, event_ndims=2).log_prob(flat)

    def _check_levels(self, logits):
        wanted = self._num_symbols + self._event[-1]
        if logits.shape[-1] != wanted:
            raise checks.InputError(
                f"sequence must be of {wanted} levels, num_symbols={self._num_symbols} and "
                f"{self._event[-1]} categories; got {logits.shape[-1]}."
            )

    def _sample_n(self, key, n):
        text = jnp.broadcast_to(self._text[None], (n, *self._text.shape))
        start = jnp.zeros((*text.shape[:-1], math.prod(self._event[:-1])), jnp.int32)
        levels = self._num_symbols + self._event[-1]
        only_codes = self._whole.sharpened(allowed=np.arange(levels) >= self._num_symbols)
        sequence = self._sequence(text, start)
        given = np.arange(sequence.shape[-1]) < text.shape[-1]
        made = only_codes.complete(sequence, given, seed=key)[..., text.shape[-1] :]
        z = one_hot(made - self._num_symbols, self._event[-1])
        return z.reshape(*text.shape[:-1], *self._event)

    def _sequence(self, text, codes):
        return sequences(text, codes, num_symbols=self._num_symbols)
