"""Toys: their samples follow their densities, whose integral and entropy are as stated."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.data.toy import TOYS, gaussians
from tests.contracts.compiled import jit

EVERY_TOY = pytest.mark.parametrize("name", TOYS)
NUM = 20_000


def cells(num=320, reach=8.0):
    """Midpoints [num, num, 2] and area of a grid of square cells on [-reach, reach]²."""
    edge = (np.arange(num) + 0.5) * 2 * reach / num - reach
    return np.stack(np.meshgrid(edge, edge), -1).astype(np.float32), (2 * reach / num) ** 2


def density(toy, x):
    """In eight parts, since a density may have hundreds of terms a point."""
    return jax.lax.map(toy.log_prob, x.reshape(8, -1, *x.shape[1:])).reshape(x.shape[:-1])


class Run(NamedTuple):
    x: np.ndarray  # samples [NUM, 2]
    other: np.ndarray  # of another key
    log_prob: np.ndarray  # of x
    on_grid: np.ndarray  # log p of the cells
    slopes: np.ndarray  # ∇ log p at the origin, far away and between


@cache
def run(name):
    """All that a toy says, compiled once."""
    toy, points = TOYS[name](), jnp.array([[0.0, 0.0], [30.0, -30.0], [2.5, 0.3]])

    @jit
    def everything(key, grid):
        key, other = jax.random.split(key)
        x = toy.sample(key, NUM)
        slopes = jax.vmap(jax.grad(toy.log_prob))(points)
        return Run(x, toy.sample(other, NUM), toy.log_prob(x), density(toy, grid), slopes)

    return Run(*(np.asarray(a, np.float64) for a in everything(jax.random.key(1), cells()[0])))


@EVERY_TOY
def test_density_integrates_to_one_and_its_entropy_is_the_stated_one(name):
    log_p, area = run(name).on_grid, cells()[1]
    p = np.exp(log_p)
    plogp = p * np.where(p > 0, log_p, 0)
    np.testing.assert_allclose(p.sum() * area, 1, atol=1e-5)
    np.testing.assert_allclose(-plogp.sum() * area, TOYS[name]().entropy, atol=2e-5)


@pytest.mark.parametrize("options", [{"num": 1}, {"num": 3, "scale": 2.0}, {"radius": 0.5}])
def test_entropy_of_gaussians_follows_their_options(options):
    toy = gaussians(**options)
    x, area = cells(320, reach=20.0)
    log_p = np.asarray(jit(lambda x: density(toy, x))(x), np.float64)
    np.testing.assert_allclose(-(np.exp(log_p) * log_p).sum() * area, toy.entropy, atol=2e-5)


def test_gaussians_are_the_mixture_of_their_docstring():
    x = np.random.default_rng(0).normal(0, 2, (50, 2)).astype(np.float32)
    angle = 2 * np.pi * np.arange(3) / 3
    means = 2.0 * np.stack([np.cos(angle), np.sin(angle)], -1)
    distance = ((x[:, None] - means) ** 2).sum(-1)
    want = np.log(np.exp(-distance / (2 * 0.7**2)).mean(1) / (2 * np.pi * 0.7**2))
    log_prob = jit(gaussians(num=3, radius=2.0, scale=0.7).log_prob)
    np.testing.assert_allclose(log_prob(x), want, rtol=1e-4)


def test_entropy_of_well_separated_gaussians_is_log_k_plus_that_of_one():
    toy = gaussians(num=8, radius=3.0, scale=1e-3)
    np.testing.assert_allclose(toy.entropy, np.log(8) + np.log(2 * np.pi * np.e * 1e-6), atol=1e-6)


@EVERY_TOY
def test_samples_spend_the_entropy_in_nats_and_follow_their_key(name):
    log_p = run(name).log_prob
    assert np.isfinite(log_p).all()
    assert abs(-log_p.mean() - TOYS[name]().entropy) < 4 * log_p.std() / np.sqrt(NUM) + 1e-5
    assert not np.allclose(run(name).x, run(name).other)


@EVERY_TOY
def test_counts_of_samples_in_cells_agree_with_the_density(name):
    """Pearson's χ² over cells of side 1/2: mean k, variance 2k for k cells."""
    fine = np.exp(run(name).on_grid) * cells()[1]  # of side 1/20, ten of them to a side of 1/2
    expected = NUM * fine.reshape(32, 10, 32, 10).sum((1, 3))
    sample, edges = run(name).other, np.linspace(-8, 8, 33)
    count = np.histogram2d(sample[:, 1], sample[:, 0], (edges, edges))[0]
    kept = expected > 5
    chi2 = ((count - expected)[kept] ** 2 / expected[kept]).sum()
    assert abs(chi2 - kept.sum()) < 4 * np.sqrt(2 * kept.sum())
    assert abs(count[~kept].sum() - expected[~kept].sum()) < 4 * np.sqrt(expected[~kept].sum()) + 1


@EVERY_TOY
def test_gradient_is_finite_at_the_origin_and_far_away(name):
    assert np.isfinite(run(name).slopes).all()


def test_checkerboard_is_minus_infinity_off_its_cells():
    log_prob = jit(TOYS["checkerboard"]().log_prob)
    x = jnp.array([[0.5, 0.5], [1.5, 0.5], [4.5, 0.5], [4.5, 4.5], [-5.5, 0.5]])
    np.testing.assert_allclose(log_prob(x), [-np.log(32), -np.inf, -np.inf, -np.inf, -np.inf])


def test_rounding_never_carries_a_checkerboard_sample_out_of_its_cell(monkeypatch):
    largest = np.nextafter(np.float32(1), np.float32(0))
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, largest))
    toy = TOYS["checkerboard"]()
    assert jnp.isfinite(toy.log_prob(toy.sample(jax.random.key(0), 100))).all()


def test_bad_input_is_named_before_anything_is_compiled():
    toy = gaussians()
    with pytest.raises(TypeError, match="typed key"):
        toy.sample(0, 5)
    with pytest.raises(ValueError, match="num must be"):
        toy.sample(jax.random.key(0), 0)
    with pytest.raises(ValueError, match=r"shape \[..., 2\]"):
        toy.log_prob(jnp.zeros((5, 3)))
    with pytest.raises(ValueError, match="scale"):
        gaussians(scale=0.0)
