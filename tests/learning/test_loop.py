import functools
import json
import math
import os
import shutil
import signal
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.learning import run as run_module
from dgm_jax.learning.checkpoints import Checkpoints
from dgm_jax.learning.devices import data_mesh
from dgm_jax.learning.gradient import averaged, gradient_descent
from dgm_jax.learning.loading import load
from dgm_jax.learning.loop import fit, train
from dgm_jax.learning.players import Player, alternate
from dgm_jax.learning.rows import Diverged
from dgm_jax.protocol import Algorithm
from dgm_jax.runs import preemption
from dgm_jax.runs.preemption import Preempted, termination
from tests.learning import algorithms

pytestmark = pytest.mark.usefixtures("compiled_once")


def init(key):
    return {"w": jax.random.normal(key, (4,))}


def noisy_loss(params, key, batch):
    """A regression whose target carries noise from the key, so keys matter."""
    noise = 0.1 * jax.random.normal(key, batch["y"].shape)
    return ((batch["x"] @ params["w"] - batch["y"] - noise) ** 2).mean(), {}


def batch(step):
    rng = np.random.default_rng((7, step))
    x = rng.normal(size=(16, 4)).astype(np.float32)
    return {"x": x, "y": x.sum(1)}


@functools.cache
def make(**options):
    algorithm = gradient_descent(init, noisy_loss, optax.adam(0.05), **options)
    return algorithm._replace(params=lambda state: {"step": state.step, **averaged(state)})


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


class Killed(BaseException):
    pass


def killed_at(when):
    def draw(step):
        if step == when:
            raise Killed
        return batch(step)

    return draw


@jax.jit
def distance(params):
    return ((params["w"] - 1) ** 2).sum()


def evaluate(params, key):
    """It rises again after step 40, so that the best state is not the last one."""
    return {"distance": distance(params) + jnp.abs(params["step"] - 40)}


def quiet(**options):
    return {"num_steps": 70, "log_every": 8, "progress": False, **options}


