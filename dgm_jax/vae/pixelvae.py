"""PixelVAE: a variational autoencoder whose decoder is an autoregressive density of the pixels."""

import math

from .. import checks
from ..combinators import encoded
from ..likelihoods import Conditional
from ..protocol import Density, LatentVariable, Net, Shape
from .vae import decoded_by, output_shape


@checks.spelled
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
    """p(x, z) = p(z) ∏_i p(x_i | x_<i, h_i(z)): z holds global structure, a causal net the details.

    encoder: from x [..., *shape] as real numbers to the parameters of the posterior q(z | x), an
        array of shape `posterior.cond_shape`: means and log-scales, 2 · num_latents numbers, for
        the default
    decoder: h, from z [..., num_latents] to the map [..., H, W, n], or with all its axes joined, as
        from an MLP
    causal: a density of x [..., *shape] with condition h, which every layer reads at its own pixel:
        `autoregressive.gated_pixelcnn(shape, likelihood, cond_shape=(H, W, n))`, or any other of
        that chapter; (n,) is one vector for all pixels
    likelihood: the family used in `causal`. Here it only says how the encoder gets x: bits as 0 and
        1, levels scaled to [-1, 1], and numbers as they are
    shape: (H, W, C) of x. num_latents: the size of z
    prior: a density of z, by default `standard_normal`
    posterior: a density of z with the encoder's output as condition, by default `diagonal`
    cond_shape: (m,) of a condition c, concatenated to x and to z on the last axis; None for none

    Costs: the likelihood of one z is one pass of the causal net; a sample has the arithmetic of one
    pass, pixel by pixel. Parameters {"prior", "likelihood": {"net", "density"}, "posterior"}. The
    more expressive the causal net, the less information is in z: see `vae.vlae`. Raises
    `ValueError` if the decoder's output is not the map. Gulrajani et al. (2017), "PixelVAE: a
    latent variable model for natural images".
    """
    checks.noun(decoder, Net, "decoder")
    checks.noun(causal, Density, "causal")
    num_latents = checks.positive_int(num_latents, "num_latents")
    if causal.cond_shape is None:
        raise checks.InputError(
            "causal must read a map of z: build it with cond_shape=(H, W, n); got none."
        )
    cond_shape = checks.cond_shape(cond_shape)
    more = 0 if cond_shape is None else math.prod(cond_shape)
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
