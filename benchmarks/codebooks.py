"""Vector quantisation beside vector-quantize-pytorch, and a step of a VQ-VAE beside torch.

    taskset -c 1 python -m benchmarks.codebooks --clock cpu

has two parts and takes a minute. *look-up* finds the codes of 8192 features of dimension 64 in a
codebook of 512 vectors and updates the moving averages of this codebook, by
`quantized.averaged_codebook` and by VectorQuantize of vector-quantize-pytorch, from the same
codebook and with the same smoothing. Before that both learn from the same 100 batches: *same codes*
is the share of the codes of the last batch that are equal, *codebook apart* the largest difference
of the codebooks' entries.

*step* is a step of Adam on 32 pictures of 32x32x3: two strided convolutions of 64 channels, one
codebook trained by gradients, two transposed convolutions, and a squared error. *loss* is that of
the first step, and each library makes ten steps in a row. Libraries that are not installed are left
out (`.[peers-torch]`, and vector-quantize-pytorch). Goals: the look-up of the peer takes 4 times as
long as ours, and our step 0.8 of the time of torch's.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peers, times
from dgm_jax import checks, learning, measure, nets, plots, quantized, runs
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import Net

Part = Literal["look-up", "step"]
DECAY, EPSILON, RATE, BETA = 0.8, 1e-5, 2e-4, 0.25
SHAPE = (32, 32, 3)
IN_A_ROW = {"look-up": 1, "step": 10}  # calls that are timed as one


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    parts: tuple[Part, ...] = ("look-up", "step")
    """which parts to measure"""
    torch: bool = True
    """whether torch is timed too; left out if it is not installed"""
    num_vectors: int = 8192
    """the number of features in a look-up"""
    dim: int = 64
    """the dimension of the vectors, and the channels of the nets"""
    num_codes: int = 512
    """the number of vectors in the codebook"""
    batch: int = 32
    """pictures per step"""
    num_batches: int = 100
    """batches from which both codebooks learn before they are compared"""
    clock: Literal["wall", "cpu"] = "wall"
    """what is measured: elapsed time, or the processor time of this process, which should then be
    pinned to one core"""
    repeats: int = 20
    """rounds of timing; in each, all calls are made in turn"""
    min_seconds: float = 5.0
    """the least duration of all rounds, in seconds, for each part"""


class Peer(NamedTuple):
    """One part as one library does it: a call to time, and what must agree."""

    call: Callable[[], Any]
    told: dict  # the results that are compared: codes and codebook, or a loss


def features(config: Config, step: int) -> np.ndarray:
    """The features of a batch; like those of an encoder, they change a little from step to step."""
    rng = np.random.default_rng(step)
    centres = np.random.default_rng(0).normal(size=(config.num_codes, config.dim))
    chosen = centres[rng.integers(0, config.num_codes, config.num_vectors)] * (1 + 0.002 * step)
    return (chosen + 0.3 * rng.normal(size=chosen.shape)).astype(np.float32)


def first_codebook(config: Config) -> np.ndarray:
    """The codebook [num_codes, dim] from which all begin, a normal draw."""
    return np.random.default_rng(7).normal(size=(config.num_codes, config.dim)).astype(np.float32)


# ----------------------------------------------------------------------------------------- ours
def our_look_up(config: Config) -> Peer:
    """Codes of a batch and the update of the codebook, after num_batches other batches."""
    num, e = config.num_vectors, first_codebook(config)
    quantiser = quantized.averaged_codebook(
        config.num_codes, config.dim, decay=DECAY, smoothing=EPSILON / num
    )
    # the peer starts with a count of one for each code
    shares = jnp.full(config.num_codes, 1 / num)
    state = {"codebook": jnp.asarray(e), "shares": shares, "means": jnp.asarray(e / num)}

    @jax.jit
    def step(state, z):
        found, state = quantiser.apply({}, state, z, train=True)
        return state, (found.codes, found.vectors, found.commitment_loss)

    for i in range(config.num_batches):
        state, (codes, *_) = step(state, features(config, i))
    codebook = quantiser.vectors({}, state, jnp.arange(config.num_codes))
    z = jnp.asarray(features(config, config.num_batches))
    return Peer(
        lambda: step(state, z)[1], {"codes": np.asarray(codes), "codebook": np.asarray(codebook)}
    )


def model_of(config: Config) -> tuple[Net, Net, dict]:
    """Encoder, codebook and decoder with parameters; a squared error stands for -log p(x | c)."""
    hidden, dim = (config.dim,) * 2, config.dim
    encoder = nets.map_encoder(SHAPE, dim, hidden=hidden, activation=jax.nn.relu)
    decoder = nets.map_decoder(dim, SHAPE, SHAPE[2], hidden=hidden, activation=jax.nn.relu)
    keys = jax.random.split(jax.random.key(0))
    params = {"encoder": encoder.init(keys[0]), "decoder": decoder.init(keys[1])}
    params["codebook"] = 0.1 * jnp.asarray(first_codebook(config))
    return encoder, decoder, params


def pictures(config: Config) -> np.ndarray:
    """The batch of a step, uniform noise in (-1, 1), [batch, 32, 32, 3]."""
    return np.random.default_rng(0).uniform(-1, 1, (config.batch, *SHAPE)).astype(np.float32)


def our_step(config: Config) -> Peer:
    """A step of Adam from the parameters of `model_of`; each call continues the last."""
    encoder, decoder, params = model_of(config)

    def loss(params, key, x):
        found = quantized.quantise(params["codebook"], encoder.apply(params["encoder"], x))
        error = jnp.square(decoder.apply(params["decoder"], found.vectors) - x).mean()
        mean = (found.codebook_loss + BETA * found.commitment_loss) / config.dim
        return error + mean, {}

    algorithm = learning.gradient_descent(lambda key: params, loss, learning.adam(RATE))
    step, x = jax.jit(algorithm.step, donate_argnums=0), jnp.asarray(pictures(config))
    first = float(jax.jit(loss)(params, None, x)[0])
    key = jax.random.key(1)
    states = [jax.jit(algorithm.init)(key)]

    def call():
        states[0], told = step(states[0], key, x)
        return told

    return Peer(call, {"loss": first})


# ----------------------------------------------------------------------------------------- theirs
def their_look_up(config: Config) -> Peer:
    """`our_look_up` by VectorQuantize, whose averages are set to ours before the first batch."""
    import torch
    from vector_quantize_pytorch import VectorQuantize

    e = torch.tensor(first_codebook(config))
    layer = VectorQuantize(
        config.dim,
        config.num_codes,
        decay=DECAY,
        eps=EPSILON,
        commitment_weight=1.0,
        rotation_trick=False,
    )
    book = layer._codebook
    book.embed.data.copy_(e[None])
    book.embed_avg.data.copy_(e[None])
    book.cluster_size.data.fill_(1.0)
    layer.train()

    def step(z):
        with torch.no_grad():
            return layer(z[None])

    for i in range(config.num_batches):
        _, codes, _ = step(torch.tensor(features(config, i)))
    told = {"codes": codes[0].numpy(), "codebook": book.embed[0].numpy().copy()}
    z = torch.tensor(features(config, config.num_batches))
    return Peer(lambda: step(z), told)


def their_step(config: Config) -> Peer:
    """`our_step` in torch, with our weights."""
    import torch

    _, _, params = model_of(config)

    def tensor(array):
        return torch.nn.Parameter(torch.tensor(np.ascontiguousarray(array)))

    def with_weights(layer, p):
        layer.weight = tensor(np.asarray(p["kernel"]).transpose(3, 2, 0, 1))
        layer.bias = tensor(np.asarray(p["bias"]))
        return layer

    dim, relu = config.dim, torch.nn.ReLU
    up, down = params["encoder"], params["decoder"]
    encoder = torch.nn.Sequential(
        with_weights(torch.nn.Conv2d(3, dim, 4, stride=2, padding=1), up["Conv_0"]),
        relu(),
        with_weights(torch.nn.Conv2d(dim, dim, 4, stride=2, padding=1), up["Conv_1"]),
        relu(),
        with_weights(torch.nn.Conv2d(dim, dim, 1), up["last"]),
    )
    doubled = lambda out: torch.nn.ConvTranspose2d(dim, out, 4, stride=2, padding=1)
    decoder = torch.nn.Sequential(
        with_weights(torch.nn.Conv2d(dim, dim, 3, padding=1), down["Conv_0"]),
        relu(),
        with_weights(doubled(dim), down["UpConv_0"]),
        relu(),
        with_weights(doubled(3), down["UpConv_1"]),
    )
    codebook = tensor(params["codebook"])
    x = torch.tensor(pictures(config).transpose(0, 3, 1, 2))
    weights = [*encoder.parameters(), *decoder.parameters(), codebook]
    optimiser = torch.optim.Adam(weights, RATE)

    def loss():
        z = encoder(x).permute(0, 2, 3, 1)
        with torch.no_grad():
            flat = z.reshape(-1, dim)
            codes = (codebook.square().sum(1) - 2 * flat @ codebook.T).argmin(1)
        e = codebook[codes].reshape(z.shape)
        of_codes = (z.detach() - e).square().mean() + BETA * (z - e.detach()).square().mean()
        tied = z + (e - z).detach()
        return (decoder(tied.permute(0, 3, 1, 2)) - x).square().mean() + of_codes

    def call():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
        return value

    return Peer(call, {"loss": float(loss().detach())})


# -------------------------------------------------------------------------------------- the run
OURS = {"look-up": our_look_up, "step": our_step}
THEIRS = {"look-up": ("vector-quantize-pytorch", their_look_up), "step": ("torch", their_step)}


def contestants(config: Config, part: Part) -> dict[str, Peer]:
    """{who: Peer} of one part, ours first."""
    found = {"dgm_jax": OURS[part](config)}
    who, make = THEIRS[part]
    if config.torch:
        try:
            found[who] = make(config)
        except ImportError as error:
            print(f"{who} is not installed ({error})", flush=True)
    return found


def main(config: Config) -> dict:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    for name in ("num_vectors", "dim", "num_codes", "batch", "num_batches"):
        checks.positive_int(getattr(config, name), name)
    if not config.parts:
        raise checks.InputError("parts is empty; name at least one, as --parts look-up.")
    if config.torch:
        _one_thread_each()
    machine, rows = measure.machine(), []
    for part in config.parts:
        rows += measurements(config, part)
    machine |= peers.versions(("vector-quantize-pytorch",))
    return {"rows": rows, "machine": machine | {"batch": config.batch, "clock": config.clock}}


def _one_thread_each():
    """Gives torch one thread for each core of this process."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(len(os.sched_getaffinity(0)))


