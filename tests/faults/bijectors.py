"""Faults of the bijectors: log-dets, directions, inverses, roots and their derivatives."""

from tests.faults.planting import Fault

AUTOREGRESSIVE = "dgm_jax/bijectors/autoregressive.py"
COUPLING = "dgm_jax/bijectors/coupling.py"
LAWS = "dgm_jax/bijectors/laws.py"
SPLINE = "dgm_jax/bijectors/spline.py"
CDF = "dgm_jax/bijectors/cdf.py"
CONTINUOUS = "dgm_jax/bijectors/continuous.py"
LINEAR = "dgm_jax/bijectors/linear.py"
SCAN = "dgm_jax/bijectors/scan.py"
ROOTS = "dgm_jax/bijectors/roots.py"
SQUEEZE = "dgm_jax/bijectors/squeeze.py"
SYLVESTER = "dgm_jax/bijectors/sylvester.py"

DERIVATIVES = (
    "bijectors/test_autoregressive.py::"
    "test_derivatives_of_the_inverse_are_those_of_the_loop_of_d_passes"
)
COUPLING_FORMULA = "bijectors/test_coupling.py::test_coupling_is_the_formula_on_the_moved_part"
LAYERS_IN_TURN = (
    "bijectors/test_scan.py::test_layers_run_first_to_last_forward_and_last_to_first_back"
)

