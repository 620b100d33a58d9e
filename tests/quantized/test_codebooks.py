"""Codebooks that learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.quantized import averaged_codebook, gradient_codebook, k_means, look_up, nearest
from tests.contracts.compiled import jit
from tests.helpers import points

NUM, DIM, DECAY = 6, 2, 0.9


def started(**options):
    quantiser = averaged_codebook(NUM, DIM, **options)
    return quantiser, quantiser.init(jax.random.key(0))[1]


def lloyd(codebook, z):
    """The means of the features nearest to each code; without any, the code."""
    codes = np.asarray(nearest(codebook, z)).ravel()
    z = np.float64(z).reshape(-1, DIM)
    means = [z[codes == k].mean(0) if (codes == k).any() else e for k, e in enumerate(codebook)]
    return np.stack(means), codes


def test_with_decay_0_a_step_is_one_of_lloyds():
    quantiser, state = started(decay=0.0)
    z, step = points(3, 4, DIM, seed=2), jit(lambda s, z: quantiser.apply({}, s, z, train=True)[1])
    book = state["codebook"]
    for _ in range(3):
        wanted, codes = lloyd(book, z)
        state = step(state, z)
        book = quantiser.vectors({}, state, jnp.arange(NUM))
        np.testing.assert_allclose(book, wanted, rtol=1e-5)
    assert len(set(codes)) < NUM  # a code that is not hit stays


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_shares_and_means_are_moving_averages_with_the_closed_form_whatever_is_read(smoothing):
    """N_t = (1 - γ) Σ_i γ^(t-i) n_i / n, and smoothing is in what is read alone."""
    quantiser, state = started(decay=DECAY, smoothing=smoothing)
    batches = points(5, 8, DIM, seed=3)
    shares, means = np.zeros(NUM), np.zeros((NUM, DIM))
    for i, z in enumerate(batches):
        codes = np.asarray(quantiser.apply({}, state, z, train=False)[0].codes)
        _, state = quantiser.apply({}, state, z, train=True)
        weight = (1 - DECAY) * DECAY ** (4 - i) / 8
        np.add.at(shares, codes, weight)
        np.add.at(means, codes, weight * np.float64(z))
    np.testing.assert_allclose(state["shares"], shares, rtol=1e-5)
    np.testing.assert_allclose(state["means"], means, atol=1e-6)
    np.testing.assert_allclose(state["shares"].sum(), 1 - DECAY**5, rtol=1e-5)
    smoothed = (shares + smoothing) * shares.sum() / (shares.sum() + NUM * smoothing)
    hit = shares > 0
    read = quantiser.vectors({}, state, jnp.arange(NUM))
    np.testing.assert_allclose(read[hit], (means[hit].T / smoothed[hit]).T, rtol=1e-5)


def test_the_first_batch_leaves_no_trace_of_the_start_and_codes_without_hits_where_they_are():
    quantiser, state = started(decay=0.99)
    z = points(4, DIM, seed=2)
    wanted, codes = lloyd(state["codebook"], z)
    _, moved = quantiser.apply({}, state, z, train=True)
    read = quantiser.vectors({}, moved, jnp.arange(NUM))
    np.testing.assert_allclose(read, wanted, rtol=1e-5)
    alone = np.setdiff1d(np.arange(NUM), codes)
    assert len(alone)
    np.testing.assert_array_equal(read[alone], state["codebook"][alone])


def test_a_code_that_is_never_hit_again_stays_for_ever():
    quantiser, state = started(decay=0.5)
    near = state["codebook"][:1] + 0.01
    _, state = quantiser.apply({}, state, state["codebook"] + 0.01, train=True)
    before = quantiser.vectors({}, state, jnp.arange(1, NUM))
    step = jit(
        lambda s: jax.lax.fori_loop(
            0, 200, lambda _, s: quantiser.apply({}, s, near, train=True)[1], s
        )
    )
    state = step(state)
    assert (state["shares"][1:] < 1e-20).all()
    np.testing.assert_allclose(quantiser.vectors({}, state, jnp.arange(1, NUM)), before, rtol=1e-4)


def test_vectors_are_of_the_codebook_that_chose_the_codes():
    quantiser, state = started(decay=0.0)
    z = points(9, DIM, seed=2)
    found, moved = quantiser.apply({}, state, z, train=True)
    np.testing.assert_array_equal(found.vectors, look_up(state["codebook"], found.codes))
    still, same = quantiser.apply({}, moved, z, train=False)
    assert same is moved and (still.vectors != found.vectors).any()
    assert found.codebook_loss == 0 < found.commitment_loss


def test_states_of_two_halves_average_to_that_of_the_whole_batch():
    """What `gradient_descent(axis_name=...)` does with them, over two steps."""
    quantiser, state = started(decay=DECAY)
    step = jit(lambda s, z: quantiser.apply({}, s, z, train=True)[1])
    whole = state
    for z in points(2, 10, DIM, seed=4):
        halves = [step(state, half) for half in (z[:5], z[5:])]
        whole, state = step(whole, z), jax.tree.map(lambda a, b: (a + b) / 2, *halves)
    for wanted, found in zip(jax.tree.leaves(whole), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_codes_that_are_hardly_hit_start_anew_at_features_of_the_batch():
    quantiser, state = started(decay=DECAY, revive=0.5)
    z = points(20, DIM, seed=2) * 0.1 + 8.0  # all of it is nearest to one code
    step = jit(lambda s, key: quantiser.apply({}, s, z, train=True, key=key)[1])
    state = step(state, jax.random.key(1))
    assert (state["shares"] > 0).sum() == 1
    state = step(state, jax.random.key(2))
    rows = np.abs(np.asarray(state["codebook"])[:, None] - np.asarray(z)).max(-1).min(-1)
    assert (rows < 1e-6).sum() == NUM - 1
    found, _ = quantiser.apply({}, state, z, train=False)
    assert len(np.unique(found.codes)) > NUM / 2  # and are in use at once
    with pytest.raises(checks.InputError, match="key is missing"):
        quantiser.apply({}, state, z, train=True)


def test_a_codebook_of_parameters_has_the_gradient_of_its_loss_and_no_state():
    quantiser = gradient_codebook(NUM, DIM)
    params, state = quantiser.init(jax.random.key(0))
    z = points(20, DIM, seed=2)
    slope = jax.grad(lambda p: quantiser.apply(p, state, z, train=True)[0].codebook_loss)(params)
    stepped = params["codebook"] - 0.1 * slope["codebook"]
    wanted, codes = lloyd(params["codebook"], z)
    share = np.bincount(codes, minlength=NUM)[:, None] / 20
    np.testing.assert_allclose(
        stepped - params["codebook"], 0.2 * share * (wanted - params["codebook"]), atol=1e-6
    )
    assert state == {}


@pytest.mark.parametrize("make", [gradient_codebook, averaged_codebook])
def test_k_means_finds_what_lies_apart_and_starts_both(make):
    centres = 10 * points(4, DIM, seed=5)
    z = (centres[:, None] + 0.01 * points(4, 30, DIM, seed=6)).reshape(-1, DIM)
    found = min(
        (
            jit(lambda key: k_means(key, z, 4))(key)
            for key in jax.random.split(jax.random.key(0), 4)
        ),
        key=lambda e: jnp.square(look_up(e, nearest(e, z)) - z).sum(),
    )
    gaps = np.abs(np.asarray(found)[:, None] - np.asarray(centres)).max(-1).min(0)
    assert (gaps < 0.02).all()
    quantiser = make(4, DIM)
    adapted = quantiser.adapt(*quantiser.init(jax.random.key(0)), jax.random.key(1), z)
    codebook = quantiser.vectors(*adapted, jnp.arange(4))
    np.testing.assert_allclose(codebook, k_means(jax.random.key(1), z, 4), rtol=1e-6)
    few = k_means(jax.random.key(1), z[:2], 4)
    assert np.isfinite(few).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_codes": 1}, "num_codes must be an integer of at least 2; got 1"),
        ({"num_codes": 2**25}, "num_codes must be at most 16777216"),
        ({"decay": 1.0}, "decay must be"),
        ({"smoothing": -1.0}, "smoothing must be"),
        ({"revive": 1.5}, "revive must be"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(checks.InputError, match=message):
        averaged_codebook(**{"num_codes": NUM, "dim": DIM} | options)
