"""Training steps of a β-TCVAE and of a FactorVAE beside pythae, and the metrics of codes.

    taskset -c 0 python -m benchmarks.disentangled --clock cpu

has two parts and takes three minutes. *steps* times one step of Adam on a batch of 64 rows of bits,
with dense nets 784-400-400-10 and back with tanh: `tc-vae`, with the stratified estimate of q(z),
and `factor-vae`, a step of both players, whose critic has five layers of 1000. In the latter, here
as in pythae, 32 rows are for the VAE, and the critic gets the codes of these 32 and the permuted
codes of 32 others. Each library makes 20 steps in a row; *scan* is a step of ours among 20 in one
`lax.scan`. pythae (`.[peers-vae]`) starts with our weights: *loss* is that of the first step in
nats per example, in the second case of the VAE alone; it differs because z is drawn differently.
Goals on one quiet core: pythae takes 1.7 times as long as our step of a β-TCVAE, and 1.3 times as
long for a FactorVAE.

*scores* times every metric of `metrics.codes` with its defaults, on codes of ten entries for each
of the 46,080 combinations of factors of dSprites: a smooth map of the factors, and noise; no file
is read. The first call imports scikit-learn; nothing is compiled. Goals: MIG, modularity, BetaVAE
and FactorVAE scores together in less than 5 s, all metrics in less than a minute.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import latent, peers, times
from dgm_jax import checks, disentangled, learning, measure, metrics, nets, plots, protocol, runs
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_DATA, BETA, GAMMA = 60_000, 4.0, 10.0
FACTORS = (3, 6, 10, 16, 16)  # the numbers of values of the factors of dSprites' grid
SEEDS = 5  # models that `udr` compares
FOUR = ("mig", "modularity", "beta_vae_score", "factor_vae_score")


# `objectives` has other values than in `latent`, whose objectives are not measured here.
@dataclasses.dataclass(frozen=True)
class Config(latent.Config):
    parts: tuple[Literal["steps", "scores"], ...] = ("steps", "scores")
    """which parts to measure"""
    objectives: tuple[Literal["tc-vae", "factor-vae"], ...] = ("tc-vae", "factor-vae")  # ty: ignore[incompatible-attribute-override]
    """the models whose steps are timed"""
    libraries: tuple[Literal["pythae"], ...] = ("pythae",)
    """left out if it is not installed"""
    batch: int = 64
    """rows per step"""
    hidden: tuple[int, ...] = (400, 400)
    """widths of the hidden layers of encoder and decoder"""
    num_latents: int = 10
    """the number of entries of z"""
    critic: tuple[int, ...] = (1000,) * 5
    """widths of the hidden layers of the critic"""
    num_codes: int = 46_080
    """the number of codes that are scored; random ones if they are not all"""
    score_repeats: int = 5
    """rounds of timing; in each, all metrics are called in turn"""


def logits(config: Config) -> protocol.Net:
    """A critic with two outputs, as in pythae; T(z) is their difference."""
    leaky = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    net = nets.mlp(config.num_latents, 2, hidden=config.critic, activation=leaky)

    def difference(params, z, key=None):
        both = net.apply(params, z, key=key)
        return both[..., :1] - both[..., 1:]

    return protocol.Net(net.init, difference)


def start(config: Config) -> dict:
    """The parameters {"model", "critic"}, the same for both libraries."""
    critic = jax.jit(logits(config).init)(jax.random.key(2))
    return {"model": latent.start(config, "vae"), "critic": critic}


def ours(config: Config, objective: str) -> dict[str, latent.Peer]:
    """Steps of one objective, alone and in a scan, on the batch and weights of `latent`."""
    built, x = latent.model(config, "vae"), jnp.asarray(latent.bits(config, "vae"), jnp.int32)
    params, adam, key = start(config), learning.adam(latent.LEARNING_RATE), jax.random.key(1)
    if objective == "tc-vae":
        params, batch = params["model"], x
        loss = functools.partial(disentangled.tc_vae_loss, built, beta=BETA, num_data=NUM_DATA)
        algorithm = learning.gradient_descent(lambda key: params, loss, adam)
    else:
        critic, batch = logits(config), (x, x[::-1])
        options: dict[str, Any] = {"gamma": GAMMA, "num_data": NUM_DATA}

        def loss(params, key, batch):
            return disentangled.factor_vae_loss(built, critic, params, key, batch[0], **options)

        def critic_loss(params, key, batch):
            return disentangled.factor_critic_loss(built, critic, params, key, *batch)

        players = {
            "model": learning.Player(loss, adam),
            "critic": learning.Player(critic_loss, adam),
        }
        algorithm = learning.alternate(players, lambda key: params)

    first = float(jax.jit(loss)(params, key, batch)[0])
    return latent.own_peers(algorithm, batch, first, num_steps=config.num_steps)


def pythae(config: Config, objective: str) -> latent.Peer:
    """A step of one objective in pythae, from our weights and on the same batch."""
    import torch
    from pythae import models
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    mlp_in, mlp_out = latent.torch_nets(config, "vae")

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
    x = torch.tensor(latent.bits(config, "vae"), dtype=torch.float32)
    if objective == "tc-vae":
        settings = models.BetaTCVAEConfig(**options, beta=BETA, alpha=1.0, gamma=1.0, use_mss=True)
        built = models.BetaTCVAE(settings, Encoder(), Decoder())
        return latent.torch_peer(built, lambda: built({"data": x}, dataset_size=NUM_DATA).loss)
    settings = models.FactorVAEConfig(
        **options, gamma=GAMMA, discriminator_hidden_units=config.critic[0]
    )
    built = models.FactorVAE(settings, Encoder(), Decoder())
    layers = [layer for layer in built.discriminator.layers if hasattr(layer, "weight")]
    for layer, (kernel, bias) in zip(layers, latent.dense_layers(start(config)["critic"])):
        layer.weight.data = torch.tensor(np.ascontiguousarray(kernel.T))
        layer.bias.data = torch.tensor(bias)
    return factor_peer(built, x)


def factor_peer(built: Any, x: Any) -> latent.Peer:
    """A step as pythae's trainer of adversarial models makes it."""
    import torch

    own = [*built.encoder.parameters(), *built.decoder.parameters()]
    adam = functools.partial(torch.optim.Adam, lr=latent.LEARNING_RATE)
    of_model, of_critic = adam(own), adam(built.discriminator.parameters())

    def step():
        found = built({"data": x})
        of_model.zero_grad()
        found.autoencoder_loss.backward(retain_graph=True)
        of_critic.zero_grad()
        found.discriminator_loss.backward()
        of_model.step()
        of_critic.step()
        return found.loss

    with torch.no_grad():
        first = float(built({"data": x}).autoencoder_loss)
    return latent.Peer(step, first, sum(p.numel() for p in built.parameters()))


