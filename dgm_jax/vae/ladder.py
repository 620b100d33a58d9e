"""Ladder VAEs on vectors: x and z_1, ..., z_L with a shared top-down path."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from .. import checks, nets
from ..likelihoods import Conditional, factorised
from ..protocol import LatentVariable, Shape
from .seen import numbers
from .topdown import Layer, Stage
from .views import of_stages

POSTERIORS = ("free", "precision_weighted")


@checks.spelled
def ladder(
    shape: int | Shape,
    likelihood: Conditional,
    *,
    num_latents: Sequence[int] = (32, 16, 8),
    hidden: Sequence[int] = (256, 256, 256),
    num_blocks: int = 1,
    posterior: str = "free",
    activation: Callable = jax.nn.silu,
    dropout: float = 0.0,
    cond_shape: Shape | None = None,
) -> LatentVariable:
    """p(x, z) = p(z_L) ∏_l p(z_l | z_>l) p(x | z), q(z | x) = ∏_l q(z_l | z_>l, x): a ladder VAE.

    z_>l is (z_{l+1}, ..., z_L). A bottom-up path computes features of x; a top-down path, shared by
    prior and posterior, samples z_L first and carries a state h of the groups sampled so far. All
    conditionals of z are Gaussians with independent entries. Layers are residual blocks on vectors.

    shape: of one x. likelihood: of its entries, such as `likelihoods.bernoulli()`
    num_latents: the sizes of z_1, ..., z_L
    hidden: the width of both paths at each layer, L numbers
    num_blocks: residual blocks of each layer bottom-up; top-down has one per layer
    posterior: "free" is a Gaussian by a net of h and of the features of x. For "precision_weighted"
        a net of the features alone gives N(μ, σ²), and the posterior is the normalised product of
        it and the prior N(μ_p, σ_p²): precision 1/σ² + 1/σ_p², mean (μ/σ² + μ_p/σ_p²) divided by it
        (Sønderby et al., 2016, equations 17 to 19)
    activation, dropout: of the blocks; dropout acts if the distributions get a key
    cond_shape: (n,) of a condition c, such as a one-hot class. c enters at the start of the
        top-down path, and so conditions prior, posterior and likelihood; None for none

    z is a tuple. `infer` costs one bottom-up pass, and one top-down pass for each of K samples;
    kl["z_l"] = KL(q(z_l | z_>l, x) ‖ p(z_l | z_>l)) is in closed form, one number for each entry of
    z_l. Every p(z_l | z_>l) starts as the standard normal. Sønderby et al. (2016), "Ladder
    variational autoencoders"; Kingma et al. (2016), section 4 and appendix C; residual layers as in
    Child (2021), "Very deep VAEs".
    """
    shape = checks.one_or_more(shape, "shape")
    checks.noun(likelihood, Conditional, "likelihood")
    num_latents = checks.widths(num_latents, "num_latents", fewest=1)
    hidden = of_each(hidden, len(num_latents), "hidden", "num_latents")
    num_blocks = checks.positive_int(num_blocks, "num_blocks", least=0)
    checks.choice(posterior, POSTERIORS, "posterior")
    options: dict[str, Any] = {"activation": activation, "dropout": dropout}
    sizes = (math.prod(shape), *hidden)
    stages = []
    for i, (n, w) in enumerate(zip(num_latents, hidden)):
        above = hidden[i + 1] if i + 1 < len(hidden) else None
        stages.append(
            Stage(
                shape=(w,),
                shrink=nets.bottleneck(sizes[i], w, first_activated=bool(i), **options),
                up=nets.bottleneck(w, w, hidden=(w,), **options),
                num_up=num_blocks,
                grow=None if above is None else nets.bottleneck(above, w, **options),
                layer=_layer(n, w, len(num_latents), posterior == POSTERIORS[1], options),
                num_layers=1,
                unroll=True,
            )
        )
    read = nets.bottleneck(hidden[0], likelihood.outputs(sizes[0]), **options)
    decoder = factorised(read, likelihood, shape, cond_shape=(hidden[0],))
    return of_stages(
        stages, decoder, numbers(likelihood, shape, flat=True), shape, cond_shape=cond_shape
    )


def _layer(num_latents, width, num_layers, weighs, options):
    n, w = num_latents, width
    return Layer(
        prior=nets.bottleneck(w, 2 * n + w, hidden=(w,), last_scale=0.0, **options),
        posterior=nets.bottleneck((w,) if weighs else (w, w), 2 * n, hidden=(w,), **options),
        project=nets.bottleneck(n, w, first_activated=False, last_scale=num_layers**-0.5),
        block=nets.bottleneck(w, w, hidden=(w,), last_scale=num_layers**-0.5, **options),
        num_latents=n,
        event_ndims=1,
        weighs=weighs,
    )


def of_each(value: Sequence[int], num: int, name: str, of: str) -> tuple[int, ...]:
    """`num` positive integers, one for each of what `of` names."""
    value = checks.widths(value, name)
    if len(value) != num:
        raise checks.InputError(
            f"{name} must have a number for each of {of}, {num} of them; got {value}."
        )
    return value
