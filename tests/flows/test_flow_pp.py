"""Flow++: every parameter learns."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import flow_pp
from dgm_jax.nets import gated_attention
from tests.contracts.compiled import jit
from tests.helpers import drawn, points


def test_every_parameter_of_flow_pp_has_a_gradient_but_the_bias_of_the_keys():
    """That one adds the same number to all logits of a softmax."""
    shape, conds = (4, 4, 1), jnp.eye(3)
    flow = flow_pp(
        shape,
        num_couplings=(1, 1, 1),
        num_components=2,
        net=partial(gated_attention, num_heads=1),
        hidden=4,
        num_blocks=1,
        cond_shape=(3,),
    )
    model, x = pushforward(flow, standard_normal(16)), points(3, *shape)

    def nll(p):
        return -model.dist({"base": {}, "flow": p}, conds).log_prob(x).mean()

    for path, grad in jax.tree.leaves_with_path(jit(jax.grad(nll))(drawn(flow, 0.3))):
        where = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), where
        assert (np.abs(grad).max() > 1e-6) != where.endswith("['key']['bias']"), where
