"""What stands beside our numbers: figures of the papers, of the very sets they belong to."""

import re

import numpy as np
import pytest

from dgm_jax.data import Dataset
from experiments import published
from tests.test_readme import RECORDS, SYSTEMS, sections


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


# -------------------------------------------------------------------- the table of the README
MEASURED = re.compile(
    r"\[(?P<ours>[^]`]+)\]\(experiments/RESULTS\.md#(?P<record>\S+)\) (?P<unit>[^,|]+)"
    r"(?:, (?P<data>[^|]*?))?(?: \((?P<paper>−?[\d.]+(?: %)?)\))? \|$"
)


def stands(number, text):
    """Whether a figure stands in a text, and is no part of a longer one."""
    return re.search(rf"(?<![\d.]){re.escape(number)}(?!\.?\d)", text.replace("-", "−"))


def test_every_figure_of_the_table_stands_in_its_record_and_every_published_one_in_ours():
    found = [match for line in SYSTEMS if (match := MEASURED.search(line))]
    linked = [line for line in SYSTEMS if "RESULTS.md#" in line]
    assert len(found) == len(linked) > 90 and all(line.count("|") == 8 for line in SYSTEMS)
    papers = 0
    for match in found:
        record = RECORDS[match["record"]]
        assert stands(match["ours"].replace("e-", "e−"), record), match[0]
        if match["paper"] is not None:
            papers += 1
            name = match["data"].split(",")[0].lower().replace(" ", "_")
            known = published.of(name, match["unit"]).values()
            value = float(match["paper"].replace("−", "-").rstrip(" %"))
            ours = any(figure.value == value for figure in known)
            assert ours or stands(match["paper"], record), match[0]
    assert papers > 12


def test_a_figure_is_not_found_in_a_longer_one_nor_in_another_record():
    assert stands("−1.5", "a -1.5 b") and stands("2", "of 2.") and not stands("1.5", "1.53, 11.5")
    told = sections("# A\n1\n## B, b\n2\n## A\n3\n")
    assert told == {"a": "A\n1\n", "b-b": "B, b\n2\n", "a-1": "A\n3\n"}
