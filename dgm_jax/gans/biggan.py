"""BigGAN: a shared class embedding, z at every scale, and orthogonal regularisation."""

from typing import Any

import jax
import jax.numpy as jnp

from .. import checks
from ..combinators import adversarial
from ..distributions import standard_normal
from ..nets import residual_critic, residual_generator
from ..nets.residual import halvings
from ..protocol import Adversarial, Array, Params, Shape


@checks.spelled
def biggan(
    shape: Shape,
    num_classes: int,
    *,
    num_latents: int | None = None,
    hidden: int = 96,
    embedding: int = 128,
    attention: int | None = None,
    axis_name: str | None = None,
) -> Adversarial:
    """x = G(z, y), z ~ N(0, I), for a class y, an integer (cond_shape = ()).

    - Each class has a vector of `embedding` numbers, from which every batch norm computes its scale
      and shift by its own linear map.
    - z is split into equal parts: one makes the first image, and the batch norms of each block see
      another one beside the class. By default a part has 20 numbers.
    - The critic adds ⟨v_y, φ(x)⟩; weights of both nets are spectrally normalised and start
      orthogonal.
    - attention: as in `sagan`; hidden, num_latents, num_classes, axis_name: as in `sngan`.

    Train it with `objectives.hinge()`, `orthogonal_penalty` of the generator's parameters, Adam
    with b1 = 0 and learning rates 5e-5 and 2e-4, two updates of the critic, large batches, and
    averaged weights (ema_decay 0.9999), whose batch norms then need `standing_statistics`. A
    `truncated` prior trades variety for quality. At 128×128 with 1000 classes: 70,433,988 and
    87,982,370 parameters, 158.4 million as published. Here the linear maps of the batch norms start
    at zero and are not spectrally normalised. Brock, Donahue and Simonyan (2019), "Large scale GAN
    training for high fidelity natural image synthesis".
    """
    shape = checks.image_shape(shape)
    embedding = checks.positive_int(embedding, "embedding")
    if num_latents is None:
        num_latents = 20 * (halvings(shape) + 1)
    both: dict[str, Any] = {
        "hidden": hidden,
        "attention": shape[0] // 2 if attention is None else attention,
        "spectral": True,
        "num_classes": checks.positive_int(num_classes, "num_classes"),
        "orthogonal": True,
    }
    generator = residual_generator(
        num_latents, shape, embedding=embedding, hierarchical=True, axis_name=axis_name, **both
    )
    critic = residual_critic(shape, **both)
    return adversarial(standard_normal(num_latents), generator, critic, cond_shape=())


def orthogonal_penalty(params: Params) -> Array:
    """Σ_W ‖Wᵀ W ⊙ (1 - I)‖²: penalises columns of each W that are not orthogonal, at any length.

    For every weight with two axes or more, [..., out] as a matrix; biases, scales and the class
    embedding ("embedding") are left out. Added to the generator's loss with weight 1e-4, it makes
    more models work with a truncated z. Brock et al. (2019), equation 3.
    """
    found = []

    def add(path, weights):
        if jnp.ndim(weights) > 1 and "embedding" not in jax.tree_util.keystr(path):
            matrix = weights.reshape(-1, weights.shape[-1])
            gram = matrix.T @ matrix
            found.append(jnp.square(gram - jnp.diag(jnp.diag(gram))).sum())

    jax.tree_util.tree_map_with_path(add, params)
    if not found:
        raise checks.InputError("params must have a weight with two axes or more; got none.")
    return sum(found)
