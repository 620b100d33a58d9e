"""A decoder with one trained standard deviation, for a Gaussian likelihood."""

import math

import jax.numpy as jnp

from .. import checks
from ..arrays import soft_bound
from ..protocol import Net

BOUND = 3.0  # of log σ, that of the law of likelihoods.gaussian()


def shared_scale(net: Net, *, scale: float = 1.0) -> Net:
    """z ↦ parameters of N(x_i; μ_i(z), σ²): means from a net, one trained σ for all x_i and z.

    A decoder for `likelihoods.gaussian()`, with which a plain decoder gives a σ_i(z) for each
    entry.

    net: z -> μ [..., m], one number per entry of x
    scale: σ at the start, in the units of x, above e^-3 and below e^3; others raise `ValueError`.
        It is trained as log σ = 3 tanh(r / 3), r any number, which keeps it in that range; so
        standardise the data

    Returns a net z -> f [..., 2 m], the parameters of that likelihood: for each entry i in turn the
    pair (-μ_i / σ, -r). Its own parameters are {"net": those of `net`, "log_scale": r []}. At the
    optimum σ² is the mean squared reconstruction error, so that the weight of the KL needs no
    tuning. Rybkin et al. (2021), "Simple and effective VAE training with calibrated decoders",
    section 3.
    """
    checks.noun(net, Net, "net")
    scale = checks.positive(scale, "scale")
    if abs(math.log(scale)) >= BOUND:
        raise checks.InputError(f"scale must lie within e^-3..e^3, 0.05..20; got {scale}.")

    def init(key):
        checks.key(key)
        start = BOUND * math.atanh(math.log(scale) / BOUND)
        return {"net": net.init(key), "log_scale": jnp.asarray(start, float)}

    def apply(params, *inputs, key=None):
        mean = net.apply(params["net"], *inputs, key=key)
        log_scale = params["log_scale"].astype(mean.dtype)
        whitened = -mean * jnp.exp(-soft_bound(log_scale, BOUND))  # the shift of ε = x / σ - μ / σ
        both = jnp.stack([whitened, jnp.broadcast_to(-log_scale, mean.shape)], -1)
        return both.reshape(*mean.shape[:-1], 2 * mean.shape[-1])

    return Net(init, apply)
