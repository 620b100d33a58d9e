"""Neural ODE, CNF and FFJORD: flows that are the solution of an ordinary differential equation."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from .. import checks
from ..bijectors import Continuous, Field, divergence_by_autodiff, ode_solver
from ..bijectors.continuous import NOISES
from ..protocol import Array, Density, Flow, Key, Metrics, Params, Shape


def mlp_field(
    dim: int,
    *,
    hidden: Sequence[int],
    activation: Callable = jnp.tanh,
    cond_shape: Shape | None = None,
) -> Field:
    """f(x, t, c) = W_L s(... s(W_1 x + u_1) ...) + u_L, u_l = b_l + V_l [t, c]; starts as 0.

    The trace of ∂f/∂x is exact. With one hidden layer it costs O(H), and with two one product of
    H×H, less than f itself, by the diagonal slopes S_l of the layers:

        tr W_2 S_1 W_1     = Σ_i s_1i (W_1 W_2)_ii
        tr W_3 S_2 W_2 S_1 W_1 = s_2ᵀ (W_2 ∘ (W_1 W_3)ᵀ) s_1

    With more it costs d derivatives of f. activation: smooth, as an ODE solver wants.
    """
    checks.positive_int(dim, "dim")
    checks.cond_shape(cond_shape)
    checks.widths(hidden)
    if not hidden:
        raise ValueError("hidden must have at least one layer, such as (64, 64); got ().")
    checks.function(activation, "activation")
    widths = (dim, *hidden, dim)

    def init(key):
        checks.key(key)
        lecun = jax.nn.initializers.lecun_normal()
        layers = []
        for i, layer_key in enumerate(jax.random.split(key, len(hidden) + 1)):
            shape, context = widths[i : i + 2], (1 + math.prod(cond_shape or (0,)), widths[i + 1])
            kernel_key, context_key = jax.random.split(layer_key)
            last = i == len(hidden)
            layers.append(
                {
                    "kernel": jnp.zeros(shape) if last else lecun(kernel_key, shape),
                    "context": jnp.zeros(context) if last else lecun(context_key, context),
                    "bias": jnp.zeros(shape[1]),
                }
            )
        return layers

    def shift(layer, t, cond):
        t = jnp.reshape(t, (1,))
        if cond is not None:
            t = jnp.concatenate([jnp.broadcast_to(t, (*cond.shape[:-1], 1)), cond], -1)
        return t @ layer["context"] + layer["bias"]

    def velocity(params, x, t, cond=None):
        for layer in params[:-1]:
            x = activation(x @ layer["kernel"] + shift(layer, t, cond))
        return x @ params[-1]["kernel"] + shift(params[-1], t, cond)

    def divergence(params, x, t, cond=None):
        slopes = []  # s'(a) of each layer [..., H]
        for layer in params[:-1]:
            a = x @ layer["kernel"] + shift(layer, t, cond)
            x, slope = jax.jvp(activation, (a,), (jnp.ones_like(a),))
            slopes.append(slope)
        f = x @ params[-1]["kernel"] + shift(params[-1], t, cond)
        first, *middle, last = (layer["kernel"] for layer in params)  # [d, H_1], ..., [H_L, d]
        if not middle:
            return f, slopes[0] @ (first * last.T).sum(0)
        return f, (slopes[0] @ (middle[0] * (last @ first).T) * slopes[1]).sum(-1)

    cheap = len(hidden) <= 2
    return Field(init, velocity, divergence if cheap else divergence_by_autodiff(velocity))


def neural_ode(
    field: Field, dim: int, *, cond_shape: Shape | None = None, noise: str | None = None, **options
) -> Flow:
    """x = x(T) of dx/dt = f(x, t, c), x(0) = z, for any field; invertible as it stands.

    `bijector(params, cond, key=None)`: its log-det is exact, unless `noise` is named here
    (rademacher or gaussian) and a key is given there; then it is Hutchinson's estimate.
    options: those of `bijectors.ode_solver`. Errors and costs: see `bijectors.Continuous`.
    """
    checks.noun(field, Field, "field")
    checks.positive_int(dim, "dim")
    checks.cond_shape(cond_shape)
    solver = ode_solver(**options)

    def exact(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        return Continuous(field, params, dim, solver=solver, cond=cond)

    def estimated(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        return Continuous(field, params, dim, solver=solver, cond=cond, key=key, noise=noise)

    if noise is not None:
        checks.choice(noise, NOISES, "noise")
    return Flow(field.init, exact if noise is None else estimated)


def cnf(
    dim: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: Callable = jnp.tanh,
    cond_shape: Shape | None = None,
    **options,
) -> Flow:
    """The continuous normalizing flow of an `mlp_field`, log-det by the exact trace.

    options: those of `neural_ode`. Chen et al. (2018), "Neural ordinary differential equations".
    """
    field = mlp_field(dim, hidden=hidden, activation=activation, cond_shape=cond_shape)
    return neural_ode(field, dim, cond_shape=cond_shape, **options)


def ffjord(dim: int, *, noise: str = "rademacher", **options) -> Flow:
    """A `cnf` whose log-det is Hutchinson's estimate where a key is given, and exact without one.

    So `nll(model, params, key, x)` trains with the estimate, for O(1) derivatives of the field of
    whatever depth, and `model.dist(params).log_prob(x)` reports the exact density.
    Grathwohl et al. (2019), "FFJORD: free-form continuous dynamics".
    """
    return cnf(dim, noise=noise, **options)


def regularized_nll(
    model: Density,
    params: Params,
    key: Key | None,
    x: Array,
    cond: Array | None = None,
    *,
    kinetic: float = 0.01,
    frobenius: float = 0.01,
) -> tuple[Array, Metrics]:
    """E [-log p(x) + λ_K ∫ ‖f‖² dt + λ_J ∫ ‖∂f/∂x‖² dt]: paths that are short and straight.

    For a model `pushforward(flow, base)` with a continuous flow; its metrics have each term, the
    evaluations of f, and the `failure` of the path: where it is not 0, the loss and its gradient
    are NaN (outside of `jit` an error). Finlay et al. (2020), "How to train your neural ODE",
    section 4.
    """
    checks.noun(model, Density, "model")
    dist = model.dist(params, cond, key=key)
    if not isinstance(getattr(dist, "bijector", None), Continuous):
        raise ValueError(
            "model must be pushforward(flow, base) of one continuous flow, which has a path; "
            f"got a {type(dist).__name__}."
        )
    path = dist.bijector.inverse_path(x)
    nll = -(dist.distribution.log_prob(path.end) + path.log_det).mean()
    costs = {"kinetic": path.kinetic.mean(), "frobenius": path.frobenius.mean()}
    loss = nll + kinetic * costs["kinetic"] + frobenius * costs["frobenius"]
    told = {"num_evals": path.num_evals, "failure": path.failure}
    return loss, {"nll": nll, **costs, **told}
