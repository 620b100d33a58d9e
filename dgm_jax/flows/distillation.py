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

    It is `objectives.reverse_kl` with the density of the teacher, `teacher` with `teacher_params`.

    The student, `pushforward(iaf, base)` or any reparametrised density, samples in one pass, and
    the teacher, a MAF or an autoregressive model, scores the samples in one pass: neither takes d
    passes. No data are needed, and the teacher gets no gradient.

    The loss is the mean of log p_S(x) - log p_T(x), which is 0 on every sample if both are equal.
    Its metrics report the two terms, with H(P_S) = H(base) + E log|det ∂x/∂z| exact in the base.
    (For a logistic base of scale s, H(base) is log s + 2 per coordinate.) The gradient is the same,
    because log p(z) does not depend on θ.
    Cost: one `forward_and_log_det` of the student, one `log_prob` of the teacher.
    van den Oord et al. (2018), "Parallel WaveNet", section 4.
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
