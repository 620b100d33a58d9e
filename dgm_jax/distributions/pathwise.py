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
    """Whether ∇ E_q f(z) = E_ε ∇ f(z(ε; q)): whether a sample has a gradient that may be averaged.

    The gradient is with respect to the parameters of q, through the sample z = z(ε; q) as a
    function of noise ε. This is False for levels, and for a mixture that samples its component,
    because the choice has no gradient; the score-function estimator is for those.

    dist: q. It may declare the answer by an attribute `reparametrised`; one that is built on
        another, such as a pushforward, inherits it from that; any other distribution of real
        numbers counts as reparametrised
    Returns a bool.
    """
    checks.instance(dist, distrax.Distribution, "dist")
    says = getattr(dist, "reparametrised", None)
    if says is not None:
        return bool(says)
    # not dist.dtype, for which distrax draws with a key of the old kind
    drawn = jax.tree.leaves(jax.eval_shape(lambda: dist.sample(seed=jax.random.key(0))))
    levels = any(jnp.issubdtype(z.dtype, jnp.integer) for z in drawn)
    if levels or isinstance(dist, NOT_PATHWISE):
        return False
    inner = getattr(dist, "one", None) or getattr(dist, "distribution", None)
    return inner is None or reparametrised(inner)
