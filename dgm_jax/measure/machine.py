"""A description of the machine, for tables of times."""

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import jax
import jaxlib


def machine() -> dict[str, Any]:
    """{name: value} of this machine: what every table of times must state.

    date (of today, UTC), cpu (the model of the processor), cores (that this process may use),
    device (number and kind, as JAX sees them), load (average of the last minute; None where it is
    not known), and the versions of python, jax and jaxlib.
    """
    device = jax.devices()[0]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": cpu_model(),
        "cores": num_cores(),
        "device": f"{jax.device_count()} x {device.device_kind}",
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,  # 1 minute
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
    }


def num_cores() -> int:
    """The number of processor cores that this process may use: its affinity, or else all."""
    return len(getattr(os, "sched_getaffinity", lambda pid: range(os.cpu_count() or 1))(0))


def cpu_model() -> str:
    """The model name of the processor, as Linux reports it."""
    info = Path("/proc/cpuinfo")  # Linux; platform.processor() is empty there
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
