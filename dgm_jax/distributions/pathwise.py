"""Whether the gradient of a sample by the parameters tells how the distribution moves."""

import distrax
import jax
import jax.numpy as jnp

from .. import checks

NOT_PATHWISE = (  # draws that choose; those of levels are known by their dtype
    distrax.Bernoulli,
    distrax.Categorical,
    distrax.MixtureOfTwo,
    distrax.MixtureSameFamily,
    distrax.Multinomial,
    distrax.OneHotCategorical,
)


def reparametrised(dist: distrax.Distribution) -> bool:
    """Whether ∇ E_q f(z) = E ∇ f(z), the gradient on the right through the sample z = z(ε; q).

    Not so of levels, nor of what chooses one of its components by a draw: the choice has no
    gradient, so that ∂z/∂q misses how its probability changes. A distribution may say of itself
    what it is, by an attribute `reparametrised`; what is made of another one, as the pushforward
    of a flow is of its base, is as that one. All others are taken to be.
    """
    checks.instance(dist, distrax.Distribution, "dist")
    says = getattr(dist, "reparametrised", None)
    if says is not None:
        return bool(says)
    levels = any(jnp.issubdtype(dtype, jnp.integer) for dtype in jax.tree.leaves(dist.dtype))
    if levels or isinstance(dist, NOT_PATHWISE):
        return False
    inner = getattr(dist, "one", None) or getattr(dist, "distribution", None)
    return inner is None or reparametrised(inner)
