"""Runs an experiment until its first training step is done, and says when each part was.

    python -m benchmarks.first_step FILE BEGAN experiments.flows.images --models glow

writes when each part of the experiment ended to FILE, and ends there: {part: [seconds since BEGAN,
seconds of the processor]} in JSON. BEGAN is `time.time()` of whoever started it. `benchmarks.start`
starts it; what the parts are stands there.

The experiment is not changed: the methods of a run in progress (`learning.run.Run`) are followed by
a look at the clock. Where the steps are one compiled loop (`learning.fit`), no host sees the first
of them, and the mark is the moment at which the loop is compiled and begins.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import functools
import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import jax

from dgm_jax import learning
from dgm_jax.runs import directory

COMPILED = "/jax/core/compile/backend_compile_duration"  # what JAX says when a program is compiled


class Marks:
    """When each part ended, the first time that it did."""

    def __init__(self, file: Path, began: float):
        self.file, self.began, self.found = file, began, {}

    def mark(self, part: str) -> None:
        """Notes now as the end of a part, unless it has one."""
        self.found.setdefault(part, (time.time() - self.began, time.process_time()))

    def leave(self, part: str) -> None:
        """The last mark: whatever the experiment has begun is left as it is."""
        self.mark(part)
        self.file.write_text(json.dumps(self.found), "utf-8")
        sys.stdout.flush()
        os._exit(0)


def follow(owner: Any, name: str, before: Any = None, after: Any = None) -> None:
    """Calls before() and after(first argument) at every call of a function or method."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def followed(*args, **kwargs):
        if before is not None:
            before()
        found = function(*args, **kwargs)
        if after is not None:
            after(args[0])
        return found

    setattr(owner, name, followed)


def watch(marks: Marks) -> None:
    """Sets a mark at the end of each part of the experiment that this process will run."""
    data = lambda: marks.mark("data")
    traced = []

    def ready(part, then=marks.mark):
        def after(of):
            jax.block_until_ready(of.state)
            then(part)

        return after

    def compiled(event, *_, **__):
        if event == COMPILED and traced:
            marks.leave("step")

    follow(directory, "keep_compiled", after=lambda _: marks.mark("import"))
    run = learning.loop.Run  # not imported from its module, which would be loaded once more
    follow(run, "__init__", before=data)
    follow(run, "begin", after=ready("init"))
    follow(run, "start", after=ready("evaluation"))
    follow(run, "advance", after=ready("step", marks.leave))
    follow(learning, "fit", before=data, after=traced.append)
    jax.monitoring.register_event_duration_secs_listener(compiled)


if __name__ == "__main__":
    file, began, module, *words = sys.argv[1:]
    marks = Marks(Path(file), float(began))
    watch(marks)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    marks.leave("end")
