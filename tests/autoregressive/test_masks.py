"""Many masks of one set of weights: each is a MADE of its own order, the ensemble their mean."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.autoregressive import Masks, made
from dgm_jax.autoregressive.masks import Places, random_places, replaced
from dgm_jax.likelihoods import bernoulli, categorical, gaussian
from dgm_jax.nets import one_hot
from dgm_jax.objectives import nll
from tests.autoregressive.models import drawn
from tests.contracts.compiled import jit

DIM, LEVELS = 4, 3
STATES = jnp.array(list(product(range(LEVELS), repeat=DIM)))
OPTIONS = {"num_outputs": LEVELS, "encoding": one_hot(LEVELS)}


WIRINGS = {
    "narrow, conditional": {"hidden": (2, 3), "cond_shape": (2,)},
    "residual": {"hidden": (6, 6, 6), "residual": True},
}


@pytest.mark.parametrize("name", WIRINGS)
def test_coordinates_in_other_places_are_a_made_of_that_order(name):
    """With units left where they are: the same parameters in `made(order=...)`."""
    wiring, order = WIRINGS[name], np.array([2, 0, 3, 1])
    net, of_order = (nets.made(DIM, **OPTIONS, **wiring, order=o) for o in (None, order))
    params = drawn(net, 0.7)
    cond = jnp.array([0.5, -1.0]) if "cond_shape" in wiring else None
    still = [np.arange(h) for h in wiring["hidden"]]

    @jit
    def both(params, order):
        moved = replaced(net, Places(order, still))
        f = moved.apply(params, STATES, cond), of_order.apply(params, STATES, cond)

        def emit(i, f):
            return (i + jnp.argmax(f, -1)) % LEVELS

        return f, [m.unroll(params, emit, (2,), cond)[:2] for m in (moved, of_order)]

    (got, wanted), (x, x_wanted) = both(params, jnp.asarray(order))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(x[0], x_wanted[0])
    np.testing.assert_allclose(x[1], x_wanted[1], rtol=1e-5, atol=1e-5)


def test_a_mask_gives_each_unit_its_degree_and_leaves_every_weight_where_it_is():
    """Against the masks written out: unit units[j] has degree j of the net, weights stay."""
    hidden, order = (8, 6), np.array([2, 0, 3, 1])
    places = Places(order, [np.random.default_rng(n).permutation(h) for n, h in enumerate(hidden)])
    net = nets.made(DIM, hidden=hidden, num_outputs=1, activation=jnp.tanh)
    params = drawn(net, 0.7)
    seen = np.argsort(order) + 1  # a coordinate is the first, second, ... to be made
    values = np.linspace(-1, 1, DIM)
    for h, own, w, b in zip(hidden, places.units, params["weights"], params["biases"], strict=True):
        degrees = np.zeros(h, int)
        degrees[own] = np.arange(h) * (DIM - 1) // h + 1
        values = np.tanh((w * (seen[None] <= degrees[:, None])) @ values + b)
        seen = degrees
    mask = seen[None] < (np.argsort(order) + 1)[:, None]
    wanted = (params["readout"][:, 0] * mask) @ values + params["offset"][:, 0]
    f = jit(lambda p, places: replaced(net, places).apply(p, jnp.linspace(-1.0, 1.0, DIM)))(
        params, jax.tree.map(jnp.asarray, places)
    )
    np.testing.assert_allclose(f[:, 0], wanted, rtol=1e-4, atol=1e-5)


def test_units_in_other_places_see_other_inputs_but_no_later_ones():
    """Jacobian of each random mask: no edge against its order, all legal ones alive, all differ."""
    hidden = (12, 12)
    net = nets.made(DIM, hidden=hidden, num_outputs=1)
    params = drawn(net, 0.7)
    places = random_places(DIM, hidden, Masks(20))

    @jit
    def jacobians(params, places):
        def one(own):
            jacobian = jax.jacfwd(lambda x: replaced(net, own).apply(params, x)[:, 0])
            return jacobian(jnp.linspace(-1.0, 1.0, DIM))

        return jax.vmap(one)(places)

    places = jax.tree.map(jnp.asarray, places)
    found = np.abs(jacobians(params, places)) > 1e-7
    rank = np.argsort(places.order, axis=1)
    np.testing.assert_array_equal(found, rank[:, None, :] < rank[:, :, None])
    assert len(np.unique(places.order, axis=0)) > 8
    assert all(len(np.unique(units, axis=0)) > 15 for units in places.units)


def test_what_the_masks_are_agnostic_to_is_all_that_differs():
    order = random_places(5, (6, 7), Masks(4, ("order",)))
    units = random_places(5, (6, 7), Masks(4, ("connectivity",)))
    assert (np.diff(order.order, axis=0) != 0).any() and (np.diff(units.order, axis=0) == 0).all()
    assert all((np.diff(u, axis=0) == 0).all() for u in order.units)
    assert all((np.diff(u, axis=0) != 0).any() for u in units.units)
    both = random_places(5, (6, 7), Masks(4))
    np.testing.assert_array_equal(both.order, order.order)  # either switch leaves the other alone
    np.testing.assert_array_equal(both.units[1], units.units[1])
    blocks = random_places(5, (6,) * 5, Masks(4), residual=True).units
    assert blocks[0] is blocks[2] is blocks[4] and (blocks[1] != blocks[3]).any()
    other = random_places(5, (6, 7), Masks(4, seed=1))
    assert (other.order != both.order).any()


def test_a_share_of_the_units_roams_others_in_each_mask():
    """The rest keep their degrees; who roams may go anywhere, and all get to."""
    for units in random_places(64, (200, 40), Masks(30, roaming=0.25)).units:
        size = units.shape[1]
        np.testing.assert_array_equal(np.sort(units, 1), np.tile(np.arange(size), (30, 1)))
        moved = np.abs(units - np.arange(size))
        assert ((moved > 0).sum(1) <= size / 4).all() and (moved > 0).mean() > 0.2
        assert moved.max() > size / 2 and (moved > 0).any(0).mean() > 0.95


def test_units_that_mostly_stay_start_with_the_weights_of_one_mask():
    """The first third sees one input and the last three, as of one mask; free ones see half."""
    as_of_one, free = np.sqrt(3), 1
    ratios = {
        ("order", 1.0): as_of_one,
        ("connectivity", 0.25): as_of_one,
        ("connectivity", 1.0): free,
    }
    for (what, roaming), ratio in ratios.items():
        model = made(DIM, bernoulli(), hidden=(3000,), masks=Masks(3, (what,), roaming))
        params = jit(model.init)(jax.random.key(0))
        scales = np.std(params["weights"][0], 1)
        assert scales[:1000].mean() / scales[-1000:].mean() == pytest.approx(ratio, rel=0.05)


def test_wrong_masks_are_refused_by_name():
    def refused(match, *masks, hidden=(8,), **named):
        with pytest.raises(ValueError, match=match):
            made(DIM, bernoulli(), hidden=hidden, masks=Masks(*masks, **named))

    for bad in (0, -0.1, 1.5, float("nan"), "all", True):
        refused("masks.roaming must be a (finite number|share of the)", 3, roaming=bad)
    refused(r"roaming=0.5 needs num > 1 and agnostic_to with connectivity", roaming=0.5)
    refused(r"roaming=0.5 needs num > 1 and agnostic_to with", 3, ("order",), 0.5)
    refused(r"at least 0.25 for two of 8 units .*; got 0.1", 3, roaming=0.1, hidden=(8, 4))
    refused("masks.num must be an integer of at least 1; got 0", 0)
    refused("masks.agnostic_to must be one of order, connectivity", 2, ["orders"])
    for bad in ("order", ()):
        refused("masks.agnostic_to must be some of", 1, bad)
    refused("masks.seed must be an integer of at least 0; got -1", 2, seed=-1)
    with pytest.raises(ValueError, match="masks must be a Masks; got int"):
        made(DIM, bernoulli(), hidden=(8,), masks=3)


def test_the_ensemble_is_the_mean_of_the_members_and_a_key_draws_one():
    """p = (1/M) Σ p_m; training's nll with its key is that of one member, each in its turn."""
    model = made(DIM, categorical(LEVELS), hidden=(8,), masks=Masks(3))
    params = drawn(model, 0.7)
    single = made(DIM, categorical(LEVELS), hidden=(8,))
    net = nets.made(DIM, hidden=(8,), **OPTIONS)
    places = random_places(DIM, (8,), Masks(3))
    assert jax.tree.structure(params) == jax.tree.structure(drawn(single, 0.7))

    @jit
    def run(params, keys):
        members = []
        for m in range(3):
            own = jax.tree.map(lambda a: jnp.asarray(a[m]), places)  # noqa: B023
            f = replaced(net, own).apply(params, STATES)
            log_p = jnp.take_along_axis(jax.nn.log_softmax(f), STATES[..., None], -1)
            members.append(log_p[..., 0].sum(-1))
        again = jax.random.clone(keys)
        by_key = jax.vmap(lambda key: model.dist(params, key=key).log_prob(STATES))(keys)
        losses = jax.vmap(lambda key: nll(model, params, key, STATES)[0])(again)
        return jnp.stack(members), by_key, model.dist(params).log_prob(STATES), losses

    keys = jax.random.split(jax.random.key(0), 30)
    members, by_key, ensemble, losses = run(params, keys)
    np.testing.assert_allclose(np.exp(members).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.exp(ensemble), np.exp(members).mean(0), rtol=1e-5)
    distances = np.abs(np.asarray(by_key)[:, None] - np.asarray(members)[None]).max(-1)
    assert (distances.min(1) < 1e-4).all() and set(distances.argmin(1)) == {0, 1, 2}
    np.testing.assert_allclose(losses, -by_key.mean(1), rtol=1e-5)
    assert ensemble.mean() > members.mean()  # Jensen: no worse than the members on average


