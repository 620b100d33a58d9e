"""A causal net and a conditional make a density, of p(x | c) with a condition of each step too."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive as ar
from dgm_jax import nets
from dgm_jax.likelihoods import bernoulli, categorical
from tests.autoregressive.models import by_definition, drawn
from tests.contracts.compiled import jit

LATENT, SHAPE = 2, (2, 2, 1)
STATES = jnp.array(list(product(range(2), repeat=4)))


def test_a_pixelvae_decoder_sums_to_one_over_all_pictures_of_each_latent():
    """p(x | z) = PixelCNN(x | map(z)): the map is made by a net, and has a vector for each pixel.

    Its pictures are those of the definition, and occur as often as it says.
    """
    to_map = nets.mlp(LATENT, 2 * 2 * 3, hidden=(5,))
    options = {"hidden": 3, "num_layers": 1, "cond_shape": (2, 2, 3)}
    pixels = ar.gated_pixelcnn(SHAPE, bernoulli(), **options)
    net = nets.gated_pixelcnn(SHAPE, num_outputs=1, encoding=nets.one_hot(2), **options)
    slow = by_definition(net, bernoulli(), SHAPE)
    params = {"map": drawn(to_map, 1.0), "pixels": drawn(pixels, 1.0)}
    z = jnp.array([[0.5, -1.0], [1.0, 2.0]])

    @jit
    def run(params, key):
        maps = to_map.apply(params["map"], z).reshape(2, 2, 2, 3)
        dist = pixels.dist(params["pixels"], maps)
        pictures = STATES.reshape(-1, 1, *SHAPE)
        again = jax.random.clone(key)
        x = dist.sample(seed=key, sample_shape=20_000)
        return (
            dist.log_prob(pictures),
            x,
            slow.dist(params["pixels"], maps).sample(seed=again, sample_shape=20_000),
        )

    log_p, x, wanted = run(params, jax.random.key(0))
    p = np.exp(np.float64(log_p))
    assert p.shape == (16, 2) and x.shape == (20_000, 2, *SHAPE)
    np.testing.assert_allclose(p.sum(0), 1, atol=1e-5)
    assert np.abs(p[:, 0] - p[:, 1]).max() > 0.05  # the latents differ
    np.testing.assert_array_equal(x, wanted)
    index = np.asarray(x).reshape(-1, 2, 4) @ [8, 4, 2, 1]
    for i in range(2):
        got = np.bincount(index[:, i], minlength=16) / len(x)
        assert (np.abs(got - p[:, i]) < 4.5 * np.sqrt(p[:, i] / len(x)) + 1e-4).all()


@pytest.mark.parametrize(
    "family", ["rnn", "transformer", pytest.param("image_gpt", marks=pytest.mark.full)]
)
def test_given_a_value_for_each_step_it_sums_to_one_over_all_sequences(family):
    make = {
        "rnn": lambda **c: ar.rnn(4, categorical(2), hidden=4, **c),
        "transformer": lambda **c: ar.transformer(
            4, categorical(2), hidden=4, num_layers=1, num_heads=2, order=[2, 0, 3, 1], **c
        ),
        "image_gpt": lambda **c: ar.image_gpt(
            (1, 2, 2), categorical(2), hidden=4, num_layers=1, num_heads=2, order=[1, 0], **c
        ),
    }[family]
    model = make(cond_shape=(1, 2, 3) if family == "image_gpt" else (4, 3))
    params = drawn(model, 1.0)
    cond = jnp.asarray(np.random.default_rng(2).normal(size=(5, *model.cond_shape)), jnp.float32)

    @jit
    def run(params, key):
        dist = model.dist(params, cond)
        x, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=3)
        return dist.log_prob(STATES.reshape(-1, 1, *dist.event_shape)), log_prob, dist.log_prob(x)

    log_p, log_prob, again = run(params, jax.random.key(0))
    assert log_p.shape == (16, 5)
    np.testing.assert_allclose(np.exp(np.float64(log_p)).sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(log_prob, again, rtol=1e-4, atol=1e-5)
    assert np.ptp(log_p, axis=1).max() > 0.1  # the conditions differ


def test_the_key_of_the_net_is_one_draw_for_density_samples_and_completions():
    """A net that adds noise to f: what is drawn under a key is scored alike under it, and only so.

    Without a key there is no noise.
    """
    quiet = nets.made(3, hidden=(4,), num_outputs=3, encoding=nets.one_hot(3))

    def noise(key):
        return 0.0 if key is None else 2 * jax.random.normal(key, (3, 3))

    def apply(params, x, cond=None, *, key=None):
        return quiet.apply(params, x, cond) + noise(key)

    slow = nets.naive(quiet.init, apply, 3, levels=True)
    model = ar.density(slow, categorical(3), 3)
    params = drawn(model)

    @jit
    def run(params, key, net_key):
        sample_key, draw_key = jax.random.split(key)
        same_key = jax.random.clone(draw_key)
        noisy = model.dist(params, key=jax.random.clone(net_key))
        x, log_prob = noisy.sample_and_log_prob(seed=sample_key, sample_shape=5)
        sharp = noisy.sharpened(temperature=1.0)
        nothing = jnp.zeros(3, bool)
        return {
            "told": log_prob,
            "scored": noisy.log_prob(x),
            "sharp": sharp.log_prob(x),
            "silent": model.dist(params).log_prob(x),
            "by hand": categorical(3).dist(apply(params, x, key=net_key)).log_prob(x).sum(-1),
            "drawn": noisy.sample(seed=draw_key),
            "completed": noisy.complete(x[0], nothing, seed=same_key),
        }

    found = run(params, jax.random.key(0), jax.random.key(7))
    for name in ("scored", "sharp", "by hand"):
        np.testing.assert_allclose(found["told"], found[name], rtol=1e-5)
    assert np.abs(found["told"] - found["silent"]).min() > 0.01
    np.testing.assert_array_equal(found["drawn"], found["completed"])


SMALL = {"hidden": 4, "num_layers": 1, "num_heads": 2, "dropout": 0.5}
DROPPING = {
    "made, masks": lambda: ar.made(4, bernoulli(), hidden=(9,), masks=ar.Masks(2), dropout=0.5),
    "pixelcnn_pp": lambda: ar.pixelcnn_pp(SHAPE, bernoulli(), hidden=4, num_layers=1, dropout=0.5),
    "pixelsnail": lambda: ar.pixelsnail(SHAPE, bernoulli(), **SMALL),
    "image_gpt": lambda: ar.image_gpt(SHAPE, bernoulli(), **SMALL),
}


FULL = ("pixelsnail", "image_gpt")  # as the others: the key of all is handed on by one `density`


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.full] if n in FULL else []) for n in DROPPING]
)
def test_dropout_acts_with_a_key_and_not_without(name):
    """What is left of the net under a key is a density that sums to one."""
    model = DROPPING[name]()
    params = drawn(model, 1.0)

    @jit
    def run(params, key):
        dist = model.dist(params, key=key)  # a batch would have a mask of dropout for each row
        return jax.vmap(dist.log_prob)(STATES.reshape(-1, *dist.event_shape))

    log_p = [np.float64(run(params, jax.random.key(i))) for i in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(log_p[0], log_p[1])
    assert len(np.unique(log_p, axis=0)) == 4  # more than there are masks
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, atol=1e-5)


def test_bad_parts_are_refused():
    net = nets.made(3, hidden=(4,), num_outputs=2)
    with pytest.raises(ValueError, match="net must be a CausalNet; got function"):
        ar.density(nets.made, bernoulli(), 3)
    with pytest.raises(ValueError, match="conditional must be a Conditional.*Call it first"):
        ar.density(net, bernoulli, 3)
    model = ar.density(net._replace(cond_shape=(2,)), bernoulli(), 3)
    with pytest.raises(ValueError, match=r"cond is missing: .* cond_shape=\(2,\)"):
        model.dist({})
