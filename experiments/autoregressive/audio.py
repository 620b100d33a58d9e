"""WaveNet on raw sound, 8000 samples per second in 256 µ-law levels, in exact bits per sample.

    python -m experiments.autoregressive.audio

learns the sounds of plucked strings, which the program renders itself. On recordings of spoken
digits,

    python -m experiments.autoregressive.audio --data spoken_digits --data-dir FOLDER

it fits Markov tables of order 0, 1 and 2 by counting, and trains a WaveNet by maximum likelihood on
the first quarter of a second of 1200 clips, in nine minutes on one CPU core. Expect 7.22, 5.56 and
5.46 bits per sample for the tables (the last has 17 million parameters), and 4.62 for the WaveNet,
which has 136 thousand parameters and sees the last 1023 samples, 0.128 s (standard error of the
test set 0.05). --models wavenet gru markov also trains a GRU and a Markov model by an MLP: expect
4.60 and 5.15. The GRU has a quarter of the WaveNet's parameters and sees all of the past, but must
be computed step by step.

samples.png shows waveforms and spectrograms of test clips, of samples and of test clips that the
model continues. The same are kept as sound (.wav): samples sound like babble, with voices and
pauses but no words, and continued clips keep their voice for some hundredths of a second. Samples
are half a second long, since parameters that were learned at one length serve any other.

Discretised mixtures of logistics learn as fast as a softmax whose input levels are encoded as
numbers, and take less time per step. Both learn faster than a softmax with one-hot inputs (figures
in RESULTS.md).
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from dgm_jax import autoregressive as ar
from dgm_jax import (
    checks,
    learning,
    likelihoods,
    nets,
    plots,
    protocol,
    runs,
)
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.options import Data, Training, check

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    data: str = "plucked_strings"
    """plucked_strings (rendered); spoken_digits; or a file or folder of your own clips,
    [n, samples] in [-1, 1] or 16-bit integers, taken to have 8000 samples per second"""
    models: tuple[Literal["wavenet", "gru", "lstm", "markov"], ...] = ("wavenet",)
    """which nets to train"""
    class_conditional: bool = False
    """learn p(x | class): every layer gets the class; samples are of the classes 0, 1, ..."""
    conditional: Literal["mixture", "categorical"] = "mixture"
    """the form of p(x_i | x_<i) on 256 levels: a discretised mixture of logistics, or a softmax"""
    encoding: Literal["scaled", "one-hot"] = "scaled"
    """how a level is given to the net, if --conditional is categorical"""
    num_components: int = 10
    """components of the mixture of logistics"""
    length: int = 2048
    """samples taken from the start of each clip; most clips are longer, the longest have 4096"""
    orders: tuple[int, ...] = (0, 1, 2)
    """orders of the Markov tables"""
    hidden: int = 32
    """channels of the WaveNet"""
    cycle: int = 9
    """layers of the WaveNet in one cycle, with dilations 1, 2, 4, ..."""
    num_cycles: int = 2
    """the number of such cycles"""
    units: int = 96
    """the size of the state of the GRU and the LSTM"""
    window: int = 32
    """preceding samples that the Markov MLP sees"""
    widths: tuple[int, ...] = (128, 128)
    """widths of the hidden layers of the Markov MLP"""
    num_steps: int = 4000
    batch_size: int = 2
    learning_rate: float = 6e-3
    """the learning rate of AdamW after a warm-up of 1/20 of the steps; then it decays to 0 by a
    cosine"""
    weight_decay: float = 0.01
    ema_decay: float = 0.99
    eval_every: int = 400
    num_shown: int = 10
    """clips in samples.wav and in the picture"""
    sample_length: int = 4096
    """the length of the model's own clips in samples, which may differ from --length"""


QUICK = {
    "num_steps": 4,
    "eval_every": 2,
    "length": 64,
    "orders": (0, 1),
    "hidden": 4,
    "cycle": 3,
    "units": 4,
    "window": 4,
    "widths": (8,),
    "num_components": 2,
    "num_shown": 2,
    "sample_length": 80,
}

K, RATE = 256, 8000
SMOOTHING = (0.003, 0.03, 0.3)  # the best on the validation split is taken


def dilations(config: Config) -> tuple[int, ...]:
    """1, 2, 4, ..., 2^(cycle - 1), and this num_cycles times: one for each WaveNet layer."""
    return tuple(2**i for i in range(config.cycle)) * config.num_cycles


def reach(config: Config, name: str) -> int | None:
    """The number of preceding samples that a prediction depends on; None for all."""
    stated = {"wavenet": nets.receptive_field(dilations(config)), "markov": config.window}
    return stated.get(name)


