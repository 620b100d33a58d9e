"""Training steps of variational autoencoders, beside torch, pythae and numpyro.

    taskset -c 0 python -m benchmarks.latent --clock cpu

takes two minutes. It times steps of Adam on one batch: `vae`, the ELBO with one sample; `iwae`, the
bound with K samples; `dreg`, the same bound with its own gradient; `conv`, the ELBO with
convolutional nets (`nets.conv_encoder`, `nets.conv_decoder`). The first three have dense nets
784-200-200-50 and back with tanh; the data are bits. Each library makes 20 steps in a row, call by
call, as in training: parameters and moments of a step are then in the caches, where the step
before left them, and not another library's. *scan* is a step of ours among 20 in one `lax.scan`, as
`learning.fit` makes them. The libraries of `.[peers]`, `.[peers-torch]` and `.[peers-vae]` are
included if they are installed, with our weights: *loss* is that of the first step in nats per
example. It differs only because z is drawn differently, and shows that the models are the same.
Goals on one quiet core: torch takes 1.3 times as long as our step, pythae 1.4, numpyro 1.0, and
torch 1.7 times as long as ours in a scan; with K = 5 pythae takes twice as long as ours, and `dreg`
at most 1.25 times as long as `iwae`.
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
    learning,
    likelihoods,
    measure,
    nets,
    objectives,
    plots,
    protocol,
    runs,
    vae,
)
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import LatentVariable, Params

Objective = Literal["vae", "iwae", "dreg", "conv"]
Library = Literal["torch", "pythae", "numpyro"]


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    objectives: tuple[Objective, ...] = ("vae", "iwae", "dreg", "conv")
    """the models whose steps are timed"""
    libraries: tuple[Library, ...] = ("torch", "pythae", "numpyro")
    """the libraries to compare; those that are not installed are left out"""
    batch: int = 100
    """examples per step"""
    num_samples: int = 5
    """samples K of iwae and dreg"""
    hidden: tuple[int, ...] = (200, 200)
    """widths of the hidden layers of the dense nets"""
    num_latents: int = 50
    """the number of entries of z"""
    num_steps: int = 20
    """steps in a row, or in one scan"""
    clock: Literal["wall", "cpu"] = "wall"
    """what is measured: elapsed time, or the processor time of this process, which should then be
    pinned to one core"""
    repeats: int = 20
    """rounds of timing; in each, all calls are made in turn"""
    min_seconds: float = 5.0
    """the least duration of all rounds, in seconds, for each objective"""


SHAPE = (28, 28, 1)
CHANNELS = (32, 64)  # of the convolutional encoder; the decoder has the same in reverse
LEARNING_RATE = 1e-3


class Peer(NamedTuple):
    """Training steps of one library, from the same weights."""

    step: Callable[[], Any]
    loss: float  # of the first step, in nats per example
    num_params: int
    in_one_call: bool = False  # whether one call makes all steps


# ----------------------------------------------------------------------------------------- ours
def model(config: Config, objective: str) -> LatentVariable:
    """The VAE of 784 bits by dense nets with tanh, or, for conv, of 28x28 bits by convolutions."""
    num, likelihood = config.num_latents, likelihoods.bernoulli()
    if objective == "conv":
        encoder = nets.conv_encoder(SHAPE, 2 * num, hidden=CHANNELS)
        decoder = nets.conv_decoder(num, SHAPE, 1, hidden=CHANNELS[::-1])
        return vae.vae(encoder, decoder, likelihood, SHAPE, num_latents=num)
    net = functools.partial(nets.mlp, activation=jnp.tanh)
    encoder = net(784, 2 * num, hidden=config.hidden)
    decoder = net(num, 784, hidden=config.hidden[::-1])
    return vae.vae(encoder, decoder, likelihood, 784, num_latents=num)


def bits(config: Config, objective: str) -> np.ndarray:
    """The batch of all steps, fair coins, [batch, 784]; for conv [batch, 28, 28, 1]."""
    x = np.random.default_rng(0).integers(0, 2, (config.batch, 784))
    return x.reshape(config.batch, *SHAPE) if objective == "conv" else x


def start(config: Config, objective: str) -> dict[str, dict]:
    """Parameters that are the same in all libraries; biases are not zero either."""
    made = jax.jit(model(config, objective).init)(jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: a + 0.01 * rng.normal(size=a.shape).astype(np.float32), made)


def ours(config: Any, objective: str) -> dict[str, Peer]:
    """Steps of one objective, alone and in a scan."""
    built, x = model(config, objective), jnp.asarray(bits(config, objective), jnp.int32)
    bound = {"vae": objectives.elbo, "conv": objectives.elbo, "iwae": objectives.iwae}.get(
        objective, objectives.dreg
    )
    options = {} if bound is objectives.elbo else {"num_samples": config.num_samples}
    loss = lambda params, key, x: bound(built, params, key, x, **options)
    params = start(config, objective)
    algorithm = learning.gradient_descent(lambda key: params, loss, learning.adam(LEARNING_RATE))
    first = float(jax.jit(loss)(params, jax.random.key(1), x)[0])
    return own_peers(algorithm, x, first, num_steps=config.num_steps)


def own_peers(algorithm: Any, batch: Any, first: float, *, num_steps: int) -> dict[str, Peer]:
    """Steps of our own: call by call, and all in one scan. first: the loss of the first step."""
    key = jax.random.key(1)

    def several(state, key, batch):
        body = lambda state, t: algorithm.step(state, jax.random.fold_in(key, t), batch)
        return jax.lax.scan(body, state, jnp.arange(num_steps))

    def peer(step, **options):
        step, states = jax.jit(step, donate_argnums=0), [jax.jit(algorithm.init)(key)]
        num_params = protocol.num_params(algorithm.params(states[0]))

        def call():
            states[0], metrics = step(states[0], key, batch)
            return metrics

        return Peer(call, first, num_params, **options)

    return {"dgm_jax": peer(algorithm.step), "dgm_jax scan": peer(several, in_one_call=True)}


# ---------------------------------------------------------------------------------------- peers
def dense_layers(params: Params) -> Any:
    """[(kernel [in, out], bias [out])] of one of our MLPs."""
    layers = (params[f"Dense_{i}"] for i in range(len(params)))
    return [(np.asarray(layer["kernel"]), np.asarray(layer["bias"])) for layer in layers]


def torch_nets(config: Config, objective: str) -> Any:
    """Encoder and decoder in torch, with our weights."""
    import torch

    def tensor(array):
        return torch.nn.Parameter(torch.tensor(np.ascontiguousarray(array)))

    def dense(params):
        layers = []
        for kernel, bias in dense_layers(params):
            layer = torch.nn.Linear(*kernel.shape)
            layer.weight, layer.bias = tensor(kernel.T), tensor(bias)
            layers += [torch.nn.Tanh(), layer]
        return torch.nn.Sequential(*layers[1:])

    params = start(config, objective)
    parts = params["posterior"]["net"], params["likelihood"]
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    if objective != "conv":
        return tuple(map(dense, parts))
    return conv_encoder(parts[0], tensor), conv_decoder(parts[1], tensor)


def conv_encoder(params: Params, tensor: Any) -> Any:
    """`nets.conv_encoder` in torch for rows of 784 bits; tensor: makes a parameter."""
    import torch

    layers = [torch.nn.Unflatten(1, (1, 28, 28))]
    for i in range(len(CHANNELS)):
        kernel, bias = (np.asarray(params[f"Conv_{i}"][name]) for name in ("kernel", "bias"))
        layer = torch.nn.Conv2d(*kernel.shape[2:], 4, stride=2, padding=1)
        layer.weight, layer.bias = tensor(kernel.transpose(3, 2, 0, 1)), tensor(bias)
        layers += [layer, torch.nn.SiLU()]
    kernel, bias = (np.asarray(params["Dense_0"][name]) for name in ("kernel", "bias"))
    by_channel = kernel.reshape(7, 7, -1, kernel.shape[1]).transpose(2, 0, 1, 3)
    last = torch.nn.Linear(*kernel.shape)
    last.weight, last.bias = tensor(by_channel.reshape(kernel.shape).T), tensor(bias)
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), last)


def conv_decoder(params: Params, tensor: Any) -> Any:
    """`nets.conv_decoder` in torch, with logits of 784 bits; tensor: makes a parameter."""
    import torch

    kernel, bias = (np.asarray(params["Dense_0"][name]) for name in ("kernel", "bias"))
    rows = lambda a: a.reshape(*a.shape[:-1], 7, 7, -1)
    by_channel = lambda a: np.moveaxis(rows(a), -1, -3).reshape(a.shape)
    first = torch.nn.Linear(*kernel.shape)
    first.weight, first.bias = tensor(by_channel(kernel).T), tensor(by_channel(bias))
    layers = [first, torch.nn.Unflatten(1, (CHANNELS[-1], 7, 7))]
    for i in range(len(CHANNELS)):
        kernel, bias = (np.asarray(params[f"UpConv_{i}"][name]) for name in ("kernel", "bias"))
        out, channels = kernel.shape[2:]
        layer = torch.nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)
        layer.weight, layer.bias = tensor(kernel.transpose(3, 2, 0, 1)), tensor(bias)
        layers += [torch.nn.SiLU(), layer]
    return torch.nn.Sequential(*layers, torch.nn.Flatten())


def torch_peer(module: Any, loss: Callable) -> Peer:
    """A step in torch; loss() is the loss of one step, with new draws of z."""
    import torch

    optimiser = torch.optim.Adam(module.parameters(), LEARNING_RATE)

    def step():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
        return value

    with torch.no_grad():
        first = float(loss())
    return Peer(step, first, sum(p.numel() for p in module.parameters()))


def torch(config: Config, objective: str) -> Peer:
    """A step of the ELBO or the IWAE bound, written out in torch; there is no DReG."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    if objective == "dreg":
        raise NotImplementedError("is compared by the gradient of autodiff only")
    encoder, decoder = torch_nets(config, objective)
    x = torch.tensor(bits(config, objective).reshape(config.batch, 784), dtype=torch.float32)

    def negative_elbo():
        mean, log_scale = encoder(x).chunk(2, -1)
        z = mean + log_scale.exp() * torch.randn_like(mean)
        rebuilt = binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = 0.5 * (mean**2 + (2 * log_scale).exp() - 1 - 2 * log_scale).sum()
        return (rebuilt + kl) / len(x)

    def negative_iwae():
        mean, log_scale = encoder(x).chunk(2, -1)
        noise = torch.randn(config.num_samples, *mean.shape)
        z = mean + log_scale.exp() * noise
        targets = x.expand(config.num_samples, *x.shape)
        log_w = -binary_cross_entropy_with_logits(decoder(z), targets, reduction="none").sum(-1)
        log_w = log_w + (0.5 * (noise**2 - z**2) + log_scale).sum(-1)
        return np.log(config.num_samples) - log_w.logsumexp(0).mean()

    both = torch.nn.ModuleList([encoder, decoder])
    return torch_peer(both, negative_iwae if objective == "iwae" else negative_elbo)


