r"""Diffusion models of larger pictures by class: MNIST, Fashion-MNIST, CIFAR-10.

    python -m experiments.diffusion.images --data-dir FOLDER
    python -m experiments.diffusion.images --data-dir FOLDER --data fashion_mnist
    python -m experiments.diffusion.images --data-dir FOLDER --data cifar10 --num-judged 200

does what `experiments.diffusion.digits` does, with a U-Net of three sizes, for the model classes
alone: it reports its bound in bits per dimension (bits/dim), and judges samples by class at each
scale of guidance by the features of a classifier that the run trains. guidance.png shows these
samples. With --models ddpm the model is trained by the bound, and is sampled and scored in more
ways. A step of 32 pictures takes some 0.4 s of one CPU core, so on two cores only the beginning of
training is practical. The configuration of Ho et al. (2020) and of Nichol and Dhariwal (2021), for
an accelerator (not run), is

    python -m experiments.diffusion.images --data cifar10 --data-dir FOLDER \
        --models simple hybrid classes --hidden 128 --multipliers 1 2 2 2 --num-blocks 3 \
        --dropout 0.3 --batch-size 128 --learning-rate 1e-4 --num-steps 500000 \
        --eval-every 10000 --ema-decay 0.9999 --chain-steps 4000 --few-steps 50 --test-draws 4 \
        --held-out None --num-judged 2000 --patience None

Published figures for CIFAR-10: at most 3.75 bits/dim by L_simple (Ho et al.), 2.94 by Nichol and
Dhariwal, 2.65 by variational diffusion models.
"""

import dataclasses

from dgm_jax import runs
from experiments.diffusion import digits


@dataclasses.dataclass(frozen=True)
class Config(digits.Config):
    data: str = "mnist"
    models: tuple[digits.ModelName, ...] = ("classes",)
    hidden: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    batch_size: int = 32
    num_steps: int | None = 1200
    eval_every: int = 250
    learning_rate: float = 1e-3
    chain_steps: int = 100
    valid_draws: int = 1
    test_draws: int = 1
    ode_rows: int = 20
    num_judged: int = 300
    held_out: int | None = 1000


QUICK = digits.QUICK | {"data": "digits"}
main, show = digits.main, digits.show


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=20)
