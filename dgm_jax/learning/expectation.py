"""Expectation maximisation as an `Algorithm`: no gradients, and the likelihood never decreases."""

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

    e_step computes the expected sufficient statistics s of the batch under the posterior p_θ(z |
    x). m_step returns the parameters that maximise E log p_θ(x, z) given s. If the batch is the
    whole data set, the log-likelihood never decreases (Dempster, Laird & Rubin, 1977, theorem 1);
    let the E-step return it as a metric to see this in every row. The state is θ itself.

    s is any tree. It should hold means over the rows of the batch: under `jit` with a sharded batch
    they are means over the whole batch, and under `jax.pmap` they are averaged over `axis_name`,
    as the metrics are. With `train(..., fixed=tree)` the E-step is e_step(θ, batch, fixed=tree).

    Nothing is random and no step is skipped: NaN in a metric or in the parameters ends `train`.
    Raises `ValueError` for an argument that is not a function.
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
