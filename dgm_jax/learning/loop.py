"""Training: `fit` is one pure function of a key, `train` is a run to be killed and resumed."""

import contextlib
import functools
import math
import operator
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .. import checks
from ..protocol import Algorithm, Batch, Key, Metrics, State
from ..runs import processes
from ..runs.locks import locked
from ..runs.logs import MetricsLog, progress_bar
from ..runs.preemption import Preempted, termination
from .checkpoints import Checkpoints, NotFinite, describe
from .devices import check_rows, data_mesh, first_copy, replicate, shard_batch

MAX_SKIPPED = 10  # steps in a row without a finite gradient, and a run gives up
AHEAD = 16  # steps the host may be ahead of the device: it bounds the batches in flight
SAVE_SECONDS = 60.0  # between two checkpoints where their number of steps is not given
SAVE_SHARE = 0.01  # and at most this share of the time goes into saving


class Diverged(RuntimeError):
    """Training met NaN or infinity; the message says where, and what to do."""

    exit_code = 4


class Trained(NamedTuple):
    state: State  # the last one
    best: State  # the one with the lowest `monitor`; the last one where nothing is monitored
    history: list[dict[str, float]]  # the rows of metrics.jsonl, each with its "step"
    seconds: float  # in steps: with compilation, without evaluation; a resumed run adds its past


def fit(
    algorithm: Algorithm, key: Key, draw: Callable[[Key], Batch], *, num_steps: int
) -> tuple[State, Metrics]:
    """(s_T, metrics [T, ...]) with s_{t+1} = step(s_t, key_t, draw(key'_t)): pure in `key`.

    One `lax.scan`: `jit` it, or `vmap` it over keys for an ensemble. For data drawn by a function
    of a key, and for runs short enough to be one computation; `train` is for the rest.
    """
    checks.key(key)
    checks.function(draw, "draw")
    checks.positive_int(num_steps, "num_steps")
    init_key, loop_key = jax.random.split(key)

    def body(state, t):
        data_key, step_key = jax.random.split(jax.random.fold_in(loop_key, t))
        return algorithm.step(state, step_key, draw(data_key))

    return jax.lax.scan(body, algorithm.init(init_key), jnp.arange(num_steps))


