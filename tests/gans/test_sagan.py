"""SAGAN: spectral on both sides, and attention that starts as nothing."""

import jax
import pytest

from dgm_jax import checks, gans


def test_both_nets_attend_and_are_normalised():
    model = gans.sagan((16, 16, 1), num_latents=3, hidden=2, num_classes=3)
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    for player in ("generator", "critic"):
        attention = params[player]["SelfAttention_0"]
        assert attention["gamma"].shape == () and "spectral" in state[player]
        assert "SpectralNorm_0" in state[player]["spectral"]["SelfAttention_0"]["query"]
    assert "batch_stats" not in state["critic"] and model.cond_shape == ()


def test_attention_at_an_image_that_is_not_there_is_refused():
    with pytest.raises(checks.InputError, match="attention must be the height .* one of 4, 8, 16"):
        gans.sagan((16, 16, 1), attention=6)
