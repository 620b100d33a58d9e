"""FQ-GAN: what a critic sees through a codebook, and what moves it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, combinators, gans, nets, objectives
from dgm_jax.distributions import standard_normal
from dgm_jax.protocol import Net
from dgm_jax.quantized import averaged_codebook, fq_critic_loss, quantised_critic
from tests.contracts.compiled import jit
from tests.helpers import points

NUM, DIM, BETA = 6, 3, 0.5
HINGE = objectives.hinge()
linear = Net(
    lambda key: {"w": jax.random.normal(key, (2, DIM))}, lambda p, x, key=None: jnp.tanh(x @ p["w"])
)
summed = Net(lambda key: {"v": jax.random.normal(key, (DIM,))}, lambda p, h, key=None: h @ p["v"])
CODEBOOK = averaged_codebook(NUM, DIM, decay=0.8)


def model_of(quantiser, beta=BETA):
    critic = quantised_critic(linear, quantiser, summed, beta=beta)
    return combinators.adversarial(standard_normal(2), nets.mlp(2, 2, hidden=(4,)), critic)


MODEL, X = model_of(CODEBOOK), points(8, 2)


def test_values_are_those_of_the_nearest_vectors_and_of_the_features_without_a_codebook():
    params, state = MODEL.init(jax.random.key(0))
    p, s = params["critic"], state["critic"]
    values, after = MODEL.critic.apply(p, s, X, train=True)
    h = jnp.tanh(X @ p["trunk"]["w"])
    found, moved = CODEBOOK.apply({}, s["quantiser"], h, train=True)
    np.testing.assert_allclose(values, found.vectors @ p["head"]["v"], rtol=1e-5)
    np.testing.assert_allclose(after["quantisation"], BETA * found.commitment_loss, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, after["quantiser"], moved)
    still, same = MODEL.critic.apply(p, s, X, train=False)
    np.testing.assert_array_equal(still, values)
    jax.tree.map(np.testing.assert_array_equal, same, s)
    twin = model_of(None)
    twin_params, twin_state = twin.init(jax.random.key(0))
    seen, after = twin.critic.apply(twin_params["critic"], twin_state["critic"], X, train=True)
    np.testing.assert_allclose(seen, h @ p["head"]["v"], rtol=1e-5)  # and starts alike
    assert after["quantisation"] == 0


def test_the_loss_adds_the_quantisation_of_data_and_samples_and_averages_are_of_both():
    params, state = MODEL.init(jax.random.key(0))

    @jit
    def run(params, state, key):
        plain, (_, moved) = objectives.critic_loss(MODEL, HINGE, params, key, X, state=state)
        of = lambda params: fq_critic_loss(
            MODEL, HINGE, params, jax.random.clone(key), X, state=state, weight=2.0
        )
        (loss, (told, _)), slope = jax.value_and_grad(of, has_aux=True)(params)
        return plain, moved, loss, told, slope["critic"]["trunk"]["w"]

    plain, moved, loss, told, slope = run(params, state, jax.random.key(1))
    np.testing.assert_allclose(loss, plain + 2 * told["quantisation"], rtol=1e-5)
    np.testing.assert_allclose(told["quantisation"], moved["critic"]["quantisation"], rtol=1e-5)
    assert told["quantisation"] > 0 and (slope != 0).any()
    shares = moved["critic"]["quantiser"]["shares"]
    np.testing.assert_allclose(shares.sum(), 0.2, rtol=1e-5)  # 1 - decay, of 16 vectors
    assert np.allclose(shares * 16 / 0.2, np.round(shares * 16 / 0.2), atol=1e-4)


def test_trunk_and_head_of_a_residual_critic_are_that_critic():
    shape = (8, 8, 1)
    options = {"widths": (3, 4)}
    whole = nets.residual_critic(shape, num_classes=3, **options)
    trunk, head = (
        nets.residual_features(shape, **options),
        nets.residual_head((4, 4, 4), num_classes=3),
    )
    params, state = whole.init(jax.random.key(0))
    blocks = lambda tree: {
        name: part for name, part in tree.items() if name.startswith("DownBlock")
    }
    rest = lambda tree: {name: part for name, part in tree.items() if name not in blocks(tree)}
    of_kind = lambda pick: {kind: pick(part) for kind, part in state.items()}
    x, y = points(2, *shape), jnp.arange(2)

    @jit
    def run(params, x):
        h, _ = trunk.apply(blocks(params), of_kind(blocks), x, train=False)
        split, _ = head.apply(rest(params), of_kind(rest), h, y, train=False)
        return split, whole.apply(params, state, x, y, train=False)[0]

    split, joined = run(params, x)
    np.testing.assert_allclose(split, joined, rtol=1e-5)


def test_a_game_without_a_codebook_in_its_critic_is_refused():
    model = gans.dcgan((8, 8, 1), num_latents=2, hidden=2)
    params, state = model.init(jax.random.key(0))
    with pytest.raises(checks.InputError, match="critic is a quantised_critic"):
        fq_critic_loss(model, HINGE, params, jax.random.key(1), points(2, 8, 8, 1), state=state)
    with pytest.raises(checks.InputError, match="quantiser must be a Quantiser"):
        quantised_critic(linear, averaged_codebook, summed)
