"""MADE: a masked multilayer perceptron whose output i sees the inputs before i only."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..protocol import CausalNet
from .causal import Layers, unroll_layers


def made(
    dim: int,
    *,
    hidden: Sequence[int],
    num_outputs: int,
    order: Sequence[int] | None = None,
    cond_dim: int = 0,
    activation: Callable = jax.nn.relu,
    direct: bool | None = None,
    num_blocks: int | None = None,
) -> CausalNet:
    """f_i(x_<i, c) ∈ R^k for all i from one masked pass: [..., d] -> [..., d, k].

    Every unit has a degree: it may see the first `degree` inputs in the order. A hidden unit sees
    units of degree <= its own, an output of rank i (from 0) units of degree <= i. Degrees are spread
    evenly over 1..d-1 (0..d-1 with a condition: units of degree 0 see the condition alone), so that
    every input reaches every later output; where a hidden layer is too narrow to hold all degrees,
    `direct` connections from inputs to outputs keep every legal edge alive (default: then only).

    order: order[t] is the coordinate made at step t; default 0..d-1. The outputs start at zero.
    num_blocks: of the unroll (see `nets.causal`); more cost compile time.
    Cost: `apply` and `unroll` both one pass, Σ in·out multiply-adds an example.
    Germain et al. (2015), "MADE: masked autoencoder for distribution estimation", eqs. 12-15.
    """
    checks.positive_int(dim, "dim")
    checks.widths(hidden)
    checks.function(activation, "activation")
    checks.positive_int(num_outputs, "num_outputs")
    checks.positive_int(cond_dim, "cond_dim", least=0)
    if not len(hidden):
        raise ValueError("hidden must name at least one layer; got ().")
    order = np.arange(dim) if order is None else np.asarray(order)
    checks.permutation(order, dim)
    k, rank = num_outputs, np.argsort(order)
    lowest = 0 if cond_dim else 1
    highest = max(dim - 1, lowest)
    degrees = [np.arange(h) * (highest - lowest + 1) // h + lowest for h in hidden]
    if direct is None:
        direct = min(hidden) < highest - lowest + 1
    if num_blocks is None:
        num_blocks = int(np.clip(dim // 16, 1, 16))
    checks.positive_int(num_blocks, "num_blocks")
    if num_blocks > dim:
        raise ValueError(f"num_blocks must be at most dim={dim}; got {num_blocks}.")

    below = [rank + 1, *degrees[:-1]]
    masks = [b[:, None] <= own[None] for b, own in zip(below, degrees)]  # [in, out]
    readout_mask = (degrees[-1][:, None] <= rank[None])[..., None]  # [units, d, 1]
    direct_mask = (rank[:, None] < rank[None])[..., None]  # [d, d, 1]

    def init(key):
        checks.key(key)
        keys = jax.random.split(key, len(masks) + 1)
        weights = []
        for mask_key, mask in zip(keys, masks):  # scaled by the inputs that a unit really has
            fan_in = np.maximum(mask.sum(0), 1)
            weights.append(jax.random.normal(mask_key, mask.shape) * np.sqrt(1.0 / fan_in))
        params = {
            "weights": weights,
            "biases": [jnp.zeros(h) for h in hidden],
            "readout": jnp.zeros((hidden[-1], dim, k)),
            "offset": jnp.zeros((dim, k)),
        }
        if direct:
            params["direct"] = jnp.zeros((dim, dim, k))
        if cond_dim:
            scale = 1 / math.sqrt(cond_dim)
            params["cond"] = scale * jax.random.normal(keys[-1], (cond_dim, hidden[0]))
        return params

    def first_offset(params, cond):
        """b_1 + C c: where the condition enters. [..., units]"""
        checks.condition(cond, cond_dim)
        return params["biases"][0] if cond is None else params["biases"][0] + cond @ params["cond"]

    def masked(params):
        weights = [jnp.where(m, w, 0) for m, w in zip(masks, params["weights"])]
        readout = jnp.where(readout_mask, params["readout"], 0).reshape(-1, dim * k)
        if not direct:
            return weights, readout, None
        return weights, readout, jnp.where(direct_mask, params["direct"], 0).reshape(dim, dim * k)

    def preactivations(params, x, cond):
        weights, readout, skip = masked(params)
        values, h = [], x
        for n, weight in enumerate(weights):
            b = first_offset(params, cond) if n == 0 else params["biases"][n]
            values.append(h @ weight + b)
            h = activation(values[-1])
        out = h @ readout + params["offset"].reshape(-1)
        return values, out if skip is None else out + x @ skip

    def apply(params, x, cond=None):
        checks.events(x, dim)
        out = preactivations(params, x, cond)[1]
        return out.reshape(*out.shape[:-1], dim, k)

    # ---- one coordinate at a time: the same matrices, feature-major, coordinates in their order
    def columns(x, *tail):  # [*batch, *features] -> [features, batch]
        return x.reshape(-1, math.prod(tail)).T

    def ordered(params):
        """Masked [out, in] matrices, with the coordinates in the order in which they are made."""
        weights, readout, skip = masked(params)
        weights = [w.T for w in weights]
        weights[0] = weights[0][:, order]
        readout = readout.reshape(-1, dim, k)[:, order].reshape(-1, dim * k).T
        if skip is not None:
            skip = skip.reshape(dim, dim, k)[order][:, order].reshape(dim, dim * k).T
        return weights, readout, skip

    def unroll(params, emit, batch_shape, cond=None):
        weights, readout, skip = ordered(params)
        batch = math.prod(batch_shape)
        first = first_offset(params, cond)
        if cond is not None:
            first = jnp.broadcast_to(first, (*batch_shape, hidden[0]))
        offsets = [columns(first, hidden[0])] + [b[:, None] for b in params["biases"][1:]]
        offset = params["offset"][order].reshape(-1, 1)
        starts = [np.searchsorted(own, np.arange(dim + 1), side="right") for own in degrees]

        def emit_column(t, f):
            return emit(jnp.asarray(order)[t], f.T.reshape(*batch_shape, k)).reshape(1, batch)

        layers = Layers(weights, offsets, readout, skip, offset, starts)
        x, f = unroll_layers(
            layers, emit_column, lambda n, start, a: activation(a), batch, dim, num_blocks
        )
        x = x.T.reshape(*batch_shape, dim)[..., rank]
        return x, f.T.reshape(*batch_shape, dim, k)[..., rank, :]

    def linear_unroll(params, x, emit, cond=None, *, transpose):
        batch_shape = x.shape[:-1]
        batch = math.prod(batch_shape)
        weights, readout, skip = ordered(params)
        slopes = [
            columns(jax.jvp(activation, (a,), (jnp.ones_like(a),))[1], a.shape[-1])
            for a in preactivations(params, x, cond)[0]
        ]
        p, q, made_at = 1, k, order
        starts = [np.searchsorted(own, np.arange(dim + 1), side="right") for own in degrees]
        if transpose:  # the same substitution, backwards: last layer and last coordinate first
            p, q, made_at = k, 1, order[::-1]
            flip = [np.arange(h)[::-1] for h in hidden]
            by_k = np.arange(dim * k).reshape(dim, k)[::-1].reshape(-1)
            chain = [readout, *weights[:0:-1], weights[0]]
            rows = [*flip[::-1], np.arange(dim)[::-1]]
            cols = [by_k, *flip[::-1]]
            chain = [m.T[r][:, c] for m, r, c in zip(chain, rows, cols)]
            weights, readout = chain[:-1], chain[-1]
            skip = None if skip is None else skip.T[::-1][:, by_k]
            slopes = [s[f] for s, f in zip(slopes[::-1], flip[::-1])]
            starts = [
                np.searchsorted(-own[::-1], np.arange(dim + 1) - dim, side="right")
                for own in degrees[::-1]
            ]

        def activate(n, start, a):
            return a * jax.lax.dynamic_slice(slopes[n], (start, 0), a.shape)

        def emit_column(t, a):
            a = a.T.reshape(batch_shape if transpose else (*batch_shape, k))
            return emit(jnp.asarray(made_at)[t], a).reshape(batch, p).T

        zeros = [jnp.zeros((s.shape[0], 1), s.dtype) for s in slopes]
        layers = Layers(
            weights, zeros, readout, skip, jnp.zeros((dim * q, 1), readout.dtype), starts
        )
        values, products = unroll_layers(layers, emit_column, activate, batch, dim, num_blocks)
        back = np.argsort(made_at)
        values = values.T.reshape(*batch_shape, dim, p)[..., back, :]
        products = products.T.reshape(*batch_shape, dim, q)[..., back, :]
        if transpose:
            return values, products[..., 0]
        return values[..., 0], products

    return CausalNet(init, apply, unroll, linear_unroll)
