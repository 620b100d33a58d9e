"""A SIGTERM and a control-C while training, between trainings, and in a thread."""

import os
import signal
import threading

import pytest

from dgm_jax.runs import preemption
from dgm_jax.runs.preemption import Preempted, leaving_at_once, termination


def tell_to_end():
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_training_is_told_once_and_the_signal_is_sent_again_on_leaving():
    again = []
    before = signal.signal(signal.SIGTERM, lambda *_: again.append(True))
    try:
        with termination() as told_to_end:
            assert not told_to_end()
            tell_to_end()
            assert told_to_end() and not again
        assert again
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_a_signal_nothing_is_sent_and_the_handler_is_as_it_was():
    before = signal.getsignal(signal.SIGTERM)
    with termination():
        pass
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("signum", "code", "said"),
    [(signal.SIGTERM, 85, "told to end"), (signal.SIGINT, 130, "interrupted")],
)
def test_between_trainings_a_signal_ends_the_process_at_once(
    capfd, monkeypatch, signum, code, said
):
    """Even where an exception would be ignored, as in what the garbage collector calls."""
    codes, before = [], signal.getsignal(signum)
    monkeypatch.setattr(os, "_exit", codes.append)
    with leaving_at_once(signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), signum)
        with termination() as told_to_end:
            assert told_to_end() is None
    assert codes == [code] and capfd.readouterr().err == f"{said}; the same command resumes\n"
    assert signal.getsignal(signum) is before


def test_in_another_thread_no_signal_arrives_and_none_is_caught():
    said = []

    def train():
        with termination() as told_to_end:
            said.append(told_to_end())

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert said == [None] and signal.getsignal(signal.SIGTERM) is before


def test_a_control_c_is_told_once_and_the_second_ends_at_once(capsys):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        with termination() as told_to_end:
            os.kill(os.getpid(), signal.SIGINT)
            assert told_to_end() is KeyboardInterrupt and told_to_end() is KeyboardInterrupt
            assert capsys.readouterr().err == "interrupted: saving; once more to end at once\n"
            os.kill(os.getpid(), signal.SIGINT)
            told_to_end()
            pytest.fail("the second one ends at once")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_control_c_that_was_not_acted_on_comes_on_leaving():
    reached = []
    with pytest.raises(KeyboardInterrupt):
        with termination():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(True)
    assert reached


def test_a_program_that_is_not_to_hear_of_control_c_does_not():
    """As those of nohup and of a shell's background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with termination() as told_to_end:
            os.kill(os.getpid(), signal.SIGINT)
            assert told_to_end() is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_on_several_processes_a_control_c_is_a_sigterm_for_all(monkeypatch):
    """jax hears of SIGTERM and has all of them leave at one step; here a list is told."""
    heard = []
    monkeypatch.setattr(preemption.processes, "several", lambda: True)
    monkeypatch.setattr(
        preemption.multihost_utils, "reached_preemption_sync_point", lambda step: bool(heard)
    )
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
    try:
        with pytest.raises(KeyboardInterrupt):
            with termination() as told_to_end:
                assert told_to_end() is None
                os.kill(os.getpid(), signal.SIGINT)
                assert heard and told_to_end() is KeyboardInterrupt
                raise told_to_end()
        with termination() as told_to_end:  # and one that got none
            assert told_to_end() is Preempted
    finally:
        signal.signal(signal.SIGTERM, before)
