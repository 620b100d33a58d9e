"""SAGAN: residual nets with self-attention, spectrally normalised on both sides."""

from typing import Any

from .. import checks
from ..combinators import adversarial
from ..distributions import standard_normal
from ..nets import residual_critic, residual_generator
from ..protocol import Adversarial, Shape


@checks.spelled
def sagan(
    shape: Shape,
    *,
    num_latents: int = 128,
    hidden: int = 64,
    attention: int | None = None,
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> Adversarial:
    """`sngan` with self-attention in both nets, and spectral normalisation in the generator too.

    attention: the height of the images with self-attention, by default half of that of x; the layer
    starts as the identity. The other options (shape, num_latents, hidden, num_classes, axis_name)
    are those of `sngan`. Train it with `objectives.hinge()`, one update of each player, and Adam
    with b1 = 0 and learning rates 1e-4 for the generator and 4e-4 for the critic. At 128×128 with
    1000 classes both nets together have 81.5 million parameters, as the baseline in table 1 of
    Brock et al. (2019). Zhang et al. (2019), "Self-attention generative adversarial networks".
    """
    shape = checks.image_shape(shape)
    both: dict[str, Any] = {
        "hidden": hidden,
        "attention": shape[0] // 2 if attention is None else attention,
        "spectral": True,
        "num_classes": num_classes,
    }
    generator = residual_generator(num_latents, shape, axis_name=axis_name, **both)
    critic = residual_critic(shape, **both)
    cond_shape = None if num_classes is None else ()
    return adversarial(standard_normal(num_latents), generator, critic, cond_shape=cond_shape)
