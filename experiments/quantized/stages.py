"""Two stages: pictures become codes, and a prior learns these codes, encoded once.

Stage one is a run of `quantized.Coder` in <workdir>/<name>-codes, stage two one of its prior in
<workdir>/<name>. The state of stage two holds stage one too, so that

    loaded = learning.load("runs/quantized/vqvae/vqvae")
    loaded.model.prior(loaded.params), loaded.model.likelihood(loaded.params, codes)

is both: a `LatentVariable`, whose bound of log p(x) is rate and distortion.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import learning, objectives, plots, quantized, runs
from experiments import baselines, fitting, sets

if TYPE_CHECKING:
    from dgm_jax.protocol import Array, Density, Key, LatentVariable, Params

ENCODED = 500  # rows that are encoded at a time
STARTED = 2048  # rows from which codebooks start


class Stage(NamedTuple):
    """How a stage learns: AdamW, warmed up, then falling as a cosine."""

    num_steps: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    ema_decay: float
    eval_every: int
    patience: int | None

    def optimizer(self):
        return fitting.adamw(
            self.learning_rate,
            self.num_steps,
            weight_decay=self.weight_decay,
            warm_up=self.num_steps // 20,
        )

    def options(self, config):
        names = ("num_steps", "eval_every", "patience")
        return {name: getattr(self, name) for name in names} | {
            "mesh": fitting.mesh(config.devices)
        }


def two(config) -> tuple[Stage, Stage]:
    """Both stages as the options say."""
    shared = {name: getattr(config, name) for name in ("batch_size", "ema_decay", "eval_every")}
    shared |= {"patience": config.patience}
    first = Stage(config.num_steps, config.learning_rate, config.weight_decay, **shared)
    second = Stage(config.prior_steps, config.prior_rate, config.prior_decay, **shared)
    return first, second


# ------------------------------------------------------------------------------- stage one
def fit_codes(
    config, name: str, recipe: learning.Recipe, rows: dict, stage: Stage, *, beta: float
) -> fitting.Fitted:
    """Encoder, codebook and decoder, scored under the uniform prior of codes."""
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

    algorithm = learning.gradient_descent(
        init, loss, stage.optimizer(), init_state=init_state, ema_decay=stage.ema_decay
    )
    fitted = fitting.fit(
        config,
        f"{name}-codes",
        algorithm,
        fitting.likelihood_task(log_prob, rows, eval_batch=ENCODED),
        rows["train"],
        recipe=recipe,
        **stage.options(config),
    )
    fitted.row["num_params"] = fitting.num_params(fitted.params[0])
    return fitted


def encoded(coder: quantized.Coder, params: Params, x: Array) -> Array:
    """The codes of all rows, on the host; a tuple of them where there are levels."""
    encode = jax.jit(lambda params, x: coder.encode(*params, x))
    parts = [jax.device_get(encode(params, x[i : i + ENCODED])) for i in range(0, len(x), ENCODED)]
    return jax.tree.map(lambda *each: np.concatenate(each), *parts)


# ------------------------------------------------------------------------------- stage two
def fit_prior(
    config,
    name: str,
    recipe: learning.Recipe,
    coder: quantized.Coder,
    prior: Density,
    first: fitting.Fitted,
    rows: dict,
    stage: Stage,
) -> tuple[LatentVariable, fitting.Fitted, dict]:
    """The prior of codes that stage one, which stays as it is, gives the rows.

    Returns the model of both, what was found, and the codes by split. The row is of both stages:
    test_bits_per_dim is rate and distortion, uniform_bits_per_dim the same with a uniform prior.
    """
    model = recipe.model()
    codes = {split: encoded(coder, first.params, rows[split]) for split in sets.SPLITS}

    def loss(params, key, codes, *, state):
        rate = -prior.dist(params, key=key).log_prob(codes).mean()
        return rate, ({"rate": rate}, state)

    descent = learning.gradient_descent(
        prior.init,
        loss,
        stage.optimizer(),
        init_state=lambda key, params: first.params,
        ema_decay=stage.ema_decay,
    )
    algorithm = descent._replace(
        params=lambda state: {"coder": state.state, "prior": learning.averaged(state)}
    )
    rate = fitting.scorer(
        lambda params, key, c: prior.dist(params["prior"]).log_prob(c), eval_batch=ENCODED
    )

    def evaluate(params, key):
        return {"valid_rate": -float(rate(params, key, codes["valid"]).mean())}

    task = fitting.Task(
        evaluate,
        functools.partial(_report, model, coder, codes, rows["test"]),
        monitor="valid_rate",
        data=learning.fingerprint({split: rows[split] for split in ("valid", "test")}),
    )
    fitted = fitting.fit(
        config,
        name,
        algorithm,
        task,
        codes["train"],
        start=first.params,
        recipe=recipe,
        **stage.options(config),
    )
    sizes = [fitting.num_params(part) for part in (first.params[0], fitted.params["prior"])]
    told = {
        "uniform_bits_per_dim": first.row["test_bits_per_dim"],
        "num_params": sum(sizes),
        "prior_params": sizes[1],
        "stage_one_steps": first.row["num_steps"],
        "train_seconds": fitted.row["train_seconds"] + first.row["train_seconds"],
    }
    fitted.row.update(told)
    return model, fitted, codes


def _report(model, coder, codes, x, params, key):
    """The bound of the test rows and its two parts, and how the codebook is used."""
    dim = math.prod(x.shape[1:])

    def parts(params, row_key, x):
        found = objectives.infer(model, params, row_key, x)
        return found.log_prior[0], found.log_likelihood[0]

    parts, each = jax.jit(parts), []
    for i in range(0, len(x), ENCODED):
        each.append(jax.device_get(parts(params, jax.random.fold_in(key, i), x[i : i + ENCODED])))
    log_prior, log_likelihood = (np.concatenate(part) for part in zip(*each))
    return {
        **fitting.summary(log_prior + log_likelihood, dim),
        "rate_bits_per_dim": float(objectives.bits_per_dim(log_prior.mean(), dim)),
        "distortion_bits_per_dim": float(objectives.bits_per_dim(log_likelihood.mean(), dim)),
        **usage(coder, codes["train"]),
    }


def usage(coder: quantized.Coder, codes: Array) -> dict:
    """Perplexity of the codes of a whole epoch, in all and of each level that there is."""
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
def simple(data) -> dict:
    """A histogram of each pixel, and one Gaussian of noisy pixels: a bound by one draw."""
    rows = data.vectors
    histogram = baselines.histogram(*(rows[s] for s in sets.SPLITS), data.num_levels)
    rng = np.random.default_rng(0)
    noisy = [rows[s] + rng.random(rows[s].shape) for s in sets.SPLITS]
    each = {"histogram": histogram, "gaussian": baselines.gaussian(*noisy)}
    return {name: fitting.summary(nats, data.dim) for name, nats in each.items()}


def show(found: dict) -> None:
    """The table of results.json."""
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
        "Test set. Of a VQ-VAE it is a bound: rate + distortion, the code length of the codes and "
        "that of the\npicture given them. Codes in use: perplexity over all training rows."
    )


def _in_use(row):
    """Perplexity of each level, of how many codes."""
    names = [name for name in row if name.startswith("perplexity")]
    sizes = [name.replace("perplexity", "num_codes") for name in names]
    return ", ".join(f"{row[name]:.1f} of {row[size]}" for name, size in zip(names, sizes))


# -------------------------------------------------------------------------------- pictures
def drawn(model: LatentVariable, params: Params, key: Key, num: int) -> Array:
    """Samples x [num, ...]: codes of the prior, and pictures given them."""

    @jax.jit
    def draw(params, key):
        code_key, key = jax.random.split(key)
        codes = model.prior(params).sample(seed=code_key, sample_shape=num)
        return model.likelihood(params, codes).sample(seed=key)

    return draw(params, key)


def images(x, columns, names, num_levels):
    """A figure of rows of pictures, with grey values from 0 to the largest level."""
    return plots.sample_grid(
        x[..., 0] if x.shape[-1] == 1 else x,
        columns=columns,
        row_names=names,
        vmin=0,
        vmax=num_levels - 1,
    )


def code_maps(x, codes, num_levels: int, num_codes: int):
    """Pictures above the maps of their codes, each code a grey of its own."""
    *_, height, width, parts = codes.shape
    first = codes[..., 0] if parts == 1 else codes.transpose(0, 1, 3, 2).reshape(len(x), height, -1)
    tall, wide = -(-x.shape[1] // first.shape[1]), -(-x.shape[2] // first.shape[2])
    maps = first.repeat(tall, 1).repeat(wide, 2)[:, : x.shape[1], : x.shape[2]]
    grey = x.mean(-1) / (num_levels - 1)
    stacked = np.concatenate([grey, maps / (num_codes - 1)])
    return plots.sample_grid(
        stacked, columns=len(x), row_names=["test data", "codes"], vmin=0, vmax=1
    )


def used(codes: Array, num_codes: int):
    """How often each code is used, the most frequent first, beside equal shares."""
    shares = np.sort(np.bincount(codes.ravel(), minlength=num_codes))[::-1] / codes.size
    return plots.curves(
        {"share of all codes": (np.arange(num_codes), shares)},
        xlabel="code, by frequency",
        ylabel="share",
        baselines={"equal shares": 1 / num_codes},
    )
