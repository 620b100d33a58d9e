"""A training run in progress: its state, rows and checkpoints. The loop itself is in `train`."""

import contextlib
import functools
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .. import checks
from ..protocol import Algorithm, Batch, Key, Params, State, num_params
from ..runs import processes
from ..runs.logs import MetricsLog
from ..runs.preemption import Preempted
from . import identity, rows
from .checkpoints import Checkpoints, NotFinite
from .checkpoints.fingerprints import inspected, on_host
from .checkpoints.leaves import describe
from .descent import all_finite, check_metrics, floating, given
from .devices import first_copy, placed, replicate, shard_batch
from .loading import places

AHEAD = 16  # steps that the host may be ahead of the device; so many batches are in memory at most
SAVE_SECONDS = 60.0  # between two checkpoints where their number of steps is not given
SAVE_SHARE = 0.01  # of the time at most that saving may take


class Trained(NamedTuple):
    """The result of `train`.

    state: the last state of the algorithm
    best: the state with the best value of `monitor`; the last one if nothing was monitored
    params: algorithm.params(best), the parameters to evaluate and to sample with
    history: the rows of metrics.jsonl, dicts {"step": ..., name: number}
    seconds: of training, with compilation and without evaluation; of a resumed run the whole
    """

    state: State  # the last one
    best: State  # the one with the best `monitor`; the last one where nothing is monitored
    params: Params  # algorithm.params(best): what to evaluate and to sample with
    history: list[dict[str, float]]  # the rows of metrics.jsonl, each with its "step"
    seconds: float  # of training: with compilation, without evaluation, before a resume too

    def __repr__(self):
        steps = self.history[-1]["step"] if self.history else 0
        size = f"{num_params(self.params):,} parameters"
        return f"Trained: step {steps}, {self.seconds:.3g} s, {size}"


class Plan(NamedTuple):
    """What a run has to do and when: the arguments of `train` of the same names."""

    num_steps: int
    log_every: int
    evaluate: Callable | None
    monitor: str | None
    minimise: bool
    eval_every: int | None
    patience: int | None
    checkpoint_every: int | None

    def check(self, workdir: Path | str | None) -> None:
        """`InputError` for a wrong number of steps, and for an option that needs another one."""
        for name in ("num_steps", "log_every"):
            checks.positive_int(getattr(self, name), name)
        if self.monitor is not None:
            checks.text(self.monitor, "monitor")
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
                    f"{name}={checks.shown(given[name])} needs {needed}, which was not given."
                )

    def due(self, step: int, every: int | None) -> bool:
        """Whether `step` is the last, or a multiple of `every`."""
        return step == self.num_steps or (every is not None and step % every == 0)

    def continues(self, num_steps: int, step: int) -> bool:
        """Whether a run of `num_steps` steps, saved at `step`, is the beginning of this one.

        It must be shorter and have made no evaluation that this one would not make.
        """
        evaluated_here = self.evaluate is None or self.due(num_steps, self.eval_every)
        return num_steps < self.num_steps and (step < num_steps or evaluated_here)

    def better(self, value: float, best: float | None) -> bool:
        """Whether the monitored value improves on the best so far; NaN and infinity never do."""
        if not math.isfinite(value):
            return False
        sign = 1 if self.minimise else -1
        return sign * value < (math.inf if best is None else sign * best)


