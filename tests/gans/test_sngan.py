"""SNGAN: a critic of bounded slope, whose vectors move in its own turn and once."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import gans, nets, objectives
from tests.contracts.compiled import jit
from tests.helpers import points

SHAPE = (8, 8, 1)
MODEL = gans.sngan(SHAPE, num_latents=3, hidden=2, num_classes=3)


def test_singular_vectors_move_once_a_step_of_the_critic_and_not_with_the_generator():
    @jit
    def both(key, x, y):
        init_key, *keys = jax.random.split(key, 3)
        params, state = MODEL.init(init_key)
        losses = (objectives.critic_loss, objectives.generator_loss)
        (_, (_, by_critic)), (_, (_, by_generator)) = (
            loss(MODEL, objectives.hinge(), params, k, x, y, state=state)
            for loss, k in zip(losses, keys)
        )
        return params, state, by_critic, by_generator

    params, state, by_critic, by_generator = both(
        jax.random.key(0), points(3, *SHAPE), jnp.arange(3)
    )
    layer = lambda state: state["critic"]["spectral"]["Linear_0"]["SpectralNorm_0"]["u"]
    kernel, u = params["critic"]["Linear_0"]["kernel"], layer(state)
    once = nets.power_iteration(kernel, u, num_steps=1)[1]
    np.testing.assert_allclose(layer(by_critic), once, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, by_generator["critic"], state["critic"])
    jax.tree.map(np.testing.assert_array_equal, by_critic["generator"], state["generator"])


def test_the_nets_of_the_paper_for_cifar_10_have_its_widths():
    model = gans.sngan((32, 32, 3), generator_widths=(256,) * 4, critic_widths=(128,) * 4, hidden=1)
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    count = {name: sum(a.size for a in jax.tree.leaves(p)) for name, p in params.items()}
    assert count == {"generator": 4_276_739, "critic": 1_070_337}
