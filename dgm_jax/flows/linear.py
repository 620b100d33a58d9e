"""Linear flows x = W z, with W in factors whose inverse and log-determinant are cheap.

With event_ndims=3 they map the channels of images [..., H, W, C], the same way at every pixel.
They take no condition.
"""

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..bijectors import Diagonal, Orthogonal, Permutation, Triangular, householder
from ..protocol import Flow


def diagonal(dim: int, *, event_ndims: int = 1) -> Flow:
    """x = e^s ⊙ z, with log|det ∂x/∂z| = Σ_i s_i, s trained [dim]. Starts as the identity.

    dim: the size of vectors [..., dim]
    event_ndims: 1 for vectors, 3 for the channels of images [..., H, W, dim], where log|det| is H·W
        times as large
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Lecture: linear flows.
    """
    dim = checks.positive_int(dim, "dim")
    event_ndims = checks.positive_int(event_ndims, "event_ndims")

    def init(key):
        checks.key(key)
        return {"log_scale": jnp.zeros(dim)}

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return Diagonal(params["log_scale"], event_ndims=event_ndims)

    return Flow(init, bijector)


def triangular(dim: int, *, lower: bool = True, event_ndims: int = 1) -> Flow:
    """x = M z, M triangular with diagonal e^s, and log|det M| = Σ_i s_i. Starts as the identity.

    dim: the size of M, for vectors [..., dim]
    lower: whether M is lower or upper triangular
    event_ndims: 1 for vectors, 3 for the channels of images [..., H, W, dim], where log|det| is H·W
        times as large
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: O(dim²) per example
    in both directions; the inverse is a substitution. Lecture: linear flows.
    """
    dim = checks.positive_int(dim, "dim")
    event_ndims = checks.positive_int(event_ndims, "event_ndims")
    lower = checks.flag(lower, "lower")

    def init(key):
        checks.key(key)
        return {"matrix": jnp.zeros((dim, dim)), "log_diagonal": jnp.zeros(dim)}

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return Triangular(
            params["matrix"], params["log_diagonal"], lower=lower, event_ndims=event_ndims
        )

    return Flow(init, bijector)


def plu(dim: int, *, seed: int = 0, event_ndims: int = 1) -> Flow:
    """x = P L U z, with L unit lower and U upper triangular; log|det| = Σ_i log u_ii.

    P is a fixed permutation; L and U are trained, with u_ii = e^s_i > 0. It starts as an orthogonal
    matrix: for a random rotation R = P_R L U, the product P L U = P P_Rᵀ R is orthogonal, and the
    signs of its columns are chosen such that u_ii > 0.

    dim: the size of P, L and U, for vectors [..., dim]
    seed: of the permutation P, which is part of the flow and not of its parameters
    event_ndims: 1 for vectors, 3 for the channels of images [..., H, W, dim], where log|det| is H·W
        times as large
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: O(d²) both ways,
    O(d) for the log-det. Kingma and Dhariwal (2018), "Glow", eq. 10.
    """
    dim = checks.positive_int(dim, "dim")
    event_ndims = checks.positive_int(event_ndims, "event_ndims")
    seed = checks.integer(seed, "seed")
    permutation = Permutation(np.random.default_rng(seed).permutation(dim), event_ndims=event_ndims)

    def init(key):
        checks.key(key)
        _, lower, upper = jax.scipy.linalg.lu(jax.random.orthogonal(key, dim))
        diagonal = jnp.diag(upper)
        signs = jnp.where(diagonal < 0, -1.0, 1.0)
        return {
            "lower": jnp.tril(lower, -1),
            "upper": jnp.triu(upper * signs[None], 1),
            "log_diagonal": jnp.log(jnp.abs(diagonal)),
        }

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, None)
        unit = jnp.zeros_like(params["log_diagonal"])
        return distrax.Chain(
            [
                permutation,
                Triangular(params["lower"], unit, lower=True, event_ndims=event_ndims),
                Triangular(
                    params["upper"], params["log_diagonal"], lower=False, event_ndims=event_ndims
                ),
            ]
        )

    return Flow(init, bijector)


def qr(dim: int, *, num_reflections: int | None = None, event_ndims: int = 1) -> Flow:
    """x = Q R z, Q = H_1 ... H_k a product of Householder reflections, R upper triangular.

    H_j = I - 2 v_j v_jᵀ / ‖v_j‖², so that Q is orthogonal for any v_j, and log|det| = Σ_i log r_ii,
    with r_ii = e^s_i > 0. Starts with R = I and a random Q.

    dim: d, the size of Q and R
    num_reflections: k; with k = d, the default, every orthogonal Q of determinant (-1)^d can be
        reached
    event_ndims: 1 for vectors [..., dim], 3 for the channels of images [..., H, W, dim], where
        log|det| is H·W times as large
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: O(d²k) for Q, once
    per call, and O(d²) per example, in both directions. Tomczak and Welling (2016), "Improving
    variational auto-encoders using Householder flow"; Hoogeboom et al. (2019), "Emerging
    convolutions", section 4.
    """
    dim = checks.positive_int(dim, "dim")
    event_ndims = checks.positive_int(event_ndims, "event_ndims")
    k = dim if num_reflections is None else num_reflections
    k = checks.positive_int(k, "num_reflections")

    def init(key):
        checks.key(key)
        return {
            "reflections": jax.random.normal(key, (k, dim)),
            "upper": jnp.zeros((dim, dim)),
            "log_diagonal": jnp.zeros(dim),
        }

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return distrax.Chain(
            [
                Orthogonal(householder(params["reflections"]), event_ndims=event_ndims),
                Triangular(
                    params["upper"], params["log_diagonal"], lower=False, event_ndims=event_ndims
                ),
            ]
        )

    return Flow(init, bijector)
