"""Bounds: the entropy where it must be, above it elsewhere; losses of every target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion, nets
from dgm_jax.checks import InputError
from dgm_jax.diffusion.losses import decoded
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.diffusion import gaussian
from tests.helpers import drawn, points

LINEAR = diffusion.linear_log_snr(9.0, -9.0)
NUM = 40_000


def gap(key, num_steps, kind, num=NUM):
    """Bound minus entropy of Gaussian data, and its standard error."""
    model, x = gaussian.denoiser(LINEAR), gaussian.draws(jax.random.key(7), num)
    found = jit(
        lambda key, x: diffusion.chain_bound(model, {}, key, x, num_steps=num_steps, kind=kind)
    )(key, x).total
    return float(found.mean() - gaussian.entropy()), float(found.std() / num**0.5)


@pytest.mark.parametrize("num_steps", [2, 30])
def test_with_exact_reverse_variances_the_bound_is_the_entropy_for_every_length(key, num_steps):
    found, error = gap(key, num_steps, gaussian.exact_variance)
    assert abs(found) < 4 * error, (found, error)
    assert error < 0.02


def test_with_upper_variances_the_gap_falls_as_one_over_the_length(key):
    """And with those of one datum it does not: the variances of the data are not 0."""
    gaps = {
        (num, kind): gap(jax.random.clone(key), num, kind)[0]
        - gap(jax.random.clone(key), num, gaussian.exact_variance)[0]  # of the same noise
        for num in (25, 100)
        for kind in ("upper", "posterior")
    }
    upper = [gaps[num, "upper"] for num in (25, 100)]
    assert upper[1] > 0.005 and 3 < upper[0] / upper[1] < 5
    assert gaps[100, "posterior"] > 0.3


def test_the_continuous_bound_is_the_entropy_and_depends_on_the_ends_of_a_schedule(key):
    x = gaussian.draws(jax.random.key(7), NUM)
    bent = diffusion.from_log_snr(lambda t: 9 - 18 * t**2)
    for process in (LINEAR, bent):
        model = gaussian.denoiser(process)
        terms = jit(lambda key, x: diffusion.continuous_bound(model, {}, key, x))(
            jax.random.clone(key), x
        )
        error = float(terms.total.std() / NUM**0.5)
        assert abs(float(terms.total.mean() - gaussian.entropy())) < 4 * error
        assert error < 0.2


def test_one_step_for_each_row_estimates_the_sum_over_all(key):
    model, x = gaussian.denoiser(LINEAR), gaussian.draws(jax.random.key(7), NUM)
    found = [
        jit(
            lambda key, x: diffusion.chain_bound(
                model, {}, key, x, num_steps=20, kind="upper", every=every
            )
        )(jax.random.clone(key), x).total
        for every in (True, False)
    ]
    error = float(found[1].std() / NUM**0.5)
    assert abs(float(found[0].mean() - found[1].mean())) < 4 * error


def test_the_chain_tends_to_the_continuous_bound_on_levels(key):
    """Of one net, with parameters off their start, on 5 levels: many steps, the same number."""
    net = nets.time_mlp(2, hidden=(8,), num_waves=4)
    model = diffusion.denoiser(net, (2,), diffusion.linear_log_snr(6.0, -4.0), target="v")
    params = drawn(model)
    x = jnp.asarray(np.random.default_rng(0).integers(0, 5, (20_000, 2)))
    chain = jit(
        lambda key, x: diffusion.chain_bound(model, params, key, x, num_steps=400, num_levels=5)
    )(jax.random.clone(key), x)
    limit = jit(lambda key, x: diffusion.continuous_bound(model, params, key, x, num_levels=5))(
        key, x
    )
    np.testing.assert_allclose(chain.prior, limit.prior, rtol=1e-5)
    np.testing.assert_allclose(chain.steps.mean(), limit.steps.mean(), rtol=0.03)


def test_the_last_step_of_a_chain_is_a_distribution_of_levels(key):
    """Of a net that does not look at x_t, so that one p(x | x_1) serves all levels: Σ_v p = 1."""
    net = Net(lambda key: {}, lambda params, x, level, key=None: jnp.full_like(x, 0.3))
    model = diffusion.denoiser(net, (1,), diffusion.linear_log_snr(1.0, -5.0), target="data")
    levels = jnp.arange(5)[:, None]
    terms = diffusion.chain_bound(model, {}, key, levels, num_steps=3, num_levels=5)
    np.testing.assert_allclose(jnp.exp(-terms.reconstruction).sum(), 1, rtol=1e-5)


def test_the_least_error_of_the_noise_is_the_known_one(key):
    """α² S / (α² S + σ²), the mean over t and both entries; x_t has the variance α² S + σ²."""
    process, x = diffusion.linear_log_snr(3.0, -3.0), gaussian.draws(jax.random.key(7), NUM)
    model = gaussian.denoiser(process)
    noise_key, key = jax.random.split(key)
    loss, _ = jit(lambda key: diffusion.simple_loss(model, {}, key, x, target="noise"))(key)
    t = (jnp.arange(1000)[:, None] + 0.5) / 1000
    signal = process.alpha(t) ** 2 * gaussian.VARIANCES
    least = signal / (signal + process.sigma(t) ** 2)
    np.testing.assert_allclose(loss, least.mean(), rtol=0.02)
    noisy, _ = diffusion.noised(noise_key, process, x, 0.4)
    wanted = process.alpha(0.4) ** 2 * gaussian.VARIANCES + process.sigma(0.4) ** 2
    np.testing.assert_allclose((noisy**2).mean(0), wanted, rtol=0.03)


def test_the_decoder_of_levels_is_a_distribution():
    process, noisy = diffusion.linear_log_snr(2.0, -5.0), points(3, 1)
    levels = jnp.arange(4)
    total = sum(jnp.exp(decoded(process, noisy, jnp.full((3, 1), v), 4)) for v in levels)
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    for outside in (-1, 4):
        assert (decoded(process, noisy, jnp.full((3, 1), outside), 4) == -jnp.inf).all()


@pytest.mark.parametrize("target", diffusion.TARGETS)
def test_the_best_denoiser_is_the_minimum_of_the_error_of_each_target(key, target):
    """A factor on E[x | x_t] of 1 has the gradient 0, within its error; others are worse."""
    x, best = gaussian.draws(jax.random.key(7), NUM), gaussian.net()
    net = Net(lambda key: jnp.ones(()), lambda w, *a, key=None: w * best.apply({}, *a))
    model = diffusion.denoiser(net, (2,), diffusion.linear_log_snr(3.0, -3.0), target="data")

    @jit
    def slope(w, key):
        again = jax.random.clone
        loss = lambda w: diffusion.simple_loss(model, w, again(key), x, target=target)[0]
        return jax.grad(loss)(w), jax.grad(jax.grad(loss))(w)

    first, second = slope(jnp.ones(()), key)
    assert second > 0.1
    assert abs(first) < 0.02 * second


def test_the_bound_of_a_hybrid_trains_the_variances_alone(key):
    net = nets.time_mlp(2, hidden=(8,), num_waves=4, out_dim=4)
    model = diffusion.denoiser(net, (2,), LINEAR, target="noise", learned_variance=True)
    params, x = drawn(model), points(16, 2)

    @jit
    def slopes(params, key):
        options = {"num_steps": 5}
        with_bound = lambda w: jax.grad(
            lambda p: diffusion.hybrid_loss(
                model, p, jax.random.clone(key), x, weight=w, **options
            )[0]
        )(params)
        return with_bound(0.0), with_bound(1.0)

    without, with_bound = (s["MLP_0"]["Dense_1"]["bias"] for s in slopes(params, key))
    np.testing.assert_allclose(with_bound[:2], without[:2], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(without[2:], 0, atol=1e-7)
    assert jnp.abs(with_bound[2:]).min() > 1e-4


def test_learned_variances_need_a_net_that_has_them(key):
    model = gaussian.denoiser(LINEAR)
    for kind, message in (("learned", "learned_variance=True"), ("large", "kind must be")):
        with pytest.raises(InputError, match=message):
            again = jax.random.clone(key)
            diffusion.chain_bound(model, {}, again, points(4, 2), num_steps=3, kind=kind)
    with pytest.raises(InputError, match="levels, integers"):
        diffusion.continuous_bound(model, {}, key, points(4, 2), num_levels=5)
