"""Faults of codes that are relaxed or drawn, and of the gradients through them."""

from tests.faults.planting import Fault

RELAXED = "dgm_jax/distributions/relaxed.py"
GUMBEL = "dgm_jax/quantized/gumbel.py"
OF_RELAXED = "distributions/test_relaxed.py::"
OF_GUMBEL = "quantized/test_gumbel.py::"

DVAE = "dgm_jax/quantized/dvae.py"
LAPLACE = "dgm_jax/distributions/logit_laplace.py"

FAULTS = (
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
        "a-block-of-levels-too-far",
        "rounding in a sum over blocks leads to a level that is impossible",
        "dgm_jax/distributions/levels.py",
        "t = t - jnp.take_along_axis(before, block[..., None], -1)[..., 0]",
        "t = t - 0.9 * jnp.take_along_axis(before, block[..., None], -1)[..., 0]",
        "test_likelihoods.py::"
        "test_many_levels_are_drawn_block_by_block_as_often_as_they_are_likely",
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
        "a-straight-through-code-that-rounds",
        "soft + (hard - soft) is not hard",
        "dgm_jax/arrays.py",
        "jax.lax.stop_gradient(value) + (soft - jax.lax.stop_gradient(soft))",
        "soft + jax.lax.stop_gradient(value - soft)",
        (
            OF_RELAXED
            + "test_a_straight_through_code_is_exact_and_has_the_gradient_of_its_relaxed_twin"
        ),
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
