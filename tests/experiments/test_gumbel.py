"""The categorical VAE by each gradient: how its temperature falls, and a run as small as can be."""

import jax
import numpy as np

from dgm_jax import learning, quantized, runs
from experiments.quantized import gumbel
from tests.helpers import drawn

MEAN = np.linspace(0.1, 0.9, 5)


def test_a_decoder_starts_as_a_coin_for_each_bit_of_any_code():
    """With weights of zero."""
    model = gumbel.build(MEAN, 2, 3, ())
    params = drawn(model, spread=0.0)
    mean = model.likelihood(params, quantized.all_codes(2, 3)[:2]).mean()
    np.testing.assert_allclose(mean, np.stack([MEAN, MEAN]), rtol=1e-4)


def test_a_temperature_is_at_its_least_after_half_of_the_steps_or_by_a_rate():
    of_steps = gumbel.temperature(gumbel.Config(num_steps=100, temperature_every=1))
    by_rate = gumbel.temperature(gumbel.Config(temperature_rate=1e-3, temperature_every=100))
    got = [float(of_steps(np.int32(t))) for t in (0, 25, 50, 99)]
    np.testing.assert_allclose(got, [1, 0.5**0.5, 0.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(float(by_rate(np.int32(250))), np.exp(-0.2), rtol=1e-5)
    slope = gumbel.temperature(gumbel.Config(num_steps=100, temperature_every=1), "annealed")
    got = [float(slope(np.int32(t))) for t in (0, 25, 50, 99)]
    np.testing.assert_allclose(got, [2, 2**0.5, 1, 1], rtol=1e-5)


def test_a_run_tells_each_estimator_by_hard_codes_and_its_parameters_load(tmp_path, capsys):
    config = gumbel.Config(workdir=tmp_path, progress=False, **gumbel.QUICK)
    found = gumbel.main(config)
    runs.write_json(tmp_path / "found.json", found)
    gumbel.show(found)
    told = capsys.readouterr().out
    assert set(found["models"]) == {"score-function-3x3", "gumbel-3x3"}
    for name, row in found["models"].items():
        assert name in told and row["num_samples"] == 10 and row["num_units"] == 9
        assert row["test_nats"] > row["elbo_nats"] - 0.5
    loaded = learning.load(tmp_path / "score-function-3x3")
    z = loaded.model.prior(loaded.params).sample(seed=jax.random.key(0))
    assert z.shape == (3, 3) and set(np.unique(z)) == {0.0, 1.0}
    for picture in ("samples", "reconstructions", "curves"):
        assert (tmp_path / f"{picture}.png").exists()
