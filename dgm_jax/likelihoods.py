"""f ↦ p(x_i; f): the distribution of one entry of x, given the outputs f of a net.

A net computes the parameters f, and a likelihood says which family they are parameters of. Every
net works with every likelihood, in autoregressive models and in decoders alike:

    made(784, bernoulli(), hidden=(500,))             p(x) = ∏_i p(x_i; f_i(x_<i))
    factorised(mlp(8, 784, ...), bernoulli(), 784)    p(x | z) = ∏_i p(x_i; f_i(z))

Nets start near f = 0, which is a fair coin, the uniform distribution or the standard normal. x_i is
a bit (0 or 1), a level (an integer in 0..K-1) or a real number.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
from jax.scipy.special import logit, ndtri

from . import checks, nets
from .arrays import mid_quantiles, parted, same_rank, soft_bound, wide
from .bijectors import Law, affine
from .distributions import (
    DiscretizedLogisticMixture,
    DiscretizedLogitLaplace,
    Levels,
    LogitLaplace,
    drawn,
)
from .distributions.divergence import exact
from .nets import Encoding, Head
from .protocol import Array, Density, Net, Shape


class Conditional(NamedTuple):
    """f ↦ p(x_i; f): a family of distributions of one entry of x, by parameters f ∈ R^num_params.

    It is given to a causal net (`autoregressive.made`) or a decoder (`factorised`), which computes
    f.

    num_params: how many numbers f has
    dist: f [..., num_params] -> a distribution of x_i with batch shape [...]
    encoding: how a causal net gets x_i as input, for levels 0..K-1; None if x_i is a real number
    head: C -> `nets.Head`, the last layer of a causal net of images for the C channels of a pixel,
        in families whose channels share parameters; None for the usual one
    marginal: x [n, d] -> f [d, num_params], the best f of each coordinate without other inputs;
        None where it has no closed form
    channels: with channels > 1, x_i [channels] are the entries of one pixel, which depend on one
        another, and f is that of the pixel
    """

    num_params: int
    dist: Callable[[Array], distrax.Distribution]  # f [..., num_params] -> batch shape [...]
    encoding: Encoding | None = None
    head: Callable[[int], Head] | None = None  # of so many channels of a pixel, where they share f
    marginal: Callable[[Array], Array] | None = None  # the fit of x [n, d]: f [d, num_params]
    channels: int = 1

    def outputs(self, num_entries: int) -> int:
        """num_params · num_entries / channels: how many numbers f a decoder computes for x.

        num_entries: entries of x, such as H·W·C, or C for the last layer of a convolutional net.
            Raises `ValueError` if `channels` does not divide it.
        """
        if num_entries % self.channels:
            raise checks.InputError(
                f"the likelihood is that of {self.channels} channels together, and x has "
                f"{num_entries} entries, which they do not divide."
            )
        return num_entries // self.channels * self.num_params

    def __repr__(self):
        of = "numbers" if self.encoding is None else f"levels 0..{self.encoding.num_levels - 1}"
        of += f" of {self.channels} channels" if self.channels > 1 else ""
        return f"Conditional: {of}, num_params {self.num_params}"


def bernoulli() -> Conditional:
    """p(x_i = 1) = σ(f), p(x_i = 0) = 1 - σ(f), for integers x_i in {0, 1}.

    σ is the logistic function. One parameter, f [..., 1], the logit; f = 0 is a fair coin. log_prob
    is in nats, and -inf for other values of x_i. Returns a `Conditional`: `num_params` and `dist`,
    a function f -> p(x_i; f); the argument `conditional` of a causal model such as
    `autoregressive.made`, or of `factorised` for a decoder.
    """

    def marginal(x):
        log_probs = _log_frequencies(x, 2)
        return log_probs[..., 1:] - log_probs[..., :1]

    return Conditional(
        1, lambda f: _Bit(logits=f[..., 0], dtype=jnp.int32), nets.one_hot(2), marginal=marginal
    )


def categorical(num_levels: int, *, encoding: Encoding | None = None) -> Conditional:
    """p(x_i = v) = softmax(f)_v for levels v = 0..K-1. K parameters; f = 0 is uniform.

    num_levels: K, at least 2
    encoding: how a causal net gets the preceding levels; a decoder does not use it.
        `nets.one_hot(K)`, the default, has one weight per level. It suits symbols without an order,
        and makes the first weight matrix K - 1 times as large. `nets.scaled(K)` has one weight for
        all levels. It suits grey levels, above all with few training examples

    Returns a `Conditional`: `num_params` and `dist`, a function f -> p(x_i; f); the argument
    `conditional` of a causal model such as `autoregressive.made`, or of `factorised` for a decoder.
    Raises `ValueError` if the encoding has another number of levels.
    """
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    encoding = nets.one_hot(num_levels) if encoding is None else encoding
    checks.noun(encoding, Encoding, "encoding")
    if encoding.num_levels != num_levels:
        raise checks.InputError(
            f"encoding must be of num_levels={num_levels} levels; got one of {encoding.num_levels}."
        )
    marginal = partial(_log_frequencies, num_levels=num_levels)
    return Conditional(num_levels, lambda f: Levels(logits=f), encoding, marginal=marginal)


@checks.spelled
def discretized_logistic(
    num_levels: int, *, num_components: int = 5, channels: int = 1
) -> Conditional:
    """p(x_i = v) = Σ_j π_j [σ((v⁺ - μ_j) / s_j) - σ((v⁻ - μ_j) / s_j)], for many ordered levels.

    A mixture of M logistic distributions with means μ_j and scales s_j, of which level v receives
    the probability of its bin. The levels 0..K-1 are spread over [-1, 1]; v⁻ and v⁺ lie half a
    level below and above v, except that v⁻ = -∞ for level 0 and v⁺ = ∞ for level K-1. σ is the
    logistic function, the distribution function of a logistic variable.

    num_levels: K, at least 2
    num_components: M. For one channel f has 3 M entries: the logits of π, then a_j and b_j with μ_j
        = (2j + 1) / M - 1 + a_j and log s_j = clip(b_j - log 2M, -7, 7), for j = 0..M-1. So f = 0
        is M components side by side, which is nearly uniform
    channels: with C > 1 it is p(x_1, ..., x_C) of a pixel, for a decoder of images [H, W, C], which
        gives f of M (1 + 2 C + C (C - 1) / 2) entries per pixel: logits, means and log-scales of
        each channel, and the α below. What the code z leaves open about the colours of a photograph
        is mostly their common brightness, which independent channels encode C times. As in the
        decoder of Child (2021), "Very deep VAEs". For a causal net of images leave it at 1: such a
        net makes the α of its channels by itself

    In a causal net of images, and for C > 1, the channels of a pixel share their component j:

        p(x_1, x_2, x_3) = Σ_j π_j Π_c p_j(x_c; μ_cj + Σ_{b<c} tanh(α_cbj) x_b, s_cj)    (eq. 3)

    As a product of conditionals this is one mixture per channel, with logits log π_j + Σ_{b<c} log
    p_j(x_b) and with means that depend linearly on the preceding channels by trained α. The tanh is
    not in the paper but in the authors' program.

    Returns a `Conditional`: `num_params` and `dist`, a function f -> p(x_i; f); the argument
    `conditional` of a causal model such as `autoregressive.made`, or of `factorised` for a decoder.
    Causal nets get the levels as numbers in [-1, 1]. Cost: 4 logarithms per component and entry.
    Salimans et al. (2017), "PixelCNN++", equations 1-3.
    """
    num_components = checks.positive_int(num_components, "num_components")
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    channels = checks.positive_int(channels, "channels")
    family = _Logistics(num_levels, num_components)
    encoding = nets.scaled(num_levels)
    if channels > 1:
        size = family.head(channels).size
        of_pixel = partial(_Pixel, family, channels)
        return Conditional(size, of_pixel, encoding, channels=channels)
    return Conditional(3 * num_components, family.dist, encoding, family.head)


class _Logistics(NamedTuple):
    """f [..., 3 components] ↦ a mixture of logistics on levels, and its `Head` for channels."""

    num_levels: int
    num_components: int

    def dist(self, f):
        return DiscretizedLogisticMixture(*self.parts(f), num_levels=self.num_levels)

    def parts(self, f):
        """Logits, means and log-scales: f = 0 are K components of width 1 / K, side by side."""
        logits, means, log_scales = jnp.split(f, 3, -1)
        middles = jnp.asarray(2 * mid_quantiles(self.num_components) - 1, f.dtype)
        means, middles = same_rank(means, middles)
        log_scales = jnp.clip(log_scales - math.log(2 * self.num_components), -7, 7)
        return logits, means + middles, log_scales

    def joined(self, logits, means, log_scales):
        """f [..., 3 components], before `parts`."""
        return jnp.concatenate(jnp.broadcast_arrays(logits, means, log_scales), -1)

    def each(self, f):
        """The distributions p_j(x; f) of all components j, with batch shape [..., components]."""
        alone = (a[..., None] for a in self.parts(f))
        return DiscretizedLogisticMixture(*alone, num_levels=self.num_levels)

    def of_each(self, f, x):
        """log p_j(x) of each component j, [..., components]."""
        x = jnp.clip(x, 0, self.num_levels - 1)  # no level: its own -inf will do
        return self.each(f).log_prob(x[..., None])

    def head(self, channels):
        """Of a pixel: logits, and for each channel means, log-scales and an α for each before."""
        rows = 1 + 2 * channels + channels * (channels - 1) // 2
        return Head(rows * self.num_components, partial(self.channel_by_channel, channels))

    def channel_by_channel(self, channels, h, x):
        """h [..., rows · components] and x [..., C] -> f [..., C, 3 components], f_c of x_<c."""
        numbers = nets.scaled(self.num_levels).encode(x).astype(h.dtype)  # [..., C, 1]
        told, f = jnp.zeros((), h.dtype), []  # Σ_{b<c} log p_j(x_b)
        for c, (logits, mean, log_scale) in enumerate(self.in_turn(channels, h)):
            before = [numbers[..., b, :] for b in range(c)]
            f.append(self.joined(logits + told, mean(before), log_scale))
            told = told + self.of_each(f[-1], x[..., c])
        return jnp.stack(f, -2)

    def in_turn(self, channels, h):
        """For each channel c: log π_j, the function x_<c ↦ μ_j, and log s_j, [..., components].

        x_<c: a list of numbers in [-1, 1], which may depend on the component j.
        """
        rows = h.shape[-1] // self.num_components  # no -1: the batch may be empty
        h = h.reshape(*h.shape[:-1], rows, self.num_components)
        logits, means, log_scales, alphas = jnp.split(h, [1, 1 + channels, 1 + 2 * channels], -2)
        alphas = iter(jnp.moveaxis(jnp.tanh(alphas), -2, 0))
        for c in range(channels):
            own = [next(alphas) for _ in range(c)]

            def mean(before, own=own, c=c):
                return means[..., c, :] + sum(a * x for a, x in zip(own, before, strict=True))

            yield logits[..., 0, :], mean, log_scales[..., c, :]


@exact
class _Pixel(drawn.Drawn):
    """p(x_1, ..., x_C; h) of the channels of a pixel, with h [..., num_params]."""

    def __init__(self, logistics: _Logistics, channels: int, h: Array):
        super().__init__()
        self._logistics, self._channels, self._h = logistics, channels, h

    @property
    def event_shape(self) -> Shape:
        return (self._channels,)

    @property
    def batch_shape(self) -> Shape:
        return self._h.shape[:-1]

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.int32

    def log_prob(self, value: Array) -> Array:
        """Σ_c log p(x_c | x_<c)."""
        checks.levels_of(value, self.event_shape, self._logistics.num_levels)
        h = jnp.broadcast_to(
            self._h,
            (*jnp.broadcast_shapes(self.batch_shape, value.shape[:-1]), self._h.shape[-1]),
        )
        f = self._logistics.channel_by_channel(self._channels, h, value)
        return self._logistics.dist(f).log_prob(value).sum(-1)

    def mean(self) -> Array:
        """E[x_c] = Σ_j π_j E[x_c | j], where E[x_c | j] has x_<c at their means given j.

        Exact where no component reaches beyond the ends of the levels, at which it would be cut
        off: without that E[x_c | j] is linear in x_<c. Costs K terms for each component.
        """
        before, means = [], []
        for logits, mean, log_scale in self._in_turn():
            f = self._logistics.joined(logits, mean(before), log_scale)
            of_each = self._logistics.each(f).mean()  # E[x_c | j], [..., components]
            before.append(self._number(of_each)[..., 0])
            means.append((jax.nn.softmax(logits) * of_each).sum(-1))
        return jnp.stack(means, -1)

    def _sample_n(self, key, n):
        """One component for all channels, and then a channel after the other."""
        which, *keys = jax.random.split(key, 1 + self._channels)
        logits, *_ = next(self._in_turn())
        j = Levels(logits).sample(seed=which, sample_shape=n)[..., None]

        def of_j(a):
            return jnp.take_along_axis(jnp.broadcast_to(a, (*j.shape[:-1], a.shape[-1])), j, -1)

        x, before = [], []
        for (*_, mean, log_scale), own_key in zip(self._in_turn(), keys):
            f = self._logistics.joined(logits, mean(before), log_scale)
            _, m, s = map(of_j, self._logistics.parts(f))
            one = DiscretizedLogisticMixture(
                jnp.zeros_like(m), m, s, num_levels=self._logistics.num_levels
            )
            x.append(one.sample(seed=own_key))
            before.append(self._number(x[-1]))
        return jnp.stack(x, -1)

    def _number(self, level):
        """A level [...] as a number in [-1, 1], [..., 1]."""
        return nets.scaled(self._logistics.num_levels).encode(level).astype(self._h.dtype)

    def _in_turn(self):
        return self._logistics.in_turn(self._channels, self._h)


def logit_laplace(num_levels: int | None = None) -> Conditional:
    """p(x_i) = exp(-|logit x_i - μ| / b) / (2 b x_i (1 - x_i)), f = (μ, log b). 2 parameters.

    x_i is a number in (0, 1), and its logit, log [x_i / (1 - x_i)], has a Laplace distribution with
    mean μ and scale b. log b is bounded smoothly to ±7. At f = 0 the density is symmetric, 2 at
    x_i = ½ and ½ at 0 and 1.

    num_levels: K for levels 0..K-1, where level v has the probability of the interval
        [v / K, (v + 1) / K]; None for numbers

    Returns a `Conditional`: `num_params` and `dist`, a function f -> p(x_i; f); the argument
    `conditional` of a causal model such as `autoregressive.made`, or of `factorised` for a decoder.
    It is the likelihood of DALL-E's decoder. Ramesh et al. (2021), "Zero-shot text-to-image
    generation", appendix A.3.
    """
    bounded = lambda f: (f[..., 0], jnp.exp(soft_bound(f[..., 1], 7.0)))
    if num_levels is None:
        return Conditional(2, lambda f: LogitLaplace(*bounded(f)))
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    dist = lambda f: DiscretizedLogitLaplace(*bounded(f), num_levels=num_levels)
    return Conditional(2, dist, nets.scaled(num_levels))


def gaussian(law: Law | None = None) -> Conditional:
    """N(x_i; μ, σ²) with σ = e^-s and μ = -m e^-s, f = (m, s), for real x_i; f = 0 is N(0, 1).

    m and s are the shift and the log-scale of the whitening map ε = x_i e^s + m, so that a `made`
    with this likelihood equals a one-layer `flows.maf` with the same weights.

    law: the element-wise map ε of x_i that f parametrises: `bijectors.affine()` by default, with 2
        parameters and s bounded smoothly to ±3, or `bijectors.additive()`, with the one parameter m
        and σ = 1. Other laws raise `ValueError` when used

    Returns a `Conditional`: `num_params` and `dist`, a function f -> p(x_i; f); the argument
    `conditional` of a causal model such as `autoregressive.made`, or of `factorised` for a decoder.
    Papamakarios et al. (2017), "Masked autoregressive flow", section 3.1.
    """
    law = affine() if law is None else law
    checks.noun(law, Law, "law")

    def dist(f):
        whiten = law.bijector(f)
        if not isinstance(whiten, distrax.ScalarAffine):
            raise checks.InputError(
                f"law must be affine() or additive() for a Gaussian; got {type(whiten).__name__}. "
                "Other laws make flows: flows.maf(..., law=law)."
            )
        return distrax.Normal(-whiten.shift / whiten.scale, 1 / whiten.scale)

    return Conditional(law.num_params, dist)


@exact
class _Logistic(distrax.Logistic):
    """Draws without a promotion of ranks, as those of a `distrax.Normal` are."""

    def _sample_n(self, key, n):
        dtype = jnp.result_type(self._loc, self._scale)
        noise = jax.random.logistic(key, (n, *self.batch_shape), dtype)
        return self.scale[None] * noise + self.loc[None]


KINDS = {"gaussian": (ndtri, distrax.Normal), "logistic": (logit, _Logistic)}


def mixture(num_components: int = 10, *, kind: str = "gaussian", bound: float = 3.0) -> Conditional:
    """p(x_i) = Σ_j π_j N(x_i; μ_j, s_j²), or of logistic distributions, for real x_i.

    num_components: K, the number of components j; f has 3 K entries, K logits of π, K shifts m and
        K log-scales log s
    kind: of a component, "gaussian" or "logistic"
    bound: log s stays in ±bound, smoothly

    The means are μ_j = m_j + z_j (1 - s_j) with z_j the (j + ½) / K quantile of the standard
    component. So at f = 0 all components are the standard normal (or logistic), but their gradients
    differ, and they separate in training. Returns a `Conditional`: `num_params` and `dist`, a
    function f -> p(x_i; f); the argument `conditional` of a causal model such as
    `autoregressive.made`, or of `factorised` for a decoder. Bishop (1994), "Mixture density
    networks"; Papamakarios et al. (2017), "Masked autoregressive flow", where a MADE with this
    likelihood is called MADE MoG.
    """
    num_components = checks.positive_int(num_components, "num_components")
    bound = checks.positive(bound, "bound")
    checks.choice(kind, KINDS, "kind")
    quantile, component = KINDS[kind]

    def dist(f):
        points = quantile(jnp.asarray(mid_quantiles(num_components))).astype(f.dtype)
        logits, shifts, scales = jnp.split(f, 3, -1)
        means, log_scales = parted(shifts, scales, points, bound)
        return _Mixture(distrax.Categorical(logits=logits), component(means, jnp.exp(log_scales)))

    return Conditional(3 * num_components, dist)


def as_numbers(x: Array, shape: Shape, likelihood: Conditional, dtype: jnp.dtype) -> Array:
    """x ↦ 2 x / (K - 1) - 1 for levels x in 0..K-1; bits (K = 2) and real numbers stay as they are.

    The form in which encoders get x.

    x: [..., *shape]; the shape is checked. Values between two levels are accepted, because the
        pseudo-inputs of a VampPrior are such; levels out of range raise `ValueError`
    likelihood: the family of x, which says what K is. dtype: of the result for bits and levels

    Returns [..., *shape].
    """
    checks.noun(likelihood, Conditional, "likelihood")
    shape, dtype = checks.one_or_more(shape, "shape"), checks.dtype(dtype, "dtype")
    if likelihood.encoding is None:
        checks.event_of(x, shape)
        return x
    checks.event_shape(x, shape)
    most = likelihood.encoding.num_levels - 1
    checks.within(x, 0, most, "x")
    x = jnp.asarray(x, dtype)
    return x if most == 1 else 2 * x / most - 1


# --------------------------------------------------------------- the likelihood of a decoder
def factorised(
    net: Net, conditional: Conditional, shape: int | Shape, *, cond_shape: Shape | None = None
) -> Density:
    """log p_θ(x | z) = Σ_i log p(x_i; f_i), f = f_θ(z), in nats: independent entries given z.

    The likelihood of a decoder, as a density of x with condition z. `dist(params, z)` has the batch
    shape of z; its `mean()` is E[x | z], also for levels; `mode()` exists for bits, levels and
    Gaussians.

    net: the decoder, z -> f as [..., *shape, num_params], or with the last two axes joined (the
        channels of a convolutional net), or with all axes joined (an MLP); another shape raises
        `ValueError`
    conditional: the family p(x_i; f_i), such as `bernoulli()`. One of several `channels` makes the
        pixels of x [..., C] independent, and not the channels of one: then f is [..., *shape[:-1],
        num_params], or with axes joined
    shape: of one x
    cond_shape: of one z, which is checked if given

        decoder = factorised(mlp(8, 784, hidden=(200,)), bernoulli(), (28, 28, 1))
        log_prob = decoder.dist(params, z).log_prob(x)  # z [..., 8], x [..., 28, 28, 1] integers

    Cost: one pass of the net. Kingma and Welling (2014), "Auto-encoding variational Bayes",
    appendix C.
    """
    checks.noun(net, Net, "net")
    checks.noun(conditional, Conditional, "conditional")
    cond_shape = checks.cond_shape(cond_shape)
    shape = checks.one_or_more(shape, "shape")
    entries = shape
    if conditional.channels > 1:
        if shape[-1] != conditional.channels:
            raise checks.InputError(
                f"conditional is that of {conditional.channels} channels together, so shape must "
                f"end with {conditional.channels}; got {shape}."
            )
        entries = shape[:-1]

    def dist(params, cond=None, *, key=None):
        if cond is None:
            raise checks.InputError("cond is missing: p(x | z) needs dist(params, z).")
        if cond_shape is not None:
            checks.condition(cond, cond_shape)
        f = net.apply(params, cond, key=key)
        batch_ndim = None if cond_shape is None else jnp.ndim(cond) - len(cond_shape)
        f = _by_entry(f, entries, conditional.num_params, batch_ndim)
        return _Factorised(conditional, f, shape)

    return Density(net.init, dist, cond_shape=cond_shape)


def _by_entry(f, shape, num_params, batch_ndim):
    """f as [..., *shape, num_params], of the three layouts that `factorised` takes.

    Where the number of axes of a batch is known, an axis of one entry in it is not taken for x.
    """
    for tail in (
        (*shape, num_params),
        (*shape[:-1], math.prod(shape[-1:]) * num_params),
        (math.prod(shape) * num_params,),
    ):
        fits = f.shape[max(f.ndim - len(tail), 0) :] == tail
        if fits and batch_ndim in (None, f.ndim - len(tail)):
            return f.reshape(*f.shape[: f.ndim - len(tail)], *shape, num_params)
    raise checks.InputError(
        f"net must give {num_params} numbers for each entry of x {shape}, as [..., "
        f"{', '.join(map(str, (*shape, num_params)))}] or with axes joined; got {f.shape}."
    )


@exact
class _Factorised(drawn.Drawn, distrax.Independent):
    """Independent entries of one family; refuses an x of another shape or kind."""

    def __init__(self, conditional, f, shape):
        super().__init__(conditional.dist(f), len(shape) - (conditional.channels > 1))
        self._conditional, self._f, self._event = conditional, f, shape

    def log_prob(self, value: Array) -> Array:
        encoding = self._conditional.encoding
        if encoding is None:
            checks.event_of(value, self._event)
        else:
            checks.levels_of(value, self._event, encoding.num_levels)
        if self._conditional.channels > 1:
            f, value = same_rank(self._f, value)
        else:
            f, value = same_rank(self._f, value[..., None])
            value = value[..., 0]
        return self._reduce(jnp.sum, self._conditional.dist(f).log_prob(value))

    def _sample_n_and_log_prob(self, key, n):
        x = self._sample_n(key, n)
        return x, self.log_prob(x)


def _log_frequencies(x, num_levels):
    """log((n_k + 1/2) / (n + K/2)) of each coordinate, [n, d] -> [d, K]: no level is impossible."""
    counts = jnp.stack([(x == k).sum(0) for k in range(num_levels)], -1)
    return jnp.log(counts + 0.5) - math.log(len(x) + num_levels / 2)


@exact
class _Mixture(drawn.Drawn, distrax.MixtureSameFamily):
    """Draws of one component each: distrax draws from all, and picks by a sum in float32."""

    def _sample_n(self, key, n):
        which_key, noise_key = jax.random.split(key)
        j = Levels(self.mixture_distribution.logits).sample(seed=which_key, sample_shape=n)
        of_one = lambda a: jnp.take_along_axis(a[None], j[..., None], -1)[..., 0]
        all_of_them = self.components_distribution
        one = type(all_of_them)(of_one(all_of_them.loc), of_one(all_of_them.scale))
        return one.sample(seed=noise_key)


@jax.custom_jvp
def _log_sigmoid(x):
    """log σ(x) = min(x, 0) - log(1 + e^-|x|), to rounding for x of any size."""
    return jnp.minimum(x, 0) - _log_one_plus(jnp.exp(-jnp.abs(x)))


def _log_one_plus(t):
    """log(1 + t) = 2 artanh(s) = 2 s Σ_n s^2n / (2n + 1) with s = t / (2 + t) ≤ 1/3, for t in 0..1.

    Right for every t, as XLA's log1p is, it takes a CPU several times as long.
    """
    s = t / (2 + t)
    last = _last_term(s.dtype)
    series = 1 / (2 * last + 1)
    for n in reversed(range(last)):
        series = series * s**2 + 1 / (2 * n + 1)
    return 2 * s * series


def _last_term(dtype):
    """The first n whose next term, at most 9^-(n + 1) / (2n + 3), rounding hides."""
    next_term = lambda n: 9.0 ** -(n + 1) / (2 * n + 3)
    return next(n for n in range(100) if next_term(n) < jnp.finfo(dtype).eps / 4)


_log_sigmoid.defjvps(lambda dx, log_sigmoid, x: dx * _sigmoid_of_negative(x))


@jax.custom_jvp
def _sigmoid_of_negative(x):
    """σ(-x) of the exponential that `_log_sigmoid` has too: XLA takes it once for both."""
    tail = jnp.exp(-jnp.abs(x))
    return jnp.where(x > 0, tail, 1) / (1 + tail)


_sigmoid_of_negative.defjvps(lambda dx, sigmoid, x: -dx * sigmoid * _sigmoid_of_negative(-x))


@exact
class _Bit(drawn.Drawn, distrax.Bernoulli):
    """0 and 1 only: distrax would score any other number, such as a grey level, likewise."""

    def log_prob(self, value: Array) -> Array:
        log_prob = _log_sigmoid(jnp.where(value == 1, self.logits, -self.logits))
        return jnp.where((value == 0) | (value == 1), log_prob, -jnp.inf)

    def _sample_n(self, key, n):
        u = jax.random.uniform(key, (n, *self.batch_shape), wide(self.probs))
        return (u < self.probs[None]).astype(self._dtype)