FAULTS = (
    # --------------------------------------------------------------- autoregression and coupling
    Fault(
        "autoregressive-inverse-log-det-sign",
        "T11: the log-det of the inverse has the sign of the forward one",
        AUTOREGRESSIVE,
        "return x, -total(",
        "return x, total(",
        "bijectors/test_autoregressive.py::test_every_inverse_is_the_loop_of_d_passes",
    ),
    Fault(
        "implicit-tangent-sign",
        "T11: what x_<i moves is added, where the implicit function theorem subtracts it",
        "dgm_jax/bijectors/implicit.py",
        "return (y_rows[i] - pulled) / slope[i]",
        "return (y_rows[i] + pulled) / slope[i]",
        DERIVATIVES,
    ),
    Fault(
        "implicit-cotangent-sign",
        "T11: the transposed solve has one sign wrong, so gradients are and values are not",
        "dgm_jax/bijectors/implicit.py",
        "return self._join((x_bar + v) / self.tau_x, units_bar)",
        "return self._join((x_bar - v) / self.tau_x, units_bar)",
        DERIVATIVES,
    ),
    Fault(
        "coupling-mask-is-a-leaf",
        "what says which entries move is traced where a coupling is an argument of jit",
        COUPLING,
        "self._mask = tuple(checks.mask(mask).tolist())",
        "self._mask = checks.mask(mask)",
        (
            "bijectors/test_coupling.py::"
            "test_a_coupling_is_an_argument_of_jit_and_of_grad_and_traced_once"
        ),
    ),
    Fault(
        "coupling-keeps-the-wrong-half",
        "T11: the kept and the moved part change places on the way back into one vector",
        COUPLING,
        "return _merge(kept, moved, mask)",
        "return _merge(moved, kept, mask)",
        COUPLING_FORMULA,
    ),
    Fault(
        "coupling-parameters-transposed",
        "T11: parameters are read in the order of coordinates, where each comes for all of them",
        COUPLING,
        "c = c.reshape(*c.shape[:-1], self._law.num_params, to_move.shape[-1])",
        (
            "c = jnp.swapaxes("
            "c.reshape(*c.shape[:-1], to_move.shape[-1], self._law.num_params), -1, -2)"
        ),
        COUPLING_FORMULA,
    ),
    Fault(
        "total-over-one-axis",
        "T11: log-dets of images are summed over their channels alone",
        "dgm_jax/arrays.py",
        "jax.lax.collapse(log_det, log_det.ndim - event_ndims)",
        "log_det",
        "flows/test_multiscale.py::test_the_log_det_is_that_of_the_dense_jacobian",
    ),
    Fault(
        "affine-without-bound",
        "a log-scale is unbounded, so that samples overflow",
        LAWS,
        "soft_bound(c[..., 1], bound)",
        "c[..., 1]",
        "bijectors/test_laws.py::test_affine_is_the_formula_with_a_bounded_log_scale",
    ),
    # ------------------------------------------------------------------------------------ splines
    Fault(
        "spline-slope-at-the-boundary",
        "T19: the slope at the boundary is not 1",
        SPLINE,
        "_both_ends(here, axis)[::-1]",
        "_both_ends(here, axis)",
        "bijectors/test_spline.py::test_knots_go_to_knots_and_the_slope_is_continuous_there",
    ),
    Fault(
        "spline-where-after",
        "T19: the formula meets points outside, and its NaN leaks through the gradient of `where`",
        SPLINE,
        "safe = jnp.where(inside, x, 0)",
        "safe = x",
        "bijectors/test_spline.py::test_values_and_gradients_are_finite_everywhere",
    ),
    Fault(
        "spline-discriminant",
        "T19: the discriminant of the inverse has s in the place of s²",
        SPLINE,
        "jnp.sqrt(e * e + 4 * s * s * eta * rest)",
        "jnp.sqrt(e * e + 4 * s * eta * rest)",
        "bijectors/test_spline.py::test_forward_and_inverse_undo_each_other_in_both_orders",
    ),
    Fault(
        "spline-inverse-log-det-sign",
        "T11: the log-det of the inverse is that of the forward direction",
        SPLINE,
        "log_det = -log_slope(",
        "log_det = log_slope(",
        "bijectors/test_spline.py::test_log_dets_are_the_derivatives_of_both_directions",
    ),
    Fault(
        "spline-not-the-identity-at-zero",
        "parameters 0 are slopes softplus(0), not 1",
        SPLINE,
        "_softplus(p + offset)",
        "_softplus(p)",
        "bijectors/test_spline.py::test_zero_parameters_are_the_identity",
    ),
    Fault(
        "spline-slope-without-limit",
        "sums of slopes overflow, and log-dets are NaN",
        SPLINE,
        "jnp.minimum(s, largest) for s in steep",
        "s for s in steep",
        "bijectors/test_spline.py::test_slopes_that_overflow_are_no_nan",
    ),
    Fault(
        "spline-knots-move-with-the-share",
        "the derivative of a knot leaves out the least widths of the bins before it",
        SPLINE,
        "(end + spline.bound - twice * least * k)",
        "(end + spline.bound)",
        "bijectors/test_spline.py::test_gradients_are_finite_differences",
    ),
    Fault(
        "spline-log-slope-at-fixed-place",
        "the derivative of log τ' forgets that the mean slope is in its denominator",
        SPLINE,
        "2 * (m * (a + b) / s + xi * rest / above)",
        "2 * (m * (a + b) + xi * rest / above)",
        "bijectors/test_spline.py::test_gradients_are_finite_differences",
    ),
    Fault(
        "spline-derivative-that-is-constant",
        "the derivative of the curve is not differentiable itself",
        SPLINE,
        "    m = xi * rest / below\n",
        "    m = jax.lax.stop_gradient(xi * rest / below)\n",
        "bijectors/test_spline.py::test_second_derivatives_are_those_of_the_formula",
    ),
    # ------------------------------------------------------------------------ mixtures and roots
    Fault(
        "mixture-bracket-between-the-means",
        "T24: the bracket of the bisection ends at the outer means, so tails are cut off",
        CDF,
        "bisect(excess, ends.min(-1), ends.max(-1))",
        "bisect(excess, mixture.means.min(-1), mixture.means.max(-1))",
        "bijectors/test_cdf.py::test_forward_and_inverse_undo_each_other_in_both_orders",
    ),
    Fault(
        "mixture-slope-without-weights",
        "T24: the derivative of the logit of the mixture forgets the weights",
        CDF,
        "below + above - mixture.log_weights - mixture.log_scales",
        "below + above - mixture.log_scales",
        "bijectors/test_cdf.py::test_log_dets_are_the_derivatives_of_both_directions",
    ),
    Fault(
        "mixture-slope-derivative",
        "T24: the closed derivative of the log-slope has the sign of one side wrong",
        CDF,
        "(weights - scales + (right - left) * moved)",
        "(weights - scales + (right + left) * moved)",
        "bijectors/test_cdf.py::test_gradients_are_finite_differences",
    ),
    Fault(
        "mixture-quantile-derivative",
        "T24: the implicit derivative of the quantile has one sign wrong",
        CDF,
        "return x, (tangents[1] - push) * ",
        "return x, (tangents[1] + push) * ",
        "bijectors/test_cdf.py::test_gradients_are_finite_differences",
    ),
    Fault(
        "bisection-too-short",
        "T24: too few halvings for the precision of the dtype",
        ROOTS,
        "jax.lax.fori_loop(0, jnp.finfo(low.dtype).nmant + 1, halve, (low, high))",
        "jax.lax.fori_loop(0, 8, halve, (low, high))",
        (
            "bijectors/test_cdf.py::test_forward_and_inverse_undo_each_other_in_both_orders",
            "bijectors/test_cdf.py::test_the_inverse_of_a_nearly_flat_curve_still_maps_onto_the_point",
        ),
    ),
    Fault(
        "root-derivative-inverted",
        "T24: the slope of the equation multiplies the derivative of its root",
        ROOTS,
        "lambda linear, y: y / linear(jnp.ones_like(y)),",
        "lambda linear, y: y * linear(jnp.ones_like(y)),",
        (
            "bijectors/test_roots.py::"
            "test_its_derivatives_are_those_of_the_implicit_function_in_both_modes"
        ),
    ),
    Fault(
        "normal-cdf-tail",
        "T24: a continued fraction cut off where it has not converged",
        "dgm_jax/bijectors/normal_cdf.py",
        "FRACTIONS = 16",
        "FRACTIONS = 2",
        (
            "bijectors/test_normal_cdf.py::"
            "test_values_log_dets_and_derivatives_keep_their_precision_in_the_tails"
        ),
    ),
    # --------------------------------------------------------------------------------- continuous
    Fault(
        "ode-back-is-ode-forth",
        "T26: the inverse is integrated in the direction of the forward map",
        CONTINUOUS,
        "*((time, 0.0) if backward else (0.0, time)),\n"
        "            dt0=-time / 10 if backward else time / 10,",
        "*(0.0, time),\n            dt0=time / 10,",
        (
            "bijectors/test_continuous.py::"
            "test_a_linear_ode_is_the_matrix_exponential_with_log_det_t_trace_a"
        ),
    ),
    Fault(
        "ode-noise-drawn-along-the-path",
        "T25: Hutchinson's noise changes from one evaluation to the next",
        CONTINUOUS,
        "            return self._field.divergence(params, x, t, cond)\n",
        "            return self._field.divergence(params, x, t, cond)\n"
        "        eps = jnp.roll(eps, jnp.floor(97 * t).astype(int), -1)\n"
        "        args = (params, cond, eps)\n",
        ("bijectors/test_continuous.py::test_the_noise_stays_along_the_path_and_from_call_to_call"),
    ),
    Fault(
        "ode-trace-is-a-mean",
        "T25: εᵀ J ε is averaged over coordinates",
        CONTINUOUS,
        "return f, (row * eps).sum(-1)",
        "return f, (row * eps).mean(-1)",
        "bijectors/test_continuous.py::test_the_noise_stays_along_the_path_and_from_call_to_call",
    ),
    Fault(
        "ode-parameters-by-closure",
        "T26: the parameters are constants of the solve, so nothing is learned",
        CONTINUOUS,
        "args, time = (self._params, self._cond, eps), self._solver.time",
        "args = (jax.lax.stop_gradient(self._params), self._cond, eps)\n"
        "        time = self._solver.time",
        (
            "bijectors/test_continuous.py::"
            "test_a_gradient_is_the_finite_difference_of_the_numbers_computed"
        ),
    ),
    Fault(
        "ode-failure-passes",
        "T28: where the solver gives up, the numbers it had are returned",
        CONTINUOUS,
        "_nan_where(failure > 0,",
        "_nan_where(failure > 9,",
        "bijectors/test_continuous.py::test_a_failed_path_is_nan_and_says_why",
    ),
    # ------------------------------------------------------------------------------------- linear
    Fault(
        "log-det-of-one-pixel",
        "T15: the log-det of a 1×1 convolution does not count H·W times",
        LINEAR,
        "total = math.prod(x.shape[batch:-1]) * log_diagonal.sum()",
        "total = log_diagonal.sum()",
        "bijectors/test_linear.py::test_a_factor_is_its_matrix_at_every_pixel",
    ),
    Fault(
        "triangle-with-two-diagonals",
        "T15: the free matrix adds its diagonal to e^s",
        LINEAR,
        "strict = jnp.tril(matrix, -1) if lower else jnp.triu(matrix, 1)",
        "strict = jnp.tril(matrix) if lower else jnp.triu(matrix)",
        "bijectors/test_linear.py::test_a_factor_is_its_matrix_at_every_pixel",
    ),
    Fault(
        "householder-without-half",
        "T18: the product of reflections is no orthogonal matrix",
        LINEAR,
        "unit(v.shape[-2]) / 2",
        "unit(v.shape[-2])",
        "bijectors/test_linear.py::test_householder_is_the_product_of_its_reflections",
    ),
    Fault(
        "permutation-is-its-inverse",
        "T15: an order is its own way back",
        "dgm_jax/bijectors/permutation.py",
        "self._back = places(self._order)",
        "self._back = self._order",
        "bijectors/test_permutation.py::test_inverse_takes_them_back",
    ),
    # ---------------------------------------------------------------------- layers and pictures
    Fault(
        "scan-back-in-the-order-forward",
        "T11: the inverse undoes the first layer first",
        SCAN,
        'reverse = method.startswith("inverse")',
        "reverse = False",
        LAYERS_IN_TURN,
    ),
    Fault(
        "scan-keeps-the-last-log-det",
        "T11: the log-dets of the layers are not added",
        SCAN,
        "return (x, jax.tree.map(jnp.add, total, log_det)), None",
        "return (x, log_det), None",
        LAYERS_IN_TURN,
    ),
    Fault(
        "checkerboard-white-first",
        "T16: the colours of the checkerboard change places",
        SQUEEZE,
        "odd_row = np.arange(h)[:, None, None, None] % 2 == 1",
        "odd_row = np.arange(h)[:, None, None, None] % 2 == 0",
        (
            "bijectors/test_squeeze.py::"
            "test_checkerboard_puts_the_black_pixels_first_and_each_near_its_place"
        ),
    ),
    Fault(
        "factor-out-in-the-other-order",
        "T16: the noise that left first and the noise of the rest change places",
        "dgm_jax/bijectors/factor_out.py",
        "return jnp.concatenate([z_rest, z_out], -1), log_det",
        "return jnp.concatenate([z_out, z_rest], -1), log_det",
        (
            "bijectors/test_squeeze.py::"
            "test_factor_out_transforms_one_half_of_the_channels_and_adds_log_dets"
        ),
    ),
    Fault(
        "sylvester-slope",
        "T18: the derivative of tanh is 1 - tanh",
        SYLVESTER,
        "same_rank(1 - jnp.tanh(v) ** 2, diagonal)",
        "same_rank(1 - jnp.tanh(v), diagonal)",
        (
            "flows/test_sylvester.py::"
            "test_the_log_det_is_that_of_the_jacobian_and_the_flow_starts_as_the_identity"
        ),
    ),
)
