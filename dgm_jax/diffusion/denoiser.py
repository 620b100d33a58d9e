"""What a net predicts from x_t: the noise, the datum, v, the score or the velocity.

Every target is a combination of the two unknowns, target = a x + b ε, and x_t = α x + σ ε is
another; so any target, with x_t, gives both of them (Cramer's rule):

    target      a       b         x = (b x_t - σ target) / (b α - a σ)
    "noise"     0       1         ε = (α target - a x_t) / (b α - a σ)
    "data"      1       0
    "v"       -σ/r     α/r        r = √(α² + σ²); v is x_t / r turned by a right angle
    "score"     0     -1/σ        ∇ log q(x_t) = -E[ε | x_t] / σ
    "velocity"  α'      σ'        dx_t/dt, the direction of the ODE; of straight paths ε - x

The best value of each under a squared error is its conditional expectation given x_t, so that best
nets of all targets are one function; how errors at different t are weighted differs.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import in_a_row
from ..protocol import Array, Key, Net, Params, Shape, described
from .process import LearnedProcess, Process, beside, log_snr, slopes

TARGETS = ("noise", "data", "v", "score", "velocity")
MOST_LOG_SNR = 20.0  # what nets are told is cut there: at the ends of some processes λ is infinite


class Prediction(NamedTuple):
    """What a denoiser predicts from x_t = α_t x + σ_t ε; all arrays are [batch, *shape].

    data: E[x | x_t]
    noise: E[ε | x_t]. Together they satisfy α_t data + σ_t noise = x_t
    target: the output of the net, an estimate of the target that it was built with (`TARGETS`)
    fraction: with learned variances (`denoiser(..., learned_variance=True)`) the second half of the
        outputs, the weight f in log variance = f log β + (1 - f) log β̃ of a reverse step, with β =
        Var(x_t | x_s) and β̃ = Var(x_s | x_t, x); else None
    """

    data: Array  # E[x | x_t], [batch, *shape]
    noise: Array  # E[ε | x_t]
    target: Array  # E[a x + b ε | x_t]
    fraction: Array | None = None  # of a net that has learned variances: see `chain.variance`


class Denoiser(NamedTuple):
    """θ ↦ (α, σ), E_θ[x | x_t, c]: a noising process x_t = α_t x + σ_t ε, and a net to invert it.

    - `init(key)` -> params
    - `process(params)` -> Process, which has parameters if it is learned (`learned_log_snr`)
    - `predict(params, x_t, t, cond=None, *, key=None)` -> Prediction of x and ε, for x_t [batch,
      *shape] and times t [batch], or one time for all. key: for the dropout of the net
    - `shape`: the shape of one x
    - `target`: which quantity the net predicts, one of `TARGETS`
    - `cond_shape`: the shape of one condition c; None for an unconditional model

    Made by `denoiser`; losses, bounds, samplers and `ode_density` take it.
    """

    init: Callable[[Key], Params]
    process: Callable[[Params], Process]
    predict: Callable[..., Prediction]
    shape: Shape
    target: str
    cond_shape: Shape | None = None

    __repr__ = described


@checks.spelled
def denoiser(
    net: Net,
    shape: Shape,
    process: Process | LearnedProcess,
    *,
    target: str = "noise",
    learned_variance: bool = False,
    cond_shape: Shape | None = None,
) -> Denoiser:
    """E_θ[x | x_t, c] and E_θ[ε | x_t, c] of x_t = α_t x + σ_t ε, from a net of (x_t / r, λ_t).

    ε ~ N(0, I) is the noise, and r = √(α_t² + σ_t²) normalises the input. λ_t = log(α_t² / σ_t²),
    the log-SNR, clipped to [-20, 20], stands for the time, so that a net that was trained with one
    schedule may be used with another.

    net: apply(params, x [batch, *shape], λ [batch][, cond], key=None) -> [batch, *shape], such as
        `nets.unet` or `nets.time_mlp`
    shape: the shape of one x
    process: α and σ, fixed (such as `cosine()`) or learned. Parameters are those of the net, or
        with a `LearnedProcess` the dict {"net", "process"}
    target: the quantity a x + b ε that the net predicts: "noise" (ε), "data" (x), "v" ((α ε - σ x)
        / r), "score" (-ε / σ) or "velocity" (α' x + σ' ε, the derivative of x_t by t). With x_t
        each determines x and ε
    learned_variance: whether the net has twice as many outputs in the last axis; the second half
        is f in log v = f log β + (1 - f) log β̃, the variance of a reverse step from t to s < t,
        between β = Var(x_t | x_s) and β̃ = Var(x_s | x_t, x)
    cond_shape: the shape of one condition c of the net; None for none

    Returns a `Denoiser` with init(key) -> params, and predict(params, x_t, t, cond=None, key=None)
    -> `Prediction`, whose data (E[x | x_t]), noise (E[ε | x_t]), target and fraction (f, or None)
    are like x_t [batch, *shape]. Cost: one pass of the net per prediction. Outputs of another shape
    raise `InputError`. Ho et al. (2020), "Denoising diffusion probabilistic models"; Salimans and
    Ho (2022), "Progressive distillation", for "v".
    """
    checks.noun(net, Net, "net")
    learns = isinstance(process, LearnedProcess)
    if not learns:
        checks.noun(process, Process, "process")
    checks.choice(target, TARGETS, "target")
    shape = checks.shape(shape)
    learned_variance = checks.flag(learned_variance, "learned_variance")
    cond_shape = checks.cond_shape(cond_shape)

    def init(key):
        if not isinstance(process, LearnedProcess):
            return net.init(key)
        checks.key(key)
        net_key, process_key = jax.random.split(key)
        return {"net": net.init(net_key), "process": process.init(process_key)}

    def process_of(params):
        if isinstance(process, LearnedProcess):
            return process.process(params["process"])
        return process

    def predict(params, x, t, cond=None, *, key=None):
        checks.event_of(x, shape)
        checks.condition(cond, cond_shape)
        of_now = process_of(params)
        t = times_of(t, x, shape)
        conds = () if cond_shape is None else (cond,)
        of_net = params["net"] if learns else params
        out = net.apply(of_net, *seen(of_now, x, t), *conds, key=key)
        _check_out(out, x, learned_variance)
        value, fraction = jnp.split(out, 2, -1) if learned_variance else (out, None)
        return Prediction(*from_target(target, of_now, x, t, value), value, fraction)

    return Denoiser(init, process_of, predict, shape, target, cond_shape)


def seen(process: Process, x: Array, t: Array) -> tuple[Array, Array]:
    """(x_t / r, λ_t), r = √(α_t² + σ_t²), λ_t = log(α_t² / σ_t²) in [-20, 20]: the inputs of a net.

    process: α and σ; x: x_t [batch, *shape]; t: the times [batch]. The log-SNR λ_t is clipped,
        since it is infinite at the ends of some processes.
    """
    alpha, sigma = (beside(a, x) for a in (process.alpha(t), process.sigma(t)))
    told = jnp.clip(log_snr(process, t), -MOST_LOG_SNR, MOST_LOG_SNR)
    return x / jnp.sqrt(alpha**2 + sigma**2), told


def from_target(
    target: str, process: Process, x: Array, t: Array, value: Array
) -> tuple[Array, Array]:
    """(x, ε) of value = a_t x + b_t ε and x_t = α_t x + σ_t ε: both [batch, *shape].

    x = (b x_t - σ value) / (b α - a σ) and ε = (α value - a x_t) / (b α - a σ), by Cramer's rule.
    The inverse of `target_of`.

    target: which one, of `TARGETS`; it says what a and b are (`coefficients`)
    process: α and σ
    x, value: x_t and the value of the target, [batch, *shape]; t: the times [batch]
    """
    a, b = (beside(c, x) for c in coefficients(target, process, t))
    alpha, sigma = beside(process.alpha(t), x), beside(process.sigma(t), x)
    det = b * alpha - a * sigma
    return (b * x - sigma * value) / det, (alpha * value - a * x) / det


def target_of(target: str, process: Process, data: Array, noise: Array, t: Array) -> Array:
    """a_t x + b_t ε [batch, *shape]: what a net with a certain target should predict, from x and ε.

    target: which one, of `TARGETS`; it says what a and b are ("noise": a = 0, b = 1; see
        `coefficients`)
    process: α and σ, on which they depend
    data, noise: x and ε, [batch, *shape]; t: the times [batch]

    `from_target` is its inverse, given x_t. Raises `InputError` for another target.
    """
    a, b = (beside(c, data) for c in coefficients(target, process, t))
    return a * data + b * noise


def coefficients(target: str, process: Process, t: Array) -> tuple[Array, Array]:
    """(a, b) of the target a_t x + b_t ε that a net predicts, at times t, each like t.

    "noise": (0, 1). "data": (1, 0). "v": (-σ/r, α/r), r = √(α² + σ²). "score": (0, -1/σ).
    "velocity": (α', σ'), the derivatives by t. Raises `InputError` for another target.

    target: one of `TARGETS`; process: α and σ; t: times, of any shape
    """
    checks.choice(target, TARGETS, "target")
    t = jnp.asarray(t, float)
    zero, one = jnp.zeros_like(t), jnp.ones_like(t)
    if target == "noise":
        return zero, one
    if target == "data":
        return one, zero
    if target == "score":
        return zero, -1 / process.sigma(t)
    if target == "velocity":
        return slopes(process, t)
    alpha, sigma = process.alpha(t), process.sigma(t)
    r = jnp.sqrt(alpha**2 + sigma**2)
    return -sigma / r, alpha / r


def score(model: Denoiser, params: Params, x: Array, t: Array, cond: Array | None = None) -> Array:
    """∇ log q(x_t | c) = -E[ε | x_t, c] / σ_t, by the denoiser's prediction of ε; [batch, *shape].

    model: made by `denoiser`; params: its parameters
    x: x_t, noisy data [batch, *shape]
    t: the times, [batch], or one number for all. Between the ends of the process, so that σ_t > 0
    cond: c, [batch, *cond_shape], or None

    Cost: one pass of the net. Vincent (2011), "A connection between score matching and denoising
    autoencoders".
    """
    checks.noun(model, Denoiser, "model")
    checks.parameters(params, model.init)
    checks.event_of(x, model.shape)
    sigma = model.process(params).sigma(times_of(t, x, model.shape))
    return -model.predict(params, x, t, cond).noise / beside(sigma, x)


def noised(key: Key, process: Process, x: Array, t: Array) -> tuple[Array, Array]:
    """(x_t, ε) with x_t = α_t x + σ_t ε, ε ~ N(0, I): a sample of q(x_t | x), and its noise.

    key: draws ε
    process: α and σ
    x: data [batch, *shape], floating-point
    t: the times, [batch], or one number for all

    Both results are [batch, *shape].
    """
    checks.key(key)
    checks.noun(process, Process, "process")
    checks.rows_of(x, "x")
    checks.floating(x, "x")
    t = times_of(t, x, x.shape[1:])
    noise = in_a_row(jax.random.normal, key, x.shape, x.dtype)
    return beside(process.alpha(t), x) * x + beside(process.sigma(t), x) * noise, noise


def times_of(t: Array | float, x: Array, shape: Shape) -> Array:
    """The time of each row of x [batch, *shape], as [batch] in the dtype of x.

    t: [batch], or one number for all rows; shape: that of one event. Other shapes of t or x raise
        `InputError`.
    """
    if jnp.ndim(x) != len(shape) + 1:
        wanted = ", ".join(map(str, shape))
        raise checks.InputError(f"x must have shape [batch, {wanted}]; got {jnp.shape(x)}.")
    if not isinstance(t, (int, float)) or isinstance(t, bool):
        checks.numbers(t, "t")
    if jnp.shape(t) not in ((), x.shape[:1]):
        raise checks.InputError(
            f"t must be a number, or one for each of {len(x)} rows; got shape {jnp.shape(t)}."
        )
    return jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])


def _check_out(out, x, learned_variance):
    wanted = (*x.shape[:-1], x.shape[-1] * (2 if learned_variance else 1))
    if out.shape != wanted:
        raise checks.InputError(
            f"net must give outputs {wanted} for x {x.shape}"
            f"{', two for each entry with learned_variance' if learned_variance else ''}; got "
            f"{out.shape}."
        )
