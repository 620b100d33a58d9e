"""Games on the plane: how many of the known modes each objective finds, on five seeds at once.

    python -m experiments.gans.plane

trains a GAN by every objective of GAMES (in the source) on three data sets: 8 Gaussians on a ring,
25 Gaussians on a grid (σ = 0.05, at a spacing of 1), and a Swiss roll. It takes about a quarter of
an hour on two CPU cores. All seeds of a game are trained in parallel under `vmap`. For 2500 samples
of each it reports, in results.json as toys.NAME.models.OBJECTIVE, lists over the seeds of

    modes       the number of centres with at least a tenth of an even share of good samples
    good_share  the share of samples within three deviations of a centre; of the data it is 0.989
    kl          KL(centres nearest to good samples ‖ uniform), in nats
    spread      the deviation of good samples around their centre, in units of σ; of the data it
                is 0.97 where centres are points, and of no meaning for the Swiss roll

The centres of the Swiss roll are 50 points at even distances along it, and a sample near the curve
is good.

Expect 25 of 25 modes and 0.77 to 0.92 of good samples on the grid from `clusters`, whose z is a
mixture; of the games with a Gaussian z expect 2 to 19 modes and 0.07 to 0.31 of good samples.

samples.png shows samples of the first seed. strip.png shows them as training proceeds, over the
values of the critic. --games and --toys select some of them; --num-steps trains longer.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import (
    checks,
    combinators,
    distributions,
    learning,
    nets,
    objectives,
    plots,
    protocol,
    runs,
)
from dgm_jax.runs import processes
from dgm_jax.runs.directory import defining
from experiments.options import check

NUM_JUDGED, NUM_SHOWN, RESOLUTION, FRAMES = 2500, 800, 60, 6
SPREAD = 0.07  # the deviation of each cluster of z
JUDGED = ("modes", "good_share", "kl", "spread")


# ---------------------------------------------------------------------------------------- targets
class Target(NamedTuple):
    """A mixture of isotropic Gaussians of one scale.

    Samples are drawn around `beads`, and judged by `centres`.
    """

    beads: np.ndarray  # [num, 2]
    centres: np.ndarray  # [modes, 2]
    scale: float
    bound: float  # pictures show [-bound, bound]²


def ring() -> Target:
    """Eight Gaussians at equal angles on a circle of radius 2."""
    angle = 2 * np.pi * np.arange(8) / 8
    centres = 2 * np.stack([np.cos(angle), np.sin(angle)], -1)
    return Target(centres, centres, 0.05, 2.8)


def grid() -> Target:
    """25 Gaussians at the points of {-2, ..., 2}²."""
    centres = np.stack(np.meshgrid(*[np.arange(-2.0, 3.0)] * 2), -1).reshape(-1, 2)
    return Target(centres, centres, 0.05, 2.8)


def roll() -> Target:
    """A spiral of 1.5 turns; 1000 beads at even distances along it stand for the curve."""
    turn = np.linspace(1.5 * np.pi, 4.5 * np.pi, 20_000)
    curve = turn[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1) / 6
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(curve, axis=0), axis=1).cumsum()])

    def at(num):
        places = (np.arange(num) + 0.5) / num * length[-1]
        return np.stack([np.interp(places, length, axis) for axis in curve.T], -1)

    return Target(at(1000), at(50), 0.05, 2.8)


TARGETS = {"ring": ring, "grid": grid, "roll": roll}


def drawn(target: Target, key: protocol.Key, num: int) -> protocol.Array:
    """num samples x [num, 2] of a target."""
    which_key, noise_key = jax.random.split(key)
    beads = jnp.asarray(target.beads, jnp.float32)
    which = jax.random.randint(which_key, (num,), 0, len(beads))
    return beads[which] + target.scale * jax.random.normal(noise_key, (num, 2))


def judged(target: Target, x: protocol.Rows) -> dict[str, protocol.Array]:
    """{"modes", "good_share", "kl", "spread"} of samples x [num, 2]."""
    distances = _distances(x, target.beads).min(1)
    good = distances < 3 * target.scale
    nearest = _distances(x, target.centres).argmin(1)
    num_centres = len(target.centres)
    counts = jnp.zeros(num_centres).at[nearest].add(good)
    shares = counts / jnp.maximum(counts.sum(), 1)
    return {
        "modes": (counts >= 0.1 * len(x) / num_centres).sum(),
        "good_share": good.mean(),
        "kl": jax.scipy.special.xlogy(shares, shares * num_centres).sum(),
        "spread": jnp.sqrt((good * distances**2).mean() / 2 / jnp.maximum(good.mean(), 1e-6))
        / target.scale,
    }


def _distances(x, centres):
    return jnp.linalg.norm(x[:, None] - jnp.asarray(centres, x.dtype), axis=-1)


# ------------------------------------------------------------------------------------------ games
class Play(NamedTuple):
    """An objective, and what regularises its critic."""

    game: objectives.Game
    penalty: Callable | None = None
    weight: float = 0.0
    clip: float | None = None  # the bound of the critic's weights
    num_updates: int = 1  # updates of the critic per step
    packed: int = 1  # samples that the critic sees together
    octaves: int = 0  # frequencies of sin and cos that the critic sees beside x
    clusters: int = 0  # clusters of z; 0 means one Gaussian


def both(
    critic: Callable, key: protocol.Key, real: protocol.Array, fake: protocol.Array
) -> protocol.Array:
    """R1 + R2: the penalties on the critic's gradient at data and at samples."""
    return objectives.r1(critic, key, real, fake) + objectives.r2(critic, key, real, fake)


