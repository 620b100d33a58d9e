"""D_f(P ‖ Q) = E_Q f(p(x) / q(x)), its lower bound by a critic, and the game that minimises it.

For a convex f with the conjugate f*(t) = sup_u [u t - f(u)], and any critic T into its domain,

    D_f(P ‖ Q) ≥ E_P T(x) - E_Q f*(T(x)),     with equality at T* = f'(p / q).

So a divergence of two distributions of which only samples are known has a lower bound, which a
better critic makes tighter (Nguyen, Wainwright and Jordan, 2010). A net returns any real v; the
activation g_f maps it into the domain of f*.

    name             f(u)                           T* by r = log p/q    f*(t)            domain
    kl               u log u                        1 + r                e^(t-1)          R
    reverse_kl       -log u                         -e^-r                -1 - log(-t)     t < 0
    jeffreys         (u - 1) log u                  1 + r - e^-r         1/W + W + t - 2  R
    pearson          (u - 1)²                       2 (e^r - 1)          t²/4 + t         R
    hellinger        (√u - 1)²                      1 - e^(-r/2)         t / (1 - t)      t < 1
    jensen_shannon   u log u - (1+u) log((1+u)/2)   log 2 + log σ(r)     -log(2 - e^t)    t < log 2
    gan              u log u - (1+u) log(1+u)       log σ(r)             -log(1 - e^t)    t < 0
    total_variation  |u - 1| / 2                    ½ sign r             t                |t| ≤ ½
    alpha            (u^α - 1 - α (u-1)) / (α² - α) see `f_divergence`

jensen_shannon is KL(P ‖ M) + KL(Q ‖ M) with M = (P + Q) / 2, which is 2 JSD; gan is 2 JSD - log 4,
the value of the game of Goodfellow et al. (2014), and the only one with f(1) ≠ 0. jeffreys is the
symmetric KL(P ‖ Q) + KL(Q ‖ P); W is Lambert's function at e^(1-t), the root of W + log W = 1 - t.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, softplus
from jax.scipy.special import xlogy

from .. import checks
from ..protocol import Array, described
from .adversarial import Game

LOG_2 = math.log(2)


class FDivergence(NamedTuple):
    """D_f(P ‖ Q) = E_Q f(p / q) for a convex f, and what a critic needs to bound it from below.

    The bound is E_P T - E_Q f*(T) for any T with values in the domain of the conjugate f*(t) =
    sup_u [u t - f(u)]. Functions are element-wise.

    name: of the divergence, such as "kl"
    f: u ↦ f(u) for u = p / q ≥ 0
    critic: r ↦ T* = f'(e^r) for r = log p / q, the best T
    conjugate: t ↦ f*(t), for t in the domain
    domain: (low, high), the interval of t where f* is finite, open at an end where it is infinite
    activation: v ↦ g_f(v), from any real number into the domain, increasing: the last layer of a
        net T
    conjugate_of_activation: v ↦ f*(g_f(v)), computed without overflow

    Made by `f_divergence`.
    """

    name: str
    f: Callable[[Array], Array]  # of u = p / q ≥ 0
    critic: Callable[[Array], Array]  # the best one, T* = f'(p / q), of log p / q
    conjugate: Callable[[Array], Array]  # f*, of t in the domain
    domain: tuple[float, float]  # of f*: an interval, open where f* is infinite at its end
    activation: Callable[[Array], Array]  # g_f: any number -> the domain, increasing
    conjugate_of_activation: Callable[[Array], Array]  # v ↦ f*(g_f(v)), without overflow

    __repr__ = described


def f_divergence(name: str, *, alpha: float | None = None) -> FDivergence:
    """The functions f, f* and T* of an f-divergence D_f(P ‖ Q) = E_Q f(p / q), by its name.

    Here f*(t) = sup_u [u t - f(u)] is the conjugate of f, and T* = f'(p / q) the critic for which
    the bound E_P T - E_Q f*(T) of D_f is tight. With u = p / q:

        name             f(u)                               D_f
        kl               u log u                            KL(P ‖ Q)
        reverse_kl       -log u                             KL(Q ‖ P)
        jeffreys         (u - 1) log u                      KL(P ‖ Q) + KL(Q ‖ P)
        pearson          (u - 1)²                           ∫ (p - q)² / q
        hellinger        (√u - 1)²                          ∫ (√p - √q)²
        jensen_shannon   u log u - (1 + u) log((1 + u)/2)   2 JSD
        gan              u log u - (1 + u) log(1 + u)       2 JSD - log 4
        total_variation  |u - 1| / 2                        ½ ∫ |p - q|
        alpha            (u^α - 1 - α (u-1)) / (α² - α)     KL(P ‖ Q) at α → 1, KL(Q ‖ P) at 0

    name: one of these
    alpha: α, for "alpha" only, any number except 0 and 1; 2 is half of "pearson", ½ twice
        "hellinger". With β = α - 1 and r = log p / q, T* = (e^{β r} - 1) / β and f*(t) = ((1 + β
        t)^(α/β) - 1) / α where 1 + β t > 0

    Returns an `FDivergence`, the argument `divergence` of `f_gan` and `f_bound`, with the functions
    `f`, `critic` (log p/q ↦ T*), `conjugate` f* and its `domain`, `activation` and
    `conjugate_of_activation`. The activation, which maps the value v of a net into the domain of
    f*, is that of Nowozin et al. (2016), "f-GAN", table 6, except for "jeffreys", where v is r
    itself, so that a net need not reach -e^-r, and for "alpha", where v is divided by max(1, |α|,
    |β|), so that nothing overflows for |v| ≤ 80. Raises `ValueError` for another name or α.
    """
    checks.choice(name, NAMES, "name")
    if name == "alpha":
        return _alpha(alpha)
    if alpha is not None:
        raise checks.InputError(f"alpha is of the divergence 'alpha' only; got it with {name!r}.")
    return TABLE[name]


def f_bound(divergence: FDivergence, values_p: Array, values_q: Array) -> Array:
    """E_P g_f(V(x)) - E_Q f*(g_f(V(x))) ≤ D_f(P ‖ Q), in expectation, from samples of both.

    f* is the conjugate of f, and g_f maps any real number into its domain. The bound is tight if
    g_f(V) = f'(p / q).

    divergence: f, made by `f_divergence`
    values_p, values_q: outputs V of a net at samples of P and of Q, any shapes, before g_f

    Returns a scalar, in nats for the divergences that are a KL. Raises `ValueError` for empty or
    integer values. Nowozin, Cseke and Tomioka (2016), "f-GAN", equation 6.
    """
    checks.noun(divergence, FDivergence, "divergence")
    checks.floating(values_p, "values_p")
    checks.floating(values_q, "values_q")
    checks.rows_of(values_p, "values_p")
    checks.rows_of(values_q, "values_q")
    of_p = divergence.activation(jnp.asarray(values_p))
    of_q = divergence.conjugate_of_activation(jnp.asarray(values_q))
    return of_p.mean() - of_q.mean()


def f_gan(divergence: FDivergence, *, saturating: bool = True) -> Game:
    """min_G max_V E_data g_f(V(x)) - E_z f*(g_f(V(G(z)))): the game that minimises a divergence.

    The critic's value V(x) is any real number. V maximises the bound `f_bound` of D_f(data ‖
    samples), where f* is the conjugate of f and g_f, the activation, maps V into its domain.

    divergence: f, made by `f_divergence`
    saturating: with True the generator minimises the second term, -E f*(g_f(V(G(z)))). With False
        it minimises -E g_f(V(G(z))) instead, as the generator of `non_saturating` does (section 3.2
        of the paper); the fixed point, where samples are distributed as data, is the same, and the
        gradient does not vanish if V separates samples from data

    Returns a `Game`, for `critic_loss` and `generator_loss`: a pair of functions of the values V at
    data, real [batch], and at samples, fake [batch]. critic(real, fake) is the negative bound and
    generator(fake, real) the loss above, both scalars to be minimised, means over the batch. For
    "gan" the game is `minimax`, and with saturating=False `non_saturating`. Nowozin, Cseke and
    Tomioka (2016), "f-GAN: training generative neural samplers using variational divergence
    minimization".
    """
    checks.noun(divergence, FDivergence, "divergence")
    saturating = checks.flag(saturating, "saturating")

    def critic(real_values, fake_values):
        return -f_bound(divergence, real_values, fake_values)

    def generator(fake_values, real_values):
        if saturating:
            return -divergence.conjugate_of_activation(fake_values).mean()
        return -divergence.activation(fake_values).mean()

    return Game(critic, generator)


def _same(v):
    return v


@jax.custom_jvp
def _log_lambert(y):
    """log W(e^y) = s, the root of e^s + s = y, by Newton's iterations from above, where e^s is.

    The left side is convex and rises, so that they fall to the root; six are exact in float64.
    """
    s = jnp.where(y > 1, jnp.log(jnp.maximum(y, 1)), y)
    for _ in range(6):
        s = s - (jnp.exp(s) + s - y) / (jnp.exp(s) + 1)
    return s


@_log_lambert.defjvp
def _of_the_root(primals, tangents):
    """ds/dy = 1 / (e^s + 1), of the equation and not of its iterations."""
    s = _log_lambert(*primals)
    return s, tangents[0] * jax.nn.sigmoid(-s)


def _conjugate_of_jeffreys(t):
    """1/W + W + t - 2 as 1/W - 1 - log W: W + log W is 1 - t."""
    s = _log_lambert(1 - t)
    return jnp.expm1(-s) - s


TABLE = {
    "kl": FDivergence(
        "kl",
        lambda u: xlogy(u, u),
        lambda r: 1 + r,
        lambda t: jnp.exp(t - 1),
        (-math.inf, math.inf),
        _same,
        lambda v: jnp.exp(v - 1),
    ),
    "reverse_kl": FDivergence(
        "reverse_kl",
        lambda u: -jnp.log(u),
        lambda r: -jnp.exp(-r),
        lambda t: -1 - jnp.log(-t),
        (-math.inf, 0.0),
        lambda v: -jnp.exp(-v),
        lambda v: v - 1,
    ),
    "jeffreys": FDivergence(
        "jeffreys",
        lambda u: (u - 1) * jnp.log(u),
        lambda r: 1 + r - jnp.exp(-r),
        _conjugate_of_jeffreys,
        (-math.inf, math.inf),
        lambda v: 1 + v - jnp.exp(-v),
        lambda v: jnp.expm1(v) + v,
    ),
    "pearson": FDivergence(
        "pearson",
        lambda u: jnp.square(u - 1),
        lambda r: 2 * jnp.expm1(r),
        lambda t: t**2 / 4 + t,
        (-math.inf, math.inf),
        _same,
        lambda v: v**2 / 4 + v,
    ),
    "hellinger": FDivergence(
        "hellinger",
        lambda u: jnp.square(jnp.sqrt(u) - 1),
        lambda r: -jnp.expm1(-r / 2),
        lambda t: t / (1 - t),
        (-math.inf, 1.0),
        lambda v: -jnp.expm1(-v),
        jnp.expm1,
    ),
    "jensen_shannon": FDivergence(
        "jensen_shannon",
        lambda u: xlogy(u, u) - (1 + u) * jnp.log((1 + u) / 2),
        lambda r: LOG_2 + log_sigmoid(r),
        lambda t: -jnp.log(2 - jnp.exp(t)),
        (-math.inf, LOG_2),
        lambda v: LOG_2 + log_sigmoid(v),
        lambda v: softplus(v) - LOG_2,
    ),
    "gan": FDivergence(
        "gan",
        lambda u: xlogy(u, u) - (1 + u) * jnp.log1p(u),
        log_sigmoid,
        lambda t: -jnp.log(-jnp.expm1(t)),
        (-math.inf, 0.0),
        log_sigmoid,
        softplus,
    ),
    "total_variation": FDivergence(
        "total_variation",
        lambda u: jnp.abs(u - 1) / 2,
        lambda r: jnp.sign(r) / 2,
        _same,
        (-0.5, 0.5),
        lambda v: jnp.tanh(v) / 2,
        lambda v: jnp.tanh(v) / 2,
    ),
}
NAMES = (*TABLE, "alpha")


def _alpha(alpha):
    a = checks.number(alpha, "alpha")
    if a in (0, 1):
        raise checks.InputError(
            f"alpha must not be 0 or 1, where the divergence is a limit; got {alpha!r}. Take "
            f"{('reverse_kl', 'kl')[int(a)]!r}."
        )
    b = a - 1
    scale = max(1.0, abs(a), abs(b))

    def critic(r):
        return jnp.expm1(b * r) / b

    def conjugate(t):
        return (jnp.power(1 + b * t, a / b) - 1) / a

    return FDivergence(
        "alpha",
        lambda u: (jnp.power(u, a) - 1 - a * (u - 1)) / (a * b),
        critic,
        conjugate,
        (-1 / b, math.inf) if b > 0 else (-math.inf, -1 / b),
        lambda v: critic(v / scale),
        lambda v: jnp.expm1(a / scale * v) / a,
    )
