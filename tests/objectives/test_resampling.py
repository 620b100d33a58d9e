"""The posterior of an importance weighted autoencoder lies between q and the exact one."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.objectives import importance_resampled, log_weights
from tests.contracts.compiled import jit
from tests.objectives import linear

X = jnp.float32([[-2.0], [0.3], [1.7]])


def test_its_elbo_lies_between_the_bound_and_the_likelihood():
    """L_K ≤ ELBO(q*) ≤ log p, of E log p(x, z) - log q*(z); q* is known from 500 draws."""
    model, params, num = linear.model(), linear.numbers(), 4

    @jit
    def find(key, draw_key):
        q = importance_resampled(model, params, X, num_samples=num, num_draws=500)
        z = q.sample(seed=draw_key, sample_shape=16_000)
        log_joint = model.likelihood(params, z).log_prob(X) + model.prior(params).log_prob(z)
        log_w = log_weights(model, params, key, X, num_samples=num * 16_000)
        log_w = log_w.reshape(num, 16_000, len(X))
        return log_joint - q.log_prob(z), jax.nn.logsumexp(log_w, 0) - np.log(num), z

    of_q, bound, z = jax.device_get(find(*jax.random.split(jax.random.key(0))))
    gap = of_q.mean(0) - bound.mean(0)
    error = np.sqrt((of_q.var(0) + bound.var(0)) / 16_000)
    assert (gap > 4 * error).all()
    below = linear.log_prob(X[:, 0]) - of_q.mean(0)
    assert (below > 0).all()
    exact = linear.exact()["encoder"]
    q = linear.numbers()["encoder"]
    wanted, proposal = (e["a"] * X[:, 0] + e["b"] for e in (exact, q))
    assert (np.abs(z.mean((0, 2)) - wanted) < 0.5 * np.abs(proposal - wanted)).all()
