"""A net without a state, where one with a state is expected."""

from .. import checks
from ..protocol import Net, StatefulNet


def stateless(net: Net) -> StatefulNet:
    """θ ↦ f_θ as θ, s ↦ f_θ,s with the state s = {}, which stays as it is.

    `train` says nothing to such a net: dropout, where it has any, follows the key.
    """
    checks.noun(net, Net, "net")

    def apply(params, state, *inputs, train, key=None):
        return net.apply(params, *inputs, key=key), state

    return StatefulNet(lambda key: (net.init(key), {}), apply)
