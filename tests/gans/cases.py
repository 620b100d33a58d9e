"""The adversarial models that the contracts test: a name, and how to make it."""

from typing import Any, NamedTuple

from dgm_jax import combinators, gans
from dgm_jax.distributions import standard_normal
from dgm_jax.nets import mlp
from dgm_jax.protocol import Adversarial, Net


class AdversarialCase(NamedTuple):
    """A model and the shape of one x, small enough to be compiled in a second or two.

    num_classes: of a model conditional on a class as an integer. mixes: with train=True a sample
    of the generator depends on those beside it (batch normalisation).
    """

    make: Any  # () -> Adversarial
    shape: tuple[int, ...]
    cond_shape: tuple[int, ...] | None = None
    num_classes: int | None = None
    mixes: bool = False
    full: bool = False


def value_of(net: Net) -> Net:
    """A critic: the one output of a net as a number for each sample."""
    return Net(net.init, lambda params, *x, key=None: net.apply(params, *x, key=key)[..., 0])


def plain(**options) -> Adversarial:
    more = (2,) if options.get("cond_shape") else ()
    return combinators.adversarial(
        standard_normal(2),
        mlp((2, *more), 3, hidden=(4,)),
        value_of(mlp((3, *more), 1, hidden=(4,))),
        **options,
    )


TINY = {"num_latents": 3, "hidden": 2}
# One line for each model: it inherits the laws of tests/contracts/test_adversarial.py.
MODELS = {
    "two perceptrons": AdversarialCase(plain, (3,)),
    "two perceptrons, conditional": AdversarialCase(
        lambda: plain(cond_shape=(2,)), (3,), cond_shape=(2,)
    ),
    "dcgan, spectral critic": AdversarialCase(
        lambda: gans.dcgan((8, 8, 1), critic_norm="spectral", **TINY), (8, 8, 1), mixes=True
    ),
    "progressive, half grown": AdversarialCase(
        lambda: gans.progressive((8, 8, 1), num_latents=2, channel_base=32, channel_max=4)(8, 0.5),
        (8, 8, 1),
        full=True,
    ),
    "stylegan": AdversarialCase(
        lambda: gans.stylegan(
            (4, 4, 1), num_latents=2, num_styles=3, mapping_layers=1, channel_base=16
        ).grown(),
        (4, 4, 1),
        full=True,
    ),
}
