"""The two nets of a DCGAN."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.nets import strided_critic, strided_generator
from tests.contracts.compiled import jit
from tests.helpers import perturb, points


def started(net, seed=0):
    @jit
    def make(init_key, move_key):
        params, state = net.init(init_key)
        return perturb(params, move_key, 0.1), state

    return make(jax.random.key(seed), jax.random.key(seed + 1))


def num_params(net):
    return sum(
        math.prod(a.shape) for a in jax.tree.leaves(jax.eval_shape(net.init, jax.random.key(0))[0])
    )


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 20, 1), (9, 13, 3), (1024, 1024, 3)])
def test_any_size_is_made_and_judged(shape):
    """Traced only, up to 1024×1024."""
    generator, critic = strided_generator(5, shape, hidden=4), strided_critic(shape, hidden=4)

    def game(key, z):
        (params, state), (critic_params, critic_state) = generator.init(key), critic.init(key)
        x, state = generator.apply(params, state, z, train=True)
        return x, critic.apply(critic_params, critic_state, x, train=True)[0]

    x, values = jax.eval_shape(game, jax.random.key(0), points(3, 5))
    assert x.shape == (3, *shape) and values.shape == (3,)


def test_at_64_by_64_the_nets_are_those_of_the_published_code():
    """It counts 3,576,704 and 2,765,568; here what no norm follows has a bias as well."""
    assert num_params(strided_generator(100, (64, 64, 3))) == 3_576_704 + 3
    assert num_params(strided_critic((64, 64, 3))) == 2_765_568 + 64 + 1


def test_with_virtual_batch_norm_an_image_depends_on_its_z_alone_also_in_training():
    net, z = (
        strided_generator(3, (8, 8, 1), hidden=2, norm="virtual", num_reference=4),
        points(5, 3),
    )
    params, state = started(net)
    make = jit(lambda z: net.apply(params, state, z, train=True)[0])
    x, other = make(z), make(z.at[1:].set(2.0))
    assert x.shape == (5, 8, 8, 1)
    np.testing.assert_allclose(other[0], x[0], atol=1e-5)
    assert (abs(other[1] - x[1]) > 1e-3).any() and state["reference"]["z"].shape == (4, 3)


def test_batch_norm_joins_the_examples_of_a_batch_in_training_and_not_in_evaluation():
    net, z = strided_generator(3, (8, 8, 1), hidden=2), points(5, 3)
    params, state = started(net)

    @jit
    def make(z):
        trained, moved = net.apply(params, state, z, train=True)
        return trained, net.apply(params, moved, z, train=False)[0], moved

    trained, _, moved = make(z)
    other, _, _ = make(z.at[1:].set(2.0))
    assert (abs(other[0] - trained[0]) > 1e-3).any()
    evaluated = jit(lambda z: net.apply(params, moved, z, train=False)[0])
    np.testing.assert_allclose(evaluated(z.at[1:].set(2.0))[0], evaluated(z)[0], atol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "spectral", "none"])
def test_a_critic_without_batch_norm_judges_each_image_alone(norm):
    net, x = strided_critic((8, 8, 2), hidden=2, norm=norm), points(3, 8, 8, 2)
    params, state = started(net)
    assert "batch_stats" not in state
    judge = jit(lambda x: net.apply(params, state, x, train=True)[0])
    np.testing.assert_allclose(judge(x.at[1:].set(1.0))[0], judge(x)[0], atol=1e-5)


def test_wrong_sizes_and_norms_are_refused():
    with pytest.raises(checks.InputError, match="shape must have a height and a width of at least"):
        strided_critic((7, 3, 1))
    with pytest.raises(checks.InputError, match="norm must be one of batch, layer, spectral, none"):
        strided_critic((8, 8, 1), norm="group")
    with pytest.raises(checks.InputError, match=r"z must have shape \[..., 3\]"):
        net = strided_generator(3, (8, 8, 1))
        net.apply({}, {}, jnp.zeros((2, 4)), train=False)
