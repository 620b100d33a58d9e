"""Training steps of a β-TCVAE and of a FactorVAE, beside pythae.

    taskset -c 0 python -m benchmarks.disentangled --clock cpu

times one step of Adam on a batch of 64 rows of bits, with dense nets 784-400-400-10 and back with
tanh: `tc-vae`, with the stratified estimate of q(z); `factor-vae`, a step of both players, whose
critic has five layers of 1000. There 32 rows are for the VAE, and the codes of 32 and the permuted
codes of 32 others for the critic, here as in pythae. *scan* is a step of ours among 20 in one
`lax.scan`. pythae (`.[peers-vae]`) starts with our weights: *loss* is that of the first step in
nats an example, of the VAE alone in the second case, and differs by the draws of z. Aims on one
quiet core: pythae takes 1.7 times our step of a β-TCVAE, and 1.3 times that of a FactorVAE.
"""

import dataclasses
import functools
import os
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import latent, peers, times
from dgm_jax import checks, disentangled, learning, measure, nets, plots, protocol, runs

NUM_DATA, BETA, GAMMA = 60_000, 4.0, 10.0


@dataclasses.dataclass(frozen=True)
class Config(latent.Config):
    objectives: tuple[Literal["tc-vae", "factor-vae"], ...] = ("tc-vae", "factor-vae")
    libraries: tuple[Literal["pythae"], ...] = ("pythae",)
    """left out where it is not installed"""
    batch: int = 64
    """rows a step"""
    hidden: tuple[int, ...] = (400, 400)
    """widths of the dense nets"""
    num_latents: int = 10
    critic: tuple[int, ...] = (1000,) * 5
    """widths of the critic"""


def logits(config):
    """A critic of two outputs, as pythae has it; T(z) is their difference."""
    leaky = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    net = nets.mlp(config.num_latents, 2, hidden=config.critic, activation=leaky)

    def difference(params, z, key=None):
        both = net.apply(params, z, key=key)
        return both[..., :1] - both[..., 1:]

    return protocol.Net(net.init, difference)


def start(config):
    """{"model", "critic"}, the same in both libraries."""
    critic = jax.jit(logits(config).init)(jax.random.key(2))
    return {"model": latent.start(config, "vae"), "critic": critic}


def ours(config, objective) -> dict[str, latent.Peer]:
    built, x = latent.model(config, "vae"), jnp.asarray(latent.bits(config, "vae"), jnp.int32)
    params, adam, key = start(config), optax.adam(latent.LEARNING_RATE), jax.random.key(1)
    if objective == "tc-vae":
        params, batch = params["model"], x
        loss = functools.partial(disentangled.tc_vae_loss, built, beta=BETA, num_data=NUM_DATA)
        algorithm = learning.gradient_descent(lambda key: params, loss, adam)
    else:
        critic, batch = logits(config), (x, x[::-1])
        options = {"gamma": GAMMA, "num_data": NUM_DATA}

        def loss(params, key, batch):
            return disentangled.factor_vae_loss(built, critic, params, key, batch[0], **options)

        def critic_loss(params, key, batch):
            return disentangled.factor_critic_loss(built, critic, params, key, *batch)

        players = {
            "model": learning.Player(loss, adam),
            "critic": learning.Player(critic_loss, adam),
        }
        algorithm = learning.alternate(players, lambda key: params)

    def several(state, key, batch):
        body = lambda state, t: algorithm.step(state, jax.random.fold_in(key, t), batch)
        return jax.lax.scan(body, state, jnp.arange(config.scanned))

    def peer(step, steps):
        step, states = jax.jit(step, donate_argnums=0), [jax.jit(algorithm.init)(key)]

        def call():
            states[0], metrics = step(states[0], key, batch)
            return metrics

        return latent.Peer(call, first, sum(a.size for a in jax.tree.leaves(params)), steps)

    first = float(jax.jit(loss)(params, key, batch)[0])
    return {"dgm_jax": peer(algorithm.step, 1), "dgm_jax scan": peer(several, config.scanned)}


def pythae(config, objective) -> latent.Peer:
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


def factor_peer(built, x) -> latent.Peer:
    """A step as its adversarial trainer makes it."""
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


def main(config: Config) -> dict:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    if not config.objectives:
        raise checks.InputError("objectives is empty; name at least one, as --objectives tc-vae.")
    checks.divisible(np.zeros(config.batch), 2, "the VAE and the critic")
    machine, found, left_out = measure.machine(), {}, {}
    for objective in config.objectives:
        found[objective] = ours(config, objective)
        for library in config.libraries:
            try:
                found[objective][library] = pythae(config, objective)
            except ImportError:
                left_out[f"{objective} {library}"] = "is not installed"
    rows = latent.measurements(config, found)
    machine |= peers.versions(config.libraries) | {"left_out": left_out}
    return {"rows": rows, "machine": machine | {"batch": config.batch, "clock": config.clock}}


def draw(config, found):
    """Milliseconds a step, a bar for each library."""
    title = f"One step of training, {config.batch} rows"
    return times.bars(found["rows"], "objective", "library", title=title)


if __name__ == "__main__":
    runs.benchmark(Config, main, latent.tables, draw, save=plots.save)
