"""Targets: every prediction tells all the others, and x_t."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion, nets
from dgm_jax.checks import InputError
from dgm_jax.diffusion.denoiser import from_target, target_of
from tests.contracts.compiled import jit
from tests.diffusion.test_process import PROCESSES
from tests.helpers import drawn, points


@pytest.mark.parametrize("name", PROCESSES)
def test_a_target_in_any_target_gives_data_and_noise_back(name):
    process, x, noise = PROCESSES[name], points(7, 3), points(7, 3, seed=2)
    t = jnp.linspace(process.ends[0] + 0.05, process.ends[1] - 0.05, 7)
    alpha, sigma = process.alpha(t)[:, None], process.sigma(t)[:, None]
    noisy = alpha * x + sigma * noise

    @jit
    def back(noisy):
        return [
            from_target(target, process, noisy, t, target_of(target, process, x, noise, t))
            for target in diffusion.TARGETS
        ]

    for data, found in back(noisy):
        np.testing.assert_allclose(alpha * data, alpha * x, atol=2e-3 * process.scale)
        np.testing.assert_allclose(sigma * found, sigma * noise, atol=2e-3 * process.scale)


def test_v_is_x_t_turned_by_a_right_angle_and_velocity_is_its_derivative():
    process, x, noise = diffusion.linear_beta(), points(5, 2), points(5, 2, seed=2)
    t = jnp.full(5, 0.4)
    noisy = lambda t: process.alpha(t)[:, None] * x + process.sigma(t)[:, None] * noise
    moved = jax.jvp(noisy, (t,), (jnp.ones(5),))[1]
    np.testing.assert_allclose(target_of("velocity", process, x, noise, t), moved, rtol=1e-4)
    v = target_of("v", process, x, noise, t)
    lengths = (x**2 + noise**2).sum(-1)
    np.testing.assert_allclose((v**2 + noisy(t) ** 2).sum(-1), lengths, rtol=1e-5)
    np.testing.assert_allclose(
        target_of("velocity", diffusion.straight(), x, noise, t), noise - x, rtol=1e-5
    )


@pytest.mark.parametrize("target", diffusion.TARGETS)
def test_a_prediction_adds_up_to_what_was_seen(target):
    net = nets.time_mlp(2, hidden=(8,), num_waves=4)
    model = diffusion.denoiser(net, (2,), diffusion.sub_vp(), target=target)
    params, x, t = drawn(model), points(6, 2), jnp.linspace(0.1, 0.9, 6)
    found = jit(model.predict)(params, x, t)
    process = model.process(params)
    again = process.alpha(t)[:, None] * found.data + process.sigma(t)[:, None] * found.noise
    np.testing.assert_allclose(again, x, atol=1e-5)
    wanted = -found.noise / process.sigma(t)[:, None]
    np.testing.assert_allclose(diffusion.score(model, params, x, t), wanted, rtol=1e-5)


def test_wrong_nets_and_inputs_are_refused():
    net = nets.time_mlp(2, hidden=(4,), num_waves=2)
    with pytest.raises(InputError, match="target must be"):
        diffusion.denoiser(net, (2,), diffusion.cosine(), target="epsilon")
    with pytest.raises(InputError, match="process"):
        diffusion.denoiser(net, (2,), lambda t: t)
    model = diffusion.denoiser(net, (2,), diffusion.cosine(), learned_variance=True)
    params = drawn(model)
    with pytest.raises(InputError, match="two for each entry with learned_variance"):
        model.predict(params, points(3, 2), jnp.ones(3) / 2)
    with pytest.raises(InputError, match=r"x must have shape \[..., 2\]"):
        model.predict(params, points(3, 4), jnp.ones(3) / 2)
