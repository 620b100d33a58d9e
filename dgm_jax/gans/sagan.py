"""Residual nets whose pixels attend to one another, normalised spectrally on both sides."""

from .. import checks
from ..combinators import adversarial
from ..distributions import standard_normal
from ..nets import residual_critic, residual_generator
from ..protocol import Adversarial, Shape


def sagan(
    shape: Shape,
    *,
    num_latents: int = 128,
    hidden: int = 64,
    attention: int | None = None,
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> Adversarial:
    """`sngan` with self-attention in both nets, and weights of norm 1 in the generator as well.

    attention: the height of the images that attend to themselves; half of that of x by default.
    The layer starts as the identity. The other options are those of `sngan`. It is trained by
    `objectives.hinge()`, one update of each player, and Adam of b1 = 0 with the rates 1e-4 for
    the generator and 4e-4 for the critic. At 128×128 with 1000 classes the nets have 81.5 million
    parameters together, as the baseline of table 1 of Brock et al. (2019).
    Zhang et al. (2019), "Self-attention generative adversarial networks".
    """
    shape = checks.image_shape(shape)
    both = {
        "hidden": hidden,
        "attention": shape[0] // 2 if attention is None else attention,
        "spectral": True,
        "num_classes": num_classes,
    }
    generator = residual_generator(num_latents, shape, axis_name=axis_name, **both)
    critic = residual_critic(shape, **both)
    cond_shape = None if num_classes is None else ()
    return adversarial(standard_normal(num_latents), generator, critic, cond_shape=cond_shape)
