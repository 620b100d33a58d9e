"""Faults of the causal nets: who sees whom, and whether steps one by one are all steps at once."""

from tests.faults.planting import Fault

TRIANGULAR = "dgm_jax/nets/causal/triangular.py"
SUBSTITUTION = "dgm_jax/nets/causal/substitution.py"
MADE = "dgm_jax/nets/causal/made.py"
STEPWISE = "dgm_jax/nets/causal/stepwise.py"
CONVOLUTIONS = "dgm_jax/nets/causal/convolutions.py"
TRANSFORMER = "dgm_jax/nets/causal/transformer.py"

SEES_EARLIER = "nets/causal/test_made.py::test_an_output_sees_exactly_the_inputs_before_it"
UNROLLS = "nets/causal/test_made.py::test_all_unrolls_are_those_of_d_full_passes"
ONE_BY_ONE = "nets/causal/test_stepwise.py::test_a_step_at_a_time_is_all_steps_at_once"
NO_LOOK_AHEAD = (
    "nets/causal/test_stepwise.py::test_nothing_looks_ahead_and_the_next_output_sees_each_input"
)
ATTENTION = (
    "nets/causal/test_time.py::test_attention_is_the_masked_definition_in_float64_in_both_views"
)
PIXELS_SEE = "nets/causal/test_gated_pixelcnn.py::test_every_earlier_pixel_is_seen_and_no_other"

