"""Two processes of two devices each, over loopback: the same numbers, whoever is lost."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.multiprocess, pytest.mark.timeout(200)]
ROOT = Path(__file__).parents[2]
LONG = 60  # seconds: a process that is still there after this is killed, and the test fails


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def start(cache):
    """start(workdir, processes, devices, *options): the processes; killed when the test ends."""
    started = []

    def start(workdir, num_processes, num_devices, *options):
        environment = os.environ | {
            "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(num_devices), "JAX_ENABLE_COMPILATION_CACHE": "true",
        }  # fmt: skip
        port, peers = free_port(), []
        for i in range(num_processes):
            words = [sys.executable, "-m", "tests.multiprocess.job", "--workdir", str(workdir),
                     "--cache-dir", str(cache), *map(str, options)]  # fmt: skip
            if num_processes > 1:
                words += ["--coordinator", f"127.0.0.1:{port}", "--process-id", str(i),
                          "--num-processes", str(num_processes)]  # fmt: skip
            peers.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                          text=True, cwd=ROOT, env=environment))  # fmt: skip
        started.extend(peers)
        return peers

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(processes):
    """[(exit code, stdout, stderr), ...]"""
    deadline, told = time.monotonic() + LONG, []
    for process in processes:
        out, error = process.communicate(timeout=max(1, deadline - time.monotonic()))
        told.append((process.returncode, out, error))
    return told


def finished(processes):
    """The process 0 wrote and printed, the others were silent, all ended well."""
    told = ended(processes)
    assert [code for code, _, _ in told] == [0] * len(told), told
    assert all("\n".join(without_gloo(out)) == "" for _, out, _ in told[1:])


def without_gloo(text):
    return [line for line in text.splitlines() if line and not line.startswith("[Gloo]")]


def results(workdir):
    return json.loads((workdir / "results.json").read_text())


def steps(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def reached(workdir, processes, rows):
    """Waits until the run has that many rows."""
    log, deadline = workdir / "metrics.jsonl", time.monotonic() + LONG
    while not log.exists() or log.read_text().count("\n") < rows:
        assert time.monotonic() < deadline and all(p.poll() is None for p in processes), [
            p.communicate() for p in processes if p.poll() is not None
        ]
        time.sleep(0.02)


def distance(a, b):
    return max(np.abs(np.subtract(a["params"][n], b["params"][n])).max() for n in a["params"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tmp_path_factory.mktemp("whole")


def uninterrupted(whole, start):
    """80 steps on 2 x 2, made once."""
    if not (whole / "results.json").exists():
        finished(start(whole, 2, 2))
    return results(whole)


def first_half(whole, start):
    """40 of these steps, made once; a run of another length could not be resumed with 80."""
    half = whole.with_name("half")
    if not half.exists():
        finished(start(half, 2, 2, "--num-steps", 40))
        for name in ("config.json", "results.json"):
            (half / name).unlink()
    return half


def test_a_run_saved_on_two_processes_goes_on_in_every_layout(start, whole, tmp_path, capsys):
    there, half = uninterrupted(whole, start), first_half(whole, start)
    assert there["devices"] == 4 and steps(whole) == list(range(5, 81, 5))
    for num_processes, num_devices in ((2, 2), (1, 1), (1, 4), (2, 1)):
        layout = tmp_path / f"{num_processes}x{num_devices}"
        shutil.copytree(half, layout)
        finished(start(layout, num_processes, num_devices))
        found = results(layout)
        apart = distance(found, there)
        with capsys.disabled():
            print(f"\n2x2 to {layout.name}: {apart:.1e} after 40 steps")
        assert found["devices"] == num_processes * num_devices
        assert found["rows"] == len(steps(layout)) == 16
        assert apart <= 1e-6
        if layout.name == "2x2":
            assert found["sha256"] == there["sha256"]


def test_one_of_two_is_killed_again_and_again(start, whole, tmp_path, capsys):
    there, waits, rng = uninterrupted(whole, start), [], np.random.default_rng(0)
    for life, victim in enumerate((1, 0, 1)):
        peers = start(tmp_path, 2, 2, "--pause", 0.05)
        before = steps(tmp_path) if (tmp_path / "metrics.jsonl").exists() else []
        reached(tmp_path, peers, len(before) + 2)
        time.sleep(rng.uniform(0, 0.3))
        peers[victim].kill()
        killed = time.monotonic()
        code, _, said = ended([peers[1 - victim]])[0]
        waits.append(time.monotonic() - killed)
        if victim == 1:
            assert code == 75 and "a peer process was lost" in said
        else:  # jax may end the others of a lost coordinator first
            assert code in (75, -signal.SIGABRT)
    finished(start(tmp_path, 2, 2, "--pause", 0.05))
    with capsys.disabled():
        print(f"\nsurvivors left after {', '.join(f'{wait:.2f}' for wait in waits)} s")
    assert max(waits) < 25
    assert results(tmp_path)["sha256"] == there["sha256"]
    assert (tmp_path / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


@pytest.mark.parametrize("told", [0, 1])
def test_sigterm_in_either_process_saves_in_both_at_one_step(start, whole, tmp_path, told):
    there = uninterrupted(whole, start)
    options = ("--checkpoint-every", 1000, "--pause", 0.05)
    peers = start(tmp_path, 2, 2, *options)
    reached(tmp_path, peers, 3)
    peers[told].send_signal(signal.SIGTERM)
    sent = time.monotonic()
    codes, _, said = zip(*ended(peers))
    assert codes == (85, 85), said
    assert time.monotonic() - sent < 15
    assert said[0].count("told to end: saved") == 1 and "told to end" not in said[1]
    (saved,) = (int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert 15 <= saved < 80
    finished(start(tmp_path, 2, 2, *options))
    assert results(tmp_path)["sha256"] == there["sha256"]


def test_a_damaged_checkpoint_is_set_aside_once_and_for_all_processes(start, whole, tmp_path):
    there = uninterrupted(whole, start)
    shutil.copytree(first_half(whole, start), tmp_path, dirs_exist_ok=True)
    for file in (tmp_path / "checkpoints" / "40").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:-7])
    told = ended(start(tmp_path, 2, 2))
    assert [code for code, _, _ in told] == [0, 0], told
    assert told[0][2].count("kept as corrupt-40; taking step 30") == 1
    assert "damaged" not in told[1][2]
    assert results(tmp_path)["sha256"] == there["sha256"]


def test_a_wrong_input_ends_all_processes_with_2(start, whole, tmp_path):
    uninterrupted(whole, start)
    for code, _, said in ended(start(whole, 2, 2, "--seed", 7)):
        assert code == 2 and "seed was 0, is 7" in said


def test_the_same_seed_in_two_fresh_processes_gives_the_same_bits(start, tmp_path):
    peers = [start(tmp_path / name, 1, 2)[0] for name in "ab"]
    finished(peers[:1]), finished(peers[1:])
    assert results(tmp_path / "a")["sha256"] == results(tmp_path / "b")["sha256"]
