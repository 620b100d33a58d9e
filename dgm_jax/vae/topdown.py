"""The top-down path, which prior, posterior and likelihood of a ladder VAE share.

The state h on the path summarises the groups sampled so far. A layer adds z_l to it:

    prior      p(z_l | h)                  from the state alone
    posterior  q(z_l | h, a)               a, the bottom-up features of x at this stage
    h ← h + Δ(h) + W z_l;  h ← h + f(h)    the same for both: it depends on x only through z

A view says what z_l is: view(p, q, seen_l) -> (z_l, told_l). The path samples with z ~ p, infers
with z ~ q, and scores a given z under either; at its end, h gives p(x | z).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import distrax
import jax
import jax.numpy as jnp

from ..protocol import Array, Key, Net, Params, Shape, again, split
from .seen import normal_of


class Layer(NamedTuple):
    """The nets of one group of z."""

    prior: Net  # h -> [μ, s, Δ]
    posterior: Net  # (h, a), or a alone where `weighs` -> [μ, s]
    project: Net  # z -> W z
    block: Net  # h -> f(h)
    num_latents: int
    event_ndims: int  # axes of z: 1 of vectors, 3 of images
    weighs: bool  # whether the posterior is the product of the prior and of what a says


class Stage(NamedTuple):
    """Layers at one width or resolution; the parameters of equal layers are stacked."""

    shape: Shape  # of h and of the features
    shrink: Net  # features of the stage below, or x -> features of this one
    up: Net  # a residual block of them
    num_up: int
    grow: Net | None  # h of the stage above -> h of this one; None at the top
    layer: Layer
    num_layers: int
    unroll: bool  # equal layers are written out; else scanned, so that they compile once


def init_stage(stage: Stage, key: Key) -> Params:
    """{"shrink", "up", "grow", "start", "layers"}; "up" and "layers" are stacked."""
    keys = jax.random.split(key, 5)
    parts = ("prior", "posterior", "project", "block")

    def layer(key):
        each = jax.random.split(key, len(parts))
        return {name: getattr(stage.layer, name).init(k) for name, k in zip(parts, each)}

    return {
        "shrink": stage.shrink.init(keys[0]),
        "up": jax.vmap(stage.up.init)(jax.random.split(keys[1], stage.num_up)),
        "grow": {} if stage.grow is None else stage.grow.init(keys[2]),
        "start": jnp.zeros(stage.shape),
        "layers": jax.vmap(layer)(jax.random.split(keys[4], stage.num_layers)),
    }


def ascend(stages: Sequence[Stage], params: Sequence, x: Array, key: Key | None) -> list[Array]:
    """The features of x at each stage, the bottom first: one deterministic pass."""
    features = []
    for stage, p, k in zip(stages, params, split(key, len(stages))):
        first_key, *keys = split(k, 1 + stage.num_up)
        x = stage.shrink.apply(p["shrink"], x, key=first_key)

        def body(a, of_block, stage=stage):
            params, key = of_block
            return a + stage.up.apply(params, a, key=key), None

        x, _ = _run(body, x, (p["up"], keys), stage.num_up, stage.num_up * stage.unroll)
        features.append(x)
    return features


def descend(
    stages: Sequence[Stage],
    params: Sequence,
    view: Callable,
    seen: Sequence,
    features: Sequence[Array] | None,
    key: Key | None,
    top: Array | None = None,
) -> tuple[Array, tuple, tuple]:
    """For l = L, ..., 1: z_l from a view of p and q, h ← h + Δ(h) + W z_l, h ← h + f(h).

    Returns (h, z, told): the state at the end, and the z_l and told_l of all L groups as tuples in
    the order z_1, ..., z_L. The path visits z_L first.
    The h of a stage starts as a trained array, to which `grow` adds the h of the stage above.

    stages, params: the stages, the bottom first, and the parameters of each
    view: view(p, q, seen_l) -> (z_l, told_l) decides what z_l is, from the distributions p(z_l | h)
        and q(z_l | h, a). told_l is what to report about it, such as log q
    seen: L values for `view`, such as a key for each group, or the given z_l
    features: a of each stage, made by `ascend`; None if there is no x, and then q is None
    key: for the dropout of the nets; None for none
    top: what a condition adds to h at the start of the path; None for none
    Cost: one pass of each layer, without the nets of its posterior if there are no features.
    """
    of_x = [None] * len(stages) if features is None else features
    left, found, h = list(seen)[::-1], [], None
    top_first = [*zip(stages, params, of_x, split(key, len(stages)))][::-1]
    for stage, p, a, k in top_first:
        first_key, *keys = split(k, 1 + stage.num_layers)
        here, left = left[: stage.num_layers], left[stage.num_layers :]
        start = p["start"]
        if h is not None:
            assert stage.grow is not None
            start = stage.grow.apply(p["grow"], h, key=first_key) + start
        elif top is not None:
            start = start + top

        def body(h, of_layer, stage=stage, a=a):
            params, key, seen = of_layer
            return visit(stage.layer, params, h, a, view, seen, key)

        direct = stage.num_layers if stage.unroll else int(h is None)  # batches begin at the top
        h, made = _run(body, start, (p["layers"], keys, here), stage.num_layers, direct)
        found += made
    z, told = zip(*found[::-1])
    assert h is not None
    return h, z, told


def visit(
    layer: Layer,
    params: Params,
    h: Array,
    features: Array | None,
    view: Callable,
    seen: Any,
    key: Key | None,
) -> tuple[Array, tuple]:
    """One layer of the path: (h, (z, told)); features, view, seen: as in `descend`."""
    prior_key, posterior_key, project_key, block_key = split(key, 4)
    f = layer.prior.apply(params["prior"], h, key=prior_key)
    of_prior, push = jnp.split(f, [2 * layer.num_latents], -1)
    prior, posterior = normal_of(of_prior, layer.event_ndims), None
    if features is not None:
        inputs = (features,) if layer.weighs else (h, features)
        f = layer.posterior.apply(params["posterior"], *inputs, key=posterior_key)
        posterior = normal_of(f, layer.event_ndims)
        posterior = product(prior, posterior) if layer.weighs else posterior
    z, told = view(prior, posterior, seen)
    h = h + push + layer.project.apply(params["project"], z, key=project_key)
    return h + layer.block.apply(params["block"], h, key=block_key), (z, told)


def product(p: distrax.Independent, q: distrax.Independent) -> distrax.Independent:
    """N(μ, σ²) ∝ p(z) q(z): 1/σ² = 1/σ_p² + 1/σ_q², and μ is the mean weighted by precision."""
    p, q, event_ndims = p.distribution, q.distribution, p.reinterpreted_batch_ndims
    by_p, by_q = p.scale**-2, q.scale**-2
    mean = (p.loc * by_p + q.loc * by_q) / (by_p + by_q)
    return distrax.Independent(distrax.Normal(mean, (by_p + by_q) ** -0.5), event_ndims)


def _run(body, carry, xs, num, direct):
    """carry and the list of what body gives: `direct` turns written out, the others in a scan.

    xs: (stacked parameters, list of keys, ...lists); entries of a list may be None.
    """
    stacked, *lists = xs
    found = []
    for i in range(direct):
        of_turn = jax.tree.map(lambda a: a[i], stacked), *(one[i] for one in lists)
        carry, made = body(carry, of_turn)
        found.append(made)
    if direct < num:
        late = jax.tree.map(lambda a: a[direct:], stacked) if direct else stacked
        rest = late, *(_stack(one[direct:]) for one in lists)
        # the gradient of a scan has its keys a second time
        turn = lambda carry, xs: body(carry, (xs[0], *map(_copied, xs[1:])))
        carry, made = jax.lax.scan(turn, carry, rest)
        found += [jax.tree.map(lambda a: a[i], made) for i in range(num - direct)]
    return carry, found


def _stack(entries):
    return None if entries[0] is None else jnp.stack(entries)


def _copied(entry):
    is_key = entry is not None and jnp.issubdtype(entry.dtype, jax.dtypes.prng_key)
    return again(entry) if is_key else entry
