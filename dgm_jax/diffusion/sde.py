"""The reverse of the noising SDE, solved by diffrax: samples of the same law as the ODE's."""

import diffrax
import jax
import jax.numpy as jnp
import lineax  # linear maps, as diffrax takes them

from .. import checks
from ..arrays import in_a_row
from ..protocol import Array, Key, Params
from .denoiser import Denoiser
from .process import drift_and_diffusion


def reverse_sde(
    model: Denoiser,
    params: Params,
    key: Key,
    num: int,
    cond: Array | None = None,
    *,
    num_steps: int,
) -> Array:
    """dx = (f x - g² ∇ log q(x_t)) dt + g dW, from t_1 down to t_0: samples by the reverse SDE.

    The process is x_t = α_t x + σ_t ε for t in [t_0, t_1]. As an SDE it is dx = f_t x dt + g_t dW,
    W Brownian motion, with f = d log α / dt and g² = dσ²/dt - 2 f σ². The score is -E[ε | x_t] /
    σ_t by the model. It starts from N(0, scale² I), with the `scale` of the process, takes
    Euler-Maruyama steps of equal size, and returns E[x | x_{t_0}], [num, *shape]. With the exact
    score x_t has the law of the process at every t, as along the ODE; the noise corrects errors of
    the score on the way.

    model: made by `denoiser`; params: its parameters
    key: draws the start and the Brownian paths
    num: the number of samples. Each has a Brownian path from a key of its own, which depends
        neither on num nor on num_steps: more steps approximate the same sample better
    cond: [num, *cond_shape], or None
    num_steps: the number of Euler steps, at least 1

    Cost: num_steps + 1 passes of the net. Anderson (1982), "Reverse-time diffusion equation
    models"; Song et al. (2021), "Score-based generative modeling through stochastic differential
    equations", equation 6.
    """
    checks.noun(model, Denoiser, "model")
    checks.key(key)
    num = checks.positive_int(num, "num")
    num_steps = checks.positive_int(num_steps, "num_steps")
    checks.parameters(params, model.init)
    checks.condition(cond, model.cond_shape)
    process = model.process(params)
    first, last = process.ends

    def predict(x, t, cond):
        """Of one sample."""
        found = model.predict(params, x[None], t, None if cond is None else cond[None])
        return found.data[0], found.noise[0]

    def drift(tau, x, cond):
        t = last - tau
        f, g2 = drift_and_diffusion(process, t)
        _, noise = predict(x, t, cond)
        return -(f * x + g2 * noise / process.sigma(t))

    def spread(tau, x, cond):
        _, g2 = drift_and_diffusion(process, last - tau)
        return lineax.DiagonalLinearOperator(jnp.broadcast_to(jnp.sqrt(g2), x.shape))

    def one(i, cond):
        start_key, path_key = jax.random.split(jax.random.fold_in(key, i))
        x = process.scale * in_a_row(jax.random.normal, start_key, model.shape)
        step = (last - first) / num_steps
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        # The tree splits its key along a search, which JAX takes for a second use of a typed one.
        raw = jax.random.key_data(path_key)
        path = diffrax.VirtualBrownianTree(0.0, last - first, step / 2, shape, raw)
        terms = diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(spread, path))
        grid = jnp.linspace(0.0, last - first, num_steps + 1)
        found = diffrax.diffeqsolve(
            terms,
            diffrax.Euler(),
            0.0,
            last - first,
            None,
            x,
            args=cond,
            stepsize_controller=diffrax.StepTo(ts=grid),
            max_steps=num_steps,
        )
        return predict(found.ys[-1], jnp.asarray(first), cond)[0]

    return jax.vmap(one, in_axes=(0, None if cond is None else 0))(jnp.arange(num), cond)
