"""Faults of games: signs, norms, and what a turn must leave alone."""

from tests.faults.planting import Fault

GAMES = "dgm_jax/objectives/adversarial.py"
PENALTIES = "dgm_jax/objectives/penalties.py"

FAULTS = (
    Fault(
        "saturating-sign",
        "T46: the generator that should not saturate minimises log D(G(z))",
        GAMES,
        "lambda fake, real: jax.nn.softplus(-fake).mean())",
        "lambda fake, real: -jax.nn.softplus(-fake).mean())",
        "objectives/test_adversarial.py::"
        "test_only_the_saturating_generator_is_left_without_a_gradient_by_a_sure_critic",
    ),
    Fault(
        "two-sided-smoothing",
        "F11: the label of samples is smoothed as well",
        GAMES,
        "return of_real.mean() + jax.nn.softplus(fake).mean()",
        "return of_real.mean() + (label * jax.nn.softplus(fake)"
        " + (1 - label) * jax.nn.softplus(-fake)).mean()",
        "objectives/test_adversarial.py::test_smoothing_shrinks_the_best_critic_on_one_side",
    ),
    Fault(
        "norm-over-the-batch",
        "T47: the norm of a penalty is over the batch",
        PENALTIES,
        "return jnp.square(jax.grad(total)(x)).reshape(len(x), -1).sum(1)",
        "return jnp.square(jax.grad(total)(x)).sum()[None]",
        "objectives/test_penalties.py::test_the_norm_is_of_one_sample_over_all_its_axes",
    ),
    Fault(
        "a-mixing-weight-an-entry",
        "T47: each entry of a sample is mixed by a number of its own",
        PENALTIES,
        "u = jax.random.uniform(key, (len(real), *[1] * (real.ndim - 1)), real.dtype)",
        "u = jax.random.uniform(key, real.shape, real.dtype)",
        "objectives/test_penalties.py::test_each_sample_is_mixed_by_one_number_of_its_own",
    ),
    Fault(
        "slope-of-a-root-at-zero",
        "T47: no ε under the root of a norm, which is NaN at a flat critic",
        PENALTIES,
        "+ TINY) - target",
        ") - target",
        "objectives/test_penalties.py::test_a_flat_critic_has_a_finite_gradient",
    ),
    Fault(
        "gamma-for-half-of-it",
        "T102: R1 without its half",
        PENALTIES,
        "return _squared_norms(critic, real).mean() / 2",
        "return _squared_norms(critic, real).mean()",
        "objectives/test_penalties.py::test_of_a_linear_critic_it_is_the_square_of_its_norm_minus_1",
    ),
    Fault(
        "statistics-of-samples-alone",
        "T101: the state after a turn of the critic is that of its last pass",
        GAMES,
        "jax.tree.map(mean_state, seen, seen_fake)",
        "seen_fake",
        "objectives/test_adversarial.py::"
        "test_statistics_of_the_critic_are_those_of_data_and_samples",
    ),
    Fault(
        "critic-moves-in-the-turn-of-the-generator",
        "T49: the generator's loss has a gradient for the critic",
        GAMES,
        'critic = _critic(model, jax.lax.stop_gradient(params["critic"]), state, cond)',
        'critic = _critic(model, params["critic"], state, cond)',
        "contracts/test_adversarial.py::"
        "test_a_turn_has_gradients_and_moves_states_of_its_player_only",
    ),
)
