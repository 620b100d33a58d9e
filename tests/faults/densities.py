"""Faults of the distributions and likelihoods: what sums to one, and what is drawn."""

from tests.faults.planting import Fault

DISCRETIZED = "dgm_jax/distributions/discretized.py"
AUTOREGRESSIVE = "dgm_jax/distributions/autoregressive.py"
LIKELIHOODS = "dgm_jax/likelihoods.py"
MASKS = "dgm_jax/autoregressive/masks.py"
TABLE = "dgm_jax/autoregressive/table.py"

DIVERGENCE = "dgm_jax/distributions/divergence.py"

GAUSSIANS = "distributions/test_divergence.py::test_gaussians_have_the_divergence_of_the_formula"
SHARPENED = "distributions/test_autoregressive.py::test_sharpened_conditionals_are_tempered_and_cut"

FAULTS = (
    Fault(
        "pushforward-log-det-sign",
        "T11: the density of a sample has the log-det added",
        "dgm_jax/distributions/pushforward.py",
        "return x, log_prob - log_det",
        "return x, log_prob + log_det",
        (
            "contracts/test_densities.py::"
            "test_sample_and_log_prob_is_sample_and_then_log_prob[autoregression, dim 1]"
        ),
    ),
    # ---------------------------------------------------------------- divergences in closed form
    Fault(
        "flows-compared-as-distrax-does",
        "the register of divergences has those of distrax, by the text of programs",
        "dgm_jax/distributions/pushforward.py",
        "@exact\nclass Pushforward",
        "class Pushforward",
        GAUSSIANS,
    ),
    Fault(
        "bijectors-of-one-class-are-one",
        "two flows of one architecture are one map, whatever their parameters",
        "dgm_jax/checks.py",
        "    if one is other:\n        return True\n    raise",
        "    if type(one) is type(other):\n        return True\n    raise",
        (
            "contracts/test_properties.py::"
            "test_two_flows_of_one_architecture_are_not_taken_for_one[coupling, spline]"
        ),
    ),
    Fault(
        "divergence-of-gaussians-without-log-det",
        "the volumes of two Gaussians take no part",
        DIVERGENCE,
        "- m.shape[-1]) / 2 - log_det",
        "- m.shape[-1]) / 2",
        GAUSSIANS,
    ),
    Fault(
        "divergence-of-gaussians-the-other-way",
        "KL(q ‖ p) in the place of KL(p ‖ q)",
        DIVERGENCE,
        "there = t_q.inverse(t_p.forward(noise))",
        "there = t_p.inverse(t_q.forward(noise))",
        GAUSSIANS,
    ),
    Fault(
        "context-loses-its-last-level",
        "T1: the level that leaves a context is the youngest",
        TABLE,
        "after = joint.reshape(-1, contexts).sum(0)",
        "after = joint.reshape(contexts, -1).sum(1)",
        (
            "autoregressive/test_table.py::"
            "test_what_a_table_has_in_closed_form_is_the_sum_over_all_states"
        ),
    ),
    # ---------------------------------------------------------------------- discretized logistics
    Fault(
        "discretized-without-upper-tail",
        "T6: the last level has its bin and not the tail",
        DISCRETIZED,
        "log_p = jnp.where(v == last, 0, log_sigmoid(above))",
        "log_p = log_sigmoid(above)",
        "distributions/test_discretized.py::test_the_outer_levels_take_the_tails",
    ),
    Fault(
        "discretized-without-half",
        "T7: the bin of v reaches from v to v + 1",
        DISCRETIZED,
        "return (v - 0.5 - means)",
        "return (v - means)",
        "distributions/test_discretized.py::test_it_is_the_difference_of_distribution_functions",
    ),
    Fault(
        "discretized-width-of-half-a-bin",
        "T6: the edges of a bin are half a level apart in its width",
        DISCRETIZED,
        "log_width = log1mexp(jnp.exp(-log_scales))",
        "log_width = log1mexp(0.5 * jnp.exp(-log_scales))",
        (
            "distributions/test_discretized.py::"
            "test_it_sums_to_one_over_all_levels_whatever_the_parameters"
        ),
    ),
    Fault(
        "discretized-on-255-levels",
        "T21: 256 levels are spread as 257",
        DISCRETIZED,
        "half = (self._num_levels - 1) / 2",
        "half = self._num_levels / 2",
        "distributions/test_discretized.py::test_it_is_the_difference_of_distribution_functions",
    ),
    Fault(
        "discretized-samples-rounded-down",
        "T7: a sample is the level below, not the nearest",
        DISCRETIZED,
        "jnp.clip(jnp.round(x), 0",
        "jnp.clip(jnp.floor(x), 0",
        (
            "distributions/test_discretized.py::"
            "test_samples_fall_on_each_level_as_often_as_its_probability"
        ),
    ),
    Fault(
        "log1mexp-of-both-branches",
        "T6: the branch that is not taken divides by 0, and its gradient is NaN",
        DISCRETIZED,
        "small, large = jnp.where(near, x, 1.0), jnp.where(near, 1.0, x)",
        "small, large = x, x",
        (
            "distributions/test_discretized.py::"
            "test_values_and_gradients_are_finite_where_both_tails_round_to_nothing"
        ),
    ),
    # ------------------------------------------------------------------------------ autoregressive
    Fault(
        "one-noise-for-all-coordinates",
        "T9: every coordinate is drawn with the same key",
        AUTOREGRESSIVE,
        "sample(seed=jax.random.fold_in(key, i))",
        "sample(seed=jax.random.clone(key))",
        (
            "distributions/test_autoregressive.py::"
            "test_bernoulli_made_sums_to_one_over_all_binary_vectors_and_draws_from_itself"
        ),
    ),
    Fault(
        "completion-that-does-not-condition",
        "what is given is put in afterwards, and what is drawn has not seen it",
        AUTOREGRESSIVE,
        "return jnp.where(known, held.astype(drawn.dtype), drawn)",
        "return drawn",
        (
            "distributions/test_autoregressive.py::"
            "test_completion_is_exact_where_the_given_come_first_and_else_of_what_was_seen"
        ),
    ),
    Fault(
        "temperature-inverted",
        "a low temperature flattens",
        AUTOREGRESSIVE,
        "logits = (logits - highest) / temperature",
        "logits = (logits - highest) * temperature",
        SHARPENED,
    ),
    Fault(
        "top-k-without-the-kth",
        "of the k likeliest levels k - 1 are left",
        AUTOREGRESSIVE,
        "jnp.where(logits < least, -jnp.inf, logits)",
        "jnp.where(logits <= least, -jnp.inf, logits)",
        SHARPENED,
    ),
    Fault(
        "nan-draws-a-level",
        "parameters that are NaN draw level 0, and nobody sees it",
        AUTOREGRESSIVE,
        "return jnp.where((f < jnp.inf).all(-1), drawn, -1)",
        "return drawn",
        (
            "distributions/test_autoregressive.py::"
            "test_a_level_drawn_from_no_distribution_is_minus_one"
        ),
    ),
    # ---------------------------------------------------------------------------------- likelihoods
    Fault(
        "gaussian-scale-inverted",
        "T12: a Gaussian has the scale that whitens it",
        LIKELIHOODS,
        "distrax.Normal(-whiten.shift / whiten.scale, 1 / whiten.scale)",
        "distrax.Normal(-whiten.shift / whiten.scale, whiten.scale)",
        "autoregressive/test_made.py::test_gaussian_made_is_maf_of_one_layer_with_the_same_weights",
    ),
    Fault(
        "grey-levels-are-bits",
        "T36: a Bernoulli scores numbers that are no bits",
        LIKELIHOODS,
        "return jnp.where((value == 0) | (value == 1), log_prob, -jnp.inf)",
        "return log_prob",
        (
            "contracts/test_levels.py::"
            "test_numbers_that_are_no_levels_are_refused_or_impossible[bernoulli]"
        ),
    ),
    Fault(
        "colours-without-posterior",
        "T8: the weights of components do not know the channels before",
        LIKELIHOODS,
        "told = told + self.of_each(f[-1], x[..., c])",
        "told = told + 0",
        "test_likelihoods.py::test_colours_are_coupled_as_in_the_paper",
    ),
    Fault(
        "colours-that-see-themselves",
        "T8: the mean of a channel is moved by the channel itself",
        LIKELIHOODS,
        "before = [numbers[..., b, :] for b in range(c)]",
        "before = [numbers[..., c, :] for b in range(c)]",
        "test_likelihoods.py::test_colours_are_coupled_as_in_the_paper",
    ),
    Fault(
        "pixels-of-several-components",
        "the channels of a pixel of a decoder are drawn without those before",
        LIKELIHOODS,
        "before.append(self._number(x[-1]))",
        "before.append(0 * self._number(x[-1]))",
        "test_likelihoods.py::test_a_decoder_of_pixels_sums_to_one_and_couples_channels_as_a_causal"
        "_net_does",
    ),
    Fault(
        "histogram-with-another-pseudo-count",
        "T36: a whole count is added to each level, in the place of a half",
        LIKELIHOODS,
        "jnp.log(counts + 0.5)",
        "jnp.log(counts + 1.0)",
        "autoregressive/test_made.py::test_adapted_made_is_the_histogram_of_each_coordinate",
    ),
    # -------------------------------------------------------------------------- masks and tables
    Fault(
        "ensemble-is-a-sum",
        "T37: p = Σ p_m, without 1/M",
        MASKS,
        "jax.nn.logsumexp(log_probs, 0) - np.log(self._num_masks)",
        "jax.nn.logsumexp(log_probs, 0)",
        (
            "autoregressive/test_masks.py::"
            "test_the_ensemble_is_the_mean_of_the_members_and_a_key_draws_one"
        ),
    ),
    Fault(
        "masks-that-leave-biases-behind",
        "T3: the bias of a unit does not move with it",
        MASKS,
        '"biases": [rearranged(b, own) for b, own in zip(params["biases"], units)],',
        '"biases": params["biases"],',
        (
            "autoregressive/test_masks.py::"
            "test_a_mask_gives_each_unit_its_degree_and_leaves_every_weight_where_it_is"
        ),
    ),
    Fault(
        "contexts-in-another-order",
        (
            "the context of a table is named from the farthest level on in the density, from the "
            "nearest in the sampler"
        ),
        TABLE,
        "* num_levels ** (j - 1) for j in ago)",
        "* num_levels ** (window - j) for j in ago)",
        (
            "contracts/test_levels.py::"
            "test_each_state_is_drawn_as_often_as_its_probability[table, Markov]"
        ),
    ),
    Fault(
        "table-smoothed-twice",
        "the pseudo-counts are not in the normaliser",
        TABLE,
        "total = counts.sum(-1, keepdims=True)",
        "total = counts.sum(-1, keepdims=True) - smoothing * num_levels",
        "autoregressive/test_table.py::test_a_histogram_is_the_relative_frequencies",
    ),
    Fault(
        "parameters-of-a-table",
        "K^d in the place of K^d - 1: the last probability is counted as free",
        TABLE,
        "* (num_levels - 1) for i in range(rows))",
        "* num_levels for i in range(rows))",
        "autoregressive/test_table.py::test_parameters_of_the_three_assumptions",
    ),
    Fault(
        "key-lost-in-a-density",
        "the key of a net is not handed on, so that nothing is dropped in training",
        "dgm_jax/autoregressive/density.py",
        "cond, num_outputs=num_outputs, key=key)",
        "cond, num_outputs=num_outputs)",
        (
            "autoregressive/test_density.py::"
            "test_the_key_of_the_net_is_one_draw_for_density_samples_and_completions"
        ),
    ),
    # ------------------------------------------------------------------------------ decoders
    Fault(
        "equal-components-stay-equal",
        "components of a mixture start at one point and get equal gradients for ever",
        "dgm_jax/arrays.py",
        "return shifts - points * jnp.expm1(log_scales), log_scales",
        "return shifts - 0 * points * jnp.expm1(log_scales), log_scales",
        (
            "test_likelihoods.py::"
            "test_zero_is_the_standard_normal_or_logistic_and_components_part_at_the_first_step"
        ),
    ),
    Fault(
        "key-lost-in-a-decoder",
        "the key of a decoder's net is not handed on",
        LIKELIHOODS,
        "f = net.apply(params, cond, key=key)",
        "f = net.apply(params, cond)",
        "test_likelihoods.py::test_the_key_of_a_decoder_reaches_its_net",
    ),
    Fault(
        "decoder-layout",
        "T31: parameters of a decoder are read entry by entry where they come channel by channel",
        LIKELIHOODS,
        "return f.reshape(*f.shape[: f.ndim - len(tail)], *shape, num_params)",
        (
            "f = f.reshape(*f.shape[: f.ndim - len(tail)], *shape[:-1], num_params, last)\n"
            "            return jnp.swapaxes(f, -1, -2)"
        ),
        "test_likelihoods.py::test_a_decoder_of_numbers_is_the_formula_and_has_its_moments",
    ),
    Fault(
        "wavenet-of-another-kernel",
        "an option that is spelled out is lost on the way: the kernel size",
        "dgm_jax/autoregressive/wavenet.py",
        "kernel_size=kernel_size,",
        "kernel_size=2,",
        "contracts/test_options.py::test_every_option_is_handed_on_as_it_is[wavenet]",
    ),
)
