"""KL divergences: in closed form, or refused by a line that names the estimate."""

import itertools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive, checks
from dgm_jax.autoregressive import Masks, made
from dgm_jax.bijectors import additive, affine
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import (
    DiscretizedLogisticMixture,
    Levels,
    Pushforward,
    by_entries,
    divergence_at,
    standard_normal,
    uniform_noise,
)
from dgm_jax.flows import coupling, elementwise, maf, planar, plu, triangular
from dgm_jax.likelihoods import bernoulli, factorised, gaussian, mixture
from dgm_jax.nets import mlp
from dgm_jax.objectives import mean_log_ratio
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

BASE = standard_normal(2)
COND = points(3, 1, seed=4)


def dist_of(make, *args, seed=0, spread=0.5):
    model = make()
    return model.dist(drawn(model, spread, seed), *args)


def flow(make, *args, base=BASE, seed=0):
    return dist_of(lambda: pushforward(make(), base), *args, seed=seed)


def decoder(conditional):
    return lambda: factorised(mlp(1, 2 * conditional.num_params, hidden=(3,)), conditional, 2)


# Each twice: the same architecture under other parameters is another distribution.
GAUSSIANS = {
    "normal": lambda seed: BASE.dist({}),
    "distrax's": lambda seed: distrax.MultivariateNormalDiag(points(2, seed=seed), jnp.ones(2) + 1),
    "plu": lambda seed: flow(lambda: plu(2), seed=seed),
    "affine of distrax's": lambda seed: Pushforward(
        distrax.MultivariateNormalDiag(points(2, seed=seed), jnp.ones(2) + 1),
        triangular(2).bijector(drawn(triangular(2), 0.5, seed)),
    ),
    "elementwise": lambda seed: flow(lambda: elementwise(2, law=affine()), seed=seed),
    "gaussian decoder": lambda seed: dist_of(decoder(gaussian()), points(1), seed=seed),
}
OTHERS = {
    "maf": lambda seed: flow(lambda: maf(2, num_layers=2, hidden=(3,)), seed=seed),
    "maf, conditional": lambda seed: flow(
        lambda: maf(2, num_layers=1, hidden=(3,), cond_shape=(1,)), COND, seed=seed
    ),
    "additive": lambda seed: flow(lambda: coupling(2, hidden=(3,), law=additive()), seed=seed),
    "planar": lambda seed: flow(lambda: planar(2), seed=seed),
    "made": lambda seed: dist_of(lambda: made(2, gaussian(), hidden=(3,)), seed=seed),
    "ensemble": lambda seed: dist_of(
        lambda: made(2, gaussian(), hidden=(3,), masks=Masks(2)), seed=seed
    ),
    "mixture decoder": lambda seed: dist_of(decoder(mixture(2)), points(1), seed=seed),
    "uniform": lambda seed: uniform_noise((2,)).dist({}, jnp.zeros(2)),
    "of a made": lambda seed: flow(
        lambda: plu(2), base=made(2, gaussian(), hidden=(3,)), seed=seed
    ),
    "table": lambda seed: dist_of(
        lambda: autoregressive.table(2, num_levels=3, window=1), seed=seed
    ),
    "bits": lambda seed: dist_of(decoder(bernoulli()), points(1), seed=seed),
}
ALL = GAUSSIANS | OTHERS


def has_closed_form(name, other):
    alone = ("uniform", "bits", "table")
    return name in GAUSSIANS and other in GAUSSIANS or name == other in alone


REFUSED = "no closed form here.*mean_log_ratio"


@pytest.mark.parametrize("divergence", ["kl_divergence", "cross_entropy"])
def test_a_pair_has_a_closed_form_or_is_refused_by_name_of_the_estimate(divergence):
    """Nothing is compiled."""

    def of_all_pairs():
        first, second = ({name: make(seed) for name, make in ALL.items()} for seed in (1, 2))
        for (name, p), (other, q) in itertools.product(first.items(), second.items()):
            if has_closed_form(name, other):
                value = getattr(p, divergence)(q)
                assert value.shape == () and value.dtype == jnp.float32, (name, other)
            else:
                with pytest.raises(checks.InputError, match=REFUSED):
                    getattr(p, divergence)(q)

    jax.eval_shape(of_all_pairs)


