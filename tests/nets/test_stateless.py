"""A net without a state, as one with the state {}."""

import jax
import numpy as np

from dgm_jax.nets import mlp, stateless
from tests.helpers import points


def test_it_is_the_net_and_its_state_is_empty_and_stays():
    net = mlp(2, 3, hidden=(4,), dropout=0.5)
    lifted, key, x = stateless(net), jax.random.key(0), points(5, 2)
    params, state = lifted.init(key)
    assert state == {}
    for train in (True, False):
        y, after = lifted.apply(params, state, x, train=train, key=key)
        assert after == {}
        np.testing.assert_array_equal(y, net.apply(net.init(key), x, key=key))
