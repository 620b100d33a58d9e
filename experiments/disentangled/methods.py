"""The methods of `compare` and `dsprites`, each with one number for its strength."""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from dgm_jax import checks, disentangled, learning, nets, protocol

Name = Literal[
    "vae", "beta-vae", "annealed-vae", "beta-tcvae", "factor-vae", "dip-vae", "dip-vae-i"
]  # fmt: skip
KINDS = {"dip-vae": "II", "dip-vae-i": "I"}
DEFAULT = ("vae", "beta-vae", "annealed-vae", "beta-tcvae", "factor-vae", "dip-vae")


@dataclasses.dataclass(frozen=True)
class Strengths:
    """Options of both experiments: the methods, and their strengths."""

    models: tuple[Name, ...] = DEFAULT
    """which methods to train, with --num-seeds seeds at each of their strengths"""
    betas: tuple[float, ...] = (2.0, 4.0, 8.0)
    """the weights β of the KL term, for the beta-vae"""
    capacities: tuple[float, ...] = (3.0, 5.0, 7.0)
    """the capacities C in nats, for the annealed-vae; they grow from 0 in the first two thirds of
    the steps"""
    tc_betas: tuple[float, ...] = (2.0, 4.0, 8.0)
    """the weights β of the total correlation, for the beta-tcvae"""
    gammas: tuple[float, ...] = (2.0, 5.0, 10.0)
    """the weights γ of the total correlation by a critic, for the factor-vae"""
    penalties: tuple[float, ...] = (1.0, 5.0, 20.0)
    """the weights λ_od of the off-diagonal of the covariance, for the DIP-VAEs; the weight λ_d of
    the diagonal is the same for kind II (dip-vae), and ten times as large for kind I"""
    capacity_weight: float = 30.0
    """the weight γ of |KL - C|, for the annealed-vae"""
    critic_hidden: tuple[int, ...] = (256, 256, 256)
    """widths of the hidden layers of the factor-vae's critic"""
    critic_rate: float = 1e-3
    """the learning rate of the critic, by Adam with b1 = 0.5 and b2 = 0.9"""
    learning_rate: float = 1e-3
    """the learning rate of Adam"""
    batch_size: int = 64
    """images per step; the critic of the factor-vae gets as many further ones"""
    num_latents: int = 10
    """the number of entries of z"""


def strengths(config: Any, name: str) -> tuple[float, ...]:
    """The strengths of the method `name`; `InputError` if there is none, or one of them twice."""
    found = {
        "vae": (1.0,),
        "beta-vae": config.betas,
        "annealed-vae": config.capacities,
        "beta-tcvae": config.tc_betas,
        "factor-vae": config.gammas,
    }.get(name, config.penalties)
    if len(set(found)) < len(found) or not found:
        raise checks.InputError(f"strengths of {name} must be different numbers; got {found}.")
    return found


def titled(name: str, strength: float) -> str:
    """The name of a method and strength in results.json."""
    return name if name == "vae" else f"{name}, {strength:g}"


def learner(
    config: Any, name: str, model: protocol.LatentVariable, num_data: int, num_steps: int
) -> protocol.Algorithm:
    """An `Algorithm` whose step takes `num_rows` rows and fixed={"strength": a number}."""
    adam = optax.adam(config.learning_rate)
    if name == "factor-vae":
        return _with_critic(config, model, adam, num_data)

    def loss(params, key, x, weights, fixed):
        strength = fixed["strength"]
        given: dict[str, Any] = {"num_data": num_data}
        if name == "annealed-vae":
            given |= {"capacity": strength * weights["share"], "gamma": config.capacity_weight}
            return disentangled.capacity_loss(model, params, key, x, **given)
        if name == "beta-tcvae":
            return disentangled.tc_vae_loss(model, params, key, x, beta=strength, **given)
        if name in KINDS:
            given |= {"kind": KINDS[name], "off_diagonal": strength}
            return disentangled.dip_vae_loss(model, params, key, x, **given)
        return disentangled.beta_vae_loss(model, params, key, x, beta=strength, **given)

    share = optax.linear_schedule(0.0, 1.0, max(2 * num_steps // 3, 1))
    return learning.gradient_descent(model.init, loss, adam, weights={"share": share})


def _with_critic(config, model, adam, num_data):
    activation = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    critic = nets.mlp(config.num_latents, 1, hidden=config.critic_hidden, activation=activation)

    def loss(params, key, x, fixed):
        return disentangled.factor_vae_loss(
            model, critic, params, key, x, gamma=fixed["strength"], num_data=num_data
        )

    def critic_loss(params, key, x, fixed):
        return disentangled.factor_critic_loss(model, critic, params, key, x)

    def init(key):
        model_key, critic_key = jax.random.split(key)
        return {"model": model.init(model_key), "critic": critic.init(critic_key)}

    players = {
        "model": learning.Player(loss, adam),
        "critic": learning.Player(critic_loss, optax.adam(config.critic_rate, b1=0.5, b2=0.9)),
    }
    algorithm = learning.alternate(players, init)
    return algorithm._replace(params=lambda state: algorithm.params(state)["model"])


def num_rows(config: Any, name: str) -> int:
    """Rows in a step: batch_size, and twice as many for the factor-vae with its critic."""
    return config.batch_size * (2 if name == "factor-vae" else 1)


def seen(
    model: protocol.LatentVariable, params: protocol.Params, key: protocol.Key, x: protocol.Array
) -> dict[str, protocol.Array]:
    """The mean and deviation of q(z | x), each [n, d], and -log p(x | z) [n] for one draw of z."""
    posterior = model.posterior(params, x)
    z = posterior.sample(seed=key)
    distortion = -model.likelihood(params, z).log_prob(x)
    mean, scale = (jnp.broadcast_to(f(), z.shape) for f in (posterior.mean, posterior.stddev))
    return {"mean": mean, "scale": scale, "distortion": distortion}


def unit_kl(mean: protocol.Rows, scale: protocol.Rows) -> protocol.Array:
    """KL(q(z_j | x) ‖ N(0, 1)) of each row and unit in nats, [..., n, d]."""
    return 0.5 * (mean**2 + scale**2 - 1) - jnp.log(scale)
