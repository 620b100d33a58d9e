"""Faults of the objectives and metrics: signs, units, and what a bound must not forget."""

from tests.faults.planting import Fault

DEQUANTIZATION = "dgm_jax/objectives/dequantization.py"
LIKELIHOOD = "dgm_jax/objectives/likelihood.py"
METRICS = "dgm_jax/metrics/likelihood.py"
SURGERY = "dgm_jax/metrics/surgery.py"

TRUE_POSTERIOR = (
    "objectives/test_dequantization.py::"
    "test_the_bound_is_the_log_probability_for_every_draw_from_the_true_posterior"
)

BOUNDS = "dgm_jax/objectives/bounds.py"
PATHS = "dgm_jax/objectives/path_gradients.py"
ESTIMATORS = "dgm_jax/objectives/estimators.py"
RESAMPLED = "dgm_jax/distributions/resampled.py"

FAULTS = (
    Fault(
        "reverse-kl-sign",
        "T30: KL(p ‖ p_θ) and KL(p_θ ‖ p) differ in more than a sign, and in that too",
        "dgm_jax/objectives/divergences.py",
        "return (log_p - log_q).mean()",
        "return (log_q - log_p).mean()",
        "objectives/test_divergences.py::test_reverse_kl_is_the_closed_form_within_its_error",
    ),
    Fault(
        "nll-is-a-sum",
        "T31: the loss is a sum over the batch",
        LIKELIHOOD,
        "loss = -model.dist(params, cond, key=key).log_prob(x).mean()",
        "loss = -model.dist(params, cond, key=key).log_prob(x).sum()",
        "objectives/test_likelihood.py::test_nll_is_the_mean_over_examples_in_nats",
    ),
    Fault(
        "nats-for-bits",
        "T21: nats a dimension are told as bits",
        LIKELIHOOD,
        "/ (dim * math.log(2))",
        "/ dim",
        "objectives/test_likelihood.py::test_a_uniform_density_costs_log2_of_the_number_of_levels",
    ),
    Fault(
        "bits-log-det-sign",
        "T21: the volume of the map of preprocessing is taken away",
        LIKELIHOOD,
        "-(log_prob + log_det)",
        "-(log_prob - log_det)",
        "objectives/test_likelihood.py::test_both_routes_of_bits_per_dim_agree_for_a_model_of_logits",
    ),
    Fault(
        "standard-error-of-a-population",
        "the standard error divides by n",
        LIKELIHOOD,
        "values.std(ddof=1)",
        "values.std()",
        "objectives/test_likelihood.py::test_mean_and_stderr_are_the_textbook_formulas",
    ),
    Fault(
        "bound-without-log-q",
        "T23: log q(u | x) is left out",
        DEQUANTIZATION,
        ".log_prob(y) - log_q",
        ".log_prob(y)",
        TRUE_POSTERIOR,
    ),
    Fault(
        "bound-with-log-q-added",
        "T23: log q(u | x) has the wrong sign",
        DEQUANTIZATION,
        ".log_prob(y) - log_q",
        ".log_prob(y) + log_q",
        TRUE_POSTERIOR,
    ),
    Fault(
        "noise-of-another-volume",
        "T20: uniform noise on [0, 2): the volume of a level is not 1",
        "dgm_jax/distributions/dequantized.py",
        "distrax.Uniform(zeros, zeros + 1)",
        "distrax.Uniform(zeros, zeros + 2)",
        (
            "objectives/test_dequantization.py::"
            "test_a_uniform_density_scores_exactly_8_bits_a_dimension_at_evaluation"
        ),
    ),
    Fault(
        "draws-that-are-one-draw",
        "T20: every draw of the noise of evaluation is the same",
        METRICS,
        "for draw_key in jax.random.split(key, num_draws):",
        "for draw_key in [key] * num_draws:",
        "metrics/test_likelihood.py::test_draws_are_independent_and_averaged",
    ),
    Fault(
        "rows-that-fill-a-batch-are-scored",
        "the last batch is filled up, and what fills it is written over other rows",
        METRICS,
        "kept = min(size, num - start)",
        "kept = min(size, num - start - 1)",
        "metrics/test_likelihood.py::test_every_row_is_scored_once_whatever_the_batch_size",
    ),
    Fault(
        "weights-without-prior",
        "T32: log p(z) is left out of the weights",
        "dgm_jax/objectives/bounds.py",
        "return found.log_likelihood + found.log_prior - found.log_posterior",
        "return found.log_likelihood - found.log_posterior",
        "objectives/test_bounds.py::test_with_the_exact_posterior_every_weight_is_the_likelihood",
    ),
    Fault(
        "weights-with-log-q-added",
        "T32: log q(z | x) has the wrong sign",
        "dgm_jax/objectives/bounds.py",
        "return found.log_likelihood + found.log_prior - found.log_posterior",
        "return found.log_likelihood + found.log_prior + found.log_posterior",
        "objectives/test_bounds.py::test_with_the_exact_posterior_every_weight_is_the_likelihood",
    ),
    Fault(
        "mean-of-logs-for-log-of-mean",
        "T33: the bound of K samples is the mean of their ELBOs",
        BOUNDS,
        "return jax.nn.logsumexp(log_w, axis=0) - math.log(len(log_w))",
        "return log_w.mean(0)",
        "objectives/test_bounds.py::test_the_value_of_each_loss_is_the_mean_of_its_bound_over_the_batch",
    ),
    Fault(
        "free-bits-of-each-example",
        "T35: the floor before the mean over the batch",
        BOUNDS,
        "each = kl.mean(range(sample_ndims))",
        "each = jnp.where(kl < free_bits, free_bits, kl).mean(range(sample_ndims))",
        (
            "objectives/test_bounds.py::"
            "test_free_bits_are_of_the_mean_over_the_batch_not_of_each_example"
        ),
    ),
    Fault(
        "free-bits-of-the-total",
        "T35, T80: one floor for all entries",
        BOUNDS,
        'return each.sum() if per == "group" else each',
        "return each.sum()",
        (
            "objectives/test_bounds.py::"
            "test_free_bits_of_an_entry_floor_its_mean_and_leave_the_others_alone"
        ),
    ),
    Fault(
        "beta-within-the-floor",
        "T80: free bits after rescaling",
        BOUNDS,
        "distortion + beta * sum(_floored(parts, free_bits).sum() for parts in kl.values())",
        "distortion + sum(_floored(beta * parts, free_bits).sum() for parts in kl.values())",
        (
            "objectives/test_bounds.py::"
            "test_beta_weighs_the_floored_divergence_and_a_sampled_one_may_be_negative"
        ),
    ),
    Fault(
        "divergence-of-deviations-as-variances",
        "T32: log σ for log σ²",
        "dgm_jax/distributions/divergence.py",
        "return (ratio**2 + distance**2 - 1) / 2 - jnp.log(ratio)",
        "return (ratio**2 + distance**2 - 1 - jnp.log(ratio)) / 2",
        (
            "distributions/test_divergence.py::"
            "test_independent_entries_have_a_divergence_each_and_others_none"
        ),
    ),
    Fault(
        "doubly-without-the-square",
        "T33: the weights of DReG are not squared",
        PATHS,
        "return of_z * weights.reshape",
        "return of_z + 0 * weights.reshape",
        "objectives/test_path_gradients.py::test_in_expectation_it_is_the_gradient_of_the_bound",
    ),
    Fault(
        "doubly-with-the-score",
        "T33: log q moves with the parameters of q",
        PATHS,
        "held, held_x, held_cond = stop_gradient((params, x, cond))",
        "held, held_x, held_cond = params, x, cond",
        (
            "objectives/test_path_gradients.py::"
            "test_with_the_exact_posterior_its_gradient_is_zero_for_every_sample"
        ),
    ),
    Fault(
        "a-baseline-that-knows-its-sample",
        "T71: the mean of all samples is the baseline of each",
        ESTIMATORS,
        "others = (f.sum(0, keepdims=True) - f) / (num_samples - 1)",
        "others = f.mean(0, keepdims=True)",
        (
            "objectives/test_estimators.py::"
            "test_the_gradient_has_the_mean_and_the_variance_of_the_closed_form"
        ),
    ),
    Fault(
        "resampling-without-weights",
        "one of the proposals is chosen evenly",
        RESAMPLED,
        "chosen = Levels(jnp.moveaxis(log_w, 1, -1))",
        "chosen = Levels(jnp.moveaxis(0 * log_w, 1, -1))",
        (
            "distributions/test_resampled.py::"
            "test_two_samples_give_the_density_of_the_formula_and_draws_that_follow_it"
        ),
    ),
    Fault(
        "active-units-by-deviation",
        "T39: the deviation is compared with a threshold of the variance",
        "dgm_jax/metrics/codes.py",
        "return means.var(axis=0) > threshold",
        "return means.std(axis=0) > threshold",
        (
            "metrics/test_codes.py::"
            "test_a_unit_is_active_where_its_posterior_mean_varies_over_the_data"
        ),
    ),
    Fault(
        "surgery-forgets-the-rows",
        "T40: the aggregate posterior is a sum, no mean, and information rises above log N",
        SURGERY,
        "log_own = -math.log(total)",
        "log_own = 0.0",
        "metrics/test_surgery.py::test_codes_that_tell_all_rows_apart_know_log_n_and_no_more",
    ),
    Fault(
        "surgery-fills-up-the-last-chunk",
        "rows that fill up the last chunk count twice",
        SURGERY,
        "jnp.where(other[None] < num, log_w, -jnp.inf)",
        "jnp.where(other[None] < num, log_w, log_w)",
        "metrics/test_surgery.py::test_codes_that_tell_all_rows_apart_know_log_n_and_no_more",
    ),
    Fault(
        "surgery-corrects-nothing",
        "a batch is taken for the whole set also where it is to be corrected",
        SURGERY,
        "total = num if stratified else size",
        "total = size",
        "metrics/test_surgery.py::test_codes_that_tell_all_rows_apart_know_log_n_and_no_more",
    ),
)