def train(
    algorithm: Algorithm,
    key: Key,
    batch: Callable[[int], Batch],
    *,
    num_steps: int,
    evaluate: Callable[[State], dict[str, float]] | None = None,
    monitor: str | None = None,
    eval_every: int | None = None,
    patience: int | None = None,
    log_every: int = 100,
    workdir: Path | str | None = None,
    checkpoint_every: int | None = None,
    on_log: Callable[[int, dict], None] | None = None,
    progress: bool = True,
    description: str = "",
    mesh: Mesh | None = None,
) -> Trained:
    """s_{t+1} = step(s_t, fold_in(key, t), batch(t)), logged, evaluated, checkpointed, resumed.

    `batch(t)` is the batch of step t, from 0. Batches and keys are functions of t, so a run that
    was killed and is called again with the same arguments and `workdir` ends in the same bits.
    A run that has reached `num_steps`, or lost its patience, is returned at once.

    - Every `log_every` steps a row goes to `history`, to `<workdir>/metrics.jsonl` and to
      `on_log(step, row)`. It holds the mean of each metric over the steps since the row before
      (skipped steps left out) and the number of skipped ones. Evaluations, checkpoints and the
      last step write a row too.
    - Every `eval_every` steps, and after the last, `evaluate(state)` adds its numbers to the row.
      `best` is the state with the lowest `monitor` among them; training stops after `patience`
      evaluations in a row without a lower one. NaN is never lower.
    - Every `checkpoint_every` steps, and after the last, the run is saved in
      `<workdir>/checkpoints`, in the background. By default that is at a row, once a minute, or
      as often as costs 1 % of the time. The newest three stay.
    - With `workdir`, a SIGTERM saves at the current step and raises `Preempted`, a `SystemExit`
      with code 85.
    - A checkpoint that is damaged is set aside, and the run goes on from the one before it.
    - With `mesh` (see `dgm_jax.learning.devices`) the batch is spread over its devices; its rows
      must divide among them. `evaluate` gets, and `Trained` has, the copy on the first device.
    - On several processes (`dgm_jax.runs.processes`) all call `train` with the same arguments;
      the mesh is all devices by default. All evaluate, the numbers of the first process count, and
      it alone writes rows, calls `on_log` and shows a bar.

    The host waits for the device at rows only. `evaluate` must not keep the state it is given,
    because the next step reuses its memory.

    Raises `ValueError` for wrong arguments and for a first batch that is empty or not finite,
    before anything is compiled, and for a `workdir` another process is using; `Diverged`, a
    `RuntimeError`, for a metric or a state that is not finite and after 10 skipped steps in a row;
    `NoUsableCheckpoint` where all are damaged; `OSError` where the disk is full.
    """
    checks.key(key)
    checks.function(batch, "batch")
    checks.positive_int(num_steps, "num_steps")
    checks.positive_int(log_every, "log_every")
    _check_optional(evaluate, monitor, eval_every, patience, workdir, checkpoint_every, on_log)
    init_key, loop_key = jax.random.split(key)
    if mesh is None and processes.several():
        mesh = data_mesh()
    everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=everywhere)
    def step(state, t, batch):
        new, metrics = algorithm.step(state, jax.random.fold_in(loop_key, t), batch)
        new = _strong(new)
        _check_kept(state, new)
        return new, metrics

    def put(tree):  # by name, so that a transfer by accident can be forbidden
        return jax.device_put(tree) if mesh is None else replicate(tree, mesh)

    def over(run):
        return run.step >= num_steps or (patience is not None and run.stale >= patience)

    def due(run, every):
        return run.step == num_steps or (every is not None and run.step % every == 0)

    with contextlib.ExitStack() as stack:
        checkpoints, told_to_end = None, lambda: False
        if workdir is not None:
            workdir = Path(workdir)
            workdir.mkdir(parents=True, exist_ok=True)
            told_to_end = stack.enter_context(termination())
            processes.from_first(lambda: stack.enter_context(locked(workdir)))
            checkpoints = stack.enter_context(Checkpoints(workdir / "checkpoints"))
        run = _resume(checkpoints, algorithm, init_key, monitor, mesh)
        mine = workdir is not None and processes.first()
        log = MetricsLog(workdir / "metrics.jsonl" if mine else None, run.step)
        log.rows[:] = processes.from_first(lambda: log.rows)
        if over(run):
            return _trained(run, log, mesh)

        now = batch(run.step)
        if run.step == 0:
            _check_batch(now)
            if mesh is not None:
                check_rows(now, mesh)
            run = run._replace(state=_start(algorithm, init_key, mesh))
        shown = progress and processes.first()
        bar = progress_bar(description, run.step, num_steps, show=shown)
        update = stack.enter_context(bar)
        window = list(run.window)  # the metrics since the last row, on the device
        clock = time.perf_counter()
        next_save = clock + SAVE_SECONDS if checkpoint_every is None else math.inf
        while True:
            now = put(now) if mesh is None else shard_batch(now, mesh)
            state, metrics = step(run.state, put(np.int32(run.step)), now)
            run = run._replace(step=run.step + 1, state=state)
            window.append(metrics)
            if len(window) > AHEAD:
                jax.block_until_ready(window[-AHEAD])
            update(run.step)
            leaving = told_to_end()
            evaluating = evaluate is not None and due(run, eval_every)
            saving = checkpoints is not None and due(run, checkpoint_every)
            if evaluating or saving or due(run, log_every):
                run, row = _summary(run, window, checkpoints)
                run = run._replace(seconds=run.seconds + time.perf_counter() - clock)
                if evaluating:
                    run, row = _evaluate(run, row, evaluate, monitor, mesh)
                _record(log, row, on_log)
                update(run.step, row)
                window, clock = [], time.perf_counter()
                late = functools.partial(operator.gt, clock, next_save)
                saving = saving or over(run) or processes.from_first(late)
            if checkpoints is not None and (saving or leaving):
                seconds = run.seconds + (time.perf_counter() - clock if window else 0)
                saved = time.perf_counter()
                _save(checkpoints, run._replace(window=window, seconds=seconds), monitor)
                if checkpoint_every is None:
                    cost = time.perf_counter() - saved
                    next_save = saved + max(SAVE_SECONDS, cost / SAVE_SHARE)
                clock = time.perf_counter()
            if leaving:
                where = checkpoints.directory / str(checkpoints.latest)  # waits until it is there
                if processes.first():
                    print(f"told to end: saved {where}; the same command resumes", file=sys.stderr)
                raise Preempted
            if over(run):
                return _trained(run, log, mesh)
            now = batch(run.step)


class _Run(NamedTuple):
    """Where a run stands: what a checkpoint holds."""

    step: int = 0
    state: State = None
    best: State = None  # None as long as no evaluation was the best
    best_value: float | None = None
    stale: int = 0  # evaluations since the best
    skipped: int = 0  # steps skipped in a row, up to the last
    seconds: float = 0.0
    window: Sequence[Metrics] = ()  # metrics of the steps since the last row


def _trained(run, log, mesh):
    if mesh is not None:
        run = run._replace(state=first_copy(run.state), best=first_copy(run.best))
    return Trained(run.state, run.state if run.best is None else run.best, log.rows, run.seconds)


def _record(log, row, on_log):
    """Rows are the first process's to write; all learn of a full disk."""

    def write():
        log.append(row)
        if on_log is not None:
            on_log(row["step"], row)

    processes.from_first(write)
    if not processes.first():
        log.append(row)


def _start(algorithm, init_key, mesh):
    state = jax.jit(lambda key: _strong(algorithm.init(key)))(init_key)
    return state if mesh is None else replicate(state, mesh)


