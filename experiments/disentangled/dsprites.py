r"""dSprites with the published architecture: six methods of disentanglement, by six metrics.

    python -m experiments.disentangled.dsprites --data-dir FOLDER

The 46,080 images are all combinations of 3 shapes, 6 scales, 10 orientations and 16×16 positions, a
grid of those of dSprites. No two are the same: of the orientations 0 and 2π, which look the same,
only the first is in the grid. Encoder and decoder are those of Locatello et al. (2019): four 4×4
convolutions of stride 2 with 32, 32, 64, 64 channels, a dense layer of 256, z of 10 entries, and
the same in reverse. There a run has 300,000 steps of 64 images at a learning rate of 1e-4, and each
method six strengths and 50 seeds. On two cores, --num-steps 3000 at a learning rate of 5e-4 is
affordable, with one seed and a strength in the middle of theirs, which is the default: a step takes
some 0.2 s of one core, and a run about ten minutes. On an accelerator (not run at that length):

    python -m experiments.disentangled.dsprites --data-dir FOLDER --num-steps 300000 \
        --learning-rate 1e-4 --critic-rate 1e-4 --critic-hidden 1000 1000 1000 1000 1000 1000 \
        --num-seeds 5 --capacity-weight 1000 --betas 1 2 4 6 8 16 --tc-betas 2 4 6 8 10 \
        --capacities 5 10 25 50 75 100 --gammas 10 20 30 40 50 100 --penalties 1 2 5 10 20 50

results.json and the pictures are described in `experiments.disentangled.compare`; here the total
correlation is a sum over all rows at 2000 of their codes. --data shapes takes the rendered shapes.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import data, learning, likelihoods, nets, protocol, runs, vae
from dgm_jax.runs import processes
from dgm_jax.runs.directory import defining
from experiments.disentangled import judge, methods
from experiments.options import check

BATCH = 512  # rows that are evaluated at once
NUM_WATCHED = 1000  # rows on which units are evaluated during training


@dataclasses.dataclass(frozen=True)
class Config(methods.Strengths, runs.RunOptions):
    data: Literal["dsprites", "shapes"] = "dsprites"
    """images from dSprites, in --data-dir, or the rendered shapes, which need no file"""
    betas: tuple[float, ...] = (4.0,)
    capacities: tuple[float, ...] = (15.0,)
    tc_betas: tuple[float, ...] = (6.0,)
    gammas: tuple[float, ...] = (20.0,)
    penalties: tuple[float, ...] = (5.0,)
    learning_rate: float = 5e-4
    num_seeds: int = 1
    """runs of each method at each strength"""
    num_steps: int = 3000
    """gradient steps of each run"""
    channels: tuple[int, ...] = (32, 32, 64, 64)
    """channels of the encoder's convolutions; the decoder has the same in reverse"""
    width: int = 256
    """the width of the dense layer between the convolutions and z"""
    eval_every: int = 300
    """steps between two evaluations of the units of the annealed-vae"""


QUICK: dict[str, Any] = {
    "num_steps": 4,
    "eval_every": 2,
    "channels": (4, 4),
    "width": 8,
    "num_latents": 3,
}
QUICK |= {"critic_hidden": (8,), "models": ("vae", "annealed-vae", "factor-vae"), "batch_size": 8}
QUICK |= {"data": "shapes"}


@runs.builder
def build(config: Config, shape: tuple[int, int, int]) -> protocol.LatentVariable:
    """A VAE of images [H, W, C] of bits by the convolutions of Locatello et al. (2019)."""
    n = config.num_latents
    options: dict[str, Any] = {"activation": jax.nn.relu}
    into = nets.conv_encoder(shape, config.width, hidden=config.channels, **options)
    back = config.channels[::-1]
    out = nets.conv_decoder(config.width, shape, shape[-1], hidden=back, **options)
    encoder = chained(into, nets.mlp(config.width, 2 * n, hidden=()))
    decoder = chained(nets.mlp(n, config.width, hidden=()), out)
    return vae.vae(encoder, decoder, likelihoods.bernoulli(), shape, num_latents=n)


