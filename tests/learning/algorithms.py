"""A small algorithm of each kind, for what must hold of all: resuming, layouts, damage.

Each learns from batches x [rows, 4], draws random numbers where its kind does, and has a state of
about `width` times ten numbers.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import learning


def batch(step, seed=0):
    """The 32 rows of one step."""
    return np.random.default_rng([seed, step]).normal(size=(32, 4)).astype(np.float32)


def descent(width):
    def init(key):
        first, second = jax.random.split(key)
        return {
            "a": 0.3 * jax.random.normal(first, (4, width)),
            "b": jax.random.normal(second, (width,)) / width**0.5,
        }

    def loss(params, key, x):
        noisy = x + 0.1 * jax.random.normal(key, x.shape)
        return ((jnp.tanh(noisy @ params["a"]) @ params["b"] - x.sum(-1)) ** 2).mean(), {}

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    return learning.gradient_descent(init, loss, optimizer, ema_decay=0.99)


def players(width):
    """A generator that moves noise, and a critic that sees it and the data after batch norm."""

    def init(key):
        keys = jax.random.split(key)
        return {
            "critic": {"a": 0.3 * jax.random.normal(keys[0], (4, width)), "b": jnp.ones(width)},
            "generator": {"a": jax.random.normal(keys[1], (width, 4)) / width, "b": jnp.ones(4)},
        }

    def logits(params, x):
        return jnp.tanh(x @ params["a"]) @ params["b"] / params["b"].size

    def normalised(x, state):
        mean, var = x.mean(0), x.var(0)
        running = {"mean": 0.9 * state["mean"] + 0.1 * mean, "var": 0.9 * state["var"] + 0.1 * var}
        return (x - mean) / jnp.sqrt(var + 1e-3), running

    def judged(params, key, x, state):
        z = jax.random.normal(key, (len(x), params["generator"]["a"].shape[0]))
        made = z @ params["generator"]["a"] + params["generator"]["b"]
        both, running = normalised(jnp.concatenate([x, made]), state)
        return jnp.split(logits(params["critic"], both), 2), running

    def critic_loss(params, key, x, state, weights):
        (real, made), state = judged(params, key, x, state)
        penalty = weights["penalty"] * (real**2).mean()
        return (jax.nn.softplus(-real) + jax.nn.softplus(made)).mean() + penalty, ({}, state)

    def generator_loss(params, key, x, state, weights):
        (_, made), _ = judged(params, key, x, state)
        return jax.nn.softplus(-made).mean(), ({"fooled": (made > 0).mean()}, state)

    each = {
        "critic": learning.Player(critic_loss, optax.adam(1e-2), num_updates=3),
        "generator": learning.Player(generator_loss, optax.adam(1e-2), ema_decay=0.99),
    }
    return learning.alternate(
        each,
        init,
        init_state=lambda key, params: {"mean": jnp.zeros(4), "var": jnp.ones(4)},
        weights={"penalty": optax.linear_schedule(1.0, 0.0, 20)},
    )


def em(width):
    """A mixture of `width` Gaussians of variance one, by one step of EM a batch."""

    def init(key):
        return {"mean": jax.random.normal(key, (width, 4)), "logits": jnp.zeros(width)}

    def e_step(params, x):
        distance = ((x[:, None] - params["mean"]) ** 2).sum(-1)  # [rows, width]
        log_joint = jax.nn.log_softmax(params["logits"]) - distance / 2
        weight = jax.nn.softmax(log_joint)
        statistics = {"weight": weight.mean(0), "sum": weight.T @ x / len(x)}
        return statistics, {"log_prob": jax.nn.logsumexp(log_joint, -1).mean()}

    def m_step(params, statistics):
        weight = statistics["weight"] + 1e-6
        return {"mean": statistics["sum"] / weight[:, None], "logits": jnp.log(weight)}

    return learning.expectation_maximization(init, e_step, m_step)


def langevin(width):
    """Chains that sample N(mean of the batch, I), at a falling temperature of the schedule."""

    def score(x, batch):
        return batch.mean(0) - x

    return learning.langevin(
        lambda key: jax.random.normal(key, (width, 4)),
        score,
        optax.exponential_decay(0.1, 20, 0.5),
    )


@jax.jit
def distance(params):
    """The sum of the squares of all that an algorithm selects: a number to monitor."""
    return sum((leaf**2).sum() for leaf in jax.tree.leaves(params))


KINDS = {"descent": descent, "players": players, "em": em, "langevin": langevin}
