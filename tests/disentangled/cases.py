"""The adversarial models of this chapter that the contracts test: a name, and how to make it."""

from dgm_jax import disentangled, nets
from tests.gans.cases import AdversarialCase


def small_infogan() -> disentangled.InfoGAN:
    """Images 8x8 of 2 numbers of noise, two categories and two continuous codes."""
    return disentangled.infogan(
        nets.strided_generator(2 + 3 + 2 + 2, (8, 8, 1), hidden=2),
        nets.strided_features((8, 8, 1), 5, hidden=2),
        num_features=5,
        num_noise=2,
        categories=(3, 2),
        num_continuous=2,
        hidden=(4,),
    )


MODELS = {
    "infogan": AdversarialCase(lambda: small_infogan().adversarial, (8, 8, 1), mixes=True),
}
