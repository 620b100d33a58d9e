"""The variational autoencoder where the truth is known."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dgm_jax import flows, objectives
from dgm_jax.bijectors import additive
from dgm_jax.combinators import invert, pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.likelihoods import Conditional, bernoulli, categorical, gaussian
from dgm_jax.nets import mlp
from dgm_jax.protocol import Net, again
from dgm_jax.vae import diagonal, flow_posterior, full_rank, shared_scale, vae
from tests.contracts.compiled import jit
from tests.helpers import drawn, points


def net(function):
    """Without parameters."""
    return Net(lambda key: {}, lambda params, x, *, key=None: function(x))


def log_scale(value):
    """The number of an encoder that makes this scale."""
    return 7 * np.arctanh(np.log(value) / 7)


# ------------------------------------------------------------------------ linear: B3
W, B = np.float32([[0.8, -0.3], [0.2, 0.9], [-0.5, 0.4]]), np.float32([0.3, -0.2, 0.1])


def linear(sigma):
    """x | z ~ N(W z + b, σ²), with the posterior that is exact: of full rank, as W Wᵀ is."""
    cov = np.linalg.inv(np.eye(2) + W.T @ W / sigma**2)
    tri = np.linalg.cholesky(cov)
    rest = jnp.asarray([*log_scale(np.diag(tri)), tri[1, 0]], jnp.float32)
    gain = jnp.asarray(cov @ W.T / sigma**2, jnp.float32)

    def encode(x):
        mean = (x - B) @ gain.T
        return jnp.concatenate([mean, jnp.broadcast_to(rest, (*mean.shape[:-1], 3))], -1)

    return net(encode), lambda z: z @ W.T + B


def linear_model(name):
    """σ, and the model: of a fixed σ, or of one that is a parameter."""
    sigma = {"a fixed scale": 1.0, "a shared scale": 0.6}[name]
    encoder, decode = linear(sigma)
    decoder, likelihood = net(lambda z: -decode(z)), gaussian(additive())
    if name == "a shared scale":
        decoder, likelihood = shared_scale(net(decode), scale=sigma), gaussian()
    return sigma, vae(encoder, decoder, likelihood, 3, num_latents=2, posterior=full_rank(2))


@pytest.mark.parametrize("name", ["a fixed scale", "a shared scale"])
def test_with_the_exact_posterior_every_bound_of_a_linear_model_is_its_likelihood(name):
    """log p(x) = log N(x; b, W Wᵀ + σ² I): for each draw, and as mean over the batch."""
    sigma, model = linear_model(name)
    x, params = points(7, 3), model.init(jax.random.key(0))
    exact = stats.multivariate_normal(B, W @ W.T + sigma**2 * np.eye(3)).logpdf(x)

    @jit
    def run(key):
        log_w = objectives.log_weights(model, params, key, x, num_samples=50)
        loss = objectives.iwae(model, params, again(key), x, num_samples=2)[0]
        elbo = objectives.elbo(model, params, again(key), x, num_samples=5000)[0]
        return log_w, loss, elbo

    log_w, loss, elbo = run(jax.random.key(1))
    np.testing.assert_allclose(log_w, np.broadcast_to(exact, (50, 7)), atol=1e-4)
    np.testing.assert_allclose(loss, -exact.mean(), rtol=1e-5)
    np.testing.assert_allclose(elbo, -exact.mean(), atol=0.05)


# -------------------------------------------------------------- the optimal decoder: C8
BITS = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 0]])


def test_the_best_decoder_of_bits_is_the_average_of_the_rows_by_their_posteriors():
    """p(x_j = 1 | z) = Σ_i q(z | x_i) x_ij / Σ_i q(z | x_i): nothing near it is better."""
    encoder = mlp(3, 2, hidden=(5,))
    codes, grid = drawn(encoder, 0.8), jnp.linspace(-9, 9, 600)[:, None]

    def best(z):
        dist = diagonal(1).dist({}, encoder.apply(codes, jnp.asarray(BITS, jnp.float32)))
        share = jax.nn.softmax(dist.log_prob(z[..., None, :]), -1)
        p = jnp.clip(share @ BITS, 1e-6, 1 - 1e-6)
        return jnp.log(p) - jnp.log1p(-p)

    def decode(params, z, *, key=None):
        bumps = jnp.exp(-0.5 * (z - jnp.linspace(-2, 2, 4)) ** 2)  # [..., 4]
        return best(z) + bumps @ params

    decoder = Net(lambda key: jnp.zeros((4, 3)), decode)
    model = vae(encoder, decoder, bernoulli(), 3, num_latents=1)

    def distortion(bumps):
        """-E_q log p(x | z), summed over the rows, by quadrature."""
        encoded = {"net": codes, "density": {}}
        params = {"prior": {}, "likelihood": bumps, "posterior": encoded}
        q = jnp.exp(model.posterior(params, BITS).log_prob(grid[:, None]))
        log_p = model.likelihood(params, grid[:, None]).log_prob(BITS)
        return -(q * log_p).sum() * 18 / 600

    run = jit(jax.value_and_grad(distortion))
    least, slope = run(jnp.zeros((4, 3)))
    np.testing.assert_allclose(slope, 0, atol=1e-3)
    for seed in range(4):
        moved, slope = run(0.3 * points(4, 3, seed=seed))
        assert moved > least + 1e-3 and np.abs(slope).max() > 1e-2


# ------------------------------------------------ what is moved between prior and posterior
DUAL = {
    "maf, iaf": lambda: flows.maf(2, num_layers=2, hidden=(5,)),
    "realnvp": lambda: flows.realnvp(2, num_layers=2, hidden=(5,)),
}


@pytest.mark.parametrize("name", DUAL)
def test_a_flow_prior_is_a_flow_posterior_before_it_draw_by_draw(name):
    """z = T(ε): p = T_# N, q Gaussian, decoder D; or p = N, q = T⁻¹_# Gaussian, decoder D ∘ T.

    T an autoregressive flow as prior is its inverse, an IAF, as posterior. One is the other in new
    coordinates, and the weights are the same numbers.
    """
    flow = DUAL[name]()
    encoder, decoder = mlp(3, 4, hidden=(5,)), mlp(2, 3, hidden=(5,))

    def decode(params, noise, *, key=None):
        z = flow.bijector(params["flow"]).forward(noise)
        return decoder.apply(params["decoder"], z)

    def both(key):
        return {"flow": flow.init(key), "decoder": decoder.init(again(key))}

    prior = pushforward(flow, standard_normal(2))
    posterior = flow_posterior(invert(flow), diagonal(2))
    one = vae(encoder, decoder, bernoulli(), 3, num_latents=2, prior=prior)
    dual = vae(encoder, Net(both, decode), bernoulli(), 3, num_latents=2, posterior=posterior)
    moved, codes = drawn(flow), drawn(encoder, seed=1)
    decoded = drawn(decoder, seed=2)
    of_one = {
        "prior": {"base": {}, "flow": moved},
        "likelihood": decoded,
        "posterior": {"net": codes, "density": {}},
    }
    of_dual = {
        "prior": {},
        "likelihood": {"flow": moved, "decoder": decoded},
        "posterior": {"net": codes, "density": {"base": {}, "flow": moved}},
    }

    @jit
    def run(key):
        found = objectives.infer(one, of_one, key, BITS, num_samples=5)
        other = objectives.infer(dual, of_dual, again(key), BITS, num_samples=5)
        return found, other, flow.bijector(moved).forward(other.z)

    found, other, there = run(jax.random.key(0))
    np.testing.assert_allclose(found.z, there, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        found.log_prior - found.log_posterior, other.log_prior - other.log_posterior, atol=1e-4
    )
    np.testing.assert_allclose(found.log_likelihood, other.log_likelihood, rtol=1e-5)
    assert np.abs(found.log_prior - other.log_prior).max() > 0.1


def test_a_flow_is_a_vae_whose_encoder_has_no_noise():
    """p(x | z) = N(T(z), σ²) and q(z | x) = N(T⁻¹(x), σ² J Jᵀ), J = ∂T⁻¹/∂x: as σ falls to 0 every
    weight becomes p(T⁻¹(x)) |det J|, the density of the flow."""
    flow = flows.autoregression(2, hidden=(5,))  # J is triangular, with a positive diagonal
    params, x = drawn(flow, 0.5), points(6, 2)
    to_x = flow.bijector(params).forward

    def encode(x, sigma):
        z = flow.bijector(params).inverse(x)
        slopes = jnp.vectorize(jax.jacfwd(to_x), signature="(d)->(d,d)")(z)
        tri = sigma * jnp.linalg.inv(slopes)
        diagonal_of = 7 * jnp.arctanh(jnp.log(jnp.diagonal(tri, 0, -2, -1)) / 7)
        return jnp.concatenate([z, diagonal_of, tri[..., 1, :1]], -1)

    def weights(sigma, key):
        near = Conditional(1, lambda f: distrax.Normal(f[..., 0], sigma))
        encoder = net(lambda x: encode(x, sigma))
        model = vae(encoder, net(to_x), near, 2, num_latents=2, posterior=full_rank(2))
        no_params = model.init(jax.random.key(0))
        return objectives.log_weights(model, no_params, key, x, num_samples=200)

    @jit
    def run(key):
        exact = pushforward(flow, standard_normal(2)).dist({"base": {}, "flow": params}).log_prob(x)
        return exact, [weights(sigma, again(key)) for sigma in (0.1, 0.01)]

    exact, (wide, narrow) = run(jax.random.key(1))
    np.testing.assert_allclose(narrow, np.broadcast_to(exact, (200, 6)), atol=0.2)
    gaps = [np.abs(log_w.mean(0) - exact).max() for log_w in (wide, narrow)]
    assert gaps[1] < 0.01 and gaps[0] > 2 * gaps[1]


# ---------------------------------------------------------------------- what the parts see
def told(likelihood, num_params, shape=(3,)):
    """A model whose posterior mean is what its encoder saw."""
    encoder = net(lambda x: jnp.concatenate([x, jnp.zeros_like(x)], -1))
    decoder = mlp(3, 3 * num_params, hidden=())
    return vae(encoder, decoder, likelihood, shape, num_latents=3)


@pytest.mark.parametrize(
    "likelihood, num_params, x, seen",
    [
        (bernoulli(), 1, np.array([0, 1, 1]), [0, 1, 1]),
        (bernoulli(), 1, np.array([False, True, True]), [0, 1, 1]),
        (categorical(5), 5, np.array([0, 1, 4]), [-1, -0.5, 1]),
        (gaussian(), 2, np.float32([-7, 0.5, 40]), [-7, 0.5, 40]),
    ],
    ids=["bits", "booleans", "levels", "numbers"],
)
def test_the_encoder_sees_bits_as_they_are_and_levels_from_minus_1_to_1(
    likelihood, num_params, x, seen
):
    model = told(likelihood, num_params)
    np.testing.assert_allclose(model.posterior(model.init(jax.random.key(0)), x).mean(), seen)


def test_a_code_is_the_mean_of_the_posterior_the_same_at_every_time():
    """Dropout moves it where there is a key for it, and draws of z never do."""
    encoder, decoder = mlp(3, 4, hidden=(20,), dropout=0.5), mlp(2, 3, hidden=(20,), dropout=0.5)
    model = vae(encoder, decoder, bernoulli(), 3, num_latents=2)
    params = drawn(model)

    @jit
    def run(key, other):
        keys = (None, None, key, again(key), other)
        z = points(4, 2)
        codes = [model.posterior(params, BITS, key=k).mean() for k in keys]
        logits = [model.likelihood(params, z, key=None if k is None else again(k)) for k in keys]
        return codes, [dist.log_prob(BITS) for dist in logits]

    for one, two, under, same, other in run(jax.random.key(0), jax.random.key(1)):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(under, same)
        assert np.abs(under - one).max() > 1e-3 and np.abs(under - other).max() > 1e-3


def test_samples_do_not_see_an_encoder():
    """p(z) and p(x | z) use no parameter of the posterior."""
    model = vae(mlp(3, 4, hidden=(5,)), mlp(2, 3, hidden=(5,)), bernoulli(), 3, num_latents=2)

    def slope(params):
        z = model.prior(params).sample(seed=jax.random.key(0), sample_shape=(9,))
        return model.likelihood(params, z).mean().sum()

    slopes = jit(jax.grad(slope))(drawn(model))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slopes["posterior"]))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(slopes["likelihood"]))


# ------------------------------------------------------------------------- what does not fit
def make(encoder=(3, 4), decoder=(2, 3), likelihood=None, shape=3, num_latents=2, **options):
    encoder, decoder = mlp(*encoder, hidden=()), mlp(*decoder, hidden=())
    likelihood = bernoulli() if likelihood is None else likelihood
    return vae(encoder, decoder, likelihood, shape, num_latents=num_latents, **options)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"encoder": (3, 5)}, r"encoder must give \(4,\) for an x of shape \(3,\), .*got \(5,\)"),
        ({"encoder": (4, 4)}, r"encoder does not take an input of shape \(3,\): .* \(4,\)"),
        ({"decoder": (3, 3)}, r"decoder does not take an input of shape \(2,\): .* \(3,\)"),
        ({"decoder": (2, 4)}, r"decoder does not fit x of shape \(3,\): net must give 1 numbers"),
        ({"likelihood": categorical(4)}, "decoder does not fit x .* must give 4 numbers"),
        ({"shape": (3, 2), "decoder": (2, 6)}, r"encoder does not take an input of shape \(3, 2\)"),
        (
            {"num_latents": 3, "decoder": (3, 3)},
            r"encoder must give \(6,\) .* num_latents=3",
        ),
        ({"prior": standard_normal(3)}, r"prior must be .* num_latents=2 numbers; .* shape \(3,\)"),
        ({"posterior": standard_normal(2)}, "posterior must be a density under the condition"),
        (
            {"posterior": diagonal(3), "encoder": (3, 6)},
            r"posterior must be a density of num_latents=2 numbers; .* shape \(3,\)",
        ),
        (
            {"cond_shape": (2,), "decoder": (4, 3)},
            r"encoder does not take .* shape \(5,\)",
        ),
        ({"cond_shape": (2, 2)}, r"cond_shape must be that of a vector, \(n,\); got \(2, 2\)"),
        ({"num_latents": 0}, "num_latents must be an integer of at least 1; got 0"),
        ({"likelihood": bernoulli}, "likelihood must be a Conditional; .* Call it first"),
    ],
)
def test_parts_that_do_not_fit_are_refused_where_the_model_is_made(options, said):
    with pytest.raises(ValueError, match=said) as error:
        make(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options, x, said",
    [
        ({}, 2 * BITS, r"x must lie in 0\.\.1; got entries in 0\.\.2"),
        ({}, BITS - 1, r"x must lie in 0\.\.1; got entries in -1\.\.0"),
        ({}, BITS * 1.0, "x must be levels, integers in 0..1; got float"),
        ({}, BITS[:, :2], r"x must have shape \[\.\.\., 3\]; got \(4, 2\)"),
        ({"likelihood": categorical(3), "decoder": (2, 9)}, 3 * BITS, r"x must lie in 0\.\.2"),
        ({"likelihood": gaussian(), "decoder": (2, 6)}, BITS, "x must be floating .*got int"),
        ({"likelihood": gaussian(), "decoder": (2, 6)}, points(4, 2), r"x must have shape .* 3\]"),
    ],
)
def test_data_of_another_kind_are_refused(options, x, said):
    model = make(**options)
    with pytest.raises(ValueError, match=said):
        objectives.elbo(model, drawn(model), jax.random.key(0), x)
