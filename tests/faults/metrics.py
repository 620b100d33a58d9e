"""Faults of likelihoods by sampling, and of the linear models on which their truth is known."""

from tests.faults.planting import Fault

IMPORTANCE = "dgm_jax/metrics/importance.py"
ANNEALED = "dgm_jax/metrics/annealed.py"
PPCA = "dgm_jax/inference/ppca.py"
MEAN_FIELD = "dgm_jax/inference/mean_field.py"

BOTH_WAYS = (
    "metrics/test_annealed.py::test_weights_of_both_directions_average_to_the_evidence_and_bound_it"
)

FAULTS = (
    Fault(
        "rest-of-the-samples-forgotten",
        "T77: only whole chunks of the samples are drawn",
        IMPORTANCE,
        "    if rest:\n",
        "    if False:\n",
        ("metrics/test_importance.py::test_the_decoder_sees_as_many_samples_as_were_asked_for[7]"),
    ),
    Fault(
        "sum-for-mean-of-weights",
        "T33: log Σ w in the place of log 1/K Σ w",
        IMPORTANCE,
        "log_prob = weights.peak + jnp.log(some) - math.log(num_samples)",
        "log_prob = weights.peak + jnp.log(some)",
        (
            "metrics/test_importance.py::"
            "test_the_closed_form_is_reached_within_the_error_that_is_told[importance_log_prob]"
        ),
    ),
    Fault(
        "chunks-in-units-of-their-own",
        "the sums of two chunks are added although each is in units of its largest weight",
        IMPORTANCE,
        "        a_scale * a.total + b_scale * b.total,\n",
        "        a.total + b.total,\n",
        "metrics/test_importance.py::test_a_running_sum_of_weights_is_that_of_all_of_them",
    ),
    Fault(
        "reverse-chain-one-temperature-late",
        "the reverse chain moves at the temperature that it has just left",
        ANNEALED,
        "betas[-2::-1], sizes[-2::-1]",
        "betas[:0:-1], sizes[:0:-1]",
        f"{BOTH_WAYS}[from the prior]",
    ),
    Fault(
        "annealing-from-q-without-its-density",
        "a chain from the encoder is weighed as if it came from the prior",
        ANNEALED,
        "+ model.prior(params, cond).log_prob(z) - log_start(z)",
        "+ 0 * model.prior(params, cond).log_prob(z)",
        f"{BOTH_WAYS}[from the posterior, z a tree, conditional]",
    ),
    # ------------------------------------------------------------------------------ linear models
    Fault(
        "noise-of-ppca-is-the-smallest-eigenvalue",
        "B2: σ² is the mean of the discarded eigenvalues",
        PPCA,
        "variance = values[: dim - num_latents].mean()",
        "variance = values[0]",
        (
            "inference/test_ppca.py::"
            "test_the_closed_form_is_that_of_scikit_learn_and_recovers_a_covariance_of_its_form"
        ),
    ),
    Fault(
        "e-step-without-the-spread-of-the-posterior",
        "B5: E z zᵀ is taken for E z E zᵀ",
        PPCA,
        '"zz": z.T @ z / len(x) + covariance,',
        '"zz": z.T @ z / len(x),',
        "inference/test_ppca.py::test_em_never_falls_and_ends_at_the_closed_form",
    ),
    Fault(
        "mean-field-with-the-marginal-variance",
        "B1: the best factor has the variance given the others, not that of the marginal",
        MEAN_FIELD,
        "variance = 1 / jnp.diagonal(precision)",
        "variance = jnp.diagonal(jnp.linalg.inv(precision))",
        (
            "inference/test_mean_field.py::"
            "test_two_correlated_coordinates_get_the_variance_of_each_given_the_other[0.5]"
        ),
    ),
    Fault(
        "bound-without-its-constants",
        "T68: constants are left out of a bound, which then compares with nothing",
        MEAN_FIELD,
        "0.5 * (1 + math.log(2 * math.pi) - jnp.log(",
        "0.5 * (1 - jnp.log(",
        (
            "inference/test_mean_field.py::test_the_bound_is_exact_never_falls_and_ends_at_the_"
            "known_fixed_point_below_the_evidence"
        ),
    ),
)