@runs.builder
def build(config: Config, name: str, length: int, num_classes: int) -> protocol.Density:
    """The density `name` of clips of this length; the parameters are the same for any length."""
    if config.conditional == "mixture":
        conditional = likelihoods.discretized_logistic(K, num_components=config.num_components)
    else:
        encoding = {"scaled": nets.scaled, "one-hot": nets.one_hot}[config.encoding](K)
        conditional = likelihoods.categorical(K, encoding=encoding)
    makers: dict[str, tuple[Callable[..., protocol.Density], dict[str, Any]]] = {
        "wavenet": (ar.wavenet, {"hidden": config.hidden, "dilations": dilations(config)}),
        "gru": (ar.rnn, {"hidden": config.units}),
        "lstm": (ar.rnn, {"hidden": config.units, "cell": "lstm"}),
        "markov": (ar.markov, {"window": config.window, "hidden": config.widths}),
    }
    make, options = makers[name]
    cond_shape = (num_classes,) if num_classes else None
    return make(length, conditional, cond_shape=cond_shape, **options)


def load_levels(config: Config) -> tuple[dict[str, tuple], int]:
    """{split: (levels [n, length],) or (levels, one-hot classes)}, and the number of classes."""
    data, parts = sets.sound(config)
    longest = data.train.shape[1]
    if not 2 <= config.length <= longest:
        raise checks.InputError(
            f"length must be in 2..{longest}, that of a clip; got {config.length}."
        )
    rows = {
        split: (np.asarray(datasets.mu_law_encode(x[:, : config.length])),)
        for split, x in parts.items()
    }
    if not config.class_conditional:
        return rows, 0
    num_classes, conditions = sets.classes(data)
    return {split: (*row, conditions[split]) for split, row in rows.items()}, num_classes


def fit_tables(config: Config, rows: dict[str, tuple]) -> dict[str, dict]:
    """Homogeneous Markov chains by counting: the same table of frequencies at all times."""
    alone = {split: parts[0] for split, parts in rows.items()}
    tables = {f"Markov table of order {n}": {"window": n, "shared": True} for n in config.orders}
    return {
        name: fitting.fit_table(alone, config.length, K, SMOOTHING, **table)[-1]
        for name, table in fitting.affordable(config, tables, config.length, K).items()
    }


def fit(config: Config, name: str, rows: dict[str, tuple], num_classes: int) -> fitting.Fitted:
    """Maximum likelihood of levels, or of (levels, classes); the loss is in nats per sample."""
    given = {"length": config.length, "num_classes": num_classes}
    recipe = learning.Recipe(build, {"config": config, "name": name} | given)
    recurrent = name in ("gru", "lstm")  # several devices wait for one another at each time
    if recurrent and config.devices is None and jax.default_backend() == "cpu":
        config = dataclasses.replace(config, devices=1)
    return fitting.maximum_likelihood(
        config,
        name,
        recipe.model(),
        rows,
        recipe=recipe,
        per=config.length,
        adamw=fitting.adamw_of(config, clip=1.0, warmed=True),
        eval_batch=20,
    )


