"""What samples are judged by: features of a classifier that a run trains, pixels, or Inception."""

from __future__ import annotations  # types are not looked up: distrax takes a second

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax

from dgm_jax import checks, learning, metrics, nets
from experiments import fitting

if TYPE_CHECKING:
    from experiments.sets import Images

DIRECTIONS = 256  # projections of the sliced Wasserstein distance
NEIGHBOURS = 3  # k of precision and recall


def classifier(
    config: Any, shape: tuple[int, int, int], num_classes: int
) -> tuple[Callable, Callable, Callable]:
    """(init, features, logits): strided convolutions, then the features, then a linear map."""
    depth = 1 if min(shape[:2]) < 16 else 2
    encoder = nets.conv_encoder(shape, config.num_features, hidden=(32, 64)[:depth])
    head = nets.mlp(config.num_features, num_classes, hidden=())

    def init(key):
        encoder_key, head_key = jax.random.split(key)
        return {"encoder": encoder.init(encoder_key), "head": head.init(head_key)}

    def features(params, x):
        return jax.nn.relu(encoder.apply(params["encoder"], x))

    def logits(params, x):
        return head.apply(params["head"], features(params, x))

    return init, features, logits


def features_of(config: Any, data: Images) -> tuple:
    """`fit_classifier`; (pixels, None, None) without classes, or without steps for a classifier."""
    if data.labels is None or not config.classifier_steps:
        return pixels, None, None
    return fit_classifier(config, data)


def fit_classifier(config: Any, data: Any) -> tuple[Callable, Callable, float]:
    """(features, guess, error) of a classifier that is trained on images [n, H, W, C].

    features(x) and guess(x) are its features and its most likely class of each image; error is the
    share of test images that it gets wrong.
    """
    init, features, logits = classifier(config, data.shape, data.num_classes)

    def loss(params, key, batch):
        x, y = batch
        scores = optax.softmax_cross_entropy_with_integer_labels(logits(params, x), y)
        return scores.mean(), {}

    guess = in_parts(lambda params, x: logits(params, x).argmax(-1))

    def missed(split, params):
        return float((guess(params, data.rows[split]) != data.labels[split]).mean())

    task = fitting.Task(
        lambda params, key: {"valid_error": missed("valid", params)},
        lambda params, key: {"test_error": missed("test", params)},
        monitor="valid_error",
        data=learning.fingerprint({"rows": data.rows, "labels": data.labels}),
    )
    steps = config.classifier_steps
    rate = optax.cosine_decay_schedule(2e-3, steps)
    fitted = fitting.fit(
        config,
        "classifier",
        learning.gradient_descent(init, loss, optax.adamw(rate, weight_decay=0.05)),
        task,
        (data.rows["train"], data.labels["train"]),
        num_steps=steps,
        eval_every=max(steps // 5, 1),
    )
    bound = functools.partial(in_parts(features), fitted.params)
    return bound, functools.partial(guess, fitted.params), fitted.row["test_error"]


def scaled(levels: np.ndarray, num_levels: int) -> np.ndarray:
    """Levels 0..K-1 scaled to [-1, 1], the range that the classifier takes."""
    return (2.0 * np.asarray(levels) / (num_levels - 1) - 1).astype(np.float32)


def in_parts(function: Callable, size: int = 500) -> Callable:
    """function(params, x [n, ...]) compiled, and called for `size` rows at once; returns NumPy."""
    function = jax.jit(function)

    def over(params, x):
        taken = np.resize(np.arange(len(x)), -(-len(x) // size) * size).reshape(-1, size)
        found = [np.asarray(function(params, x[rows])) for rows in taken]
        return np.concatenate(found)[: len(x)]

    return over


def pixels(x: np.ndarray) -> np.ndarray:
    """Images averaged over equal squares, to at most 8x8, as rows [n, d]."""
    step = [max(n // 8, 1) for n in x.shape[1:3]]
    x = x[:, : x.shape[1] // step[0] * step[0], : x.shape[2] // step[1] * step[1]]
    parts = x.reshape(len(x), -1, step[0], x.shape[2] // step[1], step[1], x.shape[3])
    return parts.mean((2, 4)).reshape(len(x), -1)


def by_features(features: Callable, samples: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """{"frechet", "precision", "recall"} of the features of samples against real images."""
    real, fake = features(real), features(samples)
    near = metrics.precision_recall(real, fake, k=NEIGHBOURS)
    return {
        "frechet": metrics.frechet_distance(real, fake).distance,
        "precision": near.precision,
        "recall": near.recall,
    }


def by_pixels(samples: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """{"sliced", "density", "coverage"} of samples against real images [n, size, size, C].

    These are the sliced Wasserstein distance, density and coverage, of the pixels themselves.
    """
    fake, real = (x.reshape(len(x), -1) for x in (samples, real))
    sliced = metrics.sliced_wasserstein(
        jax.random.key(0), real, fake, num_directions=DIRECTIONS, order=2
    )
    near = metrics.density_coverage(real, fake)
    return {"sliced": sliced.distance, "density": near.density, "coverage": near.coverage}


def check_samples(config: Any, held_out: dict) -> None:
    """`InputError` for fewer samples or held-out rows than the metrics need."""
    num = min(config.num_samples, *map(len, held_out.values()))
    if num <= NEIGHBOURS:
        raise checks.InputError(
            f"num_samples and the held-out rows must be more than the {NEIGHBOURS} neighbours of "
            f"precision and recall; got {config.num_samples} and "
            f"{min(map(len, held_out.values()))}."
        )
    if config.inception == 1:
        raise checks.InputError("inception must be 0, none, or at least 2 samples; got 1.")


def inception(config: Any) -> Callable:
    """A function from images [n, H, W, C] in [-1, 1] to the features of FID's Inception network."""
    features = metrics.features("inception", config.data_dir)
    return lambda x: features(np.round((np.asarray(x) + 1) * 127.5).astype(int))


def by_inception(
    config: Any, seen: Callable, real: np.ndarray, made: Iterable[tuple[str, np.ndarray]]
) -> dict:
    """{name: {"fid", "kid"}} of images against real ones.

    seen: the function that `inception` returns. made: pairs (name, images).
    """
    real, judged = seen(real), {}
    for name, x in made:
        fake = seen(x)
        size, key = min(1000, len(real), len(fake)), jax.random.key(config.seed)
        judged[name] = {
            "fid": metrics.frechet_distance(real, fake).distance,
            "kid": metrics.kernel_distance(key, real, fake, subset_size=size).squared,
        }
    return judged
