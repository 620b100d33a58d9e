"""A net without a state, where one with a state is expected."""

from .. import checks
from ..protocol import Net, StatefulNet


def stateless(net: Net) -> StatefulNet:
    """A `Net` as a `StatefulNet` with the state {}: θ, s ↦ f_θ.

    `train` has no effect; dropout follows the key.
    """
    checks.noun(net, Net, "net")

    def apply(params, state, *inputs, train, key=None):
        return net.apply(params, *inputs, key=key), state

    return StatefulNet(lambda key: (net.init(key), {}), apply)
