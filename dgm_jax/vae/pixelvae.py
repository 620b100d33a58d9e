"""PixelVAE: the decoder of a variational autoencoder is an autoregressive density of the pixels."""

import math

from .. import checks
from ..combinators import encoded
from ..likelihoods import Conditional
from ..protocol import Density, LatentVariable, Net, Shape
from .vae import decoded_by, output_shape


def pixelvae(
    encoder: Net,
    decoder: Net,
    causal: Density,
    likelihood: Conditional,
    shape: Shape,
    *,
    num_latents: int,
    prior: Density | None = None,
    posterior: Density | None = None,
    cond_shape: Shape | None = None,
) -> LatentVariable:
    """p(x | z) = ∏_i p(x_i | x_<i, h_i(z)): z says the whole, a causal net the detail given it.

    decoder: z -> the map h [..., H, W, n], or all its axes as one, as an MLP gives it
    causal: a density of x [..., *shape] whose condition is h, so that every layer at every pixel
        reads its place in the map: `autoregressive.gated_pixelcnn(shape, likelihood,
        cond_shape=(H, W, n))`, or any other of that chapter; (n,) is one vector for all pixels
    likelihood: of which `causal` is made; it tells the encoder what values mean
    The other arguments, and how the encoder sees x, are those of `vae`; so is the condition.

    Costs: the likelihood of one z is one pass of the causal net, and to sample the arithmetic of
    one pass, a pixel at a time. Parameters {"prior", "likelihood": {"net", "density"},
    "posterior"}. The stronger the net, the less is left for z: see `vae.vlae`, and
    `experiments.vae.collapse` for what each remedy does.
    Gulrajani et al. (2017), "PixelVAE: a latent variable model for natural images".
    """
    checks.noun(decoder, Net, "decoder")
    checks.noun(causal, Density, "causal")
    num_latents = checks.positive_int(num_latents, "num_latents")
    if causal.cond_shape is None:
        raise checks.InputError(
            "causal must read a map of z: build it with cond_shape=(H, W, n); got none."
        )
    more = 0 if cond_shape is None else math.prod(checks.cond_shape(cond_shape))
    reads = (num_latents + more,)
    return decoded_by(
        encoded(_to_map(decoder, reads, causal.cond_shape), causal, cond_shape=reads),
        encoder,
        likelihood,
        shape,
        num_latents=num_latents,
        prior=prior,
        posterior=posterior,
        cond_shape=cond_shape,
    )


def _to_map(decoder, reads, map_shape):
    """The net whose output has the shape of the map."""
    got, size = output_shape(decoder, reads, "decoder"), math.prod(map_shape)
    if got not in (tuple(map_shape), (size,)):
        raise checks.InputError(
            f"decoder must give the map that causal reads, {tuple(map_shape)} or ({size},); got "
            f"{got}."
        )

    def apply(params, z, key=None):
        return decoder.apply(params, z, key=key).reshape(*z.shape[:-1], *map_shape)

    return Net(decoder.init, apply)
