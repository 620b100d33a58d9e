"""Whether models that were trained alike, but for their seeds, found the same units: no factors."""

from collections.abc import Sequence

import numpy as np

from .. import checks
from ..protocol import Array
from .codes import average_ranks, code_rows


def udr(
    codes: Sequence[Array], kl: Sequence[Array] | None = None, *, threshold: float = 0.01
) -> np.ndarray:
    """The median over models m' ≠ m of how well units of m and of m' pair off, for each m.

    1/(a + b) [Σ_j max_i R_ij² / Σ_i R_ij + Σ_i max_j R_ij² / Σ_j R_ij] for the a and b informative
    units of two models, R_ij the absolute rank correlation (Spearman) of unit i of one and unit j
    of the other. 1 where each unit is a monotone map of one unit of the other model; low where it
    is a mixture. It needs no factors, and rests on the finding that disentangled models are
    alike, while others differ each in its own way.

    codes: at least two arrays [n, d_m], of the same rows of data. kl: the mean KL(q ‖ p) of each
    unit of each model, [d_m]; units below `threshold` nats are left out, as uninformative. Without
    it those that are constant. A model without informative units has 0. Returns [models].
    Duan et al. (2020), "Unsupervised model selection for variational disentangled representation
    learning", equation 2; its published code has the mean of the two means, which is the same where
    a = b. Cost: d² n of each pair.
    """
    threshold = checks.not_negative(threshold, "threshold")
    if not isinstance(codes, (list, tuple)) or len(codes) < 2:
        raise checks.InputError(
            f"codes must be a list of two or more arrays [n, d], one a model; got "
            f"{checks.shown(codes)}."
        )
    rows = [code_rows(z, f"codes[{m}]") for m, z in enumerate(codes)]
    if len({len(z) for z in rows}) > 1:
        raise checks.InputError(
            f"codes must be of the same rows; got {[len(z) for z in rows]} of them."
        )
    ranks = [_ranks(z[:, kept]) for z, kept in zip(rows, _informative(rows, kl, threshold))]
    scores = [
        np.median([_alike(own, other) for m, other in enumerate(ranks) if m != n])
        for n, own in enumerate(ranks)
    ]
    return np.array(scores)


def _informative(rows, kl, threshold):
    """Booleans [d] of each model."""
    varies = [np.ptp(z, axis=0) > 0 for z in rows]
    if kl is None:
        return varies
    if not isinstance(kl, (list, tuple)) or len(kl) != len(rows):
        raise checks.InputError(f"kl must be a list of {len(rows)} arrays; got {checks.shown(kl)}.")
    nats = [checks.finite_rows(each, f"kl[{m}]") for m, each in enumerate(kl)]
    for m, (each, z) in enumerate(zip(nats, rows)):
        if each.shape != z.shape[1:]:
            raise checks.InputError(f"kl[{m}] must have shape {z.shape[1:]}; got {each.shape}.")
    return [(each > threshold) & moves for each, moves in zip(nats, varies)]


def _ranks(z):
    """Ranks of each unit, of mean 0 and length 1: their products are rank correlations."""
    ranks = average_ranks(z) - (len(z) + 1) / 2
    return ranks / np.linalg.norm(ranks, axis=0)


def _alike(one, other):
    if not one.shape[1] or not other.shape[1]:
        return 0.0
    alike = abs(one.T @ other)
    strength = sum((alike.max(a) ** 2 / alike.sum(a)).sum() for a in (0, 1))
    return strength / sum(alike.shape)
