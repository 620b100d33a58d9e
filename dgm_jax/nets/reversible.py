"""RevNet and i-RevNet: nets of any depth in the memory of one layer."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import squeezed, unsqueezed
from ..protocol import Array, Key, Net, Params, again, described, split
from .conv import conv_resnet


class Reversible(NamedTuple):
    """A `Net` that is a bijection: inverse(params, apply(params, x)) = x, up to rounding.

    init: init(key) -> params
    apply: apply(params, x, key=None) -> y
    inverse: inverse(params, y, key=None) -> x, with the same key (for dropout), if there was one

    Made by `revnet` and `irevnet`. It has no log-determinant: for that see the flows.
    """

    init: Callable[[Key], Params]
    apply: Callable[..., Array]  # apply(params, x, key=None)
    inverse: Callable[..., Array]  # inverse(params, y, key=None), with the same key

    __repr__ = described


def revnet(block: Net, *, num_layers: int) -> Reversible:
    """num_layers of y_1 = x_1 + F(x_2), y_2 = x_2 + G(y_1), with halves x_1, x_2 of the last axis.

    x [..., c] -> y [..., c] for even c. The backward pass recomputes the activations of a layer
    from its outputs, x_2 = y_2 - G(y_1) and x_1 = y_1 - F(x_2), and stores none: the memory of a
    gradient does not depend on the depth. This costs one more evaluation of F and G, about a third
    more arithmetic.

    block: the net of which F and G are copies, from a half [..., c/2] to a half; each has its own
        parameters, in every layer
    num_layers: the number of layers, each of one F and one G

    Rounding errors grow on the way back, by a factor of up to (1 + s)² per layer where F and G have
    slopes up to s, so s must be far below 1 in deep nets. Take a block that starts as 0, such as
    `nets.conv_resnet(..., zero_last=True)`: otherwise 32 layers cannot be inverted in float32.

    Returns a `Reversible`: a net with init(key), apply(params, x, key=None) -> y, and also
    inverse(params, y, key=None) -> x. Raises InputError for an odd last axis. Forward mode
    (`jax.jvp`, `jax.jacfwd`) is not supported, because the backward pass is a custom rule. With a
    key, each block has its own dropout, the same in the inverse with that key. Gomez et al. (2017),
    "The reversible residual network", section 3.
    """
    checks.noun(block, Net, "block")
    num_layers = checks.positive_int(num_layers, "num_layers")
    return _couplings(block, 2 * num_layers)


@checks.spelled
def irevnet(
    shape: tuple[int, int, int],
    *,
    num_stages: int = 2,
    num_layers: int = 4,
    block: Callable[[tuple[int, int, int], int], Net] | None = None,
) -> Reversible:
    """y = R_S ∘ squeeze ∘ ... ∘ R_1 ∘ squeeze (x), [..., H, W, C] -> [..., H/2^S, W/2^S, 4^S C].

    Each squeeze turns 2×2 pixels into channels, in place of pooling, and each R_s is a `revnet`.
    All of them are invertible, so no information of an image is lost: `inverse(params, y)` is x, up
    to rounding errors, which grow by a factor of up to (1 + s)² per layer where F and G have slopes
    up to s.

    shape: (H, W, C) of x; H and W must be divisible by 2^S, else InputError
    num_stages: S
    num_layers: the number of layers of each `revnet`, two blocks F and G in each
    block: block(shape, channels) -> the net F of a stage, from (h, w, c) = shape to c = channels,
        half the channels of the stage. By default a `conv_resnet` with one residual block of 32
        channels
    Returns a `Reversible`: init(key) -> params, apply(params, x, key=None) -> y and inverse(params,
    y, key=None) -> x. Cost: a gradient stores one activation per stage, whatever num_layers is, for
    about a third more arithmetic. Jacobsen et al. (2018), "i-RevNet: deep invertible networks",
    section 3.
    """
    shape = checks.image_shape(shape)
    num_stages = checks.positive_int(num_stages, "num_stages")
    num_layers = checks.positive_int(num_layers, "num_layers")
    height, width, channels = shape
    if height % 2**num_stages or width % 2**num_stages:
        raise checks.InputError(
            f"shape {shape} must be divisible by 2 {num_stages} times (num_stages); "
            "take fewer stages, or pad the images."
        )
    if block is not None:
        checks.function(block, "block")
    else:
        block = partial(conv_resnet, hidden=32, num_blocks=1)
    stages = []
    for s in range(1, num_stages + 1):
        half = 4**s * channels // 2
        stages.append(revnet(block((height >> s, width >> s, half), half), num_layers=num_layers))

    def init(key):
        checks.key(key)
        return [stage.init(k) for stage, k in zip(stages, jax.random.split(key, num_stages))]

    def apply(params, x, *, key=None):
        checks.event_of(x, shape)
        for stage, p, k in zip(stages, params, split(key, num_stages), strict=True):
            x = stage.apply(p, squeezed(x), key=k)
        return x

    def inverse(params, y, *, key=None):
        for stage, p, k in reversed(list(zip(stages, params, split(key, num_stages), strict=True))):
            y = unsqueezed(stage.inverse(p, y, key=k))
        return y

    return Reversible(init, apply, inverse)


def _couplings(block: Net, num: int) -> Reversible:
    """num couplings in turn; two of them, with F and G, are one layer of a RevNet."""
    steps = _Couplings(block, num)
    run = jax.custom_vjp(steps.there)
    run.defvjp(steps.keeping_the_end, steps.pulled_back)

    def init(key):
        checks.key(key)
        return jax.vmap(block.init)(jax.random.split(key, num))

    def apply(params, x, *, key=None):
        return _on_halves(run, num, params, x, key)

    def inverse(params, y, *, key=None):
        return _on_halves(steps.back, num, params, y, key)

    return Reversible(init, apply, inverse)


class _Couplings(NamedTuple):
    """num times (a, b) -> (b, a + F(b)), as one scan over stacked parameters and keys.

    So compile time does not depend on the depth either.
    """

    block: Net
    num: int

    def f(self, params, key, b):
        """F(b). The way back draws the same."""
        return self.block.apply(params, b, key=again(key))

    def there(self, params, keys, halves):
        def body(halves, layer):
            a, b = halves
            return (b, a + self.f(*layer, b)), None

        return jax.lax.scan(body, halves, (params, keys), self.num)[0]

    def back(self, params, keys, halves):
        def body(halves, layer):
            b, moved = halves
            return (moved - self.f(*layer, b), b), None

        return jax.lax.scan(body, halves, (params, keys), self.num, reverse=True)[0]

    def keeping_the_end(self, params, keys, halves):
        """`there`, and what `pulled_back` needs of it: no activation but the last."""
        end = self.there(params, keys, halves)
        return end, (params, keys, end)

    def pulled_back(self, kept, cotangents):
        """The cotangents of `there`'s arguments; each layer finds its activations again."""
        params, keys, end = kept

        def body(carry, layer):
            (b, moved), (b_bar, moved_bar) = carry
            p, key = layer
            out, pull = jax.vjp(lambda p, b: self.f(p, key, b), p, b)
            p_bar, from_f = pull(moved_bar)
            return ((moved - out, b), (moved_bar, b_bar + from_f)), p_bar

        carry = end, cotangents
        (_, x_bar), params_bar = jax.lax.scan(body, carry, (params, keys), self.num, reverse=True)
        return params_bar, None, x_bar


def _on_halves(function, num, params, x, key):
    """function(params, keys, halves) of the two halves of the last axis of x, joined again."""
    checks.array(x, "x")
    if not x.ndim or x.shape[-1] % 2:
        raise checks.InputError(f"x must have an even last axis, to halve; got shape {x.shape}.")
    checks.events(x, x.shape[-1])
    leaves = jax.tree.leaves(params)
    if stacked := {jnp.shape(leaf)[:1] for leaf in leaves} - {(num,)}:
        raise checks.InputError(
            f"params must stack {num} blocks, two a layer, on each first axis; "
            f"got {stacked.pop()}. They may be of a net with another num_layers."
        )
    if key is not None:
        checks.key(key)
    halves = tuple(jnp.split(x.astype(jnp.result_type(x, *leaves)), 2, -1))
    keys = None if key is None else jax.random.split(key, num)
    return jnp.concatenate(function(params, keys, halves), -1)
