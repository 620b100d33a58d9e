"""Encoders and decoders of images."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.nets import conv_decoder, conv_encoder, map_decoder, map_encoder
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

SMALL = {"hidden": (4, 6), "num_blocks": 1, "num_groups": 2}


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 1), (7, 5, 3)])
def test_any_image_is_read_and_made_with_any_batch(shape):
    encoder, decoder = conv_encoder(shape, 5, **SMALL), conv_decoder(5, shape, 2, **SMALL)
    params = drawn(encoder), drawn(decoder)
    through = jit(lambda p, x: decoder.apply(p[1], encoder.apply(p[0], x)))
    x = points(2, 3, *shape)
    y = through(params, x)
    assert y.shape == (2, 3, *shape[:2], 2)
    np.testing.assert_allclose(through(params, x[1, 2]), y[1, 2], rtol=1e-4, atol=1e-4)
    assert jax.eval_shape(through, params, x[:0]).shape == (0, 3, *shape[:2], 2)


def test_every_pixel_matters_to_the_code_and_the_code_to_every_pixel():
    shape = (7, 8, 2)
    encoder = conv_encoder(shape, 3, **SMALL)
    decoder = conv_decoder(3, shape, 2, **SMALL)
    x, z = points(*shape), points(3)
    read = jit(jax.grad(lambda x: encoder.apply(drawn(encoder), x).sum()))(x)
    assert (read != 0).all()
    made = jit(jax.jacfwd(lambda z: decoder.apply(drawn(decoder), z)))(z)  # [7, 8, 2, 3]
    assert (made != 0).all()


def test_all_convolutions_are_those_whose_second_derivatives_are_fast():
    """A gradient penalty through strided ones of JAX takes five times as long on a CPU."""
    encoder = conv_encoder((8, 8, 1), 1, **SMALL)
    program = str(jax.make_jaxpr(encoder.apply)(drawn(encoder), points(3, 8, 8, 1)))
    assert program.count("stride=2") == len(SMALL["hidden"])
    assert "strided_down[" in program and "conv_general_dilated[" not in program


def test_a_map_has_a_vector_for_each_place_that_sees_what_is_near_it():
    """16 become 4 by two stages; the far corner of x is out of reach of the first vector."""
    shape, local = (16, 13, 1), {"hidden": (4, 6)}
    encoder, decoder = map_encoder(shape, 3, **local), map_decoder(3, shape, 2, **local)
    params, x = (drawn(encoder), drawn(decoder)), points(2, *shape)

    @jit
    def through(params, x):
        z, far = (encoder.apply(params[0], at) for at in (x, x.at[:, -1, -1].add(1.0)))
        return z, far, decoder.apply(params[1], z)

    z, far, y = through(params, x)
    assert z.shape == (2, 4, 4, 3) and y.shape == (2, 16, 13, 2)
    np.testing.assert_array_equal(z[:, 0, 0], far[:, 0, 0])
    assert (z[:, -1, -1] != far[:, -1, -1]).all()


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_dropout_acts_where_there_is_a_key_and_zero_last_starts_at_zero(kind):
    shape = (6, 6, 1)
    encoder, decoder = partial(conv_encoder, shape, 3), partial(conv_decoder, 3, shape, 2)
    build = partial(encoder if kind == "encoder" else decoder, hidden=(4,))
    x = points(*shape) if kind == "encoder" else points(3)
    net = build(dropout=0.5)
    plain, dropped = jit(lambda p, x, key: (net.apply(p, x), net.apply(p, x, key=key)))(
        drawn(net), x, jax.random.key(0)
    )
    np.testing.assert_array_equal(plain, build().apply(drawn(net), x))
    assert (plain != dropped).any()
    net = build(zero_last=True)
    started = jit(lambda key, x: net.apply(net.init(key), x))(jax.random.key(0), x)
    np.testing.assert_array_equal(started, jnp.zeros_like(started))


def test_the_scale_of_the_numbers_stays_through_the_stages():
    """A unit Gaussian code becomes numbers of deviation near 1, with linear activations."""
    decoder = conv_decoder(64, (16, 16, 1), 8, hidden=(64, 32), activation=lambda h: h)
    spread = jit(lambda key, z: decoder.apply(decoder.init(key), z).std())
    assert 0.7 < spread(jax.random.key(0), points(8, 64)) < 1.1  # pixels at a border meet less


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": ()}, "hidden must name at least one layer"),
        ({"num_groups": 3}, r"num_groups must divide each width of hidden=\(4, 6\); got 3"),
        ({"kernel_size": 1}, "kernel_size must be an integer of at least 2; got 1"),
    ],
)
def test_a_net_that_cannot_be_is_refused(options, message):
    with pytest.raises(checks.InputError, match=message):
        conv_encoder((8, 8, 1), 2, **SMALL | options)
    with pytest.raises(checks.InputError, match=message):
        conv_decoder(2, (8, 8, 1), 2, **SMALL | options)
