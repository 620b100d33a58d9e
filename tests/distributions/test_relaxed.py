"""Gumbel-max, the Concrete density and the straight-through code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.distributions import Levels, OneHot, Relaxed, StraightThroughOneHot, reparametrised
from dgm_jax.distributions.relaxed import noisy
from dgm_jax.protocol import again
from tests.contracts.compiled import jit

P = np.array([0.5, 0.1, 0.15, 0.25])
LOGITS = jnp.asarray(np.log(P) + 2, jnp.float32)  # a constant changes nothing
NUM = 40_000


def near(share, p, num=NUM):
    assert (np.abs(share - p) < 4.5 * np.sqrt(p * (1 - p) / num)).all()


def grid_of_simplex(num):
    """Middles of equal triangles of {z_1 + z_2 + z_3 = 1}, and the area of each in (z_1, z_2)."""
    i, j = np.meshgrid(np.arange(num), np.arange(num), indexing="ij")
    up, down = i + j < num, i + j < num - 1
    points = [np.stack([i[up] + 1 / 3, j[up] + 1 / 3], -1)]
    points += [np.stack([i[down] + 2 / 3, j[down] + 2 / 3], -1)]
    z = np.concatenate(points) / num
    return np.concatenate([z, 1 - z.sum(-1, keepdims=True)], -1), 0.5 / num**2


# ------------------------------------------------------------------------------------ Gumbel-max
def test_the_largest_of_noisy_logits_is_each_category_as_often_as_it_is_likely():
    """G1, of all three draws: the argmax of a relaxed one does not depend on the temperature."""

    @jit
    def run(key):
        keys = jax.random.split(key, 4)
        dists = (
            OneHot(LOGITS),
            Relaxed(LOGITS, 0.3),
            Relaxed(LOGITS, 5.0),
            StraightThroughOneHot(LOGITS, 0.7),
        )
        made = [d.sample(seed=k, sample_shape=NUM) for d, k in zip(dists, keys)]
        return made[0], made[3], [jax.nn.one_hot(z.argmax(-1), 4).mean(0) for z in made]

    codes, through, shares = run(jax.random.key(0))
    for share in shares:
        near(np.asarray(share), P)
    for z in (codes, through):
        assert set(np.unique(z)) == {0.0, 1.0} and (np.asarray(z).sum(-1) == 1).all()


def test_noise_is_finite_where_the_uniform_number_is_zero():
    """T58. Key 4 draws a zero among its million numbers, of which -log(-log 0) is no number."""
    shape = (1000, 1000)

    @jit
    def run(key):
        lowest = jax.random.uniform(again(key), shape).min()
        return lowest, jnp.isfinite(noisy(jnp.zeros(shape[1:]), key, shape[0])).all()

    assert [float(a) for a in run(jax.random.key(4))] == [0.0, 1.0]


# ------------------------------------------------------------------------------- the density
@pytest.mark.parametrize("temperature", [0.9, 2.0])
def test_the_density_of_three_categories_integrates_to_one(temperature):
    """G2, by midpoints of triangles; below τ = 1 the density grows without bound at the border."""
    z, area = grid_of_simplex(400)
    dist = Relaxed(jnp.asarray([0.4, -0.3, 0.1]), temperature)
    density = np.exp(np.float64(jit(dist.log_prob)(jnp.asarray(z, jnp.float32))))
    assert abs(density.sum() * area - 1) < 0.01


def test_the_density_of_two_is_that_of_a_squashed_logistic():
    """z = σ((a + L) / τ): p = τ z^(-τ-1) (1-z)^(-τ-1) e^a / (e^a z^-τ + (1-z)^-τ)², L logistic."""
    a, t = 0.8, 0.4
    z = np.linspace(0.02, 0.98, 49)
    terms = (np.exp(a) * z**-t + (1 - z) ** -t) ** 2
    wanted = t * (z * (1 - z)) ** (-t - 1) * np.exp(a) / terms
    dist = Relaxed(jnp.asarray([a, 0.0], jnp.float32), t)
    got = jit(dist.log_prob)(jnp.asarray(np.stack([z, 1 - z], -1), jnp.float32))
    np.testing.assert_allclose(got, np.log(wanted), rtol=1e-4, atol=1e-4)


def test_draws_are_distributed_as_their_density_says():
    """P(z_1 < t) of two categories is the distribution function of a logistic at τ logit(t) - a."""
    a, temperature = 0.8, 0.4
    draw = jit(lambda key: Relaxed(jnp.asarray([a, 0.0]), temperature).sample(
        seed=key, sample_shape=NUM
    ))  # fmt: skip
    z, t = np.asarray(draw(jax.random.key(1)))[:, 0], np.array([0.05, 0.3, 0.7, 0.99])
    p = 1 / (1 + np.exp(a - temperature * np.log(t / (1 - t))))
    near((z[:, None] < t).mean(0), p)


def test_draws_at_a_corner_have_a_density_whoever_scores_them():
    """At τ = 0.02 most z would round to 0, without a density: a KL by draws would be infinite."""

    @jit
    def run(key):
        def scored(t):
            z, told = Relaxed(LOGITS, t).sample_and_log_prob(seed=again(key), sample_shape=1000)
            return z, told, Relaxed(LOGITS, t).log_prob(z), Relaxed(0 * LOGITS, t).log_prob(z)

        return scored(1.5), scored(0.02)

    (_, told, scored, _), (corners, of_corners, scored_corners, of_other) = run(jax.random.key(2))
    np.testing.assert_allclose(told, scored, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(of_corners, scored_corners, rtol=1e-3)
    assert (corners < 1e-30).any() and np.isfinite(of_other).all()


def test_what_is_off_the_simplex_has_no_density():
    z = jnp.asarray([[0.5, 0.2, 0.2, 0.2], [0, 0.5, 0.25, 0.25], [-0.1, 0.4, 0.4, 0.3]])
    assert (Relaxed(LOGITS, 1.0).log_prob(z) == -jnp.inf).all()
    codes = jnp.asarray([[0, 0, 0, 0], [1, 1, 0, 0], [0.5, 0.5, 0, 0], [2, 0, 0, 0]], float)
    assert (OneHot(LOGITS).log_prob(codes) == -jnp.inf).all()


# ------------------------------------------------------------------------------- divergences
def test_the_divergence_of_relaxed_codes_is_above_that_of_codes_and_knows_no_temperature():
    """T58: z tells more than its argmax, and z ↦ z^τ / Σ z^τ carries one τ into another."""
    other = jnp.zeros(4)

    @jit
    def run(key):
        def between(t):
            p = Relaxed(LOGITS, t)
            _, log_p = p.sample_and_log_prob(seed=again(key), sample_shape=NUM)
            log_z = p._log_sample_n(again(key), NUM)
            return log_p - Relaxed(other, t)._of_log(log_z)

        return between(0.4), between(2.0), OneHot(LOGITS).kl_divergence(OneHot(other))

    cold, warm, of_codes = (np.float64(a) for a in run(jax.random.key(3)))
    error = warm.std() / NUM**0.5
    np.testing.assert_allclose(cold.mean(), warm.mean(), atol=1e-3)
    assert warm.mean() - of_codes > 10 * error
    with pytest.raises(ValueError, match="no closed form"):
        Relaxed(LOGITS, 1.0).kl_divergence(Relaxed(other, 1.0))


def test_the_divergence_from_the_uniform_code_is_log_k_less_the_entropy():
    """A grid of 2 x 2 codes, one of them certain: 4 log K - Σ H."""
    p = np.stack([P, np.full(4, 0.25), [1, 0, 0, 0], P[::-1]]).reshape(2, 2, 4)
    with np.errstate(divide="ignore"):
        q = OneHot(jnp.asarray(np.log(p), jnp.float32), event_ndims=3)
    entropy = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum()
    uniform = OneHot(jnp.zeros((2, 2, 4)), event_ndims=3)
    np.testing.assert_allclose(q.entropy(), entropy, rtol=1e-6)
    np.testing.assert_allclose(q.kl_divergence(uniform), 4 * np.log(4) - entropy, rtol=1e-5)
    assert q.event_shape == (2, 2, 4) and q.batch_shape == () and np.isfinite(q.log_prob(q.mode()))


# --------------------------------------------------------------------------------- gradients
def test_a_straight_through_code_is_exact_and_has_the_gradient_of_its_relaxed_twin():
    w = jnp.asarray([0.3, -1.0, 2.0, 0.5])

    @jit
    def run(key):
        def through(dist):
            draw = lambda a: dist(a, 0.7).sample(seed=again(key), sample_shape=50)
            z, pull = jax.vjp(draw, LOGITS)
            return z, pull(jnp.broadcast_to(w, z.shape))[0]

        return *through(Relaxed), *through(StraightThroughOneHot)

    soft, of_soft, hard, of_hard = run(jax.random.key(4))
    assert (np.asarray(hard) == np.eye(4)[np.asarray(soft).argmax(-1)]).all()
    np.testing.assert_allclose(of_soft, of_hard, rtol=1e-5)
    assert np.abs(of_soft).min() > 0.1


def test_only_relaxed_draws_are_reparametrised():
    dists = (OneHot(LOGITS), StraightThroughOneHot(LOGITS, 1.0), Relaxed(LOGITS, 1.0))
    assert [reparametrised(d) for d in dists] == [False, False, True]


def test_moments_of_a_code_are_those_of_its_categories():
    dist = OneHot(LOGITS)
    np.testing.assert_allclose(dist.mean(), P, rtol=1e-5)
    np.testing.assert_allclose(dist.variance(), P * (1 - P), rtol=1e-5)
    np.testing.assert_allclose(dist.entropy(), Levels(LOGITS).entropy(), rtol=1e-5)


# ------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), "1", jnp.float32(0), jnp.ones(2)])
@pytest.mark.parametrize("dist", [Relaxed, StraightThroughOneHot])
def test_a_temperature_that_is_none_is_refused(dist, temperature):
    with pytest.raises(ValueError, match="temperature must be") as refused:
        dist(LOGITS, temperature)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "logits, options",
    [
        (jnp.zeros(3, int), {}),
        (jnp.zeros(()), {}),
        (jnp.zeros(1), {}),
        (jnp.zeros(3), {"event_ndims": 2}),
        (jnp.zeros(3), {"event_ndims": 0}),
    ],
)
def test_logits_of_no_categories_are_refused(logits, options):
    with pytest.raises(ValueError, match="logits|event_ndims"):
        OneHot(logits, **options)
