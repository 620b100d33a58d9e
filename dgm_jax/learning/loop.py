"""Training: `fit` is a pure function of a key; `train` is a run that can be stopped and resumed."""

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
from ..runs.directory import writable
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
    """(s_T, metrics) of s_{t+1} = step(s_t, key_t, draw(key'_t, t)), t = 0..T-1: pure in `key`.

    All T steps of the algorithm are one `lax.scan`: `jit` it, or `vmap` it over keys for an
    ensemble. For data on disk, evaluation, early stopping and checkpoints there is `train`.

    algorithm: init and step of the state s, such as `gradient_descent(...)`
    key: all randomness comes from it: the start, the batches and the steps
    draw: draw(key, t) is the batch of step t, such as samples of a toy density or random rows of an
        array; without it the batch is None
    num_steps: T
    fixed: arrays that training does not change, such as the parameters of a teacher, passed to the
        loss as fixed=...; make it an argument of the jitted function. None for none

    Returns the last state and the metrics of all steps, a dict of arrays [T, ...]. Of the state of
    `gradient_descent` take `.params`, or `algorithm.params(state)`.
    """
    checks.noun(algorithm, Algorithm, "algorithm")
    checks.key(key)
    if draw is not None:
        checks.function(draw, "draw", ("key", "t"))
    num_steps = checks.positive_int(num_steps, "num_steps")
    init_key, loop_key = jax.random.split(key)

    def body(state, t):
        data_key, step_key = jax.random.split(jax.random.fold_in(loop_key, t))
        batch = None if draw is None else draw(data_key, t)
        return algorithm.step(state, step_key, batch, **given(fixed))

    return jax.lax.scan(body, algorithm.init(init_key), jnp.arange(num_steps))


@checks.spelled
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

    algorithm: init and step of the state s, such as `gradient_descent(...)`
    key: all randomness of the start and of the steps
    batch: batch(t) is the batch of step t = 0..num_steps-1, a function of t alone, such as
        `data.batches(...)`; without it the batch is None
    num_steps: the number of steps in all, those before a resume included
    evaluate: evaluate(params, key) = {name: number}, added to a row of `history`, with params =
        algorithm.params(state), which it must not keep, and the same key at every evaluation
    monitor, minimise: a name of these numbers. `best` is the state with its lowest value, or with
        minimise=False the highest; one that is not finite is never better, and is reported on
        stderr
    eval_every: evaluate before the first step, after every so many and after the last; by default
        only after the last
    patience: stop after so many evaluations in a row without improvement of `monitor`; None for
        never
    stages: {t: algorithm}, such as for growing images: from step t on, the state moves by the step
        of that algorithm. The structure of the state and the names of metrics stay
    fixed: arrays that training does not change, such as the parameters of a teacher, passed as
        step(..., fixed=fixed); in a closure they would become constants of the compiled program
    identity: {name: JSON value} that also defines the run, such as the options of an experiment
    recipe: a `learning.Recipe` that says how the model is built, for `learning.load(workdir).model`
    log_every: after so many steps, and with every evaluation and checkpoint, a row with the mean of
        each metric since the last row (without skipped steps) and the number of skipped steps is
        added to `history` and <workdir>/metrics.jsonl, and passed to on_log(step, row)
    workdir: a directory for checkpoints, of one run; None for none. The same call there resumes a
        run that was killed and ends with the same numbers, and returns a finished one without a
        step; a larger num_steps continues it, if it would have evaluated at the same steps. Another
        key, data or algorithm is refused
    checkpoint_every: save after so many steps; by default once a minute, less often if saving would
        take more than 1 % of the time. The newest three are kept
    on_log: called with each row, such as `runs.tensorboard(folder)`
    progress, description: whether to show a progress bar, and the text in front of it
    mesh: devices over which the rows of a batch are spread, among which they must divide
        (`data_mesh`, `training_mesh`); None for one. With several processes, which all make the
        same call, it defaults to all devices, and only the first evaluates for all, writes and
        shows (`dgm_jax.runs.processes`)

    Returns `Trained`: state (the last), best, params (of `best`), history (the rows of evaluations
    and logs, dicts) and seconds (of training). A damaged checkpoint is renamed, and the run resumes
    from the one before it. With a `workdir`, SIGTERM saves at the current step and raises
    `Preempted`, a `SystemExit` with code 85; a control-C, or the stop button of a notebook, saves
    and raises `KeyboardInterrupt`.

    Raises `ValueError` for wrong arguments and for a first batch that is empty or not finite,
    before anything is compiled, and for a `workdir` in use by another process; `Diverged`, a
    `RuntimeError`, for a metric or a state that is not finite and after 10 skipped steps in a row;
    `NoUsableCheckpoint` if all checkpoints are damaged; `OSError` if the disk is full;
    `processes.PeerLost` if another process of the run is lost.
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
        checks.function(batch, "batch", ("t",))
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
        _make_steps(run, lambda t: first if batch is None or t == 0 else batch(t), told_to_end)
        return run.trained()


def _make_steps(run, batch, told_to_end):
    """Steps until the run is over, with rows and checkpoints where they are due."""
    while True:
        run.advance(batch(run.step))
        leaving = told_to_end()
        saving = run.write_row() if run.row_is_due else False
        if run.checkpoints is not None and (saving or leaving):
            run.save()
        if leaving:
            run.leave(leaving)
        if run.over:
            return


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
    writable(workdir)
    told_to_end = stack.enter_context(termination())
    processes.from_first(lambda: stack.enter_context(locked(workdir)))
    return told_to_end, stack.enter_context(Checkpoints(workdir / "checkpoints"))
