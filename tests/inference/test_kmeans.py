import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans

from dgm_jax import checks
from dgm_jax.inference.kmeans import kmeans, kmeans_plus_plus
from tests.contracts.compiled import jit
from tests.helpers import points


def test_the_second_centre_is_drawn_as_the_square_of_its_distance():
    """From 0, 1 and 3: by the first centre, exact probabilities of the pair."""
    x = jnp.array([[0.0], [1.0], [3.0]])
    draw = jit(jax.vmap(lambda key: kmeans_plus_plus(key, x, 2)[:, 0]))
    pairs = np.asarray(draw(jax.random.split(jax.random.key(0), 6000)))
    for first, shares in {0: {1: 1 / 10, 3: 9 / 10}, 1: {0: 1 / 5, 3: 4 / 5}}.items():
        chosen = pairs[pairs[:, 0] == first][:, 1]
        assert abs(len(chosen) / 6000 - 1 / 3) < 0.03
        for second, share in shares.items():
            assert abs((chosen == second).mean() - share) < 0.03
        assert (chosen != first).all()


def test_steps_are_those_of_scikit_learn_from_the_same_centres():
    x = points(200, 3)
    start, end = jit(
        lambda key: (
            kmeans_plus_plus(key, x, 4),
            kmeans(jax.random.clone(key), x, 4, num_steps=60),
        )
    )(jax.random.key(1))
    theirs = KMeans(4, init=np.asarray(start), n_init=1, tol=0, max_iter=60).fit(x)
    np.testing.assert_allclose(end, theirs.cluster_centers_, atol=1e-4)


def test_rows_that_are_all_alike_have_centres_that_are_alike():
    centres = jit(lambda key: kmeans(key, jnp.ones((5, 2)), 3))(jax.random.key(0))
    np.testing.assert_array_equal(centres, 1)


def test_bad_input_is_refused_in_one_line():
    for x, num, message in (
        (points(3, 2), 4, "x has 3 rows, fewer than num_components=4"),
        (points(3), 1, r"x must be rows \[n, d\]"),
        (points(3, 2).at[1].set(np.nan), 1, "1 of 3 rows have NaN"),
        (np.zeros((3, 2), int), 1, "x must be floating"),
    ):
        with pytest.raises(checks.InputError, match=message):
            kmeans(jax.random.key(0), x, num)
