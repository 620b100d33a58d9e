"""f-GANs in one dimension against quadrature, and the Wasserstein distance beside them.

    python -m experiments.gans.fdivergences

needs no data and takes three minutes of one CPU core. A Gaussian N(μ, σ²) is fitted to a mixture of
two Gaussians by each f-divergence D_f(data ‖ model), as in Nowozin et al. (2016), section 2.5: a
critic with two layers of 64 units (tanh) raises the variational bound, and the generator x = μ + σ
z lowers it. At the learned (μ, σ), the bound and the divergence are then computed as integrals over
a grid, so the bound must be the smaller one. The best (μ, σ) is found by gradient descent on the
divergence itself. Expect bounds that are less than 1 % below the divergence, and μ and σ within
0.03 of the best. The divergence of gan is given plus log 4, so that it is 0 if model and data
agree. The game of the total variation does not converge: its optimal critic is a step function,
whose slope tells the generator nothing. fits.png shows the mixture, the fits, and the optimal
critic T* beside the learned one.

distances.png is example 1 of Arjovsky et al. (2017): point masses at 0 and at θ have W_1 = |θ|, but
JSD = log 2 and KL = ∞ for every θ except 0. Beside them it shows the same for Gaussians of
deviation 0.1.

transport.png shows a WGAN-GP critic between two rings, where one is the other moved outwards by 2,
so that W_1 = 2 and the optimal critic is the radius. Its slope along the lines of transport is 1
(Gulrajani et al., 2017, proposition 1); with a penalty in place of a constraint it is somewhat
larger. Expect a slope of 1.1 and a distance of 2.2.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import combinators, distributions, learning, nets, objectives, plots, protocol, runs
from dgm_jax.runs import processes
from experiments.options import check

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Divergence = Literal[
    "kl",
    "reverse_kl",
    "jensen_shannon",
    "pearson",
    "hellinger",
    "gan",
    "total_variation",
    "alpha",
    "jeffreys",
]
PAPER = {  # D, bound, best and learned μ, best and learned σ of another mixture; recalled
    "kl": (0.2831, 0.2801, 1.0100, 1.0335, 1.8308, 1.8236),
    "reverse_kl": (0.2480, 0.2415, 1.5782, 1.5624, 1.6319, 1.6403),
    "jensen_shannon": (0.1280, 0.1226, 1.3070, 1.2854, 1.7542, 1.7659),
    "jeffreys": (0.5705, 0.5151, 1.3218, 1.2295, 1.7034, 1.8087),
    "pearson": (0.6457, 0.6379, 0.5737, 0.6157, 1.9274, 1.9031),
}


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    divergences: tuple[Divergence, ...] = get_args(Divergence)
    """which f-divergences to minimise"""
    alpha_order: float = 0.5
    """the order α of the divergence alpha"""
    num_steps: int = 4000
    """steps of the game, each with two updates of the critic and one of the generator"""
    batch_size: int = 512
    """samples per update"""
    learning_rate: float = 5e-3
    """the highest learning rate of Adam, for both players; it decays to 0 by a cosine"""
    transport_steps: int = 3000
    """training steps of the critic between two rings"""
    penalty: float = 10.0
    """the weight of the gradient penalty on the critic between two rings"""


QUICK = {"divergences": ("kl", "alpha"), "num_steps": 20, "batch_size": 16, "transport_steps": 20}
WEIGHTS, MEANS, SCALES = (np.array(a) for a in ((0.35, 0.65), (-1.25, 2.25), (0.6, 0.8)))
X = np.linspace(-12, 14, 5201)
CELL = X[1] - X[0]
LOG_4 = math.log(4)


# ------------------------------------------------------------------------------- by quadrature
def log_normal(x: protocol.Rows, mean: Any, scale: Any) -> protocol.Array:
    """log N(x; mean, scale²) of each entry of x."""
    return -0.5 * ((x - mean) / scale) ** 2 - jnp.log(scale) - 0.5 * math.log(2 * math.pi)


def log_data(x: np.ndarray) -> protocol.Array:
    """log p(x) of the mixture of two Gaussians, for each entry of x."""
    parts = log_normal(jnp.asarray(x)[..., None], MEANS, SCALES) + np.log(WEIGHTS)
    return jax.scipy.special.logsumexp(parts, axis=-1)


def quadrature(
    divergence: objectives.FDivergence, mean: float | protocol.Array, scale: float | protocol.Array
) -> protocol.Array:
    """D_f(data ‖ N(mean, scale²)), by a sum over the grid."""
    log_p, log_q = log_data(X), log_normal(X, mean, scale)
    ratio = jnp.exp(jnp.clip(log_p - log_q, -300, 300))
    return (jnp.exp(log_q) * divergence.f(ratio)).sum() * CELL


def best(divergence: objectives.FDivergence, start: Any = (1.0, 1.5)) -> tuple:
    """(mean, scale, divergence) at the lowest divergence, by gradient descent in float64."""
    adam = optax.adam(optax.cosine_decay_schedule(0.05, 1500))
    loss = lambda params: quadrature(divergence, params[0], jnp.exp(params[1]))

    def step(carry, _):
        params, state = carry
        updates, state = adam.update(jax.grad(loss)(params), state)
        return (params + updates, state), None

    def run(params):
        params, _ = jax.lax.scan(step, (params, adam.init(params)), None, length=1500)[0]
        return params[0], jnp.exp(params[1]), loss(params)

    with jax.enable_x64(True):
        return tuple(map(float, jax.jit(run)(jnp.array([start[0], math.log(start[1])]))))


def bound(divergence: Any, critic: np.ndarray, mean: float, scale: float) -> tuple[float, float]:
    """The bound E_data g_f(V) - E_model f*(g_f(V)) and the divergence, by quadrature in float64.

    critic: the values V of the critic on the grid.
    """
    v = np.asarray(critic, np.float64)
    with jax.enable_x64(True):
        p, q = jnp.exp(log_data(X)), jnp.exp(log_normal(X, mean, scale))
        t, conjugate = divergence.activation(v), divergence.conjugate_of_activation(v)
        return float((p * t - q * conjugate).sum() * CELL), float(
            quadrature(divergence, mean, scale)
        )


# ------------------------------------------------------------------------------------ the game
def gaussian_game() -> protocol.Adversarial:
    """The generator x = μ + e^s z, and a critic of x with two layers of 64 units."""
    generator = protocol.Net(
        lambda key: {"mean": jnp.zeros(()), "log_scale": jnp.zeros(())},
        lambda params, z, key=None: params["mean"] + jnp.exp(params["log_scale"]) * z,
    )
    return combinators.adversarial(distributions.standard_normal(1), generator, values_of(1))


def values_of(dim: int, hidden: tuple[int, int] = (64, 64)) -> protocol.Net:
    """A critic of x [n, dim] with hidden layers of tanh; its values are [n]."""
    net = nets.mlp(dim, 1, hidden=hidden, activation=jnp.tanh)
    return net._replace(apply=lambda params, x, key=None: net.apply(params, x, key=key)[..., 0])


def data(key: protocol.Key, num: int) -> protocol.Array:
    """Samples of the mixture, [num, 1]."""
    part_key, noise_key = jax.random.split(key)
    parts = jax.random.categorical(part_key, np.log(WEIGHTS), shape=(num,))
    noise = jax.random.normal(noise_key, (num,))
    return (jnp.asarray(MEANS)[parts] + jnp.asarray(SCALES)[parts] * noise)[:, None]


def play(
    config: Config, divergence: objectives.FDivergence, key: protocol.Key
) -> tuple[float, float, np.ndarray]:
    """(mean, scale, the critic's values on the grid) at the end of a game."""
    model, num_updates = gaussian_game(), 2
    adam = functools.partial(
        optax.cosine_decay_schedule, decay_steps=config.num_steps * num_updates
    )
    game = learning.adversaries(
        model,
        objectives.f_gan(divergence),
        critic=optax.adam(adam(config.learning_rate)),
        generator=optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.num_steps)),
        num_critic_updates=num_updates,
    )
    num = (num_updates + 1) * config.batch_size

    @jax.jit
    def run(key):
        draw = lambda key, t: data(key, num)
        params, state = game.params(learning.fit(game, key, draw, num_steps=config.num_steps)[0])
        grid = jnp.asarray(X[:, None], float)
        values, _ = model.critic.apply(params["critic"], state["critic"], grid, train=False)
        return params["generator"]["mean"], jnp.exp(params["generator"]["log_scale"]), values

    mean, scale, values = run(key)
    return float(mean), float(scale), np.asarray(values)


