"""Latent variables of bits: where models start, and a run as small as can be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import learning, objectives, runs
from experiments.vae import bits
from tests.contracts.compiled import jit
from tests.helpers import drawn

SIZES = {"hidden": (3,), "num_latents": 2, "num_pseudo_inputs": 4}
MEAN = np.linspace(0.1, 0.9, 5)


def started(name, tmp_path):
    """A model that goes on from a plain vae, its parameters, and those of the plain vae."""
    plain = bits.build("vae", MEAN, **SIZES)
    params = drawn(plain)
    learning.save(tmp_path / "plain", params)
    config = bits.Config(start=tmp_path / "plain", **SIZES)
    model = bits.build(name, MEAN, **SIZES)
    rows = {"train": np.random.default_rng(0).integers(0, 2, (6, 5)).astype(np.uint8)}
    return model, bits.started(config, name, model, rows), plain, params


X = np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0]], np.int32)


@pytest.mark.parametrize("name", ["flow-prior", "iaf-posterior"])
def test_a_model_with_a_flow_starts_as_the_plain_one(name, tmp_path):
    """Since flows start as the identity: the weights are those of the plain model."""
    model, params, plain, of_plain = started(name, tmp_path)

    @jit
    def log_weights(params, of_plain, key):
        pairs, again = ((model, params), (plain, of_plain)), jax.random.clone
        return [objectives.log_weights(*one, again(key), X, num_samples=3) for one in pairs]

    np.testing.assert_allclose(*log_weights(params, of_plain, jax.random.key(0)), rtol=2e-4)


def test_a_vamp_prior_starts_at_rows_of_the_training_split(tmp_path):
    model, params, plain, of_plain = started("vamp", tmp_path)
    assert set(np.unique(params["pseudo_inputs"])) == {0.0, 1.0}
    q = jit(lambda params: model.posterior(params, X).mean())(params)
    same = jit(lambda params: plain.posterior(params, X).mean())(of_plain)
    np.testing.assert_allclose(q, same, rtol=1e-6)


def test_two_layers_and_no_start_learn_from_their_own_beginning(tmp_path):
    assert started("two-layers", tmp_path)[1] is None
    assert bits.started(bits.Config(), "flow-prior", None, None) is None


def test_a_vamp_prior_without_a_start_has_rows_as_inputs_too():
    model, x = bits.build("vamp", MEAN, **SIZES), X.astype(np.uint8)
    params = bits.started(bits.Config(**SIZES), "vamp", model, {"train": x})
    assert {tuple(u) for u in np.asarray(params["pseudo_inputs"])} == {tuple(row) for row in x}


def test_weights_of_other_widths_are_refused():
    with pytest.raises(ValueError, match=r"start: .*\(4, 3\) do not fit \(3, 3\)"):
        bits.carried({"a": jnp.zeros((3, 3))}, {"a": jnp.zeros((4, 3))})


def test_offsets_and_pseudo_inputs_do_not_decay():
    decayed = bits.decayed(drawn(bits.build("vamp", MEAN, **SIZES)))
    assert decayed["pseudo_inputs"] is False
    dense = decayed["model"]["likelihood"]["Dense_0"]
    assert dense == {"kernel": True, "bias": False}


def test_a_decoder_starts_as_a_coin_for_each_bit_of_any_code():
    """With weights of zero."""
    model = bits.build("vae", MEAN, **SIZES)
    params = drawn(model, spread=0.0)
    mean = jit(lambda params: model.likelihood(params, jnp.ones((2, 2))).mean())(params)
    np.testing.assert_allclose(mean, np.stack([MEAN, MEAN]), rtol=1e-4)


def test_a_ladder_starts_at_coins_and_sees_bits_less_their_mean():
    params = jit(bits.build("ladder", MEAN, **SIZES).init)(jax.random.key(0))
    first = params["stages"][0]["shrink"]["Dense_0"]
    np.testing.assert_allclose(first["bias"], -MEAN @ first["kernel"], atol=1e-6)
    at = params["decoder"]["Dense_0"]["bias"]
    np.testing.assert_allclose(jax.nn.sigmoid(at), MEAN, rtol=1e-4)


@pytest.mark.slow
def test_a_run_corrects_the_bound_of_some_rows(tmp_path, capsys):
    options = {"num_steps": 30, "eval_every": 10, "test_samples": 400, "test_rows": 50}
    config = bits.Config(
        workdir=tmp_path, models=("vae", "two-layers"), progress=False, **SIZES, **options
    )
    found = runs.keep(config, bits.main, show=bits.show)["models"]
    assert found["vae"]["test_rows"] == 50 and found["vae"]["num_samples"] == 400
    assert found["vae"]["elbo_nats"] < found["vae"]["test_nats"]
    assert found["two-layers"].keys() >= {"kl_z_1", "kl_z_2"}
    assert "corrected from 50 rows" in capsys.readouterr().out
    for picture in ("samples", "reconstructions", "curves"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 3000
