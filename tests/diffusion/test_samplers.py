"""Samplers of Gaussian data: the variances they must have, and as few passes as they claim."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion, learning
from dgm_jax.checks import InputError
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.diffusion import gaussian

NUM = 20_000
PROCESSES = {"vp": diffusion.linear_log_snr(9.0, -9.0), "straight": diffusion.straight()}
PROCESSES["ve"] = diffusion.variance_exploding()
SAMPLERS = {
    "chain": (diffusion.sample, {"num_steps": 25, "kind": gaussian.exact_variance}),
    "ddim": (diffusion.sample, {"num_steps": 200, "eta": 0.0}),
    "half": (diffusion.sample, {"num_steps": 200, "eta": 0.5}),
    "heun": (diffusion.heun, {"num_steps": 80}),
    "dpm": (diffusion.dpm_solver, {"num_steps": 25}),
}


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_have_the_variances_of_the_data(key, name, process):
    """The chain with exact variances of any length, and the others as their steps get small."""
    sampler, options = SAMPLERS[name]
    model = gaussian.denoiser(PROCESSES[process])
    x = jit(lambda key: sampler(model, {}, key, NUM, **options))(key)
    np.testing.assert_allclose((x**2).mean(0), gaussian.VARIANCES, rtol=0.06)
    np.testing.assert_allclose(x.mean(0), 0, atol=0.05)


def test_steps_of_second_order_are_nearer_to_the_solution_of_the_ode(key):
    """Of equal noise, with as many passes; the error falls by four where the steps are halved."""
    model = gaussian.denoiser(PROCESSES["vp"])

    @jit
    def found(key):
        draw = lambda sampler, **options: sampler(model, {}, key, 200, **options)
        best = draw(diffusion.heun, num_steps=800)
        error = lambda x: jnp.abs(x - best).max()
        euler = error(draw(diffusion.sample, num_steps=40, eta=0.0))
        solvers = (diffusion.heun, diffusion.dpm_solver)
        return euler, [[error(draw(s, num_steps=n)) for n in (21, 41)] for s in solvers]

    euler, seconds = found(key)
    for coarse, fine in seconds:
        assert coarse < euler
        assert fine < min(euler / 5, coarse / 2.5)


def test_a_sample_does_not_depend_on_the_others_of_its_batch(key):
    model = gaussian.denoiser(PROCESSES["vp"])
    draw = lambda num: diffusion.sample(model, {}, jax.random.clone(key), num, num_steps=5)
    np.testing.assert_allclose(draw(3), draw(8)[:3], rtol=1e-6)


def test_a_sample_does_not_depend_on_the_layout_of_its_batch(key):
    model = gaussian.denoiser(PROCESSES["vp"])
    over = jax.sharding.NamedSharding(learning.data_mesh(4), jax.sharding.PartitionSpec("data"))

    def draw(key, layout):
        sample = lambda key: diffusion.sample(model, {}, key, 8, num_steps=5)
        return jax.jit(sample, out_shardings=layout)(jax.random.clone(key))

    spread = draw(key, over)
    assert len(spread.sharding.device_set) == 4
    np.testing.assert_allclose(spread, draw(key, None), rtol=1e-5, atol=1e-6)


def test_clipping_keeps_the_prediction_and_with_it_the_sample(key):
    model = gaussian.denoiser(PROCESSES["vp"])
    x = diffusion.sample(model, {}, key, 64, num_steps=5, clip=0.5)
    assert jnp.abs(x).max() <= 0.5


def test_the_last_step_of_a_chain_has_no_noise(key):
    """Of a net that is sure of its datum, at every eta and with either variance."""
    net = Net(lambda key: {}, lambda params, x, level, key=None: jnp.full_like(x, 0.3))
    model = diffusion.denoiser(net, (2,), diffusion.cosine(), target="data")
    for options in ({"eta": 0.0}, {"eta": 0.5}, {"kind": "upper"}, {"kind": "posterior"}):
        x = diffusion.sample(model, {}, jax.random.clone(key), 3, num_steps=4, **options)
        np.testing.assert_allclose(x, 0.3, rtol=1e-6)


def test_bad_options_are_refused(key):
    model = gaussian.denoiser(PROCESSES["vp"])
    with pytest.raises(InputError, match=r"eta must be in \[0, 1\]; got 1.5"):
        diffusion.sample(model, {}, key, 3, num_steps=5, eta=1.5)
    with pytest.raises(InputError, match="num_steps"):
        diffusion.heun(model, {}, key, 3, num_steps=1)
    with pytest.raises(InputError, match='kind must be "posterior"'):
        diffusion.sample(model, {}, key, 3, num_steps=5, eta=0.5, kind="upper")
