"""Gaussian MADE: p(x) = ∏_i N(x_i; μ_i(x_<i), σ_i(x_<i)²) from one masked net."""

from collections.abc import Callable, Sequence

import distrax
import jax

from .. import checks, nets
from ..bijectors import Law, affine
from ..distributions import Autoregressive
from ..protocol import Density


def gaussian_made(
    dim: int,
    *,
    hidden: Sequence[int],
    law: Law | None = None,
    order: Sequence[int] | None = None,
    cond_dim: int = 0,
    activation: Callable = jax.nn.silu,
) -> Density:
    """log p(x | c) = Σ_i log N(x_i; μ_i, σ_i²), (μ_i, σ_i) a function of x_<i and c; in nats.

    The net gives the map ε_i = x_i e^s + m that whitens x_i, so σ_i = e^-s and μ_i = -m e^-s, and
    the density is that of the one-layer `flows.maf` with the same weights. `dist` also shows
    `.conditionals(x)`. Costs: density one pass, sample the arithmetic of one (see `nets.made`).
    Germain et al. (2015); Papamakarios et al. (2017), section 3.1.
    """
    law = affine() if law is None else law
    checks.noun(law, Law, "law")
    net = nets.made(
        dim,
        hidden=hidden,
        num_outputs=law.num_params,
        order=order,
        cond_dim=cond_dim,
        activation=activation,
    )

    def to_dist(f):
        whiten = law.bijector(f)
        if not isinstance(whiten, distrax.ScalarAffine):
            raise ValueError(
                f"law must be affine() or additive() for a Gaussian; got {type(whiten).__name__}. "
                "Other laws make flows: flows.maf(..., law=law)."
            )
        return distrax.Normal(-whiten.shift / whiten.scale, 1 / whiten.scale)

    def dist(params, cond=None):
        checks.condition(cond, cond_dim)
        return Autoregressive(net, params, to_dist, dim, cond)

    return Density(net.init, dist)
