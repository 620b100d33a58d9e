"""Diffusion, score matching and Langevin dynamics, beside diffusers and blackjax.

    taskset -c 1 python -m benchmarks.scores --clock cpu

takes four minutes, most of which is compilation; *first call s* shows it.

*forward*, *sampling* and *step* are timed on batches of 32 pictures of 28x28: one pass of a U-Net
with 32, 64 and 64 channels and attention at 14x14; DDIM with five passes, as one compiled program;
and one step of Adam on the squared error of the noise, alone and among four in one `lax.scan`. They
are compared with UNet2DModel and DDIMScheduler of diffusers, whose net has the same blocks,
including scale and shift by the time. It differs in two ways: it halves an image by a strided
convolution with 9 taps, where ours averages four pixels in one convolution with 16 taps; and it
doubles an image by copies and 9 taps for each large pixel, where ours has 4.

*matching* is the gradient of a loss of score matching, for d = 16 and 64, of a net with two layers
of 256: denoising, sliced, and implicit with the exact trace, in closed form and by d derivatives of
the net. *langevin* is 200 steps of 256 chains in 64 dimensions, with and without correction, here
and in blackjax.

*relative* is the ratio to the first row of a group. Libraries that are not installed are left out
(`.[peers-torch,peers-diffusion]`). Goals on one quiet core: forward and sampling in 0.95 of the
time of diffusers, a step in 1.25; implicit in 2.5 of the time of sliced, whose arithmetic is twice
that of denoising; Langevin steps as fast as those of blackjax.
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

from benchmarks import peers, times
from dgm_jax import (
    checks,
    diffusion,
    flows,
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

    from dgm_jax.protocol import Array

Part = Literal["forward", "sampling", "step", "matching", "langevin"]
SIZE = 28
GROUPS = 8  # groups of the group norms
RATE, STEP_SIZE = 1e-3, 0.05


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    parts: tuple[Part, ...] = ("forward", "sampling", "step", "matching", "langevin")
    """which parts to measure"""
    peers: bool = True
    """whether other libraries are timed too; left out if they are not installed"""
    batch: int = 32
    """pictures per call"""
    hidden: int = 32
    """channels at the size of the pictures; smaller sizes have twice as many"""
    passes: int = 5
    """passes of the sampler"""
    scanned: int = 4
    """steps of training in one scan"""
    dims: tuple[int, ...] = (16, 64)
    """the dimensions d for score matching; the last one is also that of the chains"""
    width: int = 256
    """the width of the nets for score matching, and the number of rows in their batches"""
    chains: int = 256
    """the number of chains"""
    chain_steps: int = 200
    """the number of their steps"""
    clock: Literal["wall", "cpu"] = "wall"
    """what is measured: elapsed time, or the processor time of this process, which should then be
    pinned to one core"""
    repeats: int = 10
    """rounds of timing; in each, all calls of a part are made in turn"""
    min_seconds: float = 5.0
    """the least duration of all rounds, in seconds, for each part"""


class Contestant(NamedTuple):
    """A call to time, and what is told of it."""

    call: Callable[[], Any]
    num_params: int | None = None
    steps: int = 1  # steps that are made in one call


# ------------------------------------------------------------------------------------------ images
def pictures(config: Config) -> np.ndarray:
    """The batch, uniform noise in (-1, 1), [batch, 28, 28, 1]."""
    shape = (config.batch, SIZE, SIZE, 1)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@functools.cache
def model_of(config: Config) -> tuple[diffusion.Denoiser, dict[str, dict]]:
    """A denoiser with parameters, which are perturbed where they start at zero."""
    shape = (SIZE, SIZE, 1)
    net = nets.unet(
        shape,
        hidden=config.hidden,
        multipliers=(1, 2, 2),
        num_blocks=1,
        attention=(SIZE // 2,),
        num_groups=GROUPS,
    )
    model = diffusion.denoiser(net, shape, diffusion.cosine(), target="noise")
    rng = np.random.default_rng(1)
    # unoptimised: draws of so many kernels take longer to compile than to make
    init = jax.jit(model.init, compiler_options={"xla_backend_optimization_level": 0})
    made = init(jax.random.key(0))
    return model, jax.tree.map(lambda a: a + 0.01 * rng.normal(size=a.shape).astype("f"), made)


def our_forward(config: Config) -> dict[str, Contestant]:
    """A pass of the U-Net at t = 0.5."""
    model, params = model_of(config)
    x, t = jnp.asarray(pictures(config)), jnp.full(config.batch, 0.5)
    apply = jax.jit(lambda params, x, t: model.predict(params, x, t).target)
    return {"dgm_jax": Contestant(lambda: apply(params, x, t), protocol.num_params(params))}


def our_sampling(config: Config) -> dict[str, Contestant]:
    """A batch of samples by DDIM, one compiled program."""
    model, params = model_of(config)
    draw = jax.jit(
        lambda params, key: diffusion.sample(
            model, params, key, config.batch, num_steps=config.passes, eta=0.0
        )
    )
    key = jax.random.key(1)
    return {"dgm_jax": Contestant(lambda: draw(params, key), protocol.num_params(params))}


def our_step(config: Config) -> dict[str, Contestant]:
    """A step of Adam on the squared error of the noise, alone and in a scan."""
    model, params = model_of(config)
    algorithm = learning.gradient_descent(
        lambda key: params,
        lambda params, key, x: diffusion.simple_loss(model, params, key, x),
        learning.adam(RATE),
    )
    key, x = jax.random.key(1), jnp.asarray(pictures(config))

    def several(state, key, x):
        body = lambda state, t: algorithm.step(state, jax.random.fold_in(key, t), x)
        return jax.lax.scan(body, state, jnp.arange(config.scanned))

    def contestant(step, steps):
        step, states = jax.jit(step, donate_argnums=0), [jax.jit(algorithm.init)(key)]

        def call():
            states[0], told = step(states[0], key, x)
            return told

        return Contestant(call, protocol.num_params(params), steps)

    alone, scan = contestant(algorithm.step, 1), contestant(several, config.scanned)
    return {"dgm_jax": alone, "dgm_jax scan": scan}


def their_net(config: Config) -> Any:
    """UNet2DModel of diffusers with the blocks of our net, and its own initial weights."""
    import diffusers
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    few, many = config.hidden, 2 * config.hidden
    return diffusers.UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        block_out_channels=(few, many, many),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=GROUPS,
        attention_head_dim=many,
        resnet_time_scale_shift="scale_shift",
    )


def their_size(net: Any) -> int:
    """The number of parameters of a module of torch."""
    return sum(p.numel() for p in net.parameters())


def their_pictures(config: Config) -> Any:
    """`pictures` as a tensor with channels first."""
    import torch

    return torch.tensor(pictures(config).transpose(0, 3, 1, 2))


def their_forward(config: Config) -> dict[str, Contestant]:
    """A pass of the net of diffusers, at step 500 of 1000."""
    import torch

    net, x, t = their_net(config).eval(), their_pictures(config), torch.full((config.batch,), 500)

    def call():
        with torch.no_grad():
            return net(x, t).sample

    return {"diffusers": Contestant(call, their_size(net))}


def their_sampling(config: Config) -> dict[str, Contestant]:
    """A batch of samples by DDIMScheduler, step by step from Python."""
    import diffusers
    import torch

    net, scheduler = their_net(config).eval(), diffusers.DDIMScheduler(1000, clip_sample=False)
    scheduler.set_timesteps(config.passes)
    shape = (config.batch, 1, SIZE, SIZE)

    def call():
        with torch.no_grad():
            x = torch.randn(shape)
            for t in scheduler.timesteps:
                x = scheduler.step(net(x, t).sample, t, x).prev_sample
            return x

    return {"diffusers": Contestant(call, their_size(net))}


def their_step(config: Config) -> dict[str, Contestant]:
    """A step of Adam on the squared error of the noise, with the schedule of diffusers."""
    import diffusers
    import torch

    net, scheduler = their_net(config).train(), diffusers.DDIMScheduler(1000)
    optimiser, x = torch.optim.Adam(net.parameters(), RATE), their_pictures(config)

    def call():
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (config.batch,))
        optimiser.zero_grad()
        error = net(scheduler.add_noise(x, noise, t), t).sample - noise
        loss = error.square().mean()
        loss.backward()
        optimiser.step()
        return loss

    return {"diffusers": Contestant(call, their_size(net))}


# ---------------------------------------------------------------------------------- score matching
def matching(config: Config, dim: int) -> dict[str, Contestant]:
    """The gradients of all losses of one vector field."""
    field = flows.mlp_field(dim, hidden=(config.width,) * 2)
    rng = np.random.default_rng(0)
    made = field.init(jax.random.key(0))
    params = jax.tree.map(lambda a: a + 0.05 * rng.normal(size=a.shape).astype("f"), made)
    x, key = jax.random.normal(jax.random.key(1), (config.width, dim)), jax.random.key(2)
    score = lambda params: lambda x: field.velocity(params, x, 0.0)

    def denoising(params, key, x):
        return objectives.denoising_score_matching(score(params), key, x, 0.5)

    def sliced(params, key, x):
        return objectives.sliced_score_matching(score(params), key, x)

    def implicit(params, key, x):
        with_trace = lambda x: field.divergence(params, x, 0.0)
        return objectives.implicit_score_matching(score(params), x, with_trace=with_trace)

    def by_columns(params, key, x):
        return objectives.implicit_score_matching(score(params), x)

    def contestant(loss):
        gradient = jax.jit(jax.value_and_grad(loss))
        return Contestant(lambda: gradient(params, key, x), protocol.num_params(params))

    return {
        "denoising": contestant(denoising),
        "sliced": contestant(sliced),
        "implicit": contestant(implicit),
        "implicit, d derivatives": contestant(by_columns),
    }


# ---------------------------------------------------------------------------------------- Langevin
def log_prob(x: Array) -> Array:
    """log N(x; 0, diag(s²)) up to a constant, with scales s between 1 and 2; x [..., d]."""
    scales = jnp.linspace(1.0, 2.0, x.shape[-1], dtype=x.dtype)
    return -jnp.square(x / scales).sum(-1) / 2


def starts(config: Config) -> Array:
    """Where all chains begin, a normal draw [chains, d]."""
    return jax.random.normal(jax.random.key(0), (config.chains, config.dims[-1]))


def our_chains(config: Config) -> dict[str, dict[str, Contestant]]:
    """Compiled Langevin dynamics on `log_prob`, without and with correction."""
    x, key = starts(config), jax.random.key(1)
    options: dict[str, Any] = {"step_size": STEP_SIZE, "num_steps": config.chain_steps}
    score = jax.grad(lambda x: log_prob(x).sum())
    ula = jax.jit(lambda key, x: diffusion.unadjusted_langevin(score, key, x, **options))
    mala = jax.jit(lambda key, x: diffusion.metropolis_langevin(log_prob, key, x, **options))
    return {
        "unadjusted": {"dgm_jax": Contestant(lambda: ula(key, x))},
        "corrected": {"dgm_jax": Contestant(lambda: mala(key, x))},
    }


def their_chains(config: Config) -> dict[str, dict[str, Contestant]]:
    """`our_chains` by sgld (without minibatches) and mala of blackjax, each in one scan."""
    import blackjax

    x, key = starts(config), jax.random.key(1)
    sgld = blackjax.sgld(lambda x, batch: jax.grad(lambda x: log_prob(x).sum())(x))
    mala = blackjax.mala(log_prob, STEP_SIZE)

    @jax.jit
    def unadjusted(key, x):
        step = lambda x, key: (sgld.step(key, x, None, STEP_SIZE), None)
        return jax.lax.scan(step, x, jax.random.split(key, config.chain_steps))[0]

    @jax.jit
    def corrected(key, x):
        def step(states, key):
            states, told = jax.vmap(mala.step)(jax.random.split(key, config.chains), states)
            return states, told.acceptance_rate

        keys = jax.random.split(key, config.chain_steps)
        return jax.lax.scan(step, jax.vmap(mala.init)(x), keys)

    return {
        "unadjusted": {"blackjax": Contestant(lambda: unadjusted(key, x))},
        "corrected": {"blackjax": Contestant(lambda: corrected(key, x))},
    }


# -------------------------------------------------------------------------------------- the run
OURS = {"forward": our_forward, "sampling": our_sampling, "step": our_step}
THEIRS = {"forward": their_forward, "sampling": their_sampling, "step": their_step}


def contestants(config: Config, part: str) -> dict[tuple[str, str], Contestant]:
    """{(group, who): Contestant} of one part; ratios are to the first of a group."""
    if part == "matching":
        groups = {f"matching, d = {dim}": matching(config, dim) for dim in config.dims}
    else:
        make, theirs = (our_chains, their_chains) if part == "langevin" else (None, None)
        make = make or (lambda config: {part: OURS[part](config)})
        theirs = theirs or (lambda config: {part: THEIRS[part](config)})
        groups = make(config)
        try:
            found = theirs(config) if config.peers else {}
        except ImportError as error:
            print(f"{part}: a peer is not installed ({error})", flush=True)
            found = {}
        groups = {group: found.get(group, {}) | own for group, own in groups.items()}
    return {(group, who): one for group, each in groups.items() for who, one in each.items()}


def main(config: Config) -> dict:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    for name in ("batch", "scanned", "width", "chains", "chain_steps"):
        checks.positive_int(getattr(config, name), name)
    checks.positive_int(config.passes, "passes", least=2)
    checks.widths(config.dims, "dims", fewest=1)
    if config.hidden % GROUPS:
        raise checks.InputError(f"hidden must be a multiple of {GROUPS}; got {config.hidden}.")
    if not config.parts:
        raise checks.InputError("parts is empty; name at least one, as --parts step.")
    machine, rows = measure.machine(), []
    for part in config.parts:
        found = contestants(config, part)
        timed = timing.compare(
            {name: one.call for name, one in found.items()},
            repeats=config.repeats,
            min_seconds=config.min_seconds,
            clock=config.clock,
        )
        rows += [row(name, found, timed) for name in found]
        print(f"{part} is done", flush=True)
    machine |= peers.versions(("diffusers", "blackjax"))
    return {"rows": rows, "machine": machine | {"batch": config.batch, "clock": config.clock}}


def row(name: tuple[str, ...], found: dict, timed: dict) -> dict:
    """One row of the results: times, and their ratio to the first of the group."""
    group, who = name
    first = next(other for other in found if other[0] == group)
    result, own = timed[name], found[name]
    unit = timed[first].median_ms / found[first].steps
    return {
        "part": group,
        "who": who,
        **times.measured(result, own.steps),
        "relative": result.median_ms / own.steps / unit,
        "first_call_s": result.first_call_s,
        "params": own.num_params,
    }


def tables(found: dict) -> list[list]:
    """Milliseconds, ratios to the first of a group, and compilation."""
    return [[times.relative(r, "part", "who", "params") for r in found["rows"]]]


def draw(config: Config, found: dict) -> Figure:
    """A bar of milliseconds for each contestant."""
    return times.bars(found["rows"], "part", "who", title="Diffusion and scores")


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=4)
