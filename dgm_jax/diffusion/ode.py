"""The probability-flow ODE: a diffusion model as a continuous flow, with its exact log p(x)."""

import math

import distrax
import jax.numpy as jnp

from .. import checks
from ..bijectors import Continuous, Field, Solver, divergence_by_autodiff, ode_solver
from ..distributions import Pushforward
from ..protocol import Density, Shape
from .denoiser import Denoiser
from .process import slopes


def ode_density(model: Denoiser, *, solver: Solver | None = None) -> Density:
    """p(x) of dx/dt = α'_t E[x | x_t] + σ'_t E[ε | x_t], from z ~ N(0, s² I) at t_1 to data at t_0.

    The probability-flow ODE as a continuous flow. If the score of the model is exact, its marginals
    at every t are those of the noising process. α_t and σ_t are those of x_t = α_t x + σ_t ε, α'
    and σ' their derivatives by t, s the `scale` of the process, and the means the predictions of
    the model. With u the right-hand side, log p(x) = log N(z; 0, s² I) + ∫ tr ∂u/∂x dt from t_0 to
    t_1 along the path that ends in z, in nats. The trace is exact (d derivatives of the net at each
    evaluation) or, if `dist` gets a key, Hutchinson's unbiased estimate (one derivative). Events
    are vectors [d], so flatten images; parameters are those of the denoiser. The density is that of
    x_{t_0}, whose noise σ_{t_0} is small; no noise is added to x here.

    model: a `Denoiser`; its condition, if any, is that of the density
    solver: made by `bijectors.ode_solver`; its time is set to that of the process. By default Tsit5
        with the tolerances of `ode_solver()`

    Cost: a sample is one solution of the ODE, some dozens of passes of the net. A solution that
    needs more than max_steps steps of the solver raises `InputError`; in traced code, such as
    `jit`, its results are NaN. Song et al. (2021), "Score-based generative modeling through
    stochastic differential equations", section 4.3.
    """
    checks.noun(model, Denoiser, "model")
    solver = ode_solver() if solver is None else solver
    checks.noun(solver, Solver, "solver")
    dim = math.prod(model.shape)

    def init(key):
        return model.init(key)

    def dist(params, cond=None, *, key=None):
        checks.parameters(params, init)
        batch_shape = checks.condition(cond, model.cond_shape)
        process = model.process(params)
        first, last = process.ends
        # A class alone, the condition of a model that a classifier guides, is held as a vector.
        alone = model.cond_shape == ()
        cond_shape = (1,) if alone else model.cond_shape
        cond = cond[..., None] if alone and cond is not None else cond

        def velocity(params, x, tau, cond=None):
            t = last - tau
            rows = x.reshape(-1, *model.shape)
            given = _rows(cond, cond_shape, x)
            found = model.predict(params, rows, t, given[:, 0] if alone else given)
            d_alpha, d_sigma = slopes(process, t)
            return -(d_alpha * found.data + d_sigma * found.noise).reshape(x.shape)

        bijector = Continuous(
            Field(init, velocity, divergence_by_autodiff(velocity)),
            params,
            dim,
            solver=solver._replace(time=last - first),
            cond=cond,
            cond_shape=cond_shape,
            key=key,
        )
        noise = distrax.MultivariateNormalDiag(jnp.zeros(dim), jnp.full(dim, process.scale))
        return Pushforward(noise, bijector, batch_shape=batch_shape)

    return Density(init, dist, cond_shape=model.cond_shape)


def _rows(cond, cond_shape: Shape | None, x):
    """The condition of each row of x."""
    if cond is None or cond_shape is None:
        return None
    return jnp.broadcast_to(cond, (*x.shape[:-1], *cond_shape)).reshape(-1, *cond_shape)
