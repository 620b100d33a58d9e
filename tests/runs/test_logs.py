import builtins
import json
import math
import sys
import time
import types

import pytest

from dgm_jax.runs import tensorboard
from dgm_jax.runs.logs import MetricsLog, progress_bar


class ZMQInteractiveShell:
    """What a notebook runs in, by whose name it is known."""


def test_a_notebook_shows_one_line_that_moves_and_needs_no_widgets(monkeypatch, capsys):
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    with progress_bar("maf", 0, 40, show=True) as update:
        update(20, {"step": 20, "loss": 1.5})
        print("of the user")
        update(40, {"step": 40, "loss": 0.5})
    said = capsys.readouterr()
    lines = [line.strip() for line in said.err.replace("\x1b[2K", "").split("\r")]
    assert said.out == "of the user\n"
    assert "compiling, 0 s" in next(line for line in lines if "0/40" in line)
    assert any("20/40" in line and "loss 1.5" in line for line in lines)
    assert not any("compiling" in line for line in lines if "20/40" in line)
    assert "40/40" in lines[-1] and "loss 0.5" in lines[-1]
    assert said.err.count("\n") == 1  # after the last


def test_what_is_no_terminal_and_no_notebook_gets_a_line_a_minute(monkeypatch, capsys):
    with progress_bar("maf", 0, 40, show=True) as update:
        update(10, {"step": 10, "loss": 0.7})
        assert capsys.readouterr() == ("", "")
        began = time.perf_counter()
        monkeypatch.setattr(time, "perf_counter", lambda: began + 61)
        update(20, {"step": 20, "loss": 0.5})
        update(30, {"step": 30, "loss": 0.4})
        monkeypatch.setattr(time, "perf_counter", lambda: began + 122)
        update(40)
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert out == "" and "maf: step 20 of 40, 0.3" in first and first.endswith(", loss 0.5")
    assert "maf: step 40 of 40, 0.3" in second and "loss" not in second


def test_where_no_bar_is_asked_for_nothing_is_shown(monkeypatch, capsys):
    with progress_bar("maf", 0, 40, show=False) as update:
        monkeypatch.setattr(time, "perf_counter", lambda: 1e9)
        update(40, {"step": 40, "loss": 0.5})
    assert capsys.readouterr() == ("", "")


def test_rows_come_back_with_all_their_bits_and_the_file_is_json_for_all(tmp_path):
    log = MetricsLog(tmp_path / "log")
    rows = [{"step": 1, "a": 0.1 + 0.2}, {"step": 2, "a": math.inf}, {"step": 3, "a": -math.inf}]
    rows.append({"step": 4, "a": math.nan})
    for row in rows:
        log.append(row)
    assert str(MetricsLog(None, log.history).rows) == str(rows)
    values = [json.loads(line)["a"] for line in (tmp_path / "log").read_text().splitlines()]
    assert values == [0.1 + 0.2, "Infinity", "-Infinity", None]


def test_a_log_that_was_moved_away_goes_on_where_it_was_cut(tmp_path, capsys):
    log = MetricsLog(tmp_path / "log")
    for step in range(6):
        log.append({"step": step})
        if step == 1:
            (tmp_path / "log").rename(tmp_path / "log.1")
    with (tmp_path / "log").open("a") as file:
        file.write('{"step": 7')
    again = MetricsLog(tmp_path / "log", log.history.rpartition("\n")[0])
    again.repair()
    assert [row["step"] for row in again.rows] == [0, 1, 2, 3, 4]
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 3, 4]
    assert capsys.readouterr().err == ""


def test_tensorboard_gets_each_number_of_a_row(monkeypatch, tmp_path):
    seen = []

    class SummaryWriter:
        def __init__(self, folder):
            seen.append(folder)

        def add_scalar(self, *scalar):
            seen.append(scalar)

        def flush(self):
            seen.append("flush")

    fake = types.ModuleType("tensorboardX")
    fake.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", fake)
    on_log = tensorboard(tmp_path)
    on_log(10, {"step": 10, "loss": 0.5})
    assert seen == [str(tmp_path), ("loss", 0.5, 10), "flush"]


def test_without_tensorboard_x_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match=r"pip install 'dgm_jax\[log\]'"):
        tensorboard("board")
