"""Faults of learning: what moves, what is skipped, and whether a resumed run is the run."""

from tests.faults.planting import Fault

GRADIENT = "dgm_jax/learning/gradient.py"
DESCENT = "dgm_jax/learning/descent.py"
LOOP = "dgm_jax/learning/loop.py"
RUN = "dgm_jax/learning/run.py"
READING = "dgm_jax/learning/checkpoints/reading.py"
PLAYERS = "dgm_jax/learning/players.py"
LANGEVIN = "dgm_jax/learning/langevin.py"
ROWS = "dgm_jax/learning/rows.py"
IDENTITY = "dgm_jax/learning/identity.py"
LOADING = "dgm_jax/learning/loading.py"
RECIPES = "dgm_jax/learning/recipes.py"
FITTING = "dgm_jax/learning/fitting.py"

RESUMED = "learning/test_loop.py::test_a_run_killed_and_resumed_is_the_run"
SKIPPED = (
    "learning/test_gradient.py::test_a_step_without_a_finite_gradient_changes_nothing_but_the_count"
)

FAULTS = (
    # ----------------------------------------------------------------------------------- gradient
    Fault(
        "average-with-rate-and-decay-exchanged",
        "T65: ema ← (1 - d) ema + d θ",
        DESCENT,
        "rate = 1 - jnp.minimum(decay, (1 + t) / (10 + t))",
        "rate = jnp.minimum(decay, (1 + t) / (10 + t))",
        "learning/test_gradient.py::test_the_average_follows_its_recursion",
    ),
    Fault(
        "average-one-step-late",
        "T65: the average takes in the parameters before the step",
        DESCENT,
        "_average(state.ema, params, ema_decay, state.step)",
        "_average(state.ema, state.params, ema_decay, state.step)",
        "learning/test_gradient.py::test_the_average_follows_its_recursion",
    ),
    Fault(
        "nan-is-no-reason-to-skip",
        "a step without a finite gradient moves the parameters to NaN",
        DESCENT,
        "jax.lax.cond(finite, lambda: strong(moved()), lambda: strong(state))",
        "strong(moved())",
        SKIPPED,
    ),
    Fault(
        "infinity-is-finite",
        "the guard of the gradient sees NaN and no infinity",
        DESCENT,
        "finite = jnp.isfinite(grad_norm)",
        "finite = ~jnp.isnan(grad_norm)",
        SKIPPED,
    ),
    Fault(
        "skipped-is-made",
        "the metric that counts skipped steps counts those made",
        DESCENT,
        '"skipped": 1 - finite.astype(jnp.int32)',
        '"skipped": finite.astype(jnp.int32)',
        SKIPPED,
    ),
    Fault(
        "devices-keep-their-gradients",
        "gradients of `pmap` are not averaged over devices",
        DESCENT,
        "grads, metrics = jax.lax.pmean((grads, metrics), axis_name)",
        "metrics = jax.lax.pmean(metrics, axis_name)",
        "learning/test_devices.py::test_pmap_gives_the_parameters_of_one_device",
    ),
    Fault(
        "devices-draw-alike",
        "every device of a `pmap` draws the same noise",
        DESCENT,
        "jax.random.fold_in(key, jax.lax.axis_index(axis_name))",
        "jax.random.fold_in(key, 0)",
        "learning/test_devices.py::test_each_device_of_a_pmap_draws_its_own_noise",
    ),
    # --------------------------------------------------------------------------------------- loop
    Fault(
        "every-step-the-same-key",
        "a key is used in every step",
        RUN,
        "key = jax.random.fold_in(loop_key, t)",
        "key = jax.random.clone(loop_key)",
        "learning/test_loop.py::test_train_is_the_plain_loop_over_steps",
    ),
    Fault(
        "resumed-one-step-early",
        "a resumed run makes its last step again",
        RUN,
        'self.step, self.state = saved.step, saved.state["state"]',
        'self.step, self.state = saved.step - 1, saved.state["state"]',
        RESUMED,
    ),
    Fault(
        "resumed-without-the-open-window",
        "metrics since the last row are lost, so that its means are others",
        RUN,
        'json.loads(saved.note["window"])',
        "[]",
        (
            "learning/test_loop.py::"
            "test_sigterm_saves_at_the_current_step_and_the_resumed_run_is_the_run"
        ),
    ),
    Fault(
        "start-not-evaluated",
        "the first evaluation comes after the first steps",
        RUN,
        "self.record(row | self.evaluate(row))",
        "pass",
        "learning/test_loop.py::test_the_state_before_training_is_evaluated_and_may_be_the_best",
    ),
    Fault(
        "best-is-the-last",
        "the state of the last evaluation is kept, not that of the best",
        RUN,
        "return sign * value < (math.inf if best is None else sign * best)",
        "return sign * value < math.inf",
        "learning/test_loop.py::test_the_best_is_the_lowest_or_the_highest_as_it_is_told",
    ),
    Fault(
        "infinity-is-the-best",
        "an evaluation of -inf is the best for ever",
        RUN,
        "if not math.isfinite(value):\n            return False",
        "if math.isnan(value):\n            return False",
        "learning/test_loop.py::test_what_is_not_finite_is_never_the_best_and_is_told_at_every_call",
    ),
    Fault(
        "rows-from-the-log",
        "rows that the log lost or changed are taken for those of the run",
        RUN,
        "        processes.from_first(self.log.repair)\n",
        "",
        "learning/test_loop.py::test_rows_come_from_the_checkpoint_whatever_became_of_the_log",
    ),
    Fault(
        "a-state-with-nan-goes-on",
        "a state that is not finite is trained on as long as nothing is saved",
        RUN,
        "            self._check_state()\n",
        "",
        "learning/test_loop.py::test_a_state_that_is_not_finite_ends_a_run_without_a_directory_too",
    ),
    Fault(
        "patience-never-ends",
        "evaluations without a better one are not counted",
        RUN,
        "self.stale += 1",
        "self.stale += 0",
        "learning/test_loop.py::test_a_run_killed_and_resumed_is_the_run[patient-47]",
    ),
    Fault(
        "nan-metric-passes",
        "a loss that is NaN is logged, and the run goes on",
        ROWS,
        "if not np.isfinite(value):",
        "if False:",
        "learning/test_loop.py::test_a_metric_that_is_not_finite_stops_the_run",
    ),
    Fault(
        "skipping-for-ever",
        "a run whose every step is skipped never stops",
        ROWS,
        "if in_a_row == MAX_SKIPPED:",
        "if in_a_row > 10 * MAX_SKIPPED:",
        "learning/test_loop.py::test_too_many_bad_batches_in_a_row_stop_the_run",
    ),
    Fault(
        "skipped-steps-in-the-means",
        "the metrics of skipped steps are averaged with the others",
        ROWS,
        "if _counts_skipped(name) or not name.startswith(skipped):",
        "if True:",
        "learning/test_loop.py::test_a_bad_batch_is_skipped_counted_and_left_out_of_the_means",
    ),
    Fault(
        "rows-twice",
        "rows after the checkpoint are kept, and written again by the resumed run",
        "dgm_jax/runs/logs.py",
        "if found != kept:",
        "if False:",
        RESUMED,
    ),
    # ----------------------------------------------------------------------------------- identity
    Fault(
        "another-run-is-resumed",
        "the checkpoints of another key, rate or data set are taken for those of this run",
        IDENTITY,
        "if differing := differences(there, here):",
        "if differing := differences(there, there):",
        "learning/test_identity.py::test_the_directory_of_another_run_is_refused_with_what_differs",
    ),
    Fault(
        "constants-have-no-value",
        "two programs that differ in a constant array are the same",
        IDENTITY,
        "add(variables([*jaxpr.constvars, *jaxpr.invars]), _value(consts, known))",
        "add(variables([*jaxpr.constvars, *jaxpr.invars]))",
        "learning/test_identity.py::test_a_program_is_known_by_what_it_computes",
    ),
    Fault(
        "any-shorter-run-is-the-beginning",
        "a run goes on from one that made an evaluation which it does not make",
        RUN,
        "(step < num_steps or evaluated_here)",
        "True",
        "learning/test_identity.py::"
        "test_a_longer_run_goes_on_where_the_shorter_evaluated_nothing_else",
    ),
    # -------------------------------------------------------------------------------- checkpoints
    Fault(
        "fingerprint-blind-to-order",
        "two words that change places have the same fingerprint",
        "dgm_jax/learning/checkpoints/fingerprints.py",
        "_mix(words + np.arange(words.size, dtype=np.uint32) * PHI)",
        "_mix(words)",
        (
            "learning/checkpoints/test_fingerprints.py::"
            "test_the_fingerprint_sees_order_and_zeroed_sectors"
        ),
    ),
    Fault(
        "fingerprint-not-compared",
        "an array that changed on disk is loaded",
        READING,
        'if (types[leaf], mark) != (about["leaves"].get(leaf), about["fingerprints"].get(leaf)):',
        'if types[leaf] != about["leaves"].get(leaf):',
        "learning/checkpoints/test_reading.py::"
        "test_an_array_that_changed_on_disk_is_seen_where_orbax_sees_nothing",
    ),
    Fault(
        "step-not-compared",
        "a checkpoint under another number is taken for that number",
        READING,
        'if about["step"] != step:',
        "if False:",
        "learning/checkpoints/test_reading.py::"
        "test_a_checkpoint_under_another_number_is_not_taken_for_it",
    ),
    Fault(
        "another-model-is-loaded",
        "leaves that differ from the template are not told",
        READING,
        "    if differing:\n",
        "    if len(differing) > 99:\n",
        "learning/checkpoints/test_reading.py::test_another_model_is_refused_not_cast",
    ),
    Fault(
        "nan-is-saved",
        "a state with NaN is written over good checkpoints",
        "dgm_jax/learning/checkpoints/saving.py",
        ("        if not finite:\n"),
        ("        if False:\n"),
        "learning/checkpoints/test_saving.py::test_what_is_not_finite_is_not_written",
    ),
    Fault(
        "damage-ends-the-run",
        "the first damaged checkpoint ends the search for an intact one",
        "dgm_jax/learning/checkpoints/newest.py",
        "for step in sorted(steps(directory), reverse=True):",
        "for step in sorted(steps(directory), reverse=True)[:1]:",
        "learning/checkpoints/test_newest.py::"
        "test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_taken",
    ),
    Fault(
        "loaded-from-the-last-state",
        "what is loaded is the last state, not the best",
        LOADING,
        'tree = "state" if about["note"].get("best_value") is None else "best"',
        'tree = "state"',
        "learning/test_loading.py::test_a_run_gives_its_best_averaged_parameters_and_its_options",
    ),
    # ------------------------------------------------------------------------------ devices, locks
    Fault(
        "rows-that-do-not-divide",
        "a batch that does not divide among devices is not refused",
        "dgm_jax/checks.py",
        "if rows == 0 or rows % parts:",
        "if rows == 0:",
        "learning/test_devices.py::test_what_does_not_divide_is_said_with_what_does",
    ),
    Fault(
        "two-runs-in-a-directory",
        "a lock that is shared locks nobody out",
        "dgm_jax/runs/locks.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        ("runs/test_locks.py::test_a_directory_in_use_is_refused_with_the_process_that_has_it"),
    ),
    Fault(
        "preempted-is-done",
        "a run that was told to end leaves with exit code 0, and no queue starts it again",
        "dgm_jax/runs/preemption.py",
        "super().__init__(85)",
        "super().__init__(0)",
        (
            "learning/test_loop.py::"
            "test_sigterm_saves_at_the_current_step_and_the_resumed_run_is_the_run"
        ),
    ),
    Fault(
        "averages-are-not-evaluated",
        "T65: what is evaluated and loaded are the last parameters, not their average",
        DESCENT,
        "return state.params if state.ema is None else state.ema",
        "return state.params",
        "learning/test_loading.py::test_a_run_gives_its_best_averaged_parameters_and_its_options",
    ),
    Fault(
        "worse-is-better",
        "a run that maximises keeps its worst state",
        RUN,
        "sign = 1 if self.minimise else -1",
        "sign = 1",
        "learning/test_loop.py::test_the_best_is_the_lowest_or_the_highest_as_it_is_told",
    ),
    Fault(
        "fit-draws-one-batch",
        "every step of `fit` has the data of the first",
        LOOP,
        "batch = None if draw is None else draw(data_key, t)",
        "batch = None if draw is None else draw(jax.random.clone(loop_key), t)",
        "learning/test_loop.py::test_fit_draws_by_key_and_step_and_hands_on_what_is_fixed",
    ),
    Fault(
        "fixed-is-forgotten",
        "what stays fixed is not handed to the step",
        DESCENT,
        'return {} if fixed is None else {"fixed": fixed}',
        "return {}",
        "learning/test_loop.py::test_fit_draws_by_key_and_step_and_hands_on_what_is_fixed",
    ),
    # ----------------------------------------------------------- players, expectation, Langevin
    Fault(
        "players-see-averages",
        "T49: a player learns against the average of the other",
        PLAYERS,
        "others = {other: one.params for other, one in state.players.items()}",
        "others = {other: averaged(one) for other, one in state.players.items()}",
        (
            "learning/test_players.py::"
            "test_a_bilinear_game_follows_its_recursion_in_the_order_of_the_players"
        ),
    ),
    Fault(
        "players-share-a-key",
        "T49: all updates of a step draw the same noise",
        PLAYERS,
        "keys = jax.random.split(own_key(key, axis_name), total)",
        "keys = jax.random.split(own_key(key, axis_name), 1)[np.zeros(total, int)]",
        "learning/test_players.py::test_every_update_has_rows_and_a_key_of_its_own",
    ),
    Fault(
        "players-share-rows",
        "T49: the updates of every player get the first rows",
        PLAYERS,
        "mine = jax.tree.map(lambda part: part[turn], parts)",
        "mine = jax.tree.map(lambda part: part[: player.num_updates], parts)",
        "learning/test_players.py::test_every_update_has_rows_and_a_key_of_its_own",
    ),
    Fault(
        "players-take-rows-from-other-devices",
        "rows are shared out in blocks, which are those of other devices",
        PLAYERS,
        "return jnp.moveaxis(jnp.reshape(x, (rows // total, total, *shape)), 1, 0)",
        "return jnp.reshape(x, (total, rows // total, *shape))",
        (
            "learning/test_players.py::"
            "test_statistics_are_those_of_the_whole_batch_and_its_rows_stay_where_they_are"
        ),
    ),
    Fault(
        "players-forget-the-state",
        "T48: the new state of an update is not handed to the next",
        PLAYERS,
        "return state._replace(players=moved, state=mine.state), metrics",
        "return state._replace(players=moved), metrics",
        (
            "learning/test_players.py::"
            "test_the_state_goes_from_update_to_update_and_weights_and_what_is_fixed_reach_every_loss"
        ),
    ),
    Fault(
        "statistics-of-one-device",
        "EM: the statistics of a `pmap` are those of each device",
        "dgm_jax/learning/expectation.py",
        "statistics, metrics = jax.lax.pmean((statistics, metrics), axis_name)",
        "metrics = jax.lax.pmean(metrics, axis_name)",
        "learning/test_expectation.py::test_pmap_gives_what_one_device_gives",
    ),
    Fault(
        "m-step-from-the-start",
        "EM: what is fixed does not reach the E-step",
        "dgm_jax/learning/expectation.py",
        "**extras(None, None, fixed)",
        "**extras(None, None, None)",
        "learning/test_expectation.py::test_what_is_fixed_reaches_the_e_step",
    ),
    Fault(
        "langevin-noise-scale",
        "T62: noise √η in the place of √(2η)",
        LANGEVIN,
        "scale = jnp.sqrt(2 * eta * temperature)",
        "scale = jnp.sqrt(eta * temperature)",
        "learning/test_langevin.py::test_the_chain_has_the_variance_of_its_discretisation",
    ),
    Fault(
        "langevin-temperature-of-the-scale",
        "T62: the temperature multiplies the deviation of the noise, not its variance",
        LANGEVIN,
        "scale = jnp.sqrt(2 * eta * temperature)",
        "scale = jnp.sqrt(2 * eta) * temperature",
        "learning/test_langevin.py::test_the_chain_has_the_variance_of_its_discretisation",
    ),
    Fault(
        "langevin-score-of-another-shape",
        "a score summed over samples is broadcast, and moves all of them alike",
        LANGEVIN,
        "        _check_score(state.x, gradient)\n",
        "",
        "learning/test_langevin.py::test_a_score_that_does_not_fit_its_samples_is_refused",
    ),
    Fault(
        "langevin-down-the-score",
        "T62: samples move away from high density",
        LANGEVIN,
        "x + eta.astype(x.dtype) * slope + ",
        "x - eta.astype(x.dtype) * slope + ",
        (
            "learning/test_langevin.py::"
            "test_without_temperature_it_is_gradient_ascent_of_what_the_score_is_given"
        ),
    ),
    Fault(
        "langevin-one-noise",
        "T62: all leaves of the samples get the same noise",
        LANGEVIN,
        "keys = jax.random.split(key, len(leaves))",
        "keys = jax.random.split(key, 1)[jnp.zeros(len(leaves), int)]",
        "learning/test_langevin.py::test_every_number_gets_noise_of_its_own",
    ),
    Fault(
        "langevin-schedule-stands-still",
        "T62: the schedule is asked for step 0 for ever",
        LANGEVIN,
        "return LangevinState(state.step + 1, x), metrics",
        "return LangevinState(state.step, x), metrics",
        "learning/test_langevin.py::test_mean_and_variance_move_as_the_schedule_predicts",
    ),
    Fault(
        "weights-of-the-next-step",
        "a weight that depends on the step is a step ahead",
        DESCENT,
        "w(step) if callable(w)",
        "w(step + 1) if callable(w)",
        "learning/test_gradient.py::test_a_loss_is_given_its_state_its_weights_and_what_is_fixed",
    ),
    Fault(
        "state-of-one-device",
        "T48: the running statistics of a `pmap` are those of each device",
        DESCENT,
        "carried = _mean_of_floating(carried, axis_name)",
        "carried = jax.tree.map(jnp.asarray, carried)",
        (
            "learning/test_gradient.py::"
            "test_under_pmap_the_floating_state_is_averaged_and_counts_stay"
        ),
    ),
    Fault(
        "poisoned-statistics",
        "a new state that is not finite is kept, since the gradient is finite",
        DESCENT,
        "jnp.isfinite(grad_norm) & all_finite(carried)",
        "jnp.isfinite(grad_norm)",
        "learning/test_gradient.py::test_a_loss_is_given_its_state_its_weights_and_what_is_fixed",
    ),
    Fault(
        "every-type-error-is-a-rate",
        "a mistake in a schedule is told as a wrong learning rate",
        DESCENT,
        'if not _raised_in(error, "optax"):',
        "if False:",
        "learning/test_descent.py::test_a_mistake_in_a_schedule_is_told_as_what_it_is",
    ),
    Fault(
        "players-move-all-at-once",
        "the gradient of a loss moves the parameters of all players",
        PLAYERS,
        "moved = state.players | {name: mine._replace(state=None)}",
        "moved = state.players | {n: mine._replace(state=None) for n in state.players}",
        "learning/test_players.py::test_a_gradient_touches_the_parameters_of_its_own_player_only",
    ),
    Fault(
        "skipped-updates-averaged",
        "of the skipped updates of a player the mean is told, not the number",
        PLAYERS,
        'return values.sum() if metric == "skipped" else values.mean(0)',
        "return values.mean(0)",
        "learning/test_players.py::"
        "test_an_update_without_a_finite_gradient_changes_nothing_but_the_count",
    ),
    Fault(
        "one-player-skips-for-all",
        "what one player skipped leaves the metrics of others out",
        ROWS,
        'name.removesuffix("skipped")',
        'name.removesuffix("/skipped")',
        "learning/test_rows.py::test_what_a_player_skipped_is_left_out_of_its_own_means_only",
    ),
    Fault(
        "fixed-is-a-constant",
        "what stays fixed is closed over, and becomes a constant of the program",
        RUN,
        "self.state, metrics = step(self.state, t, self.loop_key, batch, self.fixed)",
        "self.state, metrics = jax.jit(lambda *a: step(*a, self.fixed))"
        "(self.state, t, self.loop_key, batch)",
        "learning/test_run.py::test_what_stays_fixed_is_an_argument_of_the_step_on_all_devices",
    ),
    Fault(
        "stage-one-step-late",
        "the first step of a stage is still made by the program of the stage before",
        RUN,
        "if t <= self.step)]",
        "if t <= max(self.step - 1, 0))]",
        "learning/test_loop.py::"
        "test_a_run_of_stages_is_each_algorithm_in_its_turn_and_is_resumed_within_any",
    ),
    Fault(
        "every-evaluation-another-key",
        "the noise of evaluations differs, so that they do not compare",
        RUN,
        "jax.random.clone(self.eval_key)",
        "jax.random.fold_in(self.eval_key, self.step)",
        "learning/test_loop.py::"
        "test_every_evaluation_has_the_same_key_which_follows_from_that_of_the_run",
    ),
    Fault(
        "all-of-the-state-is-loaded",
        "what an algorithm selects is not noted, and is guessed from names",
        RUN,
        'note=note | {"params": self.places}',
        "note=note",
        "learning/test_loading.py::test_what_an_algorithm_selects_is_what_is_loaded",
    ),
    Fault(
        "computed-parameters-are-noted",
        "parameters that are computed pass for parts of the state",
        LOADING,
        'raise TypeError(f"{picked!r} is no part of it")',
        'return ""',
        "learning/test_loop.py::"
        "test_an_algorithm_that_computes_its_parameters_is_refused_before_compiling",
    ),
    Fault(
        "leaves-in-another-order",
        "arrays of a checkpoint are taken in the order of its names, not by name",
        READING,
        "[found[where] for where in wanted]",
        "list(found.values())",
        "learning/checkpoints/test_saving.py::"
        "test_every_leaf_comes_back_bit_by_bit_and_the_oldest_checkpoints_go",
    ),
    # ------------------------------------------------------------------------- models and data
    Fault(
        "any-function-builds",
        "a function that no one has marked is called because a run names it",
        RECIPES,
        "if not builds(found):",
        "if found is None:",
        "learning/test_recipes.py::test_a_builder_that_is_not_here_or_not_marked_is_not_called",
    ),
    Fault(
        "a-recipe-of-another-model",
        "a recipe is kept that builds another model than the one that is trained",
        RECIPES,
        "    recipe.check(params)\n",
        "",
        "learning/test_recipes.py::"
        "test_a_recipe_of_another_model_is_refused_before_anything_is_trained",
    ),
    Fault(
        "fitted-to-the-test-rows",
        "the rows that are kept from training are not kept from it",
        FITTING,
        "valid, test, train = np.split(order, np.cumsum(counts))",
        "valid, test, train = *np.split(order, np.cumsum(counts))[:2], order",
        "learning/test_fitting.py::test_the_rows_are_split_by_the_seed_and_a_fit_repeats_itself",
    ),
    Fault(
        "classes-of-the-samples",
        "classes of a density that is fitted are not one-hot where it draws",
        FITTING,
        "    return np.eye(num_classes, dtype=np.float32)[cond]",
        "    return np.eye(num_classes, dtype=np.float32)[cond[::-1]]",
        "learning/test_fitting.py::"
        "test_levels_are_learned_by_class_until_the_validation_rows_are_worse",
    ),
)
