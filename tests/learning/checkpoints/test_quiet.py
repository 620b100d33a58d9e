import logging
import threading
import warnings

from dgm_jax.learning.checkpoints.quiet import of_the_machine, quiet, quiet_threads, reason


def test_logs_and_warnings_are_silent_in_the_block_only(caplog):
    with quiet():
        warnings.warn("of orbax", stacklevel=1)  # an error here, if it is heard
        logging.getLogger("absl").error("of orbax")
        logging.error("of orbax")
    assert caplog.records == []
    logging.getLogger("absl").error("heard")
    assert [record.message for record in caplog.records] == ["heard"]


def test_the_error_of_a_thread_is_silent_if_it_is_a_thread_of_orbax(monkeypatch):
    heard = []
    monkeypatch.setattr(threading, "excepthook", lambda args: heard.append(args.exc_type))

    class OfOrbax(threading.Thread):
        __module__ = "orbax.checkpoint"

    def fail():
        raise ZeroDivisionError

    for thread, quiet_block in ((OfOrbax, True), (threading.Thread, True), (OfOrbax, False)):
        heard.clear()
        with quiet_threads() if quiet_block else warnings.catch_warnings():
            one = thread(target=fail)
            one.start()
            one.join()
        assert heard == ([] if thread is OfOrbax and quiet_block else [ZeroDivisionError])


def test_a_reason_is_the_first_cause_in_one_line():
    try:
        try:
            raise OSError("a\n  disk")
        except OSError as error:
            raise RuntimeError("writing failed") from error
    except RuntimeError as error:
        assert reason(error) == "OSError: a disk"


def test_what_is_wrong_with_the_machine_is_told_from_what_is_wrong_with_a_file():
    def caused(by):
        try:
            raise ValueError("orbax failed") from by
        except ValueError as error:
            return error

    few = ValueError("RESOURCE_EXHAUSTED: Failed to open: [OS error 24: Too many open files]")
    assert of_the_machine(few) == of_the_machine(caused(OSError(24, "Too many open files")))
    assert of_the_machine(few)[0] == "too many open files"
    assert of_the_machine(caused(OSError(28, "No space left on device")))[1] == "free some"
    assert of_the_machine(caused(PermissionError(13, "x")))[0] == "permission denied"
    assert of_the_machine(caused(ValueError("DATA_LOSS: checksum"))) is None
