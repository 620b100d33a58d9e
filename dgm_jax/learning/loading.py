"""What a run has learned, in one line: its options and its parameters."""

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
from orbax.checkpoint import v1 as ocp

from ..protocol import Params
from . import checkpoints


class Loaded(NamedTuple):
    config: dict[str, Any] | None  # config.json of the experiment; None where there is none
    params: Params  # what to evaluate and to sample with
    step: int  # of the checkpoint


def load(workdir: Path | str) -> Loaded:
    """config, params, step = load("runs/flows/compare/maf"): the run `train` kept in `workdir`.

    `params` are those of the best evaluation, or of the last checkpoint where nothing was
    monitored; the averaged ones where the run averaged. (An algorithm whose state has no `params`
    gives its state.) Tuples in the tree come back as lists. They are checked bit by bit and go to
    the first device, whatever machine they come from; the optimiser stays on disk.

    `config` is the config.json in `workdir` or in the folder above. Where the newest checkpoint
    is damaged a line on stderr says so, and the one before it is taken; nothing is changed on
    disk, so a run in progress may be loaded. `FileNotFoundError` where there is no run,
    `checkpoints.NoUsableCheckpoint` where all of it is damaged.
    """
    directory = _directory(Path(workdir))
    with checkpoints.quiet():
        checkpointer = ocp.training.Checkpointer(directory.absolute())
    with contextlib.closing(checkpointer):
        found, damaged = checkpoints.newest_intact(
            directory, lambda step: (step, _params(checkpointer, step))
        )
    if found is None:
        raise FileNotFoundError(f"no checkpoint in {directory} yet.")
    step, params = found
    for worse, reason in damaged.items():
        checkpoints.say_damaged(directory / str(worse), reason, "left as it is", step)
    return Loaded(_config(directory.parent), params, step)


def _params(checkpointer, step):
    about = checkpoints.description(checkpointer, step)
    tree = "state" if about["note"].get("best_value") is None else "best"
    parts = (f"{tree}/ema", f"{tree}/params", tree, "")  # "" where it is not of `train`
    part = next(p for p in parts if any(checkpoints.within(n, p) for n in about["leaves"]))
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def wanted(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if checkpoints.within(name, part):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device)
        return ocp.PLACEHOLDER

    abstract = jax.tree_util.tree_map_with_path(wanted, checkpoints.structure(checkpointer, step))
    params = checkpoints.verified(checkpointer, step, abstract, about, part)
    for name in filter(None, part.split("/")):
        params = params[name]
    return params


def _directory(workdir):
    directory = workdir / "checkpoints"
    if directory.is_dir():
        return directory
    inside = sorted(path.parent.name for path in workdir.glob("*/checkpoints"))
    if inside:
        raise FileNotFoundError(
            f"{workdir} holds several runs ({', '.join(inside)}); name one: {workdir / inside[0]}."
        )
    raise FileNotFoundError(f"no checkpoints in {workdir}; name the workdir of a run.")


def _config(workdir):
    for folder in (workdir, workdir.parent):
        if (folder / "config.json").is_file():
            return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return None
