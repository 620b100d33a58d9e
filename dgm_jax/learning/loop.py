"""Training: `fit` is one pure function of a key, `train` is a run to be killed and resumed."""

import contextlib
import functools
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .. import checks
from ..protocol import Algorithm, Array, Batch, Key, Metrics, Params, State
from ..runs import processes
from ..runs.locks import locked
from ..runs.logs import MetricsLog, progress_bar
from ..runs.preemption import Preempted, termination
from . import rows
from .checkpoints import Checkpoints, NotFinite
from .checkpoints.leaves import describe
from .devices import check_rows, data_mesh, first_copy, replicate, shard_batch
from .loading import places

AHEAD = 16  # steps the host may be ahead of the device: it bounds the batches in flight
SAVE_SECONDS = 60.0  # between two checkpoints where their number of steps is not given
SAVE_SHARE = 0.01  # and at most this share of the time goes into saving


class Trained(NamedTuple):
    state: State  # the last one
    best: State  # the one with the best `monitor`; the last one where nothing is monitored
    params: Params  # algorithm.params(best): what to evaluate and to sample with
    history: list[dict[str, float]]  # the rows of metrics.jsonl, each with its "step"
    seconds: float  # in steps: with compilation, without evaluation; a resumed run adds its past


def fit(
    algorithm: Algorithm,
    key: Key,
    draw: Callable[[Key, Array], Batch] | None = None,
    *,
    num_steps: int,
    fixed: Any = None,
) -> tuple[State, Metrics]:
    """(s_T, metrics [T, ...]) with s_{t+1} = step(s_t, key_t, draw(key'_t, t)): pure in `key`.

    One `lax.scan`: `jit` it, or `vmap` it over keys for an ensemble. For data drawn by a function
    of a key (and of the number t of the step, from 0), and for runs short enough to be one
    computation; `train` is for the rest. Without `draw` the batch of every step is None. `fixed`
    is that of `train`; give it to the jitted function as an argument too.
    """
    checks.key(key)
    if draw is not None:
        checks.function(draw, "draw")
    checks.positive_int(num_steps, "num_steps")
    init_key, loop_key = jax.random.split(key)

    def body(state, t):
        data_key, step_key = jax.random.split(jax.random.fold_in(loop_key, t))
        batch = None if draw is None else draw(data_key, t)
        return algorithm.step(state, step_key, batch, **_given(fixed))

    return jax.lax.scan(body, algorithm.init(init_key), jnp.arange(num_steps))


