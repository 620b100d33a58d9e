"""The deep convolutional GAN."""

from .. import checks
from ..combinators import adversarial
from ..distributions import standard_normal
from ..nets import strided_critic, strided_generator
from ..protocol import Adversarial, Shape


@checks.spelled
def dcgan(
    shape: Shape,
    *,
    num_latents: int = 100,
    hidden: int = 64,
    generator_norm: str = "batch",
    critic_norm: str = "batch",
    num_reference: int = 64,
    axis_name: str | None = None,
) -> Adversarial:
    """x = G(z), z ~ N(0, I), by convolutions that double the image; D by those that halve it.

    shape: (H, W, C) with sides of at least 8; x lies in (-1, 1), by tanh
    num_latents: the size of z
    hidden: channels of both nets at half the image; they double with each halving, to at most 8
        hidden
    generator_norm: how layers of the generator are normalised: "batch", by statistics of the batch;
        "virtual", by those of num_reference fixed z; or "none"
    critic_norm: "batch", "layer" (over one image), "spectral" (W / σ(W)), or "none". For a WGAN-GP
        use "layer" or "none", with `objectives.wasserstein()` and `objectives.gradient_penalty`
    num_reference: the number of fixed z of "virtual"
    axis_name: of `jax.pmap`, for batch norms

        model = gans.dcgan((28, 28, 1))
        adam = optax.adam(2e-4, b1=0.5)
        algorithm = learning.adversaries(
            model, objectives.non_saturating(), critic=adam, generator=adam
        )

    The state of a net holds the running moments of its batch norms ("batch"), the fixed z
    ("virtual", which never change) or the singular vectors ("spectral"); otherwise it is empty.
    With train=True a net updates its state, as the losses do for the player that they train; with
    train=False it stays. At 64×64×3 it is the net of the authors' program: 3.6 and 2.8 million
    parameters. Radford, Metz and Chintala (2016), "Unsupervised representation learning with deep
    convolutional generative adversarial networks".
    """
    generator = strided_generator(
        num_latents,
        shape,
        hidden=hidden,
        norm=generator_norm,
        num_reference=num_reference,
        axis_name=axis_name,
    )
    critic = strided_critic(shape, hidden=hidden, norm=critic_norm, axis_name=axis_name)
    return adversarial(standard_normal(num_latents), generator, critic)
