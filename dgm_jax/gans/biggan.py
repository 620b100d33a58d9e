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
    """x = G(z, y), z ~ N(0, I), for a class y, an integer (cond_shape = ()): the nets of BigGAN.

    - The generator has k residual blocks, each of which doubles height and width: k is the largest
      number for which the first image, H / 2^k × W / 2^k, has integer sides of at least 4.
    - Each class has a trained vector, from which the batch norms of these blocks compute their
      scale and shift, each by its own linear map.
    - z is split into k + 1 equal parts: one makes the first image, and each block gets another one,
      which its batch norms see beside the class.
    - The critic is D(x, y) = w · φ(x) + b + ⟨v_y, φ(x)⟩, where φ(x) is the sum over the pixels of
      relu(h), h the output of its residual blocks; w, b and a vector v_y per class are trained.
    - Weights of convolutions and dense layers of both, and the matrix of all v_y, are divided by
      their largest singular value, and start orthogonal.

    shape: (H, W, C), even sides of at least 8; x lies in (-1, 1)
    num_classes: the number of classes
    num_latents: the size of z, divisible by k + 1; None for 20 (k + 1)
    hidden: the channels at full resolution, twice as many at each halving, at most 16 hidden
    embedding: the size of the vector of a class
    attention: the height of the images that get a self-attention layer, one of H / 2, ..., H / 2^k;
        None for H / 2
    axis_name: of `jax.pmap`, for batch norms

    The state of both nets are singular vectors, and of the generator also the running moments of
    batch norms. With train=True a net updates its state, as the losses do for the player that they
    train; with train=False it stays. Another shape, num_latents or attention raise `InputError`.

    Train it with `objectives.hinge()`, 1e-4 `orthogonal_penalty` of the generator, Adam with b1 = 0
    and learning rates 5e-5 (generator) and 2e-4, two updates of the critic, and averaged weights
    (ema_decay 0.9999) with `standing_statistics`. At 128×128 with 1000 classes it has 158.4 million
    parameters, as published. Unlike there, the linear maps of the batch norms start at 0 and are
    not normalised. Brock, Donahue and Simonyan (2019), "Large scale GAN training for high fidelity
    natural image synthesis".
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

    params: those of a net, such as params["generator"]. Every weight with two axes or more counts,
        [..., out] as a matrix with `out` columns; biases, scales and the class embedding
        ("embedding") are left out. None at all raises `InputError`

    Returns a scalar. Added to the generator's loss with weight 1e-4, it makes more models work with
    a truncated z. Brock, Donahue and Simonyan (2019), "Large scale GAN training for high fidelity
    natural image synthesis", equation 3.
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
