"""q(z | f): approximate posteriors, with parameters f = f_θ(x) from an encoder.

A posterior is a `Density` with condition f, so its `cond_shape` is the output size of the encoder.
f = 0 is the standard normal.
"""

import math

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import same_rank, soft_bound
from ..combinators import pushforward
from ..distributions.divergence import exact
from ..distributions.drawn import Drawn
from ..protocol import Array, Density, Flow

LARGEST_LOG_SCALE = 7.0  # e^±7: beyond it a Gaussian of codes says nothing more


def diagonal(num_latents: int) -> Density:
    """q(z | f) = ∏_i N(z_i; μ_i, σ_i²) for f = (μ, log σ), [..., 2 n], such as an encoder's output.

    num_latents: n. Returns a density whose condition is f, with cond_shape (2 n,), and which has no
        parameters of its own. Log-scales s are replaced by b tanh(s / b) with b = 7, so that no
        step of training makes σ overflow; near 0 they are unchanged, and f = 0 is N(0, I). Kingma
        and Welling (2014), "Auto-encoding variational Bayes", equation 9.
    """
    num = checks.positive_int(num_latents, "num_latents")

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, (2 * num,))
        assert cond is not None
        mean, log_scale = jnp.split(cond, 2, -1)
        return Normal(mean, jnp.exp(soft_bound(log_scale, LARGEST_LOG_SCALE)))

    return Density(lambda key: {}, dist, cond_shape=(2 * num,))


def full_rank(num_latents: int) -> Density:
    """q(z | f) = N(μ, L Lᵀ), L lower triangular; f = (μ, log diag L, the rest of L row by row).

    num_latents: n. Returns a density whose condition is f, with cond_shape (2 n + n (n - 1) / 2,),
        and which has no parameters of its own. The logarithms s are replaced by 7 tanh(s / 7), as
        in `diagonal`, which is the special case of a diagonal L. Cost: O(n²) for a sample and for
        its density. Kingma and Welling (2019), "An introduction to variational autoencoders",
        section 2.5.1.
    """
    num = checks.positive_int(num_latents, "num_latents")
    rows, columns = np.tril_indices(num, -1)
    size = 2 * num + len(rows)

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, (size,))
        assert cond is not None
        mean, log_scale, below = jnp.split(cond, [num, 2 * num], -1)
        scale = jnp.exp(soft_bound(log_scale, LARGEST_LOG_SCALE))
        tri = jnp.zeros((*scale.shape, num), scale.dtype)
        tri = tri.at[..., rows, columns].set(below)
        tri = tri.at[..., np.arange(num), np.arange(num)].set(scale)
        return _FullRank(mean, tri)

    return Density(lambda key: {}, dist, cond_shape=(size,))


def flow_posterior(flow: Flow, base: Density) -> Density:
    """q(z | f), the distribution of z = T(ε; h) with ε ~ q_0(ε | f_0), f = (f_0, h).

    log q(z | f) = log q_0(ε | f_0) - log|det ∂T/∂ε|, in nats. Returns a density with condition f,
    the output of an encoder, a vector of the sizes of f_0 and h together, and parameters {"base",
    "flow"}.

    flow: T, with a vector h as its condition, of shape flow.cond_shape; without one T is the same
        for all x, and f = f_0
    base: q_0, a density whose condition is the vector f_0, such as `diagonal`; without one it
        raises `ValueError`

    With `flows.iaf(n, cond_shape=(m,))` it is the posterior of Kingma et al. (2016), "Improving
    variational inference with inverse autoregressive flow", algorithm 1, whose encoder gives μ, σ
    and h; with repeated conditional `flows.planar` or `flows.sylvester`, whose parameters are
    affine in h, those of Rezende and Mohamed (2015) and of van den Berg et al. (2018). Cost: a
    sample with its density is one pass of T; only the density of a given z inverts T.
    """
    checks.noun(flow, Flow, "flow")
    checks.noun(base, Density, "base")
    first = _vector(base, "base")
    if first is None:
        raise checks.InputError("base must see the encoder: give it a cond_shape=(n,); got none.")
    total = first + (_vector(flow, "flow") or 0)

    def of_first(params, cond=None, *, key=None):
        checks.condition(cond, (total,))
        assert cond is not None
        return base.dist(params, cond[..., :first], key=key)

    def of_others(params, cond=None, *, key=None):
        checks.condition(cond, (total,))
        seen = None if flow.cond_shape is None or cond is None else cond[..., first:]
        return flow.bijector(params, seen, key=key)

    return pushforward(
        Flow(flow.init, of_others, cond_shape=(total,)),
        Density(base.init, of_first, cond_shape=(total,)),
    )


def _vector(part, name):
    """How long a condition of the part is, None where it takes none."""
    if part.cond_shape is None:
        return None
    if len(part.cond_shape) != 1:
        raise checks.InputError(
            f"{name} must have the cond_shape of a vector, (n,); got {tuple(part.cond_shape)}."
        )
    return part.cond_shape[0]


@exact
class Normal(Drawn, distrax.MultivariateNormalDiag):
    """∏_i N(z_i; μ_i, σ_i²), a distrax distribution with the arithmetic of the formula."""

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.result_type(self.loc, self.scale_diag)

    def log_prob(self, value: Array) -> Array:
        checks.event_shape(value, self.event_shape, "value")
        value, mean, scale = same_rank(value, self.loc, self.scale_diag)
        each = -0.5 * jnp.square((value - mean) / scale) - jnp.log(scale)
        return each.sum(-1) - 0.5 * math.log(2 * math.pi) * each.shape[-1]

    def _sample_n(self, key, n):
        mean, scale = self.loc[None], self.scale_diag[None]
        return mean + scale * jax.random.normal(key, (n, *mean.shape[1:]), self.dtype)

    def _sample_n_and_log_prob(self, key, n):
        z = self._sample_n(key, n)
        return z, self.log_prob(z)


@exact
class _FullRank(Drawn, distrax.MultivariateNormalTri):
    """N(μ, L Lᵀ) as distrax knows it, with draws that are refused where they are none."""
