r"""A transformer on text, character by character, in bits per character.

    python -m experiments.autoregressive.text

learns the language reference that comes with Python; --data FILE.txt learns any other text. On

    python -m experiments.autoregressive.text --data tiny_shakespeare --data-dir FOLDER

it fits tables of one, two and three characters by counting, and trains a transformer on texts of
256 characters. Each layer sees the last 64 characters, and positions are relative. So the same
parameters can then score texts that are seven times as long, and write a text six times as long,
which is kept in samples.txt beside one of the largest table. It takes ten minutes on one CPU core.
Expect 4.85, 3.60 and 3.05 bits per character of Shakespeare's test text for the tables and 2.35 for
the transformer (standard error 0.05; 2.16 on the validation text). The test text is scored in parts
of 1859 characters, each without the text before it, for all models alike.

With an accelerator (not run):

    python -m experiments.autoregressive.text --data tiny_shakespeare --data-dir FOLDER \
        --hidden 384 --num-layers 6 --num-heads 6 --length 1024 --window 192 --batch-size 64 \
        --num-steps 5000 --learning-rate 1e-3

A million characters are few for the 10 million parameters of this model, so that it overfits; the
step that is best on the validation split is kept.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from dgm_jax import autoregressive as ar
from dgm_jax import (
    checks,
    learning,
    likelihoods,
    protocol,
    runs,
)
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.options import Data, Training, check

if TYPE_CHECKING:
    from dgm_jax.protocol import Key, Params


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    data: str = "python_topics"
    """python_topics, the language reference that comes with Python; tiny_shakespeare; or a text in
    UTF-8, or a folder with train.txt, valid.txt and test.txt"""
    hidden: int = 128
    """width of the transformer"""
    num_layers: int = 4
    """layers of the transformer"""
    num_heads: int = 4
    """attention heads; must divide --hidden"""
    window: int = 64
    """the number of preceding characters that each layer sees"""
    length: int = 256
    """characters of each text in training"""
    num_steps: int = 800
    batch_size: int = 16
    learning_rate: float = 5e-3
    """the learning rate of AdamW after a warm-up of 1/20 of the steps; then it decays to 0 by a
    cosine"""
    weight_decay: float = 0.1
    ema_decay: float = 0.99
    eval_every: int = 100
    num_written: int = 1500
    """characters of each text in samples.txt"""


QUICK = {
    "num_steps": 4,
    "eval_every": 2,
    "hidden": 8,
    "num_layers": 1,
    "length": 32,
    "window": 8,
    "num_heads": 2,
    "num_written": 60,
}

# Characters that are scored as one text at most: the test split of Shakespeare is 30 such texts.
PIECE = 1859
TABLES: dict[str, dict[str, Any]] = {
    name: {"window": window, "shared": True}
    for window, name in enumerate(("one character", "given the last", "given the last two"))
}
SMOOTHING = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # the best on the validation split is taken


def pieces(ids: np.ndarray, length: int) -> np.ndarray:
    """The text as rows [n, length]; characters left over at its end are dropped."""
    num = len(ids) // length
    return ids[: num * length].reshape(num, length)


@runs.builder
def build(config: Config, dim: int, num_characters: int) -> protocol.Density:
    """The density of texts of `dim` characters; the parameters are the same for any dim."""
    return ar.transformer(
        dim,
        likelihoods.categorical(num_characters),
        hidden=config.hidden,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        window=config.window,
        positions="rotary",
    )


def fit(
    config: Config, parts: dict[str, np.ndarray], scored: dict[str, np.ndarray], num_characters: int
) -> fitting.Fitted:
    """Learns texts of config.length characters, cut anywhere from the training text in `parts`.

    scored: {"valid", "test"}: rows of longer texts, on which the model is evaluated.
    """
    short = build(config, config.length, num_characters)
    length = scored["test"].shape[1]
    arguments = {"config": config, "dim": length, "num_characters": num_characters}
    recipe = learning.Recipe(build, arguments)
    rows = dict(scored)
    rows["train"] = np.lib.stride_tricks.sliding_window_view(parts["train"], config.length)
    return fitting.maximum_likelihood(
        config,
        "transformer",
        short,
        rows,
        scored=recipe.model(),
        recipe=recipe,
        adamw=fitting.adamw_of(config, warmed=True),
        eval_batch=10,
    )


def write(
    config: Config,
    key: Key,
    alphabet: str,
    table: Any,
    params: Params,
    start: np.ndarray,
) -> None:
    """Saves samples.txt: texts of the largest table and of the transformer, and a continuation."""
    table_key, key, sharp_key, complete_key = jax.random.split(key, 4)
    num, k = config.num_written, len(alphabet)
    name, table = table
    table_model = ar.table(num, num_levels=k, **TABLES[name])
    model = build(config, num, k)
    x = np.concatenate([start, np.zeros(num - len(start), np.int32)])

    @jax.jit
    def draw(table, params):
        dist = model.dist(params)
        return (
            table_model.dist(table).sample(seed=table_key),
            dist.sample(seed=key),
            dist.sharpened(temperature=0.7).sample(seed=sharp_key),  # ty: ignore[missing-attribute]
            dist.complete(x, np.arange(num) < len(start), seed=complete_key),  # ty: ignore[missing-attribute]
        )

    names = (
        name,
        "transformer",
        "transformer, temperature 0.7",
        f"transformer, after the first {len(start)} characters of the test text",
    )
    texts = [
        f"===== {name} =====\n{''.join(alphabet[i] for i in ids)}\n"
        for name, ids in zip(names, draw(table, params), strict=True)
    ]
    (config.directory / "samples.txt").write_text("\n".join(texts), encoding="utf-8")


def show(found: dict) -> None:
    rows = [{"model": "uniform", "bits/character": f"{np.log2(found['num_characters']):.3f}"}]
    for name, r in found["models"].items():
        bits = f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}"
        row = {"model": name, "parameters": r["num_params"], "bits/character": bits}
        if "train_seconds" in r:
            row["training s"] = round(r["train_seconds"])
        rows.append(row)
    runs.table(rows, ["model", "parameters", "bits/character", "training s"])
    fitting.tell(found["models"])


def main(config: Config) -> dict:
    check(config)
    parts, alphabet = sets.text(config)
    longest = len(parts["train"])
    if config.length > longest:
        raise checks.InputError(f"length must be at most {longest}, the text; got {config.length}.")
    model = build(config, config.length, len(alphabet))
    fitting.check_size(config, "transformer", model.init)  # told at once
    piece = max(1, min(PIECE, len(parts["valid"]) // 4, len(parts["test"]) // 4))
    scored = {split: pieces(ids, piece) for split, ids in parts.items()}
    models = {}
    for name, options in fitting.affordable(config, TABLES, piece, len(alphabet)).items():
        _, counted, models[name] = fitting.fit_table(
            scored, piece, len(alphabet), SMOOTHING, **options
        )
        table = name, counted
    params, models["transformer"], *_ = fit(config, parts, scored, len(alphabet))
    if processes.first():
        start = parts["test"][: min(200, config.num_written // 2)]
        write(config, jax.random.key(config.seed + 1), alphabet, table, params, start)
    return {"models": models, "num_characters": len(alphabet), "data": config.data}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=10)
