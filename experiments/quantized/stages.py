"""Two stages: pictures are encoded as codes, and a prior of these codes is learned.

Stage one trains a `quantized.Coder` in <workdir>/<name>-codes. Its codes are computed once, and
stage two trains their prior in <workdir>/<name>. The state of stage two holds stage one too, so
that

    loaded = learning.load("runs/quantized/vqvae/vqvae")
    loaded.model.prior(loaded.params), loaded.model.likelihood(loaded.params, codes)

is both: a `LatentVariable`, whose bound of log p(x) consists of rate and distortion.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import autoregressive as ar
from dgm_jax import learning, likelihoods, objectives, plots, protocol, quantized, runs
from experiments import baselines, fitting, sets
from experiments.gans import judge
from experiments.options import Optimisation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import Array, Density, Key, LatentVariable, Params, Rows

ENCODED = 500  # rows that are encoded at once
STARTED = 2048  # rows from which codebooks are initialised
PriorName = Literal["gated-pixelcnn", "pixelsnail", "transformer"]


@dataclasses.dataclass(frozen=True)
class Judged:
    """Options of how samples are judged."""

    inception: ClassVar[int] = 0
    num_samples: int = 1000
    """the number of samples that are judged"""
    classifier_steps: int = 1000
    """training steps of the classifier whose features judge samples; 0: pixels are the features"""
    num_features: int = 32
    """the number of these features"""


@dataclasses.dataclass(frozen=True)
class TwoStages(Optimisation):
    """How the two stages are trained, one after the other."""

    learning_rate: float = 2e-3
    """the highest learning rate of stage one; it rises in the first twentieth of the steps, then
    decays to 0 by a cosine schedule"""
    weight_decay: float = 0.1
    """the weight decay of AdamW in stage one: the fraction of each weight subtracted per step, in
    units of the learning rate"""
    batch_size: int = 64
    ema_decay: float = 0.99
    eval_every: int = 100
    """steps between evaluations on the validation split, in each stage"""
    patience: int | None = 20
    """end a stage after this many evaluations in a row without improvement; None: never"""
    num_steps: int = 2000
    """gradient steps of stage one; the step that is best on the validation split is kept"""
    prior_steps: int = 400
    """gradient steps of stage two; of these too the best is kept"""
    prior_rate: float = 2e-3
    """the highest learning rate of stage two, which rises and decays as that of stage one"""
    prior_decay: float = 0.3
    """the weight decay of stage two"""


def two(config: TwoStages) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the stages are trained: of each the options of `fitting.fit_by_adamw`."""
    shared = {name: getattr(config, name) for name in ("ema_decay", "eval_every", "patience")}

    def stage(learning_rate, num_steps, weight_decay):
        adamw = fitting.AdamW(learning_rate, num_steps, weight_decay, warm_up=num_steps // 20)
        return shared | {"adamw": adamw}

    first = stage(config.learning_rate, config.num_steps, config.weight_decay)
    return first, stage(config.prior_rate, config.prior_steps, config.prior_decay)


def pictures(config: Any) -> sets.Images:
    """`sets.images`, checked to have as many rows as the judging of samples needs."""
    data = sets.images(config)
    judge.check_samples(config, {split: data.rows[split][0] for split in ("valid", "test")})
    return data


# ------------------------------------------------------------------------------- stage one
def fit_codes(
    config: Any, name: str, recipe: learning.Recipe, rows: dict, stage: dict, *, beta: float
) -> fitting.Fitted:
    """Stage one: trains encoder, codebook and decoder, evaluated with a uniform prior of codes."""
    coder = recipe.model()
    uniform = quantized.with_prior(coder)
    first = rows["train"][:STARTED]

    def init(key):
        init_key, key = jax.random.split(key)
        params, state = coder.init(init_key)
        return params if coder.adapt is None else coder.adapt(params, state, key, first)[0]

    def init_state(key, params):
        init_key, key = jax.random.split(key)
        state = coder.init(init_key)[1]
        return state if coder.adapt is None else coder.adapt(params, state, key, first)[1]

    def loss(params, key, x, *, state):
        return quantized.vqvae_loss(coder, params, key, x, state=state, beta=beta)

    def log_prob(params, key, x):
        return objectives.log_weights(uniform, {"coder": params, "prior": {}}, key, x)[0]

    fitted = fitting.fit_by_adamw(
        config,
        f"{name}-codes",
        init,
        loss,
        fitting.likelihood_task(log_prob, rows, eval_batch=ENCODED),
        rows["train"],
        init_state=init_state,
        recipe=recipe,
        **stage,
    )
    fitted.row["num_params"] = protocol.num_params(fitted.params[0])
    return fitted


def encoded(coder: quantized.Coder, params: Params, x: Array) -> Array:
    """The codes of all rows as NumPy arrays; a tuple of them if there are several levels."""
    encode = jax.jit(lambda params, x: coder.encode(*params, x))
    parts = [jax.device_get(encode(params, x[i : i + ENCODED])) for i in range(0, len(x), ENCODED)]
    return jax.tree.map(lambda *each: np.concatenate(each), *parts)


# ------------------------------------------------------------------------------- stage two
def density_of_codes(
    config: Any,
    name: str,
    shape: tuple[int, int, int],
    num_codes: int,
    cond_shape: tuple[int, ...] | None = None,
) -> Density:
    """A density of maps of codes, with config.prior_layers layers of config.prior_hidden channels.

    name: "gated-pixelcnn" depends on near codes first, and on farther ones by more layers; each
    block of "pixelsnail", and each layer of "transformer" (of codes in raster order), depends on
    all preceding codes.
    """
    one = likelihoods.categorical(num_codes)
    options = {"hidden": config.prior_hidden, "num_layers": config.prior_layers}
    options |= {"cond_shape": cond_shape}
    if name == "gated-pixelcnn":
        return ar.gated_pixelcnn(shape, one, first_kernel_size=5, **options)
    heads = {"num_heads": config.prior_heads}
    if name == "pixelsnail":
        return ar.pixelsnail(shape, one, **heads, **options)
    return ar.image_gpt(shape, one, **heads, **options)


def fit_prior(
    config: Any,
    name: str,
    recipe: learning.Recipe,
    coder: quantized.Coder,
    prior: Density,
    first: fitting.Fitted,
    rows: dict,
    stage: dict,
    *,
    conds: dict | None = None,
) -> tuple[LatentVariable, fitting.Fitted, dict]:
    """Stage two: trains the prior on the codes of stage one, whose parameters do not change.

    first: what `fit_codes` returned. rows: {split: x [n, ...]}.
    conds: {split: the condition of each row}, if the prior has one.

    Returns the model of both stages, what `fitting.fit` returns, and the codes by split. The row is
    of both stages: test_bits_per_dim is the sum of rate and distortion, uniform_bits_per_dim the
    same with a uniform prior.
    """
    model = recipe.model()
    codes = {split: encoded(coder, first.params, rows[split]) for split in sets.SPLITS}
    lines, held_out = codes, rows
    if conds is not None:  # rows are the codes, then the condition
        several = isinstance(coder.num_codes, tuple)
        parts = {split: c if several else (c,) for split, c in codes.items()}
        lines = {split: (*parts[split], conds[split]) for split in sets.SPLITS}
        held_out = {split: (rows[split], conds[split]) for split in sets.SPLITS}

    def log_prob(params, line, key=None):
        if conds is None:
            return prior.dist(params, key=key).log_prob(line)
        *c, cond = line
        return prior.dist(params, cond, key=key).log_prob(tuple(c) if several else c[0])

    def loss(params, key, line, *, state):
        rate = -log_prob(params, line, key).mean()
        return rate, ({"rate": rate}, state)

    rate = fitting.scorer(
        lambda params, key, line: log_prob(params["prior"], line), eval_batch=ENCODED
    )

    def evaluate(params, key):
        return {"valid_rate": -float(rate(params, key, lines["valid"]).mean())}

    test = held_out["test"] if conds is not None else (rows["test"],)
    task = fitting.Task(
        evaluate,
        functools.partial(_report, model, coder, codes, test),
        monitor="valid_rate",
        data=learning.fingerprint({split: held_out[split] for split in ("valid", "test")}),
    )
    fitted = fitting.fit_by_adamw(
        config,
        name,
        prior.init,
        loss,
        task,
        lines["train"],
        init_state=lambda key, params: first.params,
        select=lambda state: {"coder": state.state, "prior": learning.averaged(state)},
        start=first.params,
        recipe=recipe,
        **stage,
    )
    sizes = [protocol.num_params(part) for part in (first.params[0], fitted.params["prior"])]
    told = {
        "uniform_bits_per_dim": first.row["test_bits_per_dim"],
        "num_params": sum(sizes),
        "prior_params": sizes[1],
        "stage_one_steps": first.row["num_steps"],
        "train_seconds": fitted.row["train_seconds"] + first.row["train_seconds"],
    }
    fitted.row.update(told)
    return model, fitted, codes


def _report(model, coder, codes, rows, params, key):
    """The bound on the test rows, (x,) or (x, cond), its two parts, and how codes are used."""
    dim = math.prod(rows[0].shape[1:])

    def parts(params, row_key, *row):
        found = objectives.infer(model, params, row_key, *row)
        return found.log_prior[0], found.log_likelihood[0]

    compiled, each = jax.jit(parts), []
    for i in range(0, len(rows[0]), ENCODED):
        some = (part[i : i + ENCODED] for part in rows)
        each.append(jax.device_get(compiled(params, jax.random.fold_in(key, i), *some)))
    log_prior, log_likelihood = (np.concatenate(part) for part in zip(*each))
    return {
        **fitting.summary(log_prior + log_likelihood, dim),
        "rate_bits_per_dim": float(objectives.bits_per_dim(log_prior.mean(), dim)),
        "distortion_bits_per_dim": float(objectives.bits_per_dim(log_likelihood.mean(), dim)),
        **usage(coder, codes["train"]),
    }


def usage(coder: quantized.Coder, codes: Array) -> dict:
    """The perplexity of the codes of all training rows; of each level, if there are several."""
    if not isinstance(codes, tuple):
        count = quantized.counts(jnp.asarray(codes), coder.num_codes)
        return {"perplexity": float(quantized.perplexity(count)), "num_codes": coder.num_codes}
    found = {}
    for level, (c, num) in enumerate(zip(codes, coder.num_codes, strict=True)):
        count = quantized.counts(jnp.asarray(c), num)
        found[f"perplexity_{level}"] = float(quantized.perplexity(count))
        found[f"num_codes_{level}"] = num
    return found


# -------------------------------------------------------------------- what is told beside it
def judged(config: Any, data: sets.Images, made: dict) -> dict:
    """Metrics of samples against the test split, by the features of a classifier or by pixels.

    made: {name: (levels [n, H, W, C], the classes asked for, or None)}. For each of these, and for
    as many training rows, the Fréchet distance, precision and recall; and `right`, the share whose
    class the classifier recognises.
    """
    labelled = data.labels is not None and data.labels["train"].ndim == 1
    seen = data._replace(
        rows={split: judge.scaled(x, data.num_levels) for split, (x, *_) in data.rows.items()},
        labels=data.labels if labelled else None,
        num_classes=sets.num_classes(data) if labelled else 0,
    )
    features, guess, error = judge.features_of(config, seen)
    train, real = (seen.rows[split][: config.num_samples] for split in ("train", "test"))
    found = {"training rows": judge.by_features(features, train, real)}
    for name, (x, wanted) in made.items():
        x = judge.scaled(x, data.num_levels)
        found[name] = judge.by_features(features, x, real)
        if guess is not None and wanted is not None:
            found[name]["right"] = float((guess(x) == wanted).mean())
    return {
        "features": "pixels" if error is None else "classifier",
        "classifier_error": error,
        "num_held_out": len(real),
        "samples": found,
    }


def show_judged(found: dict) -> None:
    """Prints the metrics of `judged`, with a row for each kind of samples."""
    rows = []
    for name, told in found["samples"].items():
        numbers = {what: f"{value:.3f}" for what, value in told.items()}
        rows.append({"samples": name, **numbers})
    runs.table(rows, list(max(rows, key=len)))
    error = found["classifier_error"]
    of = "of the pixels" if error is None else f"of a classifier with a test error of {error:.3f}"
    print(f"Samples against {found['num_held_out']} test images, by features {of}; no FID.")


def simple(data: sets.Images) -> dict:
    """Two baselines: a histogram of each pixel, and a Gaussian of pixels with noise (a bound)."""
    rows = data.vectors
    histogram = baselines.histogram(*(rows[s] for s in sets.SPLITS), data.num_levels)
    rng = np.random.default_rng(0)
    noisy = [rows[s] + rng.random(rows[s].shape) for s in sets.SPLITS]
    each = {"histogram": histogram, "gaussian": baselines.gaussian(*noisy)}
    return {name: fitting.summary(nats, data.dim) for name, nats in each.items()}


def show(found: dict) -> None:
    """Prints the table of bounds from the contents of results.json."""
    rows = []
    for name, r in found["models"].items():
        bits = f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}"
        row = {"model": name, "bits/dim": bits}
        if "rate_bits_per_dim" in r:
            row |= {
                "rate": f"{r['rate_bits_per_dim']:.3f}",
                "distortion": f"{r['distortion_bits_per_dim']:.3f}",
                "uniform prior": f"{r['uniform_bits_per_dim']:.3f}",
                "codes in use": _in_use(r),
            }
        if "num_params" in r:
            row |= {"parameters": r["num_params"], "training s": round(r["train_seconds"])}
        rows.append(row)
    runs.table(rows, list(rows[0]))
    print(
        "On the test set. For a VQ-VAE it is a bound, rate + distortion: the code length of the "
        "codes, and\nthat of the picture given them. Codes in use: perplexity over training rows."
    )


