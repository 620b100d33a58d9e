"""Faults of the flows and of what composes them: order, keys, constraints, statistics, priors."""

from tests.faults.planting import Fault

COMBINATORS = "dgm_jax/combinators.py"
LINEAR = "dgm_jax/flows/linear.py"
ACTNORM = "dgm_jax/flows/actnorm.py"
PLANAR = "dgm_jax/flows/planar.py"
SYLVESTER = "dgm_jax/flows/sylvester.py"
MULTISCALE = "dgm_jax/flows/multiscale.py"

KEYS = "contracts/test_keys.py::test_a_key_reaches_the_parts_of_a_"
KEYS_OF_FLOWS, KEYS_OF_DENSITIES = KEYS + "flow_in_both_directions", KEYS + "density"

FAULTS = (
    # ------------------------------------------------------------------------------- combinators
    Fault(
        "compose-first-is-nearest-to-the-noise",
        "T11: compose(f, g) is g ∘ f",
        COMBINATORS,
        "return distrax.Chain([f.bijector(p, _of(f, cond), key=k) for f, p, k in layers])",
        "return distrax.Chain([f.bijector(p, _of(f, cond), key=k) for f, p, k in layers][::-1])",
        "test_combinators.py::test_compose_runs_the_last_first",
    ),
    Fault(
        "compose-drops-the-condition",
        "a part of a composition is never told the condition",
        COMBINATORS,
        "return distrax.Chain([f.bijector(p, _of(f, cond), key=k) for f, p, k in layers])",
        "return distrax.Chain([f.bijector(p, key=k) for f, p, k in layers])",
        "test_combinators.py::test_compose_hands_the_condition_to_every_flow_that_takes_one",
    ),
    Fault(
        "compose-starts-all-alike",
        "one key for the initial parameters of all parts",
        COMBINATORS,
        "return [flow.init(k) for flow, k in zip(flows, jax.random.split(key, len(flows)))]",
        "return [flow.init(jax.random.clone(key)) for flow in flows]",
        "test_combinators.py::test_compose_gives_each_flow_a_key_and_parameters_of_its_own",
    ),
    Fault(
        "adapt-from-the-noise-side",
        "T14: data-dependent parameters of many layers are set in the order of sampling",
        COMBINATORS,
        "z, params = jax.lax.scan(body, x, params, num_layers, reverse=True, unroll=unroll)",
        "z, params = jax.lax.scan(body, x, params, num_layers, unroll=unroll)",
        "flows/test_actnorm.py::test_every_actnorm_of_a_deep_flow_is_set_on_any_layout",
    ),
    Fault(
        "images-without-dropout",
        "an option is lost on its way to the nets of a flow of images",
        "dgm_jax/flows/flow_pp.py",
        '"num_blocks": num_blocks, "dropout": dropout}',
        '"num_blocks": num_blocks}',
        "flows/test_multiscale.py::test_every_net_has_the_options_and_gets_a_key",
    ),
    Fault(
        "posterior-sees-the-latent-prior",
        "the posterior of a latent variable model has the weights of its likelihood",
        COMBINATORS,
        "return parts[name].dist(params[name], seen, key=key)",
        "return parts[name].dist(params['likelihood'], seen, key=key)",
        "test_combinators.py::test_a_linear_autoencoder_learns_the_optimum_of_probabilistic_pca",
    ),
    Fault(
        "encoded-sees-the-condition-itself",
        "the density behind an encoder is given the condition and not the features",
        COMBINATORS,
        'return density.dist(params["density"], seen, key=density_key)',
        'return density.dist(params["density"], cond[..., :2], key=density_key)',
        "test_combinators.py::test_encoded_is_the_density_under_what_the_net_says",
    ),
    # --------------------------------------------------------------------------------- of vectors
    Fault(
        "maf-is-iaf",
        "T12: the flow whose density is cheap is the one whose samples are",
        "dgm_jax/flows/maf.py",
        "return invert(flow)",
        "return flow",
        "flows/test_maf.py::test_maf_after_iaf_with_shared_weights_is_the_identity",
    ),
    Fault(
        "realnvp-moves-one-half",
        "T16: all couplings keep the same half",
        "dgm_jax/flows/realnvp.py",
        "for mask in (even, ~even)",
        "for mask in (even, even)",
        (
            "flows/test_realnvp.py::"
            "test_realnvp_moves_every_coordinate_and_starts_as_the_identity_up_to_the_shuffle"
        ),
    ),
    Fault(
        "cdf-composed-backwards",
        "T24: the normal's distribution function comes after the quantile of the mixture",
        "dgm_jax/flows/cdf.py",
        "distrax.Chain([distrax.Inverse(to_logistic), NormalLogitCDF()])",
        "distrax.Chain([NormalLogitCDF(), distrax.Inverse(to_logistic)])",
        "flows/test_cdf.py::test_the_noise_is_the_normal_quantile_of_the_distribution_function",
    ),
    Fault(
        "planar-without-constraint",
        "T17: û = u, so that wᵀu may be below -1 and the map folds",
        PLANAR,
        "product = _above_minus_one((w * u).sum(-1, keepdims=True))",
        "product = (w * u).sum(-1, keepdims=True)",
        "flows/test_planar.py::test_a_planar_flow_that_violates_the_constraint_is_made_increasing",
    ),
    Fault(
        "planar-not-the-identity",
        "T17: m(0) = log 2 - 1, so that u = 0 moves",
        PLANAR,
        "return jax.nn.softplus(a + offset) - (1 - LEAST_SLOPE)",
        "return jax.nn.softplus(a) - (1 - LEAST_SLOPE)",
        (
            "flows/test_sylvester.py::"
            "test_the_log_det_is_that_of_the_jacobian_and_the_flow_starts_as_the_identity"
        ),
    ),
    Fault(
        "sylvester-diagonals-free",
        "T18: r_ii r̃_ii is not bounded, so that some layers have no inverse",
        SYLVESTER,
        "math.sqrt(1 - LEAST_SLOPE) * jnp.tanh(jnp.diagonal(matrix, axis1=-2, axis2=-1))",
        "jnp.diagonal(matrix, axis1=-2, axis2=-1)",
        "flows/test_sylvester.py::test_the_inverse_exists_however_wild_the_parameters",
    ),
    Fault(
        "sylvester-product-in-the-other-order",
        "T18: R R̃ in the place of R̃ R: equal log-dets, another inverse",
        SYLVESTER,
        "jnp.triu(r_tilde @ r)",
        "jnp.triu(r @ r_tilde)",
        "flows/test_sylvester.py::test_the_inverse_exists_however_wild_the_parameters",
    ),
    Fault(
        "trace-of-another-product",
        "T28: the closed form of the trace forgets a transpose",
        "dgm_jax/flows/neural_ode.py",
        "(middle[0] * (last @ first).T)",
        "(middle[0] * (last @ first))",
        "flows/test_neural_ode.py::test_the_closed_form_of_the_trace_is_that_of_the_jacobian",
    ),
    # ----------------------------------------------------------------------------------- linear
    Fault(
        "lu-signs",
        "T15: signs are taken from the diagonal of U and not from its columns",
        LINEAR,
        "jnp.triu(upper * signs[None], 1)",
        "jnp.triu(upper, 1)",
        (
            "flows/test_linear.py::"
            "test_the_log_det_read_from_the_diagonal_is_that_of_the_dense_matrix"
        ),
    ),
    Fault(
        "actnorm-shift-sign",
        "T14: the batch is moved away from 0",
        ACTNORM,
        '{"log_scale": jnp.log(std), "shift": mean}',
        '{"log_scale": jnp.log(std), "shift": -mean}',
        "flows/test_actnorm.py::test_after_adapt_the_noise_side_has_mean_0_and_std_1",
    ),
    Fault(
        "actnorm-of-one-pixel",
        "T14: the statistics of a channel are those of its first pixel",
        ACTNORM,
        "mean, std = _moments(x.reshape(-1, dim))",
        "mean, std = _moments(x.reshape(len(x), -1, dim)[:, 0])",
        "flows/test_actnorm.py::test_after_adapt_the_noise_side_has_mean_0_and_std_1",
    ),
    Fault(
        "actnorm-of-all-channels",
        "T14: one deviation for all channels",
        ACTNORM,
        "std = jnp.sqrt(((rows - mean[None]) ** 2).mean(0))",
        "std = jnp.sqrt(((rows - mean[None]) ** 2).mean() * jnp.ones_like(mean))",
        "flows/test_actnorm.py::test_after_adapt_the_noise_side_has_mean_0_and_std_1",
    ),
    Fault(
        "actnorm-divides-by-nothing",
        "T14: a constant channel has deviation 0 and log-scale -∞",
        ACTNORM,
        "return mean, jnp.where(std <= rounding, 1, std)",
        "return mean, std",
        "flows/test_actnorm.py::test_a_constant_coordinate_is_shifted_and_not_scaled",
    ),
    # ---------------------------------------------------------------------------------- pictures
    Fault(
        "glow-prior-without-condition",
        "T16: what leaves has the prior N(0, 1), whatever is kept",
        "dgm_jax/flows/glow.py",
        "return of_steps(coupling, shape, cond_shape)",
        "end = lambda inner, _: invert(fixed(squeeze((2 * inner[0], 2 * inner[1], inner[2]))))\n"
        "        return of_steps(end, shape, cond_shape)",
        "flows/test_glow.py::test_the_prior_moves_what_leaves_and_nothing_else",
    ),
    Fault(
        "channels-left-where-they-were-rolled",
        "T16: after the last coupling the halves are not brought back",
        MULTISCALE,
        "rolled(-half * num_layers)",
        "rolled(0)",
        (
            "flows/test_multiscale.py::"
            "test_alternating_couplings_move_the_halves_in_turn_and_leave_each_in_its_place"
        ),
    ),
    Fault(
        "class-does-not-enter",
        "a class-conditional flow of images is the same for all classes",
        "dgm_jax/nets/conv.py",
        "else cond[..., None, None, :]",
        "else 0 * cond[..., None, None, :]",
        "flows/test_glow.py::test_a_class_or_a_map_enters_every_net",
    ),
    Fault(
        "map-beside-the-image-stays-as-it-is",
        "a condition of each pixel is rearranged in another way than the image is",
        MULTISCALE,
        "return r.forward(cond.astype(float) if integers else cond)",
        "return r.forward(cond[..., ::-1, :])",
        "flows/test_multiscale.py::test_a_map_beside_the_image_is_rearranged_as_the_image_is",
    ),
    Fault(
        "noise-that-does-not-see-its-level",
        "T23: learned dequantization noise is the same for all x",
        "dgm_jax/flows/dequantization.py",
        "bijector = flow.bijector(params, levels, key=key)",
        "bijector = flow.bijector(params, jnp.zeros_like(levels), key=key)",
        "objectives/test_dequantization.py::test_learned_noise_is_a_density_of_u_that_depends_on_x",
    ),
    # ------------------------------------------------------------------------------- distillation
    Fault(
        "distillation-moves-the-teacher",
        "T30: the teacher gets a gradient",
        "dgm_jax/flows/distillation.py",
        "jax.lax.stop_gradient(teacher_params)",
        "teacher_params",
        (
            "flows/test_distillation.py::"
            "test_the_teacher_gets_no_gradient_and_every_part_of_the_student_does"
        ),
    ),
    Fault(
        "distillation-log-det-sign",
        "T30: the entropy of the student is added, where it is subtracted",
        "dgm_jax/flows/distillation.py",
        "loss = mean_log_ratio(log_base - log_det, log_teacher)",
        "loss = mean_log_ratio(log_base + log_det, log_teacher)",
        (
            "flows/test_distillation.py::"
            "test_it_is_zero_on_every_sample_where_student_and_teacher_are_one"
        ),
    ),
    Fault(
        "distillation-entropy-without-base",
        "T30: the entropy told is that of the map, without the noise",
        "dgm_jax/flows/distillation.py",
        "entropy = (dist.distribution.entropy() + log_det).mean()",
        "entropy = log_det.mean()",
        (
            "flows/test_distillation.py::"
            "test_between_gaussians_it_is_the_closed_form_and_so_are_its_two_terms"
        ),
    ),
    # ---------------------------------------------------------------------------- reversible nets
    Fault(
        "revnet-cotangents-crossed",
        "T29: the backward pass gives each half the cotangent of the other",
        "dgm_jax/nets/reversible.py",
        "return ((moved - out, b), (moved_bar, b_bar + from_f)), p_bar",
        "return ((moved - out, b), (b_bar + from_f, moved_bar)), p_bar",
        "nets/test_reversible.py::test_values_and_gradients_are_those_of_ordinary_backprop",
    ),
    # -------------------------------------------------------------------- keys and conditions
    Fault(
        "key-lost-in-compose",
        "no dropout, for want of a key: the parts of a composition",
        COMBINATORS,
        "layers = zip(flows, params, split(key, len(flows)))",
        "layers = zip(flows, params, split(None, len(flows)))",
        KEYS_OF_FLOWS + "[compose, first]",
    ),
    Fault(
        "one-key-for-all-parts",
        "parts of a composition that draw the same noise",
        COMBINATORS,
        "layers = zip(flows, params, split(key, len(flows)))",
        "layers = zip(flows, params, [again(key) for _ in flows])",
        KEYS_OF_FLOWS + "[compose, of two that would cancel]",
    ),
    Fault(
        "key-lost-in-repeat",
        "no dropout, for want of a key: repeated layers",
        COMBINATORS,
        "return flow.bijector(params, cond, key=again(key))",
        "return flow.bijector(params, cond)",
        KEYS_OF_FLOWS + "[repeat]",
    ),
    Fault(
        "key-lost-in-invert",
        "no dropout, for want of a key: an inverted flow",
        COMBINATORS,
        "return distrax.Inverse(flow.bijector(params, cond, key=key))",
        "return distrax.Inverse(flow.bijector(params, cond))",
        KEYS_OF_FLOWS + "[invert]",
    ),
    Fault(
        "key-lost-in-factor-out",
        "no dropout, for want of a key: the scales that go on",
        COMBINATORS,
        "return FactorOut(rest.bijector(params, cond, key=key), shape)",
        "return FactorOut(rest.bijector(params, cond), shape)",
        KEYS_OF_FLOWS + "[factor_out]",
    ),
    Fault(
        "key-lost-in-the-flow",
        "no dropout, for want of a key: the flow of a pushforward",
        COMBINATORS,
        "_of(flow, cond), key=flow_key)",
        "_of(flow, cond))",
        KEYS_OF_DENSITIES + "[pushforward, flow]",
    ),
    Fault(
        "key-lost-in-the-base",
        "no dropout, for want of a key: the base of a pushforward",
        COMBINATORS,
        "_of(base, cond), key=base_key)",
        "_of(base, cond))",
        KEYS_OF_DENSITIES + "[pushforward, base]",
    ),
    Fault(
        "key-lost-in-conditional",
        "no dropout, for want of a key: the net of a conditional density",
        COMBINATORS,
        "return to_dist(net.apply(params, cond, key=key))",
        "return to_dist(net.apply(params, cond))",
        KEYS_OF_DENSITIES + "[conditional]",
    ),
    Fault(
        "key-lost-in-an-encoder",
        "no dropout, for want of a key: the net of an encoded density",
        COMBINATORS,
        'net.apply(params["net"], cond, key=net_key)',
        'net.apply(params["net"], cond)',
        KEYS_OF_DENSITIES + "[encoded, net]",
    ),
    Fault(
        "key-lost-behind-an-encoder",
        "no dropout, for want of a key: the density behind an encoder",
        COMBINATORS,
        'density.dist(params["density"], seen, key=density_key)',
        'density.dist(params["density"], seen)',
        KEYS_OF_DENSITIES + "[encoded, density]",
    ),
    Fault(
        "key-lost-in-a-prior",
        "no dropout, for want of a key: the prior of a latent variable model",
        COMBINATORS,
        'prior.dist(params["prior"], _of(prior, cond), key=key)',
        'prior.dist(params["prior"], _of(prior, cond))',
        KEYS_OF_DENSITIES + "[prior]",
    ),
    Fault(
        "key-lost-in-a-posterior",
        "no dropout, for want of a key: posterior and likelihood of a latent variable model",
        COMBINATORS,
        "return parts[name].dist(params[name], seen, key=key)",
        "return parts[name].dist(params[name], seen)",
        KEYS_OF_DENSITIES + "[posterior]",
    ),
    Fault(
        "key-lost-in-a-coupling",
        "no dropout, for want of a key: the conditioner of a coupling",
        "dgm_jax/flows/coupling.py",
        "net.apply(params, kept, *context, key=again(key))",
        "net.apply(params, kept, *context)",
        KEYS_OF_FLOWS + "[coupling]",
    ),
    Fault(
        "key-lost-in-a-coupling-of-channels",
        "no dropout, for want of a key: the conditioner of a coupling of channels",
        "dgm_jax/flows/multiscale.py",
        "f.apply(params, kept, *context, key=again(key))",
        "f.apply(params, kept, *context)",
        KEYS_OF_FLOWS + "[channel_coupling]",
    ),
    Fault(
        "key-lost-in-an-autoregression",
        "no dropout, for want of a key: the net of an autoregressive flow",
        "dgm_jax/flows/autoregression.py",
        "Autoregressive(net, params, law, dim, cond, key=key)",
        "Autoregressive(net, params, law, dim, cond)",
        KEYS_OF_FLOWS + "[autoregression]",
    ),
    Fault(
        "conditions-share-their-noise",
        "a batch of conditions gets one noise for all",
        COMBINATORS,
        "return Pushforward(noise, bijector, batch_shape=batch_shape)",
        "return Pushforward(noise, bijector)",
        (
            "contracts/test_densities.py::"
            "test_each_condition_has_its_own_noise_and_its_own_density[realnvp, conditional]"
        ),
    ),
    # ------------------------------------------------------------------------------- options
    Fault(
        "maf-drops-its-order",
        "an option that is spelled out is lost on the way: the order of a MAF",
        "dgm_jax/flows/maf.py",
        "order=order,",
        "order=None,",
        "contracts/test_options.py::test_every_option_is_handed_on_as_it_is[maf]",
    ),
    Fault(
        "autoregression-drops-its-dropout",
        "an option that is spelled out is lost on the way: dropout",
        "dgm_jax/flows/autoregression.py",
        "dropout=dropout,",
        "dropout=0.0,",
        "contracts/test_options.py::test_every_option_is_handed_on_as_it_is[autoregression]",
    ),
    Fault(
        "flow-pp-drops-its-blocks",
        "an option that is spelled out is lost on the way: a net of another depth",
        "dgm_jax/flows/flow_pp.py",
        '"num_blocks": num_blocks',
        '"num_blocks": 2',
        "contracts/test_options.py::test_every_option_is_handed_on_as_it_is[flow_pp]",
    ),
)
