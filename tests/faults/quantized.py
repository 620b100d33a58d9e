"""Faults of codes that are looked up, relaxed or drawn, and of the gradients through them."""

from tests.faults.planting import Fault

RELAXED = "dgm_jax/distributions/relaxed.py"
GUMBEL = "dgm_jax/quantized/gumbel.py"
OF_RELAXED = "distributions/test_relaxed.py::"
OF_GUMBEL = "quantized/test_gumbel.py::"

DVAE = "dgm_jax/quantized/dvae.py"
LAPLACE = "dgm_jax/distributions/logit_laplace.py"

VQ = "dgm_jax/quantized/vq.py"
CODEBOOKS = "dgm_jax/quantized/codebooks.py"
VQVAE = "dgm_jax/quantized/vqvae.py"
OF_VQ, OF_CODEBOOKS = "quantized/test_vq.py::", "quantized/test_codebooks.py::"
OF_VQVAE, OF_VQVAE2 = "quantized/test_vqvae.py::", "quantized/test_vqvae2.py::"

FAULTS = (
    Fault(
        "no-code-read-as-the-last",
        "T119: the index -1 wraps",
        VQ,
        "fill_value=jnp.nan, wrap_negative_indices=False)",
        "fill_value=jnp.nan)",
        OF_VQ + "test_no_code_has_no_vector",
    ),
    Fault(
        "nan-has-the-first-code",
        "T119: a NaN is no distance, and 0 the index of none",
        VQ,
        "return jnp.where(known, index, -1)",
        "return jnp.where(known, index, 0)",
        OF_VQ + "test_what_is_no_number_has_no_code_and_the_losses_say_so",
    ),
    Fault(
        "distances-of-the-wrong-sign",
        "‖e‖² + 2 e·z",
        VQ,
        "jnp.square(e).sum(-1) - 2 * products",
        "jnp.square(e).sum(-1) - products",
        OF_VQ + "test_the_nearest_code_is_that_of_the_least_distance_and_the_lowest_of_equal_ones",
    ),
    Fault(
        "losses-after-the-straight-through",
        "T55: vectors are tied to z before the losses, which move no codebook",
        VQ,
        "mean_square(stop_gradient(features), vectors),",
        "mean_square(stop_gradient(features), straight_through(vectors, features)),",
        OF_VQ + "test_each_loss_moves_its_own_side",
    ),
    Fault(
        "losses-that-are-means-over-a-vector",
        "T113: .mean() over all",
        VQ,
        "jnp.square(a - b).sum(-1).mean()",
        "jnp.square(a - b).mean()",
        OF_VQ + "test_losses_are_sums_over_a_vector_and_means_over_vectors",
    ),
    Fault(
        "smoothing-that-is-written-back",
        "T114: what is read for one step becomes the average of the next",
        CODEBOOKS,
        '"shares": moved(state["shares"], shares),',
        '"shares": moved(state["shares"] + smoothing, shares),',
        OF_CODEBOOKS
        + "test_shares_and_means_are_moving_averages_with_the_closed_form_whatever_is_read",
    ),
    Fault(
        "codes-without-hits-that-fall-to-zero",
        "T115: m / N of a code that was never hit",
        CODEBOOKS,
        'means, state["codebook"])',
        'means, 0 * state["codebook"])',
        OF_CODEBOOKS + "test_with_decay_0_a_step_is_one_of_lloyds",
    ),
    Fault(
        "averages-of-sums",
        "sums over a batch in the place of means: two halves do not average to the whole",
        CODEBOOKS,
        "jax.ops.segment_sum(values, codes, num_codes) / len(codes)",
        "jax.ops.segment_sum(values, codes, num_codes)",
        OF_CODEBOOKS + "test_states_of_two_halves_average_to_that_of_the_whole_batch",
    ),
    Fault(
        "codes-that-are-never-revived",
        "a dead code keeps its place",
        CODEBOOKS,
        "codebook = jnp.where(dead, _rows(key, features, len(codebook)), codebook)",
        "codebook = jnp.where(dead & False, _rows(key, features, len(codebook)), codebook)",
        OF_CODEBOOKS + "test_codes_that_are_hardly_hit_start_anew_at_features_of_the_batch",
    ),
    Fault(
        "finite-scalars-at-the-edges",
        "levels at -1 and 1, not at the middles of equal parts",
        "dgm_jax/quantized/fsq.py",
        "return (2 * parts + 1) / sizes - 1",
        "return 2 * parts / (sizes - 1) - 1",
        "quantized/test_fsq.py::test_every_code_is_the_code_of_its_vector_and_vectors_are_the_"
        "middles_of_equal_parts",
    ),
    Fault(
        "stages-that-quantise-the-same",
        "what is left over is not what the next stage sees",
        "dgm_jax/quantized/residual.py",
        "left = left - stop_gradient(found.vectors)",
        "left = left - 0 * stop_gradient(found.vectors)",
        "quantized/test_residual.py::test_each_stage_quantises_what_is_left_and_leaves_less",
    ),
    Fault(
        "beta-on-the-codebook",
        "T112: β weighs the loss of the codebook",
        VQVAE,
        "distortion + found.codebook_loss + beta * found.commitment_loss",
        "distortion + beta * found.codebook_loss + found.commitment_loss",
        OF_VQVAE + "test_beta_weighs_what_moves_the_encoder_and_never_the_codebook",
    ),
    Fault(
        "a-mean-over-places-beside-a-sum-over-pixels",
        "the losses of one vector beside the distortion of the whole picture",
        VQVAE,
        "losses = (math.prod(places) * loss for loss in",
        "losses = (1 * loss for loss in",
        OF_VQVAE + "test_the_loss_is_the_distortion_and_sums_over_the_vectors_of_an_example",
    ),
    Fault(
        "a-bottom-that-does-not-know-its-top",
        "levels are quantised each by itself",
        "dgm_jax/quantized/vqvae2.py",
        'at, z = (params["quantisers"][i], state[i]), self.z(params, i, maps[i], u)\n'
        "            q, s",
        'at = (params["quantisers"][i], state[i])\n'
        "            z = self.z(params, i, maps[i], u if u is None else 0 * u)\n"
        "            q, s",
        OF_VQVAE2 + "test_the_bottom_is_quantised_and_decoded_given_the_top_and_the_top_by_itself",
    ),
    Fault(
        "a-codebook-that-a-critic-alone-does-not-mind",
        "the loss of the codebook is left out of the game",
        "dgm_jax/quantized/fqgan.py",
        "return loss + weight * quantisation,",
        "return loss + 0 * weight * quantisation,",
        "quantized/test_fqgan.py::"
        "test_the_loss_adds_the_quantisation_of_data_and_samples_and_averages_are_of_both",
    ),
    Fault(
        "certainty-that-costs-nothing",
        "T117: the rate is forgotten",
        "dgm_jax/distributions/dirac.py",
        "return -other.log_prob(self._value)",
        "return 0 * other.log_prob(self._value)",
        "distributions/test_dirac.py::"
        "test_it_is_sure_of_one_value_and_its_divergence_is_what_that_costs",
    ),
    Fault(
        "codes-that-pay-for-symbols",
        "log p(z | text) of all levels, symbols too: it sums to less than 1",
        DVAE,
        "of_codes = logits[..., text.shape[-1] :, self._num_symbols :]",
        (
            "of_codes = jax.nn.log_softmax(logits)[..., text.shape[-1] :, self._num_symbols :]\n"
            "        return jnp.take_along_axis(of_codes, codes[..., None], -1).sum((-2, -1))"
        ),
        (
            "quantized/test_dvae.py::"
            "test_codes_given_a_text_are_those_of_the_sequence_renormalised_over_codes"
        ),
    ),
    Fault(
        "codes-drawn-among-symbols",
        "a symbol that is drawn is no code",
        DVAE,
        "allowed=np.arange(levels) >= self._num_symbols",
        "allowed=np.arange(levels) >= 1",
        (
            "quantized/test_dvae.py::"
            "test_codes_given_a_text_are_those_of_the_sequence_renormalised_over_codes"
        ),
    ),
    Fault(
        "a-density-without-its-jacobian",
        "Laplace of logit x, without 1 / (x (1 - x))",
        LAPLACE,
        "jnp.log(scale * x * (1 - x))",
        "jnp.log(scale)",
        "distributions/test_logit_laplace.py::"
        "test_the_density_integrates_to_one_and_draws_follow_it",
    ),
    Fault(
        "an-outer-level-without-its-tail",
        "the first level ends half a level below",
        LAPLACE,
        "inner = ~(first | final)",
        "inner = ~final",
        "distributions/test_logit_laplace.py::"
        "test_levels_have_the_mass_of_their_part_and_are_drawn_as_often",
    ),
    Fault(
        "a-group-of-levels-too-far",
        "what is left of the uniform number, after a group, is too much",
        "dgm_jax/distributions/levels.py",
        "drawn + place * size, t - before",
        "drawn + place * size, t - 0.9 * before",
        "test_likelihoods.py::"
        "test_levels_are_those_at_which_their_cdf_passes_one_uniform_number[70]",
    ),
    Fault(
        "noise-of-a-uniform-zero",
        "T58: -log(-log u) at u = 0",
        RELAXED,
        "jax.random.gumbel(key, (num, *logits.shape), dtype)",
        "-jnp.log(-jnp.log(jax.random.uniform(key, (num, *logits.shape), dtype)))",
        OF_RELAXED + "test_noise_is_finite_where_the_uniform_number_is_zero",
    ),
    Fault(
        "a-relaxed-density-without-its-constant",
        "G2: (K - 1)! left out",
        RELAXED,
        "constant = math.lgamma(num) + (num - 1) * jnp.log(t)",
        "constant = (num - 1) * jnp.log(t)",
        OF_RELAXED + "test_the_density_of_three_categories_integrates_to_one",
    ),
    Fault(
        "a-relaxed-density-of-another-power",
        "z^-τ for z^(-τ - 1)",
        RELAXED,
        "(constant + of_peaks - log_z.sum(-1))",
        "(constant + of_peaks)",
        OF_RELAXED + "test_the_density_of_two_is_that_of_a_squashed_logistic",
    ),
    Fault(
        "a-straight-through-value-that-rounds",
        "soft + (value - soft) is not value",
        "dgm_jax/arrays.py",
        "jax.lax.stop_gradient(value) + (soft - jax.lax.stop_gradient(soft))",
        "soft + jax.lax.stop_gradient(value - soft)",
        "test_arrays.py::test_a_straight_through_value_is_exact_and_moves_as_another",
    ),
    Fault(
        "a-code-that-counts-as-reparametrised",
        "a choice by a draw has no gradient",
        RELAXED,
        "    reparametrised = False\n",
        "    reparametrised = True\n",
        OF_RELAXED + "test_only_relaxed_draws_are_reparametrised",
    ),
    Fault(
        "muprop-without-what-it-took-out",
        "the mean of the linear part is not put back",
        GUMBEL,
        "(through - stop_gradient(through))[None]",
        "0 * through[None]",
        OF_GUMBEL + "test_an_unbiased_gradient_is_the_exact_one_in_the_mean",
    ),
    Fault(
        "a-running-mean-that-begins-at-zero",
        "m is not divided by 1 - d^t",
        GUMBEL,
        '"weight": decay * state["weight"] + (1 - decay)}',
        '"weight": jnp.ones(())}',
        OF_GUMBEL + "test_a_running_mean_is_that_of_all_steps_before",
    ),
    Fault(
        "a-baseline-that-never-learns",
        "what f owes to x stays in the signal",
        GUMBEL,
        '"slope": state["slope"] + jnp.where(started, step, 0.0)',
        '"slope": state["slope"]',
        OF_GUMBEL + "test_a_linear_baseline_learns_what_the_signal_owes_to_x_and_takes_noise_out",
    ),
    Fault(
        "a-temperature-of-no-draw",
        "codes and KL are those of τ = 1",
        GUMBEL,
        "draw, num_samples, beta, parts_key, temperature)",
        "draw, num_samples, beta, parts_key)",
        OF_GUMBEL + "test_codes_of_a_temperature_are_those_of_logits_over_it",
    ),
    Fault(
        "a-class-that-the-top-alone-is-told",
        "the map of a level below holds no condition",
        "dgm_jax/quantized/vqvae2.py",
        "jnp.asarray(cond, parts[0].dtype)[..., None, None, :]",
        "0 * jnp.asarray(cond, parts[0].dtype)[..., None, None, :]",
        OF_VQVAE2 + "test_under_a_class_the_codes_of_all_levels_have_a_density_of_their_own",
    ),
    Fault(
        "a-relaxed-loss-told-as-a-bound",
        "T118: relaxed samples are reported as the bound",
        GUMBEL,
        "    if not hard:",
        "    if False:",
        OF_GUMBEL + "test_losses_tell_the_bound_of_hard_codes_and_a_relaxed_one_does_not_claim_to",
    ),
    Fault(
        "a-divergence-of-half-the-codes",
        "log K - H of the last code alone",
        RELAXED,
        "return each.sum(range(1 - self._event_ndims, 0))",
        "return each.mean(range(1 - self._event_ndims, 0))",
        (
            OF_RELAXED + "test_the_divergence_from_the_uniform_code_is_log_k_less_the_entropy",
            OF_GUMBEL + "test_the_divergence_is_log_k_less_the_entropy_and_beta_weighs_it",
        ),
    ),
    Fault(
        "a-temperature-that-falls-below-its-least",
        "τ = e^(-r t) goes to 0",
        GUMBEL,
        "jnp.maximum(least, jnp.exp(-rate * (step // every * every)))",
        "jnp.exp(-rate * (step // every * every))",
        OF_GUMBEL + "test_a_temperature_falls_to_its_least_in_steps",
    ),
)
