"""Steps of adversarial training: a critic with gradient penalty, a generator, and many seeds.

    taskset -c 0 python -m benchmarks.games --clock cpu

takes a minute. It times, on batches of 64 pictures of 28x28, one turn of the critic of WGAN-GP
(samples, two passes, the penalty, Adam) and one turn of the generator, each here and in torch from
the same weights. *loss* is that of the first turn; it differs because the noise is drawn
differently. The nets are `nets.conv_encoder` and `nets.conv_decoder` with 32 and 64 channels.
*spectral* is a turn of a hinge critic of strided convolutions with spectral normalisation, beside
the same without it; *seeds* is a step of 1, 2, 5 and 10 games on the plane under `vmap`, beside as
many steps of a single game. torch is left out if it is not installed (`.[peers-torch]`). Goals on
one quiet core: torch takes 1.33 times as long as our turns, spectral normalisation makes a critic's
turn 1.05 times as long, and several seeds cost less than as many single games.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import peers, times
from dgm_jax import (
    checks,
    combinators,
    distributions,
    learning,
    measure,
    nets,
    objectives,
    plots,
    protocol,
    runs,
)
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Turn = Literal["critic", "generator", "spectral", "seeds"]


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    turns: tuple[Turn, ...] = ("critic", "generator", "spectral", "seeds")
    """which kinds of turns to measure"""
    torch: bool = True
    """whether torch is timed too; left out if it is not installed"""
    batch: int = 64
    """pictures per turn"""
    channels: tuple[int, ...] = (32, 64)
    """channels of the critic; the generator has the same in reverse"""
    num_latents: int = 64
    """the number of entries of z"""
    seeds: tuple[int, ...] = (1, 2, 5, 10)
    """the numbers of games under one `vmap`"""
    clock: Literal["wall", "cpu"] = "wall"
    """what is measured: elapsed time, or the processor time of this process, which should then be
    pinned to one core"""
    repeats: int = 20
    """rounds of timing; in each, all calls are made in turn"""
    min_seconds: float = 5.0
    """the least duration of all rounds, in seconds, for each kind of turn"""


SHAPE = (28, 28, 1)
RATE, WEIGHT = 1e-4, 10.0


class Step(NamedTuple):
    """One turn of one player, in one library."""

    call: Callable[[], Any]
    loss: float  # of the first turn
    num_params: int
    games: int = 1  # games that are played in one call


# ----------------------------------------------------------------------------------------- ours
def relu(x: protocol.Array) -> protocol.Array:
    """The leaky ReLU, with slope 0.2 below 0."""
    return jax.nn.leaky_relu(x, 0.2)


def value_of(net: protocol.Net) -> protocol.Net:
    """A net with outputs [n, 1] as a critic, whose values are [n]."""
    return protocol.Net(net.init, lambda params, x, key=None: net.apply(params, x, key=key)[..., 0])


def pictures(config: Config) -> np.ndarray:
    """The batch of a turn, uniform noise in (-1, 1), [batch, 28, 28, 1]."""
    return np.random.default_rng(0).uniform(-1, 1, (config.batch, *SHAPE)).astype(np.float32)


def start(config: Config) -> tuple[protocol.Adversarial, dict[str, dict], dict[str, dict]]:
    """The nets, and parameters that are the same in both libraries; no bias is zero."""
    critic = nets.conv_encoder(SHAPE, 1, hidden=config.channels, activation=relu)
    generator = nets.conv_decoder(
        config.num_latents, SHAPE, 1, hidden=config.channels[::-1], activation=jax.nn.relu
    )
    prior = distributions.standard_normal(config.num_latents)
    model = combinators.adversarial(prior, generator, value_of(critic))
    params, state = jax.jit(model.init)(jax.random.key(0))
    rng = np.random.default_rng(1)
    moved = jax.tree.map(lambda a: a + 0.01 * rng.normal(size=a.shape).astype(np.float32), params)
    return model, moved, state


def ours(config: Config, turn: str) -> Step:
    """One turn of the critic of WGAN-GP, or of its generator."""
    model, params, state = start(config)
    critic = functools.partial(
        objectives.critic_loss, penalty=objectives.gradient_penalty, penalty_weight=WEIGHT
    )
    loss = critic if turn == "critic" else objectives.generator_loss
    return turn_of(
        config, turn, functools.partial(loss, model, objectives.wasserstein()), params, state
    )


def normalised(config: Config, norm: str) -> Step:
    """A turn of a hinge critic of strided convolutions, with spectral norms or without."""
    model, params, _ = start(config)
    critic = nets.strided_critic(SHAPE, hidden=config.channels[0], norm=norm)
    model = combinators.adversarial(model.prior, model.generator, critic)
    made, state = jax.jit(model.init)(jax.random.key(0))
    loss = functools.partial(objectives.critic_loss, model, objectives.hinge())
    return turn_of(config, "critic", loss, params | {"critic": made["critic"]}, state)


def turn_of(
    config: Config, turn: str, loss: Callable, params: protocol.Params, state: protocol.State
) -> Step:
    """One update of Adam by the gradient of loss(params, key, x, state=state)."""
    others = {name: value for name, value in params.items() if name != turn}

    def of_player(own, key, x, fixed, state):
        return loss(fixed | {turn: own}, key, x, state=state)

    algorithm = learning.gradient_descent(
        lambda key: params[turn],
        of_player,
        optax.adam(RATE, b1=0.5),
        init_state=lambda key, params: state,
    )
    step = jax.jit(algorithm.step, donate_argnums=0)
    key, x = jax.random.key(1), jnp.asarray(pictures(config))
    first = float(jax.jit(of_player)(params[turn], key, x, others, state)[0])
    size = protocol.num_params(params[turn])
    states = [jax.jit(algorithm.init)(jax.random.key(0))]

    def call():
        states[0], metrics = step(states[0], key, x, others)
        return metrics

    return Step(call, first, size)


def seeds(num: int) -> Step:
    """Two turns of `num` games on the plane, with nets of three layers of 64 and batches of 128."""
    prior = distributions.standard_normal(4)
    options: dict[str, Any] = {"hidden": (64, 64, 64), "activation": relu}
    model = combinators.adversarial(
        prior, nets.mlp(4, 2, **options), value_of(nets.mlp(2, 1, **options))
    )
    adam = optax.adam(1e-3, b1=0.0)
    algorithm = learning.adversaries(
        model,
        objectives.non_saturating(),
        critic=adam,
        generator=adam,
        penalty=objectives.r1,
        penalty_weight=0.1,
    )
    keys, x = (
        jax.random.split(jax.random.key(0), num),
        jax.random.normal(jax.random.key(1), (256, 2)),
    )
    states = [jax.jit(jax.vmap(algorithm.init))(keys)]
    step = jax.jit(jax.vmap(algorithm.step, (0, 0, None)), donate_argnums=0)

    def call():
        states[0], metrics = step(states[0], keys, x)
        return metrics

    first = float(call()["critic/loss"].mean())
    size = protocol.num_params(algorithm.params(states[0]))
    return Step(call, first, size // num, num)


# ----------------------------------------------------------------------------------------- torch
def torch_nets(config: Config) -> tuple:
    """Generator and critic in torch with our weights, with channels first."""
    import torch

    def tensor(array):
        return torch.nn.Parameter(torch.tensor(np.ascontiguousarray(array)))

    def with_weights(layer, kernel, bias, order=None):
        layer.weight = tensor(kernel.T if order is None else kernel.transpose(order))
        layer.bias = tensor(bias)
        return layer

    def of(params, name):
        return (np.asarray(params[name][what]) for what in ("kernel", "bias"))

    _, params, _ = start(config)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    layers, num = [], len(config.channels)
    for i in range(num):
        kernel, bias = of(params["critic"], f"Conv_{i}")
        layer = torch.nn.Conv2d(*kernel.shape[2:], 4, stride=2, padding=1)
        layers += [with_weights(layer, kernel, bias, (3, 2, 0, 1)), torch.nn.LeakyReLU(0.2)]
    kernel, bias = of(params["critic"], "Dense_0")
    side = 28 >> num
    by_channel = kernel.reshape(side, side, -1, 1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    last = with_weights(torch.nn.Linear(*kernel.shape), by_channel, bias)
    critic = torch.nn.Sequential(*layers, torch.nn.Flatten(), last)

    kernel, bias = of(params["generator"], "Dense_0")
    rows = lambda a: a.reshape(*a.shape[:-1], side, side, -1)
    by_channel = lambda a: np.moveaxis(rows(a), -1, -3).reshape(a.shape)
    first = torch.nn.Linear(*kernel.shape)
    layers = [with_weights(first, by_channel(kernel), by_channel(bias))]
    layers += [torch.nn.Unflatten(1, (config.channels[-1], side, side))]
    for i in range(num):
        kernel, bias = of(params["generator"], f"UpConv_{i}")
        out, channels = kernel.shape[2:]
        layer = torch.nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)
        layers += [torch.nn.ReLU(), with_weights(layer, kernel, bias, (3, 2, 0, 1))]
    return torch.nn.Sequential(*layers), critic


def torch_peer(config: Config, turn: str) -> Step:
    """One turn in torch, with our weights; the critic's are frozen for the generator."""
    import torch

    generator, critic = torch_nets(config)
    x = torch.tensor(pictures(config).transpose(0, 3, 1, 2))
    mine = critic if turn == "critic" else generator
    optimiser = torch.optim.Adam(mine.parameters(), RATE, betas=(0.5, 0.999))

    def of_critic():
        with torch.no_grad():
            fake = generator(torch.randn(config.batch, config.num_latents))
        u = torch.rand(config.batch, 1, 1, 1)
        mixed = (u * x + (1 - u) * fake).requires_grad_()
        (slopes,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        penalty = (slopes.flatten(1).norm(dim=1) - 1).square().mean()
        return critic(fake).mean() - critic(x).mean() + WEIGHT * penalty

    def of_generator():
        for weight in critic.parameters():  # the faster way in torch
            weight.requires_grad_(False)
        return -critic(generator(torch.randn(config.batch, config.num_latents))).mean()

    loss = of_critic if turn == "critic" else of_generator

    def step():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
        return value

    first = float(loss().detach())
    return Step(step, first, sum(p.numel() for p in mine.parameters()))


# -------------------------------------------------------------------------------------- the run
def contestants(config: Config) -> dict:
    """{(turn, who): Step} of all turns; ratios are to the first `who` of each."""
    found = {}
    for turn in config.turns:
        if turn == "seeds":
            found |= {(turn, f"{num} under vmap"): seeds(num) for num in config.seeds}
            continue
        if turn == "spectral":
            found |= {(turn, norm): normalised(config, norm) for norm in ("none", "spectral")}
            continue
        found[turn, "dgm_jax"] = ours(config, turn)
        if config.torch:
            try:
                found[turn, "torch"] = torch_peer(config, turn)
            except ImportError:
                print("torch is not installed", flush=True)
    return found


def main(config: Config) -> dict:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    checks.widths(config.channels, fewest=1)
    checks.widths(config.seeds, "seeds", fewest=1)
    for name in ("batch", "num_latents"):
        checks.positive_int(getattr(config, name), name)
    if not config.turns:
        raise checks.InputError("turns is empty; name at least one, as --turns critic.")
    machine, found = measure.machine(), contestants(config)
    timed = timing.compare(
        {name: step.call for name, step in found.items()},
        repeats=config.repeats,
        min_seconds=config.min_seconds * len(config.turns),
        clock=config.clock,
    )
    rows = [row(name, found, timed) for name in found]
    machine |= peers.versions(("torch",)) | {"batch": config.batch, "clock": config.clock}
    return {"rows": rows, "machine": machine}


def row(name: tuple[str, ...], found: dict, timed: dict) -> dict:
    """One row of the results: times relative to ours; several games relative to as many single."""
    turn, who = name
    first = next(other for other in found if other[0] == turn)
    result, step = timed[name], found[name]
    each = timed[first].median_ms / found[first].games * step.games
    return {
        "turn": turn,
        "who": who,
        **times.measured(result),
        "relative": result.median_ms / each,
        "first_call_s": result.first_call_s,
        "loss": step.loss,
        "params": step.num_params,
    }


def tables(found: dict) -> list[list]:
    """Milliseconds per turn, and their ratios."""
    rows = [r | {"loss": f"{r['loss']:.2f}"} for r in found["rows"]]
    return [[times.relative(r, "turn", "who", "loss", "params") for r in rows]]


def draw(config: Config, found: dict) -> Figure:
    """A bar of milliseconds for each contestant."""
    return times.bars(found["rows"], "turn", "who", title="One turn of a game")


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=1)
