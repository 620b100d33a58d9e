"""One set of weights under many masks: random orders and connections, and their ensembles.

The mask of a MADE follows from the order of the coordinates and the degrees of the hidden units.
Another mask is equivalent to permuting the coordinates and the units of the same net, with their
weights, under the same mask. So a mask is represented by a few permutations, which are data and
may change every step.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import rearranged
from ..distributions import Autoregressive, drawn
from ..distributions.divergence import exact
from ..likelihoods import Conditional
from ..protocol import Array, CausalNet, Density, Key, Params, Rows, Shape, again
from .density import density

AGNOSTIC = ("order", "connectivity")


class Masks(NamedTuple):
    """The masks that a `made` is trained with: p(x) = (1/M) Σ_m p_m(x), M = num.

    num: 1 is the one mask of `order`. With more, `dist(params, key=key)` is the density of one
        random mask, which is how `objectives.nll` trains, and `dist(params)` is the ensemble of all
    agnostic_to: in what the masks differ: "order", that of the coordinates, and "connectivity", the
        degrees of the hidden units. The degree of a unit is the number of coordinates, from the
        first in the order, that it may depend on
    roaming: the fraction of the hidden units whose degree differs between masks. The paper has 1,
        but units that must work at every degree train slowly; with 0.1 training is nearly as fast
        as with one mask
    seed: of the masks; by NumPy, so that a seed gives the same masks on every machine

    Germain et al. (2015), "MADE", sections 4.1 and 4.2. There degrees are drawn independently; here
    each degree occurs equally often, at random units. Example: made(784, bernoulli(),
    hidden=(8000,), masks=Masks(num=32, agnostic_to=("connectivity",), roaming=0.1)).
    """

    num: int = 1
    agnostic_to: tuple[str, ...] = AGNOSTIC
    roaming: float = 1.0
    seed: int = 0


ONE_MASK = Masks()


def checked_masks(masks: Masks, hidden: Sequence[int]) -> Masks:
    """Refuses masks that are invalid, or that could move no unit of these layers."""
    checks.noun(masks, Masks, "masks")
    masks = masks._replace(
        num=checks.positive_int(masks.num, "masks.num"),
        roaming=checks.positive(masks.roaming, "masks.roaming"),
        seed=checks.integer(masks.seed, "masks.seed"),
    )
    if not isinstance(masks.agnostic_to, (tuple, list)) or not masks.agnostic_to:
        raise checks.InputError(
            f"masks.agnostic_to must be some of {AGNOSTIC}, as a tuple; got {masks.agnostic_to!r}."
        )
    for what in masks.agnostic_to:
        checks.choice(what, AGNOSTIC, "each entry of masks.agnostic_to")
    if masks.roaming > 1:
        raise checks.InputError(
            f"masks.roaming must be a share of the hidden units, 0 to 1; got {masks.roaming!r}."
        )
    if masks.roaming < 1:
        _check_that_units_move(masks, max(hidden))
    return masks


def _check_that_units_move(masks, widest):
    if masks.num == 1 or "connectivity" not in masks.agnostic_to:
        raise checks.InputError(
            f"masks.roaming={masks.roaming!r} needs num > 1 and agnostic_to with connectivity, or "
            f"no unit moves; got num={masks.num} and {tuple(masks.agnostic_to)}."
        )
    if num_roaming(masks.roaming, widest) < 2:
        raise checks.InputError(
            f"masks.roaming must be at least {2 / widest:.3g} for two of {widest} units to change "
            f"places; got {masks.roaming!r}."
        )


def num_roaming(roaming: float, width: int) -> int:
    """The number of a layer's units that change places between masks."""
    return round(roaming * width)


class Places(NamedTuple):
    """Place j of the net is taken by coordinate order[j]; in layer n, by unit units[n][j]."""

    order: Array  # [d]
    units: list[Array]  # layer n: [h_n]


def random_places(
    dim: int, hidden: Sequence[int], masks: Masks, *, residual: bool = False
) -> Places:
    """Random masks for `dim` inputs and `hidden` units, stacked: order [num, d], units [num, h_n].

    residual: whether the layers are residual blocks, whose units move together.
    """
    order_rng, unit_rng, which_rng = np.random.default_rng(masks.seed).spawn(3)

    def places(rng, size, num_moving):
        placed = np.tile(np.arange(size), (masks.num, 1))
        # Sorted: where all units move, the draw of who moves changes nothing.
        moving = np.sort(which_rng.permuted(placed, axis=1)[:, :num_moving], axis=1)
        np.put_along_axis(placed, moving, rng.permuted(moving, axis=1), axis=1)
        return placed

    roaming = masks.roaming if "connectivity" in masks.agnostic_to else 0
    units = [places(unit_rng, h, num_roaming(roaming, h)) for h in hidden]
    if residual:  # what a block adds to must be in the places of what it adds
        units[2::2] = [units[0]] * len(units[2::2])
    return Places(places(order_rng, dim, dim if "order" in masks.agnostic_to else 0), units)


def replaced(net: CausalNet, places: Places) -> CausalNet:
    """The MADE `net` with its coordinates and hidden units permuted, together with their weights.

    The places may be traced. The result has no `linearize`: many masks are for densities, flows
    have one order. Cost: that of the net, and one copy of its weights.
    """
    order, rank = places.order, places.order.argsort()  # known here where the order is

    def apply(params, x, cond=None, *, key=None):
        checks.array(x, "x")
        if jnp.shape(x)[-1:] == order.shape:  # else the net refuses it
            x = jnp.asarray(x)[..., order]
        f = net.apply(moved(params, places), x, cond, key=key)
        return rearranged(f, *[None] * (f.ndim - 2), rank, None)

    def unroll(params, emit, batch_shape, cond=None, *, key=None):
        def emit_there(place, f):
            return emit(jnp.asarray(order)[place], f)

        x, f, units = net.unroll(moved(params, places), emit_there, batch_shape, cond, key=key)
        return x[..., rank], f[..., rank, :], units

    return net._replace(apply=apply, unroll=unroll, linearize=None)


