"""The categorical VAE: its bound where all codes are listed, and the gradients that estimate it."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import learning, likelihoods, metrics, nets, objectives, quantized
from dgm_jax.distributions import OneHot, standard_normal
from dgm_jax.protocol import again
from dgm_jax.quantized import (
    all_codes,
    categorical_vae,
    enumerated_elbo,
    enumerated_log_prob,
    learned_codes,
    leave_one_out_loss,
    linear_baseline_loss,
    muprop_loss,
    relaxed_loss,
    running_mean_loss,
    score_function_loss,
    straight_through_loss,
    temperature_schedule,
)
from tests.contracts.compiled import jit
from tests.helpers import drawn

CODES, K, DIM = 2, 3, 4  # 9 codes z of 16 possible x
X = np.random.default_rng(0).integers(0, 2, (5, DIM)).astype(np.int32)
NUM = 8000  # draws of a gradient


def small(**options):
    """Nets with a hidden layer, so that f is not linear in z, whose gradient would be exact."""
    return categorical_vae(
        nets.mlp(DIM, CODES * K, hidden=(4,)),
        nets.mlp(CODES * K, DIM, hidden=(4,)),
        likelihoods.bernoulli(),
        DIM,
        codes=CODES,
        num_categories=K,
        **options,
    )


MODEL = small(prior=learned_codes(CODES, K))
PARAMS = drawn(MODEL, 0.9)
LOSSES = {  # whether its gradient by the encoder has no bias
    "score function": (score_function_loss, True),
    "baseline": (lambda *args: score_function_loss(*args, baseline=-3.0), True),
    "leave one out": (leave_one_out_loss, True),
    "muprop": (muprop_loss, True),
    "muprop, baseline": (lambda *args: muprop_loss(*args, baseline=-0.1), True),
    "straight through": (straight_through_loss, False),
    "relaxed, hard": (lambda *args: relaxed_loss(*args, temperature=1.0, hard=True), False),
    "relaxed": (lambda *args: relaxed_loss(*args, temperature=1.0), False),
    "relaxed, cold": (lambda *args: relaxed_loss(*args, temperature=0.05), False),
}


@cache
def gradients():
    """Of every loss NUM gradients by the parameters, with what it tells; and the exact gradient."""

    def each(loss, key):
        of_params = lambda params, key: loss(MODEL, params, key, X)
        return jax.vmap(jax.value_and_grad(of_params, has_aux=True), (None, 0))(
            PARAMS, jax.random.split(key, NUM)
        )

    @jit
    def run(key):
        keys = jax.random.split(key, len(LOSSES))
        found = {name: each(loss, k) for (name, (loss, _)), k in zip(LOSSES.items(), keys)}
        exact = jax.value_and_grad(lambda params: -enumerated_elbo(MODEL, params, X).mean())
        return found, exact(PARAMS)

    return jax.device_get(run(jax.random.key(0)))


def errors(name, part):
    """Distance of the mean gradient of a part from the exact one, in standard errors."""
    found, (_, exact) = gradients()
    grads = jax.tree.leaves(found[name][1][part])
    off = [
        (g.mean(0, dtype=np.float64) - e) / (g.std(0, dtype=np.float64) / NUM**0.5 + 1e-6)
        for g, e in zip(grads, jax.tree.leaves(exact[part]), strict=True)
    ]
    return np.concatenate([a.ravel() for a in off])


def noise(name):
    """The variance of the gradient by the encoder, summed over its parameters."""
    grads = jax.tree.leaves(gradients()[0][name][1]["posterior"])
    return sum(float(g.var(0, dtype=np.float64).sum()) for g in grads)


# --------------------------------------------------------------------------------- the model
def test_the_listed_bound_is_that_of_hard_codes_and_below_the_listed_likelihood():
    """T118. E log w over draws of `objectives` is the bound, E w is p(x), and Σ_x p(x) = 1."""
    every = np.indices((2,) * DIM).reshape(DIM, -1).T.astype(np.int32)

    @jit
    def run(key):
        log_w = objectives.log_weights(MODEL, PARAMS, key, X, num_samples=NUM)
        of_all = enumerated_log_prob(MODEL, PARAMS, every)
        return (
            log_w,
            enumerated_elbo(MODEL, PARAMS, X),
            enumerated_log_prob(MODEL, PARAMS, X),
            of_all,
        )

    log_w, elbo, log_p, of_all = (np.float64(a) for a in run(jax.random.key(1)))
    assert (np.abs(log_w.mean(0) - elbo) < 5 * log_w.std(0) / NUM**0.5).all()
    w = np.exp(log_w)
    assert (np.abs(w.mean(0) - np.exp(log_p)) < 5 * w.std(0) / NUM**0.5).all()
    np.testing.assert_allclose(np.exp(of_all).sum(), 1, rtol=1e-5)
    assert (log_p - elbo > 1e-2).all()


def test_importance_sampling_is_of_hard_codes():
    params = drawn(MODEL, 0.4)  # a broad posterior, whose weights are even
    found = metrics.importance_log_prob(MODEL, params, jax.random.key(2), X, num_samples=2000)
    exact = jit(enumerated_log_prob, static_argnums=0)(MODEL, params, X)
    assert (np.abs(found.log_prob - exact) < 5 * found.stderr + 1e-3).all()


def test_listed_codes_are_all_of_them_once():
    z = all_codes((2, 1), 3)
    assert z.shape == (9, 2, 1, 3) and len(np.unique(z.reshape(9, -1), axis=0)) == 9
    assert (z.sum(-1) == 1).all() and set(np.unique(z)) == {0.0, 1.0}


# ------------------------------------------------------------------------------ the gradients
@pytest.mark.parametrize("name", [name for name, (_, unbiased) in LOSSES.items() if unbiased])
def test_an_unbiased_gradient_is_the_exact_one_in_the_mean(name):
    for part in ("prior", "likelihood", "posterior"):
        assert np.abs(errors(name, part)).max() < 4.5, part


@pytest.mark.parametrize("name", ["straight through", "relaxed, hard", "relaxed"])
def test_a_biased_gradient_is_told_from_the_exact_one(name):
    assert np.abs(errors(name, "posterior")).max() > 15


def test_a_gradient_of_hard_codes_by_the_decoder_has_no_bias():
    for name in ("straight through", "relaxed, hard"):
        assert np.abs(errors(name, "likelihood")).max() < 4.5


def test_the_bias_of_a_relaxed_gradient_falls_with_its_temperature_and_the_noise_rises():
    found, (_, exact) = gradients()

    def bias(name):
        pairs = zip(*(jax.tree.leaves(a["posterior"]) for a in (found[name][1], exact)))
        return sum(float(((g.mean(0, dtype=np.float64) - e) ** 2).sum()) for g, e in pairs)

    assert bias("relaxed, cold") < 0.3 * bias("relaxed")
    assert noise("relaxed, cold") > 3 * noise("relaxed")


def test_baselines_take_noise_and_muprop_more():
    """Leave-one-out has two draws: its variance is doubled to compare with those of one."""
    assert noise("baseline") < 0.5 * noise("score function")
    assert 2 * noise("leave one out") < 0.5 * noise("score function")
    assert noise("muprop") < 0.6 * noise("baseline")


def test_losses_tell_the_bound_of_hard_codes_and_a_relaxed_one_does_not_claim_to():
    found, (exact, _) = gradients()
    for name, ((value, told), _) in found.items():
        if name in ("relaxed", "relaxed, cold"):
            assert set(told) == {"relaxed_neg_elbo", "relaxed_distortion", "kl"}
        else:
            error = told["neg_elbo"].std(dtype=np.float64) / NUM**0.5
            assert abs(told["neg_elbo"].mean(dtype=np.float64) - exact) < 5 * error
            np.testing.assert_allclose(told["distortion"] + told["kl"], value, rtol=1e-4)


def test_the_divergence_is_log_k_less_the_entropy_and_beta_weighs_it():
    model = small()
    params = drawn(model, 1.0)

    @jit
    def run(key):
        q = model.posterior(params, X)
        losses = [
            relaxed_loss(model, params, again(key), X, temperature=0.5, beta=b)[0]
            for b in (0.0, 1.0, 3.0)
        ]
        told = relaxed_loss(model, params, again(key), X, temperature=0.5)[1]
        return q.entropy(), told["kl"], losses

    entropy, kl, (none, one, three) = run(jax.random.key(3))
    np.testing.assert_allclose(kl, CODES * np.log(K) - entropy.mean(), rtol=1e-5)
    np.testing.assert_allclose([one - none, three - none], [kl, 3 * kl], rtol=1e-4)


def test_a_key_of_the_parts_is_for_dropout_in_both_nets_and_one_draw_of_it_is_for_all():
    """MuProp looks at the decoder twice: under two masks its linear part would be another's."""
    keys = []

    def noisy(net):
        def apply(params, x, *, key=None):
            keys.append(key)
            scale = 1.0 if key is None else 1 + jax.random.bernoulli(key, 0.5)
            return scale * net.apply(params, x)

        return net._replace(apply=apply)

    nets_ = (noisy(nets.mlp(DIM, CODES * K, hidden=())), noisy(nets.mlp(CODES * K, DIM, hidden=())))
    options = {"codes": CODES, "num_categories": K}
    model = categorical_vae(*nets_, likelihoods.bernoulli(), DIM, **options)
    params, key = drawn(model, 1.0), jax.random.key(7)

    @jit
    def run(key):
        def told(parts_key):
            return muprop_loss(model, params, again(key), X, parts_key=parts_key)[0]

        parts = jax.random.split(jax.random.key(8), 6)
        return told(None), jnp.stack([told(k) for k in parts])

    keys.clear()
    without, losses = run(key)
    assert len({float(a) for a in losses} | {float(without)}) >= 3
    assert keys[0] is None and keys[-1] is not None


