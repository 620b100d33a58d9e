"""How a command ends: exit code, one line on stderr, and what stays on disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from dgm_jax.learning import load

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
JOB = (sys.executable, "-m", "tests.reliability.job")


def start(workdir, *options, command=JOB, **kept):
    words = [*command, "--workdir", str(workdir), *map(str, options)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        **kept,
    )


def ended(process):
    """(exit code, stderr)"""
    _, said = process.communicate()
    return process.returncode, said


def finished(workdir, *options):
    return ended(start(workdir, *options))


def rows(workdir, process, count):
    """Waits until the run has written that many rows."""
    log = workdir / "metrics.jsonl"
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < count):
        time.sleep(0.01)


def outcome(workdir):
    return load(workdir).params["w"].tobytes(), (workdir / "metrics.jsonl").read_bytes()


def test_sigterm_saves_within_seconds_loses_no_step_and_exits_85(tmp_path, capsys):
    options = ("--pause", 0.02, "--checkpoint-every", 50)
    assert finished(tmp_path / "whole", *options)[0] == 0
    process = start(tmp_path / "told", *options)
    rows(tmp_path / "told", process, 23)
    process.send_signal(signal.SIGTERM)
    told = time.perf_counter()
    code, said = ended(process)
    seconds, step = time.perf_counter() - told, load(tmp_path / "told").step
    assert code == 85 and said.count("\n") == 1
    assert f"saved {tmp_path}/told/checkpoints/{step}" in said
    assert finished(tmp_path / "told", *options) == (0, "")
    assert outcome(tmp_path / "told") == outcome(tmp_path / "whole")
    with capsys.disabled():
        print(f"\nSIGTERM: saved step {step} and left after {seconds:.2f} s")
    assert seconds < 5 and step % 50


@pytest.mark.timeout(600)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_any_moment_of_a_start_ends_it_and_loses_nothing(tmp_path, capsys, signum):
    """While it imports, compiles, takes its first steps; each life begins where the last ended.
    Some get the signal twice: a second control-C does not wait for the checkpoint."""
    options = ("--num-steps", 400, "--pause", 0.02, "--log-every", 1)
    rng, codes = np.random.default_rng(0), []
    assert finished(tmp_path / "whole", *options)[0] == 0
    for life in range(8):
        log = tmp_path / "told" / "metrics.jsonl"
        before = log.read_text().count("\n") if log.exists() else 0
        process = start(tmp_path / "told", *options)
        if life % 2:
            rows(tmp_path / "told", process, before + 1)
        time.sleep(rng.uniform(0, 0.1 if life % 2 else 3))
        process.send_signal(signum)
        if life % 4 == 3:
            time.sleep(0.05)
            process.send_signal(signum)
        code, said = ended(process)
        codes.append(code)
        if code == 0:
            break
        if signum == signal.SIGTERM:
            assert code in (-signal.SIGTERM, 85) and "Traceback" not in said, said
        elif code not in (130, -signal.SIGINT):  # python's own end, before the command has begun
            assert "KeyboardInterrupt" in said, (code, said)
    assert len(codes) > 4 and finished(tmp_path / "told", *options)[0] == 0
    assert outcome(tmp_path / "told") == outcome(tmp_path / "whole")
    with capsys.disabled():
        print(f"\n{signum.name} at random moments: exit codes {codes}")


def test_all_checkpoints_damaged_is_exit_3_and_no_fresh_start(tmp_path):
    process = start(tmp_path, "--pause", 0.02)
    rows(tmp_path, process, 20)
    process.kill()
    process.communicate()
    steps = sorted(int(path.name) for path in (tmp_path / "checkpoints").glob("[0-9]*[0-9]"))
    for file in (tmp_path / "checkpoints").rglob("d/*"):
        file.write_bytes(b"")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    for _ in range(2):
        code, said = finished(tmp_path, "--pause", 0.02)
        assert code == 3 and said.count("\n") == 1
        assert len(steps) >= 2 and all(f"step {step}: " in said for step in steps)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_one_bad_batch_of_a_hundred_is_skipped_counted_and_forgotten(tmp_path, capsys):
    options = ("--num-steps", 100, "--log-every", 10)
    assert finished(tmp_path / "good", *options) == (0, "")
    assert finished(tmp_path / "bad", *options, "--bad-from", 50, "--bad-until", 51) == (0, "")
    lines = (tmp_path / "bad" / "metrics.jsonl").read_text().splitlines()
    assert sum(json.loads(line).get("skipped", 0) for line in lines) == 1
    final = [
        json.loads((tmp_path / run / "results.json").read_text())["final"]["distance"]
        for run in ("good", "bad")
    ]
    with capsys.disabled():
        print(f"\none NaN batch of 100: final value {final[1] / final[0] - 1:+.2%}")
    assert abs(final[1] / final[0] - 1) < 0.02
    assert np.isfinite(load(tmp_path / "bad").params["w"]).all()


@pytest.mark.parametrize("kind", ["descent", "players"])
def test_nan_for_ever_stops_after_ten_steps_with_exit_4_and_good_checkpoints(tmp_path, kind):
    options = ("--bad-from", 60, "--bad-until", 10**6, "--algorithm", kind)
    for _ in range(2):  # and again when it is resumed
        code, said = finished(tmp_path, *options)
        assert code == 4 and said.count("\n") == 1
        assert "step 70: the last 10 steps had no finite gradient" in said
        last = int(said.split("checkpoints/")[1].strip("\n."))
        assert last in (60, 65) and load(tmp_path).step == last
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(load(tmp_path).params))


DISK = """
mount -t tmpfs -o size={size} none {disk} || exit 99
head -c {ballast} /dev/urandom > {disk}/ballast
{job}; echo "code $?" >&2
ls {disk}/run/checkpoints >&2
{load} >&2
rm {disk}/ballast
{job}; echo "code $?" >&2
cp -r {disk}/run {copy}
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, to mount a small disk")
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_space(tmp_path):
    disk, options = tmp_path / "disk", ("--size", 60_000)  # 1.2 MB a checkpoint, twice with best
    disk.mkdir()
    job = " ".join([*JOB, "--workdir", str(disk / "run"), *map(str, options)])
    look = "from dgm_jax.learning import load; print('loads step', load('{}').step)"
    script = DISK.format(
        size="12m",
        ballast=8_000_000,
        disk=disk,
        job=job,
        copy=tmp_path / "copy",
        load=f'{sys.executable} -c "{look.format(disk / "run")}"',
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    lines = done.stderr.splitlines()
    assert "no space left on the disk" in lines[0].lower() and lines[1] == "code 2", done.stderr
    latest = max(int(line) for line in lines[2:] if line.isdecimal())
    assert f"loads step {latest}" in lines and lines[-1] == "code 0", done.stderr
    assert finished(tmp_path / "whole", *options) == (0, "")
    assert outcome(tmp_path / "copy") == outcome(tmp_path / "whole")


def test_a_second_run_in_the_directory_is_exit_2_within_a_second_and_names_the_first(
    tmp_path, capsys
):
    first = start(tmp_path, "--pause", 0.1, "--num-steps", 2000)
    rows(tmp_path, first, 1)
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        code, said = finished(tmp_path, "--pause", 0.1, "--num-steps", 2000)
        taken.append(time.perf_counter() - began)
        assert code == 2 and said.count("\n") == 1 and f"process {first.pid} on " in said
    first.kill()
    first.communicate()
    with capsys.disabled():
        print(f"\na second run leaves after {min(taken):.2f} s")
    assert min(taken) < 1
    assert finished(tmp_path, "--pause", 0.1, "--num-steps", 3)[0] == 2  # another configuration


HOLD = """
import os, socket, sys
from dgm_jax.runs.locks import locked
with locked(sys.argv[1]):
    print("held", os.getpid(), socket.gethostname(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, to make containers")
def test_two_containers_with_one_name_and_one_process_number_do_not_share_a_directory(tmp_path):
    container = ["unshare", "-rpf", "--uts", "sh", "-c", 'hostname a; exec "$@"', "sh"]
    hold = (*container, sys.executable, "-c", HOLD, str(tmp_path))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    kept = {"env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True}
    with subprocess.Popen(hold, **kept, **pipes) as first:
        if first.stdout.readline() != "held 1 a\n":
            pytest.skip(f"no container can be made here: {first.communicate()[1].strip()}")
        done = subprocess.run(hold, **kept, input="", capture_output=True, timeout=60)
        first.communicate()
    assert done.returncode == 1 and "is in use by process 1 on a;" in done.stderr


def test_another_configuration_is_exit_2_and_shows_what_differs(tmp_path):
    assert finished(tmp_path, "--num-steps", 5) == (0, "")
    code, said = finished(tmp_path, "--num-steps", 7, "--size", 10, "--seed", 1)
    assert code == 2 and said.count("\n") == 1
    for text in ("num_steps was 5, is 7", "size was 20000, is 10", "seed was 0, is 1"):
        assert text in said
    assert "pause" not in said
