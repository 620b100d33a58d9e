"""Vector quantisation: features ↦ the nearest vectors of a codebook, and their numbers.

`nearest` and `quantise` are functions of (codebook, features). A `Quantiser` is what a model is
given, and says how the codebook comes about: `codebooks` learn it, `fsq` has none, and `residual`
makes codes of several numbers.
van den Oord, Vinyals and Kavukcuoglu (2017), "Neural discrete representation learning".
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from .. import checks
from ..arrays import straight_through, wide
from ..protocol import Array, Key, Params, Rows, Shape, State, described


class Quantised(NamedTuple):
    """What a `Quantiser` makes of features z [..., d]: codes, their vectors e, and two losses.

    codes: integers [..., *code_shape]; -1 where z is NaN or infinite, or the codebook has a NaN
    vectors: e [..., d]. A gradient passes straight through to z: dL/dz = dL/de
    codebook_loss: E ‖sg(z) - e‖², which moves the codebook to the features; sg stops the gradient.
        It is 0 for a codebook that no gradient moves
    commitment_loss: E ‖z - sg(e)‖², which moves the encoder to the codebook

    Both losses are scalars: sums over the d entries of a vector, means over all vectors. van den
    Oord et al. (2017), "Neural discrete representation learning".
    """

    codes: Array  # integers [..., *code_shape]; -1 where z or the codebook is NaN
    vectors: Array  # e [..., d], with the gradient of z: dL/dz = dL/de
    codebook_loss: Array  # E ‖sg(z) - e‖², which moves the codebook; 0 where no gradient does
    commitment_loss: Array  # E ‖z - sg(e)‖², which moves the encoder


class Quantiser(NamedTuple):
    """θ, s ↦ (z ↦ e): features z to vectors e of discrete codes, with a state s without gradients.

    - `init(key)` -> (params, state)
    - `apply(params, state, features, *, train, key=None)` -> (Quantised, state), for features [...,
      dim]. With train=True the state may change, such as the averages of `averaged_codebook`; with
      train=False it is returned unchanged. key is for codes that are drawn anew (`revive`)
    - `vectors(params, state, codes)` -> e [..., dim] of codes, integers [..., *code_shape]
    - `adapt(params, state, key, features)` -> (params, state) initialises the codebook from a first
      batch of features; None if there is nothing to initialise
    - `dim`: the number of entries of a vector
    - `num_codes`: K, the number of values of each entry of a code
    - `code_shape`: the shape of the code of one vector: () for one integer, (S,) for S of them
      (`residual`, `grouped`)
    """

    init: Callable[[Key], tuple[Params, State]]
    apply: Callable[..., tuple[Quantised, State]]
    vectors: Callable[[Params, State, Array], Array]
    dim: int  # numbers of a vector
    num_codes: int  # of each number of a code
    code_shape: Shape = ()  # of the code of one vector
    adapt: Callable[..., tuple[Params, State]] | None = None

    __repr__ = described


# ---------------------------------------------------------------- (codebook, features) ↦ codes
def nearest(codebook: Array, features: Array) -> Array:
    """argmin_k ‖z - e_k‖²: the number of the nearest vector of a codebook, integers [...].

    codebook: e [K, d]
    features: z [..., d], floating-point

    Ties go to the lowest number. A feature with NaN or infinity has the code -1, and so have all
    features if the codebook has a NaN. Distances are computed in float32 or more. No gradient.
    Cost: K d multiplications per vector. Other shapes raise `InputError`.
    """
    _check(codebook, features)
    codebook, z = stop_gradient((codebook, features))
    e, z = (a.astype(wide(a)) for a in (codebook, z))
    products = jnp.matmul(z, e.T, precision="highest")
    distances = jnp.square(e).sum(-1) - 2 * products
    least = distances.min(-1, keepdims=True)
    # The least index by a minimum of floats, which XLA vectorises on a CPU; `argmin` it does not.
    places = jnp.arange(len(e), dtype=distances.dtype)
    index = jnp.where(distances == least, places, len(e)).min(-1)
    known = (index < len(e)) & jnp.isfinite(least[..., 0])
    return jnp.where(known, index, -1).astype(jnp.int32)


def look_up(codebook: Array, codes: Array) -> Array:
    """e_k [..., d]: the vectors of codes k, from a codebook e [K, d].

    codebook: e [K, d]; the gradient reaches it
    codes: k, integers [...]. The vector of one outside 0..K-1 is NaN; codes that are not integers
        raise `InputError`
    """
    checks.floating(codebook, "codebook", (None, None))
    check_codes(codes)
    return (
        jnp.asarray(codebook)
        .at[codes]
        .get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
    )


def quantise(codebook: Array, features: Array) -> Quantised:
    """e_k with k = argmin_j ‖z - e_j‖²: the nearest vector of a codebook, and a VQ-VAE's losses.

    codebook: e [K, d]
    features: z [..., d]

    Returns `Quantised` with the codes k [...], the vectors [..., d] and two losses. The loss of a
    VQ-VAE adds codebook_loss + β commitment_loss = E ‖sg(z) - e‖² + β E ‖z - sg(e)‖², where sg
    stops the gradient. The first moves the codebook to the features, the second the encoder to the
    codebook. The returned vectors equal those of the codebook, but the gradient of a reconstruction
    passes straight through them to z, and does not reach the codebook. Cost: K d multiplications
    per vector. van den Oord et al. (2017), "Neural discrete representation learning", equation 3.
    """
    codes = nearest(codebook, features)
    return tied(codes, look_up(codebook, codes), features)


def tied(codes: Array, vectors: Array, features: Array) -> Quantised:
    """`quantise` for codes and vectors that are known: straight-through vectors, and both losses.

    codes: k, integers [...]; vectors: e_k [..., d]; features: z [..., d]

    Returns `Quantised`: vectors with the value e and the gradient of z, the codebook loss E ‖sg(z)
    - e‖² and the commitment loss E ‖z - sg(e)‖², sums over d and means over all vectors, where sg
    stops the gradient.
    """
    mean_square = lambda a, b: jnp.square(a - b).sum(-1).mean()
    return Quantised(
        codes,
        straight_through(vectors, features).astype(features.dtype),
        mean_square(stop_gradient(features), vectors),
        mean_square(features, stop_gradient(vectors)),
    )


def counts(codes: Array, num_codes: int) -> Array:
    """n_k = Σ [code = k] for k = 0..K-1: how often each code is used, integers [K].

    num_codes: K
    codes: integers of any shape; those that are none of 0..K-1 are not counted. The counts of an
        epoch are the sum of those of its batches. See `perplexity`.
    """
    num_codes = checks.positive_int(num_codes, "num_codes")
    check_codes(codes)
    ones = jnp.ones(codes.size, jnp.int32)
    return jax.ops.segment_sum(ones, codes.ravel(), num_codes)


def perplexity(counts: Rows) -> Array:
    """exp(-Σ_k p_k log p_k), p_k = n_k / Σ_j n_j: the effective number of codes in use, 1..K.

    counts: n_k, how often each code was used, [..., K], as `counts` gives; the sum is over the last
        axis. All codes used equally often have the perplexity K, a single one 1. n vectors have at
        most min(n, K), so add up the counts of a whole epoch. Counts that are all 0 have NaN

    Returns [...].
    """
    checks.rows_of(counts, "counts")
    if not jnp.ndim(counts):
        raise checks.InputError("counts must be one of each code, [..., K]; got one number.")
    shares = counts / counts.sum(-1, keepdims=True)
    return jnp.exp(-jax.scipy.special.xlogy(shares, shares).sum(-1))


def _check(codebook, features):
    checks.floating(codebook, "codebook", (None, None))
    checks.floating(features, "features")
    if jnp.shape(features)[-1:] != codebook.shape[1:] or 0 in codebook.shape:
        raise checks.InputError(
            f"features must be vectors of as many numbers as those of the codebook "
            f"{codebook.shape}, [..., {codebook.shape[1]}]; got {jnp.shape(features)}."
        )


def check_codes(codes: Array) -> None:
    """Checks for an array of integers of any shape, else `InputError`; returns nothing."""
    checks.array(codes, "codes")
    if not jnp.issubdtype(jnp.result_type(codes), jnp.integer):
        raise checks.InputError(f"codes must be integers; got {jnp.result_type(codes)}.")
