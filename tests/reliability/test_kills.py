"""Runs that are killed at random moments end as if nothing had happened."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from tests.reliability import job
from tests.reliability.damage import files

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(900)]

processes = multiprocessing.get_context("forkserver")  # its children have the imports behind them
processes.set_forkserver_preload(["tests.reliability.job"])


class Life:
    """One process of a run."""

    def __init__(self, config):
        self.first, self.reached = processes.Value("i", -1), processes.Value("i", -1)
        self.process = processes.Process(target=job.live, args=(config, self.first, self.reached))
        self.process.start()

    def trains(self):
        while self.reached.value <= max(0, self.first.value) and self.process.is_alive():
            time.sleep(0.001)

    def killed(self):
        """Whether there was something to kill."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        return self.process.exitcode == -signal.SIGKILL

    def ended(self):
        self.process.join()
        assert self.process.exitcode == 0


def state_bits(config):
    """Every number of the last checkpoint: state, optimiser, average, best."""
    import jax

    from dgm_jax.learning.checkpoints import Checkpoints

    shape = jax.eval_shape(job.algorithm(config).init, jax.random.key(0))
    with Checkpoints(config.workdir / "checkpoints") as checkpoints:
        saved = checkpoints.restore({"state": shape, "best": shape})
    note = {name: value for name, value in saved.note.items() if name != "seconds"}
    return saved.step, [np.asarray(x).tobytes() for x in jax.tree.leaves(saved.state)], note


@pytest.mark.parametrize(
    ("kind", "num_kills"), [("descent", 50), ("players", 12), ("em", 12), ("langevin", 12)]
)
def test_kills_at_random_moments_change_no_bit(kind, num_kills, tmp_path, capsys):
    size = 100_000 if kind == "descent" else 20_000
    options = {"num_steps": 1500, "size": size, "algorithm": kind, "cache_dir": tmp_path}
    config = job.Config(workdir=tmp_path / "whole", **options)
    whole = Life(config)
    whole.ended()
    want, metrics = state_bits(config), (config.workdir / "metrics.jsonl").read_bytes()

    rng = np.random.default_rng(0)
    kills, trained, lost, halves, runs = 0, 0, [], 0, 0
    while kills < num_kills:
        runs += 1
        config = job.Config(workdir=tmp_path / f"killed-{runs}", **options)
        reached = 0
        while True:
            life = Life(config)
            if kills < num_kills and rng.random() < 0.2:
                time.sleep(rng.uniform(0, 0.6))  # while it starts, reads or compiles
            elif kills < num_kills:
                life.trains()
                time.sleep(rng.uniform(0, 0.5))
            else:
                life.process.join()
            if life.process.is_alive() and life.killed():
                kills += 1
                trained += life.reached.value > life.first.value >= 0
                halves += any(".orbax-checkpoint-tmp" in str(f) for f in files(config.workdir))
            if life.first.value >= 0:
                lost.append(reached - life.first.value)
                reached = life.reached.value
            if life.process.exitcode == 0:
                break
        assert state_bits(config) == want
        assert (config.workdir / "metrics.jsonl").read_bytes() == metrics
    with capsys.disabled():
        print(
            f"\n{kind}: {kills} kills in {runs} runs, {trained} while training, "
            f"{halves} left half a file; steps lost: median {np.median(lost):.0f}, most {max(lost)}"
        )
    assert trained >= 0.6 * num_kills and max(lost) <= 2 * config.checkpoint_every


def test_two_thousand_steps_with_a_rotated_log_have_each_row_once(tmp_path):
    small = {"size": 100, "checkpoint_every": 25, "cache_dir": tmp_path}
    config = job.Config(num_steps=2000, workdir=tmp_path / "whole", **small)
    Life(config).ended()
    config = job.Config(num_steps=2000, workdir=tmp_path / "rotated", **small)
    log, rotated = config.workdir / "metrics.jsonl", config.workdir / "metrics.jsonl.1"
    life = Life(config)
    life.trains()
    while life.reached.value < 500:
        time.sleep(0.001)
    log.rename(rotated)
    while life.reached.value < 1200:
        time.sleep(0.001)
    assert life.killed() and life.reached.value < 1900
    with log.open("a") as file:
        file.write('{"step": 12')  # the half line that a kill may leave
    Life(config).ended()
    whole = (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert rotated.read_text() + log.read_text() == whole
    steps = [int(line.split()[1].strip(",")) for line in whole.splitlines()]
    assert steps == [t for t in range(2001) if t % 3 == 0 or t % 20 == 0 or t % 25 == 0]