def centred(critic: Callable, key: protocol.Key, real: protocol.Array, fake: protocol.Array) -> Any:
    """A gradient penalty that draws the norm of the gradient to 0."""
    return objectives.gradient_penalty(critic, key, real, fake, target=0.0)


GAMES = {  # functions, since the objectives take a second to load
    "minimax": lambda: Play(objectives.minimax()),
    "non-saturating": lambda: Play(objectives.non_saturating()),
    "smoothed labels": lambda: Play(objectives.non_saturating(smoothing=0.9)),
    "least squares": lambda: Play(objectives.least_squares()),
    "hinge": lambda: Play(objectives.hinge()),
    "wasserstein, clipped": lambda: Play(objectives.wasserstein(), clip=0.05, num_updates=3),
    "wasserstein, penalty": lambda: Play(
        objectives.wasserstein(), objectives.gradient_penalty, 1.0, num_updates=3
    ),
    "non-saturating, R1": lambda: Play(objectives.non_saturating(), objectives.r1, 0.1),
    "hinge, centred": lambda: Play(objectives.hinge(), centred, 0.1),
    "relativistic, R1 + R2": lambda: Play(objectives.relativistic(), both, 0.1),
    "packed": lambda: Play(objectives.non_saturating(), objectives.r1, 0.1, packed=2),
    "sines": lambda: Play(objectives.relativistic(), both, 0.1, octaves=5),
    "clusters": lambda: Play(objectives.relativistic(), both, 0.1, octaves=5, clusters=100),
}

IN_STRIP = ("minimax", "wasserstein, penalty", "non-saturating, R1", "clusters")


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    toys: tuple[Literal["ring", "grid", "roll"], ...] = ("ring", "grid", "roll")
    """which data to learn"""
    games: tuple[str, ...] = tuple(GAMES)
    """which objectives to train by, by their names in GAMES"""
    num_seeds: int = 5
    """seeds of each objective, trained in parallel"""
    num_steps: int = 3000
    """training steps, each with a turn of the critic and one of the generator"""
    batch_size: int = 128
    """examples per update"""
    hidden: tuple[int, ...] = (64, 64, 64)
    """widths of the hidden layers of both nets"""
    num_latents: int = 8
    """the number of entries of z"""
    learning_rate: float = 2e-3
    """the learning rate of Adam for both players; it decays to a fiftieth by a cosine"""
    ema_decay: float = 0.998
    """the decay of the moving average of the generator's parameters, which makes the samples"""


QUICK: dict[str, Any] = {
    "num_steps": 60,
    "num_seeds": 2,
    "hidden": (8,),
    "games": ("hinge", "packed", "clusters"),
}
QUICK |= {"toys": ("ring", "roll"), "batch_size": 16}


def clustered(generator: protocol.Net, num: int, dim: int) -> protocol.Net:
    """A generator of z [dim + 1] whose first entry selects one of `num` fixed points.

    The other entries are small Gaussian noise around this point, so the generator maps a mixture of
    small Gaussians. A continuous map of a single Gaussian puts samples between separate modes; a
    map of separate clusters need not. Gurumurthy et al. (2017), "DeLiGAN", where the points are
    learned.
    """
    centres = np.random.default_rng(0).normal(size=(num, dim)).astype(np.float32)

    def apply(params, z, key=None):
        which = jnp.minimum(jax.scipy.stats.norm.cdf(z[:, 0]) * num, num - 1).astype(int)
        return generator.apply(params, jnp.asarray(centres)[which] + SPREAD * z[:, 1:], key=key)

    return protocol.Net(generator.init, apply)


