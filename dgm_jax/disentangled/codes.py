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
    """z = (noise, c): n Gaussian numbers, one one-hot vector per category, then uniform numbers.

    c has one categorical variable with K_i equally likely values for every K_i in `categories`, and
    num_continuous numbers uniform on (-1, 1). All are independent.
    """

    num_noise: int
    categories: tuple[int, ...] = (10,)
    num_continuous: int = 0

    @property
    def size(self) -> int:
        """The size of z."""
        return self.num_noise + sum(self.categories) + self.num_continuous

    @property
    def num_outputs(self) -> int:
        """The number of parameters of Q(c | x): logits, and mean and log-scale of each number."""
        return sum(self.categories) + 2 * self.num_continuous

    @property
    def entropy(self) -> float:
        """H(c) in nats: Σ log K_i + num_continuous log 2."""
        return sum(map(math.log, self.categories)) + self.num_continuous * math.log(2)


class Recognised(NamedTuple):
    """Q(c | x): log-probabilities [batch, K_i] of each category, N(mean, scale²) of the numbers."""

    log_probs: tuple[Array, ...]
    mean: Array  # [batch, num_continuous]
    scale: Array


def code_prior(codes: Codes) -> Density:
    """p(z) = N(noise; 0, I) ∏_i 1/K_i ∏_j 1/2, a density without parameters of z [codes.size].

    Chen et al. (2016), "InfoGAN", section 7.
    """
    codes = checked_codes(codes)

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return _Latents(codes)

    return Density(lambda key: {}, dist)


def parts(codes: Codes, z: Array) -> tuple[Array, list[Array], Array]:
    """(noise, [one-hot vectors of each category], continuous numbers) of z [..., codes.size]."""
    checks.events(z, codes.size, "z")
    ends = itertools.accumulate((codes.num_noise, *codes.categories))
    noise, *one_hots, numbers = jnp.split(z, list(ends), -1)
    return noise, one_hots, numbers


def recognised(codes: Codes, outputs: Array) -> Recognised:
    """Q(c | x) from the outputs of a net, [batch, codes.num_outputs]."""
    codes = checked_codes(codes)
    checks.floating(outputs, "outputs", (None, codes.num_outputs))
    *logits, rest = jnp.split(outputs, list(itertools.accumulate(codes.categories)), -1)
    mean, log_scale = jnp.split(rest, 2, -1)
    scale = jnp.exp(soft_bound(log_scale, LARGEST_LOG_SCALE))
    return Recognised(tuple(jax.nn.log_softmax(part) for part in logits), mean, scale)


def information(codes: Codes, q: Recognised, z: Array) -> tuple[Array, Array]:
    """E log Q(c | x) + H(c) <= I(c; x) in nats, for the categories and for the numbers.

    A mean over a batch z [batch, n], with q = Q(c | G(z)). If Q(c | x) = p(c | x) it is I(c; x) in
    expectation. For categories that x determines it is Σ log K_i, the maximum. For continuous
    numbers it has no maximum: a Q = N(c, σ²) with the true c gives log 2 - log σ - ½ log 2πe. Chen
    et al. (2016), "InfoGAN", equation 5.
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
    """The codes, with all sizes checked."""
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
