"""How a command ends: what is the user's to mend is one line and a code, the rest a traceback."""

import io
import os
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, learning, runs
from dgm_jax.runs import Preempted, errors


def ended(work):
    with pytest.raises(SystemExit) as stop:
        errors.told(work)
    return stop.value.code


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (checks.InputError("a must be\n  b."), 2, "error: a must be b.\n"),
        (checks.InputTypeError("key must be a key."), 2, "error: key must be a key.\n"),
        (FileNotFoundError(2, "No such file", "a.npy"), 2, "error: No such file: a.npy\n"),
        (learning.NoUsableCheckpoint("none."), 3, "error: none.\n"),
        (learning.Diverged(7, "loss is nan"), 4, "error: step 7: loss is nan. "),
        (Preempted(), 85, ""),
        (KeyboardInterrupt(), 130, "interrupted; the same command resumes\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_end_has_its_exit_code_and_one_line(capsys, error, code, said):
    assert ended(raising(error)) == code
    found = capsys.readouterr().err
    assert found.startswith(said) and found.count("\n") == bool(said)
    assert re.search(rf"^    {code} ", errors.__doc__, re.MULTILINE)


@pytest.mark.parametrize(
    ("error", "work"),
    [
        (TypeError, lambda: jnp.zeros(3) + jnp.zeros(4)),
        (ValueError, lambda: np.zeros(3) @ np.ones(4)),
        (TypeError, lambda: 1 + None),
        (ValueError, raising(ValueError("of a library"))),
    ],
)
def test_a_mistake_in_the_program_keeps_its_traceback(error, work, capsys):
    with pytest.raises(error):
        errors.told(work)
    assert capsys.readouterr().err == ""


def test_a_wish_for_tracebacks_shows_those_of_the_user_too(monkeypatch):
    monkeypatch.setenv("DGM_TRACEBACK", "1")
    with pytest.raises(checks.InputError):
        errors.told(raising(checks.InputError("a")))


def test_what_checks_refuse_is_the_users_to_mend():
    assert ended(lambda: checks.positive_int(0, "num_layers")) == 2
    assert ended(lambda: checks.key(0)) == 2
    assert ended(lambda: jax.jit(lambda x: checks.events(x, 3))(jnp.zeros(2))) == 2


def test_letters_that_the_terminal_lacks_are_question_marks(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    errors.told(lambda: print("±1, T⁻¹"))
    assert raw.getvalue() == b"?1, T??\n"


@pytest.mark.parametrize("show", [print, lambda text: runs.table([{"a": text}])])
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_reader_that_is_gone_ends_the_command_without_a_word(monkeypatch, capfd, size, show):
    """Whether it is missed while something is printed, or at the end."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert errors.told(lambda: 3) == 3  # nothing was printed yet
        assert ended(lambda: show("x" * size)) == 141
        stream.flush()  # as python does at its end
    assert capfd.readouterr().err == ""


def test_without_any_stream_a_command_still_ends_with_its_code(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert errors.told(lambda: print("a") or 3) == 3
    assert ended(raising(checks.InputError("a"))) == 2
