"""The neural ODE: a flow that is the solution of an ordinary differential equation."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import as_vectors, same_rank
from ..bijectors import Continuous, Field, Solver, divergence_by_autodiff
from ..bijectors.continuous import DEFAULT_SOLVER, NOISES
from ..protocol import Flow, Shape


@checks.spelled
def mlp_field(
    dim: int,
    *,
    hidden: Sequence[int],
    activation: Callable = jnp.tanh,
    cond_shape: Shape | None = None,
) -> Field:
    """f(x, t, c) = W_L s(... s(W_1 x + u_1) ...) + u_L, u_l = b_l + V_l [t, c]; starts as 0.

    The velocity of a neural ODE, x [..., dim] -> [..., dim], and the trace of ∂f/∂x, exact. With
    one hidden layer of H units the trace costs O(H), with two one product of H×H, less than f
    itself; with more layers d derivatives of f. With S_l = diag(s_l), the slopes of the activation
    in layer l:

        tr W_2 S_1 W_1     = Σ_i s_1i (W_1 W_2)_ii
        tr W_3 S_2 W_2 S_1 W_1 = s_2ᵀ (W_2 ∘ (W_1 W_3)ᵀ) s_1

    dim: the size of x
    hidden: the widths of the hidden layers, at least one
    activation: s, by default tanh; it should be smooth, for the ODE solver
    cond_shape: of a condition c [..., *cond_shape], flattened to a vector; None for none
    Returns a `bijectors.Field`, which holds f and the trace of its derivative: the argument `field`
    of `flows.neural_ode`. Lecture: neural ODEs.
    """
    dim = checks.positive_int(dim, "dim")
    cond_shape = checks.cond_shape(cond_shape)
    hidden = checks.widths(hidden, fewest=1)
    checks.function(activation, "activation")
    widths = (dim, *hidden, dim)
    context_dim = 1 + (math.prod(cond_shape) if cond_shape else 0)

    def init(key):
        checks.key(key)
        *inner, last = jax.random.split(key, len(hidden) + 1)
        layers = [_layer(k, *widths[i : i + 2], context_dim) for i, k in enumerate(inner)]
        zeros = jax.eval_shape(lambda: _layer(last, *widths[-2:], context_dim))
        return [*layers, jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), zeros)]

    def context(t, cond):  # what all layers see beside x: [t, c]
        t = jnp.reshape(t, (1,))
        if cond is None or cond_shape is None:
            return t
        c = as_vectors(cond, len(cond_shape))
        return jnp.concatenate([jnp.broadcast_to(t, (*c.shape[:-1], 1)), c], -1)

    def velocity(params, x, t, cond=None):
        seen = context(t, cond)
        for layer in params[:-1]:
            x = activation(_affine(layer, x, seen))
        return _affine(params[-1], x, seen)

    def divergence(params, x, t, cond=None):
        seen, slopes = context(t, cond), []  # s'(a) of each layer [..., H]
        for layer in params[:-1]:
            a = _affine(layer, x, seen)
            x, slope = jax.jvp(activation, (a,), (jnp.ones_like(a),))
            slopes.append(slope)
        return _affine(params[-1], x, seen), _trace([p["kernel"] for p in params], slopes)

    cheap = len(hidden) <= 2
    return Field(init, velocity, divergence if cheap else divergence_by_autodiff(velocity))


def _layer(key, num_in, num_out, context_dim):
    lecun = jax.nn.initializers.lecun_normal()
    kernel_key, context_key = jax.random.split(key)
    return {
        "kernel": lecun(kernel_key, (num_in, num_out)),
        "context": lecun(context_key, (context_dim, num_out)),
        "bias": jnp.zeros(num_out),
    }


def _affine(layer, x, context):
    moved, offset, bias = same_rank(x @ layer["kernel"], context @ layer["context"], layer["bias"])
    return moved + (offset + bias)


def _trace(kernels, slopes):
    """tr ∂f/∂x of one or two hidden layers, from the kernels [d, H_1], ..., [H_L, d]."""
    first, *middle, last = kernels
    if not middle:
        return slopes[0] @ (first * last.T).sum(0)
    return (slopes[0] @ (middle[0] * (last @ first).T) * slopes[1]).sum(-1)


@checks.spelled
def neural_ode(
    field: Field,
    dim: int,
    *,
    cond_shape: Shape | None = None,
    noise: str | None = None,
    solver: Solver = DEFAULT_SOLVER,
) -> Flow:
    """x = x(T), x(0) = z, dx/dt = f(x, t, c), with log|det ∂x/∂z| = ∫_0^T tr ∂f/∂x dt.

    The inverse solves the ODE from T to 0. It exists for any f that is Lipschitz continuous in x,
    as a net with activations of bounded slope is. Apart from this, f may have any form.

    field: f, with its trace, such as `mlp_field(dim, hidden=(64, 64))`
    dim: the number of coordinates of x [..., dim]
    cond_shape: the shape of one condition c [..., *cond_shape] of f; None for none
    noise: None for the exact trace, of up to dim derivatives of f; "rademacher" or "gaussian" for
        Hutchinson's unbiased estimate εᵀ (∂f/∂x) ε, of one derivative, with ε of this distribution
        if the bijector gets a key. Without a key the trace is exact
    solver: T (by default 1), tolerances and how gradients are computed: `bijectors.ode_solver`
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: six evaluations of f
    per step of the solver. If the solver fails, it raises InputError, or under `jit` returns NaN
    (`bijectors.Continuous`). Chen et al. (2018), "Neural ordinary differential equations";
    Grathwohl et al. (2019), "FFJORD", for the estimate.
    """
    checks.noun(field, Field, "field")
    dim = checks.positive_int(dim, "dim")
    cond_shape = checks.cond_shape(cond_shape)
    checks.noun(solver, Solver, "solver")
    if noise is not None:
        checks.choice(noise, NOISES, "noise")

    def bijector(params, cond=None, *, key=None):
        given: dict[str, Any] = {} if noise is None else {"key": key, "noise": noise}
        return Continuous(
            field, params, dim, solver=solver, cond=cond, cond_shape=cond_shape, **given
        )

    return Flow(field.init, bijector, cond_shape=cond_shape)
