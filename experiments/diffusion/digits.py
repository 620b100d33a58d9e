"""Diffusion models of the 8x8 digits: bits per dimension by two bounds, and samples by class.

    python -m experiments.diffusion.digits

trains two models on the 17 levels of the digits. The data need no download. It takes nineteen
minutes of one core, four of which are spent on evaluation. Expect a bound of 1.76 bits per
dimension (bits/dim) for ddpm.

    ddpm       is trained by the bound in continuous time; linear log-SNR from 9 to -5
    classes    is trained by the squared error of v, and gets the class of nine rows in ten;
               samples are drawn by class

Other models, by --models, are variations of ddpm:

    learned    the same bound, with a learned log-SNR between the same ends
    importance the same bound; times are drawn by importance, from a history of the losses
    simple     L_simple, the squared error of the noise, on the cosine process
    hybrid     the same, and learned variances by the bound of a chain of --chain-steps steps
    chain      the bound of this chain alone; steps are drawn from a history of the losses

The table gives bits/dim of the test split. `test_bits_per_dim` is the bound, in continuous time or
(for the last three) of the chain, by --test-draws draws of the time for each row; its parts are
given in nats. `ode_bits_per_dim` is a bound by the probability-flow ODE on --ode-rows rows,

    log p(x) >= E [log p_ode(x_t) + log p(x | x_t) - log q(x_t | x)] at the first time t,

with Hutchinson's estimate of the trace. Samplers are compared by their time in seconds and by the
sliced Wasserstein distance between their samples and as many test digits. Samples of `classes` are
judged by a classifier that the run trains: how many have the right class and, by its features,
their Fréchet distance, precision and recall. A histogram of all pixels has 2.974 bits/dim here, and
PixelCNN++ of `experiments.autoregressive.images` has 1.746.

samples.png shows samples of each sampler, guidance.png samples by class (columns) and scale of
guidance, and curves.png the bound on the validation split during training. --data takes any images
with levels.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import checks, diffusion, learning, metrics, nets, objectives, plots, runs
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.diffusion import steps
from experiments.gans import growing, judge
from experiments.options import Data, Optimisation, check, filled

if TYPE_CHECKING:
    from dgm_jax.protocol import Params

ModelName = Literal["ddpm", "classes", "learned", "importance", "simple", "hybrid", "chain"]
OF_CHAINS = ("hybrid", "chain")  # models with learned variances
OF_NOISE = ("simple", *OF_CHAINS)  # models on the cosine process
OF_ODE = ("ddpm", "learned", "importance")  # models that are also scored by the ODE
SCALES = (0.0, 1.0, 3.0)  # scales of guidance
ROWS = 16
CLIP = 50.0  # the largest norm of a gradient
EVALUATED = 100  # rows at once: with 256 levels, each entry of a row needs 256 numbers


@dataclasses.dataclass(frozen=True)
class Config(Optimisation, Data, runs.RunOptions):
    class_conditional: ClassVar[bool] = True
    models: tuple[ModelName, ...] = ("ddpm", "classes")
    """which models to train"""
    hidden: int = 48
    """channels of the U-Net at the size of the images"""
    multipliers: tuple[int, ...] = (1,)
    """the channels at each size, in units of --hidden; each size is half the one before"""
    num_blocks: int = 1
    """residual blocks at each size on the way down"""
    dropout: float = 0.1
    """the dropout rate of the U-Net in training"""
    num_steps: int | None = None
    """gradient steps of each model; by default 2200, and 1000 for classes"""
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    eval_every: int = 250
    chain_steps: int = 250
    """steps of the chain, for sampling and for the bounds of hybrid and chain"""
    few_steps: int = 20
    """passes of the net in each of the fast samplers"""
    valid_draws: int = 4
    """times drawn for each row when the bound is evaluated on the validation split"""
    test_draws: int = 50
    """the same for the test split, at the end"""
    ode_rows: int = 100
    """test rows that are scored by the ODE"""
    held_out: int | None = None
    """rows of the validation split and of the test split that are used; all by default"""
    num_judged: int = 300
    """samples of each sampler that are judged"""
    num_features: int = 64
    """features of the classifier that judges samples"""
    classifier_steps: int = 400
    """gradient steps of this classifier"""


QUICK = {"num_steps": 4, "eval_every": 2, "hidden": 4, "multipliers": (1,), "num_blocks": 1}
QUICK |= {"chain_steps": 4, "few_steps": 4, "test_draws": 2, "ode_rows": 2, "num_judged": 32}
QUICK |= {"classifier_steps": 4, "num_features": 4}
STEPS = {"classes": 1000}


def process_of(name: str, num_levels: int) -> diffusion.LearnedProcess | diffusion.Process:
    """The process of a model: cosine, or a log-SNR that falls from 9 or more to -5.

    The first log-SNR is 2 log 3 (K - 1) if that is more than 9 (13.3 for K = 256 levels): then the
    least noise has a deviation of a sixth of the gap between two levels, and x_t determines x.
    """
    if name in OF_NOISE:
        return diffusion.cosine()
    most = max(9.0, 2 * math.log(3 * (num_levels - 1)))
    make = diffusion.learned_log_snr if name == "learned" else diffusion.linear_log_snr
    return make(most=most, least=-5.0)


@runs.builder
def build(
    config: Config,
    name: str,
    shape: tuple[int, int, int],
    num_classes: int,
    num_levels: int = 17,
) -> diffusion.Denoiser:
    """The denoiser `name` of images [H, W, C] in [-1, 1]."""
    cond_shape = (num_classes,) if name == "classes" else None
    net = nets.unet(
        shape,
        out_channels=shape[2] * (2 if name in OF_CHAINS else 1),
        hidden=config.hidden,
        multipliers=config.multipliers,
        num_blocks=config.num_blocks,
        fourier=(1, 2, 3),
        cond_shape=cond_shape,
        dropout=config.dropout,
    )
    return diffusion.denoiser(
        net,
        shape,
        process_of(name, num_levels),
        target="noise" if name in OF_NOISE else "v",
        learned_variance=name in OF_CHAINS,
        cond_shape=cond_shape,
    )


# --------------------------------------------------------------------------------------- training
def loss_of(config: Config, name: str, model: diffusion.Denoiser, num_levels: int) -> tuple:
    """(init_state, loss(params, key, batch)), with dropout.

    The state is the history of losses from which importance and chain draw times; others have None.
    """
    steps: dict[str, Any] = {"num_steps": config.chain_steps, "num_levels": num_levels}
    if name in ("importance", "chain"):
        options: dict[str, Any] = {"num_levels": num_levels}
        if name == "chain":
            options |= steps | {"kind": "learned"}
        init_state, by_history = diffusion.importance_bound(model, **options)

        def loss(params, key, batch, *, state):
            key, parts_key = jax.random.split(key)
            return by_history(params, key, batch[0], state=state, parts_key=parts_key)

        return init_state, loss

    def loss(params, key, batch):
        key, parts_key, drop_key = jax.random.split(key, 3)
        x, c = batch
        if name == "hybrid":
            return diffusion.hybrid_loss(model, params, key, x, parts_key=parts_key, **steps)
        if name in ("ddpm", "learned"):
            return diffusion.bound_loss(
                model, params, key, x, num_levels=num_levels, parts_key=parts_key
            )
        cond = None
        if name == "classes":
            cond = diffusion.dropped(drop_key, c, jnp.zeros(c.shape[1:], c.dtype))
        x = diffusion.scaled(x, num_levels)
        return diffusion.simple_loss(model, params, key, x, cond, parts_key=parts_key)

    return None, loss


def bound(config: Config, name: str, model: diffusion.Denoiser, num_levels: int) -> Callable:
    """terms(params, key, x[, c]): the terms of the bound in nats, each [n]."""

    def terms(params, key, x, c=None):
        given = (c,) if name == "classes" else ()
        if name in OF_NOISE:
            return diffusion.chain_bound(
                model,
                params,
                key,
                x,
                num_steps=config.chain_steps,
                num_levels=num_levels,
                kind="learned" if name in OF_CHAINS else "upper",
                every=False,
            )
        return diffusion.continuous_bound(model, params, key, x, *given, num_levels=num_levels)

    return terms


def ode_log_prob(model: diffusion.Denoiser, num_levels: int) -> Callable:
    """log_prob(params, key, x): a lower bound of log p(x) of levels by the ODE, [n] in nats.

    It is an estimate by a single draw of x_t at the first time t.
    """
    density = diffusion.ode_density(model)

    def log_prob(params, key, x):
        noise_key, trace_key = jax.random.split(key)
        process = model.process(params)
        first = jnp.full(len(x), process.ends[0])
        noisy, noise = diffusion.noised(noise_key, process, diffusion.scaled(x, num_levels), first)
        sigma = process.sigma(first)
        entropy = jnp.square(noise).reshape(len(x), -1) / 2 + jnp.log(2 * jnp.pi) / 2
        entropy = (entropy + jnp.log(sigma)[:, None]).sum(-1)
        flat = noisy.reshape(len(x), -1)
        kept = diffusion.losses.decoded(process, noisy, x, num_levels)
        return density.dist(params, key=trace_key).log_prob(flat) + kept + entropy

    return log_prob


def task_of(
    config: Config,
    name: str,
    model: diffusion.Denoiser,
    images: sets.Images,
    rows: dict[str, tuple],
) -> fitting.Task:
    """The bound of the validation split in training, by valid_draws times for each row.

    The report has the bound of the test split and its three parts in nats. For the models in OF_ODE
    it also has the bound by the ODE of the first ode_rows test rows, beside the other bound of
    these rows.
    """
    dim, num_levels = images.dim, images.num_levels
    terms = bound(config, name, model, num_levels)
    each = jax.jit(terms)

    def log_prob(params, key, row):
        return -terms(params, key, *row).total

    task = fitting.likelihood_task(
        log_prob,
        rows,
        num_draws=config.test_draws,
        valid_draws=config.valid_draws,
        eval_batch=EVALUATED,
    )

    def report(params, key):
        bound_key, parts_key, ode_key = jax.random.split(key, 3)
        found = metrics.likelihood.in_batches(
            functools.partial(each, params), parts_key, rows["test"], EVALUATED
        )
        row = task.report(params, bound_key)
        prior, last = float(found.prior.mean()), float(found.reconstruction.mean())
        row |= {"prior_nats": prior, "reconstruction_nats": last}
        row["steps_nats"] = -row["test_nats"] - prior - last  # of all draws
        if name in OF_ODE:
            some = tuple(part[: config.ode_rows] for part in rows["test"])
            nats = np.asarray(jax.jit(ode_log_prob(model, num_levels))(params, ode_key, some[0]))
            told = fitting.summary(nats, dim)
            same = fitting.scorer(log_prob)(params, bound_key, some, config.test_draws)
            row |= {
                "ode_bits_per_dim": told["test_bits_per_dim"],
                "ode_bits_per_dim_stderr": told["test_bits_per_dim_stderr"],
                "ode_rows": len(nats),
                "bound_of_ode_rows": float(objectives.bits_per_dim(same.mean(), dim)),
            }
        return row

    return task._replace(report=report)


def fit(
    config: Config, name: str, images: sets.Images, rows: dict[str, tuple]
) -> tuple[diffusion.Denoiser, fitting.Fitted]:
    """The denoiser `name`, and what was fitted: by default in the steps of STEPS, or 2200."""
    config = filled(config, {"num_steps": STEPS.get(name, 2200)})
    given = {"name": name, "shape": images.shape, "num_classes": rows["train"][1].shape[1]}
    given |= {"num_levels": images.num_levels}
    options = {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}
    recipe = learning.Recipe(build, {"config": Config(**options)} | given)
    model = recipe.model()
    init_state, loss = loss_of(config, name, model, images.num_levels)
    return model, fitting.fit_by_adamw(
        config,
        name,
        model.init,
        loss,
        task_of(config, name, model, images, rows),
        rows["train"],
        fitting.adamw_of(config, clip=CLIP, warmed=True),
        ema_decay=config.ema_decay,
        init_state=init_state,
        select=learning.averaged,  # without the state
        eval_every=config.eval_every,
        patience=config.patience,
        recipe=recipe,
    )


# -------------------------------------------------------------------------------------- samplers
def judged(
    config: Config, model: diffusion.Denoiser, params: Params, real: np.ndarray
) -> tuple[dict[str, dict], dict[str, np.ndarray]]:
    """The metrics of each unconditional sampler, {sampler, passes: metrics}, and their samples."""
    many, few = config.chain_steps, config.few_steps
    samplers = {f"chain, {many}": steps.samplers(many)["chain"]}
    samplers |= {f"{name}, {few}": sampler for name, sampler in steps.samplers(few).items()}
    found = {
        name: steps.judged(config, model, params, sampler, real)
        for name, sampler in samplers.items()
    }
    return {name: told for name, (told, _) in found.items()}, {n: x for n, (_, x) in found.items()}


def guided(
    config: Config,
    model: diffusion.Denoiser,
    params: Params,
    num_classes: int,
    classifier: tuple[Callable, Callable],
    real: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, dict]]:
    """Samples by class at each scale of guidance, and what the classifier says of them.

    Returns {scale: images} and {scale: {"right", "frechet", "precision", "recall"}}, where "right"
    is the share of samples whose class the classifier recognises.
    """
    features, guess = classifier
    pictures, told = {}, {}
    c = np.resize(np.arange(num_classes), config.num_judged)
    for scale in SCALES:
        leaning = diffusion.classifier_free(model, scale, jnp.zeros(num_classes))
        draw = jax.jit(
            lambda params, key, c: diffusion.sample(
                leaning, params, key, len(c), c, num_steps=config.chain_steps // 5 + 2, clip=1.0
            )
        )
        x = np.asarray(draw(params, jax.random.key(config.seed), sets.one_hot(c, num_classes)))
        found = judge.by_features(features, x, real[: len(x)])
        told[f"{scale:g}"] = {"right": float((guess(x) == c).mean()), **found}
        pictures[f"scale {scale:g}"] = x
    return pictures, told


def of_rows(images: Any, num: int | None, seed: int) -> sets.Images:
    """The images with only `num` random rows in the validation split and in the test split."""
    if num is None:
        return images
    rows, labels = dict(images.rows), dict(images.labels)
    for split in ("valid", "test"):
        taken = np.random.default_rng(seed).permutation(len(labels[split]))[:num]
        rows[split] = tuple(part[taken] for part in rows[split])
        labels[split] = labels[split][taken]
    return images._replace(rows=rows, labels=labels)


def main(config: Config) -> dict:
    check(config, "models")
    for name in ("chain_steps", "few_steps"):
        checks.positive_int(getattr(config, name), name, least=2)
    images = of_rows(sets.images(config), config.held_out, config.split_seed)
    num_classes = images.num_classes
    for name in config.models:  # of all, before any learns
        fitting.check_size(config, name, build(config, name, images.shape, num_classes).init)
    rows, num_levels = images.rows, images.num_levels
    real = np.asarray(diffusion.scaled(rows["test"][0], num_levels))
    results, curves, shown = {}, {}, {"test data": real[:ROWS]}
    for name in config.models:
        model, fitted = fit(config, name, images, rows)
        results[name] = fitted.row
        curves[name] = fitted.curves["valid_bits_per_dim"]
        if name == "classes":
            scaled = {
                split: np.asarray(diffusion.scaled(x, num_levels)) for split, (x, _) in rows.items()
            }
            of_classes = images._replace(rows=scaled)
            features, guess, missed = judge.fit_classifier(config, of_classes)
            params, classifier = fitted.params, (features, guess)
            pictures, told = guided(config, model, params, num_classes, classifier, real)
            few = min(config.num_judged, len(real), len(scaled["train"]))
            told["training rows"] = judge.by_features(features, scaled["train"][:few], real[:few])
            results[name] |= {"guidance": told, "classifier_error": missed}
            pictures = {label: x[: 3 * num_classes] for label, x in pictures.items()}
            if processes.first():
                names = sets.class_names(config.data, num_classes)
                growing.grid(config, "guidance", pictures, num_classes, column_names=names)
            continue
        told, samples = judged(config, model, fitted.params, real)
        results[name] |= {"samplers": told}
        shown |= {f"{name}: {label}": x[:ROWS] for label, x in samples.items()}
    if processes.first():
        growing.grid(config, "samples", shown, ROWS)
        figure = plots.curves(
            curves, xlabel="step", ylabel="bound of the validation split, bits/dim"
        )
        plots.save(figure, config.directory / "curves.png")
    return {"data": config.data, "published": images.published, "models": results}


def show(found: dict) -> None:
    rows = []
    for name, r in found["models"].items():
        ode = f"{r['ode_bits_per_dim']:.3f}" if "ode_bits_per_dim" in r else ""
        rows.append(
            {
                "model": name,
                "bound": f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}",
                "ODE": ode,
                "prior": f"{r['prior_nats']:.2f}",
                "steps": f"{r['steps_nats']:.1f}",
                "reconstruction": f"{r['reconstruction_nats']:.2f}",
                "parameters": r["num_params"],
                "best step": r["best_step"],
                "training s": round(r["train_seconds"]),
            }
        )
    runs.table(rows, list(rows[0]))
    print("Bound and ODE in bits/dim of the test split, parts of the bound in nats.")
    for name, r in found["models"].items():
        if "samplers" in r:
            told = [
                {"sampler": label, "sliced": f"{s['sliced']:.3f}", "seconds": f"{s['seconds']:.2f}"}
                for label, s in r["samplers"].items()
            ]
            print(f"Samplers of {name}, with passes of the net:")
            runs.table(told, list(told[0]))
        if "guidance" in r:
            told = [
                {"scale": scale, **{what: f"{value:.3f}" for what, value in row.items()}}
                for scale, row in r["guidance"].items()
            ]
            print("Samples by class, by features of a classifier; right: of the class asked for.")
            runs.table(told, ["scale", "right", "frechet", "precision", "recall"])
    fitting.tell(found["models"])


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=19)
