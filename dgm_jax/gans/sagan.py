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
    """x = G(z), z ~ N(0, I), and a critic D: residual nets with self-attention, layers W / σ(W).

    The nets of `sngan`: residual blocks that double the image in G and halve it in D. Each weight W
    of both is divided by its largest singular value σ(W) (spectral normalisation), and both have
    one layer of self-attention, which starts as the identity.

    shape: (H, W, C), even sides of at least 8; x lies in (-1, 1)
    num_latents: the size of z
    hidden: the channels at full resolution, twice as many at each halving, at most 16 hidden
    attention: the height of the images that get the self-attention; None for H / 2
    num_classes: K, for a conditional model whose condition y is a class 0..K-1, an integer: batch
        norms get scale and shift of the class, and D a term ⟨v_y, φ(x)⟩, with a trained vector v_y
        per class and φ(x) its features, summed over the pixels. None for no classes
    axis_name: of `jax.pmap`, for batch norms

    The state of both nets are singular vectors, and of the generator also the running moments of
    batch norms. With train=True a net updates its state, as the losses do for the player that they
    train; with train=False it stays. Train it with `objectives.hinge()`, one update of each player,
    and Adam with b1 = 0 and learning rates 1e-4 for the generator and 4e-4 for the critic. At
    128×128 with 1000 classes both nets together have 81.5 million parameters, as the baseline in
    table 1 of Brock et al. (2019). Zhang et al. (2019), "Self-attention generative adversarial
    networks".
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
