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
    """θ ← m_step(θ, s) with (s, metrics) = e_step(θ, batch): EM as an `Algorithm`.

    init: init(key) = θ_0
    e_step: e_step(params, batch) = (s, metrics): the expected sufficient statistics s of the batch
        under the posterior p_θ(z | x), a tree of means over the rows, and a dict of scalars. With
        `train(..., fixed=tree)` it is e_step(params, batch, fixed=tree)
    m_step: m_step(params, s) = the parameters that maximise E log p_θ(x, z) given s
    axis_name: of `jax.pmap`, over which s and the metrics are averaged; None under `jit`, where
        means over a sharded batch are already those of the whole batch

    If the batch is the whole data set, the log-likelihood never decreases (Dempster, Laird and
    Rubin, 1977, "Maximum likelihood from incomplete data via the EM algorithm", theorem 1); let the
    E-step return it as a metric to see this. The state is θ itself. Returns an `Algorithm`, for
    `learning.train` or `learning.fit`.

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
