"""AVB of Gaussians: q(z | x) = N(0.6 x + 0.2, 0.5²), p(z) = N(0, 1), p(x | z) = N(1.5 z, 1)."""

import functools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import checks, gans, learning, likelihoods, metrics, nets
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

SLOPE, OFFSET, SCALE, WEIGHT = 0.6, 0.2, 0.5, 1.5
LINEAR = Net(  # z = a x + b + s ε
    lambda key: jnp.float32([SLOPE, OFFSET, SCALE]),
    lambda params, x, noise, key=None: params[0] * x + params[1] + params[2] * noise,
)
DECODER = Net(
    lambda key: jnp.float32([WEIGHT]),
    lambda params, z, key=None: jnp.concatenate([-params * z, jnp.zeros_like(z)], -1),
)
BASIS = Net(  # T(x, z) = w · (1, x, z, x², x z, z²), which T* is one of
    lambda key: jnp.zeros(6),
    lambda params, x, z, key=None: (
        jnp.concatenate([jnp.ones_like(z), x, z, x * x, x * z, z * z], -1) @ params[:, None]
    ),
)
# log N(z; a x + b, s²) - log N(z; 0, 1), by the same six
BEST = np.float32(
    [
        -np.log(SCALE) - OFFSET**2 / (2 * SCALE**2),
        -SLOPE * OFFSET / SCALE**2,
        OFFSET / SCALE**2,
        -(SLOPE**2) / (2 * SCALE**2),
        SLOPE / SCALE**2,
        0.5 - 1 / (2 * SCALE**2),
    ]
)
X = points(20_000, 1)
KL = 0.5 * (SCALE**2 + np.mean(np.square(SLOPE * np.asarray(X) + OFFSET)) - 1) - np.log(SCALE)


def model():
    return gans.avb(LINEAR, DECODER, likelihoods.gaussian(), 1, num_latents=1, num_noise=1)


@functools.cache
def learned():
    """Critics at their best, by Newton's method on its loss, and what comes of them."""
    one = model()
    params = {"model": one.init(jax.random.key(0)), "critic": BASIS.init(None)}

    def fitted(num_moments, key):
        def of(critic):
            return gans.avb_critic_loss(
                one,
                BASIS,
                params | {"critic": critic},
                jax.random.clone(key),
                X,
                num_moments=num_moments,
            )

        def newton(critic, _):
            loss = lambda critic: of(critic)[0]
            curved = jax.hessian(loss)(critic) + 1e-6 * jnp.eye(6)
            return critic - jnp.linalg.solve(curved, jax.grad(loss)(critic)), None

        critic = jax.lax.scan(newton, BASIS.init(None), None, length=9)[0]
        losses = {}
        for name, weights in (("best", critic), ("none", jnp.zeros(6))):
            given = params | {"critic": weights}
            losses[name] = gans.avb_loss(
                one, BASIS, given, jax.random.key(2), X, num_moments=num_moments
            )[1]
        return critic, losses

    keys = jax.random.split(jax.random.key(1))
    return jit(lambda keys: (fitted(0, keys[0]), fitted(200, keys[1])))(keys)


def test_the_best_critic_is_log_q_less_log_p_and_its_mean_the_kl():
    critic, losses = learned()[0]
    np.testing.assert_allclose(critic, BEST, atol=0.12)
    np.testing.assert_allclose(losses["best"]["ratio_kl"], KL, atol=0.05)


def test_with_adaptive_contrast_nothing_is_left_to_learn_of_a_gaussian_posterior():
    critic, losses = learned()[1]
    np.testing.assert_allclose(critic, 0, atol=0.05)
    for found in losses.values():
        np.testing.assert_allclose(found["ratio_kl"], KL, atol=0.06)


def test_correlations_of_z_are_counted_in_the_kl_and_not_left_to_the_critic():
    """z = (x + ε_1, x + ρ ε_1 + √(1 - ρ²) ε_2): KL = E x² - ½ log(1 - ρ²) from N(0, I)."""
    rho = 0.99

    def draw(params, x, noise, key=None):
        mixed = rho * noise[..., :1] + np.sqrt(1 - rho**2) * noise[..., 1:]
        return x + jnp.concatenate([noise[..., :1], mixed], -1)

    inference = Net(lambda key: jnp.zeros(()), draw)
    decoder = Net(lambda key: jnp.zeros(()), lambda params, z, key=None: 0 * z)
    critic = Net(lambda key: jnp.zeros(()), lambda params, x, z, key=None: 0 * z[..., :1])
    two = gans.avb(inference, decoder, likelihoods.gaussian(), 1, num_latents=2, num_noise=2)
    params = {"model": two.init(jax.random.key(0)), "critic": critic.init(None)}
    found = jit(lambda key: gans.avb_loss(two, critic, params, key, X, num_moments=2000)[1])(
        jax.random.key(1)
    )
    wanted = np.mean(np.square(X)) - 0.5 * np.log(1 - rho**2)
    np.testing.assert_allclose(found["ratio_kl"], wanted, atol=0.08)


def test_samples_on_a_line_have_a_covariance_that_can_be_inverted_however_large_they_are():
    line = lambda params, x, noise, key=None: x + 1000 * jnp.concatenate([noise] * 8, -1)
    decoder = Net(lambda key: jnp.zeros(()), lambda params, z, key=None: z[..., :1])
    inference = Net(lambda key: jnp.zeros(()), line)
    model = gans.avb(inference, decoder, likelihoods.gaussian(), 1, num_latents=8, num_noise=1)
    posterior = model.posterior(model.init(jax.random.key(0)), X)
    _, factor = posterior.moments(jax.random.key(0), 100)
    assert np.isfinite(factor).all()


