"""Checkpoints: a tree of arrays on disk, written in the background and whole or not at all.

A checkpoint is a directory `<directory>/<step>` that appears by one rename, so a process killed
while writing leaves the older checkpoints as they were. Arrays come back bit by bit, bfloat16 and
typed keys included, and on whatever devices the template asks for.
"""

import contextlib
import gc
import io
import logging
import time
import warnings
from pathlib import Path

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from dgm_jax import checks
from dgm_jax.protocol import State


class Checkpoints:
    """The newest `keep` checkpoints of one run.

        with Checkpoints(workdir / "checkpoints") as checkpoints:
            checkpoints.save(100, state)
            state = checkpoints.restore(state)

    `save` blocks while the arrays are copied to the host and writes in the background; an error
    of the writing (a full disk) is raised by the next `save`, or on leaving the block.
    """

    def __init__(self, directory, *, keep: int = 3):
        checks.positive_int(keep, "keep")
        self.directory = Path(directory).absolute()
        with _quiet():
            self._checkpointer = ocp.training.Checkpointer(
                self.directory,
                preservation_policy=ocp.training.preservation_policies.LatestN(keep),
                cleanup_tmp_directories=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with _quiet():
            self._checkpointer.close()

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint on disk (waits for it), None where there is none."""
        with _quiet():
            self._checkpointer.wait()
            newest = self._checkpointer.latest
        return None if newest is None else newest.step

    def save(self, step: int, state: State, *, note: dict | None = None) -> None:
        """Starts writing `state`, and with it `note`: a dict of what JSON can hold."""
        checks.positive_int(step, "step", least=0)
        latest = self.latest
        if latest is not None and step <= latest:
            raise ValueError(f"step {step} is not after the newest checkpoint, {latest}.")
        about = {"leaves": _describe(state), "note": note or {}}
        with _quiet():
            self._checkpointer.save_async(step, state, force=True, custom_metadata=about)

    def note(self) -> dict:
        """What `save` was told to note beside the newest checkpoint."""
        step = self._newest()
        return _read(
            lambda: self._checkpointer.metadata(step).custom_metadata["note"],
            f"{self.directory}/{step}",
        )

    def restore(self, template: State) -> State:
        """The newest checkpoint, with the shapes, dtypes and devices of `template`.

        `template` has arrays or `jax.ShapeDtypeStruct` for leaves. `ValueError` names the leaves
        that differ: nothing is cast or reshaped.
        """
        return _restore(self._checkpointer, self._newest(), template)

    def _newest(self):
        latest = self.latest
        if latest is None:
            raise FileNotFoundError(f"no checkpoint in {self.directory}.")
        return latest


def load(directory, template: State | None = None) -> State:
    """The newest checkpoint of `directory`, as `template` or as nested dicts and lists.

    Without a template the arrays go to the devices they came from, which must exist.
    """
    if not Path(directory).is_dir():
        raise FileNotFoundError(f"no checkpoint in {directory}: there is no such directory.")
    with _quiet():
        checkpointer = ocp.training.Checkpointer(Path(directory).absolute())
    with contextlib.closing(checkpointer):
        if checkpointer.latest is None:
            raise FileNotFoundError(f"no checkpoint in {directory}.")
        return _restore(checkpointer, checkpointer.latest.step, template)


def _restore(checkpointer, step, template):
    where = f"{checkpointer.directory}/{step}"
    saved = _read(lambda: checkpointer.metadata(step).custom_metadata["leaves"], where)
    if template is not None:
        _compare(saved, _describe(template), where)
        template = jax.tree.map(_abstract, template)
    return _read(lambda: checkpointer.load(step, template), where)


def _read(read, where):
    """read(), or one line about what is wrong with the files."""
    try:
        with _quiet(), contextlib.redirect_stderr(io.StringIO()):
            return read()
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
    with _quiet(), contextlib.redirect_stderr(io.StringIO()):
        time.sleep(0.2)  # the other reads of this checkpoint end, and complain, one by one
        gc.collect()
    raise RuntimeError(
        f"checkpoint {where} cannot be read ({reason}); "
        "delete that directory to go on from the one before it."
    )


def _compare(saved, wanted, where):
    differing = [
        f"{leaf} is {saved.get(leaf, 'absent')}, wanted {wanted.get(leaf, 'absent')}"
        for leaf in sorted(saved.keys() | wanted.keys())
        if saved.get(leaf) != wanted.get(leaf)
    ]
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ValueError(
            f"checkpoint {where} is of another model: {'; '.join(differing[:3])}{more}. "
            "Use the configuration it was made with, or another directory."
        )


def _describe(tree) -> dict[str, str]:
    """{"params/w": "float32[2, 3]", ...}: what a checkpoint must agree on."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in leaves
    }


def _abstract(leaf):
    sharding = getattr(leaf, "sharding", None)
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=sharding)


@contextlib.contextmanager
def _quiet():
    """Silences what orbax logs and warns of: what matters is raised."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
