"""Faults of autoregressive decoders and of what is known of a collapse: maps, flows, constants."""

from tests.faults.planting import Fault

PIXELVAE = "dgm_jax/vae/pixelvae.py"
VLAE = "dgm_jax/vae/vlae.py"
COLLAPSE = "dgm_jax/vae/collapse.py"

FAULTS = (
    Fault(
        "pixelvae-map-upside-down",
        "a pixel reads another place of the map: rows and columns are reshaped in another order",
        PIXELVAE,
        "return decoder.apply(params, z, key=key).reshape(*z.shape[:-1], *map_shape)",
        "return decoder.apply(params, z, key=key).reshape(*z.shape[:-1], *map_shape)[..., ::-1]",
        "vae/test_pixelvae.py::test_the_likelihood_is_that_of_the_causal_density_at_the_map_and_"
        "sums_to_one",
    ),
    Fault(
        "pixelvae-decoder-without-dropout",
        "the key of training does not reach the net that makes the map",
        PIXELVAE,
        "return decoder.apply(params, z, key=key)",
        "return decoder.apply(params, z)",
        "vae/test_pixelvae.py::test_dropout_reaches_the_net_of_the_map",
    ),
    Fault(
        "vlae-flow-runs-backwards",
        "C7: the noise of a posterior is T(z) in place of T⁻¹(z)",
        VLAE,
        "return Pushforward(of_code, distrax.Inverse(to_code(params, flow_key)))",
        "return Pushforward(of_code, to_code(params, flow_key))",
        "vae/test_vlae.py::test_an_autoregressive_prior_is_an_iaf_posterior_sample_by_sample",
    ),
    Fault(
        "vlae-decodes-the-noise",
        "the decoder of the model of ε is given ε itself, not T(ε)",
        VLAE,
        "return model.likelihood(params, code, cond, key=rest_key)",
        "return model.likelihood(params, noise, cond, key=rest_key)",
        "vae/test_vlae.py::test_an_autoregressive_prior_is_an_iaf_posterior_sample_by_sample",
    ),
    Fault(
        "window-mirrored",
        "what is seen to the left and to the right is told the wrong way round",
        VLAE,
        "return Window(farthest(rows), farthest(columns), farthest(-columns))",
        "return Window(farthest(rows), farthest(-columns), farthest(columns))",
        "vae/test_vlae.py::test_what_a_decoder_sees_is_found_by_changing_pixels",
    ),
    Fault(
        "linear-bound-without-its-trace",
        "E_q of the squared error at the mean of q alone: the term tr(Wᵀ W S) is forgotten",
        COLLAPSE,
        "missed = jnp.square(y - mean @ decoder.T).sum(-1) + "
        "jnp.sum((decoder.T @ decoder) * covariance)",
        "missed = jnp.square(y - mean @ decoder.T).sum(-1)",
        "vae/test_collapse.py::test_the_closed_form_is_the_mean_of_sampled_bounds",
    ),
    Fault(
        "linear-optimum-keeps-the-noise",
        "W = U Λ^½ in place of U (Λ - σ²)^½, as of PCA",
        COLLAPSE,
        "decoder = vectors[:, :num_latents] * np.sqrt(kept - variance)",
        "decoder = vectors[:, :num_latents] * np.sqrt(kept)",
        "vae/test_collapse.py::test_the_optimum_has_a_unit_for_each_direction_above_the_noise_and_"
        "its_kl",
    ),
    Fault(
        "best-posterior-by-moments",
        "the best diagonal q takes the variances of p(z | x), which are those of KL(p ‖ q)",
        COLLAPSE,
        "return jnp.diag(1 / each), gap",
        "return jnp.diag(jnp.diagonal(jnp.linalg.inv(precision))), gap",
        "vae/test_collapse.py::test_the_best_posterior_is_that_of_the_bound",
    ),
)