def pythae(config: Config, objective: str) -> Peer:
    """A step of pythae's VAE or IWAE with our nets in torch; it has no DReG."""
    import torch
    from pythae import models
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    if objective == "dreg":
        raise NotImplementedError("has no DReG")
    mlp_in, mlp_out = torch_nets(config, objective)

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.net = mlp_in

        def forward(self, x):
            mean, log_scale = self.net(x).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=2 * log_scale)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.net = mlp_out

        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))

    options = dict(input_dim=(784,), latent_dim=config.num_latents, reconstruction_loss="bce")
    if objective == "iwae":
        settings = models.IWAEConfig(**options, number_samples=config.num_samples)
        built = models.IWAE(settings, Encoder(), Decoder())
    else:
        built = models.VAE(models.VAEConfig(**options), Encoder(), Decoder())
    x = torch.tensor(bits(config, objective).reshape(config.batch, 784), dtype=torch.float32)
    return torch_peer(built, lambda: built({"data": x}).loss)


def numpyro(config: Config, objective: str) -> Peer:
    """A step of numpyro's SVI with our dense nets, by its ELBO, or Rényi's bound of order 0."""
    if objective in ("dreg", "conv"):
        raise NotImplementedError("is compared with dense nets and the gradient of autodiff")
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import SVI, RenyiELBO, Trace_ELBO

    net = functools.partial(nets.mlp, activation=jnp.tanh)
    encoder = net(784, 2 * config.num_latents, hidden=config.hidden)
    decoder = net(config.num_latents, 784, hidden=config.hidden[::-1])
    params = start(config, objective)
    x = jnp.asarray(bits(config, objective), jnp.float32)
    param: Any = numpyro.param  # takes a tree too, which its types do not say

    def prior_and_likelihood(x):
        p = param("decoder", params["likelihood"])
        with numpyro.plate("batch", len(x)):
            z = numpyro.sample("z", dist.Normal(0, 1).expand([config.num_latents]).to_event(1))
            logits = decoder.apply(p, z)
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x):
        p = param("encoder", params["posterior"]["net"])
        mean, log_scale = jnp.split(encoder.apply(p, x), 2, -1)
        with numpyro.plate("batch", len(x)):
            numpyro.sample("z", dist.Normal(mean, jnp.exp(log_scale)).to_event(1))

    bound = Trace_ELBO()
    if objective == "iwae":
        bound = RenyiELBO(alpha=0, num_particles=config.num_samples)
    svi = SVI(prior_and_likelihood, guide, numpyro.optim.Adam(LEARNING_RATE), bound)
    states = [svi.init(jax.random.key(0), x)]
    first = float(svi.evaluate(states[0], x)) / len(x)
    step = jax.jit(svi.update, donate_argnums=0)

    def call():
        states[0], loss = step(states[0], x)
        return loss

    size = protocol.num_params(svi.get_params(states[0]))
    return Peer(call, first, size)


