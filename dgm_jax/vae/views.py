"""A ladder as a latent variable model: its distributions are views of one top-down path."""

from collections.abc import Callable, Sequence
from functools import partial

import distrax
import jax
import jax.numpy as jnp

from .. import checks, nets
from ..distributions.ancestral import Ancestral, draw, groups_of, total
from ..distributions.divergence import divergence_at
from ..protocol import Array, Density, Inferred, LatentVariable, Shape, split
from .seen import vector_cond
from .topdown import Stage, ascend, descend, init_stage


def of_stages(
    stages: Sequence[Stage],
    decoder: Density,
    see: Callable[[Array], Array],
    shape: Shape,
    *,
    cond_shape: Shape | None = None,
) -> LatentVariable:
    """p(x, z) = p(x | h(z)) Π_l p(z_l | z_>l), with q(z | x) = Π_l q(z_l | z_>l, x).

    The latent variable model of a ladder: h(z) is the end of its top-down path (`descend`), and z
    is the tuple (z_1, ..., z_L). z_l is [..., n] or [..., h, w, n], by its stage.

    stages: those of the path, the bottom first; each of their layers has one group z_l
    decoder: the density p(x | h), with condition h
    see: see(x), what the first stage gets of x: levels as numbers, for example
    shape: of one x
    cond_shape: (n,) of a condition c, of which a linear map is added at the start of the path, so
        that prior, posterior and likelihood depend on it; None for none

    Parameters {"stages": list, "decoder"[, "condition"]}. Costs: the prior and the likelihood are
    one pass of the path, the posterior is one of the features and one of the path.
    """
    cond_shape = vector_cond(cond_shape)
    z_shapes = [_z_shape(stage) for stage in stages for _ in range(stage.num_layers)]
    num = len(z_shapes)
    *places, width = stages[-1].shape
    of_cond = None
    if cond_shape is not None:
        of_cond = nets.bottleneck(cond_shape[0], width, first_activated=False)

    def init(key):
        checks.key(key)
        stages_key, cond_key = (key, None) if of_cond is None else jax.random.split(key)
        *keys, last_key = jax.random.split(stages_key, len(stages) + 1)
        made = [init_stage(stage, k) for stage, k in zip(stages, keys)]
        params = {"stages": made, "decoder": decoder.init(last_key)}
        if of_cond is None or cond_key is None:
            return params
        return params | {"condition": of_cond.init(cond_key)}

    def way_down(params, cond, features, view, seen, key):
        top = None
        if cond is not None and of_cond is not None:
            top = of_cond.apply(params["condition"], jnp.asarray(cond, float))
            top = top.reshape(*top.shape[:-1], *(1 for _ in places), width)
        return descend(stages, params["stages"], view, seen, features, key, top)

    def features_of(params, x, cond, key):
        checks.event_shape(x, shape)
        batches = {"x": x.shape[: x.ndim - len(shape)], "cond": checks.condition(cond, cond_shape)}
        return ascend(stages, params["stages"], see(x), key), checks.common_batch(batches)

    def prior(params, cond=None, *, key=None):
        batch_shape = checks.condition(cond, cond_shape)

        def walk(choose, seen):
            view = lambda p, q, seen: choose(p, seen)
            return way_down(params, cond, None, view, _checked(seen, z_shapes), key)[1:]

        return Ancestral(walk, num, batch_shape=batch_shape)

    def posterior(params, x, cond=None, *, key=None):
        up_key, down_key = split(key, 2)
        features, batch_shape = features_of(params, x, cond, up_key)

        def walk(choose, seen):
            view = lambda p, q, seen: choose(q, seen)
            return way_down(params, cond, features, view, _checked(seen, z_shapes), down_key)[1:]

        return Ancestral(walk, num, batch_shape=batch_shape)

    def likelihood(params, z, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        down_key, last_key = split(key, 2)
        z = _checked(groups_of(z, num), z_shapes)
        h, *_ = way_down(params, cond, None, lambda p, q, z: (z, None), z, down_key)
        return decoder.dist(params["decoder"], h, key=last_key)

    def infer(params, key, x, cond=None, *, num_samples=1, parts_key=None):
        up_key, down_key, last_key = split(parts_key, 3)
        features, batch_shape = features_of(params, x, cond, up_key)
        view = partial(_draw_and_score, draw((num_samples, *batch_shape)))
        keys = tuple(jax.random.split(key, num))
        h, z, told = way_down(params, cond, features, view, keys, down_key)
        log_likelihood = decoder.dist(params["decoder"], h, key=last_key).log_prob(x)
        log_q, log_p, kl = zip(*told)
        kl = {f"z_{i + 1}": one for i, one in enumerate(kl)}
        return Inferred(z, log_likelihood, total(log_p), total(log_q), kl)

    return LatentVariable(init, prior, likelihood, posterior, infer, cond_shape)


def _draw_and_score(drawn, p: distrax.Distribution, q: distrax.Distribution, key):
    """The posterior's view, which tells (log q, log p, KL(q ‖ p)) of its draw."""
    z, log_q = drawn(q, key)
    log_p = p.log_prob(z)
    return z, (log_q, log_p, divergence_at(q, p, log_q - log_p))


def _z_shape(stage):
    *places, _ = stage.shape
    return (*places, stage.layer.num_latents)


def _checked(seen, z_shapes):
    """What is seen of each group; arrays of z with one batch for all, so that stages scan."""
    if not all(hasattr(z, "shape") and not _is_key(z) for z in seen):
        return seen
    for i, (z, z_shape) in enumerate(zip(seen, z_shapes)):
        checks.event_shape(z, z_shape, f"z[{i}]")
    batches = [z.shape[: z.ndim - len(s)] for z, s in zip(seen, z_shapes)]
    batch = checks.common_batch({f"z[{i}]": b for i, b in enumerate(batches)})
    return tuple(jnp.broadcast_to(z, (*batch, *s)) for z, s in zip(seen, z_shapes))


def _is_key(value):
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
