"""Options that many experiments share, each said once."""

import dataclasses

from dgm_jax import checks


@dataclasses.dataclass(frozen=True)
class Data:
    """What is learned."""

    data: str = "digits"
    """a file or folder of your own (.npy, .npz, .csv, .tsv, .gz; README, Data), or a set by its
    name. Without a download: digits, digits_bits, photo_patches, breast_cancer, wine,
    plucked_strings, python_topics. From --data-dir: mnist, fashion_mnist, binarized_mnist, cifar10,
    omniglot, caltech_silhouettes, frey_faces, olivetti_faces, dsprites, bsds300_patches, power,
    gas, hepmass, miniboone, miniboone_head, spoken_digits, tiny_shakespeare; of bits nltcs, baudio,
    jester, bnetflix, accidents, mushrooms, adult, pumsb_star, bbc, voting"""
    split_seed: int = 0
    """by it a file without splits is shuffled and split"""
    max_params: int = 100_000_000
    """a model of more parameters is refused before memory is taken for it"""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How a model learns: AdamW on batches, the best step on the validation split is kept."""

    batch_size: int = 128
    """examples a step"""
    devices: int | None = None
    """devices that share each batch; all accelerators by default, one where there are CPUs only"""
    learning_rate: float = 1e-3
    """of AdamW at its highest; falls to 0 as a cosine"""
    weight_decay: float = 0.0
    """of AdamW: what each step takes from the weights, times the learning rate"""
    ema_decay: float = 0.999
    """of the averaged parameters, which are evaluated"""
    eval_every: int = 100
    """steps between two evaluations on the validation split"""
    patience: int | None = 20
    """evaluations in a row without a new best, after which a model is done; None: never"""


@dataclasses.dataclass(frozen=True)
class Training(Optimisation):
    """How a model learns, in how many steps."""

    num_steps: int = 1000
    """gradient steps a model; the best on the validation split is kept"""


def at_least_one(config, *names: str) -> None:
    """`InputError` where an option that lists what to do lists nothing."""
    for name in names:
        if not getattr(config, name):
            raise checks.InputError(f"{name} is empty; name at least one with --{name}.")
