"""Probability density distillation: a fast sampler learns from a density that samples slowly."""

import distrax
import jax

from .. import checks
from ..objectives import mean_log_ratio
from ..protocol import Array, Density, Key, Metrics, Params, again


def distillation(
    student: Density,
    params: Params,
    key: Key,
    teacher: Density,
    teacher_params: Params,
    cond: Array | None = None,
    *,
    num_samples: int,
) -> tuple[Array, Metrics]:
    """KL(P_S ‖ P_T) = H(P_S, P_T) - H(P_S), in nats, over num_samples samples of the student.

    The loss is the mean of log p_S(x) - log p_T(x) over x ~ p_S, which is 0 on every sample if both
    are equal: `objectives.reverse_kl` with the density of the teacher. A student that is an IAF
    samples in one pass, and a MAF or autoregressive teacher scores the samples in one pass: neither
    takes d passes. No data are needed.

    student, params: `pushforward(flow, base)`, else InputError, and its parameters, which are
        trained
    key: of the samples, and of dropout in the student
    teacher, teacher_params: any density of the same events; it gets no gradient and no dropout
    cond: conditions of both, [*batch, *cond_shape], with num_samples samples for each; None for
        none
    num_samples: how many samples the means are over
    Returns (loss, metrics), with "kl" (the loss), "entropy" H(P_S) = H(base) + E log|det ∂x/∂z|,
    exact in the base, and "cross_entropy" H(P_S, P_T) = -E log p_T(x), all in nats per event. The
    gradient of the loss is that of the difference of the two, because log p(z) does not depend on
    θ.
    Cost: one `forward_and_log_det` of the student, one `log_prob` of the teacher. van den Oord et
    al. (2018), "Parallel WaveNet", section 4.
    """
    checks.noun(student, Density, "student")
    checks.parameters(params, student.init)
    checks.key(key)
    num_samples = checks.positive_int(num_samples, "num_samples")
    dist = student.dist(params, cond, key=jax.random.fold_in(again(key), 1))
    if not isinstance(dist, distrax.Transformed):
        raise checks.InputError(
            "student must be pushforward(flow, base), which tells its noise from its map; "
            f"got a {type(dist).__name__}."
        )
    checks.noun(teacher, Density, "teacher")
    checks.parameters(teacher_params, teacher.init)
    z, log_base = dist.distribution.sample_and_log_prob(seed=key, sample_shape=(num_samples,))
    x, log_det = dist.bijector.forward_and_log_det(z)
    log_teacher = teacher.dist(jax.lax.stop_gradient(teacher_params), cond).log_prob(x)
    loss = mean_log_ratio(log_base - log_det, log_teacher)
    entropy = (dist.distribution.entropy() + log_det).mean()
    return loss, {"kl": loss, "entropy": entropy, "cross_entropy": -log_teacher.mean()}
