"""Faults of metrics of samples, and of the networks whose features they compare."""

from tests.faults.planting import Fault

FRECHET = "dgm_jax/metrics/frechet.py"
NEIGHBOURS = "dgm_jax/metrics/neighbours.py"
MMD = "dgm_jax/metrics/mmd.py"
INCEPTION = "dgm_jax/nets/inception.py"

OF_THE_DEFINITION = "metrics/test_neighbours.py::test_all_four_are_those_of_the_definition[3]"
COPIES = (
    "metrics/test_neighbours.py::"
    "test_a_generator_that_copies_one_real_row_is_precise_and_recalls_only_that_row"
)

FAULTS = (
    Fault(
        "root-of-a-product-of-other-factors",
        "T107: Aᵀ S' A with A Aᵀ = S is taken as A S' A",
        FRECHET,
        "= a[start:, start:].T @ right",
        "= a[start:, start:] @ right",
        ("metrics/test_frechet.py::test_it_equals_the_formulas_of_other_libraries[by_square_root]"),
    ),
    Fault(
        "triangle-above-the-diagonal",
        "T107: only the lower triangle of the matrix is made, and the upper one is read",
        FRECHET,
        'UPLO="L"',
        'UPLO="U"',
        ("metrics/test_frechet.py::test_it_equals_the_formulas_of_other_libraries[by_square_root]"),
    ),
    Fault(
        "biased-covariance",
        "T53: a covariance over n in the place of n - 1",
        FRECHET,
        "rest.T @ rest / (len(rest) - 1)",
        "rest.T @ rest / len(rest)",
        "metrics/test_frechet.py::test_moments_are_those_of_numpy_and_stand_for_rows",
    ),
    Fault(
        "a-point-is-its-own-neighbour",
        "T105: the k-th in the sort, of which the point itself is the first",
        NEIGHBOURS,
        "least[..., k].reshape",
        "least[..., k - 1].reshape",
        OF_THE_DEFINITION,
    ),
    Fault(
        "precision-for-recall",
        "T104: precision and recall are exchanged",
        NEIGHBOURS,
        "return PrecisionRecall(float(precision), float(recall),",
        "return PrecisionRecall(float(recall), float(precision),",
        COPIES,
    ),
    Fault(
        "a-block-on-the-diagonal-counts-twice",
        "T105: each pair of rows is met once, and its own pair is in the block twice",
        NEIGHBOURS,
        "            if j > i:\n",
        "            if j >= i:\n",
        OF_THE_DEFINITION,
    ),
    Fault(
        "rounding-parts-equal-points",
        "T105: a point is not in the ball of one that rounding alone tells from it",
        NEIGHBOURS,
        "return jnp.where(found <= ROUNDING * norms, 0, found)",
        "return found",
        ("metrics/test_neighbours.py::test_points_that_are_all_the_same_hold_each_other"),
    ),
    Fault(
        "mmd-with-the-diagonal",
        "T54: the biased estimate, which is never negative",
        MMD,
        "others = jnp.where(jnp.eye(num, dtype=bool), 0, values - constant)",
        "others = values - constant",
        "metrics/test_mmd.py::test_the_estimate_is_right_on_average_and_may_be_negative",
    ),
    Fault(
        "resized-by-the-middles-of-pixels",
        "images are resized as libraries of today do, not as FID's definition has it",
        INCEPTION,
        "at = np.arange(size) * (num / size)",
        "at = np.clip((np.arange(size) + 0.5) * (num / size) - 0.5, 0, num - 1)",
        ("nets/test_inception.py::test_each_resized_row_is_between_the_rows_at_i_times_the_scale"),
    ),
)
