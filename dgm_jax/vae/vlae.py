"""Variational lossy autoencoders: the decoder models local detail, the code global structure."""

from typing import Any, NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..combinators import pushforward
from ..distributions import Pushforward, standard_normal
from ..likelihoods import Conditional
from ..protocol import Array, Density, Flow, Key, LatentVariable, Net, Params, Shape, split
from .pixelvae import pixelvae

PLACES = ("prior", "posterior")  # of the flow


@checks.spelled
def vlae(
    encoder: Net,
    decoder: Net,
    local: Density,
    likelihood: Conditional,
    shape: Shape,
    *,
    num_latents: int,
    flow: Flow,
    flow_in: str = "prior",
    posterior: Density | None = None,
) -> LatentVariable:
    """p(x | z) = ∏_i p(x_i | x_{window of i}, z), z = T(ε), ε ~ N(0, I): a lossy global code.

    A decoder that sees all preceding pixels explains everything by itself, and z is not used. One
    with a small window explains texture; dependence over longer distances must go through z. So the
    window decides which information the code loses.

    encoder: from x [..., *shape] as real numbers to the parameters of q(z | x), an array of shape
        `posterior.cond_shape`
    decoder: z [..., num_latents] -> features [..., H, W, n], or [..., d, n], the condition of
        `local`; its axes may be joined, as from an MLP
    local: an autoregressive density of x with a small window: with few layers and small kernels,
        `autoregressive.pixelcnn(shape, likelihood, num_layers=1, first_kernel_size=3,
        cond_shape=(H, W, n))` sees 2 rows up and 2 columns aside, which `window_of` measures; or,
        for x of shape (d,), `autoregressive.markov(d, likelihood, window=..., cond_shape=(d, n))`
    likelihood: the family used in `local`. Here it only says how the encoder gets x: bits as 0 and
        1, levels scaled to [-1, 1], and numbers as they are
    shape: (H, W, C) of images x, or (d,). num_latents: the size of z
    flow: T, without a condition. With an autoregressive T⁻¹, `flows.maf(num_latents)`, p(z) = ∏_i
        p(z_i | z_<i)
    flow_in: "prior": the latent is z, with the distribution of T(ε) as prior and posterior q(z |
        x). "posterior": the latent is ε, with prior N(0, I), the distribution of T⁻¹(z), z ~ q(z |
        x), as posterior, which for this T is an inverse autoregressive flow, and decoder p(x |
        T(ε)). Both have the same parameters and, for the same key, the same z and weights: an
        autoregressive prior is an IAF posterior whose flow the decoder shares. Only costs differ:
        in the second, T is evaluated to decode, in the first only to sample
    posterior: a density of z with the encoder's output as condition, by default `diagonal`

    Parameters {"prior": {"flow", "base"}, "likelihood": {"net", "density"}, "posterior"}. Raises
    `ValueError` for a flow with a condition or of vectors of another size. Chen et al. (2017),
    "Variational lossy autoencoder", sections 3.1 and 3.2.
    """
    checks.noun(flow, Flow, "flow")
    if flow.cond_shape is not None:
        raise checks.InputError(
            f"flow must take no condition: it is the prior's; got cond_shape={flow.cond_shape}."
        )
    checks.choice(flow_in, PLACES, "flow_in")
    num_latents = checks.positive_int(num_latents, "num_latents")
    checks.noun(local, Density, "local")
    _check_flow(flow, num_latents)
    model = pixelvae(
        encoder,
        decoder,
        local,
        likelihood,
        shape,
        num_latents=num_latents,
        prior=pushforward(flow, standard_normal(num_latents)),
        posterior=posterior,
    )
    return model if flow_in == "prior" else _of_noise(model, flow, num_latents)


def _check_flow(flow, num_latents):
    def move(key):
        return flow.bijector(flow.init(key)).forward(jnp.zeros(num_latents))

    try:
        fits = jax.eval_shape(move, jax.eval_shape(lambda: jax.random.key(0))).shape
    except ValueError as error:
        fits = " ".join(str(error).split())[:100]
    if fits != (num_latents,):
        raise checks.InputError(
            f"flow must move vectors of num_latents={num_latents} numbers; got {fits}."
        )


def _of_noise(model, flow, num_latents):
    """The model of ε = T⁻¹(z), with the parameters of that of z."""

    def to_code(params, key):
        return flow.bijector(params["prior"]["flow"], key=key)

    def prior(params, cond=None, *, key=None):
        return standard_normal(num_latents).dist({}, cond)

    def likelihood(params, noise, cond=None, *, key=None):
        checks.events(noise, num_latents, "z")
        flow_key, rest_key = split(key, 2)
        code = to_code(params, flow_key).forward(noise)
        return model.likelihood(params, code, cond, key=rest_key)

    def posterior(params, x, cond=None, *, key=None):
        flow_key, rest_key = split(key, 2)
        of_code = model.posterior(params, x, cond, key=rest_key)
        return Pushforward(of_code, distrax.Inverse(to_code(params, flow_key)))

    return model._replace(prior=prior, likelihood=likelihood, posterior=posterior)


class Window(NamedTuple):
    """The pixels that a pixel's distribution depends on, as the farthest offsets from it.

    up: rows above it
    left, right: columns to its left and to its right, in its own row or above
    """

    up: int
    left: int
    right: int


def window_of(
    local: Density, params: Params, key: Key, shape: Shape, *, num_levels: int, cond: Array
) -> Window:
    """{j: p(x_i | x_<i, c) changes with x_j}, the window of pixel i, as the farthest offsets j - i.

    Found by changing one pixel after the other of a random image x, and returned as a `Window` (up,
    left, right): rows above i, columns to its left and to its right, over all pixels i.

    local, params: an autoregressive density of levels [H, W, C], such as `autoregressive.pixelcnn`,
        and its parameters. Initial parameters give the same distribution whatever x_<i is, so that
        the window is empty: pass perturbed or trained ones
    key: draws x
    shape, num_levels: (H, W, C), and the number of levels of an entry of x
    cond: the condition c [*cond_shape]

    Cost: log_prob of a batch of 1 + H·W images. It is compiled here: call it outside of `jit`.
    """
    checks.noun(local, Density, "local")
    checks.parameters(params, local.init)
    checks.key(key)
    height, width, channels = checks.image_shape(shape)
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    checks.condition(cond, local.cond_shape)
    num = height * width
    x = jax.random.randint(key, (num, channels), 0, num_levels)
    one_changed = jnp.where(jnp.eye(num, dtype=bool)[..., None], (x + 1) % num_levels, x)
    tried = jnp.concatenate([x[None], one_changed]).reshape(-1, height, width, channels)

    @jax.jit
    def scores(params, tried):
        dist: Any = local.dist(params, cond)  # autoregressive
        each = dist.conditionals(tried)
        return each.log_prob(jnp.zeros_like(tried)).reshape(len(tried), num, channels)

    found = np.asarray(scores(params, tried))
    changed = (found[1:] != found[:1]).any(-1)  # [j, i]
    seen, of = np.nonzero(changed & ~np.eye(num, dtype=bool))
    rows, columns = of // width - seen // width, of % width - seen % width
    farthest = lambda offsets: int(offsets.max(initial=0))
    return Window(farthest(rows), farthest(columns), farthest(-columns))
