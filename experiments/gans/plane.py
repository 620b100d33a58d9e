"""Games on the plane: what each objective finds of modes that are known, on five seeds at once.

    python -m experiments.gans.plane

plays every objective of GAMES on 8 Gaussians on a ring, on 25 Gaussians on a grid (σ = 0.05 at a
spacing of 1) and on a Swiss roll; it is sized for a quarter of an hour on two CPU cores. The seeds
of a game play side by side under `vmap`, tens of steps a call. Of 2500 samples of each it tells

    modes       how many of the centres have at least a tenth of their even share of good samples
    good_share  samples within three deviations of a centre; the data have 0.989
    kl          of the centres nearest to good samples from the even distribution, in nats
    spread      of good samples around their centre, in deviations; of the data 0.97, if the centres
                are points, and a curve has no spread along it

as lists over the seeds, in results.json as toys.NAME.models.OBJECTIVE, where the grid is the toy
`grid`. The centres of the Swiss roll are 50 points at even distances along it, and good is what is
near the curve.

Expect 25 of 25 modes and 0.77 to 0.92 of good samples on the grid from `clusters`; of the games
without them 2 to 19 modes and 0.07 to 0.31.

It leaves samples.png, of the first seed, and strip.png: its samples over the critic's values, blue
where that takes them for data, as the game goes on. --games and --toys take some of them;
--num-steps plays longer.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

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
SPREAD = 0.07  # of each cluster of z
JUDGED = ("modes", "good_share", "kl", "spread")


# ---------------------------------------------------------------------------------------- targets
class Target(NamedTuple):
    """A mixture of round Gaussians of one scale. `beads` draw, `centres` judge."""

    beads: np.ndarray  # [num, 2]
    centres: np.ndarray  # [modes, 2]
    scale: float
    bound: float  # of pictures


def ring():
    angle = 2 * np.pi * np.arange(8) / 8
    centres = 2 * np.stack([np.cos(angle), np.sin(angle)], -1)
    return Target(centres, centres, 0.05, 2.8)


def grid():
    centres = np.stack(np.meshgrid(*[np.arange(-2.0, 3.0)] * 2), -1).reshape(-1, 2)
    return Target(centres, centres, 0.05, 2.8)


def roll():
    """A spiral of 1.5 turns, at even distances along it; 1000 beads stand for the curve."""
    turn = np.linspace(1.5 * np.pi, 4.5 * np.pi, 20_000)
    curve = turn[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1) / 6
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(curve, axis=0), axis=1).cumsum()])

    def at(num):
        places = (np.arange(num) + 0.5) / num * length[-1]
        return np.stack([np.interp(places, length, axis) for axis in curve.T], -1)

    return Target(at(1000), at(50), 0.05, 2.8)


TARGETS = {"ring": ring, "grid": grid, "roll": roll}


def drawn(target, key, num):
    """x [num, 2]."""
    which_key, noise_key = jax.random.split(key)
    beads = jnp.asarray(target.beads, jnp.float32)
    which = jax.random.randint(which_key, (num,), 0, len(beads))
    return beads[which] + target.scale * jax.random.normal(noise_key, (num, 2))


def judged(target, x):
    """{"modes", "good_share", "kl"} of samples x [num, 2]."""
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
    """An objective with what holds its critic."""

    game: "objectives.Game"
    penalty: Callable | None = None
    weight: float = 0.0
    clip: float | None = None  # of the critic's weights
    num_updates: int = 1  # of the critic in a step
    packed: int = 1  # samples that the critic sees together
    octaves: int = 0  # sines that the critic sees beside x
    clusters: int = 0  # of z; 0 is one Gaussian


def both(critic, key, real, fake):
    """R1 + R2."""
    return objectives.r1(critic, key, real, fake) + objectives.r2(critic, key, real, fake)


def centred(critic, key, real, fake):
    """A gradient penalty whose target is a slope of 0."""
    return objectives.gradient_penalty(critic, key, real, fake, target=0.0)


GAMES = {  # made when they are played: the objectives take a second to load
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
    toys: tuple[Literal["ring", "grid", "roll"], ...] = tuple(TARGETS)
    """what is learned"""
    games: tuple[str, ...] = tuple(GAMES)
    """objectives, by their names in GAMES"""
    num_seeds: int = 5
    """games of each objective, side by side"""
    num_steps: int = 3000
    """a game: each has a turn of the critic and one of the generator"""
    batch_size: int = 128
    """examples an update"""
    hidden: tuple[int, ...] = (64, 64, 64)
    """widths of both nets"""
    num_latents: int = 8
    """numbers in z"""
    learning_rate: float = 2e-3
    """of Adam for both players; falls to a fiftieth as a cosine"""
    ema_decay: float = 0.998
    """of the generator's average, which makes the samples"""