FAULTS = (
    # ------------------------------------------------------------------------------------ MADE
    Fault(
        "made-output-not-strict",
        "T1: an output sees hidden units of its own rank",
        TRIANGULAR,
        "return np.repeat(np.arange(self.dim), self.q) - 1",
        "return np.repeat(np.arange(self.dim), self.q)",
        SEES_EARLIER,
    ),
    Fault(
        "made-direct-not-strict",
        "T1: a direct connection leads from an input to its own output",
        TRIANGULAR,
        "_product(layers.direct, x, own, layers.input_steps(), bounds)",
        "_product(layers.direct, x, own + 1, layers.input_steps(), bounds)",
        SEES_EARLIER,
    ),
    Fault(
        "made-hidden-strict",
        "T2: hidden units do not see those of their own degree, so inputs are lost",
        TRIANGULAR,
        "may_read = below[columns][None] <= own[rows][:, None]",
        "may_read = below[columns][None] < own[rows][:, None]",
        SEES_EARLIER,
    ),
    Fault(
        "made-degrees-miss-the-last",
        "T2: no hidden unit has the highest degree, so an input reaches no output",
        MADE,
        "np.arange(h) * num_degrees // h + lowest",
        "np.arange(h) * (num_degrees - 1) // h + lowest",
        SEES_EARLIER,
    ),
    Fault(
        "made-outputs-in-the-order-of-making",
        "T3: outputs of a permuted order are not put back by rank",
        MADE,
        "jnp.take(array, places(self.order), 0)",
        "jnp.take(array, self.order, 0)",
        SEES_EARLIER,
    ),
    Fault(
        "made-first-output-without-condition",
        "T2: with a condition no unit has degree 0, so the first output ignores it",
        MADE,
        "lowest = 0 if cond_shape else 1",
        "lowest = 1",
        "nets/causal/test_made.py::test_every_output_sees_the_condition_the_first_too",
    ),
    Fault(
        "made-coordinates-of-the-first-block",
        "T9: each block of an unroll names its coordinates from 0",
        SUBSTITUTION,
        "emit(block.lo + t, block.output(",
        "emit(t, block.output(",
        UNROLLS,
    ),
    Fault(
        "made-a-round-too-few",
        "T12: a fixed point is left one round before it is exact",
        SUBSTITUTION,
        "return (rounds < size) & ~(change <= tolerance)",
        "return (rounds < size - 1) & ~(change <= tolerance)",
        UNROLLS,
    ),
    Fault(
        "made-transposed-a-step-late",
        "T12: the transpose of a net completes its units a step late",
        TRIANGULAR,
        "steps=[(dim - 2 - own)[::-1] for own in layers.steps[::-1]],",
        "steps=[(dim - 1 - own)[::-1] for own in layers.steps[::-1]],",
        (
            "bijectors/test_autoregressive.py::"
            "test_derivatives_of_the_inverse_are_those_of_the_loop_of_d_passes"
        ),
    ),
    Fault(
        "naive-forgets-the-order",
        "T3: the d passes make the coordinates from 0 on, whatever the order",
        "dgm_jax/nets/causal/definition.py",
        "jax.lax.scan(fill_one, values, jnp.asarray(order))",
        "jax.lax.scan(fill_one, values, jnp.arange(dim))",
        "nets/causal/test_definition.py::test_unroll_makes_each_coordinate_from_those_before_it",
    ),
    # --------------------------------------------------------------------------- step by step
    Fault(
        "stepwise-without-shift",
        "T10: step t is given input t",
        STEPWISE,
        "self.run_body(params, view, later(u, 1), cond, *features)",
        "self.run_body(params, view, later(u, 0), cond, *features)",
        NO_LOOK_AHEAD,
    ),
    Fault(
        "queue-off-by-one",
        "T9: the cached queue of past inputs is read one step late",
        "dgm_jax/nets/causal/time.py",
        "(self.t - lag) % size",
        "(self.t - lag + 1) % size",
        ONE_BY_ONE,
    ),
    Fault(
        "cached-keys-of-the-next-step",
        "T9: a step attends to the place of the next one in its cache",
        "dgm_jax/nets/causal/time.py",
        "jnp.arange(size) <= self.t)",
        "jnp.arange(size) <= self.t + 1)",
        ATTENTION,
    ),
    Fault(
        "attention-sees-the-next-step",
        "T10: the mask of attention is off by one",
        "dgm_jax/nets/causal/attention.py",
        "return (lag >= 0) & (lag < size)",
        "return (lag >= -1) & (lag < size)",
        ATTENTION,
    ),
    Fault(
        "attention-window-too-wide",
        "T10: a window of attention is one step too wide in the parallel pass",
        "dgm_jax/nets/causal/attention.py",
        "return (lag >= 0) & (lag < size)",
        "return (lag >= 0) & (lag <= size)",
        ATTENTION,
    ),
    Fault(
        "attention-of-another-temperature",
        "T9: the scores of attention are divided by c, not by its square root",
        "dgm_jax/nets/causal/attention.py",
        "scores / math.sqrt(q.shape[-1])",
        "scores / q.shape[-1]",
        ATTENTION,
    ),
    Fault(
        "start-is-a-value",
        "T10: before the start looks like the value 0: there is no start token",
        "dgm_jax/nets/causal/channels.py",
        "jnp.ones((*u.shape[:-1], 1), dtype)",
        "jnp.zeros((*u.shape[:-1], 1), dtype)",
        "nets/causal/test_markov.py::test_it_is_a_sequence_of_any_length",
    ),
    Fault(
        "channel-sees-itself",
        "T4: the last channel of a pixel is added to its own output",
        "dgm_jax/nets/causal/channels.py",
        "before = u[..., :c, :]",
        "before = u[..., 1 : c + 1, :]",
        "nets/causal/test_pixelcnn.py::test_pixels_come_in_raster_order_and_the_channels_of_one_last",
    ),
    Fault(
        "wavenet-skips-the-own-step",
        "T10: the taps of a dilated convolution begin one dilation too far back",
        "dgm_jax/nets/causal/wavenet.py",
        "[j * dilation for j in range(self.kernel_size)]",
        "[(j + 1) * dilation for j in range(self.kernel_size)]",
        "nets/causal/test_wavenet.py::test_an_output_sees_its_receptive_field_and_nothing_else",
    ),
    Fault(
        "receptive-field-of-the-taps",
        "T10: R = k Σ d, where it is 1 + (k - 1) Σ d",
        "dgm_jax/nets/causal/wavenet.py",
        "return 1 + (kernel_size - 1) * sum(dilations)",
        "return kernel_size * sum(dilations)",
        (
            "nets/causal/test_wavenet.py::"
            "test_the_receptive_field_is_one_more_than_the_taps_beyond_the_first"
        ),
    ),
    Fault(
        "lstm-forgets-at-the-start",
        "the forget gate has no bias of 1",
        "dgm_jax/nets/causal/rnn.py",
        "jax.nn.sigmoid(f + 1) * s",
        "jax.nn.sigmoid(f) * s",
        (
            "nets/causal/test_rnn.py::"
            "test_an_lstm_without_input_forgets_by_its_gate_and_a_gru_by_half"
        ),
    ),
    Fault(
        "rotary-is-no-rotation",
        "the second half of a turned pair has the wrong sign",
        TRANSFORMER,
        "[left * cos - right * sin, left * sin + right * cos]",
        "[left * cos + right * sin, left * sin + right * cos]",
        (
            "nets/causal/test_transformer.py::"
            "test_rotary_places_are_distances_so_that_parameters_serve_any_length"
        ),
    ),
    Fault(
        "transformer-order-of-readers",
        "T3: a step of a permuted order is told a place it does not read from",
        TRANSFORMER,
        "np.append(0, 1 + order[:-1])",
        "np.append(0, 1 + order[1:])",
        (
            "nets/causal/test_transformer.py::"
            "test_a_place_is_told_to_the_step_that_makes_it_and_to_the_one_that_reads_from_it"
        ),
    ),
    # -------------------------------------------------------------------------------- pictures
    Fault(
        "pixelcnn-mask-a-is-mask-b",
        "T4: the first mask lets a pixel see itself",
        CONVOLUTIONS,
        "num_taps = up * columns + left + (not self.late)",
        "num_taps = up * columns + left + 1",
        PIXELS_SEE,
    ),
    Fault(
        "pixelcnn-mask-b-is-mask-a",
        "T4: later masks leave out the own pixel too",
        CONVOLUTIONS,
        "num_taps = up * columns + left + (not self.late)",
        "num_taps = up * columns + left",
        "nets/causal/test_convolutions.py::test_a_causal_convolution_is_the_masked_one",
    ),
    Fault(
        "convolution-shifted-to-the-right",
        "T4: a padding of one column too few to the left, one too many to the right",
        CONVOLUTIONS,
        "((up, 0), (left, columns - 1 - left)),",
        "((up, 0), (left - 1, columns - left)) if left else ((up, 0), (left, columns - 1 - left)),",
        PIXELS_SEE,
    ),
    Fault(
        "cached-row-wraps-around",
        "T9: a cached convolution reads beyond the edge, the end of the row above",
        CONVOLUTIONS,
        "taps = jnp.where(view.along(inside)[:, None], taps, 0)",
        "taps = jnp.where(view.along(inside | True)[:, None], taps, 0)",
        "nets/causal/test_convolutions.py::test_a_causal_convolution_is_the_masked_one",
    ),
    Fault(
        "gated-with-a-blind-spot",
        "T5: the vertical stack sees no columns to the sides",
        "dgm_jax/nets/causal/gated_pixelcnn.py",
        "a = RowConv(2 * self.hidden, half, half)(view, v)",
        "a = RowConv(2 * self.hidden, half, 0)(view, v)",
        (
            "nets/causal/test_gated_pixelcnn.py::"
            "test_a_layer_of_two_stacks_sees_half_a_kernel_further_up_and_to_the_sides"
        ),
    ),
    Fault(
        "rows-of-their-own-row",
        "T4: the features of a row are made of the row itself",
        STEPWISE,
        "AllSteps(self.height, rows_key), later(picture, 1)",
        "AllSteps(self.height, rows_key), later(picture, 0)",
        PIXELS_SEE,
    ),
    # ----------------------------------------------------------------------------------- levels
    Fault(
        "one-hot-of-the-next-level",
        "T21: the last level is the one without a weight, two levels are not the bit",
        "dgm_jax/nets/causal/encodings.py",
        "jax.nn.one_hot(x - 1, size)",
        "jax.nn.one_hot(x, size)",
        "nets/causal/test_encodings.py::test_one_hot_is_zero_for_level_zero_and_a_bit_is_itself",
    ),
    Fault(
        "scaled-by-the-number-of-levels",
        "T21: 256 for 255, so that levels do not reach 1",
        "dgm_jax/nets/causal/encodings.py",
        "half = (num_levels - 1) / 2",
        "half = num_levels / 2",
        "nets/causal/test_encodings.py::test_scaled_levels_reach_from_minus_one_to_one",
    ),
    Fault(
        "condition-of-the-last-pixel",
        "a step is given the condition of another pixel than it makes",
        STEPWISE,
        "PerStep(cond.reshape(batch, self.num_steps, size)[:, self.order])",
        "PerStep(jnp.roll(cond.reshape(batch, self.num_steps, size)[:, self.order], 1, 1))",
        (
            "nets/causal/test_stepwise.py::"
            "test_the_step_that_makes_a_pixel_is_given_the_condition_of_that_pixel_and_of_no_later_one"
        ),
    ),
    Fault(
        "condition-of-columns-reversed",
        "in the unroll a pixel is given the condition of another column",
        STEPWISE,
        "own = None if own is None else jnp.moveaxis(own, 1, 0)",
        "own = None if own is None else jnp.moveaxis(own, 1, 0)[::-1]",
        "nets/causal/test_stepwise.py::test_a_step_at_a_time_is_all_steps_at_once",
    ),
    # -------------------------------------------------------------------------------------- keys
    Fault(
        "dropout-of-the-first-units",
        "T29: in an unroll every unit has the dropout mask of the first ones",
        MADE,
        "value * rows_from(dropped[n], start, stream)",
        "value * rows_from(dropped[n], 0, stream)",
        "nets/causal/test_made.py::test_dropout_is_one_mask_a_key_in_the_pass_and_in_the_unroll",
    ),
    Fault(
        "dropout-without-scale",
        "dropout does not multiply what it keeps",
        MADE,
        "jax.random.bernoulli(k, keep, n).astype(dtype) / keep",
        "jax.random.bernoulli(k, keep, n).astype(dtype)",
        "nets/causal/test_made.py::test_dropout_multiplies_what_it_keeps_so_that_means_stay",
    ),
    Fault(
        "dropout-without-a-key",
        "T29: dropout acts in an evaluation too",
        MADE,
        ("if key is None or not self.dropout:\n            return None"),
        (
            "if not self.dropout:\n"
            "            return None\n"
            "        key = jax.random.key(0) if key is None else key"
        ),
        "nets/causal/test_made.py::test_dropout_is_one_mask_a_key_in_the_pass_and_in_the_unroll",
    ),
    Fault(
        "derivative-under-another-mask",
        "T29: the derivative of an inverse does not know its dropout",
        "dgm_jax/bijectors/autoregressive.py",
        "linear = net.linearize(params, x, units, cond, key=again(key))",
        "linear = net.linearize(params, x, units, cond)",
        (
            "bijectors/test_autoregressive.py::"
            "test_derivatives_of_the_inverse_are_those_of_the_loop_of_d_passes"
        ),
    ),
    # ------------------------------------------------------------------------ nets with a state
    Fault(
        "evaluation-moves-the-state",
        "T48: a net with train=False returns another state",
        "dgm_jax/nets/adapter.py",
        "        if not train:\n            y: Any = module.apply(variables",
        "        if False:\n            y: Any = module.apply(variables",
        "nets/test_adapter.py::test_otherwise_it_uses_the_state_and_changes_nothing",
    ),
    Fault(
        "training-keeps-the-state",
        "T13: running statistics never move",
        "dgm_jax/nets/adapter.py",
        "return y, jax.tree.map(lambda new, old: new.astype(old.dtype), dict(moved), state)",
        "return y, state",
        (
            "nets/test_adapter.py::"
            "test_a_step_of_training_uses_the_batch_and_moves_the_state_by_a_tenth"
        ),
    ),
    Fault(
        "state-of-a-wider-dtype",
        "T48: a state changes its dtype in a loop",
        "dgm_jax/nets/adapter.py",
        "lambda new, old: new.astype(old.dtype), dict(moved), state",
        "lambda new, old: new, dict(moved), state",
        "nets/test_adapter.py::test_a_state_keeps_its_dtype_so_that_a_loop_can_carry_it",
    ),
    # ------------------------------------------------------------------------- dropout in steps
    Fault(
        "dropout-of-the-first-step",
        "T29: a step of an unroll has the dropout mask of the first",
        "dgm_jax/nets/causal/time.py",
        "jax.random.bernoulli(jax.random.fold_in(key, self.t), keep, h.shape)",
        "jax.random.bernoulli(jax.random.fold_in(key, 0), keep, h.shape)",
        "nets/causal/test_pixelcnn_pp.py::test_it_is_scored_as_it_is_made",
    ),
    Fault(
        "dropout-of-rows-without-a-key",
        "T29: the stack of rows drops nothing while a picture is made",
        STEPWISE,
        "view = OneStep(self.net.height, r, memory, rows_shared, self.rows_key)",
        "view = OneStep(self.net.height, r, memory, rows_shared)",
        "nets/causal/test_pixelcnn_pp.py::test_it_is_scored_as_it_is_made",
    ),
    Fault(
        "condition-of-another-row",
        "the stack of rows is given the condition of the row above",
        STEPWISE,
        "return PerStep(cond.value.reshape(batch, self.height, self.width, size))",
        "return PerStep(jnp.roll(cond.value.reshape(batch, self.height, self.width, size), 1, 1))",
        "nets/causal/test_gated_pixelcnn.py::test_a_map_beside_the_picture_is_seen_by_the_rows",
    ),
)
