"""Times functions side by side, after compilation, with their spread.

On a shared machine absolute times drift by more than the differences of interest. So the functions
take turns, round by round, and only ratios within one `compare` are meaningful.
"""

from collections.abc import Callable, Hashable, Mapping
from time import perf_counter, process_time
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from .. import checks

Name = TypeVar("Name", bound=Hashable)
A_DAY = 86_400  # seconds


class Timing(NamedTuple):
    """How long a call takes, as `compare` measures it.

    median_ms, low_ms, high_ms: median, first and third quartile over rounds, in milliseconds
    first_call_s: the first call, which traces, compiles and runs, in seconds, by the same clock
    """

    median_ms: float
    low_ms: float  # first quartile
    high_ms: float  # third quartile
    first_call_s: float  # trace, compile and run, by the same clock


def compare(
    thunks: Mapping[Name, Callable[[], Any]],
    *,
    repeats: int = 20,
    min_seconds: float = 0.0,
    warm_up: bool = True,
    clock: str = "wall",
) -> dict[Name, Timing]:
    """{name: median and quartiles of the time of function()}, measured in interleaved rounds.

    Each round calls every function once, in random order, and waits for its result. On a shared
    machine absolute times drift, so only ratios within one call of `compare` are meaningful.

        timings = compare({"maf": lambda: sample(params, key), "iaf": ...}, min_seconds=1.0)

    thunks: {name: function without arguments}
    repeats, min_seconds: there are at least `repeats` rounds, and more until they have taken
        min_seconds
    warm_up: whether each function is called once more after the first call, which compiles and is
        timed separately; False for calls of many seconds
    clock: "wall", or "cpu" for the processor time of this process, summed over cores. On a machine
        shared with others "cpu" is steadier; pin the process to one core (`taskset -c 0`), so that
        waiting threads do not count

    Returns {name: Timing}. Raises `InputError` for no function.
    """
    warm_up = checks.flag(warm_up, "warm_up")
    checks.choice(clock, ("wall", "cpu"), "clock")
    named = isinstance(thunks, Mapping) and len(thunks) > 0
    if not named or not all(callable(thunk) for thunk in thunks.values()):
        raise checks.InputError(
            f"thunks must map names to functions of no arguments; got {checks.shown(thunks)}."
        )
    repeats = checks.positive_int(repeats, "repeats")
    min_seconds = checks.not_negative(min_seconds, "min_seconds")
    if min_seconds > A_DAY:
        raise checks.InputError(f"min_seconds must be at most {A_DAY}, a day; got {min_seconds:g}.")

    now = {"wall": perf_counter, "cpu": process_time}[clock]
    first_call = {name: seconds(thunk, now) for name, thunk in thunks.items()}
    for thunk in thunks.values() if warm_up else ():
        seconds(thunk)
    rounds = {name: [] for name in thunks}
    names, spent, rng = list(thunks), 0.0, np.random.default_rng(0)
    while len(rounds[names[0]]) < repeats or spent < min_seconds:
        for i in rng.permutation(len(names)):
            rounds[names[i]].append(seconds(thunks[names[i]], now))
            spent += rounds[names[i]][-1]
    return {name: timing(rounds[name], first_call[name]) for name in thunks}


def seconds(thunk: Callable[[], Any], now: Callable[[], float] | None = None) -> float:
    """The seconds that one call takes until its result is ready; JAX itself returns earlier.

    thunk: a function without arguments; now: a clock in seconds, `time.perf_counter` by default
    """
    now = now or perf_counter
    start = now()
    jax.block_until_ready(thunk())
    return now() - start


def timing(rounds: list[float], first_call: float) -> Timing:
    """Median and quartiles of the times of several rounds, as `Timing` in milliseconds.

    rounds, first_call: in seconds
    """
    low, median, high = np.percentile(np.array(rounds) * 1e3, [25, 50, 75])
    return Timing(float(median), float(low), float(high), first_call)


class Program(NamedTuple):
    """A function compiled for its arguments, as `program` makes it.

    run: calls it, without arguments, and returns its result
    compile_s: the time to trace and compile it, in seconds
    peak_mb: the memory of arguments, results and intermediate values, in 10^6 bytes; None where the
        device does not tell
    """

    run: Callable[[], Any]
    compile_s: float  # trace and compile
    peak_mb: float | None  # arguments, results and what lies between, in 10^6 bytes


def program(function: Callable, *args: Any) -> Program:
    """jax.jit(function).lower(*args).compile(), timed, as a `Program` that runs without compiling.

    function: of arrays, made of jax functions; args: the arguments it is compiled for and called
        with

    Returns `Program`: `.run()` calls it, `.compile_s` is the time of compilation in seconds, and
    `.peak_mb` its memory in 10^6 bytes.
    """
    checks.function(function, "function")
    start = perf_counter()
    compiled = jax.jit(function).lower(*args).compile()
    compile_s = perf_counter() - start
    memory = compiled.memory_analysis()  # None where a backend keeps no account
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    peak = None if memory is None else sum(getattr(memory, part) for part in parts) / 1e6
    return Program(lambda: compiled(*args), compile_s, peak)


def matmul(size: int = 1024) -> Callable[[], Any]:
    """A function that multiplies two matrices, 2 size³ operations: a reference of speed.

    size: the matrices are [size, size], float32. The function takes no arguments and is compiled
        here.
    """
    ones = jax.numpy.ones((size, size))
    return program(jax.numpy.matmul, ones, ones).run


def flops(jitted: Any, *args: Any, **kwargs: Any) -> float | None:
    """Floating-point operations of jitted(*args) by XLA's own count, or None where there is none.

    jitted: made by jax.jit, else `InputError`; args, kwargs: its arguments

    It is compiled and not run. XLA counts the body of a loop once, whatever its number of
    iterations: a `scan` over n layers shows the operations of one. `products` counts all.
    """
    if not hasattr(jitted, "lower"):
        raise checks.InputError(f"jitted must be a function made by jax.jit; got {jitted!r}.")
    analysis = jitted.lower(*args, **kwargs).compile().cost_analysis()
    if isinstance(analysis, (list, tuple)):  # one entry a partition in some versions
        analysis = analysis[0] if analysis else None
    count = (analysis or {}).get("flops")
    return None if count is None or count < 0 else float(count)  # -1 is XLA's "unknown"