def _in_use(row):
    """The perplexity of each level and its number of codes, in words."""
    names = [name for name in row if name.startswith("perplexity")]
    sizes = [name.replace("perplexity", "num_codes") for name in names]
    return ", ".join(f"{row[name]:.1f} of {row[size]}" for name, size in zip(names, sizes))


# -------------------------------------------------------------------------------- pictures
def drawn(
    model: LatentVariable, params: Params, key: Key, num: int, cond: Rows | None = None
) -> Array:
    """Pictures x [num, ...] from codes of the prior, under num conditions if there are any."""

    @jax.jit
    def draw(params, key):
        code_key, key = jax.random.split(key)
        shape = num if cond is None else ()
        codes = model.prior(params, cond).sample(seed=code_key, sample_shape=shape)
        return model.likelihood(params, codes).sample(seed=key)

    return draw(params, key)


def images(
    x: np.ndarray,
    columns: int,
    names: list[str] | tuple,
    num_levels: int,
    column_names: tuple[str, ...] = (),
) -> Figure:
    """A figure of rows of pictures, with grey values from 0 to the largest level."""
    return plots.sample_grid(
        x[..., 0] if x.shape[-1] == 1 else x,
        columns=columns,
        row_names=names,
        column_names=column_names,
        vmin=0,
        vmax=num_levels - 1,
    )


