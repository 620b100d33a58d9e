"""StyleGAN: styles a layer, mixed and truncated; noise; the mean style as a state."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, gans, objectives
from dgm_jax.nets import doubled
from tests.contracts.compiled import jit
from tests.helpers import perturb, points

STYLE = gans.stylegan(
    (8, 8, 1), num_latents=3, num_styles=5, mapping_layers=2, channel_base=32, channel_max=6
)

ONES = jnp.ones((4, 2))


def started(scale=0.3):
    params, state = jit(STYLE.grown().init)(jax.random.key(0))
    params = perturb(params, jax.random.key(1), scale)
    return params["generator"], {"mean_style": points(5, seed=4)}, params


def test_a_truncation_of_0_is_one_image_and_of_1_changes_nothing():
    params, state, _ = started()
    z = points(4, 3)

    @jit
    def images(z):
        psis = (0.0, 0.5, 1.0)
        models = [STYLE.grown(truncation=psi) for psi in psis]
        made = [m.generator.apply(params, state, z, train=False)[0] for m in models]
        w = STYLE.mapping.apply(params["mapping"], z)
        styles = gans.in_all_layers(w, STYLE.num_layers)
        return made, STYLE.synthesis.apply(params["synthesis"], styles), w

    (one, half, all_of_it), by_styles, w = images(z)
    for image in one:
        np.testing.assert_array_equal(image, one[0])
    np.testing.assert_allclose(all_of_it, by_styles, rtol=1e-5, atol=1e-5)
    mean = gans.in_all_layers(state["mean_style"], STYLE.num_layers)
    np.testing.assert_allclose(
        one[0], STYLE.synthesis.apply(params["synthesis"], mean), rtol=1e-4, atol=1e-4
    )
    assert jnp.abs(half - one).max() > 0 and jnp.abs(w[0] - w[1]).max() > 0


def test_truncation_goes_to_the_mean_in_the_first_layers_only_up_to_a_cutoff():
    styles, mean = points(2, 4, 3), points(3, seed=5)
    near = gans.truncated_styles(styles, mean, 0.25, cutoff=1)
    np.testing.assert_allclose(near[:, 0], mean + 0.25 * (styles[:, 0] - mean), rtol=1e-5)
    np.testing.assert_array_equal(near[:, 1:], styles[:, 1:])


def test_mixed_styles_are_those_of_the_second_from_the_crossover_on():
    """And the layers before it cannot see them: their features, and the smaller image, stay."""
    params, _, _ = started()
    w = gans.in_all_layers(points(2, 5), STYLE.num_layers)
    both = gans.mixed_styles(w[0], w[1], 2)
    np.testing.assert_array_equal(both[:2], w[0, :2])
    np.testing.assert_array_equal(both[2:], w[1, 2:])
    of_each = gans.mixed_styles(w, w[::-1], jnp.array([0, 4]))  # all of the other, none of it
    np.testing.assert_array_equal(of_each, jnp.stack([w[1], w[1]]))

    def small_and_large(styles):
        slopes = jax.jacobian(lambda s: STYLE.synthesis.apply(params["synthesis"], s).sum())
        return STYLE.synthesis.apply(params["synthesis"], styles), slopes(styles)

    image, slopes = jit(small_and_large)(both)
    assert (jnp.abs(slopes).sum(-1) > 0).all()  # each layer has a say
    assert (image != STYLE.synthesis.apply(params["synthesis"], w[0])).any()


def test_at_alpha_0_the_image_is_the_smaller_one_which_later_layers_do_not_change():
    params, state, _ = started()
    z = points(2, 3)
    draw = lambda model: model.generator.apply(params, state, z, train=False)[0]
    small, faded, large = jit(lambda: [draw(STYLE.grown(*a)) for a in ((4,), (8, 0.0), (8,))])()
    np.testing.assert_array_equal(faded, doubled(small))
    assert (large != faded).any()


def test_noise_starts_without_strength_and_is_of_each_image_its_own():
    params, state, _ = started(scale=0.0)
    model, z = STYLE.grown(), jnp.broadcast_to(points(3), (2, 3))
    draw = jit(lambda p, key: model.generator.apply(p, state, z, train=False, key=key)[0])
    first = draw(params, jax.random.key(0))
    np.testing.assert_array_equal(first, draw(params, jax.random.key(1)))
    loud, *_ = started()
    x, y = draw(loud, jax.random.key(0)), draw(loud, jax.random.key(1))
    assert jnp.abs(x - y).min() > 0 and jnp.abs(x[0] - x[1]).min() > 0


def test_the_mean_style_moves_in_training_by_the_mean_of_the_batch_and_only_there():
    params, state, _ = started()
    model, z = STYLE.grown(), points(6, 3)

    @jit
    def moved(key):
        w = STYLE.mapping.apply(params["mapping"], z)
        run = lambda **how: model.generator.apply(params, state, z, **how)
        (plain, new), (mixing, _) = run(train=True), run(train=True, key=key)
        _, kept = run(train=False)
        slope = jax.grad(
            lambda p: model.generator.apply(p, state, z, train=True)[1]["mean_style"].sum()
        )
        return w.mean(0), new, kept, plain, mixing, slope(params)

    mean, new, kept, plain, mixing, slope = moved(jax.random.key(3))
    wanted = 0.995 * state["mean_style"] + 0.005 * mean
    np.testing.assert_allclose(new["mean_style"], wanted, rtol=1e-5)
    np.testing.assert_array_equal(kept["mean_style"], state["mean_style"])
    assert (plain != mixing).any()
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slope))


def test_the_generator_of_the_paper_has_its_parameters():
    """26.2 million at 1024×1024, Karras et al. (2019), section 2; nothing is computed."""
    style = gans.stylegan((1024, 1024, 3))
    model = style.grown()
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    count = lambda tree: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
    assert count(params["generator"]) == 26_219_627
    assert count(params["critic"]) == 23_087_249
    assert style.num_layers == 18
    draw = lambda p, s, key: objectives.generated(model, p, s, key, 2, train=True)
    assert jax.eval_shape(draw, params, state, jax.random.key(0)).shape == (2, 1024, 1024, 3)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: STYLE.grown(truncation=1.5), "truncation must lie in 0..1"),
        (lambda: STYLE.grown(cutoff=5), "cutoff must be"),
        (lambda: gans.stylegan((8, 8, 1), mixing=2.0), "mixing must be a probability"),
        (lambda: gans.stylegan((6, 6, 1)), "must be a power of two"),
        (lambda: gans.mixed_styles(jnp.zeros((4, 2)), jnp.zeros((3, 2)), 1), "must both be"),
        (
            lambda: gans.mixed_styles(jnp.zeros((4, 2)), jnp.zeros((4, 2)), 5),
            "crossover must lie in 0..4",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(call, said):
    with pytest.raises(checks.InputError, match=said):
        call()