QUICK = {"num_steps": 60, "num_seeds": 2, "hidden": (8,), "games": ("hinge", "packed", "clusters")}
QUICK |= {"toys": ("ring", "roll"), "batch_size": 16}


def clustered(generator, num, dim):
    """A generator of z [dim + 1], whose first number picks one of `num` points for the others.

    So the z that it maps is a mixture of small Gaussians around points drawn once. A continuous
    map of one Gaussian puts samples between separate modes; of separate clusters it need not.
    Gurumurthy et al. (2017), "DeLiGAN", where the points are learned.
    """
    centres = np.random.default_rng(0).normal(size=(num, dim)).astype(np.float32)

    def apply(params, z, key=None):
        which = jnp.minimum(jax.scipy.stats.norm.cdf(z[:, 0]) * num, num - 1).astype(int)
        return generator.apply(params, jnp.asarray(centres)[which] + SPREAD * z[:, 1:], key=key)

    return protocol.Net(generator.init, apply)


def build(config: Config, play: Play):
    """The model that plays."""
    activation = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    options = {"hidden": config.hidden, "activation": activation}
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


def adam(config, num_updates):
    rate = optax.cosine_decay_schedule(config.learning_rate, num_updates, alpha=0.02)
    return optax.adam(rate, b1=0.0, b2=0.99)


def played(config, play, target, chunk):
    """An `Algorithm` whose step is `chunk` steps of num_seeds games, each with data of its own."""
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


def chunks(config):
    """(how many, their length): 60 a game, so that rows and checkpoints come now and then."""
    length = max(config.num_steps // 60, 1)
    return -(-config.num_steps // length), length


# --------------------------------------------------------------------------------------- training
class Fitted(NamedTuple):
    row: dict  # of results.json
    x: np.ndarray  # samples of the first seed
    frames: dict  # {"20 %": (samples, values of the critic [r, r])} of the first seed


def fit(config, toy, name):
    """The games of an objective, one for each seed."""
    target, play = TARGETS[toy](), GAMES[name]()
    model, (num, length) = build(config, play), chunks(config)
    folder = config.workdir / toy / name.replace(", ", "-").replace(" ", "-")
    look = jax.jit(jax.vmap(functools.partial(looked_at, model, target, play.packed)))
    frames, every = [], max(num // (FRAMES - 1), 1)

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


def over_training(frames, num, every):
    """FRAMES of those of all evaluations; none, if a run went on from a checkpoint."""
    steps = [*range(0, num, every), num]
    if len(frames) != len(steps):
        return {}
    places = [i * (len(steps) - 1) // (FRAMES - 1) for i in range(FRAMES)]
    return {f"{100 * steps[i] // num} %": frames[i] for i in places}


def looked_at(model, target, packed, params_and_state, key):
    """What is judged of one seed; samples and the critic's values for a picture."""
    params, state = params_and_state
    x = objectives.generated(model, params, state, key, NUM_JUDGED)
    cells = target.bound * (2 * (jnp.arange(RESOLUTION) + 0.5) / RESOLUTION - 1)
    places = jnp.repeat(jnp.stack(jnp.meshgrid(cells, cells), -1).reshape(-1, 2), packed, 0)
    values, _ = model.critic.apply(params["critic"], state["critic"], places, train=False)
    return judged(target, x) | {"x": x[:NUM_SHOWN], "values": values.reshape(RESOLUTION, -1)}


# --------------------------------------------------------------------------------------- pictures
def draw(config, toys):
    """samples.png by toy and objective, and strip.png: both players as games go on."""
    samples, bound = {}, max(TARGETS[toy]().bound for toy in toys)
    for toy, found in toys.items():
        data = drawn(TARGETS[toy](), jax.random.key(config.seed), NUM_SHOWN)
        samples[toy] = {"data": data} | {name: fitted.x for name, fitted in found.items()}
    bounds = (-bound, bound)
    plots.save(plots.planes(samples, bounds=bounds), config.workdir / "samples.png")
    toy = "grid" if "grid" in toys else list(toys)[0]
    games = {name: toys[toy][name].frames for name in IN_STRIP if name in toys[toy]}
    if not games or not all(games.values()):
        return print("no strip: these games are not in it, or some went on from a checkpoint")
    points, values = (
        {game: {when: both[i] for when, both in frames.items()} for game, frames in games.items()}
        for i in (0, 1)
    )
    plots.save(plots.planes(points, fields=values, bounds=bounds), config.workdir / "strip.png")


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


def show(found):
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
