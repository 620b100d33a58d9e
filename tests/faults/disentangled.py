"""Faults of disentanglement: estimates of q(z), permutations, covariances, codes of an InfoGAN."""

from tests.faults.planting import Fault

AGGREGATE = "dgm_jax/objectives/aggregate.py"
OF_A_SET = "dgm_jax/metrics/aggregate.py"
TC, DIP = "dgm_jax/disentangled/tc_vae.py", "dgm_jax/disentangled/dip_vae.py"
BETA, FACTOR = "dgm_jax/disentangled/beta_vae.py", "dgm_jax/disentangled/factor_vae.py"
CODES, INFOGAN = "dgm_jax/disentangled/codes.py", "dgm_jax/disentangled/infogan.py"
IMPOSSIBLE = "dgm_jax/disentangled/impossibility.py"

ON_AVERAGE = (
    "objectives/test_aggregate.py::test_stratified_alone_is_the_aggregate_posterior_on_average"
)
CONSTANTS = (
    "objectives/test_aggregate.py::"
    "test_weighted_is_plain_over_the_size_of_the_set_with_the_same_gradient"
)
OF_GAUSSIANS = "objectives/test_aggregate.py::test_the_parts_are_those_of_gaussians"
WEIGHTS = "disentangled/test_tc_vae.py::test_each_loss_is_its_weights_times_its_parts"
COVARIANCE = (
    "disentangled/test_dip_vae.py::"
    "test_the_penalty_is_0_where_the_covariance_of_codes_is_that_of_the_prior"
)
KINDS = (
    "disentangled/test_dip_vae.py::test_the_loss_adds_the_penalty_of_its_kind_to_the_negative_elbo"
)
OWN = "disentangled/test_factor_vae.py::test_each_player_moves_its_own"
PERFECT = (
    "disentangled/test_infogan.py::"
    "test_a_perfect_q_tells_all_of_a_category_and_log_2_less_its_entropy_of_a_number"
)
PARTS = (
    "disentangled/test_infogan.py::test_outputs_are_read_part_by_part_and_means_are_not_squashed"
)
TRUNK = "disentangled/test_infogan.py::test_trunk_learns_from_both_and_each_player_alone"
THEOREM = (
    "disentangled/test_impossibility.py::test_the_distribution_stays_and_every_entry_depends_on_all"
)