def measurements(config: Config, part: Part) -> list[dict]:
    """One row for each library, all timed in interleaved calls."""
    found = contestants(config, part)
    timed = timing.compare(
        {who: times.in_a_row(peer.call, IN_A_ROW[part]) for who, peer in found.items()},
        repeats=config.repeats,
        min_seconds=config.min_seconds,
        clock=config.clock,
    )
    return [row(part, who, found, timed) for who in found]


def row(part: Part, who: str, found: dict, timed: dict) -> dict:
    """One row of the results: times, their ratio to ours, and differences to our result."""
    own, peer, result = found["dgm_jax"].told, found[who].told, timed[who]
    told = {"loss": peer["loss"]} if "loss" in peer else {}
    if "codes" in peer:
        told["codes"] = float((peer["codes"] == own["codes"]).mean())
        told["codebook"] = float(np.abs(peer["codebook"] - own["codebook"]).max())
    return {
        "part": part,
        "who": who,
        **times.measured(result, IN_A_ROW[part]),
        "relative": result.median_ms / timed["dgm_jax"].median_ms,
        "first_call_s": result.first_call_s,
        **told,
    }


def tables(found: dict) -> list[list]:
    """Milliseconds, ratios to ours, and what is compared."""
    lines = [
        {
            "part": r["part"],
            "who": r["who"],
            **times.cells(r),
            "relative": f"{r['relative']:.2f}",
            "loss": f"{r['loss']:.5f}" if "loss" in r else "",
            "same codes": f"{r['codes']:.4%}" if "codes" in r else "",
            "codebook apart": f"{r['codebook']:.1e}" if "codebook" in r else "",
        }
        for r in found["rows"]
    ]
    return [lines]


def draw(config: Config, found: dict) -> Figure:
    """A bar of milliseconds for each contestant."""
    return times.bars(found["rows"], "part", "who", title="Vector quantisation")


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=1)
