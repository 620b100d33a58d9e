"""Several stochastic layers, each conditioned on the next: p(z_1 | z_2), q(z_2 | z_1)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .. import checks, nets
from ..combinators import conditional
from ..distributions import standard_normal
from ..distributions.ancestral import Ancestral, draw, groups_of, score, total
from ..distributions.divergence import divergence_at
from ..likelihoods import Conditional, factorised
from ..protocol import Density, Inferred, LatentVariable, Net, Shape, split
from .seen import normal_of, numbers


def hierarchy(
    posteriors: Sequence[Density], priors: Sequence[Density], likelihood: Density
) -> LatentVariable:
    """p(x, z) = p(z_L) ... p(z_1 | z_2) p(x | z_1) and q(z | x) = q(z_1 | x) ... q(z_L | z_{L-1}).

    posteriors: q(z_1 | x), q(z_2 | z_1), ..., densities whose condition is x, z_1, ..., made by
        `combinators.conditional` or `combinators.encoded`
    priors: as many, p(z_1 | z_2), ..., p(z_{L-1} | z_L) and p(z_L), the last without a condition
    likelihood: p(x | z_1), a density with condition z_1, such as `likelihoods.factorised`

    z = (z_1, ..., z_L) is a tuple of arrays. Prior and posterior are distributions of such tuples
    (`distributions.Ancestral`). Parameters {"posteriors": list, "priors": list, "likelihood"}.
    Raises `ValueError` if the densities are not as many or lack their conditions.

    `infer` makes one pass of each density. Its kl["z_l"] is log q(z_l | z_{l-1}) - log p(z_l |
    z_{l+1}) at the sample, also for Gaussians: z_{l+1} depends on z_l, so the KL of the two is not
    its mean. For the last group, on which nothing depends, it is KL(q(z_L | z_{L-1}) ‖ p(z_L)), in
    closed form if there is one. Burda, Grosse and Salakhutdinov (2016), "Importance weighted
    autoencoders", equation 2.
    """
    posteriors, priors = _checked(posteriors, priors, likelihood)
    num = len(posteriors)

    def init(key):
        checks.key(key)
        up, down, last = jax.random.split(key, 3)
        return {
            "posteriors": [q.init(k) for q, k in zip(posteriors, jax.random.split(up, num))],
            "priors": [p.init(k) for p, k in zip(priors, jax.random.split(down, num))],
            "likelihood": likelihood.init(last),
        }

    def prior(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return Ancestral(partial(_down, priors, params["priors"], key), num)

    def posterior(params, x, cond=None, *, key=None):
        checks.condition(cond, None)
        walk = partial(_up, posteriors, params["posteriors"], x, key)
        return Ancestral(walk, num, batch_shape=_batch_of(x, posteriors[0]))

    def of_likelihood(params, z, cond=None, *, key=None):
        checks.condition(cond, None)
        return likelihood.dist(params["likelihood"], groups_of(z, num)[0], key=key)

    def infer(params, key, x, cond=None, *, num_samples=1, parts_key=None):
        checks.condition(cond, None)
        up_key, down_key, last_key = split(parts_key, 3)
        drawn = _with_dist(draw((num_samples, *_batch_of(x, posteriors[0]))))
        keys = tuple(jax.random.split(key, num))
        z, up = _up(posteriors, params["posteriors"], x, up_key, drawn, keys)
        _, down = _down(priors, params["priors"], down_key, _with_dist(score), z)
        log_likelihood = of_likelihood(params, z, key=last_key).log_prob(x)
        (log_q, q), (log_p, p) = zip(*up), zip(*down)
        kl = {f"z_{i + 1}": log_q[i] - log_p[i] for i in range(num)}
        kl[f"z_{num}"] = divergence_at(q[-1], p[-1], kl[f"z_{num}"])
        return Inferred(z, log_likelihood, total(log_p), total(log_q), kl)

    return LatentVariable(init, prior, of_likelihood, posterior, infer)


@checks.spelled
def stochastic_layers(
    shape: int | Shape,
    likelihood: Conditional,
    *,
    num_latents: Sequence[int] = (100, 50),
    hidden: Sequence[Sequence[int]] = ((200, 200), (100, 100)),
    activation: Callable = jnp.tanh,
    dropout: float = 0.0,
) -> LatentVariable:
    """p(z_L) ∏_l p(z_l | z_{l+1}) p(x | z_1), q(z_1 | x) ∏_l q(z_{l+1} | z_l): Gaussians by MLPs.

    A `hierarchy` with L stochastic layers. Every conditional of z is a Gaussian with independent
    entries, whose means and log-scales are the output of an MLP, and p(z_L) is N(0, I).

    shape: of one x. likelihood: of its entries, such as `likelihoods.bernoulli()`
    num_latents: the sizes of z_1, ..., z_L
    hidden: the hidden widths of the MLPs between x and z_1, between z_1 and z_2, ..., L sequences;
        from z to x they are reversed
    activation, dropout: of the MLPs; dropout acts if the distributions get a key

    The defaults are the two stochastic layers of the paper: x-200-200-100 and 100-100-100-50,
    activation tanh. The encoder gets bits as 0 and 1, levels scaled to [-1, 1], and numbers as they
    are. z is a tuple of [..., num_latents[l]]. Parameters {"posteriors": L trees, "priors": L
    trees, "likelihood"}. Burda et al. (2016), "Importance weighted
    autoencoders", section 5.
    """
    shape = checks.one_or_more(shape, "shape")
    checks.noun(likelihood, Conditional, "likelihood")
    num_latents, hidden = _layers(num_latents, hidden)
    sizes = math.prod(shape), *num_latents
    options: dict[str, Any] = {"activation": activation, "dropout": dropout}
    see = numbers(likelihood, shape, flat=True)

    def net(seen, made, widths):
        return nets.mlp(seen, made, hidden=widths, **options)

    def gaussian(seen, made, widths):
        return conditional(net(seen, 2 * made, widths), normal_of, cond_shape=(seen,))

    between = list(zip(sizes, sizes[1:], hidden))
    first = net(sizes[0], 2 * sizes[1], hidden[0])
    of_x = Net(first.init, lambda params, x, *, key=None: first.apply(params, see(x), key=key))
    posteriors = [
        conditional(of_x, normal_of, cond_shape=shape),
        *(gaussian(below, above, widths) for below, above, widths in between[1:]),
    ]
    priors = [gaussian(above, below, widths[::-1]) for below, above, widths in between[1:]]
    decoder = net(sizes[1], likelihood.outputs(sizes[0]), hidden[0][::-1])
    return hierarchy(
        posteriors,
        [*priors, standard_normal(sizes[-1])],
        factorised(decoder, likelihood, shape, cond_shape=(sizes[1],)),
    )


def _up(posteriors, params, x, key, choose, seen):
    """The walk of the posterior: each group sees the one below, the first sees x."""
    below, found = x, []
    for q, p, k, s in zip(posteriors, params, split(key, len(posteriors)), seen):
        found.append(choose(q.dist(p, below, key=k), s))
        below = found[-1][0]
    return tuple(zip(*found))


def _down(priors, params, key, choose, seen):
    """The walk of the prior: each group sees the one above, the last of all sees nothing."""
    above, found = None, []
    layers = [*zip(priors, params, split(key, len(priors)), seen)]
    for prior, p, k, s in reversed(layers):
        found.insert(0, choose(prior.dist(p, above, key=k), s))
        above = found[0][0]
    return tuple(zip(*found))


def _with_dist(choose):
    """The view that also tells the distribution: (z, (log p(z), p))."""

    def view(dist, seen):
        z, log_prob = choose(dist, seen)
        return z, (log_prob, dist)

    return view


def _batch_of(x, first):
    checks.event_shape(x, first.cond_shape)
    return x.shape[: x.ndim - len(first.cond_shape)]


def _layers(num_latents, hidden):
    num_latents = checks.widths(num_latents, "num_latents", fewest=1)
    if not isinstance(hidden, (list, tuple)) or len(hidden) != len(num_latents):
        raise checks.InputError(
            f"hidden must have the widths between each of the layers, {len(num_latents)} sequences "
            f"for num_latents={num_latents}; got {checks.shown(hidden)}."
        )
    return num_latents, [checks.widths(widths, "each of hidden") for widths in hidden]


def _checked(posteriors, priors, likelihood):
    for name, densities in (("posteriors", posteriors), ("priors", priors)):
        if not isinstance(densities, (list, tuple)) or not densities:
            raise checks.InputError(
                f"{name} must be a sequence of densities, one for each group of z; got "
                f"{checks.shown(densities)}."
            )
        for i, density in enumerate(densities):
            checks.noun(density, Density, f"{name}[{i}]")
    checks.noun(likelihood, Density, "likelihood")
    if len(priors) != len(posteriors):
        raise checks.InputError(
            f"priors must be as many as posteriors, {len(posteriors)}; got {len(priors)}."
        )
    seeing = {f"posteriors[{i}]": q for i, q in enumerate(posteriors)} | {"likelihood": likelihood}
    for name, density in (seeing | {f"priors[{i}]": p for i, p in enumerate(priors[:-1])}).items():
        if density.cond_shape is None:
            raise checks.InputError(f"{name} must be a density under a condition; got none.")
    if priors[-1].cond_shape is not None:
        raise checks.InputError(
            f"priors[-1] must have no condition, since nothing is above z_{len(priors)}; got "
            f"cond_shape={priors[-1].cond_shape}."
        )
    return tuple(posteriors), tuple(priors)
