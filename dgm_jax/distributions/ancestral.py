"""The joint distribution of several groups of variables, each drawn given those before it."""

from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Shape
from .divergence import exact
from .drawn import Drawn


@exact
class Ancestral(Drawn):
    """log p(z_1, ..., z_L) = Σ_l log p(z_l | the groups before it), in nats, for tuples z.

    walk: walk(choose, seen) -> (z, told) visits the groups in the order in which they are drawn. Of
        each it makes the distribution given those before, and asks what z_l is to be:
        z_l, told_l = choose(dist_l, seen[l]). seen, z and told have L entries, in the order of z.
    num_groups: L
    batch_shape: that of what the walk is given, such as of x

    What z_l is, is then a view: a draw for `sample`, the z at hand for `log_prob`, the mean for
    `means`. `told_l` is log p(z_l | ...) in the first two. Cost of each: one walk.
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
        """walk(choose, seen) -> (z, told), for a view of one's own, as one that draws some groups
        and is given others."""
        return self._walk

    @property
    def event_shape(self):
        """The shape of each group."""
        return tuple(z.shape[1 + len(self._batch) :] for z in self._one_draw())

    @property
    def batch_shape(self):
        return self._batch

    @property
    def dtype(self):
        """That of each group."""
        return tuple(z.dtype for z in self._one_draw())

    def log_prob(self, value):
        return total(self._walk(score, groups_of(value, self._num_groups))[1])

    def means(self) -> tuple[Array, ...]:
        """E[z_l | the groups before it, at their means]: a code without noise.

        Of the group that is drawn first, and where what follows is linear, these are E[z_l].
        """
        return self._walk(middle, (None,) * self._num_groups)[0]

    def tempered(self, temperature: float) -> "Ancestral":
        """Every p(z_l | ...) = N(μ, σ²) narrowed to N(μ, t² σ²): of a prior, less varied samples.

        temperature: t, a number above 0 or a traced one; it multiplies standard deviations, so that
        those of draws at t = 0.5 are half. For groups of Gaussians with independent entries, of
        others InputError. The result is a distribution of its own, and scores as it draws.
        Child (2021), "Very deep VAEs", section 4.3.
        """
        if not isinstance(temperature, jax.Array):  # one that is may be traced
            temperature = checks.positive(temperature, "temperature")

        def walk(choose, seen):
            return self._walk(lambda dist, seen: choose(_narrowed(dist, temperature), seen), seen)

        return Ancestral(walk, self._num_groups, batch_shape=self._batch)

    def _sample_n(self, key, n):
        return self._sample_n_and_log_prob(key, n)[0]

    def _sample_n_and_log_prob(self, key, n):
        keys = tuple(jax.random.split(key, self._num_groups))
        z, log_probs = self._walk(draw((n, *self._batch)), keys)
        return z, total(log_probs)

    def _one_draw(self):
        return jax.eval_shape(lambda: self._sample_n(jax.random.key(0), 1))


# ---------------------------------------------------------------------------------- the views
def draw(batch_shape: Shape) -> Callable:
    """choose(dist, key) -> (z, log p(z)), z a draw [*batch_shape, *event].

    Groups have a batch of their own only from the first draw on, so the first draws all of it.
    """

    def choose(dist: distrax.Distribution, key):
        missing = batch_shape[: len(batch_shape) - len(dist.batch_shape)]
        return dist.sample_and_log_prob(seed=key, sample_shape=missing)

    return choose


def score(dist: distrax.Distribution, z: Array) -> tuple[Array, Array]:
    """(z, log p(z)) of the z at hand."""
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
    """Σ_l of the groups, which broadcast."""
    return sum(log_probs[1:], start=log_probs[0])


def groups_of(value: tuple[Array, ...], num_groups: int, name: str = "z") -> tuple[Array, ...]:
    """The groups as a tuple; `InputError` where there are more or less."""
    is_tuple = isinstance(value, (tuple, list))
    if not is_tuple or len(value) != num_groups:
        got = len(value) if is_tuple else checks.shown(value)
        raise checks.InputError(
            f"{name} must be a tuple of {num_groups} arrays, one for each group; got {got}."
        )
    for group in value:
        checks.array(group, f"each of {name}")
    return tuple(jnp.asarray(group) for group in value)