def test_flows_of_one_architecture_are_refused_outside_of_jit_too():
    """By one function on each side, whose programs read alike."""
    p, q = (flow(lambda: maf(2, num_layers=1, hidden=(3,)), seed=seed) for seed in (1, 2))
    for one, other in ((p, q), (distrax.Transformed(p.distribution, p.bijector), q)):
        with pytest.raises(checks.InputError, match=REFUSED):
            one.kl_divergence(other)
        with pytest.raises(checks.InputError, match=REFUSED):
            other.cross_entropy(one)


@jit
def all_of_gaussians():
    """Mean, covariance, variance and entropy of each, and both divergences of each pair."""

    def dense(dist):
        if isinstance(dist, distrax.Independent):
            return dist.mean(), jnp.diag(dist.variance())
        shift = dist.bijector.forward(dist.distribution.mean())
        a = jax.jacfwd(dist.bijector.forward)(dist.distribution.mean())
        return shift, a @ jnp.diag(dist.distribution.variance()) @ a.T

    first, second = ({name: make(seed) for name, make in GAUSSIANS.items()} for seed in (1, 2))
    pairs = {
        (a, b): (p.kl_divergence(q), p.cross_entropy(q))
        for (a, p), (b, q) in itertools.product(first.items(), second.items())
    }
    told = {name: (p.mean(), p.variance(), p.entropy()) for name, p in first.items()}
    return [{name: dense(p) for name, p in of.items()} for of in (first, second)], told, pairs


