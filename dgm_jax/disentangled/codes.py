"""The latent code of an InfoGAN, and how much of it can be recognised in x."""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import soft_bound
from ..distributions.divergence import exact
from ..distributions.drawn import Drawn
from ..protocol import Array, Density, Shape

LARGEST_LOG_SCALE = 3.0  # of Q for a number in (-1, 1): e^-3 = 0.05 is as good as exact


class Codes(NamedTuple):
    """z = (ε, c), c = (one-hot categories, numbers in (-1, 1)): how InfoGAN's latents are laid out.

    num_noise: how many entries ε ~ N(0, I) has; noise, which is not to be recognised
    categories: (K_1, K_2, ...): for each one a one-hot vector of K_i equally likely values
    num_continuous: how many numbers, uniform on (-1, 1), c has

    All parts are independent, and joined in this order to a vector z of `size` entries.
    """

    num_noise: int
    categories: tuple[int, ...] = (10,)
    num_continuous: int = 0

    @property
    def size(self) -> int:
        """The number of entries of z: num_noise + Σ K_i + num_continuous."""
        return self.num_noise + sum(self.categories) + self.num_continuous

    @property
    def num_outputs(self) -> int:
        """The number of parameters of Q(c | x): Σ K_i logits, a mean and a log-scale per number."""
        return sum(self.categories) + 2 * self.num_continuous

    @property
    def entropy(self) -> float:
        """H(c) in nats: Σ log K_i + num_continuous log 2."""
        return sum(map(math.log, self.categories)) + self.num_continuous * math.log(2)


class Recognised(NamedTuple):
    """Q(c | x) = ∏_i Q_i(k_i | x) ∏_j N(u_j; mean_j, scale_j²), c = (k, u): a code inferred from x.

    log_probs: a tuple of log Q_i, [batch, K_i] in nats, one for each category
    mean, scale: mean and standard deviation of each number, [batch, num_continuous]
    """

    log_probs: tuple[Array, ...]
    mean: Array  # [batch, num_continuous]
    scale: Array


def code_prior(codes: Codes) -> Density:
    """p(z) = N(ε; 0, I) ∏_i 1/K_i ∏_j 1/2, the prior of the latents z = (ε, c) of an InfoGAN.

    A density of z [codes.size] without parameters: Gaussian noise ε, one-hot categories with K_i
    equally likely values, and numbers uniform on (-1, 1). log p(z) is -∞ if a category is not
    one-hot or a number is outside.

    codes: the layout of z; without any category or number it raises `InputError`

    Chen et al. (2016), "InfoGAN: interpretable representation learning by information maximizing
    generative adversarial nets", section 7.
    """
    codes = checked_codes(codes)

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return _Latents(codes)

    return Density(lambda key: {}, dist)


def parts(codes: Codes, z: Array) -> tuple[Array, list[Array], Array]:
    """(ε, [one-hot vectors of each category], numbers), the parts of z [..., codes.size].

    codes: the layout of z. ε is [..., num_noise], each one-hot vector [..., K_i], and the numbers
        are [..., num_continuous]. Another size of z raises `InputError`.
    """
    checks.events(z, codes.size, "z")
    ends = itertools.accumulate((codes.num_noise, *codes.categories))
    noise, *one_hots, numbers = jnp.split(z, list(ends), -1)
    return noise, one_hots, numbers


def recognised(codes: Codes, outputs: Array) -> Recognised:
    """Q(c | x) from outputs of a net: log softmax for each category, N(mean, scale²) for numbers.

    codes: a `Codes`, the layout of c: how many categories with how many values, and how many
        numbers
    outputs: [batch, codes.num_outputs]: the logits of all categories, then the means, then the
        log-scales r, one for each number, which become scale = exp(3 tanh(r / 3))

    Returns a `Recognised` with log_probs, the log softmax [batch, K_i] of each category, and mean
    and scale [batch, num_continuous]. Another shape of outputs raises `InputError`.
    """
    codes = checked_codes(codes)
    checks.floating(outputs, "outputs", (None, codes.num_outputs))
    *logits, rest = jnp.split(outputs, list(itertools.accumulate(codes.categories)), -1)
    mean, log_scale = jnp.split(rest, 2, -1)
    scale = jnp.exp(soft_bound(log_scale, LARGEST_LOG_SCALE))
    return Recognised(tuple(jax.nn.log_softmax(part) for part in logits), mean, scale)


