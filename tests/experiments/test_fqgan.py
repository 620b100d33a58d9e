"""FQ-GAN beside its twin."""

import jax
import jax.numpy as jnp
import pytest

from dgm_jax import checks, runs
from experiments.quantized import fqgan

TINY = {"hidden": 2, "num_latents": 3, "num_codes": 4, "batch_size": 2, "critic_updates": 1}


@pytest.mark.parametrize("name", fqgan.MODELS)
def test_a_game_keeps_the_shapes_of_its_state_and_tells_of_the_codebook(name):
    """Traced only."""
    config = fqgan.Config(**TINY)
    algorithm = fqgan.game(config, fqgan.build(config, name, (8, 8, 1)))

    def play(key, batch):
        init_key, key = jax.random.split(key)
        state = algorithm.init(init_key)
        return state, *algorithm.step(state, key, batch)

    state, after, told = jax.eval_shape(play, jax.random.key(0), jnp.zeros((4, 8, 8, 1)))
    shapes = lambda tree: jax.tree.map(lambda a: (a.shape, a.dtype), tree)
    assert shapes(state) == shapes(after)
    assert "critic/quantisation" in told


def test_another_name_is_refused():
    with pytest.raises(checks.InputError, match="models must be one of plain, quantised"):
        fqgan.build(fqgan.Config(**TINY), "sngan", (8, 8, 1))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_run_writes_results_and_pictures(tmp_path):
    config = fqgan.Config(workdir=tmp_path, progress=False, **fqgan.QUICK)
    found = runs.keep(config, fqgan.main, show=fqgan.show)
    assert set(found["models"]) == {"plain, seed 0", "quantised, seed 0"}
    assert 1 <= found["models"]["quantised, seed 0"]["perplexity"] <= 8
    assert (tmp_path / "samples.png").stat().st_size > 1000
