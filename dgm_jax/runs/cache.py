"""Keeps compiled programs on disk, so that a second start of the same program compiles nothing."""

import os
import platform
import sys
import zlib
from pathlib import Path

import jax

from .. import checks


def keep_compiled(directory: Path | str | None = None) -> None:
    """Turns on JAX's persistent compilation cache in `directory`.

    The default is JAX_COMPILATION_CACHE_DIR, else ~/.cache/dgm_jax (or the folder of
    XDG_CACHE_HOME). If the folder cannot be made, a line on stderr says that nothing is kept.
    JAX_ENABLE_COMPILATION_CACHE=false turns it off.
    """
    if directory is not None:
        _make(directory)
    elif jax.config.jax_compilation_cache_dir is None:  # ty: ignore[missing-attribute]
        # (jax gives its options their names when it starts, which no type checker sees)
        try:
            cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            directory = Path(cache, "dgm_jax", f"cpu-{_cpu():08x}")
            _make(directory)
        except (RuntimeError, checks.InputError) as error:  # no home, or not one to write to
            print(f"compiled programs are not kept: {error}", file=sys.stderr)
            return
    if directory is not None:
        jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _make(directory):
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise checks.InputError(
            f"cache_dir {directory} cannot be made ({error.strerror}); name another folder."
        ) from error


def _cpu():
    """What this processor can do: a program compiled for another one may crash here."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    able = [line for line in lines if line.startswith(("flags", "Features"))]
    return zlib.crc32((able or [platform.processor()])[0].encode())