def test_the_bound_of_a_critic_that_did_not_learn_is_none():
    """T109: with T = 0 the "ELBO" exceeds log p(x), which importance sampling does not."""
    _, losses = learned()[0]
    claimed = -losses["none"]["distortion"] - losses["none"]["ratio_kl"]
    exact = distrax.Normal(0.0, np.sqrt(WEIGHT**2 + 1)).log_prob(X).mean()
    assert claimed > exact + 0.1
    true_bound = -losses["best"]["distortion"] - losses["best"]["ratio_kl"]
    assert true_bound < exact - 0.1
    proposed = gans.gaussian_proposal(model())
    params = model().init(jax.random.key(0))
    found = metrics.importance_log_prob(
        proposed, params, jax.random.key(3), X[:100], num_samples=500, chunk_size=500
    )
    exact = distrax.Normal(0.0, np.sqrt(WEIGHT**2 + 1)).log_prob(X[:100, 0])
    np.testing.assert_allclose(found.log_prob, exact, atol=0.4)
    assert abs(np.mean(found.log_prob - np.asarray(exact))) < 0.02


def test_the_gradient_of_the_posterior_is_that_of_the_elbo_at_the_best_critic():
    """By a, b and s in closed form, and with adaptive contrast too, whose moments are held."""
    one = model()
    start = one.init(jax.random.key(0))

    def elbo(theta):
        a, b, s = theta
        mean = a * X + b
        kl = 0.5 * (s**2 + mean**2 - 1) - jnp.log(s)
        return (0.5 * ((X - WEIGHT * mean) ** 2 + WEIGHT**2 * s**2) + kl).mean()

    def by_critic(theta, critic, num_moments):
        params = {"model": start | {"posterior": theta}, "critic": critic}
        key = jax.random.key(4)
        return gans.avb_loss(one, BASIS, params, key, X, num_moments=num_moments)[0]

    theta = jnp.float32([SLOPE, OFFSET, SCALE])
    wanted, *found = jit(
        lambda: (
            jax.grad(elbo)(theta),
            jax.grad(by_critic)(theta, jnp.asarray(BEST), 0),
            jax.grad(by_critic)(theta, jnp.zeros(6), 2000),
        )
    )()
    for gradient in found:
        np.testing.assert_allclose(gradient, wanted, atol=0.06)


def test_each_player_moves_its_own_and_the_critic_sees_no_gradient_of_z():
    encoder = gans.implicit_net(3, 2, num_noise=4, num_basis=3, hidden=(5,), noise_hidden=(4,))
    decoder, critic = nets.mlp(2, 3, hidden=(5,)), nets.mlp((3, 2), 1, hidden=(5,))
    one = gans.avb(encoder, decoder, likelihoods.bernoulli(), 3, num_latents=2, num_noise=4)
    init = lambda key: {"model": drawn(one), "critic": drawn(critic)}
    losses = {
        name: functools.partial(loss, one, critic, num_moments=5)
        for name, loss in (("critic", gans.avb_critic_loss), ("model", gans.avb_loss))
    }
    x = jnp.int32([[0, 1, 1], [1, 0, 1], [1, 1, 1], [0, 0, 1]])
    key = jax.random.key(0)
    game = learning.alternate(
        {name: learning.Player(loss, optax.adam(1e-2)) for name, loss in losses.items()}, init
    )

    @jit
    def run(key):
        keys = jax.random.split(key, 3)
        moved, told = game.step(game.init(keys[0]), keys[1], x)
        leaked = jax.grad(lambda p: losses["critic"](p, keys[2], x)[0])(init(None))
        posterior = one.posterior(init(None)["model"], x)
        z = posterior.sample(seed=jax.random.key(5), sample_shape=4000)
        return moved, told, leaked, z, posterior.moments(jax.random.key(6), 4000)

    moved, told, leaked, z, (mean, factor) = run(key)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(leaked["model"]))
    before, after = init(None), game.params(moved)
    for name in before:
        changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before[name], after[name])
        assert all(jax.tree.leaves(changed)), name
    assert np.isfinite(list(told.values())).all()
    np.testing.assert_allclose(z.mean(0), mean, atol=0.05)
    covariance = np.einsum("k...i,k...j->...ij", z - z.mean(0), z - z.mean(0)) / len(z)
    np.testing.assert_allclose(factor @ factor.mT, covariance, rtol=0.1, atol=0.02)


def test_what_does_not_fit_is_refused():
    one = model()
    params = {"model": one.init(jax.random.key(0)), "critic": BASIS.init(None)}
    with pytest.raises(checks.InputError, match="log_prob of an implicit"):
        one.posterior(params["model"], X).log_prob(X)
    with pytest.raises(checks.InputError, match="num_moments must exceed the 1 numbers of z"):
        gans.avb_loss(one, BASIS, params, jax.random.key(0), X, num_moments=1)
    with pytest.raises(checks.InputError, match="inference must give num_latents=2"):
        gans.avb(LINEAR, DECODER, likelihoods.gaussian(), 1, num_latents=2, num_noise=1)
    with pytest.raises(checks.InputError, match="params must be a dict of 'model' and 'critic'"):
        gans.avb_loss(one, BASIS, params["model"], jax.random.key(0), X)
