"""Options that many experiments share, each said once."""

from typing import Literal

DataName = Literal[
    "digits",
    "mnist",
    "fashion_mnist",
    "cifar10",
    "binarized_mnist",
    "bsds300_patches",
    "nltcs",
    "baudio",
    "jester",
    "bnetflix",
    "accidents",
    "mushrooms",
    "adult",
    "pumsb_star",
    "bbc",
    "voting",
    "power",
    "gas",
    "hepmass",
    "miniboone",
    "miniboone_head",
    "frey_faces",
    "olivetti_faces",
    "omniglot",
    "caltech_silhouettes",
    "dsprites",
    "spoken_digits",
    "tiny_shakespeare",
]
