"""What the experiments of this chapter share: exact scores, counted tables, maximum likelihood."""

import jax
import optax

from dgm_jax import autoregressive as ar
from dgm_jax.learning import gradient_descent
from dgm_jax.metrics import expected_log_prob
from dgm_jax.objectives import nll


def scorer(model):
    """scores(params, rows) -> log p [n] in nats, compiled once."""
    log_prob = jax.jit(lambda params, x: model.dist(params).log_prob(x))

    def scores(params, rows):
        one = lambda key, x: log_prob(params, x)  # noqa: E731
        return expected_log_prob(one, jax.random.key(0), rows)  # exact: the key is not used

    return scores


def fit_table(rows, dim, num_levels, smoothing, **table):
    """The table counted on the training split, smoothed as is best on the validation split.

    Returns the model, its parameters, their number, and log p [n] of the test split.
    """
    model = ar.table(dim, num_levels=num_levels, **table)
    scores = scorer(model)
    tried = [
        ar.fit_table(rows["train"], num_levels=num_levels, **table, smoothing=s) for s in smoothing
    ]
    params = max(tried, key=lambda p: scores(p, rows["valid"]).mean())
    num_params = ar.num_parameters(dim, num_levels, **table)
    return model, params, num_params, scores(params, rows["test"])


def maximum_likelihood(config, model):
    """AdamW on the negative log-likelihood; under many masks each step draws one of them."""
    rate = optax.cosine_decay_schedule(config.learning_rate, config.num_steps)
    return gradient_descent(
        model.init,
        lambda params, key, x: nll(model, params, key, x),
        optax.chain(
            optax.clip_by_global_norm(5.0), optax.adamw(rate, weight_decay=config.weight_decay)
        ),
        ema_decay=config.ema_decay,
    )
