"""One set of weights under many masks: orders and connections drawn at random, and ensembles.

A mask of MADE follows from the order of the coordinates and the degrees of the hidden units. To
change them is to give the coordinates and units other places in one and the same triangular net:
the mask stays, the weights move. So a mask is data, two permutations, and may differ every step.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..distributions import Autoregressive
from ..likelihoods import Conditional
from ..protocol import Array, CausalNet, Density, Params, Shape
from .density import density

AGNOSTIC = ("order", "connectivity")


class Places(NamedTuple):
    """place j of the net is taken by coordinate order[j]; in layer n, by unit units[n][j]."""

    order: Array  # [d]
    units: list[Array]  # layer n: [h_n]


def random_places(
    dim: int,
    hidden: Sequence[int],
    *,
    num_masks: int,
    agnostic_to: Sequence[str] = AGNOSTIC,
    roaming: float = 1.0,
    residual: bool = False,
    seed: int = 0,
) -> Places:
    """num_masks random masks, stacked: order [masks, d], units [masks, h_n]; by NumPy, for ever.

    roaming: the share of each layer's units that exchange places, others in each mask.
    """
    order_rng, unit_rng, which_rng = np.random.default_rng(seed).spawn(3)

    def places(rng, size, num_moving):
        placed = np.tile(np.arange(size), (num_masks, 1))
        # Sorted: where all units move, the draw of who moves changes nothing.
        moving = np.sort(which_rng.permuted(placed, axis=1)[:, :num_moving], axis=1)
        np.put_along_axis(placed, moving, rng.permuted(moving, axis=1), axis=1)
        return placed

    roaming = roaming if "connectivity" in agnostic_to else 0
    units = [places(unit_rng, h, num_roaming(roaming, h)) for h in hidden]
    if residual:  # what a block adds to must be in the places of what it adds
        units[2::2] = [units[0]] * len(units[2::2])
    return Places(places(order_rng, dim, dim if "order" in agnostic_to else 0), units)


def num_roaming(roaming: float, width: int) -> int:
    """How many of a layer's units change places."""
    return round(roaming * width)


def replaced(net: CausalNet, places: Places) -> CausalNet:
    """The MADE `net` with coordinates and hidden units in other places, the weights going along.

    The places may be traced. Cost: that of the net, and one copy of its weights.
    """
    order, rank = places.order, jnp.argsort(places.order)

    def by_coordinate(array, axis):  # entries of one coordinate stay together
        dim, shape = len(order), array.shape
        parts = array.reshape(*shape[:axis], dim, -1, *shape[axis + 1 :])
        return jnp.take(parts, order, axis).reshape(shape)

    def moved(params):
        below = [None, *places.units]
        weights = [w[own] for w, own in zip(params["weights"], places.units)]
        first, *rest = weights
        moving = params | {
            "weights": [by_coordinate(first, 1), *(w[:, b] for w, b in zip(rest, below[1:]))],
            "biases": [b[own] for b, own in zip(params["biases"], places.units)],
            "readout": params["readout"][order][..., places.units[-1]],
            "offset": params["offset"][order],
        }
        if "direct" in params:
            moving["direct"] = by_coordinate(params["direct"][order], 2)
        if "cond" in params:
            moving["cond"] = params["cond"][:, places.units[0]]
        return moving

    def apply(params, x, cond=None):
        checks.array(x, "x")
        if jnp.shape(x)[-1:] == order.shape:  # else the net refuses it
            x = jnp.asarray(x)[..., order]
        return net.apply(moved(params), x, cond)[..., rank, :]

    def unroll(params, emit, batch_shape, cond=None):
        def emit_there(place, f):
            return emit(order[place], f)

        x, f, units = net.unroll(moved(params), emit_there, batch_shape, cond)
        return x[..., rank], f[..., rank, :], units

    def linearize(params, x, units, cond=None):
        raise ValueError("num_masks: a net of many masks is for densities; flows have one order.")

    return CausalNet(net.init, apply, unroll, linearize)


class Ensemble(distrax.Distribution):
    """p(x) = (1/M) Σ_m p_m(x): the same weights under M masks, a mixture in equal parts.

    Costs: `log_prob` M passes, one after the other. `sample` draws every member and keeps one, so
    M times that of a member; `dist(params, cond, key=key)` is a member at its own price.
    """

    def __init__(self, member: Callable[[Array | int], Autoregressive], num_masks: int):
        super().__init__()
        self._member, self._num_masks = member, num_masks

    @property
    def event_shape(self):
        return self._member(0).event_shape

    @property
    def batch_shape(self):
        return self._member(0).batch_shape

    @property
    def dtype(self):
        return self._member(0).dtype

    def log_prob(self, value):
        members = jnp.arange(self._num_masks)
        log_probs = jax.lax.map(lambda m: self._member(m).log_prob(value), members)
        return jax.nn.logsumexp(log_probs, 0) - np.log(self._num_masks)

    def sharpened(self, **options) -> "Ensemble":
        """The ensemble of the members' `Autoregressive.sharpened`."""
        self._member(0).sharpened(**options)  # what is refused is refused here
        return Ensemble(lambda m: self._member(m).sharpened(**options), self._num_masks)

    def conditionals(self, x):
        """Refused: the members' orders differ, and so does what they condition on."""
        raise ValueError(f"conditionals: {self._one_order()}")

    def complete(self, x, given, *, seed):
        """Refused: a draw is exact only where an order makes all given coordinates first."""
        raise ValueError(f"complete: {self._one_order()}")

    def _one_order(self):
        return (
            f"an ensemble of {self._num_masks} masks has no one order. Take a member, "
            "dist(params, cond, key=key), or give the parameters to a made of one mask, with "
            "order=observed_first(given)."
        )

    def _sample_n(self, key, n):
        checks.key(key, "seed")
        choice_key, sample_key = jax.random.split(key)
        chosen = jax.random.randint(choice_key, (n, *self.batch_shape, 1), 0, self._num_masks)

        def keep_its_own(x, m):
            own = self._member(m).sample(seed=jax.random.fold_in(sample_key, m), sample_shape=n)
            return jnp.where(chosen == m, own, x), None

        nothing = jnp.zeros((n, *self.batch_shape, *self.event_shape), self.dtype)
        return jax.lax.scan(keep_its_own, nothing, jnp.arange(self._num_masks))[0]


def under_masks(
    net: CausalNet,
    conditional: Conditional,
    dim: int,
    places: Places,
    *,
    cond_shape: Shape | None = None,
    free: bool = True,
) -> Density:
    """The ensemble over all masks; with a key one of them at random, as training draws them.

    free: one scale of the first weights for all units, since each meets every degree; else that
        of one mask.
    """
    num_masks = len(places.order)

    def init(key):
        checks.key(key)
        params_key, *weight_keys = jax.random.split(key, 1 + len(places.units))
        params = net.init(params_key)
        if not free:
            return params
        widths = [dim, *(units.shape[1] for units in places.units)]
        params["weights"] = [
            jnp.sqrt(2 / width) * jax.random.normal(k, w.shape, w.dtype)  # it sees about half
            for k, w, width in zip(weight_keys, params["weights"], widths)
        ]
        return params

    def dist(params: Params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        checks.parameters(params, net.init)

        def member(m):
            own = jax.tree.map(lambda stacked: jnp.asarray(stacked)[m], places)
            model = density(replaced(net, own), conditional, dim, cond_shape=cond_shape)
            return model.dist(params, cond)

        if key is None:
            return Ensemble(member, num_masks)
        checks.key(key)
        return member(jax.random.randint(key, (), 0, num_masks))

    return Density(init, dist)