def fit(
    config: Config, name: str, divergence: objectives.FDivergence, key: protocol.Key
) -> tuple[dict[str, float], tuple[np.ndarray, np.ndarray]]:
    """The row of a divergence, and its critics (T*, learned) on the grid, at the learned (μ, σ)."""
    mean, scale, values = play(config, divergence, key)
    best_mean, best_scale, lowest = best(divergence)
    below, at = bound(divergence, values, mean, scale)
    shift = LOG_4 if name == "gan" else 0.0
    row = {
        "divergence": at + shift,
        "bound": below + shift,
        "lowest": lowest + shift,
        "mean": mean,
        "best_mean": best_mean,
        "scale": scale,
        "best_scale": best_scale,
    }
    with jax.enable_x64(True):
        log_ratio = log_data(X) - log_normal(X, mean, scale)
        critics = divergence.critic(log_ratio), divergence.activation(jnp.asarray(values))
    return row, tuple(map(np.asarray, critics))


def divergence_of(config: Config, name: str) -> objectives.FDivergence:
    """The f-divergence `name`, of order config.alpha_order if it is alpha."""
    alpha = config.alpha_order if name == "alpha" else None
    return objectives.f_divergence(name, alpha=alpha)


# ------------------------------------------------------------------------------ Wasserstein
def sorted_distance(x: np.ndarray, y: np.ndarray) -> float:
    """W_1 of two sets of equally many numbers: the mean of |x_(i) - y_(i)| over sorted values."""
    return float(np.abs(np.sort(x) - np.sort(y)).mean())