def chained(first: protocol.Net, second: protocol.Net) -> protocol.Net:
    """The net x ↦ second(relu(first(x)))."""

    def init(key):
        first_key, second_key = jax.random.split(key)
        return {"first": first.init(first_key), "second": second.init(second_key)}

    def apply(params, x, key=None):
        first_key, second_key = protocol.split(key, 2)
        h = jax.nn.relu(first.apply(params["first"], x, key=first_key))
        return second.apply(params["second"], h, key=second_key)

    return protocol.Net(init, apply)


def fit(
    config: Config, name: str, strength: float, seed: int, rows: np.ndarray
) -> tuple[protocol.LatentVariable, learning.Trained, dict[str, np.ndarray]]:
    """The model, what `learning.train` returns, and `methods.seen` of all rows, of one run."""
    recipe = learning.Recipe(build, {"config": config, "shape": rows.shape[1:]})
    model, title = recipe.model(), methods.titled(name, strength)
    look = jax.jit(functools.partial(methods.seen, model))
    watched = data.subset(rows, min(NUM_WATCHED, len(rows)), config.seed)

    def evaluate(params, key):
        found = look(params, key, watched)
        kl = methods.unit_kl(found["mean"], found["scale"]).mean(0)
        told = {f"kl_{i}": float(nats) for i, nats in enumerate(kl)}
        return told | {"set_distortion": float(found["distortion"].mean())}

    trained = learning.train(
        methods.learner(config, name, model, len(rows), config.num_steps),
        jax.random.key(config.seed + seed),
        data.batches(rows, methods.num_rows(config, name), seed=config.seed + seed),
        num_steps=config.num_steps,
        fixed={"strength": jnp.float32(strength)},
        evaluate=evaluate,
        eval_every=config.eval_every,
        identity={
            "options": defining(config),
            "run": [name, strength, seed],
            "data": learning.fingerprint(rows),
        },
        workdir=config.directory / f"{title.replace(', ', '-')}-seed-{seed}",
        progress=config.progress,
        description=f"{title}, seed {seed}",
        recipe=recipe,
    )
    keys = jax.random.split(jax.random.key(config.seed + 1), -(-len(rows) // BATCH))
    parts = [
        jax.tree.map(np.asarray, look(trained.params, key, rows[i * BATCH : (i + 1) * BATCH]))
        for i, key in enumerate(keys)
    ]
    return model, trained, {what: np.concatenate([p[what] for p in parts]) for what in parts[0]}


def told(
    config: Config, name: str, strength: float, rows: np.ndarray, factors: np.ndarray
) -> tuple[dict, tuple[protocol.LatentVariable, learning.Trained]]:
    """What results.json says of a method at a strength; then the model and result of a run."""
    fitted = [fit(config, name, strength, seed, rows) for seed in range(config.num_seeds)]
    seen = [found for *_, found in fitted]
    keys = jax.random.split(jax.random.key(config.seed + 2), len(seen))
    row = judge.gathered([judge.judged(*run, factors) for run in zip(keys, seen)], seen)
    seconds = sum(trained.seconds for _, trained, _ in fitted)
    numbers = {"strength": strength, "num_steps": config.num_steps, "train_seconds": seconds}
    return row | numbers, fitted[0][:2]


def main(config: Config) -> dict:
    check(config, "models")
    for name in config.models:
        methods.strengths(config, name)
    found = data.load_factored(config.data, config.data_dir)
    rows = found.x.astype(np.uint8)[..., None]
    models, shown = {}, {}
    for name in config.models:
        values = methods.strengths(config, name)
        for strength in values:
            title = methods.titled(name, strength)
            models[title], (model, trained) = told(config, name, strength, rows, found.factors)
            if strength == values[len(values) // 2]:
                look = jax.jit(functools.partial(judge.traversed, model))
                shown[title] = look(trained.params, rows[:: -(-len(rows) // NUM_WATCHED)])
            if name == "annealed-vae" and strength == values[-1] and processes.first():
                judge.draw_capacity(config, trained.history, 1, strength)
    known = judge.references(jax.random.key(config.seed), found.factors, config.num_latents)
    correlation = judge.correlations(models)
    if processes.first():
        judge.draw_scores(config, models, known["noise"])
        judge.draw_ranks(config, correlation)
        judge.draw_traversals(config, rows.shape[1:3], shown)
    return {
        "models": models,
        "references": known,
        "rank_correlation": correlation,
        "factors": dict(zip(found.names, found.sizes)),
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=judge.show, minutes=20)