def train(
    algorithm: Algorithm,
    key: Key,
    batch: Callable[[int], Batch] | None = None,
    *,
    num_steps: int,
    evaluate: Callable[[Params, Key], dict[str, float]] | None = None,
    monitor: str | None = None,
    minimise: bool = True,
    eval_every: int | None = None,
    patience: int | None = None,
    fixed: Any = None,
    log_every: int = 100,
    workdir: Path | str | None = None,
    checkpoint_every: int | None = None,
    on_log: Callable[[int, dict], None] | None = None,
    progress: bool = True,
    description: str = "",
    mesh: Mesh | None = None,
) -> Trained:
    """s_{t+1} = step(s_t, fold_in(key, t), batch(t)), logged, evaluated, checkpointed, resumed.

    `batch(t)` is the batch of step t, from 0; it may be None, and without `batch` always is.
    Batches and keys are functions of t, so a run that was killed and is called again with the same
    arguments and `workdir` ends in the same bits. A run that has reached `num_steps`, or lost its
    patience, is returned at once.

    - Every `log_every` steps a row goes to `history`, to `<workdir>/metrics.jsonl` and to
      `on_log(step, row)`. It holds the mean of each metric over the steps since the row before
      (skipped steps left out) and the number of skipped ones. Evaluations, checkpoints and the
      last step write a row too.
    - Every `eval_every` steps, and after the last, `evaluate(params, key)` adds its numbers to the
      row. params is algorithm.params(state), and key is the same at every evaluation and follows
      from the key of the run. `best` is the state with the lowest `monitor` among these numbers,
      with minimise=False the highest; training stops after `patience` evaluations in a row without
      a better one. NaN is never better.
    - With `fixed`, a tree of arrays that training leaves as it is (a teacher, an encoder learned
      before), the step is step(..., fixed=fixed). The compiled step has it as an argument, where
      an array that a loss closes over would become a constant of the program.
    - Every `checkpoint_every` steps, and after the last, the run is saved in
      `<workdir>/checkpoints`, in the background. By default that is at a row, once a minute, or
      as often as costs 1 % of the time. The newest three stay. `learning.load(workdir)` gives
      algorithm.params(best).
    - With `workdir`, a SIGTERM saves at the current step and raises `Preempted`, a `SystemExit`
      with code 85.
    - A checkpoint that is damaged is set aside, and the run goes on from the one before it.
    - With `mesh` (see `dgm_jax.learning.devices`) the batch is spread over its devices; its rows
      must divide among them. State and `fixed` are on all devices; `evaluate` gets, and `Trained`
      has, the copy on the first.
    - On several processes (`dgm_jax.runs.processes`) all call `train` with the same arguments;
      the mesh is all devices by default. All evaluate, the numbers of the first process count, and
      it alone writes rows, calls `on_log` and shows a bar.

    The host waits for the device at rows only. `evaluate` must not keep the parameters it is
    given, because the next step reuses their memory.

    Raises `ValueError` for wrong arguments and for a first batch that is empty or not finite,
    before anything is compiled, and for a `workdir` another process is using; `Diverged`, a
    `RuntimeError`, for a metric or a state that is not finite and after 10 skipped steps in a row;
    `NoUsableCheckpoint` where all are damaged; `OSError` where the disk is full.
    """
    checks.key(key)
    if batch is not None:
        checks.function(batch, "batch")
    plan = _Plan(
        num_steps, log_every, evaluate, monitor, minimise, eval_every, patience, checkpoint_every
    )
    plan.check(workdir)
    if on_log is not None:
        checks.function(on_log, "on_log")
    if mesh is None and processes.several():
        mesh = data_mesh()

    with contextlib.ExitStack() as stack:
        told_to_end, checkpoints = _claimed(stack, workdir)
        run = _Run(algorithm, key, plan, fixed, mesh, checkpoints)
        run.resume()
        run.open_log(workdir, on_log)
        if run.over:
            return run.trained()
        shown = progress and processes.first()
        bar = progress_bar(description, run.step, num_steps, show=shown)
        run.start(stack.enter_context(bar))
        while True:
            run.advance(None if batch is None else batch(run.step))
            leaving = told_to_end()
            saving = run.write_row() if run.row_is_due else False
            if checkpoints is not None and (saving or leaving):
                run.save()
            if leaving:
                run.leave()
            if run.over:
                return run.trained()


class _Plan(NamedTuple):
    """What a run is told to do, and when: the arguments of `train` of these names."""

    num_steps: int
    log_every: int
    evaluate: Callable | None
    monitor: str | None
    minimise: bool
    eval_every: int | None
    patience: int | None
    checkpoint_every: int | None

    def check(self, workdir) -> None:
        for name in ("num_steps", "log_every"):
            checks.positive_int(getattr(self, name), name)
        if self.evaluate is not None:
            checks.function(self.evaluate, "evaluate")
        for name in ("eval_every", "patience", "checkpoint_every"):
            if getattr(self, name) is not None:
                checks.positive_int(getattr(self, name), name)
        given = self._asdict() | {"workdir": workdir}
        for name, needed in (
            ("eval_every", "evaluate"),
            ("monitor", "evaluate"),
            ("patience", "monitor"),
            ("checkpoint_every", "workdir"),
        ):
            if given[name] is not None and given[needed] is None:
                raise checks.InputError(
                    f"{name}={given[name]!r} needs {needed}, which was not given."
                )

    def due(self, step: int, every: int | None) -> bool:
        return step == self.num_steps or (every is not None and step % every == 0)

    def better(self, value: float, best: float | None) -> bool:
        """Whether value, the number to monitor, is better than the best so far; NaN never is."""
        sign = 1 if self.minimise else -1
        return sign * value < (math.inf if best is None else sign * best)