def test_the_relaxed_model_is_bounded_by_an_elbo_of_its_own():
    """Its KL is that of relaxed densities, above the one of codes (T58), and the same for all τ."""

    @jit
    def run(key):
        def told(t):
            model = quantized.relaxed(MODEL, t)
            return objectives.elbo(model, PARAMS, again(key), X, num_samples=NUM)[1]["kl"]

        q, p = MODEL.posterior(PARAMS, X), MODEL.prior(PARAMS)
        return told(0.3), told(1.0), q.kl_divergence(p).mean()

    cold, warm, of_codes = run(jax.random.key(4))
    np.testing.assert_allclose(cold, warm, rtol=1e-3)
    assert warm > 1.1 * of_codes


# --------------------------------------------------------------------------- over the steps
def test_a_running_mean_is_that_of_all_steps_before():
    init_state, loss = running_mean_loss(MODEL, decay=0.5)

    @jit
    def run(key):
        state, seen = init_state(key, PARAMS), []
        for k in jax.random.split(key, 3):
            _, (told, state) = loss(PARAMS, k, X, state=state)
            seen.append((-told["distortion"], state["mean"] / state["weight"]))
        return seen

    (a, of_a), (b, of_b), (c, of_c) = run(jax.random.key(5))
    np.testing.assert_allclose(of_a, a, rtol=1e-5)
    np.testing.assert_allclose(of_b, (a + 2 * b) / 3, rtol=1e-5)
    np.testing.assert_allclose(of_c, (a + 2 * b + 4 * c) / 7, rtol=1e-5)


