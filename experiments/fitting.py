"""Training, the same for all experiments: train, keep the step best on validation, report on test.

A `Task` says what is evaluated during training, which of these numbers is monitored and in which
direction, and what is reported of the parameters that are kept. There are three kinds:

- `likelihood_task`: log p(x) of held-out rows, in nats and in bits per dimension;
- `bound_task`: a lower bound of log p(x) of a latent variable model, and its active units;
- `samples_task`: metrics of the quality of samples.

`Fitted.row` is what results.json says of a model: the report of its task, the evaluation of the
step that was kept, and num_params, num_steps, best_step, train_seconds.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import functools
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import autoregressive as ar
from dgm_jax import checks, learning, metrics, objectives, protocol
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from dgm_jax.runs.directory import defining
from experiments import baselines

if TYPE_CHECKING:
    from dgm_jax.protocol import (
        Algorithm,
        Array,
        Batch,
        Density,
        Key,
        LatentVariable,
        Params,
        Rows,
        State,
    )

MEAN_DRAWS = 64  # for each of two estimates of a posterior mean that has no closed form
CLIP = 5.0  # the largest norm of a gradient
NO_MEAN = (checks.InputError, NotImplementedError, AttributeError)  # what `mean` then raises


class Task(NamedTuple):
    """What a model is trained for. Both functions get the same key at every call of a run."""

    evaluate: Callable[[Params, Key], dict[str, float]]  # of the validation split, in training
    report: Callable[[Params, Key], dict[str, float]]  # of the test split, at the end
    monitor: str  # which number of `evaluate` chooses the step that is kept
    minimise: bool = True  # whether the lowest is the best
    units: Callable[[dict], dict] = lambda found: found  # an evaluation in the units of the report
    data: str | None = None  # the fingerprint of the rows it looks at


class Fitted(NamedTuple):
    """A trained model, and what is to be told of it."""

    params: Params  # the averaged ones, of the step that was best on the validation split
    row: dict  # what results.json says of the model
    curves: dict  # {"valid_nats": (steps, values), ...}: what was evaluated in training
    history: list  # the rows of metrics.jsonl


# --------------------------------------------------------------------------------------- training
def fit(
    config: Any,
    name: str,
    algorithm: Algorithm,
    task: Task,
    rows: Rows | tuple[Rows, ...] | Callable[[int], Batch],
    *,
    num_steps: int,
    eval_every: int,
    start: Params | None = None,
    clip: float | None = None,
    **options: Any,
) -> Fitted:
    """Trains `algorithm` on `rows` in the folder <workdir>/<name>, and reports on the best step.

    rows: the training split, an array [n, ...] or a tuple of such arrays (x, cond), from which
    batches of config.batch_size rows are drawn (of all rows if there are fewer); or a function of
    the step t that returns its batch.
    start: parameters from which `algorithm` starts, if they are not a function of the key alone.
    clip: the norm to which the optimiser of `algorithm` clips gradients; a line says if most are
    longer.
    options: those of `learning.train`. config.devices devices share a batch; by default those of
    `learning.training_mesh`.

    A run is resumed if it was interrupted. The folder is refused for other rows, another `start` or
    other options that change the result.
    """
    train_key, task_key = jax.random.split(jax.random.key(config.seed))
    size = check_size(config, name, lambda key: algorithm.params(algorithm.init(key)))
    print(f"{name}: {size:,} parameters, {num_steps:,} steps at most")
    draw = rows if callable(rows) else _batches(config, rows)
    trained = learning.train(
        algorithm,
        train_key,
        draw,
        num_steps=num_steps,
        evaluate=lambda params, _: task.evaluate(params, jax.random.clone(task_key)),
        monitor=task.monitor,
        minimise=task.minimise,
        eval_every=eval_every,
        identity={
            "options": defining(config),
            "data/train": None if callable(rows) else learning.fingerprint(rows),
            "data/held out": task.data,
            **({} if start is None else {"data/start": learning.fingerprint(start)}),
        },
        workdir=config.workdir / name,
        progress=config.progress,
        description=name,
        mesh=_mesh(config, algorithm, draw, options.get("fixed")),
        **options,
    )
    if clip is not None:
        tell_clipped(name, trained.history, clip)
    evaluated = [row for row in trained.history if task.monitor in row]
    best = _kept(evaluated, task)
    row = {
        **task.report(trained.params, jax.random.clone(task_key)),
        **_units(task, best),
        "num_params": protocol.num_params(trained.params),
        "num_steps": evaluated[-1]["step"],
        "best_step": best["step"],
        "train_seconds": trained.seconds,
    }
    _tell_not_finite(name, row)
    return Fitted(trained.params, row, _curves(task, evaluated), trained.history)


def tell_clipped(name: str, history: list[dict[str, float]], clip: float) -> None:
    """Prints a line if, in most rows of metrics.jsonl, gradients were longer than `clip`."""
    if said := learning.rows.mostly_clipped(history, clip):
        print(f"{name}: {said}")


def rows_of_norms(norms: Any) -> list[dict[str, float]]:
    """A history for `tell_clipped` of the norms [T] of the gradients of a compiled run."""
    return [{"grad_norm": norm} for norm in np.asarray(norms).tolist()]


def _mesh(config, algorithm, draw, fixed):
    """The devices that share each batch; None is one, or all of a run of several processes."""
    count = getattr(config, "devices", 1)
    if count is None:
        return learning.training_mesh(algorithm, draw(0), fixed=fixed)
    return None if processes.several() or count == 1 else learning.data_mesh(count)


def _tell_not_finite(name, row):
    """Names NaN and inf before other models train: results.json cannot hold them, exit code 2."""
    floats = {what: x for what, x in row.items() if isinstance(x, (float, np.floating))}
    bad = [f"{what} is {x}" for what, x in floats.items() if not math.isfinite(x)]
    if bad and processes.first():
        print(f"{name}: {', '.join(bad)}, which results.json cannot hold", file=sys.stderr)


def _batches(config, rows):
    """Batches of config.batch_size rows; of all rows, if there are fewer."""
    num_rows = len(_parts(rows)[0])
    if num_rows < config.batch_size:
        print(f"each batch is all {num_rows} rows, fewer than --batch-size {config.batch_size}")
    return datasets.batches(rows, min(config.batch_size, num_rows), seed=config.seed)


def _kept(evaluated, task):
    """The row of the step that `train` kept: the best, or the last if no value was finite."""
    sign = 1 if task.minimise else -1
    better = [row for row in evaluated if math.isfinite(row[task.monitor])]
    return min(better, key=lambda row: sign * row[task.monitor], default=evaluated[-1])


def _units(task, row):
    return task.units({name: value for name, value in row.items() if name.startswith("valid")})


def _curves(task, evaluated):
    """What was evaluated after step 0, whose large values would flatten a plot of the rest."""
    evaluated = [row for row in evaluated if row["step"]]
    steps = tuple(row["step"] for row in evaluated)
    found = [_units(task, row) for row in evaluated]
    return {name: (steps, tuple(values[name] for values in found)) for name in found[0]}


# ------------------------------------------------------------------------------------------ tasks
def likelihood_task(
    log_prob: Callable,
    rows: dict,
    *,
    num_draws: int = 1,
    valid_draws: int = 1,
    eval_batch: int = 1000,
) -> Task:
    """E log p(x) of held-out rows, which training maximises.

    log_prob: log_prob(params, key, x) -> [n] in nats. If the data are levels that need
    dequantisation noise, it draws this noise from the key, and is a lower bound; if it is exact, it
    ignores the key.
    rows: {"valid", "test"}, each an array [n, ...] or a tuple that begins with the data, such as
    (x, cond).
    num_draws: draws of the noise for each row of the final report.
    valid_draws: the same for each evaluation during training.
    eval_batch: rows per call of log_prob.

    Reports test_nats and test_bits_per_dim (means over the test split, each with its standard error
    ..._stderr), and valid_nats and valid_bits_per_dim of the step that was kept.
    """
    scores = scorer(log_prob, eval_batch=eval_batch)
    dim = _dim(rows["test"])

    def evaluate(params, key):
        return {"valid_nll": -scores(params, key, rows["valid"], valid_draws).mean()}

    def report(params, key):
        return summary(scores(params, key, rows["test"], num_draws), dim)

    def units(found):
        nats = -found["valid_nll"]
        return {"valid_nats": nats, "valid_bits_per_dim": objectives.bits_per_dim(nats, dim)}

    data = learning.fingerprint({split: rows[split] for split in ("valid", "test")})
    return Task(evaluate, report, monitor="valid_nll", units=units, data=data)


def bound_task(
    model: LatentVariable,
    rows: dict,
    *,
    num_samples: int = 1,
    test_samples: int | None = None,
    test_rows: int | None = None,
    chunk_size: int = 50,
    eval_batch: int = 1000,
    threshold: float = 0.01,
    surgery: bool = False,
) -> Task:
    """E log 1/K Σ_k p(x, z_k) / q(z_k | x), z_k ~ q(z | x): a lower bound of log p(x).

    With K = num_samples = 1 it is the ELBO (Kingma & Welling 2014); with more samples it is tighter
    (Burda et al. 2016, equation 8).

    rows: as in `likelihood_task`.
    num_samples: K of the evaluations during training.
    test_samples: K of the final report, num_samples by default.
    test_rows: the number of test rows that get all test_samples, if this is expensive. All rows
    then get a hundredth as many samples, and their mean is corrected by the mean difference between
    both bounds on the first test_rows rows. This is unbiased for the mean of the bound, and its
    standard error includes both parts. The active units are then estimated on these rows too, if
    the posterior mean has no closed form, by 128 draws for each row.
    chunk_size, eval_batch: chunk_size · eval_batch samples are in memory at once.
    threshold: the least variance of the posterior mean of an active unit.
    surgery: also evaluate the two parts of the KL term during training, valid_information and
    valid_marginal_kl in nats, on the first 1000 validation rows (`metrics.elbo_surgery`).

    Reports what a likelihood task reports, for the bound with test_samples samples. Compare it only
    with bounds of the same number of samples, which results.json tells as `num_samples`. Also
    reported: the ELBO in the same units (elbo_nats, elbo_bits_per_dim); its parts in nats,
    reconstruction_nats and kl_NAME for each group NAME of z; and active_units out of num_units, the
    entries of z whose posterior mean varies over the test split, Var_x E[z_i | x] > threshold
    (Burda et al. 2016, section 5.2).
    """
    test_samples = num_samples if test_samples is None else test_samples
    dim = _dim(rows["test"])

    def bound(params, key, row):
        log_w = objectives.log_weights(model, params, key, *_parts(row), num_samples=num_samples)
        return objectives.bounds.log_mean_weight(log_w)

    task = likelihood_task(bound, rows, eval_batch=eval_batch)

    def report(params, key):
        bound_key, elbo_key, code_key = jax.random.split(key, 3)
        bounds = functools.partial(
            _bounds, model, params, bound_key, chunk_size=chunk_size, batch_size=eval_batch
        )
        return {
            **_bound_of_set(bounds, rows["test"], test_samples, test_rows),
            **_elbo_parts(model, params, elbo_key, rows["test"], dim, eval_batch),
            **_units_in_use(
                model,
                params,
                code_key,
                rows["test"],
                threshold,
                num_rows=test_rows,
                eval_batch=eval_batch,
                num_at_once=chunk_size * eval_batch,
            ),
        }

    task = task._replace(report=report)
    return _with_surgery(task, model, rows["valid"]) if surgery else task


def _bounds(model, params, key, rows, num_samples, **options):
    """The bound of each row, [n]."""
    parts, key = _parts(rows), jax.random.clone(key)
    options |= {"num_samples": num_samples}
    return metrics.importance_log_prob(model, params, key, *parts, **options).log_prob


def _bound_of_set(bounds, rows, num_samples, num_rows):
    """The summary of bounds(rows, num_samples), estimated from fewer samples for all rows and
    num_samples for the first num_rows rows.
    """
    dim, num = _dim(rows), len(_parts(rows)[0])
    told = {"num_samples": num_samples}
    if num_rows is None or num_rows >= num:
        return summary(bounds(rows, num_samples), dim) | told
    some = jax.tree.map(lambda part: part[:num_rows], rows)
    fewer = bounds(rows, max(num_samples // 100, 1))
    more = bounds(some, num_samples) - fewer[:num_rows]
    found, correction = summary(fewer, dim), summary(more, dim)
    joined = {name: float(np.hypot(found[name], correction[name])) for name in found}
    joined |= {name: found[name] + correction[name] for name in found if "stderr" not in name}
    return joined | told | {"test_rows": num_rows}


def _elbo_parts(model, params, key, rows, dim, eval_batch):
    """The mean ELBO of a set and its terms, with up to ten draws a row, or 10,000 in all."""
    num_draws = min(max(10_000 // len(_parts(rows)[0]), 1), 10)

    def parts(params, key, *row):
        found = objectives.infer(model, params, key, *row, num_samples=num_draws)
        kl = {}
        for name, value in found.kl.items():
            each = value.reshape(*found.log_likelihood.shape, -1).sum(-1)
            kl[f"kl_{name}"] = each.mean(0)
        return {"reconstruction_nats": found.log_likelihood.mean(0), **kl}

    found = _each(parts, params, key, rows, eval_batch)
    means = {name: float(x.mean()) for name, x in found.items()}
    kl = sum(nats for name, nats in means.items() if name.startswith("kl_"))
    elbo = means["reconstruction_nats"] - kl
    bits = float(objectives.bits_per_dim(elbo, dim))
    return {"elbo_nats": elbo, "elbo_bits_per_dim": bits, **means}


def _units_in_use(model, params, key, rows, threshold, *, num_rows, eval_batch, num_at_once):
    """The number of units whose posterior mean varies over x, and the number of units.

    Where the mean has no closed form it is estimated twice, each time by the mean of MEAN_DRAWS
    draws, on the first num_rows rows, with num_at_once draws in memory. The errors of the two
    estimates are independent, so their covariance over x is an unbiased estimate of Var_x E[z | x].
    """
    if not _has_mean(model, params, rows):
        rows = jax.tree.map(lambda part: part[:num_rows], rows)
        eval_batch = max(num_at_once // (2 * MEAN_DRAWS), 1)

    def codes(params, key, *row):
        first, second = posterior_means(model, params, key, *row)
        return {"first": first, "second": second}

    found = _each(codes, params, key, rows, eval_batch)
    first, second = found["first"], found["second"]
    varies = ((first - first.mean(0)) * (second - second.mean(0))).mean(0) > threshold
    return {"active_units": int(varies.sum()), "num_units": varies.size}


def posterior_means(
    model: LatentVariable, params: Params, key: Key, *row: Array, num_draws: int = MEAN_DRAWS
) -> tuple[Array, Array]:
    """E[z | x] of rows, two arrays [n, units]: the exact mean twice, or two estimates of it.

    If the posterior has no mean in closed form (it is a flow, for instance), each of the two is the
    mean of num_draws independent draws. Groups of z are concatenated.
    """
    posterior = model.posterior(params, *row)
    try:
        mean = _joined(posterior.mean(), 1)
        return mean, mean
    except NO_MEAN:
        z = posterior.sample(seed=key, sample_shape=(2, num_draws))
        return tuple(_joined(z, 3).mean(1))


def _has_mean(model, params, rows):
    """Whether the posterior has a mean in closed form; nothing is computed."""
    some = [part[:1] for part in _parts(rows)]
    try:
        jax.eval_shape(lambda params: model.posterior(params, *some).mean(), params)
        return True
    except NO_MEAN:
        return False


def _joined(z, batch_ndims):
    """A tree of arrays [*batch, ...] as one array [*batch, units]."""
    leaves = [leaf.reshape(*leaf.shape[:batch_ndims], -1) for leaf in jax.tree.leaves(z)]
    return jnp.concatenate(leaves, -1)


def _each(function, params, key, rows, eval_batch):
    """{name: values [n, ...]} that function(params, key, *rows) returns, for all rows."""
    function = learning.over_devices(function)
    of_batch = lambda key, *batch: function(params, key, *batch)
    return metrics.likelihood.in_batches(of_batch, key, _parts(rows), eval_batch)


def _with_surgery(task, model, valid):
    some = tuple(part[:1000] for part in _parts(valid))
    operate = jax.jit(functools.partial(metrics.elbo_surgery, model))

    def evaluate(params, key):
        found = operate(params, jax.random.clone(key), *some)
        more = {
            "valid_information": found.mutual_information,
            "valid_marginal_kl": found.marginal_kl,
        }
        return task.evaluate(params, key) | {name: float(value) for name, value in more.items()}

    def units(found):
        more = {name: found[name] for name in ("valid_information", "valid_marginal_kl")}
        return task.units(found) | more

    return task._replace(evaluate=evaluate, units=units)


def samples_task(
    sample: Callable[[Params, Key], Array],
    judge: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    rows: dict,
    *,
    monitor: str,
    minimise: bool,
) -> Task:
    """Metrics of samples: judge(samples, held-out rows) returns numbers such as {"fid": 12.3}.

    sample: sample(params, key) draws the samples.
    rows: {"valid", "test"}, each an array [n, ...].
    monitor: the name of the metric that chooses the step that is kept.
    minimise: whether lower values of it are better.

    Evaluates valid_fid, ... during training, and reports test_fid, ...
    """
    draw = jax.jit(sample)

    def judged(split, params, key):
        found = judge(np.asarray(draw(params, key)), rows[split])
        if monitor not in found:
            raise checks.InputError(
                f"monitor must be one of {', '.join(found)}, what judge gives; got {monitor!r}."
            )
        return {f"{split}_{name}": float(value) for name, value in found.items()}

    return Task(
        functools.partial(judged, "valid"),
        functools.partial(judged, "test"),
        monitor=f"valid_{monitor}",
        minimise=minimise,
        data=learning.fingerprint(rows),
    )


def _parts(rows):
    return rows if isinstance(rows, tuple) else (rows,)


def _dim(rows):
    """The number of entries of a row, without its condition."""
    return math.prod(_parts(rows)[0].shape[1:])


# -------------------------------------------------------------------------------- gradient descent
class AdamW(NamedTuple):
    """AdamW, whose rate rises in warm_up steps to learning_rate, then falls to 0 as a cosine."""

    learning_rate: float  # the highest
    num_steps: int  # of the run
    weight_decay: float = 0.0
    decayed: Callable[[Params], Params] | None = None  # says of each leaf whether it decays; or all
    clip: float = CLIP  # the norm to which longer gradients are cut
    warm_up: int = 0

    def optimizer(self) -> optax.GradientTransformation:
        """The transformation of gradients that these options describe."""
        steps = checks.positive_int(self.num_steps, "num_steps")
        peak = checks.positive(self.learning_rate, "learning_rate")
        if self.warm_up:
            rate = optax.warmup_cosine_decay_schedule(0.0, peak, self.warm_up, steps)
        else:
            rate = optax.cosine_decay_schedule(peak, steps)
        adam = learning.adam(rate, weight_decay=self.weight_decay, decayed=self.decayed)
        optimizer = optax.chain(optax.clip_by_global_norm(self.clip), adam)
        return learning.packed(optimizer) if self.decayed is None else optimizer


def adamw_of(config: Any, *, warmed: bool = False, **changes: Any) -> AdamW:
    """The options of AdamW that a config has; changes: other values, and what no config has.

    warmed: whether the rate rises in the first twentieth of the steps.
    """
    described = AdamW(config.learning_rate, config.num_steps, config.weight_decay)
    return described._replace(warm_up=config.num_steps // 20 if warmed else 0, **changes)


def fit_by_adamw(
    config: Any,
    name: str,
    init: Callable[[Key], Params],
    loss: Callable,
    task: Task,
    rows: Rows | tuple[Rows, ...] | Callable[[int], Batch],
    adamw: AdamW,
    *,
    ema_decay: float,
    weights: dict | None = None,
    init_state: Callable | None = None,
    select: Callable[[State], Params] | None = None,
    **options: Any,
) -> Fitted:
    """`fit` of init(key) by gradients of a loss, with AdamW and a moving average of parameters.

    A line says so if most gradients are clipped.

    ema_decay, weights, init_state: as in `learning.gradient_descent`.
    select: what of a training state is evaluated and kept, by default as in `gradient_descent`.
    options: those of `fit`.
    """
    algorithm = learning.gradient_descent(
        init, loss, adamw.optimizer(), init_state=init_state, weights=weights, ema_decay=ema_decay
    )
    if select is not None:
        algorithm = algorithm._replace(params=select)
    options |= {"num_steps": adamw.num_steps, "clip": adamw.clip}
    return fit(config, name, algorithm, task, rows, **options)


# ----------------------------------------------------------------------------- maximum likelihood
def maximum_likelihood(
    config: Any,
    name: str,
    model: Density,
    rows: dict,
    *,
    noisy: Callable | None = None,
    scored: Density | None = None,
    per: int = 1,
    adamw: AdamW | None = None,
    num_draws: int = 1,
    eval_batch: int = 1000,
    **options: Any,
) -> Fitted:
    """`fit` of a density to rows x, or (x, cond), by maximum likelihood, as a config says.

    If the model is an ensemble of masks, each step draws one of them, and evaluations average over
    all.

    noisy: noisy(key, x) adds the dequantisation noise to levels. The key of a step is then used for
    this noise, and the model gets none (no dropout).
    scored: the density that is evaluated on the validation and test splits, if it is not `model`:
    one of longer texts, for instance.
    per: the loss is divided by this, for instance by the number of entries of x; it scales the
    gradients.
    adamw: how gradients are followed, by default `adamw_of(config)`.
    num_draws, eval_batch: as in `likelihood_task`.
    options: those of `fit`.
    """
    scored = model if scored is None else scored

    def parts(key, row):
        x, *cond = row if isinstance(row, tuple) else (row,)
        return (x if noisy is None else noisy(key, x)), *cond

    def loss(params, key, row):
        value, told = objectives.nll(
            model, params, key if noisy is None else None, *parts(key, row)
        )
        return value / per, told

    def log_prob(params, key, row):
        x, *cond = parts(key, row)
        return scored.dist(params, *cond).log_prob(x)

    task = likelihood_task(log_prob, rows, num_draws=num_draws, eval_batch=eval_batch)
    return _descended(config, name, model.init, loss, task, rows["train"], adamw, **options)


def maximum_bound(
    config: Any,
    name: str,
    model: LatentVariable,
    rows: dict,
    task: Task,
    *,
    loss: Callable,
    beta_steps: int = 0,
    weights: dict | None = None,
    init_state: Callable | None = None,
    start: Params | None = None,
    adamw: AdamW | None = None,
    **options: Any,
) -> Fitted:
    """`fit` of a latent variable model to rows x, or (x, cond), with the options of a config.

    loss: `objectives.elbo`, `iwae`, `dreg` or `stl`, with its options filled in.
    beta_steps: the number of first steps in which the weight β of KL(q ‖ p) rises from 0 to 1; the
    loss must take it as beta.
    weights: schedules of other weights that the loss takes, such as a temperature.
    init_state: the initial state of a loss that carries one, such as a running mean
    (`gradient_descent`).
    start: parameters from which training starts, in place of those of `model.init`.
    adamw: how gradients are followed, by default `adamw_of(config)`.
    options: those of `fit`.
    """

    def objective(params, key, row, weights=None, **state):
        key, parts_key = jax.random.split(key)
        given = state if weights is None else {**weights, **state}
        return loss(model, params, key, *_parts(row), parts_key=parts_key, **given)

    init = model.init if start is None else lambda key: start
    beta = {"beta": optax.linear_schedule(0.0, 1.0, beta_steps)} if beta_steps else {}
    weights = {**(weights or {}), **beta} or None
    options |= {"weights": weights, "init_state": init_state, "start": start}
    return _descended(config, name, init, objective, task, rows["train"], adamw, **options)


def _descended(
    config,
    name,
    init: Callable[[Key], Params],
    loss: Callable,
    task: Task,
    rows: Rows | tuple[Rows, ...],
    adamw: AdamW | None,
    **options,
) -> Fitted:
    """`fit_by_adamw` as the config says; what a loss carries is not kept."""
    adamw = adamw_of(config) if adamw is None else adamw
    options |= {name: getattr(config, name) for name in ("ema_decay", "eval_every", "patience")}
    options |= {"select": learning.averaged}
    return fit_by_adamw(config, name, init, loss, task, rows, adamw, **options)


def scorer(log_prob: Callable, *, eval_batch: int = 1000) -> Callable:
    """scores(params, key, rows, num_draws=1) -> mean of log p over draws, [n] in nats; compiled."""
    log_prob = jax.jit(log_prob)

    def scores(params, key, rows, num_draws=1):
        key = jax.random.clone(key)  # the same noise every time, so that scores compare
        score = functools.partial(log_prob, params)
        return metrics.expected_log_prob(
            score, key, rows, num_draws=num_draws, batch_size=eval_batch
        )

    return scores


def summary(log_prob: np.ndarray, dim: int) -> dict:
    """The means of log_prob [n] in nats and in bits per dimension, each with its standard error."""
    nats, nats_stderr = objectives.mean_and_stderr(log_prob)
    bits, bits_stderr = objectives.mean_and_stderr(
        jnp.asarray(objectives.bits_per_dim(log_prob, dim))
    )
    return {
        "test_nats": float(nats),
        "test_nats_stderr": float(nats_stderr),
        "test_bits_per_dim": float(bits),
        "test_bits_per_dim_stderr": float(bits_stderr),
    }


def tell(rows: dict[str, dict], *, steps: str = "--num-steps") -> None:
    """Prints which models went wrong and what to try: see `baselines.verdicts`."""
    for line in baselines.verdicts(rows, steps=steps):
        print(f"\n{line}")


def check_size(config: Any, name: str, init: Callable[[Key], Params]) -> int:
    """The number of parameters that init would make, found without memory for them.

    `InputError` if it is above config.max_params.
    """
    num = protocol.num_params(jax.eval_shape(init, jax.random.key(0)))
    if num > config.max_params:
        raise checks.InputError(
            f"{name} has {num:,} parameters, above the {config.max_params:,} of --max-params: "
            f"{16 * num / 2**30:.0f} GiB with the state of its optimiser. Take a smaller model or "
            f"data of fewer dimensions or levels; --max-params {num} allows it."
        )
    return num


def affordable(config: Any, tables: dict[str, dict], dim: int, num_levels: int) -> dict[str, dict]:
    """Those of `tables`, {name: options of a table}, that are not too large for `check_size`."""
    found = {}
    for name, table in tables.items():
        num = ar.num_parameters(dim, num_levels, **table)
        if num <= config.max_params:
            found[name] = table
        else:
            print(f"{name}: left out, it has {num:,} parameters (--max-params)")
    return found


def fit_table(
    rows: dict, dim: int, num_levels: int, smoothing: tuple[float, ...], **table: Any
) -> tuple[Density, dict[str, Array], dict[str, float]]:
    """The table of frequencies in the training split, smoothed as is best on the validation split.

    smoothing: the pseudo-counts to try. Returns the model, its parameters and its row of
    results.json.
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
