"""FactorVAE: codes, permuted codes, and the critic that tells them apart."""

import functools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import checks, disentangled, distributions, learning
from dgm_jax.nets import mlp
from dgm_jax.protocol import LatentVariable, Net
from tests.contracts.compiled import jit
from tests.disentangled.models import bits, small_vae
from tests.helpers import drawn, points

RHO = 0.8


def test_each_entry_is_permuted_by_itself():
    """T42: entries keep their values, and lose what they had in common; no row is kept."""
    z = np.repeat(np.arange(1000, dtype=np.float32)[:, None], 3, 1)
    found = np.asarray(disentangled.permuted(jax.random.key(0), jnp.asarray(z)))
    np.testing.assert_array_equal(np.sort(found, 0), z)
    correlations = np.corrcoef(found.T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.12
    assert (found[:, 0] != z[:, 0]).mean() > 0.9


def model_of(scale=0.01):
    """q(z | x) = N(x, s² I): codes are the data."""
    normal = lambda mean, s: distrax.MultivariateNormalDiag(mean, jnp.full_like(mean, s))
    return LatentVariable(
        lambda key: {},
        lambda params, cond=None, *, key=None: distributions.standard_normal(2).dist({}),
        lambda params, z, cond=None, *, key=None: normal(z, 1.0),
        lambda params, x, cond=None, *, key=None: normal(x, scale),
    )


QUADRATIC = Net(  # T(z) = a + b z_1 z_2 + c (z_1² + z_2²), which T* is one of
    lambda key: jnp.zeros(3),
    lambda params, z, key=None: (
        params[0] + params[1] * z[:, :1] * z[:, 1:] + params[2] * (z**2).sum(-1, keepdims=True)
    ),
)


def test_the_best_critic_tells_the_total_correlation_of_a_gaussian():
    """E1: z ~ N(0, [1 ρ; ρ 1]) has T* in closed form, and TC = -½ log(1 - ρ²)."""
    root = np.float32([[1.0, 0.0], [RHO, np.sqrt(1 - RHO**2)]])
    x, model = points(100_000, 2) @ root.T, model_of()

    def learn(key, model_key):
        def loss(critic):
            params = {"model": {}, "critic": critic}
            return disentangled.factor_critic_loss(
                model, QUADRATIC, params, jax.random.clone(key), x
            )[0]

        def newton(critic, _):
            curved = jax.hessian(loss)(critic) + 1e-6 * jnp.eye(3)
            return critic - jnp.linalg.solve(curved, jax.grad(loss)(critic)), None

        critic = jax.lax.scan(newton, jnp.zeros(3), None, length=8)[0]
        of_model = disentangled.factor_vae_loss(
            model,
            QUADRATIC,
            {"model": {}, "critic": critic},
            model_key,
            x[:64],
            gamma=3.0,
            num_data=64,
        )
        return critic, of_model, loss(jnp.zeros(3))

    critic, (value, told), untrained = jit(learn)(*jax.random.split(jax.random.key(0)))
    best = [
        -0.5 * np.log(1 - RHO**2),
        RHO / (1 - RHO**2),
        0.5 - 0.5 / (1 - RHO**2),
    ]
    np.testing.assert_allclose(critic, best, atol=0.1)
    values = QUADRATIC.apply(critic, x)
    np.testing.assert_allclose(values.mean(), -0.5 * np.log(1 - RHO**2), atol=0.02)
    assert untrained == pytest.approx(np.log(4), rel=1e-5)
    assert value == pytest.approx(float(told["neg_elbo"] + 3 * told["ratio_kl"]), rel=1e-5)


def test_permuted_codes_are_those_of_other_rows():
    """Of the second half of a batch, or of rows that are given: T(z) = -z_1 tells them apart."""
    model, x = model_of(), jnp.repeat(jnp.float32([[-1.0, 0.0], [1.0, 0.0]]), 4, 0)
    critic = Net(lambda key: {}, lambda params, z, key=None: -z[:, :1])
    loss = functools.partial(
        disentangled.factor_critic_loss, model, critic, {"model": {}, "critic": {}}
    )
    halves, given, swapped = jit(
        lambda key: [
            loss(jax.random.clone(key), *rows)[1]["accuracy"]
            for rows in ((x,), (x[:4], x[4:]), (x[4:], x[:4]))
        ]
    )(jax.random.key(0))
    assert halves == given == 1 and swapped == 0


def test_each_player_moves_its_own():
    """T97: no gradient of the critic's loss reaches the encoder, nor γ TC the critic."""
    model, critic = small_vae(), mlp(3, 1, hidden=(5,))
    init = lambda key: {"model": drawn(model, 0.7), "critic": drawn(critic, 0.7)}
    losses = {
        "model": functools.partial(
            disentangled.factor_vae_loss, model, critic, gamma=5.0, num_data=50
        ),
        "critic": functools.partial(disentangled.factor_critic_loss, model, critic),
    }
    game = learning.alternate(
        {name: learning.Player(loss, optax.adam(1e-2)) for name, loss in losses.items()}, init
    )
    x = bits(8)

    @jit
    def run(start_key, step_key, key):
        params, again = init(None), jax.random.clone
        moved, told = game.step(game.init(start_key), step_key, x)
        of_model = jax.grad(lambda p: losses["model"](p, again(key), x[:4])[0])(params)
        of_critic = jax.grad(lambda p: losses["critic"](p, again(key), x)[0])(params)
        free = functools.partial(losses["model"], gamma=0.0)
        unweighted = jax.grad(lambda p: free(p, again(key), x[:4])[0])(params)
        return game.params(moved), told, of_model, of_critic, unweighted

    params, told, of_model, of_critic, unweighted = run(*jax.random.split(jax.random.key(0), 3))
    flat = lambda tree: np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])
    assert np.all(flat(of_critic["model"]) == 0) and np.any(flat(of_critic["critic"]) != 0)
    assert np.all(flat(of_model["critic"]) == 0)
    encoder = lambda tree: flat(tree["model"]["posterior"])
    assert np.abs(encoder(of_model) - encoder(unweighted)).max() > 1e-3
    for name, before in init(None).items():
        assert np.any(flat(params[name]) != flat(before)), name
    assert np.isfinite(list(told.values())).all()


def test_what_does_not_fit_is_refused():
    model, critic = small_vae(), mlp(3, 1, hidden=(5,))
    params = {"model": drawn(model), "critic": drawn(critic)}
    with pytest.raises(checks.InputError, match="rows that divide among 2 halves.*got 5"):
        disentangled.factor_critic_loss(model, critic, params, jax.random.key(0), bits(5))
    with pytest.raises(checks.InputError, match="params must be a dict of 'model' and 'critic'"):
        disentangled.factor_critic_loss(model, critic, params["model"], jax.random.key(0), bits(4))
    wide = mlp(3, 2, hidden=(5,))
    with pytest.raises(checks.InputError, match="the value of critic"):
        disentangled.factor_critic_loss(
            model, wide, params | {"critic": drawn(wide)}, jax.random.key(0), bits(4)
        )
