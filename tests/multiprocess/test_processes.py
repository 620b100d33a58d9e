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

pytestmark = [pytest.mark.multiprocess, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
LONG = 120  # seconds: a process that is still there after this is killed, and the test fails


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


def words(workdir, cache, *options):
    return [
        sys.executable,
        "-m",
        "tests.multiprocess.job",
        "--workdir",
        str(workdir),
        "--cache-dir",
        str(cache),
        *map(str, options),
    ]


def environment(num_devices, **more):
    return (
        os.environ
        | more
        | {
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            "JAX_ENABLE_COMPILATION_CACHE": "true",
            "JAX_NUM_CPU_DEVICES": str(num_devices),
        }
    )


def explicitly(num_processes, i, port):
    """Options and environment of process i, told all that it has to know."""
    return [
        "--coordinator",
        f"127.0.0.1:{port}",
        "--process-id",
        str(i),
        "--num-processes",
        str(num_processes),
    ], {}


@pytest.fixture
def start(cache):
    """start(workdir, processes, devices, *options): the processes; killed when the test ends."""
    started = []

    def start(workdir, num_processes, num_devices, *options, join=explicitly, **kept):
        port, peers = free_port(), []
        for i in range(num_processes):
            more, variables = join(num_processes, i, port) if num_processes > 1 else ([], {})
            peers.append(
                subprocess.Popen(
                    words(workdir, cache, *options, *more),
                    text=True,
                    cwd=ROOT,
                    **kept,
                    env=environment(num_devices, **variables),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
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
    """Gloo's threads write into one another's lines: pieces of its one sentence are left out."""
    words = ("[Gloo]", "peer ranks")
    rest = [line for line in text.splitlines() if not any(word in line for word in words)]
    return [line for line in rest if line.strip(" :0123456789")]


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
    pairs = zip(a["params"], b["params"], strict=True)
    return max(np.abs(np.subtract(one, other)).max() for one, other in pairs)


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
    assert there["devices"] == 4 and steps(whole) == list(range(0, 81, 5))
    for num_processes, num_devices in ((2, 2), (1, 1), (1, 4), (1, 8), (2, 1), (4, 1)):
        layout = tmp_path / f"{num_processes}x{num_devices}"
        shutil.copytree(half, layout)
        finished(start(layout, num_processes, num_devices))
        found = results(layout)
        apart = distance(found, there)
        with capsys.disabled():
            print(f"\n2x2 to {layout.name}: {apart:.1e} after 40 steps")
        assert found["devices"] == num_processes * num_devices
        assert found["rows"] == len(steps(layout)) == 17
        assert apart <= 1e-6
        assert found["noise"] == there["noise"]  # bit by bit
        if layout.name == "2x2":
            assert found["sha256"] == there["sha256"]


@pytest.mark.parametrize("kind", ["players", "em", "langevin"])
def test_every_kind_of_algorithm_is_resumed_bit_by_bit_and_learns_as_on_one_device(
    start, tmp_path, capsys, kind
):
    """Killed in one of the two processes; and the same numbers, but for rounding, alone."""
    options = ("--algorithm", kind, "--num-steps", 40)
    finished(start(tmp_path / "whole", 2, 2, *options))
    peers = start(tmp_path / "killed", 2, 2, *options, "--pause", 0.1)
    reached(tmp_path / "killed", peers, 6)  # 25 steps, of which 20 are saved
    peers[1].kill()
    assert ended([peers[0]])[0][0] == 75
    finished(start(tmp_path / "killed", 2, 2, *options, "--pause", 0.1))
    there = results(tmp_path / "whole")
    assert results(tmp_path / "killed")["sha256"] == there["sha256"]
    logs = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "killed")]
    assert logs[0] == logs[1]
    finished(start(tmp_path / "alone", 1, 1, *options))
    apart = distance(results(tmp_path / "alone"), there)
    with capsys.disabled():
        print(f"\n{kind}: 2x2 and one device are {apart:.1e} apart after 40 steps")
    assert there["devices"] == 4 and apart <= 1e-5


def test_one_of_two_is_killed_eight_times(start, whole, tmp_path, capsys):
    """In turn, at random moments, and every third time while a checkpoint is being written."""
    there, waits, rng = uninterrupted(whole, start), [], np.random.default_rng(0)
    options = ("--pause", 0.05)
    for life in range(8):
        victim = 1 - life % 2
        peers = start(tmp_path, 2, 2, *options)
        before = steps(tmp_path) if (tmp_path / "metrics.jsonl").exists() else []
        reached(tmp_path, peers, len(before) + 1)
        time.sleep(rng.uniform(0, 0.3))
        if life % 3 == 1:
            while not list((tmp_path / "checkpoints").glob("*tmp*")) and peers[0].poll() is None:
                time.sleep(0.001)
        peers[victim].kill()
        killed = time.monotonic()
        code, _, said = ended([peers[1 - victim]])[0]
        waits.append(time.monotonic() - killed)
        assert code == 75 and "the same command on all resumes" in said and "lost" in said
    finished(start(tmp_path, 2, 2, *options))
    with capsys.disabled():
        print(f"\nsurvivors left after {', '.join(f'{wait:.2f}' for wait in waits)} s")
    assert max(waits) < 25 and np.median(waits) < 2
    assert results(tmp_path)["sha256"] == there["sha256"]
    assert (tmp_path / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


@pytest.mark.parametrize("num_processes", [2, 3])
def test_ten_of_ten_losses_at_random_moments_end_all_others_with_75(
    start, tmp_path, capsys, num_processes
):
    """From the first row on, with an evaluation every five steps and a checkpoint every twenty."""
    rng, waits = np.random.default_rng(num_processes), []
    often = ("--rows", 30, "--eval-every", 5, "--checkpoint-every", 20, "--pause", 0.01)
    for trial in range(10):
        run = tmp_path / str(trial)
        peers = start(run, num_processes, 1, "--num-steps", 100_000, *often)
        reached(run, peers, 1)
        time.sleep(rng.uniform(0, 1))
        victim = peers.pop(rng.integers(num_processes))
        victim.kill()
        killed = time.monotonic()
        for code, _, said in ended(peers):
            assert code == 75 and "the same command on all resumes" in said, (trial, code, said)
        waits.append(time.monotonic() - killed)
    with capsys.disabled():
        print(f"\nall others left after {np.median(waits):.2f} s, at most {max(waits):.2f}")


@pytest.mark.parametrize("stopped", [0, 1])
def test_who_hangs_is_left_within_half_a_minute(start, whole, tmp_path, capsys, stopped):
    """And leaves too when it wakes; until then a process 0 that hangs holds the directory."""
    there = uninterrupted(whole, start)
    peers = start(tmp_path, 2, 2, "--pause", 0.05)
    reached(tmp_path, peers, 3)
    peers[stopped].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    code, _, said = ended([peers[1 - stopped]])[0]
    waited = time.monotonic() - began
    with capsys.disabled():
        print(f"\nprocess {stopped} hangs: the other left after {waited:.1f} s")
    assert code == 75 and "the same command on all resumes" in said and waited < 30
    if stopped == 0:
        for code, _, said in ended(start(tmp_path, 2, 2, "--pause", 0.05)):
            assert code == 2 and f"in use by process {peers[0].pid}" in said
    peers[stopped].send_signal(signal.SIGCONT)
    assert ended([peers[stopped]])[0][0] == 75
    finished(start(tmp_path, 2, 2, "--pause", 0.05))
    assert results(tmp_path)["sha256"] == there["sha256"]


def test_a_mistake_in_one_process_ends_all(start, tmp_path):
    (one, _, why), (other, _, said) = ended(start(tmp_path, 2, 2, "--fails", 0))
    assert one == 1 and "ZeroDivisionError" in why
    assert other == 75 and "the same command on all resumes" in said


def test_other_options_in_one_process_are_refused_in_all(start, tmp_path):
    """Other seeds would train to wrong numbers, other lengths would wait for ever."""
    mine = iter([(), ("--num-steps", 90, "--seed", 1), ()])

    def join(*whom):
        options, variables = explicitly(*whom)
        return [*options, *next(mine)], variables

    for code, _, said in ended(start(tmp_path, 3, 1, join=join)):
        assert code == 2 and "num_steps 80 / 90, seed 0 / 1 (process 0 / process 1)" in said
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    ("told", "signum", "wanted"),
    [
        (0, signal.SIGTERM, (85, 85)),
        (1, signal.SIGTERM, (85, 85)),
        (0, signal.SIGINT, (130, 85)),
        (1, signal.SIGINT, (85, 130)),
    ],
)
def test_a_signal_to_either_process_saves_in_both_at_one_step(
    start, whole, tmp_path, told, signum, wanted
):
    there = uninterrupted(whole, start)
    options = ("--checkpoint-every", 1000, "--pause", 0.05)
    peers = start(tmp_path, 2, 2, *options)
    reached(tmp_path, peers, 3)
    peers[told].send_signal(signum)
    sent = time.monotonic()
    codes, _, said = zip(*ended(peers))
    assert codes == wanted, said
    assert time.monotonic() - sent < 15
    assert said[0].count(": saved" if wanted[0] == 85 else "; saved") == 1
    assert ("saved" in said[1]) == (wanted[1] == 130) and "told to end" not in said[1]
    (saved,) = (int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert 10 <= saved < 80
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


def test_all_checkpoints_damaged_ends_all_processes_with_3_and_changes_nothing(
    start, whole, tmp_path
):
    shutil.copytree(first_half(whole, start), tmp_path, dirs_exist_ok=True)
    for file in (tmp_path / "checkpoints").rglob("d/*"):
        file.write_bytes(b"")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    told = ended(start(tmp_path, 2, 2))
    assert [code for code, _, _ in told] == [3, 3], told
    assert all(f"step {step}: " in said for _, _, said in told for step in (20, 30, 40))
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"20", "30", "40"}
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


DISK = """
mount -t tmpfs -o size=12m none {disk} || exit 99
head -c 8000000 /dev/urandom > {disk}/ballast
{commands[0]} & one=$!
{commands[1]}; echo "second $?" >&2
wait $one; echo "first $?" >&2
ls {disk}/run/checkpoints | sed "s/^/kept /" >&2
rm {disk}/ballast
{commands[2]} & one=$!
{commands[3]} && wait $one && echo "went on" >&2
cp -r {disk}/run {copy}
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, to mount a small disk")
def test_a_full_disk_ends_both_processes_with_2_and_the_run_goes_on(start, cache, tmp_path):
    disk, wide = tmp_path / "disk", ("--width", 10_000)  # 1.6 MB a checkpoint
    disk.mkdir()
    commands = [
        " ".join(words(disk / "run", cache, *wide, *explicitly(2, i, port)[0]))
        for port in (free_port(), free_port())
        for i in (0, 1)
    ]
    script = DISK.format(disk=disk, commands=commands, copy=tmp_path / "copy")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(2),
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    said = without_gloo(done.stderr)
    assert "first 2" in said and "second 2" in said and "went on" in said, done.stderr
    assert "no space left on the disk; the newest there is 20" in done.stderr
    assert [line for line in said if line.startswith("kept")] == ["kept 10", "kept 20"]
    assert "Traceback" not in done.stderr
    finished(start(tmp_path / "whole", 2, 2, *wide))
    assert results(tmp_path / "copy")["sha256"] == results(tmp_path / "whole")["sha256"]


def test_a_wrong_input_ends_all_processes_with_2(start, whole, tmp_path):
    uninterrupted(whole, start)
    for code, _, said in ended(start(whole, 2, 2, "--seed", 7)):
        assert code == 2 and "seed was 0, is 7" in said


def test_other_data_in_one_process_ends_all_with_2_before_the_first_step(start, tmp_path):
    for code, _, said in ended(start(tmp_path, 2, 1, "--own-data")):
        assert code == 2 and "must have the same programs and data: first batch" in said
    assert not list((tmp_path / "checkpoints").iterdir())


def test_an_address_in_use_is_exit_2_and_named(start, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        join = lambda n, i, port: explicitly(2, 0, taken.getsockname()[1])
        ((code, _, said),) = ended(start(tmp_path, 2, 1, join=join)[:1])
    assert code == 2 and "name a free one" in said.splitlines()[-1]


def slurm(num_processes, i, port):
    """What srun tells process i; jax takes the port from the job's number."""
    return ["--distributed"], {
        "SLURM_JOB_ID": str(port),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_LOCALID": str(i),
        "SLURM_NTASKS": str(num_processes),
        "SLURM_PROCID": str(i),
    }


def open_mpi(num_processes, i, port):
    """What mpirun of Open MPI tells process i."""
    return ["--distributed"], {
        "OMPI_MCA_orte_hnp_uri": f"{port * 4096}.0;tcp://127.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": str(num_processes),
        "OMPI_COMM_WORLD_RANK": str(i),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(i),
    }


@pytest.mark.parametrize("cluster", [slurm, open_mpi])
def test_on_a_cluster_that_jax_detects_one_option_is_enough(start, tmp_path, cluster):
    finished(start(tmp_path, 2, 2, "--num-steps", 10, join=cluster))
    assert results(tmp_path)["devices"] == 4


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of the child, which execs at once
def test_the_same_seed_gives_the_same_bits_on_one_core_and_on_all(start, tmp_path):
    one_core = {"preexec_fn": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})}
    for name, kept in (("a", {}), ("b", {}), ("c", one_core)):
        finished(start(tmp_path / name, 1, 2, **kept))
    assert len({results(tmp_path / name)["sha256"] for name in "abc"}) == 1
