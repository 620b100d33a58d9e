"""Sets that need no file: what they are, and that they are the same every time."""

import numpy as np
import pytest

from dgm_jax.data import bundled, load
from dgm_jax.data.readers import vocabulary


@pytest.mark.parametrize("name", bundled.SETS)
def test_a_bundled_set_needs_no_folder_and_is_the_same_again(name, monkeypatch):
    monkeypatch.delenv("DGM_DATA", raising=False)
    data, again = load(name), load(name)
    assert len(data.train) > 2 * len(data.valid) > 0 and len(data.test) > 0
    for x, y in zip(data[1:4], again[1:4], strict=True):
        np.testing.assert_array_equal(x, y)


def test_bits_of_digits_are_what_has_more_than_half_of_the_ink():
    grey, bits = load("digits"), load("digits_bits")
    np.testing.assert_array_equal(bits.test, grey.test > 8)
    np.testing.assert_array_equal(bits.labels["test"], grey.labels["test"])
    assert bits.num_levels == 2 and 0.2 < bits.train.mean() < 0.4


def test_no_pixel_of_a_photograph_is_in_two_splits(monkeypatch):
    """Every pixel a number of its own: what the patches show of each split is disjoint."""
    from sklearn.datasets import load_sample_images

    shapes = [image.shape[:2] for image in load_sample_images().images]
    ends = np.cumsum([h * w for h, w in shapes])
    images = [
        np.repeat(np.arange(end - h * w, end, dtype=float).reshape(h, w, 1), 3, -1)
        for (h, w), end in zip(shapes, ends, strict=True)
    ]
    told = type("Bunch", (), {"images": images})
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: told)
    monkeypatch.setattr(bundled.tables, "patches", lambda x, seed: x)
    parts = [set(x.ravel().astype(int)) for x in bundled.photo_patches()[0]]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert len(parts[1]) == len(parts[2]) == 20 * 64 * 64


def test_a_plucked_string_sounds_at_its_note():
    """The strongest frequency is the pitch or a harmonic of it, within a semitone."""
    data = load("plucked_strings")
    assert np.abs(data.train).max() < 1
    for x, note in zip(data.test[:, 500:], data.labels["test"], strict=True):
        spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), 2**16))
        peak = spectrum.argmax() * bundled.RATE / 2**16
        harmonic = peak / bundled.NOTES[note]
        assert round(harmonic) >= 1 and abs(harmonic / round(harmonic) - 1) < 0.05


def test_topics_are_text_whose_ids_spell_it():
    from pydoc_data.topics import topics

    characters, data = vocabulary("python_topics"), load("python_topics")
    spelled = "".join(characters[i] for x in data[1:4] for i in x)
    assert spelled == "\n\n".join(topics.values())
    assert data.num_levels == len(characters)