LIBRARIES = {f.__name__: f for f in (torch, pythae, numpyro)}


# -------------------------------------------------------------------------------------- the run
def contestants(config: Config, objective: str) -> tuple[dict[str, Peer], dict[str, str]]:
    """({library: Peer}, ours first, and {library: why it is left out})."""
    found, missing = ours(config, objective), {}
    for library in config.libraries:
        try:
            found[library] = LIBRARIES[library](config, objective)
        except ImportError:
            missing[library] = "is not installed"
        except NotImplementedError as reason:
            missing[library] = str(reason)
    return found, missing


def measurements(config: Config, found: dict[str, dict]) -> list[dict]:
    """One row for each objective and library, all timed in interleaved calls."""
    rows, num = [], config.num_steps
    thunks = {
        (objective, library): times.in_a_row(peer.step, 1 if peer.in_one_call else num)
        for objective, made in found.items()
        for library, peer in made.items()
    }
    timed = timing.compare(
        thunks,
        repeats=config.repeats,
        min_seconds=config.min_seconds * len(found),
        clock=config.clock,
    )
    for (objective, library), result in timed.items():
        peer = found[objective][library]
        own, scan = (timed[objective, name].median_ms for name in ("dgm_jax", "dgm_jax scan"))
        rows.append(
            {
                "objective": objective,
                "library": library,
                **times.measured(result, num),
                "to_ours": result.median_ms / own,
                "to_scan": result.median_ms / scan,
                "first_call_s": result.first_call_s,
                "loss": peer.loss,
                "params": peer.num_params,
            }
        )
    return rows


