"""Options are spelled out at every constructor, which hands each on to what it is an option of."""

import inspect
import sys

import pytest

from dgm_jax import autoregressive, flows, nets
from dgm_jax.bijectors import additive, ode_solver
from dgm_jax.likelihoods import bernoulli

IMAGE = (4, 4, 1)


class Handed(Exception):
    """What a constructor was called with, in the place of what it makes."""


def module(constructor):
    return sys.modules[constructor.__module__]


def of_nets(name, *args):
    return getattr(autoregressive, name), args, nets, name


# a constructor, its arguments, and the first one that it calls, by place and name
CALLS = {
    "maf": (flows.maf, (4,), module(flows.maf), "iaf"),
    "iaf": (flows.iaf, (4,), module(flows.iaf), "autoregression"),
    "autoregression": (flows.autoregression, (4,), module(flows.autoregression), "made"),
    "realnvp": (flows.realnvp, (4,), module(flows.realnvp), "coupling"),
    "coupling": (flows.coupling, (4,), module(flows.coupling), "mlp"),
    "glow": (flows.glow, (IMAGE,), module(flows.glow), "channel_coupling"),
    "realnvp_image": (
        flows.realnvp_image,
        (IMAGE,),
        module(flows.realnvp_image),
        "channel_coupling",
    ),
    "flow_pp": (flows.flow_pp, (IMAGE,), module(flows.flow_pp), "channel_coupling"),
    "cnf": (flows.cnf, (4,), module(flows.cnf), "mlp_field"),
    "ffjord": (flows.ffjord, (4,), module(flows.ffjord), "mlp_field"),
    "made": of_nets("made", 4, bernoulli()),
    "markov": of_nets("markov", 4, bernoulli()),
    "rnn": of_nets("rnn", 4, bernoulli()),
    "wavenet": of_nets("wavenet", 4, bernoulli()),
    "transformer": of_nets("transformer", 4, bernoulli()),
    "pixelcnn": of_nets("pixelcnn", IMAGE, bernoulli()),
    "gated_pixelcnn": of_nets("gated_pixelcnn", IMAGE, bernoulli()),
    "pixelcnn_pp": of_nets("pixelcnn_pp", IMAGE, bernoulli()),
    "pixelsnail": of_nets("pixelsnail", IMAGE, bernoulli()),
}
VALUES = {  # where anything would not do, because it is looked at before
    "law": additive(),
    "cond_shape": (3,),
    "num_layers": 2,
    "num_scales": 1,
    "num_steps": 1,
    "num_couplings": 2,
    "flow_pp, num_couplings": (1, 1, 1),
    "num_components": 2,
    "mask": [True, False, True, False],
    "shuffle": 1,
    "solver": ode_solver(),
    "form": "qr",
    "noise": "gaussian",
}


def options(function):
    return {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


@pytest.mark.parametrize("name", CALLS)
def test_every_option_is_handed_on_as_it_is(name, monkeypatch):
    constructor, args, where, callee = CALLS[name]
    common = options(constructor) & options(getattr(where, callee))
    given = {
        option: VALUES.get(f"{name}, {option}", VALUES.get(option, object()))
        for option in options(constructor)
    }

    def record(*args, **kwargs):
        raise Handed(kwargs)

    monkeypatch.setattr(where, callee, record)
    with pytest.raises(Handed) as handed:
        constructor(*args, **given)
    (kwargs,) = handed.value.args
    assert len(common) > 1
    assert {option for option in common if kwargs.get(option) != given[option]} == set()