def test_numbers_have_masks_too():
    """A Gaussian ensemble: its samples have the density it tells."""
    model = made(3, gaussian(), hidden=(8,), masks=Masks(2), cond_shape=(1,))
    params, cond = drawn(model, 0.7), jnp.array([[0.3], [1.0]])

    @jit
    def run(params, key):
        x, log_prob = model.dist(params, cond).sample_and_log_prob(seed=key, sample_shape=5)
        return x, log_prob, model.dist(params, cond).log_prob(x)

    x, log_prob, again = run(params, jax.random.key(0))
    assert x.shape == (5, 2, 3) and log_prob.shape == (5, 2)
    np.testing.assert_allclose(log_prob, again, rtol=1e-5)


def test_first_weights_have_one_scale_for_all_units():
    """A unit meets every degree: its inputs number a half of all on average."""
    model = made(50, bernoulli(), hidden=(400, 300), masks=Masks(2))
    first, second = jit(model.init)(jax.random.key(0))["weights"]
    for weight, fan in ((first, 25), (second, 200)):
        by_unit = (weight**2).mean(1) * fan
        assert 0.3 < by_unit.min() and by_unit.max() < 2.2
        np.testing.assert_allclose((weight**2).mean() * fan, 1, atol=0.05)


def test_an_ensemble_is_sharpened_member_by_member_and_has_no_one_order():
    model = made(3, categorical(3), hidden=(6,), masks=Masks(2))
    params = drawn(model, 0.7)
    ensemble = model.dist(params)
    states = jnp.array(list(product(range(3), repeat=3)))

    @jit
    def run(params):
        dist = model.dist(params)
        members = [dist._member(m).sharpened(temperature=0.5).log_prob(states) for m in (0, 1)]
        return dist.sharpened(temperature=0.5).log_prob(states), jnp.stack(members)

    sharp, members = run(params)
    np.testing.assert_allclose(np.exp(sharp), np.exp(members).mean(0), rtol=1e-5)
    for call in (
        lambda: ensemble.conditionals(states),
        lambda: ensemble.complete(states, np.array([True, False, False]), seed=jax.random.key(0)),
    ):
        with pytest.raises(ValueError, match="ensemble of 2 masks has no one order. Take a member"):
            call()


def test_keys_of_an_ensemble_are_typed():
    model = made(3, bernoulli(), hidden=(4,), masks=Masks(2))
    params = drawn(model)
    with pytest.raises(TypeError, match="seed must be a typed key"):
        jax.eval_shape(lambda: model.dist(params).sample(seed=0))
    with pytest.raises(TypeError, match="key must be a typed key"):
        model.dist(params, key=0)