def main(config: Config) -> dict:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    checks.widths(config.hidden, fewest=1)
    for name in ("batch", "num_samples", "num_latents", "num_steps"):
        checks.positive_int(getattr(config, name), name)
    if not config.objectives:
        raise checks.InputError("objectives is empty; name at least one, as --objectives vae.")
    machine, found, left_out = measure.machine(), {}, {}
    for objective in config.objectives:
        found[objective], missing = contestants(config, objective)
        left_out |= {f"{objective} {library}": why for library, why in missing.items()}
    rows = measurements(config, found)
    machine |= peers.versions(config.libraries) | {"left_out": left_out}
    facts = {name: getattr(config, name) for name in ("batch", "num_samples", "clock")}
    return {"rows": rows, "machine": machine | facts}


def tables(found: dict) -> list[list]:
    """Milliseconds per step and ratios to ours; then DReG beside IWAE."""
    lines = [
        {
            "objective": r["objective"],
            "library": r["library"],
            "loss": f"{r['loss']:.1f}",
            "params": r["params"],
            **times.cells(r, "ms a step"),
            "/ ours": f"{r['to_ours']:.2f}",
            "/ ours in a scan": f"{r['to_scan']:.2f}",
            "first call s": runs.short(r["first_call_s"]),
        }
        for r in found["rows"]
    ]
    own = {r["objective"]: r["ms"] for r in found["rows"] if r["library"] == "dgm_jax"}
    if not {"iwae", "dreg"} <= own.keys():
        return [lines]
    return [lines, [{"dreg / iwae": f"{own['dreg'] / own['iwae']:.2f}"}]]


def draw(config: Config, found: dict) -> Figure:
    """Milliseconds per step, with a bar for each library."""
    title = f"One step of training, {config.batch} images"
    return times.bars(found["rows"], "objective", "library", title=title)


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=2)
