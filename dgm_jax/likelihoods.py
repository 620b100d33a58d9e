"""What p(x_i | x_<i) is, given the numbers f_i(x_<i) of a causal net: the output of a model.

The families differ in the net, these in the values: `made(784, bernoulli(), hidden=(500,))` is a
density of bits, `made(63, mixture(10), hidden=(512,))` one of vectors.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from . import checks, nets
from .bijectors import Law, affine
from .distributions import DiscretizedLogisticMixture, Levels
from .nets import Encoding, Head
from .protocol import Array


class Conditional(NamedTuple):
    """f_i ↦ p(x_i | x_<i)."""

    num_params: int  # numbers in f_i
    dist: Callable[[Array], distrax.Distribution]  # f [..., num_params] -> batch shape [...]
    encoding: Encoding | None = None  # how the net sees levels; None: x are numbers
    head: Callable[[int], Head] | None = None  # of so many channels of a pixel, where they share f
    marginal: Callable[[Array], Array] | None = None  # x [n, d] -> f [d, num_params]


def bernoulli() -> Conditional:
    """Bernoulli(x_i; σ(f_i)) for bits 0 and 1, integers. f = 0 is a fair coin."""

    def marginal(x):
        log_probs = _log_frequencies(x, 2)
        return log_probs[..., 1:] - log_probs[..., :1]

    dist = lambda f: _Bit(logits=f[..., 0])  # noqa: E731
    return Conditional(1, dist, nets.one_hot(2), marginal=marginal)


def categorical(num_levels: int, *, encoding: Encoding | None = None) -> Conditional:
    """softmax(f_i)[x_i] for levels x_i in 0..K-1. f = 0 is uniform.

    encoding: how the net sees levels. `nets.one_hot(K)`, the default, has a weight for each level:
    right for symbols, which no number orders, and K-1 times the first matrix. `nets.scaled(K)` has
    one for all: right for grey levels, above all where data are few (a MADE of the 8x8 digits 2.07
    against 2.46 bits/dim with equal settings, see the experiment `autoregressive.digits`).
    """
    encoding = nets.one_hot(num_levels) if encoding is None else encoding
    checks.noun(encoding, Encoding, "encoding")
    if encoding.num_levels != num_levels:
        raise ValueError(
            f"encoding must be of num_levels={num_levels} levels; got one of {encoding.num_levels}."
        )
    marginal = partial(_log_frequencies, num_levels=num_levels)
    return Conditional(num_levels, lambda f: Levels(logits=f), encoding, marginal=marginal)


def discretized_logistic(num_levels: int, *, num_components: int = 5) -> Conditional:
    """A `DiscretizedLogisticMixture`, for many ordered levels in 0..K-1.

    3 numbers a component whatever K, and inputs as numbers in [-1, 1]. f = 0 are components side by
    side over [-1, 1], nearly uniform. Log-scales stay in ±7. Salimans et al. (2017), "PixelCNN++".

    The channels of a pixel, where a net of images makes several, share their components:
        p(x_1, x_2, x_3) = Σ_j π_j Π_c p_j(x_c; μ_cj + Σ_{b<c} tanh(α_cbj) x_b, s_cj)    (eq. 3)
    which is, as conditionals, a mixture for each channel: of logits log π_j + Σ_{b<c} log p_j(x_b),
    the posterior of j, and of means moved by the channels before. `head` makes these; the tanh is
    that of the authors' program.
    """
    checks.positive_int(num_components, "num_components")
    k = num_components
    middles = (2 * np.arange(k) + 1) / k - 1
    encoding = nets.scaled(num_levels)

    def parts(f):
        logits, means, log_scales = jnp.split(f, 3, -1)
        log_scales = jnp.clip(log_scales - math.log(2 * k), -7, 7)  # beyond, nothing fits better
        return logits, means + jnp.asarray(middles, f.dtype), log_scales

    def dist(f):
        return DiscretizedLogisticMixture(*parts(f), num_levels=num_levels)

    def of_each(f, x):
        """log p_j(x) of each component j."""
        alone = (a[..., None] for a in parts(f))
        one = DiscretizedLogisticMixture(*alone, num_levels=num_levels)
        return one.log_prob(jnp.clip(x, 0, num_levels - 1)[..., None])  # no level: one -inf will do

    def head(channels):
        pairs = channels * (channels - 1) // 2

        def apply(h, x):
            h = h.reshape(*h.shape[:-1], 1 + 2 * channels + pairs, k)
            logits, means, log_scales, alphas = jnp.split(
                h, [1, 1 + channels, 1 + 2 * channels], -2
            )
            logits, alphas = logits[..., 0, :], iter(jnp.moveaxis(jnp.tanh(alphas), -2, 0))
            numbers = encoding.encode(x).astype(h.dtype)  # [..., C, 1]
            f = []
            for c in range(channels):
                mean = means[..., c, :] + sum(next(alphas) * numbers[..., b, :] for b in range(c))
                f.append(jnp.concatenate([logits, mean, log_scales[..., c, :]], -1))
                logits = logits + of_each(f[-1], x[..., c])
            return jnp.stack(f, -2)

        return Head((1 + 2 * channels + pairs) * k, apply)

    return Conditional(3 * k, dist, encoding, head)


def gaussian(law: Law | None = None) -> Conditional:
    """N(x_i; μ_i, σ_i²), for numbers. f = 0 is N(0, 1).

    The net gives the map ε_i = x_i e^s + m that whitens x_i, so σ_i = e^-s and μ_i = -m e^-s: a
    `made` of it is the one-layer `flows.maf` with the same weights. law: affine() by default, or
    additive() for σ = 1. Papamakarios et al. (2017), section 3.1.
    """
    law = affine() if law is None else law
    checks.noun(law, Law, "law")

    def dist(f):
        whiten = law.bijector(f)
        if not isinstance(whiten, distrax.ScalarAffine):
            raise ValueError(
                f"law must be affine() or additive() for a Gaussian; got {type(whiten).__name__}. "
                "Other laws make flows: flows.maf(..., law=law)."
            )
        return distrax.Normal(-whiten.shift / whiten.scale, 1 / whiten.scale)

    return Conditional(law.num_params, dist)


KINDS = ("gaussian", "logistic")


def mixture(num_components: int = 10, *, kind: str = "gaussian", bound: float = 3.0) -> Conditional:
    """Σ_j π_j N(x_i; μ_j, s_j²), or of logistics, for numbers.

    Log-scales are limited to ±bound by tanh. Equal components would stay equal for ever, so
    component j shrinks onto a point z_j of its own, μ_j = m_j + z_j (1 - s_j), the mid-quantiles:
    f = 0 is the standard normal or logistic, and the components part at the first step.
    Papamakarios et al. (2017), "MADE MoG".
    """
    checks.positive_int(num_components, "num_components")
    checks.positive(bound, "bound")
    checks.choice(kind, KINDS, "kind")
    quantiles = (np.arange(num_components) + 0.5) / num_components

    def dist(f):
        to_point, component = {
            "gaussian": (ndtri, distrax.Normal),
            "logistic": (jax.scipy.special.logit, distrax.Logistic),
        }[kind]
        points = to_point(jnp.asarray(quantiles)).astype(f.dtype)  # there is no ndtri of 16 bits
        logits, shifts, scales = jnp.split(f, 3, -1)
        log_scales = bound * jnp.tanh(scales / bound)
        means = shifts - points * jnp.expm1(log_scales)
        return _Mixture(distrax.Categorical(logits=logits), component(means, jnp.exp(log_scales)))

    return Conditional(3 * num_components, dist)


def _log_frequencies(x, num_levels):
    """log((n_k + 1/2) / (n + K/2)) of each coordinate, [n, d] -> [d, K]: no level is impossible."""
    counts = jnp.stack([(x == k).sum(0) for k in range(num_levels)], -1)
    return jnp.log(counts + 0.5) - math.log(len(x) + num_levels / 2)


class _Mixture(distrax.MixtureSameFamily):
    """Draws of the dtype of the components: distrax picks one of them by a sum in float32."""

    def _sample_n(self, key, n):
        return super()._sample_n(key, n).astype(self.components_distribution.loc.dtype)


class _Bit(distrax.Bernoulli):
    """0 and 1 only: distrax would score any other number, such as a grey level, likewise."""

    def log_prob(self, value):
        return jnp.where((value == 0) | (value == 1), super().log_prob(value), -jnp.inf)
