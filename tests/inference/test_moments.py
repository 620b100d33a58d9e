"""The pass over the rows: its forms agree with the definition; its memory is that of a chunk."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.inference.moments import FORMS, moments, sum_over_chunks
from tests.contracts.compiled import jit

RNG = np.random.default_rng(0)
N, K, D = 37, 3, 4
X, MEANS = RNG.normal(size=(N, D)), RNG.normal(size=(K, D))
WHITEN = np.tril(RNG.normal(size=(K, D, D)))
LOG_WEIGHTS = RNG.normal(size=K)


def by_definition(whiten, hard):
    whiten = np.stack([np.diag(w) for w in whiten]) if whiten.ndim == 2 else whiten
    apart = X[:, None] - MEANS  # [N, K, D]
    rho = LOG_WEIGHTS - 0.5 * (np.einsum("kij,nkj->nki", whiten, apart) ** 2).sum(-1)
    r = np.exp(rho) / np.exp(rho).sum(1, keepdims=True)
    total = np.log(np.exp(rho).sum(1)).mean()
    if hard:
        r, total = np.eye(K)[rho.argmax(1)], rho.max(1).mean()
    second = np.einsum("nk,nki,nkj->kij", r, apart, apart) / N
    return total, r.mean(0), np.einsum("nk,nki->ki", r, apart) / N, second


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", ["matrices", "diagonals"])
def test_moments_are_those_of_the_definition_however_rows_are_cut(form, shape):
    whiten = WHITEN if shape == "matrices" else np.diagonal(WHITEN, axis1=1, axis2=2)
    with jax.enable_x64(True):

        def run(x, *args):
            cuts = [(False, 10), (True, 64)]
            return [moments(x, *args, hard=h, chunk=c, form=form) for h, c in cuts]

        for hard, (found, total) in zip((False, True), jit(run)(X, LOG_WEIGHTS, MEANS, whiten)):
            wanted = by_definition(whiten, hard)
            second = wanted[3] if shape == "matrices" else np.diagonal(wanted[3], 0, 1, 2)
            np.testing.assert_allclose(total, wanted[0], rtol=1e-12)
            np.testing.assert_allclose(found.weight, wanted[1], rtol=1e-11)
            np.testing.assert_allclose(found.first, wanted[2], rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(found.second, second, rtol=1e-10, atol=1e-13)
            assert found.num_rows == N


@pytest.mark.parametrize("form", FORMS)
def test_memory_does_not_grow_with_the_rows(form):
    def temporary(num):
        args = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((num, 8), (4,), (4, 8), (4, 8, 8))]
        run = jit(lambda *args: moments(*args, chunk=100, form=form))
        return run.lower(*args).compile().memory_analysis().temp_size_in_bytes

    assert temporary(100_050) <= temporary(1_050) + 1000


def test_every_row_is_summed_once():
    x = jnp.arange(10.0)
    for chunk in (1, 3, 5, 10, 20):
        assert sum_over_chunks(lambda rows: rows.sum(), x, chunk) == 45