def _resume(checkpoints, algorithm, init_key, monitor, mesh):
    """The run of the newest intact checkpoint, or one at step 0 that has no state yet."""
    if checkpoints is None:
        return _Run()
    sharding = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    state = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        jax.eval_shape(algorithm.init, init_key),
    )
    template = {"state": state} if monitor is None else {"state": state, "best": state}
    saved = checkpoints.restore(template)
    if saved is None:
        return _Run()
    run = _Run(saved.step, saved.state["state"], **saved.note)
    window = [{n: math.nan if x is None else x for n, x in m.items()} for m in run.window]
    best = None if run.best_value is None else saved.state["best"]
    return run._replace(window=window, best=best)


def _save(checkpoints, run, monitor):
    tree = {"state": run.state}
    if monitor is not None:
        tree["best"] = run.state if run.best is None else run.best
    note = {name: getattr(run, name) for name in ("best_value", "stale", "skipped", "seconds")}
    window = [{name: float(x) for name, x in m.items()} for m in jax.device_get(run.window)]
    note["window"] = [
        {name: x if math.isfinite(x) else None for name, x in m.items()} for m in window
    ]
    try:
        checkpoints.save(run.step, tree, note=note)
    except NotFinite as error:
        raise _diverged(str(error), run.step, checkpoints) from None


def _summary(run, window, checkpoints):
    """The row of the steps since the last one: means, and the number of skipped steps."""
    jax.block_until_ready(run.state)
    steps = range(run.step - len(window) + 1, run.step + 1)
    kept, in_a_row = [], run.skipped
    for step, metrics in zip(steps, jax.device_get(window), strict=True):
        if metrics.get("skipped", 0):
            in_a_row += 1
            if in_a_row == MAX_SKIPPED:
                what = f"the last {MAX_SKIPPED} steps had no finite gradient and were skipped"
                raise _diverged(what, step, checkpoints)
            continue
        in_a_row = 0
        kept.append(metrics)
        for name, value in metrics.items():
            if np.ndim(value):
                raise ValueError(f"metric {name!r} must be a scalar; got shape {np.shape(value)}.")
            if not np.isfinite(value):
                raise _diverged(f"{name} is {value}", step, checkpoints)
    row = {"step": run.step}
    for name in window[0]:
        values = [float(metrics[name]) for metrics in kept]
        row[name] = sum(values) / len(values) if values else math.nan
    if "skipped" in row:
        row["skipped"] = len(window) - len(kept)
    return run._replace(skipped=in_a_row), row


def _evaluate(run, row, evaluate, monitor, mesh):
    """The row with the evaluation in it, and the run with the best state in it."""
    found = jax.device_get(evaluate(run.state if mesh is None else first_copy(run.state)))
    numbers = processes.from_first(lambda: {name: float(x) for name, x in found.items()})
    for name in numbers.keys() & row.keys():
        raise ValueError(f"evaluate gave {name!r}, which the step gives too; rename it.")
    if monitor is None:
        return run, row | numbers
    checks.choice(monitor, numbers, "monitor")
    value = numbers[monitor]
    if value < (math.inf if run.best_value is None else run.best_value):
        best = jax.tree.map(jnp.copy, run.state)  # the next step reuses the memory of the state
        return run._replace(best=best, best_value=value, stale=0), row | numbers
    return run._replace(stale=run.stale + 1), row | numbers


def _diverged(what, step, checkpoints):
    latest = None if checkpoints is None else checkpoints.latest
    return Diverged(
        f"step {step}: {what}. Lower the learning rate, clip the gradient "
        "(optax.clip_by_global_norm) or look for bad rows in the data. "
        + (
            "There is no checkpoint."
            if latest is None
            else f"The last good checkpoint is {checkpoints.directory / str(latest)}."
        )
    )


def _check_optional(evaluate, monitor, eval_every, patience, workdir, checkpoint_every, on_log):
    for function, name in ((evaluate, "evaluate"), (on_log, "on_log")):
        if function is not None:
            checks.function(function, name)
    counts = {"eval_every": eval_every, "patience": patience, "checkpoint_every": checkpoint_every}
    for name, count in counts.items():
        if count is not None:
            checks.positive_int(count, name)
    for name, value, needed, missing in (
        ("eval_every", eval_every, "evaluate", evaluate),
        ("monitor", monitor, "evaluate", evaluate),
        ("patience", patience, "monitor", monitor),
        ("checkpoint_every", checkpoint_every, "workdir", workdir),
    ):
        if value is not None and missing is None:
            raise ValueError(f"{name}={value!r} needs {needed}, which was not given.")


def _strong(state):
    """No weak types: a checkpoint forgets them, and what is resumed must compute the same."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)


def _check_kept(state, new):
    """A state whose type changes from step to step could be saved, but not be resumed."""
    before, after = describe(state), describe(new)
    for name in sorted(before.keys() | after.keys()):
        old, now = before.get(name, "absent"), after.get(name, "absent")
        if old != now:
            raise ValueError(f"step made {name} {now}, and init {old}; they must agree.")


def _check_batch(first):
    for leaf in jax.tree.leaves(first):
        checks.finite_rows(leaf, "batch(0)")
