"""SNGAN: residual nets with a spectrally normalised critic, with or without classes."""

from collections.abc import Sequence

from .. import checks
from ..combinators import adversarial
from ..distributions import standard_normal
from ..nets import residual_critic, residual_generator
from ..protocol import Adversarial, Shape


@checks.spelled
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
    """x = G(z), z ~ N(0, I), and a critic D with spectrally normalised layers W / σ(W).

    σ(W) is the largest singular value of a layer's weights as a matrix. The normalisation bounds
    the critic's Lipschitz constant without a penalty: by 2 per residual block, a sum of two paths,
    times the norm of each convolution, which may exceed that of its kernel (`nets.operator_norm`).

    shape: (H, W, C), even sides of at least 8; x lies in (-1, 1)
    num_latents: the size of z
    hidden: the channels at full resolution, twice as many at each halving, at most 16 hidden
    generator_widths, critic_widths: the channels of each block instead, as in
        `nets.residual_generator` and `nets.residual_critic`; the paper's nets for CIFAR-10 have
        (256, 256, 256, 256) and (128, 128, 128, 128)
    num_classes: None, or for a conditional model, whose condition is a class, an integer
        (cond_shape = ()): batch norms with scale and shift of the class, and a critic with a term
        ⟨v_y, φ(x)⟩
    axis_name: of `jax.pmap`, for batch norms

    Train it with `objectives.hinge()` and Adam with b1 = 0. Miyato et al. (2018), "Spectral
    normalization for generative adversarial networks".
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
