"""Residual generators and critics."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.nets import residual_critic, residual_generator
from tests.contracts.compiled import jit
from tests.helpers import perturb, points

IMAGENET = {"num_classes": 1000, "spectral": True, "attention": 64}


def started(net):
    @jit
    def make(init_key, move_key):
        params, state = net.init(init_key)
        return perturb(params, move_key, 0.1), state

    return make(jax.random.key(0), jax.random.key(1))


def num_params(net):
    shapes, _ = jax.eval_shape(net.init, jax.random.key(0))
    return sum(math.prod(a.shape) for a in jax.tree.leaves(shapes))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"hidden": 96, "embedding": 128, "hierarchical": True}, (70_433_988, 87_982_370)),
        ({"hidden": 64}, (42_017_412, 39_448_258)),
    ],
    ids=["all of it", "without shared embedding and parts of z"],
)
def test_at_128_by_128_the_nets_have_as_many_parameters_as_published(options, wanted):
    """Of BigGAN with 96 channels, and of the SAGAN baseline with 64 (81.5 million together)."""
    latents = 120 if options["hidden"] == 96 else 128
    shape, critic = (128, 128, 3), IMAGENET | {"hidden": options["hidden"]}
    generator = residual_generator(latents, shape, **IMAGENET, **options)
    assert (num_params(generator), num_params(residual_critic(shape, **critic))) == wanted


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 20, 1), (48, 48, 3), (1024, 1024, 3)])
def test_any_size_that_halves_is_made_and_judged(shape):
    """Traced only, up to 1024×1024."""
    options = {"hidden": 2, "num_classes": 3, "attention": shape[0] // 2}
    generator = residual_generator(4, shape, embedding=2, **options)
    critic = residual_critic(shape, **options)

    def game(key, z, y):
        (params, state), (critic_params, critic_state) = generator.init(key), critic.init(key)
        x, state = generator.apply(params, state, z, y, train=True)
        return x, critic.apply(critic_params, critic_state, x, y, train=True)[0]

    x, values = jax.eval_shape(game, jax.random.key(0), points(3, 4), jnp.arange(3))
    assert x.shape == (3, *shape) and values.shape == (3,)


def test_the_critic_is_a_projection_of_the_class():
    """D(x, y) - D(x, y') is ⟨v_y - v_y', φ(x)⟩, and D(x) alone is w φ + b."""
    net, x = residual_critic((8, 8, 1), hidden=2, spectral=False, num_classes=3), points(4, 8, 8, 1)
    params, state = started(net)

    @jit
    def values(table):
        given = params | {"classes": table}
        judge = lambda y: net.apply(given, state, x, jnp.full(4, y), train=False)[0]
        return jnp.stack([judge(y) for y in range(3)])

    bare = values(jnp.zeros_like(params["classes"]))
    np.testing.assert_allclose(bare[0], bare[1], atol=1e-5)
    unit = values(jnp.eye(3, params["classes"].shape[1]))  # v_y picks out φ_y
    phi = (unit - bare)[:2]
    table = params["classes"]
    both = values(jnp.zeros_like(table).at[2, :2].set(jnp.asarray([2.0, -3.0])))
    np.testing.assert_allclose(both[2] - bare[2], 2 * phi[0] - 3 * phi[1], rtol=1e-3, atol=1e-4)


def test_each_block_sees_its_part_of_z_and_the_class():
    net = residual_generator(4, (8, 8, 1), hidden=2, num_classes=3, embedding=2, hierarchical=True)
    params, state = started(net)
    z, y = points(1, 4), jnp.array([1])
    make = lambda params, z, y: net.apply(params, state, z, y, train=False)[0]
    blind = {**params, "UpBlock_0": jax.tree.map(jnp.zeros_like, params["UpBlock_0"])}

    @jit
    def found(z, y):
        slopes = [jax.grad(lambda z: make(p, z, y).sum())(z)[0] for p in (params, blind)]
        return *slopes, make(params, z, y), make(params, z, y + 1)

    slope, of_none, x, other = found(z, y)
    assert (slope[:2] != 0).any() and (slope[2:] != 0).all() and (x != other).any()
    np.testing.assert_array_equal(of_none, 0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: residual_critic((8, 9, 1)), "shape must have an even height and width"),
        (
            lambda: residual_generator(7, (8, 8, 1), hierarchical=True),
            "num_latents must divide into 2 parts.*got 7. Try 8",
        ),
        (
            lambda: residual_generator(4, (16, 16, 1), widths=(4, 4)),
            "widths must be 3 for images",
        ),
        (lambda: residual_critic((16, 16, 1), widths=(4,)), "widths must be at least 2"),
        (lambda: residual_critic((16, 16, 1), attention=5), "attention must be .* one of 8, 4"),
        (
            lambda: residual_critic((8, 8, 1), num_classes=3).apply(
                {}, {}, points(2, 8, 8, 1), np.array([0, 3]), train=True
            ),
            r"cond must lie in 0..2; got entries in 0..3",
        ),
        (
            lambda: residual_critic((8, 8, 1), num_classes=3).apply(
                {}, {}, points(2, 8, 8, 1), points(2), train=True
            ),
            "cond must be classes, integers",
        ),
        (
            lambda: residual_critic((8, 8, 1)).apply(
                {}, {}, points(2, 8, 8, 1), np.array([0, 1]), train=True
            ),
            "cond of shape .* was given to an unconditional model",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_compiled(build, message):
    with pytest.raises(checks.InputError, match=message):
        build()
