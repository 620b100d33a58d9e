"""Faults of hierarchies and ladders: what sees what on the way, and which divergence is told."""

from tests.faults.planting import Fault

ANCESTRAL = "dgm_jax/distributions/ancestral.py"
HIERARCHY = "dgm_jax/vae/hierarchy.py"
TOPDOWN = "dgm_jax/vae/topdown.py"
VIEWS = "dgm_jax/vae/views.py"

APART = (
    "vae/test_ladder.py::test_infer_says_and_learns_what_the_three_distributions_do"
    "[precision_weighted]"
)

FAULTS = (
    Fault(
        "ladder-likelihood-without-its-condition",
        "the way down to x begins without the condition that prior and posterior know",
        VIEWS,
        "way_down(params, cond, None, lambda p, q, z: (z, None), z, down_key)",
        "way_down(params, None, None, lambda p, q, z: (z, None), z, down_key)",
        ("vae/test_ladder.py::test_prior_posterior_and_likelihood_know_the_condition"),
    ),
    Fault(
        "ladder-divergence-the-other-way",
        "T83: KL(p ‖ q) of a layer in the place of KL(q ‖ p)",
        VIEWS,
        "divergence_at(q, p, log_q - log_p)",
        "divergence_at(p, q, log_q - log_p)",
        ("vae/test_ladder.py::test_each_divergence_is_that_of_posterior_from_prior_by_quadrature"),
    ),
    Fault(
        "features-pass-by-z",
        "T84: features of x reach the way down beside z, so that samples are of another model",
        TOPDOWN,
        "    h = h + push + layer.project",
        "    push = push if features is None else push + features\n"
        "    h = h + push + layer.project",
        "vae/test_ladder.py::test_given_z_the_way_down_is_the_same_whatever_x_is",
    ),
    Fault(
        "posterior-draws-from-the-prior",
        "the posterior's view is that of the prior",
        VIEWS,
        "view = lambda p, q, seen: choose(q, seen)",
        "view = lambda p, q, seen: choose(p, seen)",
        APART,
    ),
    Fault(
        "precisions-are-of-deviations",
        "prior and features are weighted by 1/σ and not by 1/σ²",
        TOPDOWN,
        "by_p, by_q = p.scale**-2, q.scale**-2",
        "by_p, by_q = p.scale**-1, q.scale**-1",
        "vae/test_ladder.py::test_the_precision_weighted_posterior_is_the_normalised_product",
    ),
    Fault(
        "layers-of-a-scan-are-others",
        "the layers after those written out have the parameters of those before",
        TOPDOWN,
        "late = jax.tree.map(lambda a: a[direct:], stacked)",
        "late = jax.tree.map(lambda a: a[: num - direct], stacked)",
        "vae/test_image_ladder.py::test_layers_in_a_scan_are_those_written_out_and_drop_the_same",
    ),
    Fault(
        "the-way-up-is-run-for-the-divergence-too",
        "a part is computed twice: the posterior of the layers, once to draw and once to score",
        VIEWS,
        "    h, z, told = way_down(params, cond, features, view, keys, down_key)\n",
        "    h, z, told = way_down(params, cond, features, view, keys, down_key)\n"
        "        again, _ = features_of(params, x, cond, up_key)\n"
        "        told = way_down(params, cond, again, view, keys, down_key)[2]\n",
        "vae/test_ladder.py::test_a_step_costs_one_way_up_and_one_way_down",
    ),
    Fault(
        "closed-form-of-a-lower-group",
        "KL(q(z_1 | x) ‖ p(z_1 | z_2)) is taken for a divergence at a z_2 that was drawn from z_1",
        HIERARCHY,
        'f"z_{i + 1}": log_q[i] - log_p[i] for',
        'f"z_{i + 1}": divergence_at(q[i], p[i], log_q[i] - log_p[i]) for',
        "vae/test_hierarchy.py::test_the_divergences_of_the_groups_add_up_to_that_of_the_whole",
    ),
    Fault(
        "temperature-of-variances",
        "T85: a temperature multiplies the variance",
        ANCESTRAL,
        "temperature * dist.scale_diag",
        "jnp.sqrt(temperature) * dist.scale_diag",
        (
            "distributions/test_ancestral.py::"
            "test_a_temperature_multiplies_the_deviation_of_every_group_given_those_before"
        ),
    ),
    Fault(
        "a-factor-of-weights-as-one-of-variances",
        "what starts smaller by √(1/n) starts smaller by its root",
        "dgm_jax/nets/bottleneck.py",
        "starts.scaled(factor**2)",
        "starts.scaled(factor)",
        "nets/test_bottleneck.py::test_the_last_map_starts_smaller_by_the_factor",
    ),
)
