"""From an array to a density in the units of the data in one call, for notebooks: `fit_to_data`."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from .. import checks
from ..combinators import adapt, preprocessed, quantized
from ..data import batches, dequantize, logit_map, standardize
from ..metrics import expected_log_prob
from ..objectives import mean_and_stderr, nll
from ..protocol import Array, Density, Key, Params, Shape
from .adam import adam
from .devices import over_devices
from .gradient import gradient_descent
from .identity import fingerprint
from .loop import train
from .packing import packed
from .rows import mostly_clipped

SPLITS = ("train", "valid", "test")
ALPHA = 0.01  # the margin of the logit map of levels
EVAL_BATCH = 500  # rows that are scored at a time
ADAPT_BATCH = 4096  # rows from which data-dependent parameters start
CLIP = 5.0  # the largest norm of a gradient
EVALUATIONS = 50  # of a run that is not stopped early


class FittedDensity(NamedTuple):
    """The result of `fit_to_data`: a density of x in the units in which x was given.

    model: the density, with the preprocessing: model.dist(params, cond)
    params: the averaged parameters of the step that was best on the validation rows
    log_prob: log_prob(x, cond=None) -> nats [n], a NumPy array, computed on all devices
    sample: sample(key, sample_shape=(), cond=None) -> [*sample_shape, *event], or with conditions
        [*sample_shape, m, *event], on all devices
    valid_nats: the mean log p of the validation rows at that step
    test_nats, test_nats_stderr: the mean log p of the test rows, which no choice depends on, and
        its standard error
    best_step: the step of `params`
    history: the rows of `train`, dicts of "step", "loss", "valid_nats", ...
    rows: {"train", "valid", "test"}: the indices of the rows of x in each part
    """

    model: Density  # of x as it was given: model.dist(params, cond)
    params: Params  # the averaged ones, of the step that was best on the validation rows
    log_prob: Callable[..., np.ndarray]  # log_prob(x, cond=None): nats [n], on all devices
    sample: Callable[..., Array]  # sample(key, sample_shape=(), cond=None), the same
    valid_nats: float  # the mean log p of the validation rows
    test_nats: float  # the mean log p of the test rows, which no choice depends on
    test_nats_stderr: float  # its standard error over the rows
    best_step: int  # of the parameters
    history: list[dict[str, float]]  # the rows of `train`: "step", "loss", "valid_nats", ...
    rows: dict[str, np.ndarray]  # {"train", "valid", "test"}: which rows of x are in each

    def __repr__(self):
        steps = self.history[-1]["step"]
        return (
            f"FittedDensity: test {self.test_nats:.4g} ± {self.test_nats_stderr:.2g} nats, "
            f"valid {self.valid_nats:.4g}, best step {self.best_step} of {steps}"
        )


@checks.spelled
def fit_to_data(
    model: Density,
    x: ArrayLike,
    key: Key,
    *,
    cond: ArrayLike | None = None,
    num_levels: int | None = None,
    preprocessing: distrax.Bijector | None = None,
    valid_share: float = 0.1,
    test_share: float = 0.1,
    split_seed: int = 0,
    num_steps: int = 3000,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.1,
    ema_decay: float = 0.99,
    eval_every: int | None = None,
    patience: int | None = 10,
    workdir: Path | str | None = None,
    progress: bool = True,
) -> FittedDensity:
    """argmax_θ E log p_θ(x | c) over the rows of x [n, *event], with early stopping; in nats.

        model = combinators.pushforward(flows.maf(5), distributions.standard_normal(5))
        fitted = learning.fit_to_data(model, table, jax.random.key(0))
        fitted.log_prob(table)                      # [n], nats, of the table as it is
        fitted.sample(jax.random.key(1), 100)       # 100 rows like those of the table

    What the model is trained on depends on the data:

    - Real numbers: g(x) = (x - mean) / standard deviation, per entry, from the training rows; or g
      = `preprocessing` (`data.standardize(0, 1)` for the identity). log_prob includes log|det
      ∂g/∂x|.
    - Levels (integers 0, 1, ...) with a model of levels, such as
      `autoregressive.made(64, likelihoods.categorical(17))`: x itself. log_prob is exact.
    - Levels with a model of real numbers, such as a flow, and `num_levels`: x + u with uniform
      noise u in [0, 1), by default followed by the logit of α + (1 - 2α) (x + u) / num_levels, α =
      0.01, and standardisation. log_prob is a lower bound estimated with one draw of u, and samples
      are levels.

    model: a `Density` of one row of x; key: makes all random numbers of training
    cond: conditions [n, *cond_shape] of a conditional model; or classes, integers [n], for
        cond_shape=(num_classes,). Classes become one-hot vectors, also in `log_prob` and `sample`
        (there [m], with samples [*sample_shape, m, *event])
    valid_share, test_share: the fractions of the rows held out for validation and test, drawn with
        `split_seed`. Validation decides when to stop and which step is best; test only reports
    num_steps, batch_size, learning_rate, weight_decay, ema_decay: at most num_steps steps of AdamW
        on batches of batch_size rows. The learning rate decays to 0 by a cosine, the norm of the
        gradient is clipped to 5, and the parameters that are evaluated are a moving average with
        this decay
    eval_every, patience: training stops after `patience` evaluations in a row without improvement
        on the validation rows; with None at num_steps. eval_every is a number of steps, by default
        one epoch or a fiftieth of num_steps, whichever is more
    workdir: a directory for checkpoints, with which the same call resumes a stopped run, and
        returns the result of a finished one; None for none
    progress: whether to show a progress bar

    Returns a `FittedDensity`: model and params, log_prob(x, cond=None) -> nats [n] and sample(key,
    sample_shape, cond=None) in the units of x, valid_nats, test_nats with test_nats_stderr,
    best_step, history and rows (the indices of each part). All randomness comes from `key` and
    `split_seed`. Raises `ValueError` before training if the data do not fit the model, and
    `Diverged` if training meets NaN.
    """
    checks.key(key)
    checks.noun(model, Density, "model")
    learning_rate = checks.positive(learning_rate, "learning_rate")
    weight_decay = checks.not_negative(weight_decay, "weight_decay")
    num_steps = checks.positive_int(num_steps, "num_steps")
    batch_size = checks.positive_int(batch_size, "batch_size")
    split_seed = checks.integer(split_seed, "split_seed")
    _check_plan(ema_decay, eval_every, patience, workdir, progress)
    x, cond = _data(model, x, cond)
    rows = _split(len(x), valid_share, test_share, split_seed)
    parts = {
        split: tuple(part[rows[split]] for part in (x, cond) if part is not None)
        for split in SPLITS
    }
    model = _of_the_data(model, *parts["train"][:1], num_levels, preprocessing, split_seed)
    scores = _scores(model, min(EVAL_BATCH, len(rows["valid"]), len(rows["test"])))

    def init(key):
        return adapt(model, model.init(key), *(part[:ADAPT_BATCH] for part in parts["train"]))

    _check_scores(scores(jax.jit(init)(jax.random.clone(key)), (x,) if cond is None else (x, cond)))
    batch_size = min(batch_size, len(rows["train"]))
    epoch = len(rows["train"]) // batch_size
    trained = train(
        gradient_descent(
            init,
            lambda params, key, batch: nll(model, params, key, *batch),
            _optimizer(learning_rate, num_steps, weight_decay),
            ema_decay=ema_decay,
        ),
        key,
        batches(parts["train"], batch_size, seed=split_seed),
        num_steps=num_steps,
        evaluate=lambda params, _: {"valid_nats": scores(params, parts["valid"]).mean()},
        monitor="valid_nats",
        minimise=False,
        eval_every=max(epoch, num_steps // EVALUATIONS, 1) if eval_every is None else eval_every,
        patience=patience,
        identity={"data": fingerprint(parts)},
        workdir=workdir,
        progress=progress,
        description="fit_to_data",
    )
    if progress and (said := mostly_clipped(trained.history, CLIP)):
        print(said, file=sys.stderr)
    return _reported(model, trained, scores, parts["test"], rows)


def _check_plan(ema_decay, eval_every, patience, workdir, progress):
    """What `train` would refuse, before the first rows are scored."""
    checks.rate(ema_decay, "ema_decay")
    checks.flag(progress, "progress")
    for name, value in (("patience", patience), ("eval_every", eval_every)):
        if value is not None:
            checks.positive_int(value, name)
    if workdir is not None:
        checks.path(workdir, "workdir")


def _scores(model, batch_size):
    """scores(params, rows) -> log p [n] in nats of rows (x,) or (x, cond), on all devices."""
    log_prob = over_devices(lambda params, x, *cond: model.dist(params, *cond).log_prob(x))

    def scores(params, rows):
        score = lambda _, row: log_prob(params, *row)
        return expected_log_prob(score, jax.random.key(0), rows, batch_size=batch_size)

    return scores


def _optimizer(learning_rate, num_steps, weight_decay):
    rate = optax.cosine_decay_schedule(learning_rate, num_steps)
    descent = adam(rate, weight_decay=weight_decay)
    return packed(optax.chain(optax.clip_by_global_norm(CLIP), descent))


def _reported(model, trained, scores, test, rows) -> FittedDensity:
    """What `train` returned, with the scores of the test rows and of the step that is kept."""
    test_nats, stderr = mean_and_stderr(scores(trained.params, test))
    evaluated = [row for row in trained.history if "valid_nats" in row]
    finite = [row for row in evaluated if np.isfinite(row["valid_nats"])]
    best = max(finite, key=lambda row: row["valid_nats"], default=evaluated[-1])
    return FittedDensity(
        model,
        trained.params,
        _scorer(model, trained.params, scores),
        _sampler(model, trained.params),
        best["valid_nats"],
        float(test_nats),
        float(stderr),
        int(best["step"]),
        trained.history,
        rows,
    )


# ------------------------------------------------------------------------------------------ data
def _data(model, x, cond):
    """Rows and conditions on the host, checked: float32 or int32, and conditions that fit."""
    x = _numbers(x, "x")
    if x.ndim < 2:
        raise checks.InputError(
            f"x must be rows [n, ...]; got shape {x.shape}. Of single numbers: x[:, None]."
        )
    if cond is not None:
        cond = _condition(cond, model.cond_shape)
        if len(cond) != len(x):
            raise checks.InputError(
                f"cond must have a row for each of the {len(x)} of x; got {len(cond)}."
            )
    checks.condition(cond, model.cond_shape)
    return x, cond


def _numbers(value, name):
    value = checks.finite_rows(value, name)
    if value.dtype.kind != "f":
        checks.within(value, -(2**31), 2**31 - 1, name)
    return value.astype(np.float32 if value.dtype.kind == "f" else np.int32)


def _condition(cond, cond_shape):
    """Conditions as the model takes them: classes become one-hot."""
    cond = _numbers(cond, "cond")
    if cond_shape is None or len(cond_shape) != 1:
        return cond.astype(np.float32)
    (num_classes,) = cond_shape
    if cond.ndim == 1 and cond.dtype == np.int32:
        checks.within(cond, 0, num_classes - 1, "cond, as classes,")
        return np.eye(num_classes, dtype=np.float32)[cond]
    if cond.shape[-1] != num_classes:
        raise checks.InputError(
            f"cond must have shape [..., {num_classes}], or be classes, integers of shape [n]; "
            f"got {cond.dtype} of shape {cond.shape}."
        )
    return cond.astype(np.float32)


def _split(num, valid_share, test_share, seed):
    """{"train", "valid", "test"}: which rows, at random."""
    valid_share = checks.positive(valid_share, "valid_share")
    test_share = checks.positive(test_share, "test_share")
    counts = [max(2, round(share * num)) for share in (valid_share, test_share)]
    if num - sum(counts) < 2:
        raise checks.InputError(
            f"x has {num} rows, of which valid_share={valid_share} and test_share={test_share} "
            "leave fewer than two to learn from."
        )
    order = np.random.default_rng(seed).permutation(num)
    valid, test, train = np.split(order, np.cumsum(counts))
    return {"train": np.sort(train), "valid": np.sort(valid), "test": np.sort(test)}


# ----------------------------------------------------------------------------------------- model
def _of_the_data(model, x, num_levels, preprocessing, seed):
    """The density of x as it is given, with the parameters of the model; x are training rows."""
    if num_levels is not None:
        num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    if preprocessing is not None:
        checks.instance(preprocessing, distrax.Bijector, "preprocessing")
    drawn = _drawn(model)
    if x.shape[1:] != drawn.shape:
        same_size = math.prod(x.shape[1:]) == math.prod(drawn.shape)
        remedy = f" Try x.reshape{(-1, *drawn.shape)}." if same_size else ""
        raise checks.InputError(
            f"x must have rows of the shape of the model, {drawn.shape}; got {x.shape[1:]}.{remedy}"
        )
    integers = x.dtype == np.int32
    if jnp.issubdtype(drawn.dtype, jnp.integer):
        if not integers:
            raise checks.InputError(
                f"x must be levels, integers from 0 on, for a model of levels; got {x.dtype}. "
                "Whole numbers: x.astype(int). Numbers in [0, 1], K levels apart: ((K - 1) * x)"
                ".round().astype(int). Others need a model of numbers, such as a flow."
            )
        for name, value in (("num_levels", num_levels), ("preprocessing", preprocessing)):
            if value is not None:
                raise checks.InputError(f"{name} is for a model of numbers; this one is of levels.")
        return model
    if integers and num_levels is None:
        raise checks.InputError(
            "x are integers and the model is a density of numbers: give num_levels (of bits 2, of "
            "bytes 256), and noise turns them into numbers; or, if they are none, x.astype(float)."
        )
    if num_levels is not None and not integers:
        raise checks.InputError(f"num_levels is for integers; x is {x.dtype}.")
    if num_levels is None:
        if preprocessing is None:
            _refuse_whole(x)
        return preprocessed(model, preprocessing or _standardized(x))
    checks.within(x, 0, num_levels - 1, "x")
    if preprocessing is None:
        logit = logit_map(num_levels, alpha=ALPHA, event_ndims=x.ndim - 1)
        y = logit.forward(dequantize(jax.random.key(seed), x))
        preprocessing = distrax.Chain([_standardized(np.asarray(y)), logit])
    return quantized(preprocessed(model, preprocessing), num_levels)


def _drawn(model: Density) -> jax.ShapeDtypeStruct:
    """Shape and dtype of a sample."""

    def draw(key):
        init_key, sample_key = jax.random.split(key)
        cond = None if model.cond_shape is None else jnp.zeros(model.cond_shape)
        return model.dist(model.init(init_key), cond).sample(seed=sample_key)

    return jax.eval_shape(draw, jax.random.key(0))


def _standardized(x):
    x = np.asarray(x, np.float64)
    mean, std = x.mean(0), x.std(0)
    coarse = (std > 0) & (std < 16 * np.spacing(abs(mean).astype(np.float32)))
    if coarse.any():
        raise checks.InputError(
            f"x: mean {mean[coarse][0]:g} is too large beside deviation {std[coarse][0]:g} (the "
            f"first of {coarse.sum()} such): float32 has fewer than 16 numbers in it. Subtract the "
            "mean in float64 first, or drop a constant column."
        )
    return standardize(mean, std, event_ndims=x.ndim - 1)


def _refuse_whole(x):
    """From 2^23 on float32 holds no others, so that there it says nothing of the data."""
    if (x == np.round(x)).all() and (abs(x).max(0) < 2**23).any():
        raise checks.InputError(
            "x are whole numbers, on which a density of numbers is a row of ever narrower peaks: "
            "give x.astype(int) and num_levels."
        )


def _check_scores(log_prob):
    bad = ~np.isfinite(log_prob)
    if bad.any():
        raise checks.InputError(
            f"x: {bad.sum()} of {len(bad)} rows have no probability under the model at its start, "
            f"first row {int(np.argmax(bad))} with log p = {log_prob[np.argmax(bad)]}; are there "
            "levels that the model does not know, or numbers out of its range?"
        )


def _scorer(model, params, scores):
    def log_prob(x: ArrayLike, cond: ArrayLike | None = None) -> np.ndarray:
        """log p(x | cond) [n] in nats, of rows like those that were fitted."""
        return scores(params, tuple(part for part in _data(model, x, cond) if part is not None))

    return log_prob


def _sampler(model, params):
    def draw(params, key, cond, sample_shape):
        return model.dist(params, cond).sample(seed=key, sample_shape=sample_shape)

    drawn = over_devices(draw, static_argnums=3)

    def sample(key: Key, sample_shape: int | Shape = (), cond: ArrayLike | None = None) -> Array:
        """Draws of x [*sample_shape, *event], or [*sample_shape, m, *event] of m conditions."""
        checks.key(key)
        cond = None if cond is None else _condition(cond, model.cond_shape)
        return drawn(params, key, cond, checks.sample_shape(sample_shape))

    return sample