def drawn(
    config: Config,
    name: str,
    params: protocol.Params,
    shown: tuple[np.ndarray, ...],
    num_classes: int,
) -> tuple:
    """Levels [num, sample_length]: samples, and the clips in `shown`, continued after 0.125 s.

    If there are classes, samples are of the classes 0, 1, ..., and clips are continued under their
    true class. Both are made by one loop, since a sample is the completion of an empty clip.
    """
    model = build(config, name, config.sample_length, num_classes)
    x, *cond = shown
    if cond:
        asked = sets.one_hot(np.arange(len(x)) % num_classes, num_classes)
        cond = [np.concatenate([asked, cond[0]])]
    start = min(RATE // 8, x.shape[1], config.sample_length)
    begun = np.zeros((2, len(x), config.sample_length), np.int32)
    given = np.zeros(begun.shape, bool)
    begun[1, :, :start], given[1, :, :start] = x[:, :start], True
    begun, given = (a.reshape(-1, config.sample_length) for a in (begun, given))
    complete = jax.jit(lambda p, key: model.dist(p, *cond).complete(begun, given, seed=key))  # ty: ignore[missing-attribute]
    key = jax.random.key(config.seed + 1)
    x = np.asarray(complete(params, key))
    begin = time.perf_counter()
    jax.block_until_ready(complete(params, jax.random.clone(key)))
    seconds = time.perf_counter() - begin
    return *np.split(x, 2), seconds


def write_wav(path: Path, levels: np.ndarray) -> None:
    """Writes clips [n, length] as one 16-bit file, with a tenth of a second of silence between."""
    sound = np.asarray(datasets.mu_law_decode(levels))
    sound = np.pad(sound, [(0, 0), (0, RATE // 10)]).ravel()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(32767 * sound).astype("<i2").tobytes())


def spectrogram(sound: np.ndarray, *, size: int = 256, hop: int = 32) -> np.ndarray:
    """Loudness in dB relative to the loudest, [frequencies, frames], by a Hann window of 32 ms."""
    padded = np.pad(np.asarray(sound, np.float64), size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=-1)).T ** 2
    return 10 * np.log10(power / max(power.max(), 1e-12) + 1e-12)


def picture(clips: dict[str, np.ndarray], digits: dict[str, list]) -> Figure:
    """For each clip its waveform above its spectrogram, on one time axis.

    clips: {name: levels [n, length]}. digits: {name: the digits that the clips say}, where known.
    """
    num = min(5, *(len(levels) for levels in clips.values()))
    longest = max(levels.shape[1] for levels in clips.values()) / RATE
    figure = plots.new_figure((3.2 * num, 3.0 * len(clips)), dpi=100, layout="constrained")
    panels = figure.subplots(2 * len(clips), num, squeeze=False, height_ratios=[1, 2] * len(clips))
    for row, (name, levels) in enumerate(clips.items()):
        for column in range(num):
            sound = np.asarray(datasets.mu_law_decode(levels[column]))
            above, below = panels[2 * row : 2 * row + 2, column]
            above.plot(np.arange(len(sound)) / RATE, sound, color=plots.COLOURS[0], lw=0.5)
            above.set(xlim=(0, longest), ylim=(-0.6, 0.6), xticks=[], yticks=[])
            below.imshow(
                spectrogram(sound),
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=-60,
                vmax=0,
                extent=(0, len(sound) / RATE, 0, RATE / 2000),
                interpolation="nearest",
            )
            below.set(xlim=(0, longest), yticks=[0, 2, 4] if column == 0 else [])
            for axes in (above, below):
                plots.plain(axes, frame=False)
            if name in digits:
                above.set_title(digits[name][column], fontsize=12, color=plots.INK, loc="right")
        panels[2 * row, 0].set_title(name, fontsize=12, color=plots.INK, loc="left")
        panels[2 * row + 1, 0].set_ylabel("kHz", fontsize=10, color=plots.INK)
    panels[-1, 0].set_xlabel("seconds", fontsize=10, color=plots.INK)
    return figure


def show(found: dict) -> None:
    rows = [{"model": "uniform", "parameters": 0, "bits/sample": f"{np.log2(K):.3f}"}]
    for name, r in (found["tables"] | found["models"]).items():
        bits = f"{r['test_bits_per_dim']:.3f} ± {r['test_bits_per_dim_stderr']:.3f}"
        row = {"model": name, "parameters": r["num_params"], "bits/sample": bits}
        if "train_seconds" in r:
            row["sees"] = "all" if r["sees"] is None else f"{r['sees']} ({r['sees'] / RATE:.3f} s)"
            row["training s"] = round(r["train_seconds"])
            row["sampling µs a step"] = round(1e6 * r["sample_seconds"] / found["sample_length"])
        rows.append(row)
    columns = ["model", "parameters", "sees", "bits/sample", "training s", "sampling µs a step"]
    runs.table(rows, columns)
    fitting.tell(found["tables"] | found["models"])


def main(config: Config) -> dict:
    check(config, "models")
    rows, num_classes = load_levels(config)
    for name in config.models:  # a model that is too large is told at once
        fitting.check_size(config, name, build(config, name, config.length, num_classes).init)
    tables, models = fit_tables(config, rows), {}
    order = np.random.default_rng(config.seed).permutation(len(rows["test"][0]))
    shown = tuple(part[order[: config.num_shown]] for part in rows["test"])
    clips, digits = {"test data": shown[0]}, {}
    said = shown[1].argmax(1) if config.class_conditional else None
    sounds = {"test-data": clips["test data"]}
    for name in config.models:
        params, models[name], *_ = fit(config, name, rows, num_classes)
        samples, continued, seconds = drawn(config, name, params, shown, num_classes)
        models[name] |= {"sees": reach(config, name), "sample_seconds": seconds}
        clips |= {name: samples, f"{name}, after test data": continued}
        sounds |= {name: samples, f"{name}-continued": continued}
        if said is not None:
            told = {name: np.arange(len(said)) % num_classes, f"{name}, after test data": said}
            digits |= {"test data": said} | told
    if processes.first():
        for name, levels in sounds.items():
            write_wav(config.directory / f"{name}.wav", levels)
        plots.save(picture(clips, digits), config.directory / "samples.png")
    return {"tables": tables, "models": models, "sample_length": config.sample_length}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=9)
