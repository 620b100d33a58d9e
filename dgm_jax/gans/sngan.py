"""Residual nets with a spectrally normalised critic, with classes or without."""

from collections.abc import Sequence

from ..combinators import adversarial
from ..distributions import standard_normal
from ..nets import residual_critic, residual_generator
from ..protocol import Adversarial, Shape


def sngan(
    shape: Shape,
    *,
    num_latents: int = 128,
    hidden: int = 64,
    generator_widths: Sequence[int] | None = None,
    critic_widths: Sequence[int] | None = None,
    num_classes: int | None = None,
    axis_name: str | None = None,
) -> Adversarial:
    """x = G(z), z ~ N(0, I), and a critic whose layers have the norm 1: W / σ(W) each.

    So its slope is bounded without a penalty: a product of norms, of relu's 1, and of 2 for each
    block, which is a sum of two paths. It is trained by `objectives.hinge()` with Adam of b1 = 0.
    shape: (H, W, C), even sides of at least 8; x lies in (-1, 1). hidden: channels at the whole
    image. generator_widths, critic_widths: of the blocks (`nets.residual_generator` and
    `nets.residual_critic`); the nets of the paper for CIFAR-10 have (256, 256, 256, 256) and
    (128, 128, 128, 128). num_classes: batch norms by class and a projection in the critic; the
    model's condition is then the class, an integer (cond_shape = ()).
    axis_name: of `jax.pmap`, for batch norms.
    Miyato et al. (2018), "Spectral normalization for generative adversarial networks".
    """
    generator = residual_generator(
        num_latents,
        shape,
        widths=generator_widths,
        hidden=hidden,
        num_classes=num_classes,
        axis_name=axis_name,
    )
    critic = residual_critic(shape, widths=critic_widths, hidden=hidden, num_classes=num_classes)
    cond_shape = None if num_classes is None else ()
    return adversarial(standard_normal(num_latents), generator, critic, cond_shape=cond_shape)
