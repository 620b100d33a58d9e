"""Codebooks that learn: by gradients, or as moving averages; and their start by k-means."""

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from .. import checks
from ..arrays import in_a_row
from ..protocol import Array, Key
from .vq import Quantiser, look_up, nearest, quantise

LEAST = 1e-20  # a share below it is that of a code that is not hit any more, and stays
MOST_CODES = 2**24  # up to which float32 counts


def gradient_codebook(num_codes: int, dim: int) -> Quantiser:
    """e_k ← e_k - η ∇ E ‖sg(z) - e‖²: a codebook e [K, d] that is a parameter, moved by its loss.

    Returns a `Quantiser`, a codebook's `init`, `apply` and `vectors` (codes to vectors), the
    argument `quantiser` of `vqvae`. Features z [..., d] get the nearest vector e;
    `Quantised.codebook_loss`, E ‖sg(z) - e‖² with sg stopping the gradient, moves the vectors
    towards the features they were chosen for, with the optimiser's learning rate η.

    num_codes: K, 2..2²⁴
    dim: d

    Parameters {"codebook"}, drawn from N(0, I / d); `adapt` replaces them by the `k_means` of a
    batch of features. No state. Cost: K d multiplications per vector. van den Oord et al. (2017),
    "Neural discrete representation learning", equation 3.
    """
    num_codes, dim = _sizes(num_codes, dim)

    def init(key):
        checks.key(key)
        return {"codebook": _start(key, num_codes, dim)}, {}

    def apply(params, state, features, *, train, key=None):
        return quantise(params["codebook"], features), state

    def vectors(params, state, codes):
        return look_up(params["codebook"], codes)

    def adapt(params, state, key, features):
        return {"codebook": k_means(key, features, num_codes)}, state

    return Quantiser(init, apply, vectors, dim, num_codes, adapt=adapt)


@checks.spelled
def averaged_codebook(
    num_codes: int,
    dim: int,
    *,
    decay: float = 0.99,
    smoothing: float = 0.0,
    revive: float = 0.0,
) -> Quantiser:
    """e_k = m_k / N_k: each vector is a moving average of the features that were nearest to it.

    After each batch of n features z_i, of which n_k have the code k, N_k ← γ N_k + (1 - γ) n_k / n
    and m_k ← γ m_k + (1 - γ) Σ_{i: k} z_i / n, both from 0. The vector of a code that no feature
    has does not change; the first ones are drawn from N(0, I / d), or by `adapt` from `k_means` of
    a batch. A batch is quantised before it changes the averages.

    num_codes, dim: K, 2..2²⁴, and d, the number of entries of a vector
    decay: γ. With 0 a step is one of Lloyd's algorithm, k-means
    smoothing: ε of Laplace smoothing: e_k = m_k / N̂_k with N̂_k = (N_k + ε) N / (N + K ε), N = Σ_k
        N_k. It draws rare codes towards 0
    revive: codes with N_k < revive · N / K, of which nearly no feature is nearest, are moved to
        features drawn from the batch, with N_k = N / K, before it is quantised. 0 never does;
        otherwise `apply` with train=True needs a key, else `InputError`

    Returns a `Quantiser`, a codebook's `init`, `apply` and `vectors` (codes to vectors), the
    argument `quantiser` of `vqvae`. It has no parameters; state {"codebook", "shares", "means"},
    the last e, N and m, which `apply` updates with train=True and leaves with train=False. Its
    codebook_loss is 0. As N and m are means over a batch, several devices with equal parts of a
    batch may average their states (`gradient_descent(axis_name=...)`); there a revived code starts
    at the mean of one feature per device. van den Oord et al. (2017), "Neural discrete
    representation learning", appendix A.1.
    """
    num_codes, dim = _sizes(num_codes, dim)
    decay, revive = checks.rate(decay, "decay"), checks.rate(revive, "revive")
    smoothing = checks.not_negative(smoothing, "smoothing")

    def init(key):
        checks.key(key)
        return {}, _averages_of(_start(key, num_codes, dim))

    def read(state):
        shares, total = state["shares"], state["shares"].sum()
        if smoothing:
            shares = (shares + smoothing) * total / (total + num_codes * smoothing)
        means = state["means"] / jnp.where(shares > LEAST, shares, 1)[:, None]
        return jnp.where((state["shares"] > LEAST)[:, None], means, state["codebook"])

    def apply(params, state, features, *, train, key=None):
        z = stop_gradient(features).reshape(-1, dim)
        codebook = read(state)
        if train and revive:
            state, codebook = _revived(state, codebook, z, key, revive)
        found = quantise(codebook, features)
        found = found._replace(codebook_loss=jnp.zeros_like(found.codebook_loss))
        if not train:
            return found, state
        shares, means = _statistics(found.codes.ravel(), z.astype(codebook.dtype), num_codes)
        moved = lambda old, new: decay * old + (1 - decay) * new
        return found, {
            "codebook": codebook,
            "shares": moved(state["shares"], shares),
            "means": moved(state["means"], means),
        }

    def vectors(params, state, codes):
        return look_up(read(state), codes)

    def adapt(params, state, key, features):
        return params, _averages_of(k_means(key, features, num_codes))

    return Quantiser(init, apply, vectors, dim, num_codes, adapt=adapt)


