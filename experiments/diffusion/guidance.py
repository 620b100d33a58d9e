"""Guidance by a classifier and classifier-free guidance, at several scales, by three samplers.

    python -m experiments.diffusion.guidance --run runs/diffusion/digits

loads the models ddpm and classes of a run of `experiments.diffusion.digits`. It trains a classifier
of noisy images (a perceptron that gets x_t and its log-SNR λ_t) on the training rows, which guides
ddpm, a model that knows no classes. The model classes is guided without a classifier. Both are
sampled by the chain, by DDIM and by the probability-flow ODE, at each of --scales. At scale 0 there
is no guidance, at scale 1 the score is that of p(x | class), and above 1 samples are more typical
and less diverse.

Samples are judged by a second classifier, of images without noise: how many have the right class,
and by its features the Fréchet distance to the test split, precision and recall. classifier.png and
classifier-free.png have one row of samples for each sampler and scale. It takes ten minutes of one
CPU core, half of which is spent on ODEs.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import bijectors, checks, diffusion, learning, nets, runs
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.diffusion import digits
from experiments.gans import growing, judge
from experiments.options import Data, check

if TYPE_CHECKING:
    from dgm_jax.protocol import Net


@dataclasses.dataclass(frozen=True)
class Config(Data, runs.RunOptions):
    class_conditional: ClassVar[bool] = True
    run: Path | None = None
    """the directory of a run of `experiments.diffusion.digits` with the models ddpm and classes"""
    scales: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0)
    """the scales of guidance to compare"""
    chain_steps: int = 50
    """steps of the chain, each one pass of the net"""
    few_steps: int = 20
    """steps of DDIM, each one pass of the net"""
    tolerance: float = 1e-2
    """the relative and absolute tolerance of the ODE solver"""
    num_judged: int = 200
    """samples for each sampler and scale"""
    hidden: tuple[int, ...] = (256, 256)
    """widths of the hidden layers of the classifier of noisy images"""
    noisy_steps: int = 3000
    """gradient steps of the classifier of noisy images"""
    classifier_steps: int = 400
    """gradient steps of the classifier that judges"""
    num_features: int = 64
    """features of the classifier that judges"""
    batch_size: int = 128
    """examples per step, of both classifiers"""
    held_out: int | None = None
    """the number of test rows that samples are compared with; all by default"""


QUICK: dict[str, Any] = {
    "scales": (0.0, 2.0),
    "chain_steps": 3,
    "few_steps": 2,
    "num_judged": 16,
    "hidden": (8,),
}
QUICK |= {"noisy_steps": 4, "classifier_steps": 4, "num_features": 4, "tolerance": 1.0}


def noisy_net(config: Config, shape: tuple[int, ...], num_classes: int) -> Net:
    """The classifier of noisy images: class logits from images x_t and their log-SNR."""
    net = nets.time_mlp(math.prod(shape), hidden=config.hidden, out_dim=num_classes)

    def apply(params, x, level, *, key=None):
        return net.apply(params, x.reshape(len(x), -1), level, key=key)

    return net._replace(apply=apply)


def fit_noisy(config: Config, net: Any, process: Any, rows: dict, labels: Any) -> fitting.Fitted:
    """Trains the classifier of noisy images; its row has test_error, the share it gets wrong."""

    def loss(params, key, batch):
        return diffusion.classifier_loss(net, params, key, process, *batch)

    def told(split, params, key):
        return jax.jit(loss)(params, key, (rows[split], labels[split]))[1]

    def evaluate(params, key):
        return {"valid_loss": float(told("valid", params, key)["loss"])}

    def report(params, key):
        found = told("test", params, key)
        return {"test_loss": float(found["loss"]), "test_error": float(found["error"])}

    rate = optax.cosine_decay_schedule(2e-3, config.noisy_steps)
    return fitting.fit(
        config,
        "noisy",
        learning.gradient_descent(net.init, loss, optax.adamw(rate, weight_decay=0.05)),
        fitting.Task(
            evaluate,
            report,
            monitor="valid_loss",
            data=learning.fingerprint({"rows": rows, "labels": labels}),
        ),
        datasets.batches(
            (rows["train"], labels["train"]),
            min(config.batch_size, len(rows["train"])),
            seed=config.seed,
        ),
        num_steps=config.noisy_steps,
        eval_every=max(config.noisy_steps // 10, 1),
    )


def samplers(config: Config) -> dict:
    """{name: sampler(model, params, key, num, cond)}."""
    options: dict[str, Any] = {"rtol": config.tolerance, "atol": config.tolerance}
    solver = bijectors.ode_solver(**options)

    def ode(model, params, key, num, cond):
        dist = diffusion.ode_density(model, solver=solver).dist(params, cond)
        return dist.sample(seed=key).reshape(num, *model.shape)

    chain = {"num_steps": config.chain_steps, "clip": 1.0}
    few = {"num_steps": config.few_steps, "clip": 1.0, "eta": 0.0}
    return {
        "chain": functools.partial(diffusion.sample, **chain),
        "DDIM": functools.partial(diffusion.sample, **few),
        "ODE": ode,
    }


def leaning(plain: Any, conditional: Any, net: Any, num_classes: int) -> dict:
    """The two kinds of guidance, {kind: (guided, encode)}.

    guided(parameters, scale) returns the guided model and its parameters, where parameters are
    those of {"ddpm", "classes", "noisy"}; encode(c) is the form in which it takes the classes c
    [n].
    """

    def by_classifier(params, scale):
        process = plain.process(params["ddpm"])
        log_prob = diffusion.class_log_prob(net, params["noisy"], process)
        return diffusion.classifier_guided(plain, log_prob, scale), params["ddpm"]

    def free(params, scale):
        nothing = jnp.zeros(num_classes)
        return diffusion.classifier_free(conditional, scale, nothing), params["classes"]

    return {
        "classifier": (by_classifier, lambda c: c),
        "classifier-free": (free, lambda c: sets.one_hot(c, num_classes)),
    }


def loaded(config: Any, name: str) -> tuple:
    """(model, params) of the model `name` in config.run; `InputError` if it is no denoiser."""
    found = learning.load(config.run / name)
    checks.noun(found.model, diffusion.Denoiser, f"{name} of run")
    return found.model, found.params


def main(config: Config) -> dict:
    check(dataclasses.replace(config, scales=()))  # a scale may be any number
    if config.run is None:
        raise checks.InputError("run must name the directory of a run of digits; see --help.")
    if not config.scales:
        raise checks.InputError("scales is empty; name at least one with --scales.")
    for name in ("chain_steps", "few_steps"):
        checks.positive_int(getattr(config, name), name, least=2)
    (plain, first), (conditional, second) = (loaded(config, name) for name in ("ddpm", "classes"))
    images = digits.of_rows(sets.images(config), config.held_out, config.split_seed)
    checks.event_shape(images.rows["train"][0][0], plain.shape, "images of data")
    rows = {
        split: np.asarray(diffusion.scaled(x, images.num_levels))
        for split, (x, _) in images.rows.items()
    }
    net = noisy_net(config, images.shape, images.num_classes)
    noisy = fit_noisy(config, net, plain.process(first), rows, images.labels)
    features, guess, missed = judge.fit_classifier(config, images._replace(rows=rows))
    params = {"ddpm": first, "classes": second, "noisy": noisy.params}
    c = np.resize(np.arange(images.num_classes), config.num_judged)
    found, columns = {}, min(2 * images.num_classes, config.num_judged)
    for kind, (guided, as_told) in leaning(plain, conditional, net, images.num_classes).items():
        rows_of, pictures = {}, {}
        for label, sampler in samplers(config).items():
            for scale in config.scales:

                @jax.jit
                def draw(params, key, cond):
                    model, own = guided(params, scale)
                    return sampler(model, own, key, config.num_judged, cond)

                x = np.asarray(draw(params, jax.random.key(config.seed), as_told(c)))
                told = {"right": float((guess(x) == c).mean())}
                told |= judge.by_features(features, x, rows["test"])
                rows_of.setdefault(label, {})[f"{scale:g}"] = told
                pictures[f"{label}, scale {scale:g}"] = x[:columns]
        found[kind] = rows_of
        if processes.first():
            growing.grid(config, kind, pictures, columns)
    few = min(config.num_judged, len(rows["train"]))
    return {
        "data": config.data,
        "guidance": found,
        "training rows": judge.by_features(features, rows["train"][:few], rows["test"]),
        "noisy_error": noisy.row["test_error"],
        "classifier_error": missed,
    }


def show(found: dict) -> None:
    rows = [
        {
            "guidance": kind,
            "sampler": label,
            "scale": scale,
            **{what: f"{value:.3f}" for what, value in told.items()},
        }
        for kind, of_kind in found["guidance"].items()
        for label, of_sampler in of_kind.items()
        for scale, told in of_sampler.items()
    ]
    floor = {what: f"{value:.3f}" for what, value in found["training rows"].items()}
    rows.append({"guidance": "training rows", "sampler": "", "scale": "", "right": "", **floor})
    runs.table(rows, list(rows[0]))
    print(
        f"The classifier of noisy rows misses {found['noisy_error']:.3f} of them over all t, that "
        f"of clean ones, which judges, {found['classifier_error']:.3f}."
    )


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=10)
