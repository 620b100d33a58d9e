"""The VampPrior: a mixture of the approximate posteriors of a few trained pseudo-inputs."""

import functools

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import in_a_row
from ..protocol import LatentVariable, Rows, Shape, again
from .priors import Mixture


@checks.spelled
def vamp(
    model: LatentVariable,
    shape: int | Shape,
    *,
    num_pseudo_inputs: int,
    low: float,
    high: float,
    start: Rows | None = None,
) -> LatentVariable:
    """p(z) = 1/K Σ_k q(z | u_k): the model with its own posterior at K pseudo-inputs as prior.

    With all data as pseudo-inputs it would be the aggregate posterior, the optimal prior for the
    ELBO. The u_k are trained.

    model: with an encoder that sees x alone, such as a `vae`; one with `infer`, such as a `ladder`,
        raises `ValueError`. Its own prior is not used
    shape: of one x. num_pseudo_inputs: K
    low, high: the range of an entry of x, such as 0 and 1 for bits, 0 and 255 for levels; each u_k
        stays within it, with real values also for levels
    start: u at the start, [K, *shape], such as rows of the training data; by default uniform in the
        range

    Parameters {"model", "pseudo_inputs"}. In a conditional model the pseudo-inputs are shared by
    all conditions. Cost of log p(z): K passes of the encoder, and K densities q of each z. If q is
    a flow (`flow_posterior`), each of the K inverts it, which `flows.iaf` does one latent after the
    other, and `flows.realnvp` in one pass. Tomczak and Welling (2018), "VAE with a VampPrior",
    equation 9.
    """
    checks.noun(model, LatentVariable, "model")
    shape = checks.one_or_more(shape, "shape")
    num = checks.positive_int(num_pseudo_inputs, "num_pseudo_inputs")
    low, high = checks.number(low, "low"), checks.number(high, "high")
    if low >= high:
        raise checks.InputError(f"high must be above low={low}; got {high}.")
    if model.infer is not None:
        raise checks.InputError("model must infer by its posterior alone; got one with `infer`.")
    if start is not None:
        start = checks.on_host(start, "start")
        wanted = (num, *shape)
        if start.shape != wanted:
            raise checks.InputError(
                f"start must have shape [num_pseudo_inputs, *shape] = {wanted}; got {start.shape}."
            )
        checks.within(start, low, high, "start (of low..high)")

    def init(key):
        checks.key(key)
        model_key, inputs_key = jax.random.split(key)
        drawn = in_a_row(jax.random.uniform, inputs_key, (num, *shape), float, low, high)
        inputs = drawn if start is None else jnp.asarray(start, drawn.dtype)
        return {"model": model.init(model_key), "pseudo_inputs": inputs}

    def prior(params, cond=None, *, key=None):
        batch_shape = checks.condition(cond, model.cond_shape)

        def posterior(u):
            return model.posterior(params["model"], u, cond, key=again(key))

        inputs = _within(params["pseudo_inputs"], low, high)
        weights = jnp.full(num, -jnp.log(num), inputs.dtype)
        return Mixture(posterior, inputs, weights, batch_shape=batch_shape)

    def likelihood(params, z, cond=None, *, key=None):
        return model.likelihood(params["model"], z, cond, key=key)

    def posterior(params, x, cond=None, *, key=None):
        return model.posterior(params["model"], x, cond, key=key)

    return LatentVariable(init, prior, likelihood, posterior, cond_shape=model.cond_shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _within(u, low, high):
    """u clipped to low..high; the gradient of what lies at or beyond an end only leads inwards.

    That of a plain clip is 0 there, and inputs that start at rows of bits would never move.
    """
    return jnp.clip(u, low, high)


def _forward(u, low, high):
    return jnp.clip(u, low, high), u


def _backward(low, high, u, slope):
    outwards = ((u >= high) & (slope < 0)) | ((u <= low) & (slope > 0))  # a step is against it
    return (jnp.where(outwards, 0, slope),)


_within.defvjp(_forward, _backward)
