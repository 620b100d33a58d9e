"""Six methods of disentanglement, at three strengths and with five seeds, by six metrics.

    python -m experiments.disentangled.compare

trains 80 VAEs on rendered shapes. The 960 images are all combinations of a shape, a size and
positions x and y, so their factors are known. The experiment takes about ten minutes of one CPU
core. The codes E[z | x] of all images are compared with the factors (`metrics.code_scores`). The
methods and their strengths:

    vae            the ELBO
    beta-vae       the ELBO with 2, 4, 8 times the KL term
    annealed-vae   the KL held at a capacity C that grows to 3, 5, 7 nats
    beta-tcvae     the ELBO with 2, 4, 8 times the total correlation, estimated by batches
    factor-vae     the ELBO less 2, 5, 10 times the total correlation, by a critic
    dip-vae        the ELBO with a penalty that draws the covariance of q(z) to I

Expect that a larger β lowers the KL and the total correlation, and costs likelihood; methods that
penalise the total correlation alone lower it at a better reconstruction. The factor-vae lowers the
coarse total correlation: its critic sees how entries depend on each other, and not that 960 sharp
codes are isolated points, which is most of the total correlation of such a small set. The scores of
one method vary from seed to seed about as much as they vary between methods.

results.json has a row models.NAME for each method and strength, such as "beta-vae, 4", with lists
over seeds. Scores: betavae_score, factorvae_score, mig, dci, modularity, sap; also completeness,
informativeness, explicitness, udr (which uses no factors), mig_adjusted and modularity_adjusted. In
nats, by sums over all 960 codes: reconstruction, -E log p(x | z), kl, total_correlation and
mutual_information; and coarse_total_correlation, of codes with added noise of deviation 0.2.
active_units counts units. `references` has the scores of two known kinds of codes: the factors
themselves, which show what can be reached, and random noise, which shows what chance gives.

The pictures: scores.png, each score against the reconstruction; ranks.png, whether metrics agree in
how they rank the models; traversals.png, images as one unit of z moves, for the first seed at the
middle strength, with units sorted by their KL; capacity.png, how the units of the annealed-vae come
into use one after the other.

All runs of a method are one compiled program: in parallel by `vmap` on an accelerator, and one
after the other on a CPU, where `vmap` would take a tenth to a third more time.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import data, learning, likelihoods, nets, protocol, runs, vae
from dgm_jax.runs import processes
from dgm_jax.runs.directory import defining
from experiments.disentangled import judge, methods
from experiments.options import check

NUM_LOOKS = 25  # evaluations of the runs during training


@dataclasses.dataclass(frozen=True)
class Config(methods.Strengths, runs.RunOptions):
    num_seeds: int = 5
    """runs of each method at each strength"""
    num_steps: int = 5000
    """gradient steps of each run"""
    hidden: tuple[int, ...] = (128, 128)
    """widths of the encoder; those of the decoder are the same in reverse"""


QUICK: dict[str, Any] = {
    "num_steps": 25,
    "num_seeds": 2,
    "hidden": (8,),
    "num_latents": 3,
    "batch_size": 8,
}
QUICK |= {"critic_hidden": (8,), "models": ("vae", "annealed-vae", "factor-vae")}
QUICK |= {"capacities": (3.0,), "gammas": (2.0,)}


def build(config: Config, dim: int) -> protocol.LatentVariable:
    """A VAE of rows of `dim` bits by dense nets with ReLU; the decoder mirrors the encoder."""
    n = config.num_latents
    options: dict[str, Any] = {"activation": jax.nn.relu}
    encoder = nets.mlp(dim, 2 * n, hidden=config.hidden, **options)
    decoder = nets.mlp(n, dim, hidden=config.hidden[::-1], **options)
    return vae.vae(encoder, decoder, likelihoods.bernoulli(), dim, num_latents=n)


# --------------------------------------------------------------------------------------- training
def each(function: Callable) -> Callable:
    """A function of one run, as a function of stacked runs: in parallel, on a CPU one by one."""
    if jax.default_backend() != "cpu":
        return jax.vmap(function)
    return lambda *runs: jax.lax.map(lambda one: function(*one), runs)


def stacked(
    algorithm: protocol.Algorithm, *, num_runs: int, num_seeds: int, num_rows: int, chunk: int
) -> protocol.Algorithm:
    """An `Algorithm` that trains all runs (strengths × seeds); its step is `chunk` steps of each.

    Its step takes fixed={"strength": [runs], "rows": [n, d]}. Runs of the same seed start from the
    same parameters and see the same batches of num_rows rows, at every strength.
    """

    def per_run(key):
        return jnp.tile(jax.random.split(key, num_seeds), num_runs // num_seeds)

    def init(key):
        return each(algorithm.init)(per_run(key))

    def step(state, key, batch=None, fixed: Any = None):
        rows, strength = fixed["rows"], fixed["strength"]

        def one_run(state, key, strength):
            def one_step(state, key):
                rows_key, step_key = jax.random.split(key)
                taken = jax.random.choice(rows_key, len(rows), (num_rows,), replace=False)
                given = {"fixed": {"strength": strength}}
                return algorithm.step(state, step_key, rows[taken], **given)

            return jax.lax.scan(one_step, state, jax.random.split(key, chunk))

        state, found = each(one_run)(state, per_run(key), strength)
        return state, {
            name: x.sum() if "skipped" in name else x.mean() for name, x in found.items()
        }

    return protocol.Algorithm(init, step, algorithm.params)


def chunks(config: Config) -> tuple[int, int]:
    """The number of steps of `learning.train`, and the number of training steps in each of them."""
    length = max(config.num_steps // NUM_LOOKS, 1)
    return -(-config.num_steps // length), length


def fit(
    config: Config, name: str, rows: np.ndarray
) -> tuple[protocol.LatentVariable, learning.Trained, dict[str, np.ndarray]]:
    """The model, what `learning.train` returns, and `methods.seen` of all runs."""
    model, values = build(config, rows.shape[1]), methods.strengths(config, name)
    num, chunk = chunks(config)
    one = methods.learner(config, name, model, len(rows), num * chunk)
    strength = np.repeat(np.array(values, np.float32), config.num_seeds)
    sizes = {"num_runs": len(strength), "num_seeds": config.num_seeds, "chunk": chunk}
    algorithm = stacked(one, num_rows=methods.num_rows(config, name), **sizes)
    look = jax.jit(
        lambda params, key, rows: each(lambda p, k: methods.seen(model, p, k, rows))(
            params, jax.random.split(key, len(strength))
        )
    )

    def evaluate(params, key):
        found = look(params, key, rows)
        kl = np.asarray(methods.unit_kl(found["mean"], found["scale"]).mean(1))  # [runs, units]
        told = {f"kl_{i}": float(nats) for i, nats in enumerate(kl[-config.num_seeds])}
        return told | {"set_distortion": float(found["distortion"].mean())}

    trained = learning.train(
        algorithm,
        jax.random.key(config.seed),
        num_steps=num,
        fixed={"strength": strength, "rows": rows},
        evaluate=evaluate,
        eval_every=1,
        log_every=1,
        identity={"options": defining(config), "method": name},
        workdir=config.directory / name,
        progress=config.progress,
        description=name,
    )
    found = look(trained.params, jax.random.key(config.seed + 1), rows)
    return model, trained, jax.tree.map(np.asarray, found)


def told(
    config: Config, name: str, found: dict[str, np.ndarray], factors: np.ndarray, seconds: float
) -> dict[str, dict]:
    """{title: what results.json says of the method at one strength}."""
    rows = {}
    for i, strength in enumerate(methods.strengths(config, name)):
        own = range(i * config.num_seeds, (i + 1) * config.num_seeds)
        seen = [jax.tree.map(lambda a: a[r], found) for r in own]
        keys = jax.random.split(jax.random.key(config.seed + 2), len(seen))
        row = judge.gathered([judge.judged(*run, factors) for run in zip(keys, seen)], seen)
        numbers = {"strength": strength, "num_steps": config.num_steps, "train_seconds": seconds}
        rows[methods.titled(name, strength)] = row | numbers
    return rows


def main(config: Config) -> dict:
    check(config, "models")
    for name in config.models:
        methods.strengths(config, name)
    shapes = data.load_factored("shapes")
    rows = shapes.x.reshape(len(shapes.x), -1)
    models, shown = {}, {}
    for name in config.models:
        model, trained, found = fit(config, name, rows)
        models |= told(config, name, found, shapes.factors, trained.seconds)
        values = methods.strengths(config, name)
        middle = len(values) // 2
        params = jax.tree.map(lambda a: a[middle * config.num_seeds], trained.params)
        look = jax.jit(functools.partial(judge.traversed, model))
        shown[methods.titled(name, values[middle])] = look(params, rows)
        if name == "annealed-vae" and processes.first():
            judge.draw_capacity(config, trained.history, chunks(config)[1], values[-1])
    known = judge.references(jax.random.key(config.seed), shapes.factors, config.num_latents)
    correlation = judge.correlations(models)
    if processes.first():
        judge.draw_scores(config, models, known["noise"])
        judge.draw_ranks(config, correlation)
        judge.draw_traversals(config, shapes.x.shape[1:], shown)
    return {
        "models": models,
        "references": known,
        "rank_correlation": correlation,
        "factors": dict(zip(shapes.names, shapes.sizes)),
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=judge.show, minutes=10)
