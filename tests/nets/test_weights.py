"""Linear maps and convolutions, whose weights may have the norm one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.nets.resampling import nearest_conv, pooled_conv
from dgm_jax.nets.upsampling import down_conv
from dgm_jax.nets.weights import Convolution, Linear
from tests.contracts.compiled import jit
from tests.helpers import points

FORMS = {"up": nearest_conv, "down": pooled_conv, None: partial(down_conv, stride=1)}


@pytest.mark.parametrize("resample", FORMS)
def test_a_spectral_convolution_is_that_of_its_kernel_divided_by_the_norm(resample):
    x, module = points(2, 4, 4, 3), Convolution(2, resample=resample, spectral=True)
    variables = module.init(jax.random.key(0), x, False)
    kernel, bias = 3 * points(3, 3, 3, 2), points(2)
    variables["params"] |= {"kernel": kernel, "bias": bias}

    @jit
    def many(variables):
        for _ in range(30):
            y, moved = module.apply(variables, x, True, mutable=["spectral"])
            variables = variables | moved
        return y

    sigma = np.linalg.norm(np.asarray(kernel).reshape(-1, 2), 2)
    np.testing.assert_allclose(
        many(variables), FORMS[resample](x, kernel / sigma) + bias, rtol=1e-3, atol=1e-4
    )


def test_a_linear_map_has_a_bias_and_a_norm_where_it_is_told():
    x = points(5, 3)
    plain, bare = Linear(2), Linear(2, use_bias=False, spectral=True)
    variables = {"params": {"kernel": points(3, 2), "bias": points(2)}}
    wanted = x @ variables["params"]["kernel"] + variables["params"]["bias"]
    np.testing.assert_allclose(plain.apply(variables, x, True), wanted, rtol=1e-6)
    variables = bare.init(jax.random.key(0), x, False)
    assert set(variables) == {"params", "spectral"} and set(variables["params"]) == {"kernel"}
    unit = bare.apply(variables, jnp.eye(3), False)
    np.testing.assert_allclose(np.linalg.norm(unit, 2), 1, rtol=1e-3)
