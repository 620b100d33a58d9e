"""Training: `fit` is one pure function of a key, `train` is a run to be killed and resumed."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from .. import checks
from ..protocol import Algorithm, Array, Batch, Key, Metrics, Params, State
from ..runs import processes
from ..runs.locks import locked
from ..runs.logs import progress_bar
from ..runs.preemption import termination
from .checkpoints import Checkpoints
from .devices import data_mesh
from .run import Plan, Run, Trained, given


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
        return algorithm.step(state, step_key, batch, **given(fixed))

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
    plan = Plan(
        num_steps, log_every, evaluate, monitor, minimise, eval_every, patience, checkpoint_every
    )
    plan.check(workdir)
    if on_log is not None:
        checks.function(on_log, "on_log")
    if mesh is None and processes.several():
        mesh = data_mesh()

    with contextlib.ExitStack() as stack:
        told_to_end, checkpoints = _claimed(stack, workdir)
        run = Run(algorithm, key, plan, fixed, mesh, checkpoints)
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


def _claimed(stack, workdir):
    """(told_to_end, checkpoints) of a directory that this run alone has."""
    if workdir is None:
        return lambda: False, None
    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    told_to_end = stack.enter_context(termination())
    processes.from_first(lambda: stack.enter_context(locked(workdir)))
    return told_to_end, stack.enter_context(Checkpoints(workdir / "checkpoints"))
