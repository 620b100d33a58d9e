"""The invertible 1×1 convolution of Glow: a learned permutation of the channels."""

from .. import checks
from ..protocol import Flow
from .linear import plu, qr

FORMS = ("plu", "qr")


@checks.spelled
def conv1x1(
    num_channels: int, *, form: str = "plu", seed: int = 0, num_reflections: int | None = None
) -> Flow:
    """x_hw = W z_hw at every pixel; log-det H·W log|det W|. Starts as a random rotation.

    num_channels: the size of W. form: "plu", W = P L U with the permutation P drawn with `seed`; or
    "qr", W = Q R with num_reflections Householder reflections in Q, by default as many as channels
    (`flows.plu`, `flows.qr`). Kingma and Dhariwal (2018), "Glow", section 3.2.
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
