"""Flow++: every parameter learns, and its density inverts nothing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import MixtureLogisticCDF, mixture_logistic_cdf
from dgm_jax.flows import channel_coupling, flow_pp
from dgm_jax.nets import gated_attention
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

OF_ALL = {
    "hidden": 4,
    "num_blocks": 1,
    "cond_shape": (3,),
    "net": partial(gated_attention, num_heads=1),
}
FLOWS = {  # a coupling of flow++ alone, and the whole
    "coupling": lambda shape: channel_coupling(
        shape, law=mixture_logistic_cdf(num_components=2), **OF_ALL
    ),
    "flow++": lambda shape: flow_pp(shape, num_couplings=(1, 1, 1), num_components=2, **OF_ALL),
}


@pytest.mark.parametrize("name", ["coupling", pytest.param("flow++", marks=pytest.mark.full)])
def test_every_parameter_of_flow_pp_has_a_gradient_but_the_bias_of_the_keys(name):
    """That one adds the same number to all logits of a softmax."""
    shape = (4, 4, 1) if name == "flow++" else (2, 2, 2)
    flow, x, conds = FLOWS[name](shape), points(3, *shape), jnp.eye(3)

    def nll(p):
        z, log_det = flow.bijector(p, conds).inverse_and_log_det(x)
        return ((z**2).sum(range(1, z.ndim)) / 2 - log_det).mean()

    for path, grad in jax.tree.leaves_with_path(jit(jax.grad(nll))(drawn(flow, 0.3))):
        where = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), where
        assert (np.abs(grad).max() > 1e-6) != where.endswith("['key']['bias']"), where


def test_the_density_of_flow_pp_evaluates_cdfs_and_only_samples_invert_them(monkeypatch):
    class InvertedError(Exception):
        pass

    def inverted(self, y):
        raise InvertedError

    monkeypatch.setattr(MixtureLogisticCDF, "inverse_and_log_det", inverted)
    shape = (4, 4, 1)
    flow, x = FLOWS["flow++"](shape), points(3, *shape)
    bijector = flow.bijector(drawn(flow, 0.3), jnp.eye(3))
    jax.eval_shape(bijector.inverse_and_log_det, x)
    with pytest.raises(InvertedError):
        jax.eval_shape(bijector.forward_and_log_det, x.reshape(3, -1))
