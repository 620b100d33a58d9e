"""StyleGAN: a mapping net computes a style w from z, which modulates each generator layer."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..combinators import adversarial
from ..distributions import standard_normal
from ..nets import adain, add_noise, equalised_conv, equalised_dense, pixel_norm, smoothed
from ..protocol import Adversarial, Array, Key, Net, Params, State, StatefulNet, described, split
from .growing import (
    FIRST,
    drawn,
    growing_critic,
    grown_sizes,
    joint_init,
    leaky,
    name_of,
    share,
    stage,
    to_images,
)


class StyleGAN(NamedTuple):
    """x = g(w_1, ..., w_L; noise), w = f(z): the two nets of a StyleGAN, and its adversarial model.

    - `mapping.apply(params, z)` -> w [..., num_styles]: f, with params["generator"]["mapping"]
    - `synthesis.apply(params, styles, key=None)` -> x at full size: g, with
      params["generator"]["synthesis"], from `styles` [..., L, num_styles], one w for each layer.
      The key is for the noise; with None there is none
    - `grown(size=None, alpha=1.0, truncation=1.0, cutoff=None)` -> `Adversarial`, of images of a
      size. size: the side of its images, 4, 8, ...; None is the full one. alpha: α in [0, 1], of (1
      - α) times the image of half the size, doubled, plus α times that of this size, for growing as
      in `progressive`. truncation, cutoff: ψ in w ← w̄ + ψ (w - w̄), and in how many of the first
      layers (None: all), outside of training only. The generator's state is {"mean_style"}, the
      moving average of w
    - `num_layers`: L, two for each size 4, 8, ...

    Made by `stylegan`.
    """

    mapping: Net
    synthesis: Net
    grown: Callable[..., Adversarial]
    num_layers: int  # L, two for each size

    __repr__ = described


@checks.spelled
def stylegan(
    shape: tuple[int, int, int],
    *,
    num_latents: int = 512,
    num_styles: int = 512,
    mapping_layers: int = 8,
    lr_multiplier: float = 0.01,
    mixing: float = 0.9,
    style_decay: float = 0.995,
    channel_base: int = 16384,
    channel_max: int = 512,
    group_size: int | None = 4,
    axis_name: str | None = None,
) -> StyleGAN:
    """h ← AdaIN(lrelu(conv(h) + b_l n_l), A_l w) in layer l, from a trained constant [4, 4, C].

    w = f(z), z ~ N(0, I), is the style. h are the feature maps, lrelu is the leaky ReLU, and AdaIN
    normalises each channel of an image, then scales and shifts it; n_l is noise, one number per
    pixel, with a strength b_l per channel that starts at 0. A_l w are the scale and shift of each
    channel (`nets.adain`), which start at 1 and 0.

    num_latents, num_styles: the sizes of z and w
    mapping_layers, lr_multiplier: f has mapping_layers dense layers, whose learning rate is
        multiplied by lr_multiplier
    mixing: in training and if there is a key, with this probability the layers after a random
        crossover get the style of a second z (`mixed_styles`)
    style_decay: of w̄, the moving average of w in training, towards which styles are truncated
    shape: (n, n, C), n a power of two of at least 4, else `InputError`
    channel_base, channel_max: images of side s have channel_base / s channels, at most channel_max
    group_size: the critic sees the standard deviation within groups of so many images; None for the
        whole batch
    axis_name: of `jax.pmap`, over which these groups are formed, and w̄ is averaged

        style = gans.stylegan((32, 32, 1), channel_base=1024, channel_max=64)
        model = style.grown()                                    # to train
        typical = style.grown(truncation=0.7)                    # to sample
        x = objectives.generated(typical, params, state, key, 16)

    Returns a `StyleGAN` with the nets `mapping` (f) and `synthesis` (w -> x), and `grown`, which
    gives the `Adversarial` model. It can be grown like `progressive`, whose critic it has, with a
    low-pass filter before each halving and after each doubling. At 1024×1024 the generator has 26.2
    million parameters. As in its successor, the constant starts as N(0, 1), because AdaIN maps a
    constant image to one without content. Karras et al. (2019), "A style-based generator
    architecture for generative adversarial networks".
    """
    sizes, width = grown_sizes(shape, channel_base, channel_max)
    num_latents = checks.positive_int(num_latents, "num_latents")
    num_styles = checks.positive_int(num_styles, "num_styles")
    mapping_layers = checks.positive_int(mapping_layers, "mapping_layers")
    mixing = checks.number(mixing, "mixing")
    if not 0 <= mixing <= 1:
        raise checks.InputError(f"mixing must be a probability, in [0, 1]; got {mixing}.")
    style_decay = checks.rate(style_decay, "style_decay")
    mapping = _mapping(num_latents, num_styles, mapping_layers, lr_multiplier)
    synthesis = _synthesis(num_styles, sizes, width, shape[2])
    judge = growing_critic(
        shape,
        channel_base=channel_base,
        channel_max=channel_max,
        smooth=True,
        group_size=group_size,
        axis_name=axis_name,
    )
    layers = 2 * len(sizes)

    def grown(size=None, alpha=1.0, truncation=1.0, cutoff=None):
        share(truncation, "truncation")
        if cutoff is not None:
            cutoff = checks.integer(cutoff, "cutoff", most=layers)
        styled = _Styled(mixing, style_decay, axis_name, truncation, cutoff, layers)
        generator = _generator(mapping, synthesis(size, alpha), styled, num_styles)
        return adversarial(standard_normal(num_latents), generator, judge(size, alpha))

    return StyleGAN(mapping, synthesis(), grown, layers)


def mixed_styles(first: Array, second: Array, crossover: int | Array) -> Array:
    """w_l of `first` for layers l < crossover, w_l of `second` from there on: styles [..., L, n].

    first, second: styles of all L layers, [..., L, n]
    crossover: an integer in 0..L, or one per image, [...]; at 0 all styles are those of `second`

    Others raise `InputError`. The first layers determine pose and shape, the last ones colours.
    Karras et al. (2019), "A style-based generator architecture for generative adversarial
    networks", section 3.1.
    """
    for styles, name in ((first, "first"), (second, "second")):
        checks.floating(styles, name)
        if jnp.ndim(styles) < 2 or jnp.shape(styles) != jnp.shape(first):
            raise checks.InputError(
                f"first and second must both be [..., layers, n]; got {jnp.shape(first)} and "
                f"{jnp.shape(second)}."
            )
    checks.numbers(crossover, "crossover")
    whole = jnp.issubdtype(jnp.result_type(crossover), jnp.integer)
    if not whole or jnp.shape(crossover) not in ((), first.shape[:-2]):
        raise checks.InputError(
            f"crossover must be an integer, or one for each of {first.shape[:-2]} images; got "
            f"{checks.shown(crossover)}."
        )
    checks.within(crossover, 0, first.shape[-2], "crossover")
    before = jnp.arange(first.shape[-2]) < jnp.asarray(crossover)[..., None]
    return jnp.where(before[..., None], first, second)


def truncated_styles(
    styles: Array, mean: Array, truncation: float | Array, *, cutoff: int | None = None
) -> Array:
    """w ← w̄ + ψ (w - w̄), for the styles w of the first layers: closer to their mean.

    styles: w of all L layers, [..., L, n]; the result has the same shape
    mean: w̄ [n], the generator's state "mean_style"
    truncation: ψ in [0, 1]; 1 changes nothing, and 0 gives w̄
    cutoff: how many layers, 0..L; None for all

    Styles near the mean give images with less variety and higher quality, since those far from it
    were rare in training. Karras et al. (2019), "A style-based generator architecture for
    generative adversarial networks", appendix B.
    """
    checks.floating(styles, "styles")
    checks.floating(mean, "mean", (jnp.shape(styles)[-1] if jnp.ndim(styles) else None,))
    share(truncation, "truncation")
    nearer = mean * (1 - truncation) + truncation * styles
    if cutoff is None:
        return nearer
    if jnp.ndim(styles) < 2:
        raise checks.InputError(f"styles must be [..., layers, n]; got {jnp.shape(styles)}.")
    cutoff = checks.integer(cutoff, "cutoff", most=styles.shape[-2])
    return mixed_styles(nearer, styles, cutoff)


def in_all_layers(w: Array, num_layers: int) -> Array:
    """w_1 = ... = w_L = w: one style w [..., n] for all L = num_layers layers, [..., L, n].

    w: a style, floats; num_layers: L. The result is what `StyleGAN.synthesis` reads; `mixed_styles`
        makes layers differ.
    """
    checks.floating(w, "w")
    num_layers = checks.positive_int(num_layers, "num_layers")
    if not jnp.ndim(w):
        raise checks.InputError("w must be styles [..., n]; got a single number.")
    return jnp.broadcast_to(w[..., None, :], (*w.shape[:-1], num_layers, w.shape[-1]))


# ------------------------------------------------------------------------------------- the parts
class _Styled(NamedTuple):
    """What becomes of w before the layers get it."""

    mixing: float
    decay: float
    axis_name: str | None
    truncation: float | Array
    cutoff: int | None
    num_layers: int


def _generator(mapping, synthesis, styled, num_styles):
    """The two nets as one with a state, the average of w."""
    parts = {"mapping": mapping, "synthesis": synthesis}

    def init(key):
        return joint_init(parts)(key), {"mean_style": jnp.zeros(num_styles)}

    def apply(params: Params, state: State, z: Array, *, train: bool, key: Key | None = None):
        noise_key, other_key, cross_key = split(key, 3)
        w = mapping.apply(params["mapping"], z)
        styles = in_all_layers(w, styled.num_layers)
        if train:
            state = {"mean_style": _moved(state["mean_style"], w, styled)}
            if other_key is not None and styled.mixing:
                other = mapping.apply(params["mapping"], jax.random.normal(other_key, z.shape))
                styles = _crossed(
                    styles, in_all_layers(other, styled.num_layers), styled, cross_key
                )
        else:
            mean, psi = state["mean_style"], styled.truncation
            styles = truncated_styles(styles, mean, psi, cutoff=styled.cutoff)
        return synthesis.apply(params["synthesis"], styles, key=noise_key), state

    return StatefulNet(init, apply)


def _moved(mean, w, styled):
    """w̄ ← d w̄ + (1 - d) mean of the whole batch, which no gradient sees."""
    seen = jax.lax.stop_gradient(w).reshape(-1, w.shape[-1]).mean(0)
    if styled.axis_name is not None:
        seen = jax.lax.pmean(seen, styled.axis_name)
    return styled.decay * mean + (1 - styled.decay) * seen


def _crossed(styles, others, styled, key):
    """With a probability, for each image by itself, other styles from a random layer on."""
    where_key, whether_key = jax.random.split(key)
    batch, layers = styles.shape[:-2], styled.num_layers
    crossover = jax.random.randint(where_key, batch, 1, layers)
    mixes = jax.random.bernoulli(whether_key, styled.mixing, batch)
    return mixed_styles(styles, others, jnp.where(mixes, crossover, layers))


def _mapping(num_latents, num_styles, num_layers, lr_multiplier):
    """w = f(z): z to length √num_latents, then dense layers."""
    widths = [num_latents] + [num_styles] * num_layers
    layers = [
        equalised_dense(*sizes, lr_multiplier=lr_multiplier) for sizes in zip(widths, widths[1:])
    ]

    def apply(params: Params, z: Array, *, key: Key | None = None) -> Array:
        checks.events(z, num_latents, "z")
        w = pixel_norm(z)
        for layer, own in zip(layers, params):
            w = leaky(layer.apply(own, w))
        return w

    return Net(joint_init(layers), apply)


def _synthesis(num_styles, sizes, width, colours):
    """The generator of images from styles, as a function (size, alpha) -> Net."""
    blocks = {name_of(FIRST): [None, equalised_conv(width[FIRST], width[FIRST], use_bias=False)]}
    for s in sizes[1:]:
        up = equalised_conv(width[s // 2], width[s], resizing="up", use_bias=False)
        blocks[name_of(s)] = [up, equalised_conv(width[s], width[s], use_bias=False)]
    layers = {
        name: [
            _layer(conv, width[s], num_styles, smooth=s > FIRST and i == 0)
            for i, conv in enumerate(convs)
        ]
        for s, (name, convs) in zip(sizes, blocks.items())
    }

    def constant(key):
        return jax.random.normal(key, (FIRST, FIRST, width[FIRST]))

    parts: dict[str, Any] = {
        "constant": Net(constant, lambda params: params),
        "layers": layers,
        "to_image": to_images(sizes, width, colours),
    }

    def at(size=None, alpha=1.0):
        size, alpha = stage(size, alpha, sizes[-1])
        names = [name_of(s) for s in sizes[: sizes.index(size) + 1]]

        def apply(params: Params, styles: Array, *, key: Key | None = None) -> Array:
            checks.event_of(styles, (2 * len(sizes), num_styles), "styles")
            constant = params["constant"]
            h = jnp.broadcast_to(constant, (*styles.shape[:-2], *constant.shape))
            features, i = {}, 0
            keys = split(key, 2 * len(names))
            for s, name in zip(sizes, names):
                for layer, own in zip(layers[name], params["layers"][name]):
                    h = layer.apply(own, h, styles[..., i, :], key=keys[i])
                    i += 1
                features[s] = h
            return drawn(parts["to_image"], params["to_image"], features, size, alpha)

        return Net(joint_init(parts), apply)

    return at


def _layer(conv, width, num_styles, *, smooth):
    """h, w -> AdaIN(lrelu(conv(h) + noise + bias), A w); the first layer has no convolution."""
    style = equalised_dense(num_styles, 2 * width, gain=1.0)

    def init(key: Key) -> Params:
        conv_key, style_key = jax.random.split(key)
        params = {"style": style.init(style_key)}
        params |= {"noise": jnp.zeros(width), "bias": jnp.zeros(width)}
        return params if conv is None else params | {"conv": conv.init(conv_key)}

    def apply(params: Params, h: Array, w: Array, *, key: Key | None = None) -> Array:
        if conv is not None:
            h = conv.apply(params["conv"], h)
            h = smoothed(h) if smooth else h
        h = add_noise(h, params["noise"], key)
        h = leaky(h + params["bias"].reshape((1,) * (h.ndim - 1) + (-1,)))
        scale, shift = jnp.split(style.apply(params["style"], w), 2, -1)
        return adain(h, 1 + scale, shift)

    return Net(init, apply)
