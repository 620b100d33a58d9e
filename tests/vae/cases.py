"""The latent variable models that the contracts test: a name, and how to make it."""

from dgm_jax import autoregressive
from dgm_jax.combinators import pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import iaf, maf, planar, realnvp, sylvester
from dgm_jax.likelihoods import bernoulli, categorical, discretized_logistic, gaussian
from dgm_jax.nets import mlp
from dgm_jax.protocol import Net
from dgm_jax.vae import (
    diagonal,
    flow_posterior,
    full_rank,
    image_ladder,
    ladder,
    mixture_prior,
    pixelvae,
    shared_scale,
    stochastic_layers,
    vae,
    vamp,
    vlae,
)
from tests.contracts.cases import COND, LatentCase

C = {"cond_shape": (COND,)}
H = {"hidden": (6,)}
thin = {"num_layers": 2, "hidden": (5,)}
SEEN = {"cond_shape": (3,)}  # what an encoder tells a flow


def of(likelihood, num_params=1, *, dim=2, num_latents=2, posterior=None, cond_shape=None, **prior):
    """A VAE of small MLPs."""
    posterior = diagonal(num_latents) if posterior is None else posterior
    more = 0 if cond_shape is None else cond_shape[0]
    encoder = mlp(dim + more, posterior.cond_shape[0], **H)
    decoder = mlp(num_latents + more, dim * num_params, **H)
    options = {"posterior": posterior, "cond_shape": cond_shape} | prior
    return vae(encoder, decoder, likelihood, dim, num_latents=num_latents, **options)


def moved(flow, num_latents=2):
    return flow_posterior(flow, diagonal(num_latents))


def flow_prior(flow):
    return pushforward(flow, standard_normal(2))


def of_pixels(make, num_latents=2, **options):
    """A VAE of pictures 2x1 of bits, whose decoder is a PixelCNN."""
    shape = (2, 1, 1)
    net, maps = mlp(2, 2 * num_latents, **H), (2, 1, 3)
    flat = lambda params, x, key=None: net.apply(params, x.reshape(*x.shape[:-3], 2), key=key)
    causal = autoregressive.pixelcnn(shape, bernoulli(), hidden=4, num_layers=1, cond_shape=maps)
    decoder = mlp(num_latents, 6, **H)
    return make(
        Net(net.init, flat),
        decoder,
        causal,
        bernoulli(),
        shape,
        num_latents=num_latents,
        **options,
    )


MODELS = {
    # a likelihood of each kind; each posterior and each prior once
    "bits": LatentCase(lambda: of(bernoulli()), (2,), 2),
    "levels, full rank": LatentCase(lambda: of(categorical(3), 3, posterior=full_rank(2)), (2,), 3),
    "logistics, iaf posterior, mixture prior": LatentCase(
        lambda: of(
            discretized_logistic(3, num_components=2),
            6,
            posterior=moved(iaf(2, **thin, **SEEN)),
            prior=mixture_prior(2, num_components=3),
        ),
        (2,),
        3,
    ),
    "numbers": LatentCase(lambda: of(gaussian(), 2, dim=1, num_latents=1), (1,), num_latents=1),
    "numbers, shared scale, vamp": LatentCase(
        lambda: vamp(
            vae(mlp(1, 2, **H), shared_scale(mlp(1, 1, **H)), gaussian(), 1, num_latents=1),
            1,
            num_pseudo_inputs=3,
            low=-2,
            high=2,
        ),
        (1,),
        num_latents=1,
    ),
    "bits, conditional, planar posterior": LatentCase(
        lambda: of(bernoulli(), posterior=moved(repeat(planar(2, **SEEN), 2)), **C), (2,), 2, **C
    ),
    "bits, sylvester posterior, flow prior": LatentCase(
        lambda: of(
            bernoulli(), posterior=moved(sylvester(2, **SEEN)), prior=flow_prior(maf(2, **thin))
        ),
        (2,),
        2,
        spread=0.2,
    ),
    "bits, conditional, realnvp posterior, vamp": LatentCase(
        lambda: vamp(
            of(bernoulli(), posterior=moved(realnvp(2, **thin)), **C),
            2,
            num_pseudo_inputs=3,
            low=0,
            high=1,
        ),
        (2,),
        2,
        **C,
    ),
    "bits, conditional flow prior": LatentCase(
        lambda: of(bernoulli(), prior=flow_prior(realnvp(2, **thin, **C)), **C),
        (2,),
        2,
        **C,
        full=True,
    ),
    "pixelvae": LatentCase(lambda: of_pixels(pixelvae), (2, 1, 1), 2),
    "vlae, flow in the posterior": LatentCase(
        lambda: of_pixels(vlae, flow=maf(2, **thin), flow_in="posterior"), (2, 1, 1), 2
    ),
    "bits, autoregressive prior": LatentCase(
        lambda: of(bernoulli(), prior=autoregressive.made(2, gaussian(), **H)), (2,), 2
    ),
    # hierarchies, of which x alone is summed over
    "bits, two stochastic layers": LatentCase(
        lambda: stochastic_layers(2, bernoulli(), num_latents=(2, 1), hidden=((4,), (3,))),
        (2,),
        2,
        None,
    ),
    "levels, ladder": LatentCase(
        lambda: ladder(2, categorical(3), num_latents=(2, 1), hidden=(4, 3)), (2,), 3, None
    ),
    "bits, conditional precision-weighted ladder": LatentCase(
        lambda: ladder(
            2, bernoulli(), num_latents=(2, 1), hidden=(4, 3), posterior="precision_weighted", **C
        ),
        (2,),
        2,
        None,
        **C,
        spread=0.2,
        full=True,
    ),
    "bits, conditional image ladder": LatentCase(
        lambda: image_ladder(
            (2, 2, 1),
            bernoulli(),
            resolutions=(2, 1),
            num_layers=(3, 1),
            width=4,
            num_latents=1,
            **C,
        ),
        (2, 2, 1),
        2,
        None,
        **C,
        spread=0.1,
        full=True,
    ),
}