# ------------------------------------------------------------------------------------ the metrics
def coded(num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes [num, 10], a smooth random map of factors plus noise, and the factors [num, 5]."""
    rng = np.random.default_rng(0)
    factors = np.stack(np.unravel_index(np.arange(np.prod(FACTORS)), FACTORS), -1)
    factors = rng.permutation(factors)[:num]
    scaled = (factors - factors.mean(0)) / factors.std(0)
    rng = np.random.default_rng(seed)
    hidden = np.tanh(scaled @ rng.normal(size=(5, 32)) / 2 + rng.normal(size=32))
    noise = 0.3 * rng.normal(size=(len(factors), 10))
    codes = hidden @ rng.normal(size=(32, 10)) / 6 + noise
    return codes.astype(np.float32), factors


def scores(config: Config) -> list[dict]:
    """A row for each metric; `code_scores` is all of them except `udr`."""
    models = [coded(config.num_codes, seed) for seed in range(SEEDS)]
    given, key = models[0], jax.random.key(0)
    calls: dict[str, Callable[[], Any]] = {
        name: functools.partial(getattr(metrics, name), *given) for name in FOUR[:2]
    }
    for name in (*FOUR[2:], "sap", "explicitness", "dci", "code_scores"):
        calls[name] = functools.partial(getattr(metrics, name), key, *given)
    calls["udr"] = lambda: metrics.udr([codes for codes, _ in models])
    repeats, clock = config.score_repeats, config.clock
    timed = timing.compare(calls, repeats=repeats, warm_up=False, clock=clock)
    return [
        {"metric": name, **times.measured(result), "first_call_s": result.first_call_s}
        for name, result in timed.items()
    ]


# ------------------------------------------------------------------------------------------ the run
def steps(config: Config) -> tuple:
    """The rows of training steps, and {what is left out: why}."""
    if not config.objectives:
        raise checks.InputError("objectives is empty; name at least one, as --objectives tc-vae.")
    checks.divisible(np.zeros(config.batch), 2, "the VAE and the critic")
    found, left_out = {}, {}
    for objective in config.objectives:
        found[objective] = ours(config, objective)
        for library in config.libraries:
            try:
                found[objective][library] = pythae(config, objective)
            except ImportError:
                left_out[f"{objective} {library}"] = "is not installed"
    return latent.measurements(config, found), left_out


def main(config: Config) -> dict:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    checks.positive_int(config.num_codes, "num_codes", least=100)
    if not config.parts:
        raise checks.InputError("parts is empty; name at least one, as --parts scores.")
    machine = measure.machine() | {"batch": config.batch, "clock": config.clock}
    rows = []
    if "steps" in config.parts:
        rows, left_out = steps(config)
        machine |= peers.versions(config.libraries) | {"left_out": left_out}
    if "scores" in config.parts:
        rows = rows + scores(config)
        machine |= peers.versions(("scikit-learn",)) | {"num_codes": config.num_codes}
    return {"rows": rows, "machine": machine}


def of_parts(rows: list[dict]) -> Iterator:
    """The rows of steps, and those of scores."""
    return ([row for row in rows if name in row] for name in ("objective", "metric"))


def tables(found: dict) -> list[list]:
    """Three tables: steps, as in `latent`; each metric; and the metrics that share a goal."""
    stepped, scored = of_parts(found["rows"])
    told = latent.tables({"rows": stepped}) if stepped else []
    if not scored:
        return told
    ms = {row["metric"]: row["ms"] for row in scored}
    first = {row["metric"]: row["first_call_s"] for row in scored}
    together = {"MIG, modularity, BetaVAE and FactorVAE": FOUR, "all": ("code_scores", "udr")}
    return [
        *told,
        [
            {
                "metric": row["metric"],
                **times.cells(row),
                "first call s": runs.short(row["first_call_s"]),
            }
            for row in scored
        ],
        [
            {
                "together": name,
                "s": f"{sum(ms[each] for each in parts) / 1e3:.2f}",
                "first calls s": f"{sum(first[each] for each in parts):.2f}",
            }
            for name, parts in together.items()
        ],
    ]


def draw(config: Config, found: dict) -> Figure:
    """Bars of milliseconds, of steps or of metrics."""
    stepped, scored = of_parts(found["rows"])
    if stepped:
        title = f"One step of training, {config.batch} rows"
        return times.bars(stepped, "objective", "library", title=title)
    rows = [row | {"codes": f"{config.num_codes} codes"} for row in scored]
    return times.bars(rows, "codes", "metric", title="Metrics of codes")


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=3)