class Run:
    """A run in progress, and its parts as `train` calls them.

    identify() computes which run it is; begin() and open_log() restore where it stands; start()
    starts the clock; then advance() makes a step, and write_row() and save() follow when they are
    due, until `over`.

    A checkpoint holds `state`, the best state, what NOTED names, the identity, all rows, and the
    metrics of the steps since the last row (`window`).
    """

    NOTED = ("best_value", "stale", "skipped", "seconds", "told")

    def __init__(
        self,
        stages: dict[int, Algorithm],
        key: Key,
        plan: Plan,
        fixed: Any,
        mesh: Mesh | None,
        checkpoints: Checkpoints | None,
        recipe: dict[str, Any] | None,
    ):
        self.init_key, loop_key, self.eval_key = jax.random.split(key, 3)
        self.algorithm, self.plan, self.mesh, self.checkpoints = stages[0], plan, mesh, checkpoints
        self.everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
        self.compiled_init = jax.jit(
            lambda key: _strong(stages[0].init(key)), compiler_options=_quickly()
        )
        self.compiled_steps = {t: _compiled(each, self.everywhere) for t, each in stages.items()}
        self.fixed, self.loop_key = self.put(fixed), self.put(loop_key)
        self.step, self.state = 0, None
        self.best = self.best_value = None  # as long as no evaluation was the best
        self.stale = 0  # evaluations since the best
        self.skipped = 0  # steps skipped in a row, up to the last
        self.seconds = 0.0
        self.told = {}  # what was said of numbers of `evaluate` that are not finite, by their name
        self.history = ""  # the rows up to the checkpoint, as text
        self.window = []  # the metrics since the last row, on the device
        self.recipe = recipe  # the record of how the model is built, if it is known

    def put(self, tree: Any) -> Any:
        """Copies a tree to every device of the run.

        All transfers are explicit, so that a run also works under `jax.transfer_guard`.
        """
        return placed(tree) if self.mesh is None else replicate(tree, self.mesh)

    def copy(self, tree: Any) -> Any:
        """The copy on the first device of a tree that is replicated over the devices of the run."""
        return tree if self.mesh is None else first_copy(tree)

    # ------------------------------------------------------------------------- begin and end
    def identify(self, said: dict[str, Any], first_batch: Batch, fixed: Any) -> None:
        """Traces the run and completes its identity.

        said: the arguments part of it; first_batch, fixed: the arrays that it depends on.
        """
        init = self.compiled_init.trace(self.init_key)
        self.template = self._like(init.out_info)
        given = (
            self.template,
            *self._like((np.int32(0), self.loop_key)),
            self._like(first_batch, "data"),
            self._like(fixed),
        )
        steps = {first: step.trace(*given) for first, step in self.compiled_steps.items()}
        _check_same_metrics({first: step.out_info[1] for first, step in steps.items()})
        steps = {first: step.jaxpr for first, step in steps.items()}
        self.identity = said | identity.traced(init.jaxpr, steps, first_batch, fixed)
        processes.same(self.identity, "programs and data")

    def _like(self, tree: Any, *axes: str) -> Any:
        """The tree without its numbers, on all devices, or its rows spread over a mesh axis."""
        spread = None if self.mesh is None else NamedSharding(self.mesh, PartitionSpec(*axes))
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=spread),
            jax.eval_shape(lambda tree: tree, tree),
        )

    def begin(self) -> None:
        """Restores the newest intact checkpoint, or initialises the state of step 0.

        `InputError` if the checkpoints belong to another run.
        """
        if self.checkpoints is not None:
            self.places = places(self.algorithm.params, self.template)
            monitored = {} if self.plan.monitor is None else {"best": self.template}
            self.identity |= {"params": json.dumps(self.places)}
            # an argument that differs is told before a leaf that does, and a leaf before a program
            saved = self.checkpoints.restore(
                {"state": self.template} | monitored,
                check=lambda step, note: self._check_own(step, note, without=identity.TRACED),
            )
            if saved is not None:
                return self._resume(saved)
        state = self.compiled_init(self.init_key)
        self.state = state if self.mesh is None else replicate(state, self.mesh)

    def _resume(self, saved):
        self._check_own(saved.step, saved.note)
        self.step, self.state = saved.step, saved.state["state"]
        for name in self.NOTED:
            setattr(self, name, saved.note[name])
        if self.best_value is not None:
            self.best = saved.state["best"]
        self.history, self.window = saved.note["history"], json.loads(saved.note["window"])
        self.say(*self.told.values())

    def _check_own(self, step, note, without=()):
        """Refuses the checkpoint of another run."""
        there, here = note.get("identity", {}), self.identity
        if self.plan.continues(there.get("num_steps", math.inf), step):
            here = here | {"num_steps": there["num_steps"]}
        there, here = ({n: x for n, x in it.items() if n not in without} for it in (there, here))
        assert self.checkpoints is not None
        identity.check(there, here, self.checkpoints.directory)

    def open_log(self, workdir: Path | str | None, on_log: Callable | None) -> None:
        """Opens metrics.jsonl with the rows so far; only the first process writes them."""
        mine = workdir is not None and processes.first()
        self.log = MetricsLog(Path(workdir) / "metrics.jsonl" if mine else None, self.history)
        processes.from_first(self.log.repair)
        self.on_log = on_log

    def start(self, show: Callable[..., None]) -> None:
        """Starts the clock, after the evaluation before the first step of a new run.

        show(step, row=None) moves the progress bar.
        """
        self.show = show
        if self.step == 0 and self.plan.evaluate is not None and self.plan.eval_every is not None:
            row: dict[str, float] = {"step": 0}
            self.record(row | self.evaluate(row))
        self.clock = time.perf_counter()  # when the steps of the window began
        by_clock = self.plan.checkpoint_every is None
        self.next_save = self.clock + SAVE_SECONDS if by_clock else math.inf

    @property
    def over(self) -> bool:
        """Whether all steps are made, or `patience` is exhausted."""
        patience = self.plan.patience
        return self.step >= self.plan.num_steps or (patience is not None and self.stale >= patience)

    def trained(self) -> Trained:
        """The result of `train`."""
        state, best = self.copy(self.state), self.copy(self.best)
        if self.plan.monitor is not None and best is None:
            self.say(f"{self.plan.monitor} was never a finite number: the last state is kept")
        self.say(*rows.often_skipped(self.log.rows))
        best = state if best is None else best
        return Trained(state, best, self.algorithm.params(best), self.log.rows, self.seconds)

    def leave(self, how: type[BaseException]) -> NoReturn:
        """Raises `Preempted` or `KeyboardInterrupt` after the checkpoint is written."""
        assert self.checkpoints is not None
        where = self.checkpoints.directory / str(self.checkpoints.latest)  # waits until it is there
        said = f"saved {where}; the same command resumes"
        if how is KeyboardInterrupt:
            raise KeyboardInterrupt(said)
        if processes.first():
            print(f"told to end: {said}", file=sys.stderr)
        raise Preempted

    def say(self, *lines: str) -> None:
        """Prints lines on stderr, in the first process only."""
        for line in lines if processes.first() else ():
            print(line, file=sys.stderr)

    # -------------------------------------------------------------------------------- a step
    def advance(self, batch: Batch) -> None:
        """Makes one step, asynchronously: the device may still compute it when this returns."""
        batch = self.put(batch) if self.mesh is None else shard_batch(batch, self.mesh)
        t, step = self.put(np.int32(self.step)), self._step_now()
        with contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh):
            self.state, metrics = step(self.state, t, self.loop_key, batch, self.fixed)
        self.step += 1
        self.window.append(metrics)
        if len(self.window) > AHEAD:
            jax.block_until_ready(self.window[-AHEAD])
        self.show(self.step)

    def _step_now(self):
        """The program of the stage that the run is in."""
        return self.compiled_steps[max(t for t in self.compiled_steps if t <= self.step)]

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
        """Writes the row of the steps since the last one; returns whether it is time to save.

        It returns the same in all processes.
        """
        jax.block_until_ready(self.state)
        with self._diverging():
            row, self.skipped = rows.summary(self.step, self.window, self.skipped)
            self._check_state()
        self.seconds += time.perf_counter() - self.clock
        if self.evaluation_is_due:
            row |= self.evaluate(row)
        self.record(row)
        self.show(self.step, row)
        self.window, self.clock = [], time.perf_counter()
        late = self.clock > self.next_save
        return self.save_is_due or self.over or processes.from_first(lambda: late)

    def evaluate(self, row: dict[str, float]) -> dict[str, float]:
        """The numbers of `evaluate`; keeps the state as the best if the monitored one improves."""
        params = self.copy(self.algorithm.params(self.state))
        assert self.plan.evaluate is not None
        found = jax.device_get(self.plan.evaluate(params, jax.random.clone(self.eval_key)))
        if not isinstance(found, dict) or any(np.ndim(x) for x in found.values()):
            got = type(found).__name__ if not isinstance(found, dict) else "arrays in it"
            raise checks.InputError(f"evaluate must return a dict {{name: scalar}}; got {got}.")
        check_metrics(found, "evaluate")
        numbers = processes.from_first(lambda: {name: float(x) for name, x in found.items()})
        for name in numbers.keys() & row.keys():
            raise checks.InputError(f"evaluate gave {name!r}, which the step gives too; rename it.")
        self._tell_not_finite(numbers)
        if self.plan.monitor is not None:
            checks.choice(self.plan.monitor, numbers, "monitor")
            value = numbers[self.plan.monitor]
            self.stale += 1
            if self.plan.better(value, self.best_value):
                best = jax.tree.map(jnp.copy, self.state)  # the next step reuses its memory
                self.best, self.best_value, self.stale = best, value, 0
        return numbers

    def _tell_not_finite(self, numbers):
        """Says the first time of each number that is not finite, and again when the run goes on."""
        for name, value in numbers.items():
            if not math.isfinite(value) and name not in self.told:
                self.told[name] = (
                    f"step {self.step}: evaluate gave {name} = {value}, which is never the best "
                    "(said once)"
                )
                self.say(self.told[name])

    def _check_state(self):
        """`NotFinite` with the name of an array of the state that holds NaN or infinity.

        NumPy looks where it can read the state, since nothing must be compiled for it; else a
        program on the device.
        """
        leaves = floating(self.state)
        if all(map(on_host, leaves)):
            finite = all(np.isfinite(leaf).all() for leaf in jax.device_get(leaves))
        else:
            finite = jax.device_get(self.copy(_all_finite(leaves)))
        if not finite:
            found = inspected({"state": self.state}).items()
            raise NotFinite(f"{min(name for name, (_, ok) in found if not ok)} is not finite")

    def record(self, row: dict[str, float]) -> None:
        """Keeps a row. The first process writes it, and if that fails, all processes raise."""

        def write():
            self.log.append(row)
            if self.on_log is not None:
                self.on_log(row["step"], row)

        processes.from_first(write)
        if not processes.first():
            self.log.append(row)

    # --------------------------------------------------------------------------- checkpoints
    def save(self) -> None:
        """Starts to write a checkpoint in the background."""
        began = time.perf_counter()
        if self.window:
            self.seconds += began - self.clock
        tree = {"state": self.state}
        if self.plan.monitor is not None:
            tree["best"] = self.state if self.best is None else self.best
        note = {name: getattr(self, name) for name in (*self.NOTED, "identity", "recipe")}
        window = jax.device_get(self.window)
        note["window"] = json.dumps([{n: float(x) for n, x in m.items()} for m in window])
        note["history"] = self.log.history
        assert self.checkpoints is not None
        with self._diverging():
            self.checkpoints.save(self.step, tree, note=note | {"params": self.places})
        self.clock = time.perf_counter()
        if self.plan.checkpoint_every is None:
            self.next_save = began + max(SAVE_SECONDS, (self.clock - began) / SAVE_SHARE)

    @contextlib.contextmanager
    def _diverging(self):
        """Raises `Diverged` for what is not finite, and names the last good checkpoint."""
        try:
            yield
        except (rows.Diverged, NotFinite) as error:
            step, what = getattr(error, "step", self.step), getattr(error, "what", str(error))
            saved = "There is no checkpoint."
            if self.checkpoints is not None and (latest := self.checkpoints.latest) is not None:
                saved = f"The last good checkpoint is {self.checkpoints.directory / str(latest)}."
            raise rows.Diverged(step, what, saved) from None


