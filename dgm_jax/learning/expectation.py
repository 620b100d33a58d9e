"""Expectation maximisation as an `Algorithm`: no gradients, and the likelihood never falls."""

from collections.abc import Callable
from typing import Any

import jax

from .. import checks
from ..protocol import Algorithm, Key, Metrics, Params
from .descent import check_axis_name, check_metrics, extras, pair


def expectation_maximization(
    init: Callable[[Key], Params],
    e_step: Callable[..., tuple[Any, Metrics]],
    m_step: Callable[[Params, Any], Params],
    *,
    axis_name: str | None = None,
) -> Algorithm:
    """θ ← m_step(θ, s) with (s, metrics) = e_step(θ, batch), from θ_0 = init(key).

    The E-step computes the expected statistics s of the batch under the posterior p_θ(z | x), and
    the M-step the parameters that maximise E log p_θ(x, z) given these. With all of the data as
    the batch the log-likelihood never falls (Dempster, Laird & Rubin, 1977, theorem 1); an E-step
    that returns it as a metric shows it in every row. The state is θ itself.

    s is any tree. Let it hold means over the rows of the batch: under `jit` with a sharded batch
    they are those of the whole batch, and under `jax.pmap` they are averaged over `axis_name`,
    as the metrics are. With `train(..., fixed=tree)` the E-step is e_step(θ, batch, fixed=tree).

    Nothing is drawn, and nothing is skipped: NaN in a metric or in the parameters ends `train`.
    Raises `ValueError` for what is not a function.
    """
    for function, name in ((init, "init"), (e_step, "e_step"), (m_step, "m_step")):
        checks.function(function, name)
    check_axis_name(axis_name)

    def step(params, key, batch, fixed=None):
        found = e_step(params, batch, **extras(None, None, fixed))
        statistics, metrics = pair(found, "e_step", "statistics")
        check_metrics(metrics, "e_step")
        if axis_name is not None:
            statistics, metrics = jax.lax.pmean((statistics, metrics), axis_name)
        return m_step(params, statistics), metrics

    return Algorithm(init, step)
