"""One variational autoencoder, and what each estimator says of its likelihood.

    python -m experiments.inference.likelihood

trains a small model of the digits in one bit, and then asks for log p(x) of test rows: the ELBO,
naive Monte Carlo, importance sampling with 10 to 10,000 samples, and annealed importance sampling,
from the prior and from the encoder. Then again for rows that the model makes itself, whose z is
known: there annealing back from it gives an upper bound, and log p(x) lies between. One sample is
the ELBO. With

    python -m experiments.inference.likelihood --run runs/vae/bits/vae --num-rows 50

the model is one that `experiments.vae.bits` has trained. likelihood-made.png, likelihood-test.png:
estimates against samples.
Three minutes on two CPU cores by default. Expect the order ELBO < importance sampling, which rises
with its samples, <= annealing <= reverse annealing within errors (here -22.23 and -22.24 nats), and
naive Monte Carlo of 10,000 samples below importance sampling of 10. With a model of binarized MNIST
(50 latents) importance sampling with 10,000 samples was 0.7 nats below annealing from the encoder
in 200 steps on test rows; Wu et al. (2017) found about one.
"""

import dataclasses
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import learning, likelihoods, metrics, nets, objectives, plots, runs, vae
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.options import Data, Training, check


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    data: str = "digits_bits"
    """a set of bits by its name, or a file or folder of your own (README, Data)"""
    run: Path | None = None
    """the folder of one trained model of bits, such as runs/vae/bits/vae, and of its data; by
    default a small one is trained first"""
    num_latents: int = 12
    hidden: tuple[int, ...] = (100,)
    """widths of the tanh layers of encoder and decoder of the small one"""
    num_steps: int = 2000
    batch_size: int = 100
    weight_decay: float = 0.1
    num_rows: int = 100
    """test rows, and rows that the model makes, whose likelihood is estimated"""
    num_samples: tuple[int, ...] = (1, 10, 100, 1000, 10_000)
    """of naive Monte Carlo and importance sampling"""
    annealing_steps: int = 1000
    """from the prior"""
    encoder_steps: int = 200
    """of annealing from the encoder"""
    num_chains: int = 8


QUICK = {
    "num_steps": 20, "eval_every": 10, "hidden": (8,), "num_latents": 3, "num_rows": 6,
    "num_samples": (1, 10), "annealing_steps": 5, "encoder_steps": 5, "num_chains": 2,
}  # fmt: skip


@runs.builder
def build(dim: int, hidden: tuple[int, ...], num_latents: int):
    options = {"hidden": hidden, "activation": jnp.tanh}
    return vae.vae(
        nets.mlp(dim, 2 * num_latents, **options),
        nets.mlp(num_latents, dim, **options),
        likelihoods.bernoulli(),
        dim,
        num_latents=num_latents,
    )


def trained(config, rows):
    """A small model and its parameters."""
    given = {"dim": rows["test"].shape[1], "hidden": config.hidden}
    recipe = learning.Recipe(build, given | {"num_latents": config.num_latents})
    task = fitting.bound_task(recipe.model(), rows, test_samples=100, eval_batch=100)
    fitted = fitting.maximum_bound(
        config, "vae", recipe.model(), rows, task,
        loss=objectives.elbo, beta_steps=config.num_steps // 4, recipe=recipe,
    )  # fmt: skip
    return recipe.model(), fitted.params


def given(config):
    """The model of config.run, its parameters, and the rows that it learned."""
    loaded = learning.load(config.run)
    if loaded.config is not None:
        of_run = {name: loaded.config[name] for name in ("data", "split_seed")}
        config = dataclasses.replace(config, **of_run)
    return loaded.model, loaded.params, sets.bits(config)[1]


# ----------------------------------------------------------------------------------- the estimates
def by_samples(config, model, params, x, key):
    """{"naive": {K: ...}, "importance": {K: ...}}, on x."""
    ways = {"naive": metrics.naive_log_prob, "importance": metrics.importance_log_prob}
    found = {name: {} for name in ways}
    for i, num in enumerate(config.num_samples):
        for j, (name, estimate) in enumerate(ways.items()):
            way_key = jax.random.fold_in(key, len(ways) * i + j)
            options = {"num_samples": num, "chunk_size": 20, "batch_size": 50}
            found[name][str(num)] = timed(estimate, model, params, way_key, x, **options)
    return found


def annealing(config):
    """{name: options} of the chains."""
    return {
        "annealed": {"start": "prior", "num_steps": config.annealing_steps},
        "annealed-encoder": {"start": "posterior", "num_steps": config.encoder_steps},
    }


