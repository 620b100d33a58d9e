"""Faults of metrics of codes whose factors are known, and of the sets that have such factors."""

from tests.faults.planting import Fault

INFORMATION = "dgm_jax/metrics/information.py"
FIXED = "dgm_jax/metrics/fixed_factor.py"
DCI = "dgm_jax/metrics/dci.py"

FAULTS = (
    Fault(
        "gap-not-relative-to-the-entropy",
        "T43: the gap in nats is told for the share of the factor's entropy",
        INFORMATION,
        "np.maximum(found.entropy - found.chance, 1e-12)",
        "1.0",
        "metrics/test_information.py::test_it_is_the_published_formula[20]",
    ),
    Fault(
        "bins-of-all-units-together",
        "T43: edges are not those of each unit's own smallest and largest value",
        INFORMATION,
        "bins = np.stack([_bins(unit, num_bins, binning) for unit in codes.T], 1)",
        "bins = _bins(codes.ravel(), num_bins, binning).reshape(codes.shape)",
        "metrics/test_information.py::test_it_is_the_published_formula[7]",
    ),
    Fault(
        "bias-of-counting-left-in",
        "T92: what noise shows by chance is not taken off",
        INFORMATION,
        "return np.maximum(self.mutual - self.chance, 0)",
        "return self.mutual",
        (
            "metrics/test_information.py::"
            "test_information_of_noise_is_the_bias_of_counting_and_shuffles_find_it"
        ),
    ),
    Fault(
        "modularity-over-all-factors",
        "the other factors are k - 1",
        "dgm_jax/metrics/modularity.py",
        "(squared.shape[1] - 1)",
        "squared.shape[1]",
        "metrics/test_modularity.py::test_it_is_the_published_formula",
    ),
    Fault(
        "votes-by-the-variance-itself",
        "T44: a unit of small scale wins all votes unless variances are relative",
        FIXED,
        "second.var(1, ddof=1) / scale, np.inf",
        "second.var(1, ddof=1), np.inf",
        "metrics/test_fixed_factor.py::test_the_factor_vae_score_is_that_of_the_published_loop",
    ),
    Fault(
        "dead-units-vote",
        "T94: units that collapsed take part in the vote",
        FIXED,
        "active = (np.sqrt(variance) >= threshold)",
        "active = (np.sqrt(variance) >= 0)",
        (
            "metrics/test_fixed_factor.py::"
            "test_a_dead_unit_would_take_all_votes_without_the_threshold"
        ),
    ),
    Fault(
        "one-value-for-all-pairs",
        "T44: pairs of the BetaVAE score have each a value of the fixed factor of its own",
        FIXED,
        "shape = (len(factor), 1 if one_value else self.batch_size)",
        "shape = (len(factor), 1)",
        (
            "metrics/test_fixed_factor.py::"
            "test_rows_of_a_batch_agree_in_one_factor_and_are_random_in_all_else[False]"
        ),
    ),
    Fault(
        "completeness-for-disentanglement",
        "rows and columns of importances are taken for each other",
        DCI,
        "_purity(importance.T), _purity(importance)",
        "_purity(importance), _purity(importance.T)",
        "metrics/test_dci.py::test_importances_whose_scores_are_known",
    ),
    Fault(
        "error-for-informativeness",
        "T95: an error is told where an accuracy is meant",
        DCI,
        "np.mean(np.asarray(told) == state[test])",
        "np.mean(np.asarray(told) != state[test])",
        "metrics/test_dci.py::test_factors_have_one_in_all_three",
    ),
    Fault(
        "sap-of-codes-as-they-are",
        "T93: the score depends on the scale of codes",
        "dgm_jax/metrics/sap.py",
        'if checks.flag(standardise, "standardise"):',
        "if False:",
        ("metrics/test_sap.py::test_it_depends_on_the_scale_of_codes_unless_they_are_standardised"),
    ),
    Fault(
        "areas-of-training-rows",
        "explicitness is told of the rows that the classifier has seen",
        "dgm_jax/metrics/modularity.py",
        "fitted.predict_proba(codes[test])",
        "fitted.predict_proba(codes[train][: len(test)])",
        "metrics/test_modularity.py::test_explicitness_is_the_published_area",
    ),
    Fault(
        "a-model-beside-itself",
        "UDR compares a model with itself too, with which it always agrees",
        "dgm_jax/metrics/udr.py",
        "if m != n]",
        "if True]",
        "metrics/test_udr.py::test_it_is_the_formula_on_units_with_enough_information",
    ),
    Fault(
        "one-image-in-two-states",
        "T96: orientations 0 and 2π of dSprites are the same image",
        "dgm_jax/data/factors.py",
        "factors[:, turn] %= sizes[turn]",
        "factors[:, turn] %= 40",
        "data/test_factors.py::test_orientations_that_are_one_image_are_one_state",
    ),
)
