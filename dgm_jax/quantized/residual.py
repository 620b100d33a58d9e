"""Codes of several numbers: what is left over is quantised again, or each part by itself."""

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from .. import checks
from ..arrays import straight_through
from ..protocol import split
from .vq import Quantised, Quantiser, check_codes


def residual(quantiser: Quantiser, num_stages: int) -> Quantiser:
    """e = e_1 + ... + e_S, with e_s the quantised remainder z - e_1 - ... - e_{s-1}: residual VQ.

    Each stage has a codebook of its own. A code is S integers, [..., S], so that S codebooks of K
    vectors have K^S sums. Returns a `Quantiser`, a codebook's `init`, `apply` and `vectors` (codes
    to vectors), the argument `quantiser` of `vqvae`. Both losses are the sums of those of the
    stages; the gradient of e passes straight through to z.

    quantiser: that of one stage, such as `averaged_codebook(256, 16)`
    num_stages: S

    Parameters and state are lists with an entry for each stage; `adapt` initialises each stage from
    the remainders of those before. Cost: S times that of one stage. Zeghidour et al. (2021),
    "SoundStream: an end-to-end neural audio codec", section III-C.
    """
    num_stages = _parts(quantiser, num_stages, "num_stages")

    def apply(params, state, features, *, train, key=None):
        left, stages, moved = features, [], []
        for p, s, k in zip(params, state, split(key, num_stages), strict=True):
            found, after = quantiser.apply(p, s, left, train=train, key=k)
            left = left - stop_gradient(found.vectors)
            stages.append(found)
            moved.append(after)
        vectors = sum(q.vectors for q in stages)
        return _joined(stages, straight_through(vectors, features)), moved

    def vectors(params, state, codes):
        return sum(_each(quantiser, params, state, codes))

    def adapt(params, state, key, features):
        left, adapted = features, []
        keys = jax.random.split(key, num_stages)
        for at in zip(params, state, keys, strict=True):
            assert quantiser.adapt is not None
            adapted.append(quantiser.adapt(*at, left))
            left = left - quantiser.apply(*adapted[-1], left, train=False)[0].vectors
        return tuple(map(list, zip(*adapted)))

    return quantiser._replace(
        init=_several(quantiser, num_stages),
        apply=apply,
        vectors=vectors,
        code_shape=(num_stages, *quantiser.code_shape),
        adapt=adapt if quantiser.adapt else None,
    )


def grouped(quantiser: Quantiser, num_groups: int) -> Quantiser:
    """e = [e_1, ..., e_G]: each of G equal parts of z [..., G d] has a codebook of its own.

    A code is G integers, [..., G], so that G codebooks of K vectors have K^G combinations. Returns
    a `Quantiser`, a codebook's `init`, `apply` and `vectors` (codes to vectors), the argument
    `quantiser` of `vqvae`. Its losses are the sums of those of the groups.

    quantiser: that of one part, of vectors of d entries, such as `averaged_codebook(256, 16)`
    num_groups: G

    Parameters and state are lists with an entry for each group. Jégou, Douze and Schmid (2011),
    "Product quantization for nearest neighbor search".
    """
    num_groups = _parts(quantiser, num_groups, "num_groups")

    def parts(features):
        checks.events(features, num_groups * quantiser.dim, "features")
        return jnp.split(features, num_groups, -1)

    def apply(params, state, features, *, train, key=None):
        given = zip(params, state, parts(features), split(key, num_groups), strict=True)
        groups, moved = zip(*(quantiser.apply(*at, train=train, key=k) for *at, k in given))
        vectors = jnp.concatenate([q.vectors for q in groups], -1)
        return _joined(groups, vectors), list(moved)

    def vectors(params, state, codes):
        return jnp.concatenate(_each(quantiser, params, state, codes), -1)

    def adapt(params, state, key, features):
        keys = jax.random.split(key, num_groups)
        given = zip(params, state, keys, parts(features), strict=True)
        assert quantiser.adapt is not None
        return tuple(map(list, zip(*(quantiser.adapt(*at) for at in given))))

    return quantiser._replace(
        init=_several(quantiser, num_groups),
        apply=apply,
        vectors=vectors,
        dim=num_groups * quantiser.dim,
        code_shape=(num_groups, *quantiser.code_shape),
        adapt=adapt if quantiser.adapt else None,
    )


def _several(quantiser, num):
    def init(key):
        checks.key(key)
        return tuple(map(list, zip(*(quantiser.init(k) for k in jax.random.split(key, num)))))

    return init


def _joined(parts, vectors):
    codes = jnp.stack([q.codes for q in parts], vectors.ndim - 1)
    sums = (sum(getattr(q, name) for q in parts) for name in Quantised._fields[2:])
    return Quantised(codes, vectors, *sums)


def _each(quantiser, params, state, codes):
    """Vectors by each part of the codes."""
    check_codes(codes)
    axis = codes.ndim - 1 - len(quantiser.code_shape)
    each = jnp.moveaxis(codes, axis, 0)
    return [quantiser.vectors(p, s, c) for p, s, c in zip(params, state, each, strict=True)]


def _parts(quantiser, num, name):
    checks.noun(quantiser, Quantiser, "quantiser")
    return checks.positive_int(num, name)