def moved(params: Params, places: Places) -> Params:
    """The parameters of a `nets.made`, with the rows and columns of its weights permuted."""
    order, units, dim = places.order, places.units, len(places.order)
    params = jax.tree.map(jnp.asarray, params)  # an array of numpy has no traced index
    ins, *_ = params["weights"]
    num_entries = ins.shape[1] // dim  # those of one coordinate stay together
    inputs = (order[:, None] * num_entries + np.arange(num_entries)).reshape(-1)
    moving = params | {
        "weights": [
            rearranged(w, own, below)
            for w, own, below in zip(params["weights"], units, [inputs, *units])
        ],
        "biases": [rearranged(b, own) for b, own in zip(params["biases"], units)],
        "readout": rearranged(params["readout"], order, None, units[-1]),
        "offset": rearranged(params["offset"], order, None),
    }
    if "direct" in params:
        moving["direct"] = rearranged(params["direct"], order, None, inputs)
    if "cond" in params:
        moving["cond"] = rearranged(params["cond"], None, units[0])
    return moving


@exact
class Ensemble(drawn.Drawn):
    """p(x) = (1/M) Σ_m p_m(x): the same weights under M masks, a uniform mixture.

    Costs: `log_prob` M passes, one after the other. `sample` samples every member and keeps one, so
    M times that of a member; `dist(params, cond, key=key)` is one member, at its cost.
    """

    def __init__(self, member: Callable[[Array | int], Autoregressive], num_masks: int):
        super().__init__()
        self._member, self._num_masks = member, num_masks

    @property
    def event_shape(self) -> Shape:
        return self._member(0).event_shape

    @property
    def batch_shape(self) -> Shape:
        return self._member(0).batch_shape

    @property
    def dtype(self) -> jnp.dtype:
        return self._member(0).dtype

    def log_prob(self, value: Array) -> Array:
        members = jnp.arange(self._num_masks)
        log_probs = jax.lax.map(lambda m: self._member(m).log_prob(value), members)
        return jax.nn.logsumexp(log_probs, 0) - np.log(self._num_masks)

    def sharpened(self, *, temperature: float = 1.0, top_k: int | None = None) -> "Ensemble":
        """The ensemble of the members' `Autoregressive.sharpened`."""

        def member(m):
            return self._member(m).sharpened(temperature=temperature, top_k=top_k)

        member(0)  # what is refused is refused here
        return Ensemble(member, self._num_masks)

    def conditionals(self, x: Array) -> NoReturn:
        """Refused: the orders of the members differ, and so do their conditionals."""
        raise checks.InputError(f"conditionals: {self._one_order()}")

    def complete(self, x: Array, given: Rows, *, seed: Key) -> NoReturn:
        """Refused: a completion is exact only if all given coordinates come first in the order."""
        raise checks.InputError(f"complete: {self._one_order()}")

    def _one_order(self):
        return (
            f"an ensemble of {self._num_masks} masks has no one order. Take a member, "
            "dist(params, cond, key=key), or give the parameters to a made of one mask, with "
            "order=observed_first(given)."
        )

    def _sample_n(self, key, n):
        choice_key, sample_key = jax.random.split(key)
        chosen = jax.random.randint(choice_key, (n, *self.batch_shape, 1), 0, self._num_masks)

        def keep_its_own(x, m):
            own = self._member(m).sample(seed=jax.random.fold_in(sample_key, m), sample_shape=n)
            return jnp.where(chosen == m, own, x), None

        nothing = jnp.zeros((n, *self.batch_shape, *self.event_shape), self.dtype)
        return jax.lax.scan(keep_its_own, nothing, jnp.arange(self._num_masks))[0]


def under_masks(
    net: CausalNet, conditional: Conditional, dim: int, places: Places, *, free: bool = True
) -> Density:
    """The ensemble of `net` over all masks in `places`; with a key, one random member of it.

    conditional, dim: as in `made`. free: the first weights of all units start with the same scale,
    because each unit takes every degree; False: with the scale of one mask. Germain et al. (2015).
    """
    num_masks, in_raster = len(places.order), bool((places.order == np.arange(dim)).all())
    widths = [dim, *(units.shape[1] for units in places.units)]

    def init(key):
        checks.key(key)
        params_key, *weight_keys = jax.random.split(key, 1 + len(places.units))
        params = net.init(params_key)
        if free:
            params["weights"] = [
                jnp.sqrt(2 / width) * jax.random.normal(k, w.shape, w.dtype)  # it sees about half
                for k, w, width in zip(weight_keys, params["weights"], widths)
            ]
        return params

    def dist(params: Params, cond=None, *, key=None):
        checks.condition(cond, net.cond_shape)
        checks.parameters(params, net.init)

        def member(m, net_key=None):
            own = jax.tree.map(lambda stacked: jnp.asarray(stacked)[m], places)
            if in_raster:  # known here, so that nothing is gathered by it
                own = own._replace(order=np.arange(dim))
            model = density(replaced(net, own), conditional, dim)
            return model.dist(params, cond, key=net_key)

        if key is None:
            return Ensemble(member, num_masks)
        return member(*_drawn(key, num_masks))

    return Density(init, dist, cond_shape=net.cond_shape)


def _drawn(key: Key, num_masks: int):
    """Which mask, and a key for what is random in the net: apart from the halves `randint` uses."""
    checks.key(key)
    net_key = jax.random.fold_in(again(key), 2)
    return jax.random.randint(key, (), 0, num_masks), net_key
