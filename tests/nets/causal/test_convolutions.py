"""Convolutions that look back only: the masked ones, in both views of time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.nets.causal.convolutions import CausalConv, RowConv
from dgm_jax.nets.causal.time import AllSteps, OneStep
from tests.contracts.compiled import jit

KERNEL = {
    (2, 1, 1, False): [[1, 1, 1], [1, 1, 1], [1, 1, 0]],
    (1, 2, 1, True): [[1, 1, 1, 1], [1, 1, 0, 0]],
    (1, 1, 0, False): [[1, 1], [1, 1]],
    (0, 2, 5, True): [[1, 1, 0]],
}


@pytest.mark.parametrize("taps", KERNEL)
def test_a_causal_convolution_is_the_masked_one(taps):
    """Written out as a sum over the taps of its kernel, in both views."""
    up, left, right, late = taps
    height, width = 4, 5
    conv = CausalConv(1, width, up, left, right, late)
    x = np.random.default_rng(0).normal(size=(2, height, width, 1)).astype(np.float32)
    wanted = np.zeros_like(x)
    for i, row in enumerate(KERNEL[taps]):
        for j, there in enumerate(row):
            for r in range(height):
                for c in range(width):
                    above, aside = r - (len(KERNEL[taps]) - 1 - i), c + j - left
                    if there and above >= 0 and 0 <= aside < width:
                        wanted[:, r, c] += x[:, above, aside]
    steps = x.reshape(2, -1, 1)
    u = np.pad(steps, [(0, 0), (1, 0), (0, 0)])[:, :-1] if late else steps
    num_taps = int(np.sum(KERNEL[taps]))
    params = {"params": {"kernel": jnp.ones((num_taps, 1, 1)), "bias": jnp.zeros(1)}}
    together = conv.apply(params, AllSteps(height * width), u)
    np.testing.assert_allclose(together, wanted.reshape(2, -1, 1), atol=1e-5)

    def step(memory, at):
        view = OneStep(height * width, at[0], memory)
        y = conv.apply(params, view, at[1])
        return view.memory, y

    first = OneStep(height * width, 0)
    conv.apply(params, first, u[:, 0])
    empty = jax.tree.map(jnp.zeros_like, first.memory)
    at = jnp.arange(height * width), jnp.moveaxis(u, 1, 0)
    _, y = jit(lambda at: jax.lax.scan(step, empty, at))(at)
    np.testing.assert_allclose(jnp.moveaxis(y, 0, 1), together, atol=1e-5)


def test_weights_that_no_pixel_can_use_do_not_exist():
    """A kernel that is larger than the picture is cut to it, and the fan-in counts legal taps."""
    u, key = jnp.zeros((1, 50)), jax.random.key(0)
    conv = CausalConv(400, width=2, up=3, left=3, right=3)
    kernel = conv.init(key, OneStep(4, 0), u)["params"]["kernel"]
    assert kernel.shape == (3 + 2, 50, 400)  # of 3 rows and 7 columns
    np.testing.assert_allclose(kernel.std(), 1 / np.sqrt(5 * 50), rtol=0.02)
    rows = RowConv(1, up=3, side=3).init(jax.random.clone(key), OneStep(2, 0), jnp.zeros((1, 2, 1)))
    assert rows["params"]["kernel"].shape == (2, 3, 1, 1)
