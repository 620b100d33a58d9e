"""Waves tell numbers apart, near and far."""

import jax.numpy as jnp

from dgm_jax.nets.waves import waves


def test_waves_tell_levels_apart_and_are_bounded():
    told = waves(jnp.linspace(-20.0, 20.0, 401), 16)
    assert told.shape == (401, 16) and jnp.abs(told).max() <= 1
    gaps = jnp.linalg.norm(jnp.diff(told, axis=0), axis=-1)
    assert gaps.min() > 0.05
