"""Sound, run small on a file of the published form: levels, tables, samples one can hear."""

import json
import wave

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import runs
from experiments.autoregressive import audio
from tests.experiments import published_sets

TINY = {
    "num_steps": 2,
    "eval_every": 1,
    "length": 48,
    "orders": (0, 1),
    "hidden": 3,
    "cycle": 2,
    "num_cycles": 1,
    "units": 3,
    "window": 2,
    "widths": (4,),
    "num_components": 2,
    "num_shown": 2,
    "sample_length": 60,
    "batch_size": 2,
}


@pytest.fixture
def folder(tmp_path):
    return published_sets.spoken_digits(tmp_path)


def run(folder, **options):
    options = TINY | {"data": "spoken_digits", "data_dir": folder} | options
    config = audio.Config(workdir=folder / "run", progress=False, **options)
    return runs.keep(config, audio.main, show=audio.show)


@pytest.mark.slow
def test_a_short_run_writes_results_sound_and_a_picture(folder, capsys):
    results = run(folder, models=("wavenet",), class_conditional=True)
    assert json.loads((folder / "run" / "results.json").read_text()) == results
    histogram, pairs = (r["test_bits_per_dim"] for r in results["tables"].values())
    assert 1 < pairs < histogram - 2 < 6  # a tone is slow: the last value tells much of the next
    assert [r["num_params"] for r in results["tables"].values()] == [255, 256**2 - 1]
    assert {name: r["sees"] for name, r in results["models"].items()} == {"wavenet": 4}
    assert all(5 < r["test_bits_per_dim"] < 9 for r in results["models"].values())
    for name, length in (("test-data", 48), ("wavenet", 60), ("wavenet-continued", 60)):
        with wave.open(str(folder / "run" / f"{name}.wav")) as file:
            assert (file.getframerate(), file.getsampwidth()) == (8000, 2)
            assert file.getnframes() == 2 * (length + 800)
    assert (folder / "run" / "samples.png").stat().st_size > 5000
    assert "4 (0.001 s)" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "num_gates"), [("gru", 3), ("lstm", 4)])
def test_a_recurrent_net_has_the_gates_of_its_cell_and_learns_on_one_device(
    name, num_gates, monkeypatch
):
    """U [n, gates n] for a GRU of three gates and an LSTM of four. Devices asked for are used."""
    learned = []
    monkeypatch.setattr(audio.fitting, "maximum_likelihood", lambda *a, **_: learned.append(a))
    for devices in (None, 2):
        audio.fit(audio.Config(**TINY | {"units": 5, "devices": devices}), name, {}, 0)
    (one, _, model, _), (two, *_) = learned
    made = jax.eval_shape(model.init, jax.random.key(0))
    assert (5, 5 * num_gates) in [leaf.shape for leaf in jax.tree.leaves(made)]
    assert (one.devices, two.devices) == (1, 2)


def test_sound_survives_the_file(tmp_path):
    """Levels, written and read again, are the same levels."""
    levels = np.arange(256).reshape(2, 128)
    audio.write_wav(tmp_path / "a.wav", levels)
    with wave.open(str(tmp_path / "a.wav")) as file:
        sound = np.frombuffer(file.readframes(10_000), "<i2") / np.float32(32767)
    again = np.asarray(audio.datasets.mu_law_encode(jnp.asarray(sound)))
    np.testing.assert_array_equal(again.reshape(2, -1)[:, :128], levels)
    assert (again.reshape(2, -1)[:, 128:] == 128).all()


def test_a_tone_is_one_line_of_the_spectrogram():
    tone = np.sin(2 * np.pi * 1000 / audio.RATE * np.arange(2048))
    loud = audio.spectrogram(tone)
    frequencies = np.linspace(0, audio.RATE / 2, len(loud))
    assert frequencies[loud[:, 10:-10].mean(1).argmax()] == pytest.approx(1000)
    assert loud.max() == pytest.approx(0, abs=1e-6)


def test_the_digits_that_are_known_stand_above_their_clips():
    clips = {"test data": np.full((2, 50), 128), "wavenet": np.full((2, 50), 128)}
    figure = audio.picture(clips, {"wavenet": [0, 7]})
    words = [axes.get_title("right") for axes in figure.axes]
    assert [word for word in words if word] == ["0", "7"]
    assert [axes.get_title("left") for axes in figure.axes if axes.get_title("left")] == list(clips)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="models is empty"):
        audio.main(audio.Config(models=()))
    with pytest.raises(ValueError, match=r"length must be in 2\.\.4096.*got 5000"):
        audio.main(audio.Config(length=5000))