def by_class(x: np.ndarray, names: tuple[str, ...], num_rows: int, num_levels: int) -> Figure:
    """A figure of pictures whose classes come in turn, with a column for each, named above it."""
    return images(x[: num_rows * len(names)], len(names), (), num_levels, names)


def code_maps(x: np.ndarray, codes: Rows, num_levels: int, num_codes: int) -> Figure:
    """A figure of pictures above the maps of their codes, with a grey value for each code."""
    *_, height, width, parts = codes.shape
    first = codes[..., 0] if parts == 1 else codes.transpose(0, 1, 3, 2).reshape(len(x), height, -1)
    tall, wide = -(-x.shape[1] // first.shape[1]), -(-x.shape[2] // first.shape[2])
    maps = first.repeat(tall, 1).repeat(wide, 2)[:, : x.shape[1], : x.shape[2]]
    grey = x.mean(-1) / (num_levels - 1)
    stacked = np.concatenate([grey, maps / (num_codes - 1)])
    return plots.sample_grid(
        stacked, columns=len(x), row_names=["test data", "codes"], vmin=0, vmax=1
    )


def used(codes: Array, num_codes: int) -> Figure:
    """A figure of how often each code is used, sorted, beside equal shares."""
    shares = np.sort(np.bincount(codes.ravel(), minlength=num_codes))[::-1] / codes.size
    return plots.curves(
        {"share of all codes": (np.arange(num_codes), shares)},
        xlabel="code, by frequency",
        ylabel="share",
        baselines={"equal shares": 1 / num_codes},
    )
