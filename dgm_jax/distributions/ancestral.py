"""A joint distribution of groups of variables, each sampled given the groups before it."""

from collections.abc import Callable
from typing import Any

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Shape
from .divergence import exact
from .drawn import Drawn
from .pathwise import reparametrised


@exact
class Ancestral(Drawn):
    """log p(z_1, ..., z_L) = Σ_l log p(z_l | the groups before it), in nats, for tuples z.

    The joint distribution of the groups of latent variables of a hierarchy, such as the prior of a
    ladder, given by a function that visits the groups in the order of sampling.

    walk: walk(choose, seen) -> (z, results). For each group l it computes the distribution dist_l
        of z_l given the groups before it, and calls z_l, result_l = choose(dist_l, seen[l]). seen,
        z and results have L entries, in the order of z
    num_groups: L
    batch_shape: the batch shape of the arrays that the walk depends on, such as x

    `choose` decides what z_l is: a sample in `sample` (seen[l] is its key), the given z_l in
    `log_prob` (seen[l] is z_l), the mean in `means`. result_l is log p(z_l | ...) in the first two.
    Cost: one walk each.
    """

    def __init__(
        self,
        walk: Callable[[Callable, tuple], tuple[tuple, tuple]],
        num_groups: int,
        *,
        batch_shape: Shape = (),
    ):
        super().__init__()
        checks.function(walk, "walk")
        self._walk = walk
        self._num_groups = checks.positive_int(num_groups, "num_groups")
        self._batch = checks.sample_shape(batch_shape, "batch_shape")

    @property
    def walk(self) -> Callable:
        """walk(choose, seen) -> (z, results), as given to the constructor.

        For a `choose` of your own, such as one that samples some groups and is given the others:
        choose(dist_l, seen[l]) returns z_l and anything else, which is collected in `results`.
        """
        return self._walk

    @property
    def event_shape(self) -> tuple[Shape, ...]:
        """The shape of each group."""
        return tuple(z.shape[1 + len(self._batch) :] for z in self._one_draw())

    @property
    def batch_shape(self) -> Shape:
        return self._batch

    @property
    def dtype(self) -> Any:
        """The dtype of each group."""
        return tuple(z.dtype for z in self._one_draw())

    @property
    def reparametrised(self) -> bool:
        """Whether the samples of every group are, given the groups before it."""
        found = []

        def choose(dist, key):
            found.append(reparametrised(dist))
            return draw((1, *self._batch))(dist, key)

        jax.eval_shape(lambda: self._walk(choose, self._keys(jax.random.key(0))))
        return all(found)

    def log_prob(self, value: Any) -> Array:
        """log p(z_1, ..., z_L) in nats, [..., *batch_shape], by one walk.

        value: a tuple (z_1, ..., z_L) of arrays [..., *batch_shape, *event_shape_l]; another number
            of groups raises InputError
        """
        return total(self._walk(score, groups_of(value, self._num_groups))[1])

    def means(self) -> tuple[Array, ...]:
        """E[z_l | the groups before it at their means], a tuple: a deterministic code.

        For the group that is sampled first, and where all conditional means are linear, this is
        E[z_l].
        """
        return self._walk(middle, (None,) * self._num_groups)[0]

    def tempered(self, temperature: float) -> "Ancestral":
        """N(μ, σ²) replaced by N(μ, t² σ²) for every p(z_l | ...): less varied samples of a prior.

        temperature: t, a number above 0 or a traced one, which multiplies standard deviations
        Returns an `Ancestral`, whose `log_prob` is that of its own samples. Only for groups of
        Gaussians with independent entries; others raise InputError. Child (2021), "Very deep VAEs",
        section 4.3.
        """
        if not isinstance(temperature, jax.Array):  # one that is may be traced
            temperature = checks.positive(temperature, "temperature")

        def walk(choose, seen):
            return self._walk(lambda dist, seen: choose(_narrowed(dist, temperature), seen), seen)

        return Ancestral(walk, self._num_groups, batch_shape=self._batch)

    def _sample_n(self, key, n):
        return self._sample_n_and_log_prob(key, n)[0]

    def _sample_n_and_log_prob(self, key, n):
        z, log_probs = self._walk(draw((n, *self._batch)), self._keys(key))
        return z, total(log_probs)

    def _keys(self, key):
        return tuple(jax.random.split(key, self._num_groups))

    def _one_draw(self):
        return jax.eval_shape(lambda: self._sample_n(jax.random.key(0), 1))


# ---------------------------------------------------------------------------------- the views
def draw(batch_shape: Shape) -> Callable:
    """choose(dist, key) -> (z, log p(z)), z ~ dist: the `choose` of `Ancestral` that samples.

    z is [*batch_shape, *event] and log p(z), in nats, [*batch_shape]. The first group may have a
    distribution without batch axes; then one z is drawn for each place in batch_shape. Later groups
    depend on it, so that their distributions have these axes already.

    batch_shape: the batch shape of the samples, which ends with that of each dist
    """

    def choose(dist: distrax.Distribution, key):
        missing = batch_shape[: len(batch_shape) - len(dist.batch_shape)]
        return dist.sample_and_log_prob(seed=key, sample_shape=missing)

    return choose


def score(dist: distrax.Distribution, z: Array) -> tuple[Array, Array]:
    """(z, log p(z)) of a given z."""
    return z, dist.log_prob(z)


def middle(dist: distrax.Distribution, unused: None) -> tuple[Array, None]:
    """(E[z], None)."""
    return dist.mean(), None


def _narrowed(dist, temperature):
    """N(μ, t² σ²) of a Gaussian with independent entries."""
    if isinstance(dist, distrax.MultivariateNormalDiag):
        return distrax.MultivariateNormalDiag(dist.loc, temperature * dist.scale_diag)
    if isinstance(dist, distrax.Independent) and isinstance(dist.distribution, distrax.Normal):
        each = dist.distribution
        narrowed = distrax.Normal(each.loc, temperature * each.scale)
        return distrax.Independent(narrowed, dist.reinterpreted_batch_ndims)
    raise checks.InputError(
        "temperature is for groups that are Gaussians with independent entries; got "
        f"{dist.name.lstrip('_')}."
    )


def total(log_probs: tuple[Array, ...]) -> Array:
    """log p(z) = Σ_l log p(z_l | the groups before it), in nats.

    log_probs: the terms, one for each group; their shapes broadcast to that of the sum.
    """
    return sum(log_probs[1:], start=log_probs[0])


def groups_of(value: tuple[Array, ...], num_groups: int, name: str = "z") -> tuple[Array, ...]:
    """The groups as a tuple; `InputError` if their number is not num_groups."""
    is_tuple = isinstance(value, (tuple, list))
    if not is_tuple or len(value) != num_groups:
        got = len(value) if is_tuple else checks.shown(value)
        raise checks.InputError(
            f"{name} must be a tuple of {num_groups} arrays, one for each group; got {got}."
        )
    for group in value:
        checks.array(group, f"each of {name}")
    return tuple(jnp.asarray(group) for group in value)
