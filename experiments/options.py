"""Options that several experiments share, each described once."""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import math
from typing import Any

import jax

from dgm_jax import checks, runs
from dgm_jax.runs import processes


@dataclasses.dataclass(frozen=True)
class Data:
    """Which data are learned, and how large a model of them may be."""

    data: str = "digits"
    """a file or folder of your own (.npy, .npz, .csv, .tsv, .gz; see Data in the README), or the
    name of a set. Without a download: digits, digits_bits, photo_patches, breast_cancer, wine,
    plucked_strings, python_topics. From --data-dir: mnist, fashion_mnist, binarized_mnist, cifar10,
    omniglot, caltech_silhouettes, frey_faces, olivetti_faces, dsprites, bsds300_patches, power,
    gas, hepmass, miniboone, miniboone_head, spoken_digits, tiny_shakespeare; and of bits nltcs,
    baudio, jester, bnetflix, accidents, mushrooms, adult, pumsb_star, bbc, voting"""
    split_seed: int = 0
    """the seed by which a file without splits is shuffled and split"""
    max_params: int = 100_000_000
    """the largest number of parameters; a larger model is refused before memory is allocated"""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How a model is trained: AdamW on batches, keeping the step that is best on validation."""

    batch_size: int = 128
    """examples per step"""
    devices: int | None = None
    """the number of devices that share each batch; by default all accelerators, or on a CPU one
    per core for models with convolutions or attention, which makes them faster, else one"""
    learning_rate: float = 1e-3
    """the highest learning rate of AdamW; it decays to 0 by a cosine schedule"""
    weight_decay: float = 0.0
    """the weight decay of AdamW: the fraction of each weight subtracted per step, in units of the
    learning rate"""
    ema_decay: float = 0.999
    """the decay of the moving average of the parameters, which is what is evaluated"""
    eval_every: int = 100
    """steps between evaluations on the validation split"""
    patience: int | None = 20
    """stop training after this many evaluations in a row without improvement; None: never"""


@dataclasses.dataclass(frozen=True)
class Training(Optimisation):
    """How a model is trained, and for how many steps."""

    num_steps: int = 1000
    """gradient steps per model; the step that is best on the validation split is kept"""


def filled(config: Any, settings: dict) -> Any:
    """The config, with its value in `settings`, {option: value}, for each option that is None."""
    unsaid = {name: value for name, value in settings.items() if getattr(config, name) is None}
    config = dataclasses.replace(config, **unsaid)
    check_devices(config)
    return config


LEAST = {  # the least value of a whole number, where it is not 1
    "seed": 0,
    "split_seed": 0,
    "categories": 2,  # one tells nothing
    "num_continuous": 0,  # categories alone
    "passes": 2,  # of a sampler
    "orders": 0,  # of Markov chains: 0 is a histogram
    "num_blocks": 0,
    "beta_steps": 0,
    "inception": 0,  # none
    "crossover": 0,  # all layers
    "noise_couplings": 0,
    "naive_limit": 0,  # never
    "digits_steps": 0,  # no digits
    "pixels_steps": 0,  # no density of pixels
    "classifier_steps": 0,  # pixels judge
    "num_test": 2,  # a standard error needs two
    "num_written": 2,
    "num_rows": 2,
}
SHARES = ("roaming", "anneal")  # from 0 to 1
BELOW = {  # numbers that may be 0, and must be below this; all other real numbers are above 0
    "ema_decay": 1.0,
    "alpha": 0.5,
    "beta1": 1.0,
    "dropout": 1.0,
    "prior_dropout": 1.0,
    "weight_decay": math.inf,
    "prior_decay": math.inf,
    "penalty": math.inf,
    "decay": 1.0,
    "revive": 1.0,
    "free_bits": math.inf,
}


def check(config: Any, *lists: str) -> None:
    """`InputError` for a number that makes sense in no experiment, before anything is computed.

    Whole numbers must be at least 1 and real numbers above 0, except for the options named in
    LEAST, SHARES and BELOW; None is left alone, where an option may be None. lists: names of
    options that are lists and must not be empty.
    """
    of_a_run = {field.name for field in dataclasses.fields(runs.RunOptions)} - {"seed"}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in of_a_run:
            for entry in value if isinstance(value, tuple) else (value,):
                _check_number(entry, field.name)
    for name in lists:
        if not getattr(config, name):
            option = name.replace("_", "-")
            raise checks.InputError(f"{name} is empty; name at least one with --{option}.")
    check_devices(config)


def check_devices(config: Any, num_rows: int | None = None) -> None:
    """`InputError` if config.devices are more than there are, or cannot share a batch equally.

    num_rows: the number of training rows, where it is known: a batch has at most so many. In a run
    of several processes the option is not used, and is not checked.
    """
    devices = getattr(config, "devices", None)
    if devices is None or processes.several():
        return
    if devices > (count := jax.device_count()):
        raise checks.InputError(
            f"devices is {devices}, but JAX has {count}; give --devices at most {count}."
        )
    if config.batch_size is None:  # it is chosen by the rows, and `filled` looks again
        return
    rows = config.batch_size if num_rows is None else min(config.batch_size, num_rows)
    if rows % devices:
        raise checks.InputError(
            f"devices is {devices}, which does not divide the {rows} rows of a batch; give "
            f"--devices a divisor of {rows}, or another --batch-size."
        )


def _check_number(value, name):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if name in SHARES and not 0 <= value <= 1:
        raise checks.InputError(f"{name} must be from 0 to 1; got {value!r}.")
    if name in BELOW and not 0 <= value < BELOW[name]:
        raise checks.InputError(
            f"{name} must be at least 0 and below {BELOW[name]}; got {value!r}."
        )
    if name == "seed" and value >= 2**32:
        raise checks.InputError(f"seed must be below 2^32; got {value}.")
    if name in SHARES or name in BELOW:
        return
    if isinstance(value, float):
        checks.positive(value, name)
    else:
        checks.positive_int(value, name, least=LEAST.get(name, 1))
