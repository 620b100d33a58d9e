"""The density-ratio trick: p(x) / q(x) for two distributions of which only samples are known.

A classifier T(x), in logits, of equally many samples of P and Q has the optimum T* = log p/q. The
mean of T* over samples of P is KL(P ‖ Q), without either density. Adversarial variational Bayes
computes its KL term in this way, and a FactorVAE its total correlation.
"""

import jax.numpy as jnp
from jax.nn import softplus

from .. import checks
from ..protocol import Array, Metrics


def density_ratio_loss(logits_p: Array, logits_q: Array) -> tuple[Array, Metrics]:
    """-E_P log σ(T(x)) - E_Q log σ(-T(x)), with the optimum T* = log p(x) / q(x); in nats.

    The loss of a classifier with logits T that tells samples of P, with density p, from samples of
    Q, with density q. Its minimum is log 4 - 2 JSD(P, Q); T = 0 has log 4.

    logits_p, logits_q: T at samples of P and of Q, any shapes. Each side is a separate mean, so
        unequal numbers of samples do not change T*

    Returns (loss, metrics): "accuracy", the fraction of samples on the right side of T = 0, where T
    > 0 is right for P, ties count ½ and both sides have equal weight; "ratio_kl", E_P T, the
    estimate of KL(P ‖ Q) in nats. Sugiyama, Suzuki and Kanamori (2012), "Density ratio estimation
    in machine learning".
    """
    logits_p, logits_q = _checked(logits_p, "logits_p"), _checked(logits_q, "logits_q")
    loss = softplus(-logits_p).mean() + softplus(logits_q).mean()
    right = 0.5 + 0.25 * (jnp.sign(logits_p).mean() - jnp.sign(logits_q).mean())
    return loss, {"accuracy": right, "ratio_kl": logits_p.mean()}


def ratio_kl(logits_p: Array) -> Array:
    """E_P T(x), which is KL(P ‖ Q) in nats if T = log p/q, the optimum of `density_ratio_loss`.

    logits_p: T at samples of P, any shape but not empty. Returns a scalar. For any other T it is
        not a bound: T = 0 gives 0, and T = 2 log p/q twice the KL. For a lower bound with any T see
        `f_bound` with "kl".
    """
    return _checked(logits_p, "logits_p").mean()


def _checked(logits, name):
    checks.floating(logits, name)
    checks.rows_of(logits, name)
    return jnp.asarray(logits)
