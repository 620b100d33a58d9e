"""Annealed importance sampling and its reverse, on a model whose log p(x) is known."""

import itertools

import jax
import numpy as np
import pytest

from dgm_jax import likelihoods, metrics, vae
from dgm_jax.metrics.annealed import temperatures
from tests.helpers import drawn
from tests.metrics import linear

PARAMS = linear.PARAMS
NUM = 2000
CASES = {
    "from the prior": (linear.model(), "prior", None, 30),
    "from the posterior, z a tree, conditional": (
        linear.model(as_tree=True)._replace(cond_shape=(1,)),
        "posterior",
        np.linspace(-1, 1, NUM, dtype=np.float32)[:, None],
        6,
    ),
    "of two layers, from the prior": (linear.two_layers(), "prior", None, 30),
    "of two layers, from the posterior": (linear.two_layers(), "posterior", None, 6),
}
TOLD = {"prior": "from the prior", "posterior": "from q(z | x)"}
MOVES = {"num_leapfrogs": 3, "step_size": 0.3}


@pytest.mark.parametrize("case", CASES)
def test_weights_of_both_directions_average_to_the_evidence_and_bound_it(case):
    model, start, cond, num_steps = CASES[case]
    layered = "two layers" in case
    params = model.init(jax.random.key(0)) if layered else PARAMS
    found = metrics.bidirectional_log_prob(
        model, params, jax.random.key(0), cond, num_rows=NUM, start=start, batch_size=NUM // 2,
        num_steps=num_steps, num_chains=4, **MOVES,
    )  # fmt: skip
    of_z = linear.B @ linear.B.T + linear.SCALE**2 * np.eye(2) if layered else np.eye(2)
    exact = linear.log_evidence(found.x, 0 if cond is None else cond, of_z)
    below, above = found.lower.log_prob - exact, found.upper.log_prob - exact
    for ratio in (np.exp(below), np.exp(-above)):  # E w = p(x), E 1/w = 1/p(x), in any few steps
        stderr = ratio.std() / NUM**0.5
        assert abs(ratio.mean() - 1) < 3.5 * stderr < 0.1
    assert below.mean() < -3 * below.std() / NUM**0.5 < 0
    assert above.mean() > 3 * above.std() / NUM**0.5
    assert str(found.lower).endswith(f"sampling, {num_steps} steps {TOLD[start]}, K = 4)")
    assert "; reverse annealed" in str(found.upper)


def test_bounds_by_importance_and_by_annealing_are_in_order_and_close_on_the_evidence():
    model, options = linear.model(), {"num_steps": 100, "num_chains": 8, **MOVES}
    both = metrics.bidirectional_log_prob(
        model, PARAMS, jax.random.key(1), num_rows=300, batch_size=300, **options
    )
    exact = linear.log_evidence(both.x)
    lows = [
        metrics.importance_log_prob(
            model, PARAMS, jax.random.key(2), both.x, num_samples=num, batch_size=300
        )
        for num in (1, 5, 50)
    ]
    given = metrics.annealed_log_prob(
        model, PARAMS, jax.random.key(3), both.x, batch_size=300, **options
    )
    means = [(bound.log_prob - exact).mean() for bound in (*lows, both.lower, both.upper)]
    assert (np.diff(means[:3]) > 0.01).all() and means[2] < 0.02
    assert -0.05 < means[3] < 0.01 and -0.01 < means[4] < 0.08
    for found in (both.lower, both.upper, given):
        errors = (found.log_prob - exact) / found.stderr
        assert np.median(np.abs(errors)) < 1.1 and np.median(found.stderr) < 0.3


@pytest.mark.slow
def test_of_a_ladder_the_weights_of_all_x_add_up_to_one():
    """Σ_x E w(x) = Σ_x p(x) = 1 over the sixteen x of four bits; z is a tuple of groups."""
    model = vae.ladder(4, likelihoods.bernoulli(), num_latents=(2, 1), hidden=(4, 4), num_blocks=0)
    x = np.array(list(itertools.product((0, 1), repeat=4)), np.int32)
    found = metrics.annealed_log_prob(
        model, drawn(model), jax.random.key(0), x,
        num_steps=5, num_chains=400, start="posterior", num_leapfrogs=2, batch_size=16,
    )  # fmt: skip
    p = np.exp(found.log_prob)
    error = np.sqrt(((p * found.stderr) ** 2).sum())
    assert abs(p.sum() - 1) < 3.5 * error < 0.1
    assert p.max() > 1.5 * p.min()  # and x matters


def test_temperatures_rise_from_the_start_to_the_end():
    betas = temperatures(10)
    assert betas[0] == 0 and betas[-1] == 1 and (np.diff(betas) > 0).all() and len(betas) == 11
    assert np.diff(betas)[0] < 0.3 / 10  # slowly at first


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_steps": 0}, "num_steps must be an integer of at least 1; got 0"),
        ({"start": "q"}, "start must be one of prior, posterior"),
        ({"acceptance": 1.0}, r"acceptance must be in \[0, 1\); got 1.0"),
        ({"step_size": -1.0}, "step_size must be a finite number above 0"),
    ],
)
def test_what_is_wrong_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        metrics.annealed_log_prob(linear.model(), PARAMS, jax.random.key(0), linear.X, **options)