_all_finite = jax.jit(all_finite)


def _quickly():
    """Options of the compiler for a program that runs only once: few optimisations, so that
    compiling and running together take less time.

    On CPUs the random numbers of a net then compile in half the time or less; they are the same.
    """
    return {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None


def _compiled(algorithm, everywhere):
    """step(state, t, loop_key, batch, fixed), which reuses the memory of the state."""

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=everywhere)
    def step(state, t, loop_key, batch, fixed):
        key = jax.random.fold_in(loop_key, t)
        new, metrics = algorithm.step(state, key, batch, **given(fixed))
        check_metrics(metrics, "step")
        new = _strong(new)
        _check_kept(state, new)
        return new, metrics

    return step


def _check_same_metrics(metrics):
    """Refuses stages whose rows would have other columns; {first step: metrics}."""
    for first, found in metrics.items():
        if found.keys() != metrics[0].keys():
            raise checks.InputError(
                f"stages[{first}] gives the metrics {sorted(found)}, and the algorithm that the "
                f"run begins with {sorted(metrics[0])}; they must agree."
            )


def _strong(state):
    """The state without weak types. A checkpoint does not keep these, and a run that is resumed
    must compute the same."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)


def _check_kept(state, new):
    """Refuses a step that changes shapes or dtypes of the state: it could not be resumed."""
    before, after = describe(state), describe(new)
    for name in sorted(before.keys() | after.keys()):
        old, now = before.get(name, "absent"), after.get(name, "absent")
        if old != now:
            raise checks.InputError(f"step made {name} {now}, and init {old}; they must agree.")
