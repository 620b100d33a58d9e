"""How images are made square, and a short run of both experiments."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, gans, runs
from experiments.gans import growing, progressive, style


def test_images_are_made_square_and_a_power_of_two_by_their_borders_and_halved():
    x = np.arange(2 * 28 * 20, dtype=float).reshape(2, 28, 20, 1)
    whole = growing.squared(x, None)
    assert whole.shape == (2, 32, 32, 1)
    np.testing.assert_array_equal(whole[:, 2:30, 6:26], x)
    np.testing.assert_array_equal(whole[:, 0, 6:26], x[:, 0])
    small = growing.squared(x, 8)
    np.testing.assert_allclose(small, whole.reshape(2, 8, 4, 8, 4, 1).mean((2, 4)), rtol=1e-6)
    with pytest.raises(checks.InputError, match="size must be a power of two from 4 to 32"):
        growing.squared(x, 12)


def test_a_stage_grows_in_its_first_half_and_the_layers_above_it_do_not_move():
    """Four steps in two stages, 4x4, then 8x8."""
    config = progressive.Config(
        num_steps=4, num_latents=2, channel_base=16, channel_max=2, batch_size=4
    )
    grown = progressive.players(config, (8, 8, 1))
    stages = growing.games(config, grown, growing.stages(config, 8))
    assert list(stages) == [0, 2]
    state = jax.jit(stages[0].init)(jax.random.key(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 1)), jnp.float32)
    first, second = (jax.jit(game.step) for game in stages.values())
    moved = []
    for t, step in enumerate((first, first, second)):
        before = state.players["generator"].params["blocks"]
        state, metrics = step(state, jax.random.key(t), x)
        after = state.players["generator"].params["blocks"]
        moved.append({s: _changed(before[s], after[s]) for s in ("4x4", "8x8")})
        assert metrics["critic/skipped"] == 0 and metrics["generator/skipped"] == 0
    assert [m["4x4"] for m in moved] == [True, True, True]
    assert [m["8x8"] for m in moved] == [False, False, False]  # at α = 0 it has no say yet
    state, _ = second(state, jax.random.key(3), x)
    assert _changed(after["8x8"], state.players["generator"].params["blocks"]["8x8"])


def _changed(before, after):
    return any((a != b).any() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after)))


def test_the_model_of_a_run_is_that_of_its_recipe():
    config = style.Config(num_latents=2, mapping_layers=1, channel_base=8, num_steps=1)
    model = style.build(config, (4, 4, 1))
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    assert set(params) == {"generator", "critic"} == set(state)
    assert isinstance(style.styled(config, (4, 4, 1)), gans.StyleGAN)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "names"), [(progressive, ["grown", "full"]), (style, ["style"])]
)
def test_main_leaves_numbers_and_pictures(module, names, tmp_path):
    args = ["--quick", "--no-progress", "--workdir", str(tmp_path)]
    runs.experiment(module.Config, module.main, quick=module.QUICK, show=module.show, args=args)
    found = json.loads((tmp_path / "results.json").read_text())["models"]
    assert sorted(found) == sorted(names)
    for row in found.values():
        assert np.isfinite(row["test_sliced"]) and row["floor_sliced"] > 0
    assert (tmp_path / "samples.png").exists()
