"""Guidance against closed forms: two Gaussian classes, whose scores are known at every t."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion
from dgm_jax.checks import InputError
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.helpers import points

CENTRES, STD = jnp.array([-1.0, 2.0]), 0.5
PROCESS = diffusion.linear_log_snr(8.0, -8.0)


def log_normal(x, t, centre):
    """log q(x_t | y), of data N(centre, STD²)."""
    variance = PROCESS.alpha(t) ** 2 * STD**2 + PROCESS.sigma(t) ** 2
    return -((x - PROCESS.alpha(t) * centre) ** 2) / (2 * variance) - jnp.log(variance) / 2


def log_mixture(x, t):
    return jax.nn.logsumexp(log_normal(x[..., None], t[..., None], CENTRES), -1) - jnp.log(2.0)


def log_class(x, t, y):
    """log p(y | x_t) of the best noisy classifier."""
    return log_normal(x[:, 0], t, CENTRES[y]) - jnp.log(2.0) - log_mixture(x[:, 0], t)


def times_of(level):
    """t of a log-SNR."""
    return (8.0 - level) / 16.0


def of_scores(score, cond_shape=None):
    """The denoiser whose score is known: ε = -σ score."""

    def apply(params, x, level, *cond, key=None):
        t = times_of(level)
        return -PROCESS.sigma(t)[:, None] * score(x[:, 0], t, *cond)[:, None]

    net = Net(lambda key: {}, apply)
    return diffusion.denoiser(net, (1,), PROCESS, target="noise", cond_shape=cond_shape)


def class_score(x, t, y):
    return jax.vmap(jax.grad(log_normal))(x, t, CENTRES[y])


def mixture_score(x, t):
    return jax.vmap(jax.grad(log_mixture))(x, t)


X, T, Y = points(6, 1), jnp.linspace(0.1, 0.9, 6), jnp.array([0, 1, 0, 1, 1, 0])


def test_a_classifier_at_scale_one_gives_the_score_of_the_class():
    plain = of_scores(mixture_score)
    for scale in (0.0, 1.0, 3.0):
        guided = diffusion.classifier_guided(plain, log_class, scale)
        found = jit(lambda x: diffusion.score(guided, {}, x, T, Y))(X)[:, 0]
        without, of_class = mixture_score(X[:, 0], T), class_score(X[:, 0], T, Y)
        np.testing.assert_allclose(
            found, without + scale * (of_class - without), rtol=2e-3, atol=2e-4
        )


def told(x, t, cond):
    """A condition of -1 tells nothing."""
    y = cond[:, 0].astype(int)
    return jnp.where(y < 0, mixture_score(x, t), class_score(x, t, y))


def test_guidance_without_a_classifier_is_the_same_where_the_scores_are_exact():
    model = of_scores(told, cond_shape=(1,))
    guided = diffusion.classifier_free(model, 2.0, -jnp.ones(1))
    other = diffusion.classifier_guided(of_scores(mixture_score), log_class, 2.0)
    np.testing.assert_allclose(
        guided.predict({}, X, T, Y[:, None].astype(float)).noise,
        other.predict({}, X, T, Y).noise,
        rtol=2e-3,
        atol=2e-4,
    )


def ddim(*args, **options):
    return diffusion.sample(*args, eta=0.0, **options)


@pytest.mark.parametrize("sampler", [diffusion.sample, ddim, diffusion.heun])
def test_guided_samples_are_of_the_class(key, sampler):
    """At scale 1 with its moments; a larger scale pushes away from the other class."""
    plain = of_scores(mixture_score)
    y = jnp.repeat(jnp.array([0, 1]), 2000)

    @jit
    def draw(key):
        return [
            sampler(
                diffusion.classifier_guided(plain, log_class, scale), {}, key, 4000, y, num_steps=60
            )
            for scale in (1.0, 4.0)
        ]

    found, pushed = (x.reshape(2, -1) for x in draw(key))
    np.testing.assert_allclose(found.mean(1), CENTRES, atol=0.06)
    np.testing.assert_allclose(found.std(1), STD, rtol=0.15)
    assert pushed[0].mean() < found[0].mean() + 0.01
    assert pushed[1].mean() > found[1].mean() - 0.01


def test_the_ode_of_a_guided_model_has_the_density_of_the_class():
    """At scale 1, by a classifier and without one: from N(0, 1) along the line of a Gaussian."""
    x, y = jnp.array([[-1.3], [1.2]]), jnp.array([0, 1])
    by_classifier = diffusion.classifier_guided(of_scores(mixture_score), log_class, 1.0)
    free = diffusion.classifier_free(of_scores(told, cond_shape=(1,)), 1.0, -jnp.ones(1))

    @jit
    def log_p(x):
        return [
            diffusion.ode_density(model).dist({}, cond).log_prob(x)
            for model, cond in ((by_classifier, y), (free, y[:, None].astype(float)))
        ]

    alpha, sigma = PROCESS.alpha(jnp.arange(2.0)), PROCESS.sigma(jnp.arange(2.0))
    std = jnp.sqrt(alpha**2 * STD**2 + sigma**2)  # of x_t of a class, at both ends
    z = alpha[1] * CENTRES + std[1] * (x[:, 0] - alpha[0] * CENTRES) / std[0]
    exact = -(z**2) / 2 - jnp.log(2 * jnp.pi) / 2 + jnp.log(std[1] / std[0])
    for found in log_p(x):
        np.testing.assert_allclose(found, exact, atol=0.02)


def exact_logits():
    """w log p(x_t | y) for both classes, best at w = 1."""

    def apply(w, x, level, key=None):
        return w * log_normal(x, times_of(level)[:, None], CENTRES)

    return Net(lambda key: jnp.ones(()), apply)


def test_the_best_noisy_classifier_is_bayes_rule(key):
    """The gradient of its loss is 0 at the true posterior, and it tells log p(y | x_t)."""
    found = diffusion.class_log_prob(exact_logits(), jnp.ones(()), PROCESS)(X, T, Y)
    np.testing.assert_allclose(found, log_class(X, T, Y), rtol=1e-4, atol=1e-5)
    row_key, noise_key = jax.random.split(key)
    y = jnp.arange(40_000) % 2
    x = CENTRES[y][:, None] + STD * jax.random.normal(row_key, (40_000, 1))

    @jit
    def slopes(w, key):
        def loss(w):
            return diffusion.classifier_loss(
                exact_logits(), w, jax.random.clone(key), PROCESS, x, y
            )[0]

        return jax.grad(loss)(w), jax.grad(jax.grad(loss))(w)

    first, second = slopes(jnp.ones(()), noise_key)
    assert second > 0.02
    assert abs(first) < 0.05 * second


def test_conditions_are_dropped_whole_and_in_their_share(key):
    cond = jnp.ones((4000, 3))
    kept = diffusion.dropped(key, cond, jnp.zeros(3), 0.25)
    assert set(np.unique(kept.sum(1))) == {0.0, 3.0}
    assert abs(float((kept.sum(1) == 0).mean()) - 0.25) < 0.03


def test_what_cannot_be_guided_is_refused():
    plain, conditional = of_scores(mixture_score), of_scores(told, cond_shape=(1,))
    with pytest.raises(InputError, match="must have a condition"):
        diffusion.classifier_free(plain, 1.0, jnp.zeros(1))
    with pytest.raises(InputError, match="without a condition"):
        diffusion.classifier_guided(conditional, log_class, 1.0)
    with pytest.raises(InputError, match="got None"):
        diffusion.classifier_guided(plain, log_class, 1.0).predict({}, X, T)
    with pytest.raises(InputError, match="the class of each of 6 rows"):
        key = jax.random.key(0)
        diffusion.classifier_loss(exact_logits(), jnp.ones(()), key, PROCESS, X, Y[:5])
