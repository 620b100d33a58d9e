"""Faults of the nets of games: norms of weights, statistics of batches, attention, sampling."""

from tests.faults.planting import Fault

SPECTRAL = "dgm_jax/nets/spectral.py"
BATCH_NORM = "dgm_jax/nets/batch_norm.py"
RESAMPLED = (
    "nets/test_resampling.py::test_it_is_the_convolution_beside_the_resampling_with_two_derivatives"
)

FAULTS = (
    Fault(
        "spectral-gradient-without-sigma",
        "T48: the gradient does not go through σ, so that what only scales W stays in it",
        SPECTRAL,
        "return v @ (matrix @ u), u",
        "return jax.lax.stop_gradient(v @ (matrix @ u)), u",
        "nets/test_spectral.py::test_the_gradient_passes_through_sigma_and_not_through_u_and_v",
    ),
    Fault(
        "spectral-moves-in-evaluation",
        "T48: evaluation changes the state",
        SPECTRAL,
        "moves = train and not self.is_initializing()",
        "moves = not self.is_initializing()",
        "nets/test_spectral.py::"
        "test_evaluation_leaves_u_where_it_is_and_the_first_u_is_near_its_end",
    ),
    Fault(
        "spectral-matrix-of-inputs",
        "T48: a kernel is reshaped by its first axis, so that another matrix is normalised",
        SPECTRAL,
        "matrix = weights.reshape(-1, weights.shape[-1])",
        "matrix = weights.reshape(weights.shape[-1], -1).T",
        "nets/test_spectral.py::"
        "test_weights_divided_by_it_have_the_norm_one_after_n_updates_and_each_moves_u_once",
    ),
    Fault(
        "conditional-gain-without-its-one",
        "T99: the gain is γ(y), so that nothing passes at the start",
        BATCH_NORM,
        "(x, train) * (1 + gain) + shift",
        "(x, train) * gain + shift",
        "nets/test_batch_norm.py::"
        "test_conditional_batch_norm_starts_as_the_plain_one_and_its_gain_is_one_plus_gamma",
    ),
    Fault(
        "batch-norm-of-the-batch-in-evaluation",
        "T100: samples depend on those drawn beside them",
        BATCH_NORM,
        "        if train:\n            now = _moments",
        "        if True:\n            now = _moments",
        "nets/test_batch_norm.py::test_in_evaluation_an_example_does_not_depend_on_its_companions",
    ),
    Fault(
        "virtual-batch-norm-of-all",
        "the statistics of an example are those of its whole batch",
        BATCH_NORM,
        "reference = [a[:n].mean(0, keepdims=True) for a in (means, squares)]",
        "reference = [a.mean(0, keepdims=True) for a in (means, squares)]",
        "nets/test_batch_norm.py::"
        "test_virtual_batch_norm_of_an_example_does_not_depend_on_its_companions",
    ),
    Fault(
        "attention-over-queries",
        "T50: the softmax is over the pixels that look, not over those that are seen",
        "dgm_jax/nets/attention.py",
        'jnp.einsum("...ic,...jc->...ij", query, key), axis=-1)',
        'jnp.einsum("...ic,...jc->...ij", query, key), axis=-2)',
        "nets/test_attention.py::test_it_is_the_formula_and_the_identity_where_gamma_starts",
    ),
    Fault(
        "nearest-conv-unflipped",
        "T111: the kernel of a transposed convolution is not flipped",
        "dgm_jax/nets/resampling.py",
        "_spread(jnp.flip(kernel, (0, 1)))",
        "_spread(kernel)",
        RESAMPLED,
    ),
    Fault(
        "orthogonal-penalty-with-the-diagonal",
        "T50: columns are drawn to length one as well",
        "dgm_jax/gans/biggan.py",
        "jnp.square(gram - jnp.diag(jnp.diag(gram))).sum()",
        "jnp.square(gram - jnp.eye(len(gram))).sum()",
        "gans/test_biggan.py::"
        "test_the_penalty_is_zero_for_orthogonal_columns_of_any_length_and_the_formula_else",
    ),
)