class _Run:
    """A run in progress: where it stands, and what is done with it.

    A checkpoint holds `state`, the best state and the numbers of NOTED, and the metrics of the
    steps since the last row.
    """

    NOTED = ("best_value", "stale", "skipped", "seconds")

    def __init__(self, algorithm, key, plan, fixed, mesh, checkpoints):
        self.init_key, loop_key, self.eval_key = jax.random.split(key, 3)
        self.algorithm, self.plan, self.mesh, self.checkpoints = algorithm, plan, mesh, checkpoints
        self.everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
        self.compiled_step = _compiled(algorithm, loop_key, self.everywhere)
        self.fixed = self.put(fixed)
        self.step, self.state = 0, None
        self.best = self.best_value = None  # as long as no evaluation was the best
        self.stale = 0  # evaluations since the best
        self.skipped = 0  # steps skipped in a row, up to the last
        self.seconds = 0.0
        self.window = []  # the metrics since the last row, on the device

    def put(self, tree):
        """On every device of the run; by name, so that a transfer by accident can be forbidden."""
        return jax.device_put(tree) if self.mesh is None else replicate(tree, self.mesh)

    def copy(self, tree):
        """The copy on one device, of what is on every device of the run."""
        return tree if self.mesh is None else first_copy(tree)

    # ------------------------------------------------------------------------- begin and end
    def resume(self):
        """Takes over the newest intact checkpoint; without one the run stands at step 0."""
        if self.checkpoints is None:
            return
        state = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.everywhere),
            jax.eval_shape(self.algorithm.init, self.init_key),
        )
        self.places = places(self.algorithm.params, state)
        monitored = {} if self.plan.monitor is None else {"best": state}
        saved = self.checkpoints.restore({"state": state} | monitored)
        if saved is None:
            return
        self.step, self.state = saved.step, saved.state["state"]
        for name in self.NOTED:
            setattr(self, name, saved.note[name])
        if self.best_value is not None:
            self.best = saved.state["best"]
        window = saved.note["window"]
        self.window = [{n: math.nan if x is None else x for n, x in m.items()} for m in window]

    def open_log(self, workdir, on_log):
        mine = workdir is not None and processes.first()
        self.log = MetricsLog(Path(workdir) / "metrics.jsonl" if mine else None, self.step)
        self.log.rows[:] = processes.from_first(lambda: self.log.rows)
        self.on_log = on_log

    def start(self, show):
        """From here on the time counts; show(step, row=None) tells how far it has come."""
        self.show = show
        self.clock = time.perf_counter()  # when the steps of the window began
        by_clock = self.plan.checkpoint_every is None
        self.next_save = self.clock + SAVE_SECONDS if by_clock else math.inf

    @property
    def over(self) -> bool:
        patience = self.plan.patience
        return self.step >= self.plan.num_steps or (patience is not None and self.stale >= patience)

    def trained(self) -> Trained:
        state, best = self.copy(self.state), self.copy(self.best)
        best = state if best is None else best
        return Trained(state, best, self.algorithm.params(best), self.log.rows, self.seconds)

    def leave(self):
        where = self.checkpoints.directory / str(self.checkpoints.latest)  # waits until it is there
        if processes.first():
            print(f"told to end: saved {where}; the same command resumes", file=sys.stderr)
        raise Preempted

    # -------------------------------------------------------------------------------- a step
    def begin(self, first):
        """The state of step 0, once the first batch is known to be good."""
        for leaf in jax.tree.leaves(first):
            checks.finite_rows(leaf, "batch(0)")
        if self.mesh is not None:
            check_rows(first, self.mesh)
        init = jax.jit(lambda key: _strong(self.algorithm.init(key)))
        self.state = init(self.init_key)
        if self.mesh is not None:
            self.state = replicate(self.state, self.mesh)

    def advance(self, batch):
        if self.state is None:
            self.begin(batch)
        batch = self.put(batch) if self.mesh is None else shard_batch(batch, self.mesh)
        t = self.put(np.int32(self.step))
        self.state, metrics = self.compiled_step(self.state, t, batch, self.fixed)
        self.step += 1
        self.window.append(metrics)
        if len(self.window) > AHEAD:
            jax.block_until_ready(self.window[-AHEAD])
        self.show(self.step)

    # ---------------------------------------------------------------------------------- rows
    @property
    def evaluation_is_due(self) -> bool:
        return self.plan.evaluate is not None and self.plan.due(self.step, self.plan.eval_every)

    @property
    def save_is_due(self) -> bool:
        return self.checkpoints is not None and self.plan.due(self.step, self.plan.checkpoint_every)

    @property
    def row_is_due(self) -> bool:
        logging = self.plan.due(self.step, self.plan.log_every)
        return logging or self.evaluation_is_due or self.save_is_due

    def write_row(self) -> bool:
        """Tells of the steps since the last row; whether it is time to save, all agreed."""
        jax.block_until_ready(self.state)
        with self._diverging():
            row, self.skipped = rows.summary(self.step, self.window, self.skipped)
        self.seconds += time.perf_counter() - self.clock
        if self.evaluation_is_due:
            row |= self.evaluate(row)
        self.record(row)
        self.show(self.step, row)
        self.window, self.clock = [], time.perf_counter()
        late = self.clock > self.next_save
        return self.save_is_due or self.over or processes.from_first(lambda: late)

    def evaluate(self, row):
        """The numbers of `evaluate`; a state with a better one is kept."""
        params = self.copy(self.algorithm.params(self.state))
        found = jax.device_get(self.plan.evaluate(params, jax.random.clone(self.eval_key)))
        numbers = processes.from_first(lambda: {name: float(x) for name, x in found.items()})
        for name in numbers.keys() & row.keys():
            raise ValueError(f"evaluate gave {name!r}, which the step gives too; rename it.")
        if self.plan.monitor is not None:
            checks.choice(self.plan.monitor, numbers, "monitor")
            value = numbers[self.plan.monitor]
            self.stale += 1
            if self.plan.better(value, self.best_value):
                best = jax.tree.map(jnp.copy, self.state)  # the next step reuses its memory
                self.best, self.best_value, self.stale = best, value, 0
        return numbers

    def record(self, row):
        """Rows are the first process's to write; all learn of a full disk."""

        def write():
            self.log.append(row)
            if self.on_log is not None:
                self.on_log(row["step"], row)

        processes.from_first(write)
        if not processes.first():
            self.log.append(row)

    # --------------------------------------------------------------------------- checkpoints
    def save(self):
        began = time.perf_counter()
        if self.window:
            self.seconds += began - self.clock
        tree = {"state": self.state}
        if self.plan.monitor is not None:
            tree["best"] = self.state if self.best is None else self.best
        note = {name: getattr(self, name) for name in self.NOTED}
        note["window"] = [
            {name: float(x) if math.isfinite(x) else None for name, x in metrics.items()}
            for metrics in jax.device_get(self.window)
        ]
        with self._diverging():
            self.checkpoints.save(self.step, tree, note=note | {"params": self.places})
        self.clock = time.perf_counter()
        if self.plan.checkpoint_every is None:
            self.next_save = began + max(SAVE_SECONDS, (self.clock - began) / SAVE_SHARE)

    @contextlib.contextmanager
    def _diverging(self):
        """What is not finite, told with the checkpoint to go back to."""
        try:
            yield
        except (rows.Diverged, NotFinite) as error:
            step, what = getattr(error, "step", self.step), getattr(error, "what", str(error))
            saved, latest = "There is no checkpoint.", self.checkpoints and self.checkpoints.latest
            if latest is not None:
                saved = f"The last good checkpoint is {self.checkpoints.directory / str(latest)}."
            raise rows.Diverged(step, what, saved) from None


def _claimed(stack, workdir):
    """(told_to_end, checkpoints) of a directory that this run alone has."""
    if workdir is None:
        return lambda: False, None
    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    told_to_end = stack.enter_context(termination())
    processes.from_first(lambda: stack.enter_context(locked(workdir)))
    return told_to_end, stack.enter_context(Checkpoints(workdir / "checkpoints"))


def _compiled(algorithm, loop_key, everywhere):
    """step(state, t, batch, fixed), which makes its key and reuses the memory of the state."""

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=everywhere)
    def step(state, t, batch, fixed):
        key = jax.random.fold_in(loop_key, t)
        new, metrics = algorithm.step(state, key, batch, **_given(fixed))
        new = _strong(new)
        _check_kept(state, new)
        return new, metrics

    return step


def _given(fixed):
    """An algorithm that knows of nothing fixed need not take the argument."""
    return {} if fixed is None else {"fixed": fixed}


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
