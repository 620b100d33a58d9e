"""What the tests of several autoregressive models share: parameters, definitions, and learning."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import nets
from dgm_jax.autoregressive import density, table
from dgm_jax.learning import fit, gradient_descent
from dgm_jax.objectives import nll
from tests.contracts.compiled import jit


def drawn(model, scale=0.5):
    """Parameters N(0, scale²), drawn on the host."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, scale, a.shape), a.dtype), shapes)


def by_definition(net, conditional, shape):
    """The density of a causal net whose samples take d full passes."""
    levels = conditional.encoding is not None
    slow = nets.naive(net.init, net.apply, int(np.prod(shape)), levels=levels)
    return density(slow._replace(cond_shape=net.cond_shape), conditional, shape)


def fitted(model, draw, num_steps, rate=1e-2, loss=None):
    """Parameters after so many steps on fresh draws, of the negative log-likelihood by default."""
    loss = loss or (lambda p, key, x: nll(model, p, key, x))
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, num_steps))
    descent = gradient_descent(model.init, loss, optimizer)
    run = jit(
        lambda key: fit(descent, key, lambda key, step: draw(key), num_steps=num_steps)[0].params
    )
    return run(jax.random.key(0))


# ------------------------------------------------------------------------------ known sequences
LEVELS = 3


def chain(dim):
    """p(x_i | x_{i-2}, x_{i-1}), the same at all places, a table of 27 numbers: a distribution.

    The first two places are drawn as if 0, 0 came before.
    """
    return table(dim, num_levels=LEVELS, window=2, shared=True).dist(
        {"logits": jnp.asarray(np.log(np.tile(transitions(), (3, 1, 1))), jnp.float32)}
    )


def transitions():
    """P[context, v], context = 3 x_{i-2} + x_{i-1}."""
    return np.random.default_rng(3).dirichlet(np.full(LEVELS, 0.5), LEVELS**2)


def entropy_rate():
    """-Σ_c π_c Σ_v P_cv log P_cv, with π stationary: π Q = π for the chain Q of pairs."""
    p = transitions()
    contexts = LEVELS**2
    q = np.zeros((contexts, contexts))
    for context in range(contexts):
        q[context, context % LEVELS * LEVELS + np.arange(LEVELS)] += p[context]
    pi = np.linalg.matrix_power(q, 1000)[0]
    return -(pi[:, None] * p * np.log(p)).sum()


def learned_chain(model, dim=20, num_steps=400, rate=2e-2):
    """Parameters of a model of sequences of this length, after so many steps on the chain."""
    sample = lambda key: chain(dim).sample(seed=key, sample_shape=64)
    return fitted(model, sample, num_steps, rate)


def costs_of_the_chain(model, params, dim=60, start=20):
    """-log q(x_i | x_<i) of fresh sequences from place `start` on, and what the truth says."""

    @jit
    def run(params, key):
        x = chain(dim).sample(seed=key, sample_shape=1000)
        both = (model.dist(params), chain(dim))
        return [-d.conditionals(x).log_prob(x)[:, start:] for d in both]

    return [np.asarray(a) for a in run(params, jax.random.key(9))]
