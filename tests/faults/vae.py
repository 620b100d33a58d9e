"""Faults of variational autoencoders: what encoders say, learned priors, how inputs are seen."""

from tests.faults.planting import Fault

POSTERIORS = "dgm_jax/vae/posteriors.py"
PRIORS = "dgm_jax/vae/priors.py"
VAMP = "dgm_jax/vae/vamp.py"
VAE = "dgm_jax/vae/vae.py"
LIKELIHOODS = "dgm_jax/likelihoods.py"

FAULTS = (
    Fault(
        "a-log-variance-for-a-log-scale",
        "T32: the encoder's second half is read as log σ²",
        POSTERIORS,
        "return Normal(mean, jnp.exp(soft_bound(",
        "return Normal(mean, jnp.exp(0.5 * soft_bound(",
        "vae/test_posteriors.py::test_diagonal_is_the_gaussian_of_means_and_log_scales",
    ),
    Fault(
        "a-gaussian-of-codes-without-its-volume",
        "T38: log q forgets Σ log σ",
        POSTERIORS,
        "jnp.square((value - mean) / scale) - jnp.log(scale)",
        "jnp.square((value - mean) / scale)",
        "contracts/test_latent.py::test_prior_and_posterior_integrate_to_one",
    ),
    Fault(
        "a-flow-that-sees-the-numbers-of-its-base",
        "h is cut at the wrong end of what the encoder says",
        POSTERIORS,
        "seen = None if flow.cond_shape is None or cond is None else cond[..., first:]",
        "seen = None if flow.cond_shape is None or cond is None else cond[..., : total - first]",
        (
            "vae/test_posteriors.py::"
            "test_the_density_of_a_draw_is_that_of_its_noise_less_the_log_det_of_the_flow"
        ),
    ),
    Fault(
        "components-drawn-alike",
        "a mixture draws its components whatever their weights are",
        PRIORS,
        "which = Levels(self._log_weights)",
        "which = Levels(0 * self._log_weights)",
        (
            "vae/test_priors.py::test_it_draws_each_component_as_often_as_its_weight_says_and_"
            "knows_its_moments"
        ),
    ),
    Fault(
        "a-vamp-prior-that-is-a-sum",
        "T37: log Σ_k and not log-mean: the prior has mass K",
        VAMP,
        "weights = jnp.full(num, -jnp.log(num), inputs.dtype)",
        "weights = jnp.zeros(num, inputs.dtype)",
        (
            "vae/test_vamp.py::"
            "test_with_the_data_as_inputs_the_prior_is_the_average_of_their_posteriors"
        ),
    ),
    Fault(
        "pseudo-inputs-that-leave-the-data",
        "T37: nothing keeps the pseudo-inputs in range",
        VAMP,
        'inputs = _within(params["pseudo_inputs"], low, high)',
        'inputs = params["pseudo_inputs"]',
        "vae/test_vamp.py::test_inputs_stay_in_the_range_and_at_its_ends_step_inwards_only",
    ),
    Fault(
        "pseudo-inputs-that-never-move",
        "the gradient of a clip is 0 at the bits that the inputs start at",
        VAMP,
        "outwards = ((u >= high) & (slope < 0)) | ((u <= low) & (slope > 0))",
        "outwards = (u >= high) | (u <= low)",
        "vae/test_vamp.py::test_inputs_stay_in_the_range_and_at_its_ends_step_inwards_only",
    ),
    Fault(
        "levels-seen-beyond-their-range",
        "levels are scaled by their number, not by the largest",
        LIKELIHOODS,
        "return x if most == 1 else 2 * x / most - 1",
        "return x if most == 1 else 2 * x / (most + 1) - 1",
        ("vae/test_vae.py::test_the_encoder_sees_bits_as_they_are_and_levels_from_minus_1_to_1"),
    ),
    Fault(
        "dropout-that-an-encoder-never-sees",
        "the key stops at the posterior of a VAE",
        VAE,
        "likelihood, dtype), cond, key=key)",
        "likelihood, dtype), cond)",
        "vae/test_vae.py::test_a_code_is_the_mean_of_the_posterior_the_same_at_every_time",
    ),
    Fault(
        "a-batch-of-one-read-as-an-entry",
        "the axis of one sample is taken for the one entry of x",
        LIKELIHOODS,
        "if fits and batch_ndim in (None, f.ndim - len(tail)):",
        "if fits:",
        "test_likelihoods.py::test_an_axis_of_one_in_a_batch_of_latents_is_not_one_entry_of_x",
    ),
)
