"""How a process keeps and looks through its memory: not more often than it has to."""

import ctypes
import gc
import platform

# Of mallopt in <malloc.h> of the GNU C library.
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8
NEVER = -1  # the largest number would let go of 2 GB and more

SELDOM = (100_000, 50, 100)  # new objects before Python looks for cycles among them; among older


def keep_memory() -> bool:
    """Lets this process keep the memory that it frees; returns whether it could be told to.

    A compiled function of JAX takes the memory for its intermediate values at each call and frees
    it afterwards. On a CPU the GNU C library gives large blocks back to the system, which clears
    every page of them at the next call: a tenth to a third of the time of small nets. The price is
    that the process stays as large as it ever was.

    Call it before the first computation. Experiments and benchmarks do; in a notebook it is

        from dgm_jax import runs
        runs.keep_memory()

    It changes nothing in results, nor on a GPU or TPU. Without the GNU C library (on macOS, Windows
    or musl) it does nothing and returns False.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    told = ctypes.CDLL(None).mallopt
    # all threads take from one heap, which grows as needed: others end at 64 MB
    settings = ((ARENA_MAX, 1), (MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER))
    return all([told(name, value) == 1 for name, value in settings])


def collect_rarely() -> None:
    """Lets Python look for unused cycles of objects after 100 000 new ones in place of 700.

    Tracing a program makes some million objects that stay, and looking through them again and again
    is a seventh of what the start of an experiment takes with compiled programs (benchmarks.start).
    Objects without cycles, as arrays are, are freed at once as before. Experiments call it.
    """
    gc.set_threshold(*SELDOM)
