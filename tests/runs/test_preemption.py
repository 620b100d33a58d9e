"""A SIGTERM while training, between trainings, and in a thread."""

import os
import signal
import threading

import pytest

from dgm_jax.runs.preemption import Preempted, leaving_on_sigterm, termination


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


def test_between_trainings_it_ends_the_process_with_code_85(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted) as ended:
        with leaving_on_sigterm():
            tell_to_end()
    assert ended.value.code == 85
    assert "resumes" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_no_signal_arrives_and_none_is_caught():
    said = []

    def train():
        with termination() as told_to_end:
            said.append(told_to_end())

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert said == [False] and signal.getsignal(signal.SIGTERM) is before
