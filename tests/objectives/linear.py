"""A model whose bounds and gradients are known: z ~ N(m, 1), x | z ~ N(w z, 1), in one dimension.

The posterior is N(a x + b, s²); the exact one has a = w / (1 + w²), b = m / (1 + w²) and
s² = 1 / (1 + w²).
"""

import distrax
import jax.numpy as jnp
import numpy as np

from dgm_jax.protocol import LatentVariable

START = {"decoder": {"m": 0.3, "w": 1.5}, "encoder": {"a": 0.2, "b": -0.4, "log_s": -0.4}}


def numbers(tree=START):
    return {part: {k: jnp.float32(v) for k, v in of.items()} for part, of in tree.items()}


def exact(m=0.3, w=1.5):
    of_q = {"a": w / (1 + w**2), "b": m / (1 + w**2), "log_s": -0.5 * np.log(1 + w**2)}
    return numbers({"decoder": {"m": m, "w": w}, "encoder": of_q})


def normal(mean, scale=1.0):
    return distrax.MultivariateNormalDiag(mean, jnp.broadcast_to(scale, mean.shape))


def model():
    def posterior(params, x, cond=None, *, key=None):
        q = params["encoder"]
        return normal(q["a"] * x + q["b"], jnp.exp(q["log_s"]))

    return LatentVariable(
        lambda key: numbers(),
        prior=lambda params, cond=None, *, key=None: normal(params["decoder"]["m"] * jnp.ones(1)),
        likelihood=lambda params, z, cond=None, *, key=None: normal(params["decoder"]["w"] * z),
        posterior=posterior,
    )


def shared():
    """One number w in the prior N(w, 1), the likelihood N(w z, 1) and the posterior N(w x, ½²)."""
    return LatentVariable(
        lambda key: {"w": jnp.float32(0.7)},
        prior=lambda params, cond=None, *, key=None: normal(params["w"] * jnp.ones(1)),
        likelihood=lambda params, z, cond=None, *, key=None: normal(params["w"] * z),
        posterior=lambda params, x, cond=None, *, key=None: normal(params["w"] * x, 0.5),
    )


def log_prob(x, m=0.3, w=1.5):
    """log N(x; w m, 1 + w²), float64."""
    variance = 1 + w**2
    return -0.5 * (np.log(2 * np.pi * variance) + (np.float64(x) - w * m) ** 2 / variance)
