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
    """What became of features z [..., d].

    Both losses are sums over the d numbers of a vector, and means over all vectors.
    """

    codes: Array  # integers [..., *code_shape]; -1 where z or the codebook is NaN
    vectors: Array  # e [..., d], with the gradient of z: dL/dz = dL/de
    codebook_loss: Array  # E ‖sg(z) - e‖², which moves the codebook; 0 where no gradient does
    commitment_loss: Array  # E ‖z - sg(e)‖², which moves the encoder


class Quantiser(NamedTuple):
    """θ, s ↦ (z ↦ e): features to the vectors of codes, with a state s that no gradient moves.

    `apply(params, state, features, *, train, key=None)` -> (Quantised, state). With train=False
    the state comes back as it was. `vectors(params, state, codes)` -> [..., dim] looks codes up.
    `adapt(params, state, key, features)` -> (params, state) starts the codebook from a first batch
    of features; None where there is nothing to start.
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
    """argmin_k ‖z - e_k‖², integers [...], of a codebook e [K, d] and features z [..., d].

    Of equally near codes the lowest. Distances are float32 at least, and without ‖z‖², which is
    the same for all. A NaN or infinite feature has the code -1, and so has every one where the
    codebook has a NaN. No gradient. Cost: K d multiplications a vector.
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
    """e_k [..., d], the vectors of codes k [...], of a codebook e [K, d].

    NaN for a number that is no code of 0..K-1. The gradient reaches the codebook.
    """
    checks.floating(codebook, "codebook", (None, None))
    check_codes(codes)
    return (
        jnp.asarray(codebook)
        .at[codes]
        .get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
    )


def quantise(codebook: Array, features: Array) -> Quantised:
    """The nearest vector of the codebook e [K, d] for each of the features z [..., d].

    Two losses are returned separately; the loss of a VQ-VAE is codebook_loss + β commitment_loss =
    E ‖sg(z) - e‖² + β E ‖z - sg(e)‖², where sg stops the gradient. The first moves the codebook to
    the features, the second the encoder to the codebook. The returned vectors are those of the
    codebook, but a gradient of a reconstruction passes straight through them to z, and does not
    reach the codebook. van den Oord et al. (2017), "Neural discrete representation learning",
    equation 3.
    """
    codes = nearest(codebook, features)
    return tied(codes, look_up(codebook, codes), features)


def tied(codes: Array, vectors: Array, features: Array) -> Quantised:
    """`quantise` where the codes and their vectors e are known."""
    mean_square = lambda a, b: jnp.square(a - b).sum(-1).mean()
    return Quantised(
        codes,
        straight_through(vectors, features).astype(features.dtype),
        mean_square(stop_gradient(features), vectors),
        mean_square(features, stop_gradient(vectors)),
    )


def counts(codes: Array, num_codes: int) -> Array:
    """n_k = Σ [code = k] for k = 0..K-1: how often each code is used, integers [K].

    codes: integers of any shape; those that are none of 0..K-1, K = num_codes, are not counted. The
    counts of an epoch are the sum of those of its batches. See `perplexity`.
    """
    num_codes = checks.positive_int(num_codes, "num_codes")
    check_codes(codes)
    ones = jnp.ones(codes.size, jnp.int32)
    return jax.ops.segment_sum(ones, codes.ravel(), num_codes)


def perplexity(counts: Rows) -> Array:
    """exp(-Σ_k p_k log p_k) of shares p_k = n_k / n: how many codes are in use, 1..K.

    counts: n_k, [K]. A batch of n vectors has min(n, K) at most: count over a whole epoch. NaN of
    no counts.
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
    """`InputError` unless they are integers, of any shape."""
    checks.array(codes, "codes")
    if not jnp.issubdtype(jnp.result_type(codes), jnp.integer):
        raise checks.InputError(f"codes must be integers; got {jnp.result_type(codes)}.")
