"""p(x) = ∏_i p(x_i | x_<i), given by a causal net."""

import math
from collections.abc import Callable
from functools import partial

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import Partial

from .. import checks
from ..arrays import same_rank
from ..protocol import Array, CausalNet, Key, Params, Rows, Shape, again
from .divergence import exact, level_logits
from .drawn import Drawn
from .levels import Levels
from .pathwise import reparametrised


@exact
class Autoregressive(Drawn):
    """log p(x | c) = Σ_i log p(x_i | x_<i, c), in nats, with p(x_i | x_<i, c) = to_dist(f_i).

    f_i = f_i(x_<i, c) ∈ R^num_outputs is computed by a causal net.

    net, params: the net, such as `nets.made`, and its parameters
    to_dist: f [..., num_outputs] -> a distrax distribution of scalars with batch shape [...]
    shape: that of one x, whose entries the net knows in the order of x.ravel()
    cond: the condition c [..., *net.cond_shape], whose batch shape is that of the distribution;
        None for none
    num_outputs: the outputs of the net for each x_i; another number raises InputError
    key: for dropout in the net, which depends only on that key and the shape of the batch, so that
        `log_prob` of a sample uses the same dropout as `sample`; None for no dropout
    Cost: `log_prob` and `conditionals` one pass of the net; `sample`, `sample_and_log_prob` and
    `complete` one unroll of it, the arithmetic of one pass in d steps.
    """

    def __init__(
        self,
        net: CausalNet,
        params: Params,
        to_dist: Callable[[Array], distrax.Distribution],
        shape: int | tuple[int, ...],
        cond: Array | None = None,
        *,
        num_outputs: int,
        key: Key | None = None,
    ):
        """shape: that of one x, whose entries the net knows in the order of x.ravel()."""
        super().__init__()
        checks.noun(net, CausalNet, "net")
        checks.function(to_dist, "to_dist")
        self._net, self._params = net, params
        self._num_outputs = checks.positive_int(num_outputs, "num_outputs")
        self._to_dist = to_dist
        self._shape = checks.one_or_more(shape, "shape")
        self._cond, self._batch_shape = cond, checks.condition(cond, net.cond_shape)
        if key is not None:
            checks.key(key)
        self._key = key

    @property
    def event_shape(self) -> Shape:
        return self._shape

    @property
    def batch_shape(self) -> Shape:
        return self._batch_shape

    @property
    def reparametrised(self) -> bool:
        """Whether samples of all p(x_i | x_<i) are, and so those of x."""
        return reparametrised(self._to_dist(jnp.zeros(self._num_outputs)))

    def conditionals(self, x: Array) -> distrax.Distribution:
        """All p(x_i | x_<i, c) at x, as one distribution with batch shape [..., *event_shape].

        x: [..., *event_shape]
        For example, conditionals(x).mean() predicts each entry from those before it, and
        conditionals(x).log_prob(x) has the terms of log p(x), in nats. Cost: one pass of the net.
        """
        f = self._net.apply(self._params, self._flat(x), self._cond, key=again(self._key))
        check_outputs(f, self._num_outputs)
        return self._to_dist(self._shaped(f, f.shape[-1]))

    def log_prob(self, value: Array) -> Array:
        """log p(x | c) in nats, [...], of x [..., *event_shape], by one pass of the net.

        The axes [...] broadcast with the batch shape, that of the conditions.
        """
        each = self.conditionals(value)
        axes_of_cond = range(len(each.batch_shape) - jnp.ndim(value))
        return self._total(each.log_prob(jnp.expand_dims(value, axes_of_cond)))

    def complete(self, x: Array, given: Rows, *, seed: Key) -> Array:
        """x where `given` is True, and samples of p(x_i | x_<i) elsewhere: inpainting, imputation.

        x: [..., *event_shape]; values where `given` is False are not used. Given values must be
            finite, and levels in range, else InputError; under `jit` this cannot be checked, and a
            completion of an invalid x has probability 0
        given: booleans of the shape of one event, or [..., *event_shape] with one mask per row
        seed: the key of the samples

        Returns an array like x, of the dtype of a sample. It is an exact sample of p(x_missing |
        x_given) if all given coordinates come first in the order of the net. A missing coordinate
        that comes before a given one is sampled without knowledge of it: the result then follows
        ∏_missing p(x_i | x_<i), which is not the conditional distribution. Cost: that of `sample`.
        """
        checks.key(seed, "seed")
        given = jnp.asarray(given)
        ends = {a.shape[max(a.ndim - len(self._shape), 0) :] for a in (jnp.asarray(x), given)}
        if given.dtype != bool or ends != {self._shape}:
            raise checks.InputError(
                f"x and given must have shape [..., {', '.join(map(str, self._shape))}], given "
                f"booleans; got {jnp.shape(x)} and {given.shape} of {given.dtype}."
            )
        batch_shape = self._batch_of(jnp.asarray(x), given)
        self._check_given(x, given)
        x, given = self._flat(x), self._flat(given)
        x, given = (jnp.broadcast_to(a, (*batch_shape, a.shape[-1])) for a in (x, given))
        made = self._unroll(Partial(_keep_or_draw, x, given, self._to_dist, seed), batch_shape)[0]
        return self._shaped(jnp.where(given, x.astype(made.dtype), made))

    def _batch_of(self, x, given):
        """The batch shape that x, given and the density have together."""
        of_x, of_given = (a.shape[: a.ndim - len(self._shape)] for a in (x, given))
        return checks.common_batch({"x": of_x, "given": of_given, "cond": self.batch_shape})

    def _check_given(self, x, given):
        if any(isinstance(a, Tracer) for a in (x, given)):
            return
        held = np.where(given, x, 0)
        bad = ~np.isfinite(held)
        if np.issubdtype(held.dtype, np.integer):
            bad = (held < 0) | (held >= self._num_levels())
        if bad.any():
            raise checks.InputError(
                f"x must be possible where it is given, finite numbers or levels from 0 on; got "
                f"{held[bad][0]}."
            )

    def sharpened(
        self,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        allowed: np.ndarray | None = None,
    ) -> "Autoregressive":
        """∏_i p(x_i | x_<i)^{1/T} / Z_i over the top_k most likely levels, for discrete x.

        Z_i(x_<i) normalises each conditional. For samples that are more typical, at the cost of
        variety.

        temperature: T, a number or an array, possibly traced; T < 1 prefers likely levels, 1
            changes nothing
        top_k: keeps all levels at least as likely as the k-th; None keeps all
        allowed: booleans [K], the levels that may be sampled; None allows all

        Returns a distribution of the same x, with `sample`, `complete` and `log_prob`. Raises
        InputError for real-valued x_i. Cost: the same passes, and the logits of all K levels of
        each x_i.
        """
        if not isinstance(temperature, jax.Array):  # one that is may be traced
            temperature = checks.positive(temperature, "temperature")
        if top_k is not None:
            top_k = checks.positive_int(top_k, "top_k")
        num = self._num_levels()  # refuses conditionals of numbers here, before anything is drawn
        if allowed is not None:
            allowed = checks.mask(allowed, num, "allowed")
        to_dist = Partial(partial(_sharpen, top_k), self._to_dist, temperature, allowed)
        return Autoregressive(
            self._net,
            self._params,
            to_dist,
            self._shape,
            self._cond,
            num_outputs=self._num_outputs,
            key=again(self._key),
        )

    def _num_levels(self):
        zeros = jnp.zeros(self._num_outputs)
        return jax.eval_shape(lambda f: _logits(self._to_dist(f)), zeros).shape[-1]

    def _sample_n(self, key, n):
        return self._shaped(self._drawn(key, n)[0])

    def _sample_n_and_log_prob(self, key, n):
        x, f, _ = self._drawn(key, n)
        return self._shaped(x), self._to_dist(f).log_prob(x).sum(-1)

    def _drawn(self, key, n):
        return self._unroll(Partial(_draw, self._to_dist, key), (n, *self.batch_shape))

    def _unroll(self, emit, batch_shape):
        key = again(self._key)  # all methods draw the same in the net
        made = self._net.unroll(self._params, emit, batch_shape, self._cond, key=key)
        check_outputs(made[1], self._num_outputs)
        return made

    def _flat(self, x):
        """[..., *event_shape] -> [..., d]."""
        checks.event_shape(x, self._shape)
        return x.reshape(*x.shape[: x.ndim - len(self._shape)], math.prod(self._shape))

    def _shaped(self, a, *tail):
        return a.reshape(*a.shape[: a.ndim - 1 - len(tail)], *self._shape, *tail)

    def _total(self, a):
        return a.sum(range(-len(self._shape), 0))


