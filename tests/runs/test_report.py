"""What a benchmark leaves: files that its options name, and a record that can be repeated."""

import dataclasses
import json

import pytest

from dgm_jax import runs
from dgm_jax.runs import report


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    batch: int = 4


MACHINE = {"date": "2026-11-20", "cpu": "a cpu", "device": "1 x cpu", "jax": "0.10.2"}


def measured(config):
    return {"rows": [{"model": "maf", "ms": 1.5 * config.batch}], "machine": MACHINE, "more": 1}


def benchmark(*args):
    saved = []
    runs.benchmark(
        Config,
        measured,
        lambda found: [found["rows"]],
        lambda config, found: "a figure",
        save=lambda figure, path: saved.append((figure, path)),
        args=[str(arg) for arg in args],
    )
    return saved


def test_a_benchmark_prints_its_tables_and_writes_its_files(tmp_path, capsys):
    out, figure, record = (tmp_path / "new" / name for name in ("a.json", "b.png", "c.md"))
    args = ["--out", out, "--figure", figure, "--record", record, "--note", "alone"]
    assert benchmark("--batch", 2, *args) == [("a figure", figure)]
    rows = [{"model": "maf", "ms": 3}]
    written = {"benchmark": __name__, "rows": rows, "machine": MACHINE}
    assert json.loads(out.read_text()) == written
    assert "maf" in capsys.readouterr().out
    assert "a cpu; 1 x cpu; jax 0.10.2; alone" in record.read_text()
    assert "| maf | 3 |" in record.read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--figure", "picture.pdf"], "figure must end in .png"),
        (["--out", "."], "out . cannot be written"),
    ],
)
def test_files_that_cannot_be_written_are_refused_first(
    tmp_path, monkeypatch, capsys, args, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        benchmark(*args)
    said = capsys.readouterr()
    assert stop.value.code == 2 and message in said.err and "maf" not in said.out
    assert len(said.err.splitlines()) == 1


def test_a_record_says_when_where_and_how():
    rows = [{"model": "maf", "ms": 1.23456}]
    assert report.section("benchmarks.x", "python -m benchmarks.x", MACHINE, "shared", [rows]) == (
        "\n## 2026-11-20, benchmarks.x\n\n`python -m benchmarks.x`\n\n"
        "a cpu; 1 x cpu; jax 0.10.2; shared.\n\n"
        "| model | ms |\n| --- | --- |\n| maf | 1.235 |\n"
    )


def test_a_record_keeps_the_command_without_the_files_of_this_machine():
    args = ["--dims", "8", "64", "--out", "/tmp/a.json"]
    args += ["--note=shared", "--figure=b.png", "--batch=4"]
    assert report.command_line("x", args) == "python -m x --dims 8 64 --batch=4"
