"""The density-ratio trick: p(x) / q(x) of two distributions that one can only draw from.

A classifier T(x), in logits, that tells samples of P from samples of Q, as many of each, is at its
best T* = log p/q. So the mean of T* over samples of P is KL(P ‖ Q), with neither density known. An
adversarial variational Bayes takes its KL term from it, and a FactorVAE its total correlation.
"""

import jax.numpy as jnp
from jax.nn import softplus

from .. import checks
from ..protocol import Array, Metrics


def density_ratio_loss(logits_p: Array, logits_q: Array) -> tuple[Array, Metrics]:
    """-E_P log σ(T(x)) - E_Q log σ(-T(x)), whose lowest T is log p(x) / q(x); in nats.

    There it is log 4 - 2 JSD(P, Q); T = 0 has log 4. logits_p, logits_q: T at samples of P and of
    Q, any shapes. Each side is a mean of its own, so that unequal numbers of samples do not move
    T*. Metrics: "accuracy", the share of samples on the right side of T = 0 (ties count ½), and
    "ratio_kl", the estimate of KL(P ‖ Q).
    Sugiyama, Suzuki and Kanamori (2012), "Density ratio estimation in machine learning".
    """
    logits_p, logits_q = _checked(logits_p, "logits_p"), _checked(logits_q, "logits_q")
    loss = softplus(-logits_p).mean() + softplus(logits_q).mean()
    right = 0.5 + 0.25 * (jnp.sign(logits_p).mean() - jnp.sign(logits_q).mean())
    return loss, {"accuracy": right, "ratio_kl": logits_p.mean()}


def ratio_kl(logits_p: Array) -> Array:
    """E_P T(x), which is KL(P ‖ Q) in nats where T = log p/q, the best T of `density_ratio_loss`.

    It is no bound: a T that is not trained to the end says too little or too much. T = 0 says 0,
    and twice T* says twice the KL. A bound from below by any T is `f_bound` of "kl".
    """
    return _checked(logits_p, "logits_p").mean()


def _checked(logits, name):
    checks.floating(logits, name)
    checks.rows_of(logits, name)
    return jnp.asarray(logits)
