"""Progressive growing: first small images, then larger ones by adding layers to the same nets."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from .. import checks
from ..combinators import adversarial
from ..distributions import standard_normal
from ..nets import doubled, equalised_conv, equalised_dense, halved, pixel_norm
from ..protocol import Adversarial, Array, Key, Net, Params
from .growing import (
    FIRST,
    drawn,
    faded,
    growing_critic,
    grown_sizes,
    joint_init,
    leaky,
    name_of,
    power_of_two,
    share,
    stage,
    to_images,
)


@checks.spelled
def progressive(
    shape: tuple[int, int, int],
    *,
    num_latents: int = 512,
    channel_base: int = 16384,
    channel_max: int = 512,
    group_size: int | None = 4,
    axis_name: str | None = None,
) -> Callable[..., Adversarial]:
    """grown(size, α): x = (1 - α) up(G_{size/2}(z)) + α G_size(z), z ~ N(0, I), and a critic.

    A GAN that starts with small images and grows; G_s makes images of s×s pixels, and up repeats
    each pixel 2×2 times. The critic's features at size/2 are likewise (1 - α) times those of the
    image averaged over 2×2 pixels, and α times those that its layers at full size make. Returns a
    function grown(size=None, alpha=1.0) -> `Adversarial` for images [size, size, C], size = 4, 8,
    ... up to that of `shape`, the default. All sizes share one tree of parameters, of which each
    uses the layers up to its own size. To grow, continue with the same parameters and twice the
    size while α rises from 0 to 1: at α = 0 the game is exactly that of half the size; at α = 1 the
    old path is unused. Unused layers have gradient 0. α may be a weight that depends on the step:

        grown = gans.progressive((32, 32, 1))

        def loss(params, key, x, *, state, weights):
            alpha = weights["alpha"]
            model, x = grown(16, alpha), gans.shrunk(x, 16, alpha)
            return objectives.critic_loss(model, game, params, key, x, state=state)

    shape: (n, n, C), n a power of two of at least 4, else `InputError`
    num_latents: the size of z ~ N(0, I), which is scaled to length √num_latents
    channel_base, channel_max: images of side s have channel_base / s channels, at most channel_max
    group_size: the critic sees the standard deviation within groups of so many images
        (`nets.minibatch_deviation`); None for the whole batch
    axis_name: of `jax.pmap`, over which these groups are formed

    Both nets have the state {}, `train` and a key have no effect. Both nets have an equalised
    learning rate, and the generator normalises each pixel. Cost: each size has about as much
    arithmetic as all smaller ones together. At 1024×1024 both nets have 23.1 million parameters.
    Karras et al. (2018), "Progressive growing of GANs".
    """
    sizes, width = grown_sizes(shape, channel_base, channel_max)
    num_latents = checks.positive_int(num_latents, "num_latents")
    maker = _maker(num_latents, sizes, width, shape[2])
    judge = growing_critic(
        shape,
        channel_base=channel_base,
        channel_max=channel_max,
        group_size=group_size,
        axis_name=axis_name,
    )
    prior = standard_normal(num_latents)

    def grown(size: int | None = None, alpha: float | Array = 1.0) -> Adversarial:
        return adversarial(prior, maker(size, alpha), judge(size, alpha))

    return grown


def shrunk(x: Array, size: int, alpha: float | Array = 1.0) -> Array:
    """Images x averaged over blocks of pixels, to size×size: the data of a `progressive` GAN.

    For α < 1 they are (1 - α) u(d(x)) + α x, where d averages 2×2 pixels and u repeats each one 2×2
    times, since the images of a generator that is growing are such mixtures.

    x: square images [..., H, H, C], H a power of two; the result is [..., size, size, C]
    size: a power of two, from 4 to H, else `InputError`
    alpha: α in [0, 1]; without effect at size 4, the first

    Karras et al. (2018), "Progressive growing of GANs".
    """
    checks.images(x)
    share(alpha, "alpha")
    sides = (
        power_of_two(x.shape[-3], "the height of x"),
        power_of_two(x.shape[-2], "the width of x"),
    )
    if sides[0] != sides[1] or power_of_two(size, "size") > sides[0]:
        raise checks.InputError(
            f"x must be square images of at least size={size} pixels a side; got {x.shape}."
        )
    x = jnp.asarray(x)  # NumPy would round otherwise
    while x.shape[-2] > size:
        x = halved(x)
    return faded(lambda: doubled(halved(x)), x, alpha) if size > FIRST else x


def _maker(num_latents, sizes, width, colours):
    """The generator as a function (size, alpha) -> Net."""
    parts: dict[str, Any] = {
        "first": _first(num_latents, width[FIRST]),
        "blocks": {name_of(FIRST): [equalised_conv(width[FIRST], width[FIRST])]},
        "to_image": to_images(sizes, width, colours),
    }
    for s in sizes[1:]:
        up = equalised_conv(width[s // 2], width[s], resizing="up")
        parts["blocks"][name_of(s)] = [up, equalised_conv(width[s], width[s])]

    def at(size=None, alpha=1.0):
        size, alpha = stage(size, alpha, sizes[-1])

        def apply(params: Params, z: Array, *, key: Key | None = None) -> Array:
            checks.events(z, num_latents, "z")
            h = pixel_norm(leaky(parts["first"].apply(params["first"], pixel_norm(z))))
            features = {}
            for s in sizes[: sizes.index(size) + 1]:
                for layer, own in zip(parts["blocks"][name_of(s)], params["blocks"][name_of(s)]):
                    h = pixel_norm(leaky(layer.apply(own, h)))
                features[s] = h
            return drawn(parts["to_image"], params["to_image"], features, size, alpha)

        return Net(joint_init(parts), apply)

    return at


def _first(num_latents, width):
    """z [..., num_latents] -> [..., 4, 4, width], with one bias a channel."""
    dense = equalised_dense(
        num_latents, FIRST**2 * width, gain=math.sqrt(2) / FIRST, use_bias=False
    )

    def init(key):
        return {"dense": dense.init(key), "bias": jnp.zeros(width)}

    def apply(params, z):
        h = dense.apply(params["dense"], z).reshape(*z.shape[:-1], FIRST, FIRST, width)
        return h + params["bias"].reshape((1,) * (h.ndim - 1) + (-1,))

    return Net(init, apply)
