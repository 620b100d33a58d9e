"""WaveNet: it learns a chain of known entropy, and takes a condition of each step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.autoregressive import wavenet
from dgm_jax.likelihoods import categorical, mixture
from tests.autoregressive import models
from tests.contracts.compiled import jit


def test_a_known_chain_is_learned_to_its_entropy_rate_and_beyond_the_length_seen():
    """Trained on sequences of 20, scored at the places 20 to 60 of others."""
    short, long = (wavenet(d, categorical(3), hidden=12, dilations=(1, 2)) for d in (20, 60))
    ours, true = models.costs_of_the_chain(long, models.learned_chain(short))
    assert abs((ours - true).mean()) < 0.01  # KL(truth ‖ model) a step, and its noise of 1e-3


def test_samples_and_completions_given_a_value_for_each_step_are_those_of_the_definition():
    """The same key, the same draws, by queues and by d passes: numbers, and a batch of texts."""
    dim, conditional = 6, mixture(2)
    options = {"hidden": 4, "dilations": (1, 2), "cond_shape": (dim, 2)}
    model = wavenet(dim, conditional, **options)
    net = nets.wavenet(dim, num_outputs=conditional.num_params, **options)
    slow = models.by_definition(net, conditional, dim)
    rng = np.random.default_rng(1)
    conds, x = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, dim, 2), (3, 2, dim)))
    given = np.array([True, True, False, True, False, False])

    @jit
    def both(params, key):
        out = []
        for m in (model, slow):
            dist = m.dist(params, conds)
            keys = jax.random.split(jax.random.clone(key))
            drawn, log_prob = dist.sample_and_log_prob(seed=keys[0], sample_shape=3)
            out.append((drawn, log_prob, dist.complete(x, given, seed=keys[1])))
        return out, model.dist(params, conds).log_prob(out[0][0])

    (fast, wanted), again = both(models.drawn(model), jax.random.key(2))
    assert fast[0].shape == (3, 2, dim) and fast[1].shape == (3, 2)
    for ours, theirs in zip(fast, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(fast[1], again, rtol=1e-4)
    np.testing.assert_array_equal(fast[2][..., given], x[..., given])
    assert (fast[2] != x)[..., ~given].all()


def test_x_and_cond_of_another_kind_are_refused_by_name():
    model = wavenet(3, categorical(4), hidden=2, dilations=(1,))
    params = jax.eval_shape(model.init, jax.random.key(0))
    for x, match in [
        (jnp.zeros((2, 3)), "x must be levels, integers in 0..3; got float32"),
        (jnp.zeros((2, 4), jnp.int32), r"x must have shape \[..., 3\]; got \(2, 4\)"),
    ]:
        with pytest.raises(ValueError, match=match):
            jax.eval_shape(lambda p, x=x: model.dist(p).log_prob(x), params)
    with pytest.raises(ValueError, match=r"cond of shape \(2,\) was given to an unconditional"):
        model.dist(params, jnp.zeros(2))
    with pytest.raises(ValueError, match=r"cond_shape must be \(n,\).*or \(3, n\), one for each"):
        wavenet(3, categorical(4), hidden=2, dilations=(1,), cond_shape=(4, 2))
