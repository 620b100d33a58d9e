"""UDR: whether models trained from different seeds found the same units; it needs no factors."""

from collections.abc import Sequence

import numpy as np

from .. import checks
from ..protocol import Rows
from .codes import average_ranks, code_rows


def udr(
    codes: Sequence[Rows], kl: Sequence[Rows] | None = None, *, threshold: float = 0.01
) -> np.ndarray:
    """The median over models m' ≠ m of how well the units of m and of m' match, for each model m.

    The match of two models with a and b informative units is 1/(a + b) [Σ_j max_i R_ij² / Σ_i R_ij
    + Σ_i max_j R_ij² / Σ_j R_ij], R_ij the absolute (Spearman) rank correlation of unit i of one
    and unit j of the other. It is 1 if each unit is a monotone function of one unit of the other
    model, and low if it is a mixture. Disentangled models are expected to be alike, others to
    differ in different ways; no factors are needed.

    codes: a list of two or more arrays [n, d_m], the codes of the same n rows by each model
    kl: a list with the mean KL(q ‖ p) of each unit of each model in nats, [d_m]. Units of less than
        `threshold` are left out as uninformative; without kl, constant units are
    threshold: in nats

    Returns [models], each in 0..1; a model without informative units has 0. Cost: d² n per pair.
    Duan et al. (2020), "Unsupervised model selection for variational disentangled representation
    learning", equation 2; the authors' program has the mean of the two means, which is equal for a
    = b.
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
