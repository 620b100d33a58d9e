"""PPCA: the closed form, EM, scikit-learn and the linear VAE say the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from dgm_jax import likelihoods, nets, objectives, vae
from dgm_jax.inference import ppca, ppca_density, ppca_em, ppca_optimum
from dgm_jax.learning import fit
from tests.contracts.compiled import jit
from tests.helpers import drawn

DIM, NUM_LATENTS = 6, 2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3)) @ RNG.normal(size=(3, DIM)) * 1.5 + RNG.normal(size=(200, DIM))
X = X + np.arange(DIM)
MODEL, DENSITY = ppca(DIM, num_latents=NUM_LATENTS), ppca_density(DIM, num_latents=NUM_LATENTS)


def covariance(params):
    noise = jnp.exp(2 * params["log_scale"]) * jnp.ones(DIM)
    return params["weights"] @ params["weights"].T + jnp.diag(noise)


def moments(ddof=0):
    return X.mean(0), np.cov(X.T, ddof=ddof)


def optimum(ddof=0):
    mean, covariance = (jnp.asarray(a, float) for a in moments(ddof))
    return ppca_optimum(mean, covariance, num_latents=NUM_LATENTS)


def test_the_closed_form_is_that_of_scikit_learn_and_recovers_a_covariance_of_its_form():
    with jax.enable_x64(True):
        peer = PCA(n_components=NUM_LATENTS).fit(X)  # divides by n - 1
        found = optimum(ddof=1)
        np.testing.assert_allclose(covariance(found), peer.get_covariance(), rtol=1e-10)
        ours = jax.jit(lambda params: DENSITY.dist(params).log_prob(X).mean())
        assert float(ours(found)) == pytest.approx(peer.score(X), rel=1e-12)
        assert ours(optimum()) > ours(found)  # which is the one of maximum likelihood
        again = ppca_optimum(found["mean"], covariance(found), num_latents=NUM_LATENTS)
        np.testing.assert_allclose(covariance(again), covariance(found), rtol=1e-10)


def test_latents_beyond_the_spectrum_do_nothing():
    """Active dimensions are the eigenvalues above σ²; the columns of the others are zero."""
    spectrum = np.array([5.0, 3.0, 1.0, 1.0, 1.0, 1.0])
    with jax.enable_x64(True):
        found = ppca_optimum(np.zeros(DIM), np.diag(spectrum), num_latents=4)
        lengths = np.linalg.norm(found["weights"], axis=0)
        np.testing.assert_allclose(lengths, [2, 2**0.5, 0, 0], atol=1e-7)
        assert float(found["log_scale"]) == pytest.approx(0, abs=1e-12)


def test_em_never_falls_and_ends_at_the_closed_form():
    algorithm = ppca_em(DIM, num_latents=NUM_LATENTS)
    with jax.enable_x64(True):
        run = jit(lambda key: fit(algorithm, key, lambda *_: X, num_steps=300))
        params, metrics = run(jax.random.key(0))
        best = jit(lambda params: DENSITY.dist(params).log_prob(X).mean())(optimum())
        found = metrics["log_likelihood"]
        assert np.diff(found).min() > -1e-12 and found[0] < best - 1
        assert float(found[-1]) == pytest.approx(float(best), abs=1e-8)
        np.testing.assert_allclose(covariance(params), covariance(optimum()), atol=1e-4)


def test_a_step_of_em_makes_the_bound_tight_then_raises_it_most():
    """The M-step maximises E log p(x, z) under the posterior of θ: its gradient there is zero."""
    algorithm = ppca_em(DIM, num_latents=NUM_LATENTS)
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.float64, drawn(MODEL, 0.5)) | {"mean": jnp.asarray(X.mean(0))}

        def bound(new, old, key):
            z = MODEL.posterior(old, X).sample(seed=key, sample_shape=20_000)
            return MODEL.likelihood(new, z).log_prob(X).mean()

        def run(params, key):
            new, _ = algorithm.step(params, jax.random.key(0), X)
            gradient, at_old = (
                jax.grad(bound)(new, params, key),
                jax.grad(bound)(params, params, jax.random.clone(key)),
            )
            return gradient, at_old

        gradient, at_old = jit(run)(params, jax.random.key(1))
    for name in ("weights", "log_scale"):
        assert np.abs(gradient[name]).max() < 0.02 * np.abs(at_old[name]).max(), name


def test_em_finds_a_mean_far_off_in_float32():
    algorithm, x = ppca_em(DIM, num_latents=NUM_LATENTS), np.float32(X + 1e4)
    params, metrics = jit(lambda key: fit(algorithm, key, lambda *_: x, num_steps=60))(
        jax.random.key(0)
    )
    wanted = np.cov(X.T, bias=True)
    np.testing.assert_allclose(params["mean"], x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(np.trace(covariance(params)), np.trace(wanted), rtol=5e-3)
    assert np.isfinite(metrics["log_likelihood"]).all()


def test_the_posterior_is_exact_so_that_every_sample_of_the_bound_is_the_likelihood():
    params, x = drawn(MODEL, 0.7), np.float32(X[:5])

    def run(params, key):
        log_w = objectives.log_weights(MODEL, params, key, x, num_samples=3)
        return log_w, DENSITY.dist(params).log_prob(x)

    log_w, exact = jit(run)(params, jax.random.key(0))
    np.testing.assert_allclose(log_w, np.broadcast_to(exact, (3, 5)), rtol=2e-4)


def as_vae(truth):
    """The parameters of a linear VAE that say what those of PPCA say."""
    w, variance = truth["weights"], jnp.exp(2 * truth["log_scale"])
    m = w.T @ w + variance * jnp.eye(NUM_LATENTS)  # diagonal, as the columns are orthogonal
    gain, log_sd = w @ jnp.linalg.inv(m), jnp.log(variance / jnp.diag(m)) / 2
    bounded = lambda x, bound: bound * jnp.arctanh(x / bound)
    kernel = jnp.concatenate([gain, jnp.zeros_like(gain)], 1)
    bias = jnp.concatenate([-truth["mean"] @ gain, bounded(log_sd, 7.0)])
    decoder = {"Dense_0": {"kernel": w.T, "bias": truth["mean"]}}
    return {
        "prior": {},
        "likelihood": {"net": decoder, "log_scale": bounded(truth["log_scale"], 3.0)},
        "posterior": {"net": {"Dense_0": {"kernel": kernel, "bias": bias}}, "density": {}},
    }


def test_the_linear_vae_has_its_optimum_here():
    """At the closed form its ELBO is log p(x) for every sample of z, and no parameter moves."""
    model = vae.vae(
        nets.mlp(DIM, 2 * NUM_LATENTS, hidden=()),
        vae.shared_scale(nets.mlp(NUM_LATENTS, DIM, hidden=())),
        likelihoods.gaussian(),
        DIM,
        num_latents=NUM_LATENTS,
    )
    truth, x = optimum(), np.float32(X)

    def run(params, key):
        loss = lambda params: objectives.stl(model, params, key, x, num_samples=100)[0]
        return jax.value_and_grad(loss)(params), -DENSITY.dist(truth).log_prob(x).mean()

    run = jit(run)
    (loss, gradient), exact = run(as_vae(truth), jax.random.key(0))
    assert float(loss) == pytest.approx(float(exact), rel=1e-5)
    other = truth | {"log_scale": truth["log_scale"] + 0.2}
    (worse, slope), _ = run(as_vae(other), jax.random.key(1))
    assert worse > exact + 1e-3
    largest = lambda tree: max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
    assert largest(gradient["posterior"]) < 1e-3  # at every sample
    assert largest(gradient["likelihood"]) < 0.02 < 0.1 < largest(slope["likelihood"])


def test_wrong_numbers_are_named():
    with pytest.raises(ValueError, match="num_latents must be below the dimension of x, 6; got 6"):
        ppca(6, num_latents=6)
    with pytest.raises(
        ValueError, match=r"mean and covariance must have shapes \[d\] and \[d, d\]; got \(6,\)"
    ):
        ppca_optimum(np.zeros(6), np.eye(5), num_latents=2)
    with pytest.raises(ValueError, match=r"z must have shape \[..., 2\]; got \(3, 1\)"):
        MODEL.likelihood(drawn(MODEL), jnp.zeros((3, 1)))
