"""The lecture's unnormalised densities, at points where the table can be worked out by hand."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.data import ENERGIES
from tests.contracts.compiled import jit

# (x_1, x_2): -U from the table, by hand
BY_HAND = {
    "u1": {(2.0, 0.0): np.log(1 + np.exp(-0.5 * (4 / 0.6) ** 2)), (0.0, 2.0): np.log(2) - 50 / 9},
    "u2": {(1.0, 1.0): 0.0, (0.0, 0.4): -0.5, (-1.0, -0.6): -0.5, (2.0, 0.8): -2.0},
    "u3": {(1.0, -2.0): np.log(1 + np.exp(-0.5 * (3 / 0.35) ** 2)), (-3.0, 1.35): np.log(2) - 0.5},
    "u4": {(1.0, 1.0): np.log(1 + np.exp(-0.5 * (1.5 / 0.35) ** 2)), (-3.0, 1.0): np.log(2)},
}


everywhere = pytest.mark.parametrize("name", ENERGIES)
FAR = np.float32([[0.0, 0.0], [100.0, -100.0], [-1e3, 1e3], [4.0, 0.0]])
GRIDS = [np.linspace(-limit, limit, 601, dtype=np.float32) for limit in (5, 10)]


@cache
def run(name):
    """Values at the points of the table; masses of two squares; values and gradients far away."""
    energy = ENERGIES[name]

    @jit
    def everything(points, far, grids):
        masses = [
            jnp.exp(energy(jnp.stack(jnp.meshgrid(axis, axis), -1))).sum()
            * (axis[1] - axis[0]) ** 2
            for axis in grids
        ]
        return energy(points), masses, jax.vmap(jax.value_and_grad(energy))(far)

    return everything(jnp.array([*BY_HAND[name]]), FAR, GRIDS)


@everywhere
def test_the_values_are_those_of_the_table(name):
    np.testing.assert_allclose(run(name)[0], [*BY_HAND[name].values()], atol=2e-3)


@everywhere
def test_the_mass_is_finite_and_lies_in_the_window(name):
    """Twice the area holds no more: so a flow that finds all of it has found a density."""
    masses = run(name)[1]
    assert masses[0] > 1
    np.testing.assert_allclose(masses[1], masses[0], rtol=5e-3)


@everywhere
def test_values_and_gradients_are_finite_everywhere(name):
    value, grad = run(name)[2]
    assert jnp.isfinite(value).all() and jnp.isfinite(grad).all()


def test_integers_are_refused():
    with pytest.raises(ValueError, match="floating"):
        ENERGIES["u2"](np.ones((3, 2), int))
