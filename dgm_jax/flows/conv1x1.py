"""The invertible 1×1 convolution of Glow: a learned permutation of the channels."""

from .. import checks
from ..protocol import Flow
from .linear import plu, qr

FORMS = ("plu", "qr")


@checks.spelled
def conv1x1(
    num_channels: int, *, form: str = "plu", seed: int = 0, num_reflections: int | None = None
) -> Flow:
    """x_hw = W z_hw at every pixel, with log|det ∂x/∂z| = H·W log|det W|.

    A learned mixing of channels, on images [..., H, W, num_channels] of any size. W starts as a
    random orthogonal matrix.

    num_channels: the size of W
    form: "plu", W = P L U with a fixed permutation P and triangular L and U, or "qr", W = Q R with
        Q a product of Householder reflections; in both the log-determinant costs O(channels) and
        the inverse as much as the product (`flows.plu`, `flows.qr`)
    seed: of the permutation P, for "plu"
    num_reflections: in Q, for "qr"; by default as many as channels
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Kingma and Dhariwal
    (2018), "Glow", section 3.2; "qr": Hoogeboom et al. (2019), "Emerging convolutions".
    """
    num_channels = checks.positive_int(num_channels, "num_channels")
    checks.choice(form, FORMS, "form")
    seed = checks.integer(seed, "seed")
    if form == "qr":
        return qr(num_channels, num_reflections=num_reflections, event_ndims=3)
    if num_reflections is not None:
        raise checks.InputError(
            f"num_reflections is of form='qr'; got {checks.shown(num_reflections)} with form='plu'."
        )
    return plu(num_channels, seed=seed, event_ndims=3)
