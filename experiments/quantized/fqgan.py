r"""FQ-GAN: an SNGAN whose critic quantises its features by a codebook, beside the same GAN without.

    python -m experiments.quantized.fqgan

trains both on the 8x8 digits, for two seeds each, in about five minutes of one core. The two models
of a seed start from the same parameters and see the same batches. The critic consists of residual
blocks, a codebook of 2^6 vectors (moving averages of features with decay 0.8), and a linear map of
the quantised features. The game is the hinge loss, to which the critic adds --weight times the
commitment loss of its features.

Samples are judged as in experiments.gans.images, by the features of a classifier that the run
trains, so figures can only be compared within a run. Expect 57 of 64 codes in use, and a gain that
is no larger than the difference between two seeds. The pictures are samples.png and curves.png (the
Fréchet distance on the validation split).

    python -m experiments.quantized.fqgan --data cifar10 --data-dir FOLDER --num-steps 100000 \
        --hidden 128 --num-codes 256 --eval-every 5000

is near the setting of the paper (for an accelerator; not run), where the FID of a BigGAN on
CIFAR-10 falls from 6.30 to 5.59. Zhao et al. (2020), "Feature quantization improves GAN training".
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
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
    quantized,
    runs,
)
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import fitting
from experiments.gans import images, judge
from experiments.options import Data, check
from experiments.quantized import stages

MODELS = ("plain", "quantised")


@dataclasses.dataclass(frozen=True)
class Config(stages.Judged, Data, runs.RunOptions):
    models: tuple[str, ...] = MODELS
    """which models to train: the GAN without a codebook, and the FQ-GAN (quantised)"""
    num_seeds: int = 2
    """the number of seeds of each model, from --seed on"""
    num_codes: int = 64
    """the number of vectors in the codebook"""
    decay: float = 0.8
    """the decay of the moving averages in the codebook"""
    revive: float = 0.1
    """a code that is used less often than this fraction of an equal share is set to a feature of
    the batch; 0: never"""
    beta: float = 1.0
    """the weight of the commitment in the loss of the codebook"""
    weight: float = 1.0
    """the weight of the codebook's loss in the loss of the critic"""
    num_steps: int = 2000
    """training steps, each with one update of the generator"""
    hidden: int = 32
    """channels at the full size of the image"""
    num_latents: int = 64
    """the number of entries of z"""
    learning_rate: float = 2e-4
    """the learning rate of Adam for both players"""
    critic_updates: int = 2
    """updates of the critic per step"""
    batch_size: int = 64
    """examples per update"""
    ema_decay: float = 0.999
    """the decay of the moving average of the generator's parameters, which is what is evaluated"""
    eval_every: int = 500
    """steps between two evaluations"""
    devices: int | None = None
    """the number of devices that share each batch; by default all accelerators, or one per core"""


QUICK = {"num_steps": 4, "eval_every": 2, "hidden": 4, "num_samples": 64, "classifier_steps": 20}
QUICK |= {"num_seeds": 1, "critic_updates": 1, "num_codes": 8}
COLUMNS = 16  # of the picture


def parts(config: Config, name: str, shape: tuple[int, int, int]) -> tuple:
    """The critic's residual blocks, its codebook (None without one), and its last layers."""
    trunk = nets.residual_features(shape, hidden=config.hidden)
    places = trunk_shape(trunk, shape)
    quantiser = None
    if name == "quantised":
        options = {"decay": config.decay, "revive": config.revive}
        quantiser = quantized.averaged_codebook(config.num_codes, places[-1], **options)
    return trunk, quantiser, nets.residual_head(places)


@runs.builder
def build(config: Config, name: str, shape: tuple[int, int, int]) -> protocol.Adversarial:
    """An SNGAN; if quantised, with a codebook before the last layers of its critic."""
    checks.choice(name, MODELS, "models")
    generator = nets.residual_generator(config.num_latents, shape, hidden=config.hidden)
    critic = quantized.quantised_critic(*parts(config, name, shape), beta=config.beta)
    prior = distributions.standard_normal(config.num_latents)
    return combinators.adversarial(prior, generator, critic)