def build(config: Config, play: Play) -> protocol.Adversarial:
    """The model of an objective: prior, generator and critic."""
    activation = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    options: dict[str, Any] = {"hidden": config.hidden, "activation": activation}
    generator = nets.mlp(config.num_latents, 2, **options)
    net = nets.mlp(play.packed * (2 + 4 * play.octaves), 1, **options)

    def value(params, x, key=None):
        seen = x
        for octave in range(play.octaves):
            seen = jnp.concatenate([seen, jnp.sin(2.0**octave * x), jnp.cos(2.0**octave * x)], -1)
        return net.apply(params, seen.reshape(-1, play.packed * seen.shape[-1]), key=key)[:, 0]

    prior = distributions.standard_normal(config.num_latents + bool(play.clusters))
    if play.clusters:
        generator = clustered(generator, play.clusters, config.num_latents)
    return combinators.adversarial(prior, generator, protocol.Net(net.init, value))


def adam(config: Config, num_updates: int) -> optax.GradientTransformation:
    """Adam with b1 = 0, whose rate falls to a fiftieth in num_updates updates, by a cosine."""
    rate = optax.cosine_decay_schedule(config.learning_rate, num_updates, alpha=0.02)
    return optax.adam(rate, b1=0.0, b2=0.99)


def played(config: Config, play: Play, target: Target, chunk: int) -> protocol.Algorithm:
    """An `Algorithm` whose step is `chunk` steps of num_seeds games, each with its own data."""
    num_steps = chunks(config)[0] * chunk
    critic = adam(config, num_steps * play.num_updates)
    if play.clip is not None:
        critic = optax.chain(critic, learning.clip_weights(play.clip))
    one = learning.adversaries(
        build(config, play),
        play.game,
        critic=critic,
        generator=adam(config, num_steps),
        num_critic_updates=play.num_updates,
        penalty=play.penalty,
        penalty_weight=play.weight,
        ema_decay=config.ema_decay,
    )
    num_rows = config.batch_size * (play.num_updates + 1)

    def game_step(state, key):
        data_key, step_key = jax.random.split(key)
        return one.step(state, step_key, drawn(target, data_key, num_rows))

    def step(state, key, batch=None):
        keys = jax.random.split(key, (chunk, config.num_seeds))
        state, found = jax.lax.scan(jax.vmap(game_step), state, keys)
        return state, {
            name: x.sum() if "skipped" in name else x.mean() for name, x in found.items()
        }

    def init(key):
        return jax.vmap(one.init)(jax.random.split(key, config.num_seeds))

    return protocol.Algorithm(init, step, one.params)