def k_means(key: Key, features: Array, num_codes: int, *, num_steps: int = 10) -> Array:
    """e_k ← mean of the features z_i to which e_k is nearest: Lloyd's algorithm for a codebook.

    It starts at K features drawn at random, without repetition if there are at least K. A vector
    that is nearest to no feature stays where it is. Returns the codebook [K, d].

    key: draws the start
    features: z [..., d], at least one, else `InputError`
    num_codes: K
    num_steps: the number of steps; 0 returns the start

    Cost: K d multiplications per feature and step. Lloyd (1982), "Least squares quantization in
    PCM".
    """
    checks.key(key)
    num_codes = checks.positive_int(num_codes, "num_codes")
    num_steps = checks.positive_int(num_steps, "num_steps", least=0)
    checks.floating(features, "features")
    checks.rows_of(features, "features")
    if not jnp.ndim(features):
        raise checks.InputError("features must be vectors, [..., d]; got one number.")
    z = features.reshape(-1, features.shape[-1])

    def step(_, codebook):
        shares, means = _statistics(nearest(codebook, z), z, num_codes)
        hit = (shares > 0)[:, None]
        return jnp.where(hit, means / jnp.where(hit, shares[:, None], 1), codebook)

    return jax.lax.fori_loop(0, num_steps, step, _rows(key, z, num_codes))


def _statistics(codes, features, num_codes):
    """n_k / n [K] and Σ_{i: k} z_i / n [K, d] of codes [n] and features z [n, d]."""
    sums = lambda values: jax.ops.segment_sum(values, codes, num_codes) / len(codes)
    return sums(jnp.ones(len(codes), features.dtype)), sums(features)


def _revived(state, codebook, features, key, revive):
    """Codes that are hardly hit start anew, at features of the batch and with an average share."""
    if key is None:
        raise checks.InputError("key is missing: revive > 0 draws features for codes; give a key.")
    average = state["shares"].sum() / len(codebook)
    dead = (state["shares"] < revive * average)[:, None]
    codebook = jnp.where(dead, _rows(key, features, len(codebook)), codebook)
    shares = jnp.where(dead[:, 0], average, state["shares"])
    means = jnp.where(dead, average * codebook, state["means"])
    return state | {"shares": shares, "means": means}, codebook


def _rows(key, features, num):
    """num rows at random, each another one where there are enough."""
    replace = len(features) < num
    return features[jax.random.choice(key, len(features), (num,), replace=replace)]


def _averages_of(codebook):
    """The state before the first batch."""
    shares = jnp.zeros(len(codebook), codebook.dtype)
    return {"codebook": codebook, "shares": shares, "means": jnp.zeros_like(codebook)}


def _start(key, num_codes, dim):
    return in_a_row(jax.random.normal, key, (num_codes, dim)) / dim**0.5


def _sizes(num_codes, dim):
    num_codes = checks.positive_int(num_codes, "num_codes", least=2)
    if num_codes > MOST_CODES:
        raise checks.InputError(
            f"num_codes must be at most {MOST_CODES}, up to which float32 counts; got "
            f"{num_codes}. Take several codes of fewer: residual or grouped."
        )
    return num_codes, checks.positive_int(dim, "dim")