def in_one_dimension(config: Config) -> dict[str, float]:
    """W_1 of the mixture and N(1, 1): by sorted samples, and as ∫ |F - G|."""
    x_key, y_key = jax.random.split(jax.random.key(config.seed + 2))
    x, y = data(x_key, 100_000)[:, 0], 1 + jax.random.normal(y_key, (100_000,))
    cdf = lambda x, mean, scale: jax.scipy.stats.norm.cdf(x, mean, scale)
    of_data = (cdf(X[:, None], MEANS, SCALES) * WEIGHTS).sum(-1)
    integral = float(jnp.abs(of_data - cdf(X, 1.0, 1.0)).sum() * CELL)
    return {"sorted": sorted_distance(np.asarray(x), np.asarray(y)), "integral": integral}


def distances(thetas: list[float] | np.ndarray, scale: Any = 0.1) -> dict[str, list]:
    """{name: [its value for each θ]}, between N(0, scale²) and N(θ, scale²), by quadrature."""
    x = np.linspace(-2, 2, 8001)
    found = {"W_1": [], "JSD": [], "KL": []}
    for theta in thetas:
        log_p, log_q = (np.asarray(log_normal(x, m, scale), np.float64) for m in (0.0, theta))
        log_m = np.logaddexp(log_p, log_q) - math.log(2)
        kl = lambda a, b: float((np.exp(a) * (a - b)).sum() * (x[1] - x[0]))
        cdf = [(np.cumsum(np.exp(a)) * (x[1] - x[0])) for a in (log_p, log_q)]
        found["W_1"].append(float(np.abs(cdf[0] - cdf[1]).sum() * (x[1] - x[0])))
        found["JSD"].append((kl(log_p, log_m) + kl(log_q, log_m)) / 2)
        found["KL"].append(kl(log_p, log_q))
    return found


def ring(key: protocol.Key, num: int, low: float, high: float) -> protocol.Array:
    """Points [num, 2] whose angle is uniform, and whose radius is uniform from low to high."""
    angle_key, radius_key = jax.random.split(key)
    angle = jax.random.uniform(angle_key, (num,), maxval=2 * math.pi)
    radius = jax.random.uniform(radius_key, (num,), minval=low, maxval=high)
    return radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)


