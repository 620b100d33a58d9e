"""Faults of the experiments and of the checks at the boundary."""

from tests.faults.planting import Fault

CHECKS = "dgm_jax/checks.py"
DIRECTORY = "dgm_jax/runs/directory.py"
PUBLISHED = "experiments/published.py"
RESULTS = "experiments/results.py"
FITTING = "experiments/fitting.py"
BASELINES = "experiments/baselines.py"
FLOPS = "dgm_jax/measure/flops.py"
TIMING = "dgm_jax/measure/timing.py"

BEST_FIRST = (
    "experiments/test_results.py::test_runs_are_rows_beside_the_published_figures_the_best_first"
)

RATE_AND_CLIP = (
    "experiments/test_fitting.py::"
    "test_the_rate_rises_then_falls_as_a_cosine_and_long_gradients_are_clipped"
)

WRONG = "test_checks.py::test_what_is_wrong_is_one_line_with_argument_value_and_remedy"

FAULTS = (
    # ------------------------------------------------------------------------------- what is told
    Fault(
        "a-lost-model-is-not-told",
        "a model worse than a baseline of its own run is printed without a word",
        BASELINES,
        'if nats > row["test_nats"]}',
        "if nats > 0}",
        (
            "experiments/test_baselines.py::"
            "test_a_model_worse_than_a_baseline_is_told_with_what_to_try"
        ),
    ),
    # -------------------------------------------------------------------------------- bad inputs
    Fault(
        "condition-forgotten",
        "a conditional model without its condition is not refused",
        CHECKS,
        "if cond is None and cond_shape is not None:",
        "if False:",
        WRONG,
    ),
    Fault(
        "legacy-keys",
        "an integer is taken for a key",
        CHECKS,
        'if not (hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)):',
        "if False:",
        WRONG,
    ),
    Fault(
        "nan-in-the-data",
        "rows with NaN are trained on",
        CHECKS,
        "bad = ~np.isfinite(held).reshape(len(x), -1).all(1)",
        "bad = np.zeros(len(x), bool)",
        WRONG,
    ),
    Fault(
        "true-is-a-number",
        "True is taken for the integer 1",
        CHECKS,
        "if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:",
        "if not isinstance(value, (int, np.integer)) or value < least:",
        WRONG,
    ),
    # ------------------------------------------------------------------------------ command line
    Fault(
        "full-disk-is-a-crash",
        "a full disk ends with exit code 1, as a mistake in the program does",
        "dgm_jax/runs/errors.py",
        'return getattr(error, "exit_code", 2 if isinstance(error, OSError) else 1)',
        'return getattr(error, "exit_code", 1)',
        "runs/test_errors.py::test_each_end_has_its_exit_code_and_one_line",
    ),
    Fault(
        "every-end-is-exit-2",
        "diverged and damaged runs end with the code of a wrong input",
        "dgm_jax/runs/errors.py",
        "raise SystemExit(exit_code(error)) from None",
        "raise SystemExit(2) from None",
        "runs/test_errors.py::test_each_end_has_its_exit_code_and_one_line",
    ),
    Fault(
        "quick-overrides-what-was-given",
        "--quick --num-steps 50 makes 20 steps",
        "dgm_jax/runs/command_line.py",
        "config = tyro.cli(config_type, default=config_type(**quick), **described)",
        "config = dataclasses.replace(config, **quick)",
        "runs/test_command_line.py::test_quick_changes_defaults_and_keeps_what_is_given",
    ),
    Fault(
        "other-options-in-one-directory",
        "a run is resumed with other options than it began with",
        DIRECTORY,
        "    if differing:\n",
        "    if len(differing) > 99:\n",
        "runs/test_directory.py::test_other_options_are_refused_and_other_places_are_not",
    ),
    Fault(
        "finished-runs-run-again",
        "the results of a finished run are not found",
        DIRECTORY,
        'if not (config.workdir / "results.json").exists():',
        "if True:",
        "runs/test_directory.py::test_a_run_leaves_its_options_and_results_and_is_not_run_again",
    ),
    Fault(
        "results-of-other-data",
        "a finished run is shown for the data of another folder",
        DIRECTORY,
        "if was != now:",
        "if was is now is False:",
        "runs/test_directory.py::test_results_that_may_be_of_another_run_are_found_again",
    ),
    Fault(
        "results-with-nan",
        "results that JSON cannot hold are written",
        "dgm_jax/runs/values.py",
        "if isinstance(value, float) and not math.isfinite(value):",
        "if False:",
        "runs/test_directory.py::test_results_that_json_cannot_hold_are_refused",
    ),
    # ------------------------------------------------------------------------------------ results
    Fault(
        "figures-of-another-unit",
        "T21: published nats stand beside bits/dim",
        PUBLISHED,
        "if table.unit == unit and data in table.sets",
        "if data in table.sets",
        "experiments/test_published.py::test_published_figures_are_found_by_set_unit_and_model",
    ),
    Fault(
        "worst-first",
        "the least is the best, whatever the unit",
        RESULTS,
        "return -value if UNITS[unit].higher else value",
        "return value",
        "experiments/test_results.py::test_the_best_stands_first_whichever_way_its_unit_points",
    ),
    Fault(
        "quick-runs-are-results",
        "runs of seconds, whose numbers mean nothing, stand in the tables",
        RESULTS,
        'if config.get("quick") is False:',
        "if True:",
        BEST_FIRST,
    ),
    Fault(
        "validation-sign",
        "validation is told as a negative log-likelihood under the name of a likelihood",
        FITTING,
        'nats = -found["valid_nll"]',
        'nats = found["valid_nll"]',
        "experiments/test_fitting.py::test_the_step_that_is_best_on_the_validation_split_is_kept",
    ),
    Fault(
        "the-last-step-is-scored",
        "the test split is scored with the parameters of the last step, not of the best",
        FITTING,
        "**task.report(trained.params, jax.random.clone(task_key)),",
        "**task.report(algorithm.params(trained.state), jax.random.clone(task_key)),",
        "experiments/test_fitting.py::test_the_step_that_is_best_on_the_validation_split_is_kept",
    ),
    Fault(
        "gradients-are-not-clipped",
        "a gradient of any length moves the moments of Adam",
        FITTING,
        "optimizer = optax.chain(optax.clip_by_global_norm(self.clip), adam)",
        "optimizer = adam",
        RATE_AND_CLIP,
    ),
    Fault(
        "no-warm-up",
        "the first steps are made at the full rate",
        FITTING,
        "        if self.warm_up:\n",
        "        if False:\n",
        RATE_AND_CLIP,
    ),
    Fault(
        "histogram-normaliser",
        "the pseudo-counts of a histogram are not in its normaliser",
        "experiments/baselines.py",
        "np.log(len(train) + smoothing * num_levels)",
        "np.log(len(train))",
        "experiments/test_baselines.py::test_the_histogram_sums_to_one_and_finds_the_frequencies",
    ),
    # -------------------------------------------------------------------------------- measurement
    Fault(
        "a-loop-counts-once",
        "the products of a loop are counted for one turn, as XLA counts them",
        FLOPS,
        'return params["length"] * sum(counts)',
        "return sum(counts)",
        "measure/test_flops.py::test_products_inside_scans_count_once_a_turn",
    ),
    Fault(
        "timing-of-the-dispatch",
        "the clock stops before the result is there",
        TIMING,
        "jax.block_until_ready(thunk())",
        "thunk()",
        "measure/test_timing.py::test_a_call_ends_when_its_result_is_there",
    ),
    Fault(
        "mean-for-median",
        "one slow call moves a timing",
        TIMING,
        "low, median, high = np.percentile(np.array(rounds) * 1e3, [25, 50, 75])",
        "low, _, high = np.percentile(np.array(rounds) * 1e3, [25, 50, 75])\n"
        "    median = np.mean(rounds) * 1e3",
        "measure/test_timing.py::test_a_timing_is_the_median_and_the_quartiles_in_milliseconds",
    ),
    Fault(
        "the-worst-step-is-told",
        "of what is maximised the least is told as the best",
        FITTING,
        "sign = 1 if task.minimise else -1",
        "sign = 1",
        "experiments/test_fitting.py::test_samples_are_judged_in_their_own_direction",
    ),
    Fault(
        "nan-is-told-as-the-best",
        "an evaluation of NaN, which training never keeps, is told as that of the step kept",
        FITTING,
        "if math.isfinite(row[task.monitor])]",
        "]",
        "experiments/test_fitting.py::test_samples_are_judged_in_their_own_direction",
    ),
    Fault(
        "bound-is-a-mean-of-logs",
        "T33: the bound is the ELBO, however many samples it is given",
        FITTING,
        "return objectives.bounds.log_mean_weight(log_w)",
        "return log_w.mean(0)",
        "experiments/test_fitting.py::test_a_bound_of_many_samples_is_tighter_than_that_of_one",
    ),
    Fault(
        "bound-of-other-samples",
        "T77: the bound that is told is one of another number of samples",
        FITTING,
        'options |= {"num_samples": num_samples}',
        'options |= {"num_samples": 1}',
        "experiments/test_fitting.py::test_a_bound_of_many_samples_is_tighter_than_that_of_one",
    ),
    Fault(
        "units-by-one-draw-of-means",
        "the noise of a mean of draws makes units active that know nothing",
        FITTING,
        "varies = ((first - first.mean(0)) * (second - second.mean(0))).mean(0) > threshold",
        "varies = first.var(0) > threshold",
        "experiments/test_fitting.py::test_units_are_told_active_without_a_closed_form_of_the_mean",
    ),
    Fault(
        "few-samples-are-not-corrected",
        "the bound of few samples is told as that of many",
        FITTING,
        "found[name] + correction[name] for name",
        "found[name] for name",
        "experiments/test_fitting.py::"
        "test_the_bound_of_many_samples_on_some_rows_corrects_that_of_few_on_all",
    ),
)
