"""Ratios of two records: what is called worse, what noise, and what a record keeps."""

import ast
import json

import pytest

from benchmarks import compare
from dgm_jax import checks
from tests.benchmarks.test_commands import FOLDER, NAMES

UNTIMED = {
    "memory": "megabytes, which do not vary",
    "scaling": "how times grow, of ours alone",
    "start": "seconds of ours alone",
}


def row(library, ms, spread=0.1, **more):
    cell = {"objective": "vae", "library": library, "ms": ms} | more
    return cell | {"low_ms": ms * (1 - spread), "high_ms": ms * (1 + spread)}


def out(path, *rows, benchmark="benchmarks.latent"):
    text = json.dumps({"benchmark": benchmark, "rows": rows, "machine": {}})
    path.write_text(text, encoding="utf-8")
    return path


def test_a_ratio_is_ours_to_theirs_with_opposite_quartiles_and_ours_are_not_compared():
    rows = [row("dgm_jax", 2.0), row("dgm_jax scan", 1.0), row("torch", 4.0)]
    ((name, ratio),) = compare.ratios("latent", rows).items()
    assert name == "vae: dgm_jax / torch"
    assert ratio == pytest.approx((0.5, 0.5 * 0.9 / 1.1, 0.5 * 1.1 / 0.9))


def test_ways_of_one_row_are_divided_by_its_dense_pass():
    known = {"model": "maf", "dim": 8, "inverse": "naive", "devices": 2, "dense_density_ms": 2.0}
    found = compare.ratios("passes", [known | {"sample_ms": 3.0, "sample_low_ms": 2.0}])
    assert found == {"maf 8 naive 2: sample / dense_density": (1.5, 1.0, 1.5)}


def test_where_all_are_ours_each_is_divided_by_the_first():
    rows = [{"samples": 5, "bound": name, "ms": ms} for name, ms in (("iwae", 2.0), ("dreg", 3.0))]
    assert compare.ratios("bounds", rows) == {"5: dreg / iwae": (1.5, 1.5, 1.5)}


@pytest.mark.parametrize(
    ("factor", "spread", "said"),
    [(1.05, 0.01, ""), (1.5, 0.01, "worse"), (1.5, 0.3, "noise"), (0.5, 0.01, "better")],
)
def test_worse_is_beyond_the_margin_and_both_spreads(tmp_path, capsys, factor, spread, said):
    old = out(tmp_path / "old.json", row("dgm_jax", 1.0, spread), row("torch", 2.0, spread))
    new = out(tmp_path / "new.json", row("dgm_jax", factor, spread), row("torch", 2.0, spread))
    assert compare.main(compare.Config(old, new)) == (said == "worse")
    told = capsys.readouterr().out
    assert f"{factor - 1:+.0%}" in told and said in told


def test_a_record_keeps_the_ratios_of_several_benchmarks_and_compares_with_one(tmp_path):
    record = tmp_path / "ratios.json"
    slow = out(tmp_path / "a.json", row("dgm_jax", 3.0, 0.01), row("torch", 2.0, 0.01))
    fast = out(tmp_path / "b.json", row("dgm_jax", 1.0, 0.01), row("torch", 2.0, 0.01))
    game = {"turn": "critic", "ms": 1.0}
    games = [game | {"who": who} for who in ("dgm_jax", "torch")]
    for made in (slow, out(tmp_path / "c.json", *games, benchmark="games"), fast):
        compare.main(compare.Config(record, made, keep=True))
    assert compare.read(record).keys() == {"games", "latent"}
    assert compare.main(compare.Config(record, fast)) == 0  # it took the place of the slow one
    assert compare.main(compare.Config(record, slow)) == 1
    assert compare.main(compare.Config(slow, record)) == 0  # twice as fast


def test_files_without_ratios_are_refused(tmp_path):
    known = out(tmp_path / "a.json", row("dgm_jax", 3.0), row("torch", 2.0))
    other = out(tmp_path / "b.json", row("dgm_jax", 3.0), row("pythae", 2.0))
    with pytest.raises(checks.InputError, match="no ratio in common"):
        compare.main(compare.Config(known, other))
    with pytest.raises(checks.InputError, match="benchmark of a file must be one of"):
        compare.read(out(tmp_path / "c.json", benchmark="benchmarks.memory"))
    (tmp_path / "d.json").write_text('{"rows": []}', encoding="utf-8")
    with pytest.raises(checks.InputError, match="d.json is no record of a benchmark"):
        compare.read(tmp_path / "d.json")
    with pytest.raises(checks.InputError, match="margin"):
        compare.main(compare.Config(known, known, margin=-1.0))


def test_every_benchmark_has_its_ratios_and_names_the_columns_that_its_rows_have():
    assert set(NAMES) == compare.CELLS.keys() | UNTIMED.keys()
    for name, cells in compare.CELLS.items():
        source = (FOLDER / f"{'latent' if name == 'disentangled' else name}.py").read_text("utf-8")
        words = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)}
        assert {*cells.name, *filter(None, (cells.who,))} <= words, name


@pytest.mark.parametrize("record", [FOLDER / "ratios.json"])
def test_the_record_of_the_project_is_one(record):
    known = compare.read(record)
    assert known and all(
        ratio.low <= ratio.value <= ratio.high for each in known.values() for ratio in each.values()
    )