def transport(config: Config) -> tuple[dict[str, float], tuple[np.ndarray, protocol.Array]]:
    """A critic between rings of radius 0.5..1 and 2.5..3, and its slopes between the rings."""
    critic, game = values_of(2, (128, 128)), objectives.wasserstein()

    def loss(params, key, batch):
        of = functools.partial(critic.apply, params)
        real, fake = batch
        slope = objectives.gradient_penalty(of, key, real, fake)
        value = game.critic(of(real), of(fake))
        return value + config.penalty * slope, {"distance": -value}

    def draw(key, t):
        outer, inner = jax.random.split(key)
        return ring(outer, 256, 2.5, 3.0), ring(inner, 256, 0.5, 1.0)

    adam = optax.adam(optax.cosine_decay_schedule(1e-3, config.transport_steps), b1=0.5, b2=0.9)
    descent = learning.gradient_descent(critic.init, loss, adam)

    @jax.jit
    def run(key):
        fit_key, start_key, ends_key, share_key = jax.random.split(key, 4)
        params = learning.fit(descent, fit_key, draw, num_steps=config.transport_steps)[0].params
        inner = ring(start_key, 4000, 0.5, 1.0)
        outwards = inner / jnp.linalg.norm(inner, axis=-1, keepdims=True)
        between = inner + 2 * jax.random.uniform(share_key, (4000, 1)) * outwards
        slopes = jax.vmap(jax.grad(lambda x: critic.apply(params, x)))(between)
        of = functools.partial(critic.apply, params)
        return params, {
            "distance": of(ring(ends_key, 4000, 2.5, 3.0)).mean() - of(inner).mean(),
            "norm": jnp.linalg.norm(slopes, axis=-1).mean(),
            "norm_std": jnp.linalg.norm(slopes, axis=-1).std(),
            "cosine": ((slopes * outwards).sum(-1) / jnp.linalg.norm(slopes, axis=-1)).mean(),
        }

    params, found = run(jax.random.key(config.seed + 1))
    axis = np.linspace(-3.5, 3.5, 71, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    return {name: float(x) for name, x in found.items()}, (axis, critic.apply(params, grid))


# ------------------------------------------------------------------------------------ pictures
def panel(
    figure: Figure, place: tuple[int, int, int], title: str, xlabel: str, ylabel: str
) -> Axes:
    """Axes at place = (rows, columns, number) of a figure, with a title and labels."""
    axes = figure.add_subplot(*place)
    axes.set_title(title, fontsize=11, color=plots.INK)
    axes.set_xlabel(xlabel, color=plots.INK)
    axes.set_ylabel(ylabel, color=plots.INK)
    plots.plain(axes, frame=True)
    return axes


def draw_fits(rows: dict[str, dict], critics: dict[str, tuple]) -> Figure:
    """Left the mixture and its fits, right T* and the learned critic of three divergences."""
    figure = plots.new_figure((10.5, 4.0), dpi=110, layout="constrained")
    left = panel(figure, (1, 2, 1), "the mixture, and its fits", "x", "density")
    right = panel(figure, (1, 2, 2), "critics: T* (dotted), learned", "x", "T(x)")
    left.fill_between(X, np.exp(log_data(X)), color="0.85", lw=0, label="the mixture")
    for i, (name, row) in enumerate(rows.items()):
        rounds, colour = divmod(i, len(plots.COLOURS))
        colour, dashes = plots.COLOURS[colour], "--" if rounds else "-"
        density = np.exp(log_normal(X, row["mean"], row["scale"]))
        left.plot(X, density, dashes, color=colour, lw=1.4, label=name)
        if name in ("kl", "jensen_shannon", "hellinger"):
            right.plot(X, critics[name][0], ":", color=colour, lw=2.2)
            right.plot(X, critics[name][1], color=colour, lw=1.4, label=name)
    left.set(xlim=(-5, 7))
    right.set(xlim=(-3.5, 5.5), ylim=(-5, 3))
    left.legend(frameon=False, fontsize=9, loc="upper right", bbox_to_anchor=(-0.15, 1.0))
    if right.lines:
        right.legend(frameon=False, fontsize=9)
    return figure


def draw_distances(thetas: np.ndarray, smooth: dict[str, list]) -> Figure:
    """W_1, JSD and KL against θ: left of point masses, right of narrow Gaussians."""
    figure = plots.new_figure((10.5, 3.6), dpi=110, layout="constrained")
    points = {"W_1": np.abs(thetas), "JSD": np.where(thetas == 0, np.nan, math.log(2))}
    left = panel(figure, (1, 2, 1), "point masses at 0 and θ", "θ", "distance")
    right = panel(figure, (1, 2, 2), "Gaussians of deviation 0.1 there", "θ", "distance")
    for axes, lines in ((left, points), (right, smooth)):
        for colour, (name, values) in zip(plots.COLOURS, lines.items()):
            axes.plot(thetas, values, color=colour, lw=1.8, label=name.replace("_1", "₁"))
        axes.set(ylim=(-0.05, 1.5))
    left.plot(0, 0, "o", color=plots.COLOURS[1], ms=5)
    left.plot([], [], " ", label="KL = ∞ but at θ = 0")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=10)
    return figure


