"""Small files of the published forms, for experiments that read a folder."""

import numpy as np


def spoken_digits(folder):
    """Forty training clips and ten test clips of a slow tone, of 100 to 140 samples."""
    rng = np.random.default_rng(0)
    (folder / "fsdd").mkdir()
    for split, num in (("train", 40), ("test", 10)):
        lengths = rng.integers(100, 140, num)
        sounds = [3000 * np.sin(0.2 * np.arange(n) + rng.uniform(0, 6)) for n in lengths]
        np.savez(
            folder / "fsdd" / f"fsdd_{split}.npz",
            audio=np.concatenate(sounds).astype(np.int16),
            offset=np.concatenate([[0], np.cumsum(lengths)]),
            digit=np.arange(num) % 10,
            take=5 + np.arange(num) * 25 // num,
        )
    return folder


def bits(folder, path, shape, x=None):
    """Bits of which each repeats the last one in nine cases of ten, if there are no others."""
    rng = np.random.default_rng(0)
    flips = rng.random((300, int(np.prod(shape)))) < 0.1
    x = (flips.cumsum(1) % 2).astype(np.uint8).reshape(300, *shape) if x is None else x
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, train=x[:200], valid=x[200:250], test=x[250:])
    return folder


def patches(folder):
    pixels = np.random.default_rng(1).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    (folder / "bsds300_patches").mkdir()
    file = folder / "bsds300_patches" / "bsds300_patches.npz"
    np.savez(file, train=pixels, valid=pixels, test=pixels)
    return folder
