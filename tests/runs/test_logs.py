import builtins
import sys
import types

import pytest

from dgm_jax.runs import tensorboard
from dgm_jax.runs.logs import progress_bar


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
    assert any("20/40" in line and "loss 1.5" in line for line in lines)
    assert "40/40" in lines[-1] and "loss 0.5" in lines[-1]
    assert said.err.count("\n") == 1  # after the last


def test_what_is_no_terminal_and_no_notebook_shows_nothing(capsys):
    with progress_bar("maf", 0, 40, show=True) as update:
        update(40, {"step": 40, "loss": 0.5})
    assert capsys.readouterr() == ("", "")


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