# ------------------------------------------------------------------------------------- the run
def test_train_is_the_plain_loop_over_steps():
    algorithm, key = make(ema_decay=0.9), jax.random.key(0)
    trained = train(algorithm, key, batch, **quiet())
    init_key, loop_key = jax.random.split(jax.random.key(0))
    state = algorithm.init(init_key)
    losses = []
    for t in range(70):
        state, metrics = jax.jit(algorithm.step)(state, jax.random.fold_in(loop_key, t), batch(t))
        losses.append(float(metrics["loss"]))
    for a, b in zip(jax.tree.leaves(trained.state), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert [row["step"] for row in trained.history] == [8, 16, 24, 32, 40, 48, 56, 64, 70]
    np.testing.assert_allclose(trained.history[1]["loss"], np.mean(losses[8:16]), rtol=1e-5)
    np.testing.assert_allclose(trained.history[-1]["loss"], np.mean(losses[64:]), rtol=1e-5)
    assert trained.best is trained.state and trained.seconds > 0


def test_the_state_before_training_is_evaluated_and_may_be_the_best():
    """What is monitored only grows: the best state is that of the start."""
    measure = lambda params, key: {"steps": params["step"]}
    options = quiet(num_steps=6, evaluate=measure, eval_every=3, monitor="steps")
    trained = train(make(), jax.random.key(0), batch, **options)
    assert trained.history[0] == {"step": 0, "steps": 0}
    assert [row["step"] for row in trained.history] == [0, 3, 6]
    assert trained.best.step == 0 and trained.state.step == 6


RUNS = {
    "plain": {"checkpoint_every": 20},
    "monitored": {
        "checkpoint_every": 20,
        "evaluate": evaluate,
        "eval_every": 10,
        "monitor": "distance",
    },
    "patient": {
        "checkpoint_every": 25,
        "evaluate": evaluate,
        "eval_every": 10,
        "monitor": "distance",
        "patience": 2,
    },
}


def with_a_bad_batch(step):
    x = batch(step)
    return {**x, "y": x["y"] * (np.nan if step == 45 else 1)}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """uninterrupted(kind): that run, and the text of its metrics.jsonl; each is made once."""

    @functools.cache
    def made(kind, draw=batch):
        workdir, algorithm = tmp_path_factory.mktemp(kind), make(ema_decay=0.9)
        options = quiet(**RUNS[kind], workdir=workdir)
        trained = train(algorithm, jax.random.key(0), draw, **options)
        return trained, (workdir / "metrics.jsonl").read_text()

    return made


@pytest.mark.parametrize(
    ("kind", "when"), [("monitored", 3), ("plain", 47), ("monitored", 55), ("patient", 47)]
)
def test_a_run_killed_and_resumed_is_the_run(kind, when, tmp_path, uninterrupted, capfd):
    options = quiet(**RUNS[kind])
    whole, rows = uninterrupted(kind)
    with pytest.raises(Killed):
        train(
            make(ema_decay=0.9),
            jax.random.key(0),
            killed_at(when),
            workdir=tmp_path / "b",
            **options,
        )
    log = tmp_path / "b" / "metrics.jsonl"
    with log.open("a") as file:
        file.write('{"step": 4')  # the half line of a process killed while writing
    resumed = train(
        make(ema_decay=0.9), jax.random.key(0), batch, workdir=tmp_path / "b", **options
    )
    assert bits(resumed.state) == bits(whole.state) and bits(resumed.best) == bits(whole.best)
    assert resumed.history == whole.history
    assert log.read_text() == rows and capfd.readouterr().err == ""
    assert [json.loads(line) for line in log.read_text().splitlines()] == whole.history
    if kind == "monitored":
        assert whole.best.step == 40 and whole.state.step == 70
    if kind == "patient":
        assert whole.best.step == 40 and whole.state.step == 60


def test_a_process_that_dies_without_a_word_is_resumed(tmp_path, uninterrupted):
    script = f"""
import os, sys
sys.path.insert(0, {str(sys.path[0])!r})
import jax
from tests.learning.test_loop import RUNS, batch, make, quiet, train
def draw(step):
    if step == 55:
        os._exit(9)
    return batch(step)
options = quiet(**RUNS["plain"], workdir={str(tmp_path / "b")!r})
train(make(ema_decay=0.9), jax.random.key(0), draw, **options)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    options = quiet(**RUNS["plain"], workdir=tmp_path / "b")
    whole, _ = uninterrupted("plain")
    resumed = train(make(ema_decay=0.9), jax.random.key(0), batch, **options)
    assert bits(resumed.state) == bits(whole.state) and resumed.history == whole.history


@pytest.mark.parametrize("when", [3, 47, 66, 69])
def test_sigterm_saves_at_the_current_step_and_the_resumed_run_is_the_run(
    when, tmp_path, capfd, uninterrupted
):
    """Step 69 is the last; 47 and 66 lie between two rows, whose means must come out the same."""

    def told_to_end_at(step):
        if step == when:
            os.kill(os.getpid(), signal.SIGTERM)
        return with_a_bad_batch(step)

    options = quiet(**RUNS["monitored"])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        train(
            make(ema_decay=0.9),
            jax.random.key(0),
            told_to_end_at,
            workdir=tmp_path / "b",
            **options,
        )
    assert isinstance(ended.value, Preempted) and ended.value.code == 85
    assert signal.getsignal(signal.SIGTERM) == before
    assert f"checkpoints/{when + 1}; the same command resumes" in capfd.readouterr().err
    assert load(tmp_path / "b").step == when + 1
    whole, rows = uninterrupted("monitored", with_a_bad_batch)
    first = []

    def resumed_at(step):
        first.append(step)
        return with_a_bad_batch(step)

    resumed = train(
        make(ema_decay=0.9), jax.random.key(0), resumed_at, workdir=tmp_path / "b", **options
    )
    assert first == [0, *range(when + 1, 70)]  # the first batch tells which run it is
    assert bits(resumed.state) == bits(whole.state) and bits(resumed.best) == bits(whole.best)
    assert (tmp_path / "b" / "metrics.jsonl").read_text() == rows
    assert resumed.history == whole.history


@pytest.mark.parametrize("when", [0, 8])
def test_a_control_c_saves_at_the_step_and_is_raised_to_the_user(tmp_path, uninterrupted, when):
    """In the first step too, which is compiled meanwhile. A notebook stops with this signal."""

    def interrupted_at(step):
        if step == when:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(step)

    algorithm, options = make(ema_decay=0.9), quiet(**RUNS["monitored"], workdir=tmp_path)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=f"saved .*checkpoints/{when + 1}; the same"):
        train(algorithm, jax.random.key(0), interrupted_at, **options)
    assert signal.getsignal(signal.SIGINT) is before
    whole, rows = uninterrupted("monitored")
    resumed = train(algorithm, jax.random.key(0), batch, **options)
    assert bits(resumed.state) == bits(whole.state)
    assert (tmp_path / "metrics.jsonl").read_text() == rows


def test_a_sigterm_that_was_not_acted_on_is_sent_again():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with termination() as told_to_end:
            os.kill(os.getpid(), signal.SIGTERM)
            assert told_to_end() and not heard
        assert heard == [1]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_on_several_processes_a_second_training_goes_on_counting_for_sigterm(monkeypatch):
    """jax waits for the number after the highest it has seen; from 1 again it might never come."""
    asked = []
    monkeypatch.setattr(preemption.processes, "several", lambda: True)
    monkeypatch.setattr(preemption.multihost_utils, "reached_preemption_sync_point", asked.append)
    for _ in range(2):
        with termination() as told_to_end:
            told_to_end(), told_to_end()
    assert np.diff(asked).tolist() == [1, 1, 1]


@pytest.mark.usefixtures("small_heap")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's threads
def test_a_run_whose_newest_checkpoint_is_damaged_ends_where_it_would_have(tmp_path, uninterrupted):
    algorithm, options = make(ema_decay=0.9), quiet(**RUNS["monitored"], workdir=tmp_path / "b")
    whole, _ = uninterrupted("monitored")
    with pytest.raises(Killed):
        train(algorithm, jax.random.key(0), killed_at(47), **options)
    for file in (tmp_path / "b" / "checkpoints" / "40").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:-5])
    resumed = train(algorithm, jax.random.key(0), batch, **options)
    assert bits(resumed.state) == bits(whole.state) and resumed.history == whole.history
    saved = {path.name for path in (tmp_path / "b" / "checkpoints").iterdir()}
    assert saved == {"40", "60", "70", "corrupt-40"}


def test_by_default_a_run_is_saved_by_the_clock_at_rows(tmp_path, monkeypatch):
    steps, save = [], Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda *a, **k: steps.append(a[1]) or save(*a, **k))
    train(make(), jax.random.key(0), batch, **quiet(), workdir=tmp_path / "a")
    monkeypatch.setattr(run_module, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(run_module, "SAVE_SHARE", math.inf)
    train(make(), jax.random.key(0), batch, **quiet(), workdir=tmp_path / "b")
    assert steps == [70, 8, 16, 24, 32, 40, 48, 56, 64, 70]
    logs = [(tmp_path / run / "metrics.jsonl").read_text() for run in "ab"]
    assert logs[0] == logs[1]


def test_a_directory_in_use_is_refused(tmp_path):
    code = "import sys; from dgm_jax.runs.locks import locked; lock = locked(sys.argv[1]);"
    code += "lock.__enter__(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(ValueError, match=f"in use by process {other.pid} on"):
            train(make(), jax.random.key(0), batch, **quiet(), workdir=tmp_path)
        other.kill()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("writes", ["a row", "a checkpoint"])
def test_a_run_whose_directory_was_made_again_for_another_writes_nothing_there(tmp_path, writes):
    def removed(t):
        if t == 9:
            shutil.rmtree(tmp_path / "run")
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / ".lock").write_text("process 1 on b\n1\n")
            if writes == "a checkpoint":
                os.kill(os.getpid(), signal.SIGTERM)
        return batch(t)

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(ValueError, match="is now of process 1 on b; nothing more is written"):
            train(make(), jax.random.key(0), removed, **quiet(), workdir=tmp_path / "run")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_nothing_is_moved_between_host_and_device_by_accident(tmp_path):
    """Batches, the number of the step, metrics, evaluations, checkpoints: all on purpose."""
    key = jax.random.key(0)

    def measure(params, key):
        return {"distance": distance(params)}

    with jax.transfer_guard("disallow"):
        train(
            make(ema_decay=0.9),
            key,
            batch,
            workdir=tmp_path,
            evaluate=measure,
            eval_every=10,
            monitor="distance",
            checkpoint_every=20,
            **quiet(),
        )


@pytest.mark.parametrize("kind", ["monitored", "patient"])
def test_a_finished_run_is_returned_at_once(kind, tmp_path, monkeypatch):
    options = quiet(**RUNS[kind], workdir=tmp_path)
    first = train(make(), jax.random.key(0), batch, **options)

    asked, compiled = [], []
    monkeypatch.setattr(run_module.Run, "advance", lambda *_: compiled.append(1))
    draw = lambda step: asked.append(step) or batch(step)
    again = train(make(), jax.random.key(0), draw, **options)
    assert (asked, compiled) == ([0], [])
    assert bits(again.state) == bits(first.state) and bits(again.best) == bits(first.best)
    assert again.history == first.history and again.seconds == first.seconds


def swapped(lines):
    return [lines[1], lines[0], *lines[2:]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [*lines[:3], "{bad\n", *lines[3:]],
        lambda lines: [*lines[:3], "7\n", *lines[4:]],
        lambda lines: [lines[0], *lines],
        lambda lines: [*lines[:4], lines[4].replace(":", ": 1", 1), *lines[5:]],
        lambda lines: lines[:-2],
        lambda lines: [],
        swapped,
    ],
    ids=["bad", "number", "doubled", "altered", "cut", "emptied", "swapped"],
)
def test_rows_come_from_the_checkpoint_whatever_became_of_the_log(damage, tmp_path, capfd):
    options = quiet(**RUNS["monitored"], workdir=tmp_path)
    first = train(make(ema_decay=0.9), jax.random.key(0), batch, **options)
    log = tmp_path / "metrics.jsonl"
    whole = log.read_text()
    log.write_text("".join(damage(whole.splitlines(keepends=True))))
    again = train(make(ema_decay=0.9), jax.random.key(0), batch, **options)
    assert again.history == first.history and bits(again.best) == bits(first.best)
    assert log.read_text() == whole
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith(f"{log} is written again from the checkpoint: its row of step ")


def test_a_longer_run_goes_on_from_the_shorter(tmp_path):
    train(make(), jax.random.key(0), batch, **quiet(num_steps=30), workdir=tmp_path)
    longer = train(make(), jax.random.key(0), batch, **quiet(), workdir=tmp_path)
    assert bits(longer.state) == bits(train(make(), jax.random.key(0), batch, **quiet()).state)
    assert bits(load(tmp_path).params) == bits(longer.params)


def test_the_step_is_traced_once_and_the_host_does_not_wait_between_rows(monkeypatch):
    algorithm = make()
    step = chex.assert_max_traces(algorithm.step, 1)
    fetched, real = [], jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda tree: fetched.append(len(tree)) or real(tree))
    train(Algorithm(algorithm.init, step), jax.random.key(0), batch, **quiet())
    rows = [8, 3] * 8 + [6, 3]  # the metrics of the steps, and the arrays that must be finite
    assert fetched == [2, *rows]  # after the words of the key


def test_rows_go_to_the_hook_and_nothing_is_printed(capfd, tmp_path):
    seen = []
    trained = train(
        make(),
        jax.random.key(0),
        batch,
        workdir=tmp_path,
        num_steps=25,
        log_every=10,
        on_log=lambda step, row: seen.append((step, row)),
    )
    assert seen == [(row["step"], row) for row in trained.history]
    assert capfd.readouterr() == ("", "")


def test_an_algorithm_without_metrics_or_data_runs_too():
    def langevin(x, key, batch):
        return x - 0.1 * x + jnp.sqrt(0.2) * jax.random.normal(key, x.shape), {}

    algorithm = Algorithm(lambda key: jax.random.normal(key, (2000,)), langevin)
    trained = train(algorithm, jax.random.key(0), **quiet())
    np.testing.assert_allclose(trained.state.var(), 0.2 / (1 - 0.9**2), rtol=0.1)
    state, _ = fit(algorithm, jax.random.key(0), num_steps=70)
    np.testing.assert_allclose(state.var(), 0.2 / (1 - 0.9**2), rtol=0.1)


# ------------------------------------------------------------------------- algorithms of all kinds
@pytest.mark.parametrize("kind", ["players", "em", "langevin"])
def test_other_kinds_of_algorithms_are_resumed_bit_by_bit_on_one_device_and_on_eight(
    kind, tmp_path
):
    """And learns the same on both: statistics of a batch are those of all its rows."""
    algorithm = algorithms.KINDS[kind](4)

    def killed(step):
        if step == 13:
            raise Killed
        return algorithms.batch(step)

    def run(name, draw, mesh):
        options = {"num_steps": 18, "log_every": 4, "checkpoint_every": 6, "progress": False}
        options |= {"workdir": tmp_path / name, "mesh": mesh}
        return train(algorithm, jax.random.key(0), draw, **options)

    whole = {}
    for num_devices, mesh in ((1, None), (8, data_mesh(8))):
        with pytest.raises(Killed):
            run(f"{num_devices} killed", killed, mesh)
        resumed = run(f"{num_devices} killed", algorithms.batch, mesh)
        whole[num_devices] = run(f"{num_devices}", algorithms.batch, mesh)
        assert bits(resumed.state) == bits(whole[num_devices].state)
        assert resumed.history == whole[num_devices].history
        loaded = load(tmp_path / f"{num_devices} killed").params
        assert bits(loaded) == bits(whole[num_devices].params)
    for one, many in zip(jax.tree.leaves(whole[1].state), jax.tree.leaves(whole[8].state)):
        np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-5)


def test_a_run_of_stages_is_each_algorithm_in_its_turn_and_is_resumed_within_any(tmp_path):
    """Also where the run stops a step before, at and after a stage begins."""
    first, second = make(), gradient_descent(init, noisy_loss, optax.adam(0.01))
    options = quiet(**RUNS["plain"], stages={60: first, 48: second})
    whole = train(first, jax.random.key(0), batch, workdir=tmp_path / "whole", **options)
    init_key, loop_key, _ = jax.random.split(jax.random.key(0), 3)
    state = first.init(init_key)
    for t in range(70):
        step = jax.jit((second if 48 <= t < 60 else first).step)
        state, _ = step(state, jax.random.fold_in(loop_key, t), batch(t))
    chex.assert_trees_all_close(whole.state, state, rtol=1e-6)
    for when in (47, 48, 49, 65):
        workdir = tmp_path / str(when)
        with pytest.raises(Killed):
            train(first, jax.random.key(0), killed_at(when), workdir=workdir, **options)
        resumed = train(first, jax.random.key(0), batch, workdir=workdir, **options)
        assert bits(resumed.state) == bits(whole.state) and resumed.history == whole.history
        assert bits(load(workdir).params) == bits(whole.params)
    with pytest.raises(ValueError, match="the step computes something else"):
        other = options | {"stages": {60: second, 48: second}}
        train(first, jax.random.key(0), batch, workdir=tmp_path / "whole", **other)


def test_stages_whose_metrics_or_states_are_others_are_refused_before_compiling():
    def more(state, key, batch):
        return state, {"more": 0.0}

    def wider(state, key, batch):
        return jnp.zeros(2), {}

    for step, said in ((more, r"stages\[3\] gives the metrics"), (wider, "they must agree")):
        with pytest.raises(ValueError, match=said):
            later = COUNTING._replace(step=step)
            train(COUNTING, jax.random.key(0), stages={3: later}, **quiet())


COUNTING = Algorithm(lambda key: jnp.zeros(()), lambda x, key, batch: (x + 1, {}))


@pytest.mark.parametrize(("minimise", "best"), [(True, 3), (False, 7)])
def test_the_best_is_the_lowest_or_the_highest_as_it_is_told(minimise, best, tmp_path):
    """Of |x - 3|, which is 3 at first and 2, 1, 0, 1, 2, 3, 4 after the steps, and of a NaN."""

    def evaluate(x, key):
        return {"far": jnp.abs(x - 3) if x != 4 else math.nan}

    options = {"monitor": "far", "minimise": minimise, "eval_every": 1, "workdir": tmp_path}
    options |= {"num_steps": 7, "progress": False}
    trained = train(COUNTING, jax.random.key(0), evaluate=evaluate, **options)
    assert trained.best == trained.params == load(tmp_path).params == best and trained.state == 7


@pytest.mark.parametrize(("minimise", "bad"), [(True, -math.inf), (False, math.inf)])
def test_what_is_not_finite_is_never_the_best_and_is_told_at_every_call(
    minimise, bad, tmp_path, capfd
):
    def evaluate(x, key):
        return {"far": {2: bad, 4: math.nan}.get(int(x), x if minimise else -x)}

    options = {"monitor": "far", "minimise": minimise, "eval_every": 1, "workdir": tmp_path}
    options |= {"num_steps": 5, "progress": False, "evaluate": evaluate}
    first = train(COUNTING, jax.random.key(0), **options)
    said = capfd.readouterr().err
    assert said == f"step 2: evaluate gave far = {bad}, which is never the best (said once)\n"
    again = train(COUNTING, jax.random.key(0), **options)
    assert first.best == again.best == load(tmp_path).params == 0
    assert str(again.history) == str(first.history) and first.history[2]["far"] == bad
    assert capfd.readouterr().err == said
    log = [
        json.loads(line)["far"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert float(log[2]) == bad and log[4] is None


def test_a_monitor_that_is_never_finite_keeps_the_last_state_and_says_so(tmp_path, capfd):
    options = {"monitor": "far", "eval_every": 2, "workdir": tmp_path, "progress": False}
    for _ in range(2):
        trained = train(
            COUNTING,
            jax.random.key(0),
            num_steps=4,
            evaluate=lambda x, key: {"far": math.nan},
            **options,
        )
        assert trained.best == trained.params == load(tmp_path).params == 4
        assert "far was never a finite number: the last state is kept" in capfd.readouterr().err


def test_every_evaluation_has_the_same_key_which_follows_from_that_of_the_run(tmp_path):
    seen = []

    def evaluate(x, key):
        seen.append(jax.random.key_data(key).tolist())
        return {"noise": jax.random.normal(key)}

    def run(seed, num_steps):
        options = {"evaluate": evaluate, "eval_every": 2, "num_steps": num_steps, "progress": False}
        train(COUNTING, jax.random.key(seed), workdir=tmp_path / str(seed), **options)

    run(0, 4), run(0, 6), run(1, 2)
    assert len(seen) == 6 and seen[:4] == [seen[0]] * 4 and seen[4] == seen[5] != seen[0]


@pytest.mark.parametrize("params", [lambda x: jnp.exp(x), lambda x: {"w": 3.0}])
def test_an_algorithm_that_computes_its_parameters_is_refused_before_compiling(params, tmp_path):
    algorithm = COUNTING._replace(params=params)
    with pytest.raises(ValueError, match="algorithm.params must pick parts .*TypeError"):
        train(algorithm, jax.random.key(0), workdir=tmp_path, **quiet())


# ---------------------------------------------------------------------------------------- fit
def test_fit_draws_by_key_and_step_and_hands_on_what_is_fixed():
    def step(x, key, batch, fixed):
        return x + fixed * batch["t"], {"noise": batch["noise"]}

    def draw(key, t):
        return {"t": t, "noise": jax.random.normal(key)}

    algorithm = Algorithm(lambda key: jnp.int32(0), step)
    run = jax.jit(lambda key, fixed: fit(algorithm, key, draw, num_steps=5, fixed=fixed))
    x, metrics = run(jax.random.key(0), jnp.int32(10))
    assert x == 10 * (0 + 1 + 2 + 3 + 4) and len(set(metrics["noise"].tolist())) == 5


def test_fit_is_jitted_and_vmapped_over_keys():
    def draw(key, t):
        x = jax.random.normal(key, (64, 4))
        return {"x": x, "y": x.sum(1)}

    def run(key):
        return fit(make(), key, draw, num_steps=150)

    state, metrics = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 3))
    assert metrics["loss"].shape == (3, 150) and state.params["w"].shape == (3, 4)
    np.testing.assert_allclose(state.params["w"], 1.0, atol=0.05)
    one, _ = jax.jit(run)(jax.random.split(jax.random.key(0), 3)[1])
    np.testing.assert_allclose(one.params["w"], state.params["w"][1], rtol=1e-5)


# ------------------------------------------------------------------------------- what goes wrong
def poisoned(bad):
    """A draw whose batches are NaN at the steps in `bad`."""
    return lambda t: jax.tree.map(lambda x: x * (np.nan if t in bad else 1.0), batch(t))


def test_a_bad_batch_is_skipped_counted_and_left_out_of_the_means():
    trained = train(make(), jax.random.key(0), poisoned({12}), **quiet())
    assert [row["skipped"] for row in trained.history] == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert all(math.isfinite(x) for row in trained.history for x in row.values())
    assert np.isfinite(trained.state.params["w"]).all() and trained.state.step == 70


def test_too_many_bad_batches_in_a_row_stop_the_run(tmp_path):
    bad = range(33, 70)
    options = quiet(**RUNS["plain"], workdir=tmp_path)
    for _ in range(2):  # and again when it is resumed
        with pytest.raises(Diverged, match="step 43: the last 10 steps had no finite") as error:
            train(make(), jax.random.key(0), poisoned(bad), **options)
        assert str(tmp_path / "checkpoints" / "40") in str(error.value)
    assert np.isfinite(load(tmp_path).params["w"]).all()


def exploding(kind, rate):
    """A descent, or a game, in which the 34th update of each parameter is by a rate too high."""
    optimizer = optax.sgd(lambda step: jnp.where(step < 33, 0.05, rate))
    if kind == "descent":
        return gradient_descent(init, noisy_loss, optimizer, ema_decay=0.9)

    def loss(own, other):
        """Each player's w follows the data, disturbed by the other's."""
        return lambda params, key, batch: noisy_loss(
            {"w": params[own] + 0.1 * jax.lax.stop_gradient(params[other])}, key, batch
        )

    players = {
        "critic": Player(loss("critic", "generator"), optimizer),
        "generator": Player(loss("generator", "critic"), optimizer, ema_decay=0.9),
    }
    return alternate(players, lambda key: dict.fromkeys(players, init(key)["w"]))


@pytest.mark.parametrize("kind", ["descent", "game"])
@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (jnp.inf, r"(loss|grad_norm) is|is not finite"),
        (1e25, "step 4[34]: the last 10 steps had no"),
    ],
    ids=["to infinity", "to numbers whose gradient is infinite"],
)
def test_what_diverges_ends_with_its_last_finite_checkpoint(kind, rate, said, tmp_path, capfd):
    options = quiet(**RUNS["monitored"] | {"evaluate": evaluate_all}, workdir=tmp_path)
    for _ in range(2):  # and again when it is resumed
        with pytest.raises(Diverged, match=said) as error:
            train(exploding(kind, rate), jax.random.key(0), batch, **options)
        saved = int(str(error.value).rpartition("checkpoints/")[2].strip("."))
        kept = {int(path.name) for path in (tmp_path / "checkpoints").glob("[0-9]*")}
        assert saved == max(kept) and saved in (20, 40)
    found = load(tmp_path)
    assert found.step == saved
    norms = [np.abs(leaf).max() for leaf in jax.tree.leaves(found.params)]
    assert max(norms) < 10  # those of the best step, before it went wrong


def evaluate_all(params, key):
    return {"distance": algorithms.distance(params)}


def test_a_row_of_skipped_steps_alone_is_null_in_the_file(tmp_path):
    options = quiet(log_every=1, num_steps=5, workdir=tmp_path)
    trained = train(make(), jax.random.key(0), poisoned({2}), **options)
    assert math.isnan(trained.history[2]["loss"]) and trained.history[2]["skipped"] == 1
    line = (tmp_path / "metrics.jsonl").read_text().splitlines()[2]
    assert json.loads(line) == {"step": 3, "loss": None, "grad_norm": None, "skipped": 1}


def test_a_metric_that_is_not_finite_stops_the_run():
    def step(x, key, batch):
        return x + 1, {"energy": jnp.where(x == 4, jnp.nan, x)}

    algorithm = Algorithm(lambda key: jnp.zeros(()), step)
    with pytest.raises(Diverged, match="step 5: energy is nan.*There is no checkpoint"):
        train(algorithm, jax.random.key(0), lambda t: None, **quiet())


def test_a_state_that_is_not_finite_ends_a_run_without_a_directory_too():
    def step(state, key, batch):
        return {"x": state["x"] / (state["t"] != 5), "t": state["t"] + 1}, {}

    algorithm = Algorithm(lambda key: {"x": jnp.ones(2), "t": jnp.int32(0)}, step)
    with pytest.raises(Diverged, match="step 8: state/x is not finite.*There is no checkpoint"):
        train(algorithm, jax.random.key(0), **quiet())


@pytest.mark.parametrize("name", ["step", 3])
def test_a_metric_of_a_name_that_a_row_cannot_have_is_refused(name):
    told = f"gave a metric of name {name!r}; rename it"
    still = Algorithm(lambda key: jnp.zeros(()), lambda x, key, batch: (x, {name: x}))
    with pytest.raises(ValueError, match=f"step {told}"):
        train(still, jax.random.key(0), **quiet())
    descent = gradient_descent(init, lambda *_: (0.0, {name: 0.0}), optax.sgd(0.1))
    with pytest.raises(ValueError, match=f"loss {told}"):
        train(descent, jax.random.key(0), batch, **quiet())
    with pytest.raises(ValueError, match=f"evaluate {told}"):
        train(COUNTING, jax.random.key(0), evaluate=lambda x, key: {name: 0.0}, **quiet())


def test_a_state_that_is_not_finite_is_never_saved(tmp_path):
    def step(x, key, batch):
        return {"x": jnp.where(batch == 15, jnp.inf, x["x"])}, {}

    algorithm = Algorithm(lambda key: {"x": jnp.zeros(3)}, step)
    with pytest.raises(Diverged, match="step 16: state/x is not finite.*checkpoints/10"):
        train(
            algorithm,
            jax.random.key(0),
            lambda t: np.full(1, t),
            workdir=tmp_path,
            **quiet(checkpoint_every=10),
        )
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["10"]


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("num_steps", {"num_steps": 0}),
        ("log_every", {"log_every": None}),
        ("eval_every", {"eval_every": 10}),
        ("monitor='loss' needs evaluate", {"monitor": "loss"}),
        ("patience=3 needs monitor", {"patience": 3, "evaluate": evaluate}),
        ("checkpoint_every=5 needs workdir", {"checkpoint_every": 5}),
        ("evaluate must be a function", {"evaluate": {"nll": 1.0}}),
        ("on_log must be a function", {"on_log": []}),
        ("stages must be a dict", {"stages": [make()]}),
        ("each first step of stages must .* at least 1; got 0", {"stages": {0: make()}}),
        (r"stages\[5\] must be", {"stages": {5: make().step}}),
        ("patience", {"patience": 0, "evaluate": evaluate, "monitor": "distance"}),
    ],
)
def test_a_wrong_option_is_named(said, options):
    with pytest.raises(ValueError, match=said):
        train(make(), jax.random.key(0), batch, **quiet(**options))


def test_a_first_batch_without_rows_or_with_nan_is_refused_before_compiling():
    def never(*_):
        raise AssertionError("compiled")

    algorithm = Algorithm(never, never)
    with pytest.raises(ValueError, match=r"batch\(0\) is empty"):
        train(algorithm, jax.random.key(0), lambda t: np.zeros((0, 3)), **quiet())
    with pytest.raises(ValueError, match=r"batch\(0\): 1 of 2 rows have NaN"):
        train(algorithm, jax.random.key(0), lambda t: {"x": np.array([0, np.nan])}, **quiet())
    with pytest.raises(TypeError, match="key must be a typed key"):
        train(algorithm, 0, batch, **quiet())
    with pytest.raises(ValueError, match="batch must be a function"):
        train(algorithm, jax.random.key(0), batch(0), **quiet())


def test_a_state_that_could_not_be_resumed_is_refused_before_compiling(tmp_path):
    def step(state, key, batch):
        return {"x": state["x"] + 0.5}, {}

    algorithm = Algorithm(lambda key: {"x": jnp.int32(1)}, step)
    with pytest.raises(ValueError, match=r"step made x float32\[\], and init int32\[\]; they must"):
        train(algorithm, jax.random.key(0), batch, **quiet(workdir=tmp_path))
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_number_of_python_in_the_state_is_the_same_after_resuming(tmp_path):
    """As a weakly typed float32 it would be bfloat16 beside bfloat16, until it is resumed."""

    def step(state, key, batch):
        drift = (state["scale"] * jnp.full(3, 1.01, jnp.bfloat16)).sum()
        return {"x": state["x"] + drift.astype(jnp.float32), "scale": state["scale"]}, {}

    algorithm = Algorithm(lambda key: {"x": jnp.zeros(()), "scale": 0.1234567}, step)
    options = quiet(**RUNS["plain"])
    whole = train(algorithm, jax.random.key(0), batch, workdir=tmp_path / "a", **options)
    with pytest.raises(Killed):
        train(algorithm, jax.random.key(0), killed_at(47), workdir=tmp_path / "b", **options)
    resumed = train(algorithm, jax.random.key(0), batch, workdir=tmp_path / "b", **options)
    assert bits(resumed.state) == bits(whole.state)


def test_names_in_the_evaluation_are_checked():
    with pytest.raises(ValueError, match="monitor must be one of distance.*'distanse'.*mean"):
        train(
            make(),
            jax.random.key(0),
            batch,
            **quiet(evaluate=evaluate, monitor="distanse", eval_every=5),
        )
    with pytest.raises(ValueError, match="evaluate gave 'loss'"):
        train(
            make(),
            jax.random.key(0),
            batch,
            **quiet(evaluate=lambda params, key: {"loss": 0.0}, eval_every=5),
        )
