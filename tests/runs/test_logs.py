import sys
import types

import pytest

from dgm_jax.runs import tensorboard


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
