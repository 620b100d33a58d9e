"""f-divergences against closed forms, and their bound by a critic: P = N(d, 1) and Q = N(0, 1)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.objectives import f_bound, f_divergence, f_gan, minimax, non_saturating
from tests.contracts.compiled import jit

D = 0.8  # of the means
X = np.linspace(-12, 12, 4001)
P, Q = (np.exp(-((X - m) ** 2) / 2) / np.sqrt(2 * np.pi) for m in (D, 0.0))
LOG_RATIO = D * X - D**2 / 2
DIVERGENCES = {
    name: f_divergence(name)
    for name in (
        "kl",
        "reverse_kl",
        "jeffreys",
        "pearson",
        "hellinger",
        "jensen_shannon",
        "gan",
        "total_variation",
    )
} | {f"alpha {a}": f_divergence("alpha", alpha=a) for a in (-0.5, 0.5, 1.5, 2.0)}


def integral(values):
    return float(np.sum(values) * (X[1] - X[0]))


@functools.cache
def tabled():
    """What the tests look at, of every divergence, in one program with 64 bits."""
    levels = np.linspace(-80, 80, 641)

    def of(divergence):
        v = jnp.asarray(LOG_RATIO)
        best = divergence.critic(v)
        t = divergence.activation(jnp.asarray(levels / 8))
        ratios = jnp.exp(jnp.linspace(-3, 3, 2001))  # of f** at u, the largest over t = f'(ratio)
        at = divergence.critic(jnp.log(ratios))
        u = jnp.exp(jnp.linspace(-2, 2, 9))
        touching = u[:, None] * at - divergence.conjugate(at)
        slope = jax.vmap(jax.grad(divergence.f))(u)
        back = jax.vmap(jax.grad(divergence.conjugate))(divergence.critic(jnp.log(u)))
        return {
            "f": divergence.f(jnp.exp(v)),
            "best": best,
            "conjugate of best": divergence.conjugate(best),
            "t": t,
            "conjugate": divergence.conjugate(t),
            "composed": divergence.conjugate_of_activation(jnp.asarray(levels / 8)),
            "f at u": divergence.f(u),
            "f**": touching.max(1),
            "slope": slope,
            "critic": divergence.critic(jnp.log(u)),
            "u": u,
            "back": back,
        }

    with jax.enable_x64(True):
        found = jit(lambda: {name: of(one) for name, one in DIVERGENCES.items()})()
        return jax.tree.map(np.asarray, found)


def value(name):
    return integral(Q * tabled()[name]["f"])


@pytest.mark.parametrize("name", DIVERGENCES)
def test_f_is_the_conjugate_of_its_conjugate(name):
    """f(u) = max_t [u t - f*(t)], on a grid of t."""
    found = tabled()[name]
    np.testing.assert_allclose(found["f**"], found["f at u"], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_best_critic_is_the_slope_of_f_and_its_conjugate_leads_back(name):
    found = tabled()[name]
    away = found["u"] != 1 if name == "total_variation" else slice(None)
    np.testing.assert_allclose(found["critic"][away], found["slope"][away], atol=1e-12)
    if name != "total_variation":  # whose f* has the slope 1 everywhere
        np.testing.assert_allclose(found["back"], found["u"], rtol=1e-9)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_bound_is_tight_at_the_best_critic_and_below_at_others(name):
    found, divergence = tabled()[name], DIVERGENCES[name]
    tight = integral(P * found["best"]) - integral(Q * found["conjugate of best"])
    np.testing.assert_allclose(tight, value(name), rtol=1e-6)
    v = jnp.asarray(0.6 * X - 0.1)
    other = np.asarray(divergence.activation(v)), np.asarray(divergence.conjugate_of_activation(v))
    assert integral(P * other[0]) - integral(Q * other[1]) < value(name) - 1e-3


def test_the_conjugate_of_jeffreys_is_by_the_function_of_lambert():
    """1/W + W + t - 2 with W e^W = e^(1 - t), and the slope 1/W, at all t that float64 can tell."""
    jeffreys = f_divergence("jeffreys")
    t = np.concatenate([-np.logspace(2.8, -3, 60), np.logspace(-3, 2.8, 60)])
    with jax.enable_x64(True):
        value, slope = jit(jax.vmap(jax.value_and_grad(jeffreys.conjugate)))(jnp.asarray(t))
    w = 1 / np.asarray(slope)
    np.testing.assert_allclose(w + np.log(w), 1 - t, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(value, 1 / w + w + t - 2, rtol=1e-9, atol=1e-11)


CLOSED_FORMS = {
    "kl": D**2 / 2,
    "reverse_kl": D**2 / 2,
    "jeffreys": D**2,
    "pearson": np.exp(D**2) - 1,
    "hellinger": 2 * (1 - np.exp(-(D**2) / 8)),
    "total_variation": 2 * 0.6554217416103242 - 1,  # 2 Φ(d/2) - 1
    "alpha -0.5": (np.exp(0.75 * D**2 / 2) - 1) / 0.75,
    "alpha 0.5": 4 * (1 - np.exp(-(D**2) / 8)),
    "alpha 1.5": (np.exp(0.75 * D**2 / 2) - 1) / 0.75,
    "alpha 2.0": (np.exp(D**2) - 1) / 2,
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_of_two_gaussians_it_is_the_closed_form(name):
    np.testing.assert_allclose(value(name), CLOSED_FORMS[name], rtol=1e-6)


def test_jensen_shannon_and_gan_are_by_way_of_the_mixture():
    m = (P + Q) / 2
    twice = integral(P * np.log(P / m)) + integral(Q * np.log(Q / m))
    np.testing.assert_allclose(value("jensen_shannon"), twice, rtol=1e-6)
    np.testing.assert_allclose(value("gan"), twice - np.log(4), rtol=1e-6)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_activation_fills_the_domain_and_the_best_critic_lies_within(name):
    """T110: an activation of another divergence leaves the domain, or does not reach T*."""
    found, (low, high) = tabled()[name], DIVERGENCES[name].domain
    t = found["t"]
    assert (np.diff(t) >= 0).all() and (low <= t).all() and (t <= high).all()
    for end, reached in ((low, t[0]), (high, t[-1])):
        assert abs(reached - end) < 0.35 if np.isfinite(end) else abs(reached) > 1.9
    assert (low <= found["best"]).all() and (found["best"] <= high).all()
    inside = slice(None) if name == "total_variation" else (t > low) & (t < high)
    np.testing.assert_allclose(
        found["composed"][inside], found["conjugate"][inside], rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("name", DIVERGENCES)
def test_losses_and_gradients_are_finite_at_80(name):
    game = f_gan(DIVERGENCES[name])
    other = f_gan(DIVERGENCES[name], saturating=False)
    v = jnp.float32([-80, 0, 80])

    @jit
    def run(v):
        losses = game.critic, game.generator, other.generator
        return [jax.value_and_grad(loss, argnums=(0, 1))(v, v) for loss in losses]

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run(v)))


def test_the_game_is_the_bound_and_that_of_gan_is_the_games_of_goodfellow():
    real, fake = jnp.float32([0.3, -1.0, 2.0]), jnp.float32([-0.7, 0.1])
    divergence = f_divergence("gan")
    one, other = f_gan(divergence), f_gan(divergence, saturating=False)
    np.testing.assert_allclose(one.critic(real, fake), -f_bound(divergence, real, fake))
    np.testing.assert_allclose(one.critic(real, fake), minimax().critic(real, fake), rtol=1e-6)
    for mine, theirs in ((one, minimax()), (other, non_saturating())):
        got, wanted = mine.generator(fake, real), theirs.generator(fake, real)
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_the_generator_of_a_kl_lowers_its_part_of_the_bound():
    """-E e^(v - 1) and, where it does not saturate, -E v, by hand."""
    fake = jnp.float32([-0.7, 0.1])
    kl = f_divergence("kl")
    saturating = f_gan(kl).generator(fake, fake)
    np.testing.assert_allclose(saturating, -np.exp(np.float32([-1.7, -0.9])).mean(), rtol=1e-6)
    np.testing.assert_allclose(f_gan(kl, saturating=False).generator(fake, fake), 0.3, rtol=1e-6)


@pytest.mark.parametrize(
    "given, said",
    [
        (("chi2", {}), "name must be one of kl, .*got 'chi2'"),
        (("alpha", {"alpha": 1}), "alpha must not be 0 or 1, .*'kl'"),
        (("alpha", {"alpha": 0.0}), "alpha must not be 0 or 1, .*'reverse_kl'"),
        (("alpha", {}), "alpha"),
        (("kl", {"alpha": 0.5}), "alpha is of the divergence 'alpha' only"),
    ],
)
def test_unknown_divergences_are_refused(given, said):
    name, options = given
    with pytest.raises(checks.InputError, match=said):
        f_divergence(name, **options)