FAULTS = (
    Fault(
        "strata-in-the-first-column",
        "T88: 1/N stands in column 0 of the weights and not on their diagonal",
        AGGREGATE,
        "np.where(np.eye(num, dtype=bool), own, other)",
        "np.where(np.arange(num)[None] == 0, own, other) + np.zeros((num, 1))",
        ON_AVERAGE,
    ),
    Fault(
        "a-batch-for-the-set",
        "T41: the size of the set is forgotten, each row is one of the batch",
        AGGREGATE,
        "own, other = log_shares(num, num_data)",
        "own, other = log_shares(num, num)",
        ON_AVERAGE,
    ),
    Fault(
        "weights-without-their-constants",
        "T89: the weighted estimate is not over the size of the set",
        AGGREGATE,
        'return found - math.log(num_data) if estimate == "weighted" else found',
        "return found",
        CONSTANTS,
    ),
    Fault(
        "pairs-the-wrong-way-round",
        "the sum of the aggregate posterior is over codes and not over rows",
        AGGREGATE,
        "found = jax.nn.logsumexp(log_q + log_w, axis=1)",
        "found = jax.nn.logsumexp(log_q + log_w, axis=0)",
        OF_GAUSSIANS,
    ),
    Fault(
        "codes-without-their-volume",
        "log q(z_j | x) forgets log σ",
        AGGREGATE,
        "return -0.5 * jnp.square(standard) - jnp.log(scale)[None]",
        "return -0.5 * jnp.square(standard)",
        OF_GAUSSIANS,
    ),
    Fault(
        "the-last-rows-of-a-set-left-out",
        "the sum over a set drops the rows that fill no chunk",
        OF_A_SET,
        "if full < num:",
        "if not full:",
        "metrics/test_aggregate.py::test_the_sums_over_a_set_are_those_of_float64",
    ),
    Fault(
        "a-capacity-from-above-alone",
        "the KL is not pulled up to its capacity",
        BETA,
        "gamma * jnp.abs(terms.kl - capacity)",
        "gamma * jnp.maximum(terms.kl - capacity, 0)",
        WEIGHTS,
    ),
    Fault(
        "a-weight-on-top-of-the-elbo",
        "the total correlation of a β-TCVAE is there twice, in the KL and by β",
        TC,
        "(beta - gamma) * terms.total_correlation",
        "beta * terms.total_correlation",
        WEIGHTS,
    ),
    Fault(
        "rows-permuted-as-a-whole",
        "T42: all entries of a code get one order, and stay together",
        FACTOR,
        "axis=0, independent=True)",
        "axis=0)",
        "disentangled/test_factor_vae.py::test_each_entry_is_permuted_by_itself",
    ),
    Fault(
        "permuted-codes-of-the-same-rows",
        "T42, T97: the critic compares codes with their own permutation",
        FACTOR,
        "permuted(order_key, z[half:])",
        "permuted(order_key, z[:half])",
        "disentangled/test_factor_vae.py::test_permuted_codes_are_those_of_other_rows",
    ),
    Fault(
        "an-encoder-that-learns-from-the-critic",
        "T97: the loss of the critic reaches the encoder",
        FACTOR,
        "z = stop_gradient(posterior.sample(seed=draw_key))",
        "z = posterior.sample(seed=draw_key)",
        OWN,
    ),
    Fault(
        "a-critic-that-learns-from-the-encoder",
        "the total correlation of the model's loss moves the critic",
        FACTOR,
        '_values(critic, stop_gradient(params["critic"]), terms.z)',
        '_values(critic, params["critic"], terms.z)',
        OWN,
    ),
    Fault(
        "means-for-codes",
        "T45: DIP-VAE-II without E[Σ]",
        DIP,
        "covariance = covariance + jnp.diag(jnp.square(scale).mean(0))",
        "covariance = covariance + 0 * scale.mean()",
        COVARIANCE,
    ),
    Fault(
        "kinds-exchanged",
        "T45: DIP-VAE-I has what II should have",
        DIP,
        'terms.scale if kind == "II" else None',
        'terms.scale if kind == "I" else None',
        KINDS,
    ),
    Fault(
        "uncentred-codes",
        "T45: second moments for covariances",
        DIP,
        "centred = mean - mean.mean(0)",
        "centred = mean",
        COVARIANCE,
    ),
    Fault(
        "a-bound-without-the-entropy",
        "T98: H(c) is taken for 0",
        CODES,
        ".mean() + sum(map(math.log, codes.categories))",
        ".mean()",
        PERFECT,
    ),
    Fault(
        "numbers-within-the-softmax",
        "T98: the softmax of a category squashes the numbers too",
        CODES,
        "mean, log_scale = jnp.split(rest, 2, -1)",
        "mean, log_scale = jnp.split(jax.nn.softmax(rest), 2, -1)",
        PARTS,
    ),
    Fault(
        "a-gain-that-is-a-loss",
        "the generator hides what the code says",
        INFOGAN,
        "loss = game.generator(fake_values, real_values) - gain",
        "loss = game.generator(fake_values, real_values) + gain",
        TRUNK,
    ),
    Fault(
        "a-critic-that-moves-in-the-turn-of-the-generator",
        "the generator's gain moves trunk and Q",
        INFOGAN,
        'held = stop_gradient(params["critic"])',
        'held = params["critic"]',
        TRUNK,
    ),
    Fault(
        "a-map-that-does-not-come-back",
        "f = A ∘ h ∘ g: the codes are Gaussian, whatever they were",
        IMPOSSIBLE,
        "return distrax.Chain([distrax.Inverse(to_normal), mix, to_normal])",
        "return distrax.Chain([mix, to_normal])",
        THEOREM,
    ),
    Fault(
        "a-decoder-that-was-told-nothing",
        "the likelihood of entangled codes does not undo f",
        IMPOSSIBLE,
        "model.likelihood(params, bijector.inverse(z), cond, key=key)",
        "model.likelihood(params, z, cond, key=key)",
        (
            "disentangled/test_impossibility.py::"
            "test_a_model_with_entangled_codes_has_the_elbo_of_the_model_row_by_row"
        ),
    ),
)
