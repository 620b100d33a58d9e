"""One standard deviation for all entries."""

import jax
import numpy as np
import pytest
from scipy import stats

from dgm_jax.likelihoods import factorised, gaussian
from dgm_jax.nets import mlp
from dgm_jax.protocol import Net
from dgm_jax.vae import shared_scale
from tests.helpers import drawn, points


@pytest.mark.parametrize("shape", [(6,), (2, 3), (2, 1, 3)])
def test_it_is_the_gaussian_of_the_nets_means_and_one_deviation(shape):
    net = mlp(2, 6, hidden=(4,))
    shaped = Net(net.init, lambda params, z, key=None: net.apply(params, z).reshape(-1, *shape))
    params, z, x = drawn(net), points(5, 2), points(5, *shape, seed=2)
    for means in (net, shaped):
        decoder = shared_scale(means, scale=0.3)
        start = decoder.init(jax.random.key(0))
        dist = factorised(decoder, gaussian(), shape).dist(start | {"net": params}, z)
        exact = stats.norm(np.asarray(net.apply(params, z)).reshape(x.shape), 0.3).logpdf(x)
        np.testing.assert_allclose(dist.log_prob(x), exact.reshape(5, -1).sum(-1), rtol=1e-5)


@pytest.mark.parametrize("scale", [0.04, 21.0, 0.0, -1.0])
def test_a_deviation_out_of_reach_is_refused(scale):
    with pytest.raises(ValueError, match="scale must"):
        shared_scale(mlp(2, 6, hidden=()), scale=scale)
