"""Times drawn by importance: no bias for any weights, by a sum over all t, and less variance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion
from dgm_jax.checks import InputError
from dgm_jax.diffusion.importance import EVEN, chances, nothing_seen, parts_at, told
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.diffusion import gaussian
from tests.helpers import points

PROCESS = diffusion.linear_log_snr(4.0, -4.0)
SHARES = np.array([1, 2, 10, 3, 16, 32]) / 64  # p of six parts, each a whole number of 64 rows


def constant():
    """A net that always says 0.3: no loss depends on the noise, and each is known."""
    net = Net(lambda key: {}, lambda params, x, level, key=None: jnp.full_like(x, 0.3))
    return diffusion.denoiser(net, (2,), PROCESS, target="data")


def state_of(shares):
    """The history whose p are these."""
    root = (shares - EVEN / len(shares)) / (1 - EVEN)
    seen = {"squares": root**2, "weight": np.ones(len(root)), "seen": np.full(len(root), 10.0)}
    return {name: jnp.asarray(value, jnp.float32) for name, value in seen.items()}


def steps_of(loss, state, num_rows, key):
    x = jnp.broadcast_to(jnp.array([1.0, -0.7]), (num_rows, 2))
    return jit(lambda state, key: loss({}, key, x, state=state)[1][0]["steps"])(state, key)


def test_over_all_t_the_weighted_loss_is_the_sum_over_all_steps(key):
    """Of 64 rows one after the other each t has 64 p_t, so that the mean is E[L_t / (T p_t)]."""
    _, loss = diffusion.importance_bound(constant(), num_steps=7, kind="upper")
    found = steps_of(loss, state_of(SHARES), 64, jax.random.clone(key))
    x = jnp.array([[1.0, -0.7]])
    exact = diffusion.chain_bound(constant(), {}, key, x, num_steps=7, kind="upper").steps
    np.testing.assert_allclose(found, exact[0], rtol=1e-4)


def test_in_continuous_time_it_is_the_integral(key):
    """∫ -λ' SNR / 2 dt ‖x - 0.3‖² = (SNR_0 - SNR_1) / 2 ‖x - 0.3‖²."""
    _, loss = diffusion.importance_bound(constant(), num_bins=6)
    found = steps_of(loss, state_of(SHARES), 2**16, key)
    exact = (np.exp(4) - np.exp(-4)) / 2 * (0.7**2 + 1.0**2)
    np.testing.assert_allclose(found, exact, rtol=1e-3)


def test_parts_have_their_shares_and_places_are_even_within_them():
    u = (jnp.arange(640) + 0.5) / 640
    part, place, weight = parts_at(jnp.asarray(SHARES, jnp.float32), u)
    np.testing.assert_array_equal(np.bincount(part), 640 * SHARES)
    np.testing.assert_allclose(weight, 1 / (6 * SHARES[part]), rtol=1e-5)
    for i, share in enumerate(SHARES):
        wanted = (np.arange(640 * share) + 0.5) / (640 * share)
        np.testing.assert_allclose(np.sort(place[part == i]), wanted, atol=2e-4)


def test_until_all_have_been_seen_ten_times_all_are_as_likely():
    state = state_of(SHARES)
    np.testing.assert_allclose(chances(state), SHARES, rtol=1e-5)
    state["seen"] = state["seen"].at[2].set(9.0)
    np.testing.assert_allclose(chances(state), 1 / 6, rtol=1e-6)


def test_the_history_is_a_running_mean_of_squares_of_each_part(key):
    """One loss at a time: m ← d m + (1 - d) L², over 1 - d^n; of a batch those of a part alike."""
    parts, losses = np.array([0, 2, 0, 0, 2]), np.array([1.0, 3.0, 2.0, 4.0, 3.0])
    state, whole = nothing_seen(3), nothing_seen(3)
    for part, loss in zip(parts, losses):
        state = told(state, jnp.array([part]), jnp.array([loss]), 0.5)
    whole = told(whole, jnp.asarray(parts), jnp.asarray(losses), 0.5)
    np.testing.assert_allclose(state["squares"][0], 0.125 * 1 + 0.25 * 4 + 0.5 * 16)
    np.testing.assert_allclose(whole["squares"][0], 0.875 * 7)
    for found in (state, whole):
        np.testing.assert_array_equal(found["seen"], [3, 0, 2])
        np.testing.assert_allclose(found["weight"], [0.875, 0, 0.75])
        np.testing.assert_allclose(found["squares"][2] / found["weight"][2], 9)


def test_on_a_frozen_model_it_is_the_bound_with_less_variance(key):
    """Of Gaussian data and its best denoiser: the entropy, with and without."""
    model = gaussian.denoiser(diffusion.linear_log_snr(9.0, -9.0))
    init_state, loss = diffusion.importance_bound(model, num_bins=30)
    start_key, first_key, last_key = jax.random.split(key, 3)
    state = init_state(start_key, {})

    @jit
    def means(state, key):
        def one(state, key):
            noise_key, row_key = jax.random.split(key)
            rows = jax.random.normal(row_key, (8, 2)) * jnp.sqrt(gaussian.VARIANCES)
            _, (found, state) = loss({}, noise_key, rows, state=state)
            return state, found["steps"]

        return jax.lax.scan(one, state, jax.random.split(key, 3000))

    _, even = means({**state, "seen": state["seen"] - 1e9}, jax.random.clone(first_key))
    state, _ = means(state, first_key)
    _, found = means(state, last_key)
    error = float(jnp.sqrt((even.var() + found.var()) / 3000))
    assert abs(float(even.mean() - found.mean())) < 4 * error
    assert found.var() < 0.8 * even.var()


def test_wrong_options_are_refused():
    with pytest.raises(InputError, match="num_bins"):
        diffusion.importance_bound(constant(), num_bins=1)
    with pytest.raises(InputError, match="num_steps"):
        diffusion.importance_bound(constant(), num_steps=2)
    with pytest.raises(InputError, match="decay"):
        diffusion.importance_bound(constant(), decay=1.0)
    init_state, loss = diffusion.importance_bound(constant())
    state = init_state(jax.random.key(0), {})
    with pytest.raises(InputError, match="must have shape"):
        loss({}, jax.random.key(1), points(3, 4), state=state)
