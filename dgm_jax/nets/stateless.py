"""A net without a state, where one with a state is expected."""

from .. import checks
from ..protocol import Net, StatefulNet


def stateless(net: Net) -> StatefulNet:
    """θ, s ↦ f_θ with the state s = {}: a `Net` where a `StatefulNet` is expected, as in a GAN.

    net: any `Net`

    The result, a function with a state that no gradient moves, has init(key) = (net.init(key), {}),
    and apply(params, state, *inputs, train=..., key=None) returns (net.apply(params, *inputs,
    key=key), state). `train` has no effect; dropout is on if there is a key.
    """
    checks.noun(net, Net, "net")

    def apply(params, state, *inputs, train, key=None):
        return net.apply(params, *inputs, key=key), state

    return StatefulNet(lambda key: (net.init(key), {}), apply)
