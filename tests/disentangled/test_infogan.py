"""InfoGAN: what Q can tell of the codes, and who learns from it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import checks, disentangled, learning, objectives
from dgm_jax.disentangled import Codes, Recognised
from dgm_jax.nets import mlp
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.disentangled.cases import small_infogan
from tests.helpers import perturb, points

TEN = Codes(num_noise=2, categories=(10,), num_continuous=2)
READER = Net(lambda key: {}, lambda params, x, key=None: x)


def draws(codes, num, seed=0):
    return (
        disentangled.code_prior(codes).dist({}).sample(seed=jax.random.key(seed), sample_shape=num)
    )


def test_a_code_is_drawn_by_its_prior():
    z = np.asarray(draws(TEN, 4000))
    one_hot, numbers = z[:, 2:12], z[:, 12:]
    np.testing.assert_array_equal(np.sort(one_hot, 1)[:, -2:], [[0, 1]] * 4000)
    np.testing.assert_allclose(one_hot.mean(0), 0.1, atol=0.02)
    np.testing.assert_allclose([z[:, :2].mean(), z[:, :2].std()], [0, 1], atol=0.03)
    assert numbers.min() < -0.99 and numbers.max() > 0.99 and np.abs(numbers).max() <= 1
    np.testing.assert_allclose(numbers.std(0), 1 / np.sqrt(3), atol=0.02)
    log_prob = disentangled.code_prior(TEN).dist({}).log_prob
    normal = -0.5 * (z[:, :2] ** 2).sum(1) - np.log(2 * np.pi)
    np.testing.assert_allclose(log_prob(z), normal - np.log(10) - 2 * np.log(2), rtol=1e-5)
    assert np.all(log_prob(z * np.r_[[1.0] * 2, [2] * 10, [1] * 2]) == -np.inf)


def test_a_perfect_q_tells_all_of_a_category_and_log_2_less_its_entropy_of_a_number():
    """T98: log 10 exactly; and a Q that knows nothing tells nothing."""
    z = draws(TEN, 50)
    scale = jnp.full((50, 2), 0.1)
    perfect = Recognised((jnp.log(z[:, 2:12]),), z[:, 12:], scale)
    perfect = perfect._replace(log_probs=(jnp.where(z[:, 2:12] > 0, 0.0, -1e30),))
    categorical, continuous = disentangled.information(TEN, perfect, z)
    assert categorical == pytest.approx(np.log(10), rel=1e-6)
    of_one = np.log(2) - np.log(0.1) - 0.5 * np.log(2 * np.pi)
    assert continuous == pytest.approx(2 * of_one, rel=1e-5)
    ignorant = Recognised((jnp.full((50, 10), -np.log(10.0)),), jnp.zeros((50, 2)), scale)
    assert disentangled.information(TEN, ignorant, z)[0] == pytest.approx(0, abs=1e-6)


def test_the_bound_is_the_mutual_information_for_the_posterior_and_less_for_any_other_q():
    """x is one of 3 with P(x | c) known: I(c; x) by enumeration."""
    codes = Codes(num_noise=0, categories=(4,))
    of_x = np.random.default_rng(0).dirichlet(np.ones(3), 4)  # [c, x]
    joint = of_x / 4
    posterior = joint / joint.sum(0)
    exact = (joint * np.log(of_x / joint.sum(0))).sum()
    c, x = np.divmod(np.arange(12), 3)
    z = jnp.eye(4)[c]

    def bound(log_q):
        """A mean over pairs (c, x) by P(c, x)."""
        nothing = jnp.zeros((1, 0))

        def of_pair(log_q, z):
            q = Recognised((log_q[None],), nothing, nothing)
            return disentangled.information(codes, q, z[None])[0]

        return float((joint[c, x] * jax.vmap(of_pair)(log_q.T[x], z)).sum())

    assert bound(jnp.log(posterior)) == pytest.approx(exact, abs=1e-6)
    for seed in range(3):
        other = jax.nn.log_softmax(points(4, 3, seed=seed), 0)
        assert bound(other) < exact - 1e-3
    assert exact < np.log(4)


def test_outputs_are_read_part_by_part_and_means_are_not_squashed():
    """T98: the numbers are not within the softmax of the category."""
    codes = Codes(0, (3, 2), 2)
    outputs = jnp.float32([[1, 2, 3, 0, 1, -1, 1, 0.5, -9]])
    q = disentangled.recognised(codes, outputs)
    np.testing.assert_allclose(q.log_probs[0], jax.nn.log_softmax(outputs[:, :3]))
    np.testing.assert_allclose(q.log_probs[1], jax.nn.log_softmax(outputs[:, 3:5]))
    np.testing.assert_allclose(q.mean, [[-1, 1]])
    np.testing.assert_allclose(q.scale, [[1.64, 0.05]], atol=0.01)


def test_trunk_learns_from_both_and_each_player_alone():
    """L_I reaches trunk and Q in the turn of the critic, and the generator in its own."""
    model, game = small_infogan(), objectives.non_saturating()
    x = points(4, 8, 8, 1)

    def of(loss, params, state, key, weight):
        at = lambda params: loss(
            model, game, params, key, x, state=state, weight=weight, continuous_weight=weight
        )
        return jax.value_and_grad(at, has_aux=True)(params)

    @jit
    def compute(init_key, spread_key, key):
        params, state = model.init(init_key)
        params, again = perturb(params, spread_key, 0.1), jax.random.clone
        losses = {
            "critic": disentangled.infogan_critic_loss,
            "generator": disentangled.infogan_generator_loss,
        }
        found = {
            (name, weight): of(loss, params, state, again(key), weight)
            for name, loss in losses.items()
            for weight in (0.0, 1.0)
        }
        plain, _ = objectives.critic_loss(
            model.adversarial, game, params, again(key), x, state=state
        )
        return {str(name): value for name, value in found.items()}, plain, state

    found, plain, state = compute(*jax.random.split(jax.random.key(0), 3))
    flat = lambda tree: np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])
    for name, mine, other in (
        ("critic", "critic", "generator"),
        ("generator", "generator", "critic"),
    ):
        (without, (told, _)), slopes = found[str((name, 0.0))]
        (loss, (_, moved)), with_it = found[str((name, 1.0))]
        gained = float(told["categorical"] + told["continuous"])
        assert loss == pytest.approx(float(without) - gained, rel=1e-4)
        assert np.all(flat(with_it[other]) == 0)
        gain = jax.tree.map(np.subtract, with_it[mine], slopes[mine])
        reached = ("trunk", "codes") if mine == "critic" else gain
        for part in reached:
            assert np.abs(flat(gain[part])).max() > 1e-5, part
        np.testing.assert_array_equal(flat(moved[other]), flat(state[other]))
    assert np.abs(flat(found[str(("critic", 1.0))][1]["critic"]["value"])).max() > 0
    assert found[str(("critic", 0.0))][0][0] == pytest.approx(float(plain), rel=1e-5)


def test_codes_come_to_say_which_point_it_is():
    """Of data at 3 points: after training the category tells nearly all of log 3."""
    hidden = {"hidden": (16,)}
    model = disentangled.infogan(
        mlp(2 + 3, 2, **hidden),
        mlp(2, 8, hidden=(32,)),
        num_features=8,
        num_noise=2,
        categories=(3,),
        num_continuous=0,
        hidden=(),
    )
    centres = 2 * jnp.float32([[1, 0], [-0.5, 0.87], [-0.5, -0.87]])
    game = objectives.non_saturating()
    losses = {
        "critic": disentangled.infogan_critic_loss,
        "generator": disentangled.infogan_generator_loss,
    }

    def turn(loss, params, key, x, *, state):
        return loss(model, game, params, key, x, state=state)

    algorithm = learning.alternate(
        {
            name: learning.Player(functools.partial(turn, loss), optax.adam(5e-3, b1=0.5))
            for name, loss in losses.items()
        },
        lambda key: model.init(key)[0],
        init_state=lambda key, params: model.init(key)[1],
    )

    def step(state, key):
        which, noise, step_key = jax.random.split(key, 3)
        x = centres[jax.random.randint(which, (64,), 0, 3)] + 0.1 * jax.random.normal(
            noise, (64, 2)
        )
        return algorithm.step(state, step_key, x)

    @jax.jit
    def train(init_key, key):
        state, told = jax.lax.scan(step, algorithm.init(init_key), jax.random.split(key, 600))
        return algorithm.params(state), told

    (params, state), told = train(*jax.random.split(jax.random.key(0)))
    assert np.mean(told["generator/categorical"][-50:]) > 0.9 * np.log(3)
    q = disentangled.infer_codes(model, params, state, centres)
    assert len(set(np.asarray(q.log_probs[0]).argmax(-1))) == 3


def test_what_does_not_fit_is_refused():
    with pytest.raises(checks.InputError, match="codes must have a category or a number"):
        disentangled.code_prior(Codes(3, (), 0))
    with pytest.raises(
        checks.InputError, match="each of categories must be an integer of at least 2"
    ):
        disentangled.code_prior(Codes(3, (1,), 0))
    with pytest.raises(checks.InputError, match=r"categories must name .* such as \(10,\); got 10"):
        disentangled.code_prior(Codes(3, 10, 0))
    model = disentangled.infogan(
        mlp(5, 2, hidden=()), READER, num_features=3, num_noise=2, categories=(3,), num_continuous=0
    )
    params, state = model.init(jax.random.key(0))
    with pytest.raises(checks.InputError, match="the features of trunk must have shape"):
        disentangled.infer_codes(model, params, state, points(4, 2))