def chunks(config: Config) -> tuple[int, int]:
    """The number of steps of `learning.train` (60 a game), and the training steps in each."""
    length = max(config.num_steps // 60, 1)
    return -(-config.num_steps // length), length


# --------------------------------------------------------------------------------------- training
class Fitted(NamedTuple):
    """The result of one objective: numbers of all seeds, and pictures of the first."""

    row: dict  # of results.json
    x: np.ndarray  # samples of the first seed
    frames: dict  # {"20 %": (samples, values of the critic [r, r])} of the first seed


def fit(config: Config, toy: str, name: str) -> Fitted:
    """Trains the games of an objective, one for each seed."""
    target, play = TARGETS[toy](), GAMES[name]()
    model, (num, length) = build(config, play), chunks(config)
    folder = config.directory / toy / name.replace(", ", "-").replace(" ", "-")
    look = jax.jit(jax.vmap(functools.partial(looked_at, model, target, play.packed)))
    frames, every = [], max(num // (FRAMES - 1), 1)
    print(f"{toy}, {name}: {num * length:,} steps of {config.num_seeds} seeds")

    def evaluate(params_and_state, key):
        found = look(params_and_state, jax.random.split(key, config.num_seeds))
        frames.append((np.asarray(found["x"][0]), np.asarray(found["values"][0])))
        return {name: float(found[name].mean()) for name in JUDGED}

    trained = learning.train(
        played(config, play, target, length),
        jax.random.key(config.seed),
        num_steps=num,
        evaluate=evaluate,
        eval_every=every,
        log_every=max(num // 20, 1),
        identity={"options": defining(config), "game": name, "toy": toy},
        workdir=folder,
        progress=config.progress,
        description=f"{toy}, {name}",
    )
    keys = jax.random.split(jax.random.key(config.seed + 1), config.num_seeds)
    found = jax.tree.map(np.asarray, look(trained.params, keys))
    row = {what: found[what].tolist() for what in JUDGED}
    row |= {"num_steps": num * length, "train_seconds": trained.seconds}
    return Fitted(row, found["x"][0], over_training(frames, num, every))


def over_training(frames: list, num: int, every: int) -> dict:
    """FRAMES of the evaluations, evenly chosen; none if a run was resumed from a checkpoint."""
    steps = [*range(0, num, every), num]
    if len(frames) != len(steps):
        return {}
    places = [i * (len(steps) - 1) // (FRAMES - 1) for i in range(FRAMES)]
    return {f"{100 * steps[i] // num} %": frames[i] for i in places}


def looked_at(
    model: protocol.Adversarial,
    target: Target,
    packed: int,
    params_and_state: tuple[dict[str, dict], dict[str, dict]],
    key: protocol.Key,
) -> dict[str, protocol.Array]:
    """The metrics of one seed, with samples and the critic's values for a picture."""
    params, state = params_and_state
    x = objectives.generated(model, params, state, key, NUM_JUDGED)
    cells = target.bound * (2 * (jnp.arange(RESOLUTION) + 0.5) / RESOLUTION - 1)
    places = jnp.repeat(jnp.stack(jnp.meshgrid(cells, cells), -1).reshape(-1, 2), packed, 0)
    values, _ = model.critic.apply(params["critic"], state["critic"], places, train=False)
    return judged(target, x) | {"x": x[:NUM_SHOWN], "values": values.reshape(RESOLUTION, -1)}


# --------------------------------------------------------------------------------------- pictures
def draw(config: Config, toys: Any) -> None:
    """Saves samples.png, by toy and objective, and strip.png, both players during training."""
    samples, bound = {}, max(TARGETS[toy]().bound for toy in toys)
    for toy, found in toys.items():
        data = drawn(TARGETS[toy](), jax.random.key(config.seed), NUM_SHOWN)
        samples[toy] = {"data": data} | {name: fitted.x for name, fitted in found.items()}
    bounds = (-bound, bound)
    plots.save(plots.planes(samples, bounds=bounds), config.directory / "samples.png")
    toy = "grid" if "grid" in toys else list(toys)[0]
    games = {name: toys[toy][name].frames for name in IN_STRIP if name in toys[toy]}
    if not games:
        print(f"no strip.png: it shows the games {'; '.join(IN_STRIP)}")
        return
    if resumed := [name for name, frames in games.items() if not frames]:
        print(
            f"no strip.png: {'; '.join(resumed)} was resumed, and samples of earlier steps are not "
            "kept; to draw it, run again with another --workdir"
        )
        return
    points, values = (
        {game: {when: both[i] for when, both in frames.items()} for game, frames in games.items()}
        for i in (0, 1)
    )
    title = "Samples over the critic's values: blue where it takes a point for data"
    figure = plots.planes(points, fields=values, bounds=bounds, title=title)
    plots.save(figure, config.directory / "strip.png")


def main(config: Config) -> dict:
    check(config, "toys", "games")
    for name in config.games:
        checks.choice(name, GAMES, "each of games")
    toys = {toy: {name: fit(config, toy, name) for name in config.games} for toy in config.toys}
    if processes.first():
        draw(config, toys)
    rows = {
        toy: {name: fitted.row for name, fitted in found.items()} for toy, found in toys.items()
    }
    return {"toys": {toy: {"models": models} for toy, models in rows.items()}}


def show(found: dict) -> None:
    for toy, told in found["toys"].items():
        rows = [
            {
                "game": name,
                "modes": " ".join(map(str, row["modes"])),
                "good": " ".join(f"{share:.2f}" for share in row["good_share"]),
                "KL, nats": f"{np.mean(row['kl']):.2f}",
                "steps": row["num_steps"],
                "seconds": round(row["train_seconds"]),
            }
            for name, row in told["models"].items()
        ]
        print(f"{toy}: {len(TARGETS[toy]().centres)} centres, each seed")
        runs.table(rows, list(rows[0]))


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=15)