def check_outputs(f: Array, num_outputs: int) -> None:
    """`InputError` unless the net's output is f [..., num_outputs]."""
    if f.shape[-1] != num_outputs:
        raise checks.InputError(
            f"net must have the {num_outputs} outputs a coordinate that its conditional takes; got "
            f"{f.shape[-1]}. Build it with num_outputs={num_outputs}."
        )


def _draw(to_dist, key, i, f):
    """x_i of p(x_i; f); a level of NaN or +∞ is -1, which is none, and stays visible.

    `Levels` sees this itself, and what a temperature of 0 makes of finite f too; but a
    Bernoulli or a mixture of logistics would draw some level.
    """
    drawn = to_dist(f).sample(seed=jax.random.fold_in(key, i))
    if jnp.issubdtype(drawn.dtype, jnp.integer):  # -∞ is the logit of what never happens
        return jnp.where((f < jnp.inf).all(-1), drawn, -1)
    return drawn


def _keep_or_draw(x, given, to_dist, key, i, f):
    """x_i where it is given, and a draw elsewhere."""
    drawn = _draw(to_dist, key, i, f)
    if jnp.issubdtype(drawn.dtype, jnp.integer) > jnp.issubdtype(x.dtype, jnp.integer):
        raise checks.InputError(f"x must be levels, integers; got {x.dtype}. Try x.astype(int).")
    known, held = (jnp.take(a, i, axis=-1) for a in (given, x))
    return jnp.where(known, held.astype(drawn.dtype), drawn)


def _sharpen(top_k, to_dist, temperature, allowed, f):
    logits = _logits(to_dist(f))
    if allowed is not None:
        logits = jnp.where(same_rank(logits, jnp.asarray(allowed))[1], logits, -jnp.inf)
    highest = jnp.max(logits, -1, keepdims=True)
    logits = (logits - highest) / temperature  # at most 0, however small T is
    if top_k is not None and top_k < logits.shape[-1]:
        least = jax.lax.top_k(logits, top_k)[0][..., -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return Levels(logits=logits)


def _logits(dist):
    """log p of every level up to a constant, [..., K]."""
    logits = level_logits(dist)
    if logits is None:
        raise checks.InputError(
            f"sharpened is for discrete conditionals; got {type(dist).__name__}."
        )
    return logits
