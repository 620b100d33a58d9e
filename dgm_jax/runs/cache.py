"""Compiled programs are kept on disk, so that the second start of a program compiles nothing."""

import os
import platform
import zlib
from pathlib import Path

import jax


def keep_compiled(directory: Path | str | None = None) -> None:
    """Keeps compiled programs in `directory`.

    By default that is what JAX_COMPILATION_CACHE_DIR says, else ~/.cache/dgm_jax (or the folder of
    XDG_CACHE_HOME). JAX_ENABLE_COMPILATION_CACHE=false turns it off.
    """
    if directory is None and jax.config.jax_compilation_cache_dir is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        directory = Path(cache, "dgm_jax", f"cpu-{_cpu():08x}")
    if directory is not None:
        jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _cpu():
    """What this processor can do: a program compiled for another one may crash here."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    able = [line for line in lines if line.startswith(("flags", "Features"))]
    return zlib.crc32((able or [platform.processor()])[0].encode())
