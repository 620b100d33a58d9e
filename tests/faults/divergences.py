"""Faults of f-divergences, of the density-ratio trick and of adversarial variational Bayes."""

from tests.faults.planting import Fault

F_DIVERGENCES = "dgm_jax/objectives/f_divergences.py"
RATIO = "dgm_jax/objectives/density_ratio.py"
AVB = "dgm_jax/gans/avb.py"

FAULTS = (
    Fault(
        "an-activation-of-another-divergence",
        "T110: the critic of Jensen-Shannon cannot reach log 2",
        F_DIVERGENCES,
        "lambda v: LOG_2 + log_sigmoid(v),",
        "lambda v: log_sigmoid(v),",
        (
            "objectives/test_f_divergences.py::"
            "test_the_activation_fills_the_domain_and_the_best_critic_lies_within"
        ),
    ),
    Fault(
        "a-conjugate-of-another-scale",
        "f* of (u - 1)² is that of half of it",
        F_DIVERGENCES,
        "lambda t: t**2 / 4 + t,",
        "lambda t: t**2 / 2 + t,",
        "objectives/test_f_divergences.py::test_f_is_the_conjugate_of_its_conjugate",
    ),
    Fault(
        "a-root-too-early",
        "Newton's iterations for Lambert's function end before the root",
        F_DIVERGENCES,
        "for _ in range(6)",
        "for _ in range(4)",
        (
            "objectives/test_f_divergences.py::"
            "test_the_conjugate_of_jeffreys_is_by_the_function_of_lambert"
        ),
    ),
    Fault(
        "a-generator-that-raises-the-bound",
        "T46: the sign of the generator's loss",
        F_DIVERGENCES,
        "return -divergence.conjugate_of_activation(fake_values).mean()",
        "return divergence.conjugate_of_activation(fake_values).mean()",
        (
            "objectives/test_f_divergences.py::"
            "test_the_generator_of_a_kl_lowers_its_part_of_the_bound"
        ),
    ),
    Fault(
        "a-power-that-overflows",
        "T46: e^(2 · 80) is infinite in float32",
        F_DIVERGENCES,
        "scale = max(1.0, abs(a), abs(b))",
        "scale = 1.0",
        "objectives/test_f_divergences.py::test_losses_and_gradients_are_finite_at_80",
    ),
    Fault(
        "a-ratio-upside-down",
        "the classifier learns log q/p",
        RATIO,
        "softplus(-logits_p).mean() + softplus(logits_q).mean()",
        "softplus(logits_p).mean() + softplus(-logits_q).mean()",
        (
            "objectives/test_density_ratio.py::"
            "test_the_lowest_classifier_is_the_log_ratio_and_its_mean_the_kl"
        ),
    ),
    Fault(
        "contrast-that-forgets-the-gaussian",
        "adaptive contrast: the critic's log q/r is taken for log q/p",
        AVB,
        "ratio = ratio + log_r - model.prior",
        "ratio = ratio - model.prior",
        (
            "gans/test_avb.py::"
            "test_with_adaptive_contrast_nothing_is_left_to_learn_of_a_gaussian_posterior"
        ),
    ),
    Fault(
        "a-critic-that-compares-two-draws-of-q",
        "both sides of the critic are drawn from the posterior",
        AVB,
        "other = model.prior(held).sample(seed=p_key, sample_shape=(len(x),))",
        "other = model.posterior(held, x).sample(seed=p_key)",
        "gans/test_avb.py::test_the_best_critic_is_log_q_less_log_p_and_its_mean_the_kl",
    ),
)
