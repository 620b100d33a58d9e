"""What stands beside our numbers: figures of the papers, of the very sets they belong to."""

import numpy as np
import pytest

from dgm_jax.data import Dataset
from experiments import published


def test_published_figures_are_found_by_set_unit_and_model():
    assert published.find("hepmass", "nats", "MAF (5)").value == -17.70
    assert published.find("gas", "nats", "MADE MoG").value == 8.47
    assert published.find("cifar10", "bits/dim", "glow").value == 3.35
    assert published.find("cifar10", "nats", "glow") is None
    assert published.find("digits", "bits/dim", "glow") is None
    deep = [published.find(name, "nats", "MAF (10)") for name in published.UCI]
    assert [figure.value for figure in deep] == [0.24, 10.08, -17.73, -12.24, 154.93]
    assert ["recalled" in figure.source for figure in deep] == [False, False, True, True, True]
    assert all(
        len(row) == len(table.sets) for table in published.TABLES for row in table.figures.values()
    )


def dataset(name="own", **changes):
    """Rows as many and as wide as those of mushrooms, of which the marks here are taken."""
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 2, (n, 112), np.int32) for n in (2000, 500, 5624)]
    return Dataset(name, *parts, None, 2, "")._replace(**changes)


@pytest.fixture
def mushrooms(monkeypatch):
    """A set that is taken for that of the papers."""
    data = dataset()
    marks = tuple(published.mark(x) for x in data[1:4])
    content = published.CONTENTS["mushrooms"]._replace(marks=marks)
    monkeypatch.setitem(published.CONTENTS, "mushrooms", content)
    return data


def test_a_set_is_known_by_its_rows_whatever_it_is_called_and_in_any_order(mushrooms):
    assert published.known(mushrooms) == "mushrooms"
    assert published.known(mushrooms._replace(test=mushrooms.test[::-1])) == "mushrooms"
    pictures = {split: getattr(mushrooms, split).reshape(-1, 8, 14) for split in ("train", "test")}
    assert published.known(mushrooms._replace(**pictures)) == "mushrooms"


CHANGES = {
    "a bit of one row": lambda data: {"test": np.r_[1 - data.test[:1], data.test[1:]]},
    "a row twice": lambda data: {"train": np.r_[data.train[:1], data.train[:-1]]},
    "a row less": lambda data: {"valid": data.valid[1:]},
    "levels": lambda data: {"num_levels": 3},
    "a column less": lambda data: {s: getattr(data, s)[:, 1:] for s in ("train", "valid", "test")},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_set_that_differs_is_not_known(what, mushrooms):
    assert published.known(mushrooms._replace(**CHANGES[what](mushrooms))) is None


def test_a_file_of_a_published_name_is_not_the_set():
    assert published.known(dataset("mushrooms")) is None
    assert published.of(None, "nats") == {} and published.find(None, "nats", "MADE") is None


def test_every_set_with_figures_has_a_content_and_none_is_drawn_anew():
    assert {name for table in published.TABLES for name in table.sets} == published.CONTENTS.keys()
    assert "bsds300_patches" not in published.CONTENTS