def trunk_shape(trunk: protocol.StatefulNet, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The shape of the features of one picture."""

    def made(key, x):
        return trunk.apply(*trunk.init(key), x, train=False)[0]

    x = jax.ShapeDtypeStruct((1, *shape), np.float32)
    return jax.eval_shape(made, jax.random.key(0), x).shape[1:]


def game(config: Config, model: protocol.Adversarial) -> protocol.Algorithm:
    """The `Algorithm` that trains: the hinge game; the critic also has the codebook's loss."""
    hinge = objectives.hinge()

    def of_critic(params, key, x, *, state):
        return quantized.fq_critic_loss(
            model, hinge, params, key, x, state=state, weight=config.weight
        )

    def of_generator(params, key, x, *, state):
        return objectives.generator_loss(model, hinge, params, key, x, state=state)

    adam = optax.adam(config.learning_rate, b1=0.0, b2=0.999)
    players = {
        "critic": learning.Player(of_critic, adam, config.critic_updates),
        "generator": learning.Player(of_generator, adam, ema_decay=config.ema_decay),
    }
    return learning.alternate(
        players,
        lambda key: model.init(key)[0],
        init_state=lambda key, params: model.init(key)[1],
    )


def usage(config: Config, data: Any, params: protocol.Params) -> dict:
    """The perplexity of the codes of all training rows."""
    params, state = (part["critic"] for part in params)
    trunk, quantiser, _ = parts(config, "quantised", data.shape)

    @jax.jit
    def counted(params, state, x):
        h, _ = trunk.apply(params["trunk"], state["trunk"], x, train=False)
        found, _ = quantiser.apply(params["quantiser"], state["quantiser"], h, train=False)
        return quantized.counts(found.codes, quantiser.num_codes)

    x, size = data.rows["train"], 500
    counts = [counted(params, state, x[i : i + size]) for i in range(0, len(x), size)]
    count = np.sum(np.asarray(counts), 0)
    return {"perplexity": float(quantized.perplexity(count)), "num_codes": config.num_codes}


def fit(config: Config, name: str, data: Any, features: Callable) -> tuple:
    """The model of one seed, and what `fitting.fit` returns for it."""
    recipe = learning.Recipe(build, {"config": config, "name": name, "shape": data.shape})
    model = recipe.model()
    sample = functools.partial(images.sampled, config, model, config.num_samples, 0)
    held_out = {split: data.rows[split][: config.num_samples] for split in ("valid", "test")}
    task = fitting.samples_task(
        sample,
        functools.partial(judge.by_features, features),
        held_out,
        monitor="frechet",
        minimise=True,
    )
    size = min(config.batch_size * (config.critic_updates + 1), len(data.rows["train"]))
    size -= size % (config.critic_updates + 1)
    fitted = fitting.fit(
        config,
        f"{name}-{config.seed}",
        game(config, model),
        task,
        datasets.batches(data.rows["train"], size, seed=config.seed),
        num_steps=config.num_steps,
        eval_every=config.eval_every,
        recipe=recipe,
    )
    fitted.row["num_params"] = protocol.num_params(fitted.params[0])
    if name == "quantised":
        fitted.row.update(usage(config, data, fitted.params))
    return model, fitted


def main(config: Config) -> dict:
    check(config, "models")
    _, data = images.pictures(config)
    judge.check_samples(config, {split: data.rows[split] for split in ("valid", "test")})
    features, _, error = judge.features_of(config, data)
    found = {}
    for seed in range(config.seed, config.seed + config.num_seeds):
        for name in config.models:
            of_seed = dataclasses.replace(config, seed=seed)
            found[f"{name}, seed {seed}"] = fit(of_seed, name, data, features)
    if processes.first():
        draw(config, data, found)
    held_out, train = (data.rows[split][: config.num_samples] for split in ("test", "train"))
    return {
        "models": {name: fitted.row for name, (_, fitted) in found.items()},
        "floor": judge.by_features(features, train, held_out),
        "num_samples": config.num_samples,
        "num_held_out": len(held_out),
        "data": config.data,
        "features": "pixels" if error is None else "classifier",
        "classifier_error": error,
        "inception": None,
    }


def draw(config: Config, data: Any, found: dict) -> None:
    """Saves samples.png and curves.png."""
    key = jax.random.key(config.seed + 1)
    rows = {"training rows": data.rows["train"][: 2 * COLUMNS]}
    for name, (model, fitted) in found.items():
        draws = functools.partial(images.sampled, config, model, 2 * COLUMNS, 0)
        rows[name] = jax.jit(draws)(fitted.params, jax.random.clone(key))
    x = np.concatenate([np.asarray(r) for r in rows.values()])
    figure = plots.sample_grid(
        x[..., 0] if data.shape[2] == 1 else x,
        columns=COLUMNS,
        row_names=list(rows),
        vmin=-1,
        vmax=1,
    )
    plots.save(figure, config.directory / "samples.png")
    curves = {name: fitted.curves["valid_frechet"] for name, (_, fitted) in found.items()}
    figure = plots.curves(curves, xlabel="step", ylabel="Fréchet distance, validation", logy=True)
    plots.save(figure, config.directory / "curves.png")


def show(found: dict) -> None:
    images.show(found)
    for name, r in found["models"].items():
        if "perplexity" in r:
            print(f"{name}: {r['perplexity']:.1f} of {r['num_codes']} codes in use.")


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=5)