@pytest.mark.parametrize("muprop", [False, True])
def test_a_linear_baseline_learns_what_the_signal_owes_to_x_and_takes_noise_out(muprop):
    """A decoder by which x_0 = 1 costs 8 nats more: the running mean leaves that in the signal."""
    params = PARAMS | {"likelihood": jax.tree.map(jnp.zeros_like, PARAMS["likelihood"])}
    bias = params["likelihood"]["Dense_1"]["bias"]
    params["likelihood"]["Dense_1"]["bias"] = bias.at[0].set(-8.0)
    init_state, loss = linear_baseline_loss(MODEL, DIM, muprop=muprop, rate=0.5)

    @jit
    def run(key):
        key, start_key = jax.random.split(key)
        learn = lambda state, key: (loss(params, key, X, state=state)[1][1], None)
        state = jax.lax.scan(
            learn, init_state(start_key, params), jax.random.split(start_key, 600)
        )[0]
        without = {"slope": jnp.zeros(DIM)}
        variance = []
        for given in (state, state | without):
            of = lambda params, key: loss(params, key, X, state=given)[0]
            grads = jax.vmap(jax.grad(of), (None, 0))(
                params, jax.random.split(jax.random.clone(key), 2000)
            )
            variance.append(sum(g.var(0).sum() for g in jax.tree.leaves(grads["posterior"])))
        return state, variance

    state, (learned, constant) = run(jax.random.key(9))
    centre, weight = state["centre"], state["weight"]
    np.testing.assert_allclose(centre / weight, X.mean(0), rtol=1e-4)
    if muprop:  # f is linear in z here: nothing is left to learn
        np.testing.assert_allclose(state["slope"], 0, atol=1e-3)
        return
    assert abs(state["slope"][0] + 8) < 0.1 and np.abs(state["slope"][1:]).max() < 0.1
    assert learned < 1e-3 * constant


