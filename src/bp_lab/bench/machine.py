"""Where the benchmark runs: device, threads, versions."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from jax_ref import compiling

CPU_INFO = Path("/proc/cpuinfo")
LIBRARIES = ("jax", "flax", "optax", "torch")


def threads() -> int:
    """Return how many cores this process may use, which is how many threads XLA starts."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device() -> str:
    """Return the device that JAX runs on, of a CPU its model."""
    name = compiling.device()
    return f"{name}: {_processor()}" if name == "cpu" else name


def _processor() -> str:
    """Return the model of the processor, as far as the system tells."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed, by name."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def described() -> dict[str, Any]:
    """Return all of it as plain data."""
    return {"device": device(), "threads": threads(), "versions": versions()}
