"""Progressive growing: the smaller game within the larger one."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, gans, objectives
from dgm_jax.nets import doubled, halved
from tests.contracts.compiled import jit
from tests.helpers import perturb, points

SMALL = {"num_latents": 3, "channel_base": 32, "channel_max": 4}
GROWN = gans.progressive((16, 16, 2), **SMALL)


def started(model, scale=0.3):
    params, state = jit(model.init)(jax.random.key(0))
    return perturb(params, jax.random.key(1), scale), state


def test_at_alpha_0_the_game_is_that_of_half_the_size_and_at_1_the_larger_one():
    """Exactly, for both players, by one tree of parameters and a traced α."""
    params, state = started(GROWN())
    z, x = points(3, 3), points(3, 16, 16, 2)

    def players(size, alpha, x):
        model = GROWN(size, alpha)
        made, _ = model.generator.apply(params["generator"], {}, z, train=False)
        return made, model.critic.apply(params["critic"], {}, x, train=False)[0]

    @jit
    def all_of_them(alpha, x):
        small, large = players(8, 1.0, halved(x)), players(16, 1.0, x)
        return small, large, players(16, alpha, x)

    (small, value), (large, value_of_large), faded = all_of_them(0.0, x)
    np.testing.assert_array_equal(faded[0], doubled(small))
    np.testing.assert_allclose(faded[1], value, rtol=1e-6)
    *_, faded = all_of_them(1.0, x)
    np.testing.assert_array_equal(faded[0], large)
    np.testing.assert_allclose(faded[1], value_of_large, rtol=1e-6)
    *_, half = all_of_them(0.5, x)
    np.testing.assert_allclose(half[0], (doubled(small) + large) / 2, rtol=1e-5, atol=1e-6)
    assert (large != doubled(small)).mean() > 0.9


def test_all_sizes_have_one_tree_and_unused_layers_no_gradient():
    params, state = started(GROWN())
    for size in (4, 8, 16):
        assert jax.tree.structure(jax.eval_shape(GROWN(size).init, jax.random.key(0))[0]) == (
            jax.tree.structure(params)
        )
    game, x = objectives.non_saturating(), points(4, 8, 8, 2)

    def loss(params, alpha):
        critic, _ = objectives.critic_loss(
            GROWN(8, alpha), game, params, jax.random.key(2), x, state=state, penalty=objectives.r1
        )
        made, _ = objectives.generator_loss(
            GROWN(8, alpha), game, params, jax.random.key(3), x, state=state
        )
        return critic + made

    slopes = jit(jax.grad(loss))(params, 0.5)
    sizes = {
        f"{player}/{name}": sum(float(jnp.abs(g).sum()) for g in jax.tree.leaves(part))
        for player, parts in slopes.items()
        for kind in parts
        if kind in ("blocks", "to_image", "from_image")
        for name, part in {f"{kind}/{s}": p for s, p in parts[kind].items()}.items()
    }
    for name, size in sizes.items():
        assert np.isfinite(size) and (size == 0) == name.endswith("16x16"), name


def test_data_fade_as_the_images_do():
    x = points(2, 16, 16, 1)
    small, large = gans.shrunk(x, 4), gans.shrunk(x, 8)
    np.testing.assert_allclose(small, x.reshape(2, 4, 4, 4, 4, 1).mean((2, 4)), atol=1e-6)
    np.testing.assert_array_equal(gans.shrunk(x, 8, 0.0), doubled(halved(large)))
    np.testing.assert_array_equal(gans.shrunk(x, 16), x)


def test_the_nets_of_the_paper_have_its_parameters():
    """23.1 million each at 1024×1024, table 2 of Karras et al. (2018); nothing is computed."""
    model = gans.progressive((1024, 1024, 3))()
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    numbers = {
        name: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(part))
        for name, part in params.items()
    }
    assert numbers == {"generator": 23_079_115, "critic": 23_087_249}
    draw = lambda params, key: objectives.generated(model, params, state, key, 2)
    x = jax.eval_shape(draw, params, jax.random.key(0))
    assert x.shape == (2, 1024, 1024, 3)
    judge = lambda params, x: model.critic.apply(params, {}, x, train=True)[0]
    assert jax.eval_shape(judge, params["critic"], x).shape == (2,)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: gans.progressive((12, 12, 1)), "must be a power of two"),
        (lambda: gans.progressive((8, 16, 1)), "shape must be square"),
        (lambda: GROWN(32), "size must be at most 16"),
        (lambda: GROWN(10), "size must be a power of two"),
        (lambda: GROWN(8, 1.5), "alpha must lie in 0..1"),
        (lambda: gans.shrunk(jnp.zeros((8, 8, 1)), 16), "at least size=16"),
    ],
)
def test_what_cannot_grow_is_refused_in_a_line(call, said):
    with pytest.raises(checks.InputError, match=said):
        call()
