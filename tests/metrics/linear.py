"""A model whose log p(x) is known: z ~ N(0, I), x | z ~ N(W z + b, s² I), and a q that is wrong."""

import distrax
import jax.numpy as jnp
import numpy as np

from dgm_jax.distributions import standard_normal
from dgm_jax.protocol import Density, LatentVariable
from dgm_jax.vae import hierarchy

SCALE = 0.6
W = np.array([[1.5, 0.3], [0.2, -1.0], [0.7, 0.7], [-0.4, 0.1]], np.float32)
PARAMS = {"weights": W, "mean": np.array([0.2, -0.1, 0.0, 1.0], np.float32)}


def normal(mean, scale):
    return distrax.MultivariateNormalDiag(mean, jnp.full_like(mean, scale))


def model(as_tree: bool = False) -> LatentVariable:
    """q is the exact posterior's mean, too narrow and moved. as_tree: z in two groups."""

    def prior(params, cond=None, *, key=None):
        if as_tree:
            return distrax.Joint({"a": normal(jnp.zeros(1), 1.0), "b": normal(jnp.zeros(1), 1.0)})
        return normal(jnp.zeros(2), 1.0)

    def likelihood(params, z, cond=None, *, key=None):
        z = jnp.concatenate([z["a"], z["b"]], -1) if as_tree else z
        shift = 0 if cond is None else cond
        return normal(z @ params["weights"].T + params["mean"] + shift, SCALE)

    def posterior(params, x, cond=None, *, key=None):
        w = params["weights"]
        shift = 0 if cond is None else cond
        gain = jnp.linalg.solve(w.T @ w + SCALE**2 * jnp.eye(2), w.T)
        mean = (x - params["mean"] - shift) @ gain.T + 0.2
        if as_tree:
            return distrax.Joint({"a": normal(mean[..., :1], 0.5), "b": normal(mean[..., 1:], 0.5)})
        return normal(mean, 0.5)

    return LatentVariable(lambda key: PARAMS, prior, likelihood, posterior, cond_shape=None)


def conditional() -> LatentVariable:
    return model()._replace(cond_shape=(1,))


B = np.array([[0.8], [-0.5]], np.float32)


def two_layers() -> LatentVariable:
    """z_2 ~ N(0, 1), z_1 | z_2 ~ N(B z_2, s² I) and the x of z_1 as above; each q is wrong."""

    def linear(matrix, shift, scale):
        def dist(params, cond=None, *, key=None):
            return normal(cond @ params["matrix"].T + shift, scale)

        return Density(lambda key: {"matrix": matrix}, dist, cond_shape=matrix.shape[1:])

    gain = np.linalg.solve(W.T @ W + SCALE**2 * np.eye(2), W.T).astype(np.float32)
    up = [linear(gain, 0.1, 0.5), linear(B.T / 2, 0.2, 0.8)]
    down = [linear(B, 0.0, SCALE), standard_normal(1)]
    return hierarchy(up, down, linear(W, PARAMS["mean"], SCALE))


def log_evidence(x, cond=0.0, of_z=None):
    """log N(x; b + c, W C Wᵀ + s² I) for z of covariance C, in float64."""
    of_z = np.eye(2) if of_z is None else of_z
    covariance = W.astype(float) @ of_z @ W.T + SCALE**2 * np.eye(4)
    x = np.asarray(x, float) - PARAMS["mean"] - cond
    quadratic = (x * np.linalg.solve(covariance, x.T).T).sum(-1)
    return -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])


X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32) * 1.5