def test_gaussians_have_the_divergence_of_the_formula():
    """½ (tr Σ_q⁻¹ Σ_p + (μ_q - μ_p)ᵀ Σ_q⁻¹ (μ_q - μ_p) - d - log|Σ_q⁻¹ Σ_p|), in float64."""
    (first, second), told, pairs = jax.device_get(all_of_gaussians())
    for (name, other), (kl, cross_entropy) in pairs.items():
        (m_p, s_p), (m_q, s_q) = (
            jax.tree.map(np.float64, of) for of in (first[name], second[other])
        )
        ratio = np.linalg.solve(s_q, s_p)
        distance = (m_q - m_p) @ np.linalg.solve(s_q, m_q - m_p)
        wanted = (np.trace(ratio) + distance - 2 - np.linalg.slogdet(ratio)[1]) / 2
        entropy = 1 + np.log(2 * np.pi) + np.linalg.slogdet(s_p)[1] / 2
        np.testing.assert_allclose(kl, wanted, rtol=1e-4, atol=1e-5, err_msg=f"{name}, {other}")
        np.testing.assert_allclose(cross_entropy, wanted + entropy, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(told[name][0], m_p, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(told[name][1], np.diag(s_p), rtol=1e-4)
        np.testing.assert_allclose(told[name][2], entropy, rtol=1e-4)
    assert pairs["plu", "plu"][0] > 0.05  # one program, other parameters


def test_one_map_changes_no_divergence_and_copies_are_each_like_the_one():
    t = flow(lambda: maf(2, num_layers=1, hidden=(3,), cond_shape=(1,)), COND).bijector
    z, other = distrax.MultivariateNormalDiag(jnp.ones(2), jnp.ones(2)), BASE.dist({})
    p, q = (Pushforward(base, t, batch_shape=(3,)) for base in (z, other))
    np.testing.assert_allclose(p.kl_divergence(q), np.ones(3))
    np.testing.assert_allclose(p.distribution.kl_divergence(other), np.ones(3))
    np.testing.assert_allclose(other.kl_divergence(p.distribution), np.ones(3))


def test_levels_have_the_divergence_that_is_a_sum_over_them():
    """Of all families, and 0 log 0 = 0; what q never makes is infinitely far."""
    f = points(5, 6, seed=1)
    mixed = DiscretizedLogisticMixture(f[:, :2], f[:, 2:4], f[:, 4:], num_levels=2)
    two = [mixed, Levels(logits=f[:, :2]), distrax.Categorical(logits=f[:, 2:4])]
    two.append(bernoulli().dist(f[:, :1]))
    pairs = list(itertools.product(two, two))

    @jit
    def all_of_them():
        log_probs = [jnp.stack([dist.log_prob(v) for v in (0, 1)], -1) for dist in two]
        return log_probs, [(p.kl_divergence(q), p.cross_entropy(q)) for p, q in pairs]

    log_probs, divergences = jax.device_get(all_of_them())
    for (log_p, log_q), (kl, cross_entropy) in zip(
        itertools.product(log_probs, log_probs), divergences, strict=True
    ):
        wanted = (np.exp(log_p) * (log_p - log_q)).sum(-1)
        np.testing.assert_allclose(kl, wanted, rtol=1e-4, atol=1e-6)
        wanted = -(np.exp(log_p) * log_q).sum(-1)
        np.testing.assert_allclose(cross_entropy, wanted, rtol=1e-4, atol=1e-6)
    one, both = Levels(logits=jnp.array([0.0, -jnp.inf])), Levels(logits=jnp.zeros(2))
    np.testing.assert_allclose(one.kl_divergence(both), np.log(2))
    assert both.kl_divergence(one) == np.inf
    assert one.kl_divergence(one) == 0


def test_events_and_levels_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"the same event_shape; got \(2,\) of Normal and \(3,\)"):
        BASE.dist({}).kl_divergence(standard_normal(3).dist({}))
    with pytest.raises(ValueError, match="same number of levels; got 2 of Levels and 3 of Levels"):
        Levels(logits=jnp.zeros(2)).kl_divergence(Levels(logits=jnp.zeros(3)))


def test_the_estimate_that_is_named_is_that_of_the_closed_form():
    """The exact value is of a Gaussian as a flow that is not known to be one."""
    p, q = GAUSSIANS["elementwise"](1), GAUSSIANS["elementwise"](2)

    @jit
    def estimate(key):
        x, log_p = p.sample_and_log_prob(seed=key, sample_shape=(40_000,))
        return mean_log_ratio(log_p, q.log_prob(x)), p.kl_divergence(q)

    got, wanted = estimate(jax.random.key(0))
    np.testing.assert_allclose(got, wanted, rtol=0.05)


def test_independent_entries_have_a_divergence_each_and_others_none():
    """Of a batch of diagonal Gaussians and N(0, I), of bits; not of a full covariance."""
    mean, scale = points(3, 2, seed=1), jnp.exp(points(3, 2, seed=2))
    diagonal = distrax.MultivariateNormalDiag(mean, scale)
    wanted = 0.5 * (scale**2 + mean**2 - 1) - jnp.log(scale)
    normal = BASE.dist({})
    np.testing.assert_allclose(by_entries(diagonal, normal), wanted, rtol=1e-5)
    each = distrax.Independent(distrax.Normal(mean, scale), 1)
    np.testing.assert_allclose(by_entries(each, normal), wanted, rtol=1e-5)
    np.testing.assert_allclose(diagonal.kl_divergence(normal), wanted.sum(-1), rtol=1e-5)
    logits = points(2, 3, 2, seed=3)
    p, q = (distrax.Bernoulli(logits=a) for a in logits)
    bits = by_entries(*(distrax.Independent(dist, 1) for dist in (p, q)))
    np.testing.assert_allclose(bits, p.kl_divergence(q), rtol=1e-5)
    full = distrax.MultivariateNormalTri(mean, jnp.eye(2) + jnp.zeros((3, 2, 2)))
    assert by_entries(full, normal) is None and by_entries(diagonal, full) is None


def test_the_divergence_at_samples_is_in_closed_form_or_their_log_ratio():
    """Three rules: by entry, in all, and the samples themselves."""
    normal, ratio = BASE.dist({}), points(4, 3, seed=5)
    mean = points(3, 2, seed=1)
    diagonal = distrax.MultivariateNormalDiag(mean, jnp.ones((3, 2)))
    full = distrax.MultivariateNormalTri(mean, jnp.broadcast_to(2 * jnp.eye(2), (3, 2, 2)))
    mixture_of_two = dist_of(decoder(mixture(2)), points(3, 1))
    by_entry = divergence_at(diagonal, normal, ratio)
    assert by_entry.shape == (4, 3, 2)
    np.testing.assert_allclose(by_entry[3], 0.5 * mean**2, rtol=1e-5)
    in_all = divergence_at(full, normal, ratio)
    assert in_all.shape == (4, 3)
    wanted = 0.5 * (8 + (mean**2).sum(-1) - 2) - 2 * np.log(2)
    np.testing.assert_allclose(in_all[1], wanted, rtol=1e-5)
    np.testing.assert_array_equal(divergence_at(mixture_of_two, normal, ratio), ratio)