def test_codes_of_a_temperature_are_those_of_logits_over_it():
    """Draws, gradient and KL: the loss at τ is that at 1 of an encoder whose last layer is / τ."""
    last = jax.tree.map(lambda a: a / 2, PARAMS["posterior"]["Dense_1"])
    scaled = PARAMS | {"posterior": PARAMS["posterior"] | {"Dense_1": last}}

    @jit
    def run(key):
        loss = lambda params, t: straight_through_loss(
            MODEL, params, again(key), X, temperature=t, num_samples=3
        )[0]
        of_first = lambda grads: grads["posterior"]["Dense_0"]
        warm, plain = (jax.value_and_grad(loss) for _ in range(2))
        (a, da), (b, db) = warm(PARAMS, 2.0), plain(scaled, 1.0)
        return a, of_first(da), b, of_first(db)

    a, da, b, db = run(jax.random.key(10))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    jax.tree.map(lambda g, h: np.testing.assert_allclose(g, h, rtol=1e-4, atol=1e-6), da, db)


def test_a_temperature_falls_to_its_least_in_steps():
    schedule = temperature_schedule(0.01, least=0.5, every=10)
    got = [float(schedule(jnp.asarray(t))) for t in (0, 9, 10, 55, 69, 1000)]
    np.testing.assert_allclose(got, [1, 1, np.exp(-0.1), np.exp(-0.5), np.exp(-0.6), 0.5])


def test_training_by_a_temperature_of_the_step_and_by_a_running_mean_lowers_the_exact_bound():
    def fit(key, **options):
        descent = learning.gradient_descent(MODEL.init, optimizer=optax.adam(0.03), **options)
        state, _ = learning.fit(descent, key, lambda key, t: jnp.asarray(X), num_steps=150)
        return enumerated_elbo(MODEL, state.params, X).mean()

    @jit
    def run(key):
        relaxed = lambda params, key, x, weights: relaxed_loss(MODEL, params, key, x, **weights)
        init_state, loss = running_mean_loss(MODEL, decay=0.9)
        weights = {"temperature": temperature_schedule(0.01)}
        return (
            enumerated_elbo(MODEL, MODEL.init(again(key)), X).mean(),
            fit(again(key), loss=relaxed, weights=weights),
            fit(again(key), loss=loss, init_state=init_state),
        )

    start, of_relaxed, of_score = run(jax.random.key(6))
    assert of_relaxed > start + 0.7 and of_score > start + 0.5


# ----------------------------------------------------------------------------------- refusals
def mlps(encoder_out=CODES * K, decoder_in=CODES * K):
    return nets.mlp(DIM, encoder_out, hidden=()), nets.mlp(decoder_in, DIM, hidden=())


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: mlps(encoder_out=5), "encoder does not fit x.*must give logits"),
        (lambda: mlps(decoder_in=5), "decoder does not fit codes"),
    ],
)
def test_nets_that_do_not_fit_the_codes_are_refused(make, said):
    with pytest.raises(ValueError, match=said) as refused:
        categorical_vae(*make(), likelihoods.bernoulli(), DIM, codes=CODES, num_categories=K)
    assert "\n" not in str(refused.value)


def test_what_is_no_model_of_codes_is_refused():
    with pytest.raises(ValueError, match="num_categories must be"):
        quantized.uniform_codes(2, 1)
    with pytest.raises(ValueError, match="prior must be a density of one-hot codes"):
        small(prior=standard_normal(3))
    with pytest.raises(ValueError, match="are listed"):
        all_codes(20, 10)
    relaxed = quantized.relaxed(MODEL, 0.5)
    with pytest.raises(ValueError, match="model must be of one-hot codes"):
        relaxed_loss(relaxed, PARAMS, jax.random.key(0), X, temperature=0.5)
    with pytest.raises(ValueError, match="temperature must be"):
        relaxed_loss(MODEL, PARAMS, jax.random.key(0), X, temperature=0.0)
    with pytest.raises(ValueError, match="reparametrised"):
        objectives.elbo(MODEL, PARAMS, jax.random.key(0), X)


def test_a_grid_of_codes_is_an_image_for_the_decoder():
    read = []

    def decode(params, z, *, key=None):
        read.append(z.shape)
        return jnp.zeros((*z.shape[:-3], 2, 1, 1))

    nothing = lambda key: {}
    model = categorical_vae(
        nets.mlp(1, 6, hidden=())._replace(
            init=nothing, apply=lambda params, x, *, key=None: jnp.zeros((*x.shape[:-2], 2, 1, 3))
        ),
        nets.mlp(1, 1, hidden=())._replace(init=nothing, apply=decode),
        likelihoods.bernoulli(),
        (2, 1),
        codes=(2, 1),
        num_categories=3,
    )
    assert read[0] == (2, 1, 3)
    x = jnp.zeros((7, 2, 1), int)
    params = model.init(jax.random.key(0))
    assert isinstance(model.posterior(params, x), OneHot)
    np.testing.assert_allclose(enumerated_log_prob(model, params, x), -2 * np.log(2), rtol=1e-6)
