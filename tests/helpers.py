"""What many tests need: parameters moved off their initial values, and a log-det by autodiff."""

import jax
import jax.numpy as jnp
import numpy as np


def perturb(params, key, scale: float = 0.3):
    """θ + scale · N(0, I) on every floating leaf; integer leaves stay.

    Models start as the identity or a unit Gaussian, so an unperturbed test would test only that.
    """
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return treedef.unflatten(
        leaf + scale * jax.random.normal(k, jnp.shape(leaf), jnp.result_type(leaf))
        if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        else leaf
        for leaf, k in zip(leaves, keys, strict=True)
    )


def log_det_by_autodiff(function, x):
    """log |det ∂f/∂x| of one event of any shape, by d forward passes: the oracle of a log-det."""
    flat = jnp.ravel(x)
    jacobian = jax.jacfwd(lambda v: jnp.ravel(function(v.reshape(jnp.shape(x)))))(flat)  # [d, d]
    return jnp.linalg.slogdet(jacobian).logabsdet


def drawn(model, spread: float = 0.3, seed: int = 0):
    """Parameters N(0, spread²) of a net, flow or density, drawn on the host: nothing to compile."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, spread, a.shape), a.dtype), shapes)


def points(*shape: int, seed: int = 1):
    """Standard normal numbers, float32, drawn on the host."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)
