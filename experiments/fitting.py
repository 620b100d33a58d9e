"""Maximum likelihood as every experiment does it: train, keep the best on validation, score it.

A log-likelihood is a function log_prob(params, key, x) -> [n], in nats. Where levels get noise to
become numbers it draws that noise from the key, at evaluation as in training, and is a bound on the
code length; where it is exact it leaves the key alone. `row` is what results.json says of a model:

    test_nats, test_bits_per_dim          means over the test split, each with its ..._stderr
    valid_nats, valid_bits_per_dim        of the step that was kept
    num_params, num_steps, best_step, train_seconds
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import optax

from dgm_jax import autoregressive as ar
from dgm_jax import checks
from dgm_jax.data import batches
from dgm_jax.learning import data_mesh, gradient_descent, train
from dgm_jax.metrics import expected_log_prob
from dgm_jax.objectives import bits_per_dim, mean_and_stderr, nll
from dgm_jax.protocol import Algorithm, Density, Params
from dgm_jax.runs import processes


class Fitted(NamedTuple):
    params: Params  # the averaged ones, of the step that was best on the validation split
    row: dict  # what results.json says of the model
    curve: tuple  # (steps, validation bits per dimension)
    history: list  # the rows of metrics.jsonl


def adamw(
    learning_rate: float,
    num_steps: int,
    *,
    weight_decay: float = 0.0,
    decayed: Callable[[Params], Params] | None = None,
    clip: float = 5.0,
    warm_up: int = 0,
) -> optax.GradientTransformation:
    """AdamW on gradients of norm `clip` at most; the rate rises in warm_up steps, then falls to 0
    as a cosine. decayed(params): whether each leaf decays; by default all do."""
    checks.positive_int(num_steps, "num_steps")
    checks.positive(learning_rate, "learning_rate")
    if warm_up:
        rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warm_up, num_steps)
    else:
        rate = optax.cosine_decay_schedule(learning_rate, num_steps)
    adam = optax.adamw(rate, weight_decay=weight_decay, mask=decayed)
    return optax.chain(optax.clip_by_global_norm(clip), adam)


def maximum_likelihood(
    config,
    name: str,
    model: Density,
    rows: dict,
    *,
    noisy: Callable | None = None,
    scored: Density | None = None,
    per: int = 1,
    decayed: Callable[[Params], Params] | None = None,
    clip: float = 5.0,
    warm_up: int = 0,
    **options,
):
    """`fit` of a density to rows x, or (x, cond), by the settings of a config.

    An ensemble of masks draws one of them each step, and is scored as a whole.
    noisy: noisy(key, x) makes numbers of levels
    scored: the density of the validation and test splits, if it is not `model`: longer texts
    per: the loss is of one of so many numbers of x
    decayed, clip, warm_up: those of `adamw`
    """
    scored = model if scored is None else scored

    def parts(key, row):
        x, *cond = row if isinstance(row, tuple) else (row,)
        return (x if noisy is None else noisy(key, x)), *cond

    def loss(params, key, row):
        value, metrics = nll(model, params, key if noisy is None else None, *parts(key, row))
        return value / per, metrics

    def log_prob(params, key, row):
        x, *cond = parts(key, row)
        return scored.dist(params, *cond).log_prob(x)

    optimizer = adamw(
        config.learning_rate,
        config.num_steps,
        weight_decay=config.weight_decay,
        decayed=decayed,
        clip=clip,
        warm_up=warm_up,
    )
    algorithm = gradient_descent(model.init, loss, optimizer, ema_decay=config.ema_decay)
    options = {"num_steps": config.num_steps, "eval_every": config.eval_every} | options
    return fit(config, name, algorithm, log_prob, rows, **options)


def fit(
    config,
    name: str,
    algorithm: Algorithm,
    log_prob: Callable,
    rows: dict,
    *,
    num_steps: int,
    eval_every: int,
    num_draws: int = 1,
    eval_batch: int = 1000,
    **options,
) -> Fitted:
    """Trains on rows["train"] in <workdir>/<name>, and scores rows["test"] by num_draws draws.

    rows: {"train", "valid", "test"}, each an array [n, ...], or a tuple of such that begins with
    the data (x, cond). options: those of `learning.train`.
    """
    train_key, eval_key = jax.random.split(jax.random.key(config.seed))
    scores = scorer(log_prob, eval_batch=eval_batch)

    def evaluate(params, _):
        return {"valid_nll": -scores(params, eval_key, rows["valid"]).mean()}

    trained = train(
        algorithm,
        train_key,
        batches(rows["train"], config.batch_size, seed=config.seed),
        num_steps=num_steps,
        evaluate=evaluate,
        monitor="valid_nll",
        eval_every=eval_every,
        workdir=config.workdir / name,
        progress=config.progress,
        description=name,
        **options,
    )
    params = trained.params
    x = rows["test"][0] if isinstance(rows["test"], tuple) else rows["test"]
    dim = math.prod(x.shape[1:])
    evaluated = [(r["step"], r["valid_nll"]) for r in trained.history if "valid_nll" in r]
    best_step, valid_nll = min(evaluated, key=lambda pair: pair[1])
    row = {
        **summary(scores(params, eval_key, rows["test"], num_draws), dim),
        "valid_nats": -valid_nll,
        "valid_bits_per_dim": bits_per_dim(-valid_nll, dim),
        "num_params": num_params(params),
        "num_steps": evaluated[-1][0],
        "best_step": best_step,
        "train_seconds": trained.seconds,
    }
    steps, values = zip(*evaluated, strict=True)
    curve = steps, tuple(bits_per_dim(-value, dim) for value in values)
    return Fitted(params, row, curve, trained.history)


def scorer(log_prob: Callable, *, eval_batch: int = 1000) -> Callable:
    """scores(params, key, rows, num_draws=1) -> E log p [n] in nats, compiled once."""
    log_prob = jax.jit(log_prob)

    def scores(params, key, rows, num_draws=1):
        key = jax.random.clone(key)  # the same noise every time, so that scores compare
        score = functools.partial(log_prob, params)
        return expected_log_prob(score, key, rows, num_draws=num_draws, batch_size=eval_batch)

    return scores


def summary(log_prob: np.ndarray, dim: int) -> dict:
    """Nats and bits per dimension of log p [n], with the standard error over the examples."""
    nats, nats_stderr = mean_and_stderr(log_prob)
    bits, bits_stderr = mean_and_stderr(bits_per_dim(log_prob, dim))
    return {
        "test_nats": float(nats),
        "test_nats_stderr": float(nats_stderr),
        "test_bits_per_dim": float(bits),
        "test_bits_per_dim_stderr": float(bits_stderr),
    }


def one_hot(labels, num_classes: int) -> np.ndarray:
    """Classes as conditions, [..., num_classes]."""
    return np.eye(num_classes, dtype=np.float32)[labels]


def num_params(params: Params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def mesh(devices: int | None):
    """The devices that share each batch; None is one, or all of a run of several processes."""
    by_default = 1 if jax.default_backend() == "cpu" else jax.device_count()
    count = by_default if devices is None else devices
    return None if processes.several() or count == 1 else data_mesh(count)


def fit_table(rows: dict, dim: int, num_levels: int, smoothing, **table):
    """The table counted on the training split, smoothed as is best on the validation split.

    Returns the model, its parameters, and its row.
    """
    model = ar.table(dim, num_levels=num_levels, **table)
    scores = scorer(lambda params, key, x: model.dist(params).log_prob(x))
    key = jax.random.key(0)  # not used
    tried = [
        ar.fit_table(rows["train"], num_levels=num_levels, **table, smoothing=s) for s in smoothing
    ]
    params = max(tried, key=lambda p: scores(p, key, rows["valid"]).mean())
    row = summary(scores(params, key, rows["test"]), dim)
    return model, params, row | {"num_params": ar.num_parameters(dim, num_levels, **table)}
