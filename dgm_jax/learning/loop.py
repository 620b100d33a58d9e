"""Training: `fit` is a pure function of a key, `train` a run that may be killed and resumed."""

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
from .descent import given
from .devices import check_batch, data_mesh
from .identity import arguments
from .recipes import Recipe, recorded
from .run import Plan, Run, Trained


def fit(
    algorithm: Algorithm,
    key: Key,
    draw: Callable[[Key, Array], Batch] | None = None,
    *,
    num_steps: int,
    fixed: Any = None,
) -> tuple[State, Metrics]:
    """(s_T, metrics [T, ...]) with s_{t+1} = step(s_t, key_t, draw(key'_t, t)): pure in `key`.

    All steps are one `lax.scan`: `jit` it, or `vmap` it over keys for an ensemble. It is for data
    that a function draws from a key, draw(key, t) at step t = 0, 1, ..., and for runs short enough
    to be one computation; `train` is for all others. Without `draw` the batch of every step is
    None. `fixed` is that of `train`; make it an argument of the jitted function too.
    """
    checks.noun(algorithm, Algorithm, "algorithm")
    checks.key(key)
    if draw is not None:
        checks.function(draw, "draw")
    num_steps = checks.positive_int(num_steps, "num_steps")
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
    stages: dict[int, Algorithm] | None = None,
    fixed: Any = None,
    identity: dict[str, Any] | None = None,
    recipe: Recipe | None = None,
    log_every: int = 100,
    workdir: Path | str | None = None,
    checkpoint_every: int | None = None,
    on_log: Callable[[int, dict], None] | None = None,
    progress: bool = True,
    description: str = "",
    mesh: Mesh | None = None,
) -> Trained:
    """s_{t+1} = step(s_t, fold_in(key, t), batch(t)), logged, evaluated, checkpointed, resumed.

    `batch(t)` is the batch of step t = 0, 1, ...; it may be None, and without `batch` it is None at
    every step. Batches and keys are functions of t alone. So a run that was killed, and is started
    again with the same arguments and `workdir`, ends with exactly the same numbers. A run that has
    already ended, at `num_steps` or by `patience`, is returned without a step. `workdir` belongs to
    one run: with another key, data, algorithm or plan it is refused, and the error says what
    differs. A longer run goes on from a shorter one, if the shorter one has evaluated nothing that
    the longer one does not. `dgm_jax.learning.identity` says what a run is; `identity` are further
    values, of JSON, that it depends on: the options and the data of an experiment.

    - Every `log_every` steps, and with every evaluation, every checkpoint and the last step, a row
      goes to `history`, to `<workdir>/metrics.jsonl` and to `on_log(step, row)`. It has the mean of
      each metric over the steps since the last row, without those that were skipped, and the
      number of these.
    - Every `eval_every` steps, and after the last, `evaluate(params, key)` adds its numbers to the
      row; with `eval_every` also before the first step, whose row has these numbers alone. params
      is algorithm.params(state); key follows from the key of the run and is the same at every
      evaluation. `monitor` names one of these numbers: `best` is the state in which it was lowest,
      or highest with minimise=False, and training stops after `patience` evaluations in a row that
      were not better. A number that is not finite is never better, and is told on stderr.
    - `stages` = {t: its algorithm} are for what is learned in stages, such as images that grow:
      from step t on the state moves by the step of that algorithm, in a program of its own. The
      state, what is selected of it and the names of the metrics stay those of `algorithm`, with
      which the run begins. (One step with a branch for each stage is slow on CPUs, where a
      convolution within a branch costs ten times as much or more.)
    - `fixed` is a tree of arrays that training does not change, such as a teacher's parameters. The
      step is then step(..., fixed=fixed), and the compiled step has them as an argument. An array
      that a loss closes over would become a constant of the program instead.
    - Every `checkpoint_every` steps, and after the last, the run is saved in
      `<workdir>/checkpoints`, in the background. By default it is saved at the first row after a
      minute, or later where saving would take more than 1 % of the time. The newest three
      checkpoints are kept. Each has all rows, at 27 bytes a number: a million numbers hold up the
      run for a second. Where metrics.jsonl has lost or changed some it is written again, and a
      line on stderr says so. `learning.load(workdir)` gives algorithm.params(best), and their model
      if `recipe`, a `learning.Recipe`, says how it is built.
    - With `workdir`, a SIGTERM saves at the current step and raises `Preempted`, a `SystemExit`
      with code 85; a control-C, or the stop of a notebook, saves too and raises
      `KeyboardInterrupt`, and a second one does so at once.
    - A damaged checkpoint is renamed, and the run resumes from the one before it.
    - With `mesh` (see `dgm_jax.learning.devices`) the batch is spread over its devices; its rows
      must divide among them. State and `fixed` are on all devices; `evaluate` and `Trained` have
      the copy on the first device.
    - On several processes (`dgm_jax.runs.processes`) all call `train` with the same arguments, and
      the mesh is all devices by default. All evaluate, but only the numbers of the first process
      count, and it alone writes rows, calls `on_log` and shows a progress bar.

    The host waits for the device only where it writes a row, and there the state is read once, to
    see that it is finite. `evaluate` must not keep the parameters that it is given, because the
    next step reuses their memory.

    Raises `ValueError` for wrong arguments and for a first batch that is empty or not finite,
    before anything is compiled, and for a `workdir` another process is using; `Diverged`, a
    `RuntimeError`, for a metric or a state that is not finite and after 10 skipped steps in a row;
    `NoUsableCheckpoint` where all are damaged; `OSError` where the disk is full;
    `processes.PeerLost` where another process of the run is gone.
    """
    checks.noun(algorithm, Algorithm, "algorithm")
    checks.key(key)
    minimise, progress = checks.flag(minimise, "minimise"), checks.flag(progress, "progress")
    checks.text(description, "description")
    if mesh is not None:
        checks.instance(mesh, Mesh, "mesh")
    if workdir is not None:
        workdir = checks.path(workdir, "workdir")
    if recipe is not None:
        checks.noun(recipe, Recipe, "recipe")
    if batch is not None:
        checks.function(batch, "batch")
    plan = Plan(
        num_steps, log_every, evaluate, monitor, minimise, eval_every, patience, checkpoint_every
    )
    plan.check(workdir)
    stages = _stages(algorithm, stages)
    said = arguments(key, plan, identity)
    if on_log is not None:
        checks.function(on_log, "on_log")
    noted = recorded(recipe, algorithm, workdir)
    if mesh is None and processes.several():
        mesh = data_mesh()
    collective = {"log_every": log_every, "checkpoint_every": checkpoint_every}
    processes.same(said | collective | {"workdir": workdir is not None}, "arguments of train")

    with contextlib.ExitStack() as stack:
        stack.enter_context(processes.peers())
        told_to_end, checkpoints = _claimed(stack, workdir)
        first = None if batch is None else batch(0)
        check_batch(first, mesh)
        run = Run(stages, key, plan, fixed, mesh, checkpoints, noted)
        run.identify(said, first, fixed)
        run.begin()
        run.open_log(workdir, on_log)
        if run.over:
            return run.trained()
        shown = progress and processes.first()
        bar = progress_bar(description, run.step, num_steps, show=shown)
        run.start(stack.enter_context(bar))
        while True:
            run.advance(first if batch is None or run.step == 0 else batch(run.step))
            leaving = told_to_end()
            saving = run.write_row() if run.row_is_due else False
            if checkpoints is not None and (saving or leaving):
                run.save()
            if leaving:
                run.leave(leaving)
            if run.over:
                return run.trained()


def _stages(algorithm, later):
    """{first step: algorithm} of all stages, in their order."""
    if later is not None and not isinstance(later, dict):
        raise checks.InputError(
            f"stages must be a dict {{first step: Algorithm}}; got {checks.shown(later)}."
        )
    for first, one in (later or {}).items():
        checks.positive_int(first, "each first step of stages")
        checks.noun(one, Algorithm, f"stages[{first}]")
    return {0: algorithm} | dict(sorted((later or {}).items()))


def _claimed(stack, workdir):
    """Locks the directory for this run: (told_to_end, checkpoints), released with `stack`.

    told_to_end() is what to leave with once a signal has come; checkpoints is None without a
    directory.
    """
    if workdir is None:
        return lambda: None, None
    workdir.mkdir(parents=True, exist_ok=True)
    told_to_end = stack.enter_context(termination())
    processes.from_first(lambda: stack.enter_context(locked(workdir)))
    return told_to_end, stack.enter_context(Checkpoints(workdir / "checkpoints"))