def timed(estimate, *args, **options):
    start = time.perf_counter()
    return told(estimate(*args, **options), time.perf_counter() - start)


def told(estimate, seconds):
    mean, stderr = objectives.mean_and_stderr(estimate.log_prob)
    return {
        "nats": float(mean),
        "stderr_rows": float(stderr),  # over rows; these are the same ones in all estimates
        "stderr": float(np.sqrt((estimate.stderr**2).mean() / len(estimate.stderr))),
        "effective_samples": float(np.median(estimate.effective_samples)),
        "seconds": seconds,
        "says": str(estimate),
    }


def of_test_rows(config, model, params, x, key):
    sample_key, *keys = jax.random.split(key, 3)
    found = by_samples(config, model, params, x, sample_key)
    for chain_key, (name, options) in zip(keys, annealing(config).items()):
        options = options | {"num_chains": config.num_chains, "batch_size": 50}
        found[name] = timed(metrics.annealed_log_prob, model, params, chain_key, x, **options)
    return found


def of_made_rows(config, model, params, key):
    """The same rows for all: one key makes them for both kinds of chains."""
    rows_key, sample_key = jax.random.split(key)
    more = {"num_rows": config.num_rows, "num_chains": config.num_chains, "batch_size": 50}
    found = {}
    for name, options in annealing(config).items():
        start = time.perf_counter()
        key = jax.random.clone(rows_key)
        both = metrics.bidirectional_log_prob(model, params, key, **options, **more)
        seconds = (time.perf_counter() - start) / 2
        found[name] = told(both.lower, seconds)
        found[name.replace("annealed", "reverse")] = told(both.upper, seconds)
    return by_samples(config, model, params, both.x, sample_key) | found


# --------------------------------------------------------------------------------------- telling
def draw(config, found):
    """How far below the least upper bound all are, on rows that the model makes; and on test rows,
    where there is no such bound, importance sampling beside annealing."""
    made, test = found["made"], found["test"]
    top = min(made[name]["nats"] for name in ("reverse", "reverse-encoder"))
    below = {
        name: (
            np.array([*map(int, made[name])]),
            top - np.array([e["nats"] for e in made[name].values()]),
        )
        for name in ("naive", "importance")
    }
    chains = {name: top - made[name]["nats"] for name in annealing(config)}
    figure = plots.curves(
        {name: (k, np.where(nats > 0, nats, np.nan)) for name, (k, nats) in below.items()},
        xlabel="samples a row", ylabel="nats below the upper bound", logx=True, logy=True,
        baselines={name: nats for name, nats in chains.items() if nats > 0},
        title=f"{config.num_rows} rows that the model makes",
    )  # fmt: skip
    plots.save(figure, config.workdir / "likelihood-made.png")
    sampled = {int(num): estimate["nats"] for num, estimate in test["importance"].items()}
    figure = plots.curves(
        {"importance": (np.array([*sampled]), np.array([*sampled.values()]))},
        xlabel="samples a row", ylabel="log p(x) in nats, mean over rows", logx=True,
        baselines={name: test[name]["nats"] for name in annealing(config)},
        title=f"{config.num_rows} test rows",
    )  # fmt: skip
    plots.save(figure, config.workdir / "likelihood-test.png")


def show(found):
    rows = []
    for what in ("test", "made"):
        for name, told in found[what].items():
            for num, one in told.items() if "nats" not in told else [("", told)]:
                rows.append(
                    {
                        "rows": what,
                        "estimate": f"{name} {num}".strip(),
                        "nats": f"{one['nats']:.2f} ± {one['stderr']:.2f}",
                        "effective": f"{one['effective_samples']:.1f}",
                        "seconds": round(one["seconds"], 1),
                    }
                )
    runs.table(rows, list(rows[0]))
    print(
        "± is the spread of the samples; all estimates of test rows are of the same rows. "
        "Effective: the\nmedian of (Σ w)² / Σ w², of K samples or chains. reverse is an upper "
        "bound on average, all others\nare lower ones."
    )


def main(config: Config) -> dict:
    check(config, "num_samples")
    if config.run is None:
        rows = sets.bits(config)[1]
        model, params = trained(config, rows)
    else:
        model, params, rows = given(config)
    taken = np.random.default_rng(config.seed).permutation(len(rows["test"]))[: config.num_rows]
    test_key, made_key = jax.random.split(jax.random.key(config.seed + 1))
    found = {
        "test": of_test_rows(config, model, params, rows["test"][taken], test_key),
        "made": of_made_rows(config, model, params, made_key),
    }
    if processes.first():
        draw(config, found)
    return found


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