def information(codes: Codes, q: Recognised, z: Array) -> tuple[Array, Array]:
    """E log Q(k | x) + H(k) and E log Q(u | x) + H(u), in nats, for c = (categories k, numbers u).

    Means over a batch. Their sum is a lower bound of the mutual information I(c; x) of the code c
    and the sample x = G(z); for Q(c | x) = p(c | x) it is attained. The first is at most Σ log K_i,
    if x determines the categories. The second has no maximum: N(u, σ²) around the true u gives log
    2 - log σ - ½ log 2πe for each number.

    codes: the layout of z
    q: Q(c | x) for the samples x = G(z)
    z: the latents, [batch, codes.size]

    Returns the two sums, scalars. Chen et al. (2016), "InfoGAN: interpretable representation
    learning by information maximizing generative adversarial nets", equation 5.
    """
    codes = checked_codes(codes)
    checks.noun(q, Recognised, "q")
    checks.floating(z, "z", (None, codes.size))
    checks.floating(q.mean, "q.mean", (len(z), codes.num_continuous))
    checks.rows_of(z, "z")
    _, one_hots, numbers = parts(codes, z)
    told = [(one_hot * log_probs).sum(-1) for one_hot, log_probs in zip(one_hots, q.log_probs)]
    categorical = sum(told, jnp.zeros(len(z))).mean() + sum(map(math.log, codes.categories))
    standard = (numbers - q.mean) / q.scale
    each = math.log(2) - 0.5 * jnp.square(standard) - jnp.log(q.scale) - 0.5 * math.log(2 * math.pi)
    return categorical, each.sum(-1).mean()


@exact
class _Latents(Drawn):
    """Noise, one-hot categories and uniform numbers, joined."""

    def __init__(self, codes: Codes):
        super().__init__()
        self._codes = codes

    @property
    def event_shape(self) -> Shape:
        return (self._codes.size,)

    @property
    def batch_shape(self) -> Shape:
        return ()

    def _sample_n(self, key, n):
        noise_key, number_key, *keys = jax.random.split(key, 2 + len(self._codes.categories))
        one_hots = [
            jax.nn.one_hot(jax.random.randint(k, (n,), 0, num), num)
            for k, num in zip(keys, self._codes.categories)
        ]
        noise = jax.random.normal(noise_key, (n, self._codes.num_noise))
        numbers = jax.random.uniform(number_key, (n, self._codes.num_continuous), minval=-1)
        return jnp.concatenate([noise, *one_hots, numbers], -1)

    def log_prob(self, value: Array) -> Array:
        noise, one_hots, numbers = parts(self._codes, value)
        inside = (jnp.abs(numbers) <= 1).all(-1)
        for one_hot in one_hots:
            inside &= ((one_hot == 0) | (one_hot == 1)).all(-1) & (one_hot.sum(-1) == 1)
        constant = 0.5 * math.log(2 * math.pi) * noise.shape[-1] + self._codes.entropy
        return jnp.where(inside, -0.5 * jnp.square(noise).sum(-1) - constant, -jnp.inf)


def checked_codes(codes: Codes) -> Codes:
    """The codes with integers of Python as sizes, if they are valid, else `InputError`.

    codes: the layout of z: sizes of at least 0, categories of at least 2 values, and at least one
        category or number
    """
    checks.noun(codes, Codes, "codes")
    noise = checks.positive_int(codes.num_noise, "num_noise", least=0)
    if isinstance(codes.categories, int):
        raise checks.InputError(
            "categories must name the number of values of each category, such as (10,); got "
            f"{codes.categories}."
        )
    categories = tuple(
        checks.positive_int(num, "each of categories", least=2)
        for num in checks.widths(codes.categories, "categories")
    )
    numbers = checks.positive_int(codes.num_continuous, "num_continuous", least=0)
    if not categories and not numbers:
        raise checks.InputError("codes must have a category or a number; got neither.")
    return Codes(noise, categories, numbers)