def draw_transport(axis: np.ndarray, values: Any) -> Figure:
    """The critic's values [y, x] on the plane, with its gradient as arrows, and both rings."""
    figure = plots.new_figure((4.6, 4.0), dpi=110, layout="constrained")
    axes = panel(figure, (1, 1, 1), "a critic D between two rings, arrows ∇D", "", "")
    values = np.asarray(values)
    levels = axes.contourf(axis, axis, values, levels=20, cmap="viridis")
    figure.colorbar(levels, ax=axes, label="D(x)")
    down, across = np.gradient(values, axis, axis)
    some = slice(5, None, 6)
    axes.quiver(
        axis[some], axis[some], across[some, some], down[some, some], color="0.85", width=0.004
    )
    for radius in (0.5, 1.0, 2.5, 3.0):
        around = np.linspace(0, 2 * math.pi, 200)
        axes.plot(radius * np.cos(around), radius * np.sin(around), color="white", lw=1)
    axes.set(aspect="equal")
    return figure


# --------------------------------------------------------------------------------------- the run
def show(found: dict[str, dict]) -> None:
    rows = []
    for name, r in found["divergences"].items():
        short = 1 - r["bound"] / r["divergence"]
        paper = PAPER.get(name)
        rows.append(
            {
                "divergence": name,
                "D at the fit": f"{r['divergence']:.4f}",
                "bound": f"{r['bound']:.4f}",
                "short by": f"{short:.1%}",
                "lowest D": f"{r['lowest']:.4f}",
                "μ (best)": f"{r['mean']:.3f} ({r['best_mean']:.3f})",
                "σ (best)": f"{r['scale']:.3f} ({r['best_scale']:.3f})",
                "paper's D, bound": f"{paper[0]:.4f}, {paper[1]:.4f}" if paper else "",
            }
        )
    runs.table(rows, list(rows[0]))
    line, t = found["one_dimension"], found["transport"]
    print(
        f"W_1 of the mixture and N(1, 1): {line['sorted']:.4f} by sorted samples, "
        f"{line['integral']:.4f} by an integral.\nCritic between the rings: it estimates "
        f"{t['distance']:.3f} where W_1 = 2; its gradient has the norm {t['norm']:.3f} ± "
        f"{t['norm_std']:.3f} and the cosine {t['cosine']:.3f} with the direction of transport.\n"
        "The paper's figures are for another mixture."
    )


def main(config: Config) -> dict:
    check(config, "divergences")
    divergences = {name: divergence_of(config, name) for name in config.divergences}
    rows, critics = {}, {}
    for i, (name, divergence) in enumerate(divergences.items()):
        key = jax.random.fold_in(jax.random.key(config.seed), i)
        rows[name], critics[name] = fit(config, name, divergence, key)
        print(f"{name}: {rows[name]}")
    moved, grid = transport(config)
    thetas = np.linspace(-1, 1, 81)
    if processes.first():
        for file, figure in (
            ("fits", draw_fits(rows, critics)),
            ("distances", draw_distances(thetas, distances(thetas))),
            ("transport", draw_transport(*grid)),
        ):
            plots.save(figure, config.directory / f"{file}.png")
    return {"divergences": rows, "one_dimension": in_one_dimension(config), "transport": moved}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
