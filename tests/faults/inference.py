"""Faults of mixtures: what EM and variational inference get wrong."""

from tests.faults.planting import Fault

MOMENTS = "dgm_jax/inference/moments.py"
EM = "dgm_jax/inference/gaussian_em.py"
CONJUGATE = "dgm_jax/inference/conjugate.py"
BERNOULLI = "dgm_jax/inference/bernoulli_mixture.py"
RESTARTS = "dgm_jax/inference/restarts.py"
OF_EM = "inference/test_gaussian_em.py::"
EVIDENCE = (
    "inference/test_variational_mixture.py::test_of_one_component_the_bound_is_the_log_evidence"
)

FAULTS = (
    Fault(
        "covariances-about-the-old-mean",
        "the covariance is not about the new mean",
        EM,
        "return means + shift, second - shift[:, :, None] * shift[:, None]",
        "return means + shift, second",
        OF_EM + "test_every_iteration_is_that_of_scikit_learn",
    ),
    Fault(
        "the-dead-stay",
        "T67: a component without rows is left where it is",
        EM,
        "return (rows_of_each < min_rows) & (prior is None)",
        "return (rows_of_each < -1) & (prior is None)",
        OF_EM + "test_a_component_far_from_all_rows_dies_is_told_and_put_elsewhere",
    ),
    Fault(
        "halves-that-are-one",
        "T67: the halves of a split component stay equal for ever",
        RESTARTS,
        "side = jnp.where(dead, 1 + rank // alive, jnp.where(shares > 1, -1, 0))",
        "side = jnp.where(dead, 0, 0)",
        "inference/test_restarts.py::test_the_dead_become_halves_of_the_heaviest",
    ),
    Fault(
        "bound-without-constants",
        "T68: the normaliser of the Wishart is left out of the bound",
        CONJUGATE,
        "return normal / 2 + wishart / 2 + log_gammas - multigammaln(q.degrees / 2, dim)",
        "return normal / 2 + wishart / 2",
        EVIDENCE,
    ),
    Fault(
        "expected-log-det-by-its-mode",
        "T68: E log |Λ| is taken for log |E Λ|",
        CONJUGATE,
        "return multidigamma(degrees / 2, dim) + dim * math.log(2) - log_det_of(factor)",
        "return dim * jnp.log(degrees) - log_det_of(factor)",
        EVIDENCE,
    ),
    Fault(
        "mean-for-mode",
        "T69: the mean of the inverse-Wishart, for its mode with the Normal",
        EM,
        "(of_each.degrees + means.shape[1] + 2)",
        "(of_each.degrees - means.shape[1] - 1)",
        (
            OF_EM + "test_a_flat_prior_is_no_prior_step_by_step",
            OF_EM
            + "test_the_mode_of_one_component_is_in_closed_form_and_no_point_beside_it_is_higher",
        ),
    ),
    Fault(
        "smoothing-to-a-half",
        "the rows that are added to a component are fair coins",
        BERNOULLI,
        'probs = (found["bits"] * num + smoothing * mean) / rows_of_each[:, None]',
        'probs = (found["bits"] * num + smoothing / 2) / rows_of_each[:, None]',
        (
            "inference/test_bernoulli_mixture.py::"
            "test_every_iteration_is_that_of_the_definition_and_what_it_maximises_never_falls"
        ),
    ),
    Fault(
        "rows-left-over",
        "the rows after the last whole chunk are forgotten",
        MOMENTS,
        "if len(x) % chunk:",
        "if False:",
        "inference/test_moments.py::test_every_row_is_summed_once",
    ),
)
