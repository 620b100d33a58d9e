"""Densities of sequences: they learn a chain of known entropy, at any length, and sample it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import nets
from dgm_jax.autoregressive import density, markov, rnn, table, wavenet
from dgm_jax.learning import fit, gradient_descent
from dgm_jax.likelihoods import categorical, discretized_logistic, gaussian, mixture
from dgm_jax.objectives import nll
from tests.contracts.compiled import jit

K, DIM, LONG, COND = 3, 20, 60, 2
FAMILIES = {
    "markov": (markov, {"window": 2, "hidden": (32,)}),
    "gru": (rnn, {"hidden": 16}),
    "lstm": (rnn, {"hidden": 16, "cell": "lstm"}),
    "wavenet": (wavenet, {"hidden": 12, "dilations": (1, 2)}),
}
everywhere = pytest.mark.parametrize("name", FAMILIES)


def build(name, dim, conditional, **own):
    make, options = FAMILIES[name]
    return make(dim, conditional, **options, **own)


def drawn(model):
    """Parameters N(0, 0.5²), drawn on the host."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.5, a.shape), a.dtype), shapes)


# ------------------------------------------------------------------ a chain of order two (A3)
def chain(dim):
    """p(x_i | x_{i-2}, x_{i-1}), the same at all places: a table of 27 numbers."""
    return table(dim, num_levels=K, window=2, shared=True)


def transitions():
    """P[context, v], context = 3 x_{i-2} + x_{i-1}."""
    return np.random.default_rng(3).dirichlet(np.full(K, 0.5), K * K)


def entropy_rate():
    """-Σ_c π_c Σ_v P_cv log P_cv, with π stationary: π Q = π for the chain Q of pairs."""
    p = transitions()
    q = np.zeros((K * K, K * K))
    for context in range(K * K):
        q[context, context % K * K + np.arange(K)] += p[context]
    pi = np.linalg.matrix_power(q, 1000)[0]
    return -(pi[:, None] * p * np.log(p)).sum()


def truth():
    """The parameters of `chain`: the first two places are drawn as if 0, 0 came before."""
    return {"logits": jnp.asarray(np.log(np.tile(transitions(), (3, 1, 1))), jnp.float32)}


def learned(model, num_steps=400):
    sample = lambda key, t: chain(DIM).dist(truth()).sample(seed=key, sample_shape=64)  # noqa: E731
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-2, num_steps))
    descent = gradient_descent(model.init, lambda p, key, x: nll(model, p, key, x), optimizer)
    run = jit(lambda key: fit(descent, key, sample, num_steps=num_steps)[0].params)
    return run(jax.random.key(0))


def scores(model, params):
    """-log q(x_i | x_<i) of fresh long sequences, from place 20 on, and what the truth says."""

    @jit
    def run(params, key):
        x = chain(LONG).dist(truth()).sample(seed=key, sample_shape=1000)
        both = (model.dist(params), chain(LONG).dist(truth()))
        return [-d.conditionals(x).log_prob(x)[:, DIM:] for d in both]

    return [np.asarray(a) for a in run(params, jax.random.key(9))]


@everywhere
def test_a_known_chain_is_learned_to_its_entropy_rate_and_beyond_the_length_seen(name):
    """Trained on sequences of 20, scored at the places 20 to 60 of others."""
    params = learned(build(name, DIM, categorical(K)))
    ours, true = scores(build(name, LONG, categorical(K)), params)
    assert true.mean() == pytest.approx(entropy_rate(), abs=0.01)
    assert abs((ours - true).mean()) < 0.01  # KL(truth ‖ model) a step, and its noise of 1e-3


def test_a_window_that_is_too_short_pays_for_it():
    """E KL(P(. | x_{i-2}, x_{i-1}) ‖ P(. | x_{i-1})) in nats: what order 1 cannot know."""
    params = learned(markov(DIM, categorical(K), window=1, hidden=(32,)))
    ours, true = scores(markov(LONG, categorical(K), window=1, hidden=(32,)), params)
    assert (ours - true).mean() > 0.1


# -------------------------------------------------------------------------------- the samplers
@pytest.mark.parametrize("conditional", ["gaussian", "mixture", "levels"])
@everywhere
def test_samples_of_a_batch_of_conditions_are_those_of_the_definition(name, conditional):
    """The same key, the same draws, by the cache and by d passes; and completions keep
    what is given."""
    conditional = {
        "gaussian": gaussian(),
        "mixture": mixture(2),
        "levels": discretized_logistic(9, num_components=2),
    }[conditional]
    dim = 6
    make, options = FAMILIES[name]
    model = build(name, dim, conditional, cond_shape=(COND,))
    net = getattr(nets, make.__name__)(
        dim,
        num_outputs=conditional.num_params,
        encoding=conditional.encoding,
        cond_shape=(COND,),
        **options,
    )
    levels = conditional.encoding is not None
    slow = density(
        nets.naive(net.init, net.apply, dim, levels=levels), conditional, dim, cond_shape=(COND,)
    )
    given = np.array([True, True, False, True, False, False])

    @jit
    def both(params, key):
        sample_key, complete_key = jax.random.split(key)
        conds = jnp.array([[0.6, -0.8], [2.0, 1.0]])
        x = jnp.full((3, 2, dim), 1)
        x = x if levels else 0.7 * x
        out = []
        for m in (model, slow):
            dist = m.dist(params, conds)
            keys = [jax.random.clone(k) for k in (sample_key, complete_key)]
            drawn = dist.sample(seed=keys[0], sample_shape=3)
            out.append((drawn, dist.complete(x, given, seed=keys[1])))
        return out, x

    ((fast, filled), (slow_, filled_slow)), x = both(drawn(model), jax.random.key(2))
    assert fast.shape == (3, 2, dim)
    np.testing.assert_allclose(fast, slow_, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(filled, filled_slow, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(filled[..., given], x[..., given])
    assert len(np.unique(np.asarray(filled)[..., ~given])) > 1


@everywhere
def test_it_starts_as_the_conditional_of_zero(name):
    model = build(name, DIM, categorical(K))
    x = jnp.zeros((2, DIM), jnp.int32)
    log_prob = jit(lambda key: model.dist(model.init(key)).log_prob(x))(jax.random.key(0))
    np.testing.assert_allclose(log_prob, -DIM * np.log(K), rtol=1e-6)


def test_bad_inputs_are_refused_by_name():
    with pytest.raises(ValueError, match=r"conditional must be a Conditional.*Call it first: gaus"):
        markov(3, gaussian, window=1, hidden=(2,))
    with pytest.raises(ValueError, match="window must be an integer of at least 1; got 0"):
        markov(3, gaussian(), window=0, hidden=(2,))
    with pytest.raises(ValueError, match="cell must be one of gru, lstm; got 'rnn'"):
        rnn(3, gaussian(), hidden=2, cell="rnn")
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
