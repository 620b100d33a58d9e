"""Factors as a complete grid, and codes of them whose scores are known."""

import numpy as np

GRID = np.stack(np.meshgrid(*map(np.arange, (3, 5, 8, 8)), indexing="ij"), -1).reshape(-1, 4)
SQUARE = np.stack(np.meshgrid(*[np.arange(8)] * 2, indexing="ij"), -1).reshape(-1, 2)
SQUARE = np.tile(SQUARE, (12, 1))


def scaled(factors, seed=0):
    """Each factor in a unit of its own: shuffled, and with other signs, scales and shifts."""
    rng, num = np.random.default_rng(seed), factors.shape[1]
    scale = rng.choice([-1, 1], num) * rng.uniform(0.5, 2, num) / factors.std(0)
    codes = ((factors - factors.mean(0)) * scale + rng.normal(size=num))[:, rng.permutation(num)]
    return codes.astype(np.float32)


def noise(num_units, factors=GRID, seed=1):
    return np.random.default_rng(seed).normal(size=(len(factors), num_units)).astype(np.float32)


def with_more(codes, more):
    return np.concatenate([codes, more], 1)


def turned(factors=SQUARE):
    """Two centred factors of one scale, turned by 45 degrees."""
    centred = factors - factors.mean(0)
    return centred @ np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)


MIXED = with_more(
    (scaled(GRID) @ np.random.default_rng(2).normal(size=(4, 6))).astype(np.float32),
    noise(1),
)
