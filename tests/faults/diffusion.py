"""Faults of diffusion: variances, bounds, targets, guidance, samplers, scores."""

from tests.faults.planting import Fault

CHAIN = "dgm_jax/diffusion/chain.py"
DENOISER = "dgm_jax/diffusion/denoiser.py"
GUIDANCE = "dgm_jax/diffusion/guidance.py"
IMPORTANCE = "dgm_jax/diffusion/importance.py"
LANGEVIN = "dgm_jax/diffusion/langevin.py"
LOSSES = "dgm_jax/diffusion/losses.py"
PROCESS = "dgm_jax/diffusion/process.py"
SAMPLERS = "dgm_jax/diffusion/samplers.py"
SCORES = "dgm_jax/objectives/score_matching.py"
NORMAL = "dgm_jax/distributions/discretized_normal.py"

FAULTS = (
    Fault(
        "posterior-variance-of-the-wrong-level",
        "T59: β̃ has the variance of the later level",
        CHAIN,
        "sigma_s**2 * (1 - share)",
        "sigma_t**2 * (1 - share)",
        "diffusion/test_chain.py::test_the_posterior_is_the_product_of_two_gaussians",
    ),
    Fault(
        "variances-interpolated-plainly",
        "T59: learned variances lie between the two themselves, and not their logarithms",
        CHAIN,
        "beside(lower, fraction) * jnp.exp(fraction * beside(width, fraction))",
        "beside(lower, fraction) * (1 + fraction * jnp.expm1(beside(width, fraction)))",
        "diffusion/test_chain.py::test_learned_variances_lie_between_the_two_in_logarithms",
    ),
    Fault(
        "bound-without-the-weight-of-the-steps",
        "T60: one step drawn stands for all, and is not multiplied by their number",
        LOSSES,
        "steps = (num_steps - 1) * step_kl(given, noise_key, grid, i, kind)",
        "steps = step_kl(given, noise_key, grid, i, kind)",
        "diffusion/test_losses.py::test_one_step_for_each_row_estimates_the_sum_over_all",
    ),
    Fault(
        "bound-of-half-the-rate",
        "T60: the integral takes the change of log α / σ for that of log α² / σ²",
        PROCESS,
        "return 2 * (jnp.log(process.alpha(t)) - jnp.log(process.sigma(t)))",
        "return jnp.log(process.alpha(t)) - jnp.log(process.sigma(t))",
        "diffusion/test_losses.py::test_the_continuous_bound_is_the_entropy_and_depends_on_the_ends"
        "_of_a_schedule",
    ),
    Fault(
        "learned-variances-that-move-the-mean",
        "T123: the bound of the hybrid loss reaches the mean",
        LOSSES,
        "held = jax.lax.stop_gradient((found.data, found.noise))",
        "held = (found.data, found.noise)",
        "diffusion/test_losses.py::test_the_bound_of_a_hybrid_trains_the_variances_alone",
    ),
    Fault(
        "betas-at-any-length",
        "T122: betas of a thousand steps are taken for fifty",
        PROCESS,
        "if left >= 0.01:",
        "if left >= 1:",
        "diffusion/test_process.py::test_bad_schedules_are_refused",
    ),
    Fault(
        "v-with-the-other-sign",
        "v is ε / α - x / σ turned the wrong way",
        DENOISER,
        "return -sigma / r, alpha / r",
        "return sigma / r, alpha / r",
        "diffusion/test_denoiser.py::test_v_is_x_t_turned_by_a_right_angle_and_velocity_is_its"
        "_derivative",
    ),
    Fault(
        "guidance-away-from-the-class",
        "T64: the gradient of the classifier is added to the noise",
        GUIDANCE,
        "found.noise - scale * sigma * slope",
        "found.noise + scale * sigma * slope",
        "diffusion/test_guidance.py::test_a_classifier_at_scale_one_gives_the_score_of_the_class",
    ),
    Fault(
        "guidance-of-one-too-much",
        "the scale counts from the conditional model",
        GUIDANCE,
        "noise = without.noise + scale",
        "noise = found.noise + scale",
        "diffusion/test_guidance.py::test_guidance_without_a_classifier_is_the_same_where_the"
        "_scores_are_exact",
    ),
    Fault(
        "ddim-that-keeps-all-noise",
        "at eta above 0 the direction to x_t is not shortened by what is drawn",
        SAMPLERS,
        "left = of_s.sigma**2 - eta**2 * step(of_s, of_t).lower",
        "left = of_s.sigma**2",
        "diffusion/test_samplers.py::test_samples_have_the_variances_of_the_data",
    ),
    Fault(
        "noise-of-the-batch",
        "a sample depends on how many are drawn beside it",
        SAMPLERS,
        "jax.random.fold_in(jax.random.fold_in(key, i), number + 1)",
        "jax.random.fold_in(jax.random.fold_in(key, i + num), number + 1)",
        "diffusion/test_samplers.py::test_a_sample_does_not_depend_on_the_others_of_its_batch",
    ),
    Fault(
        "noise-after-the-last-step",
        "T59: a sample is x at the first time, with its noise",
        SAMPLERS,
        "jax.lax.scan(body, (x, x), turns)[0][1]",
        "jax.lax.scan(body, (x, x), turns)[0][0]",
        "diffusion/test_samplers.py::test_the_last_step_of_a_chain_has_no_noise",
    ),
    Fault(
        "importance-without-weights",
        "T124: times that are drawn often count for more",
        IMPORTANCE,
        "terms = ends._replace(steps=weight * each)",
        "terms = ends._replace(steps=each)",
        "diffusion/test_importance.py::test_over_all_t_the_weighted_loss_is_the_sum_over_all_steps",
    ),
    Fault(
        "importance-before-all-are-known",
        "T124: a time that has hardly been drawn is judged",
        IMPORTANCE,
        'known = (state["seen"].min() >= SEEN)',
        'known = (state["seen"].max() >= SEEN)',
        "diffusion/test_importance.py::test_until_all_have_been_seen_ten_times_all_are_as_likely",
    ),
    Fault(
        "classifier-of-clean-data",
        "T64: what leads has seen no noise",
        GUIDANCE,
        "logits = _logits(net, params, process, noised(noise_key, process, x, t)[0], t)",
        "logits = _logits(net, params, process, x, t)",
        "diffusion/test_guidance.py::test_the_best_noisy_classifier_is_bayes_rule",
    ),
    Fault(
        "annealing-with-steps-of-one-size",
        "T62: steps fall with σ and not with σ²",
        LANGEVIN,
        "eta * (sigma / last) ** 2",
        "eta * (last / sigma) ** 2",
        "diffusion/test_langevin.py::test_annealing_finds_the_weights_of_modes_and_plain_dynamics"
        "_do_not",
    ),
    Fault(
        "no-last-denoising",
        "T62: the noise of the last level stays",
        LANGEVIN,
        "if denoise else x",
        "if not denoise else x",
        "diffusion/test_langevin.py::test_the_last_step_takes_the_noise_away",
    ),
    Fault(
        "denoising-target-with-the-other-sign",
        "T62: the target is ε / σ",
        SCORES,
        "jnp.square(scale * s + noise)",
        "jnp.square(scale * s - noise)",
        "objectives/test_score_matching.py::test_the_best_denoising_score_is_that_of_the_data_with"
        "_noise",
    ),
    Fault(
        "sliced-without-half",
        "T63: ‖s‖² counts whole",
        SCORES,
        "(slopes + row_sums(jnp.square(s)) / 2).mean()",
        "(slopes + row_sums(jnp.square(s))).mean()",
        "objectives/test_score_matching.py::test_projections_are_unbiased",
    ),
    Fault(
        "levels-without-tails",
        "T60: the outer levels do not take the tails",
        NORMAL,
        "log_p = jnp.where(v == last, log_ndtr(-below), log_p)",
        "log_p = jnp.where(v == last, log_p, log_p)",
        "distributions/test_discretized_normal.py::test_it_sums_to_one_over_all_levels_whatever_the"
        "_parameters",
    ),
)
