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
    hidden: the channels of the generator's last block and of the critic's first one. With each
        halving of the sides the number doubles, up to 16 hidden
    generator_widths: instead, the channels of the smallest image and then of the output of each of
        the k blocks, which double the sides from (H, W) / 2^k; k is the largest number for which
        these are integers of at least 4
    critic_widths: instead, the channels of each block from x on. The first k halve the sides, any
        others keep them. The paper's nets for CIFAR-10 have 256 four times and 128 four times
    num_classes: None, or the number K of classes of a conditional model, whose condition y is an
        integer in 0..K-1 (cond_shape = ()). The batch norms then have a scale and shift for each
        class, and the critic has an additional term ⟨v_y, φ(x)⟩, with φ(x) the features before its
        last layer and v_y a trained vector for each class
    axis_name: of `jax.pmap`, for batch norms

    The generator's state are the running moments of its batch norms, the critic's its singular
    vectors. With train=True a net updates its state, as the losses do for the player that they
    train; with train=False it stays. Other sides, other than k + 1 generator_widths, or fewer than
    k critic_widths raise `InputError`. Train it with `objectives.hinge()` and Adam with b1 = 0.
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
