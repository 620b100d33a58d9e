"""Whether a sample is a differentiable function of the parameters of its distribution."""

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
    """Whether ∇ E_q f(z) = E ∇ f(z), with the gradient through the sample z = z(ε; q).

    This is False for levels, and for a mixture that samples its component, because the choice has
    no gradient. A distribution may declare it by an attribute `reparametrised`; one that is built
    on another, such as a pushforward, inherits it from that; any other counts as reparametrised.
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
