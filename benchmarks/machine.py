"""What the measurements ran on, and what a process takes of it.

The description names cores, processor and versions, never the machine. Where `/proc` or the pinning
of a process to a core is missing (not Linux), memory is NaN and nothing is pinned.
"""

import math
import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

_MB = 1_000_000


def description() -> str:
    """Return one line: when, on how many cores of what, with which Python."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{today}; {os.cpu_count()} cores, {_processor()}; {platform.system()},"
        f" Python {platform.python_version()}; a synced write takes {sync_ms():.2f} ms{load}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def sync_ms(times: int = 20) -> float:
    """Return the median of what a write of 4 kB takes until the disk has it."""
    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(times):
            started = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - started)
    return statistics.median(took) * 1000


def memory_mb(pid: int | str = "self", *, peak: bool = False) -> float:
    """Return what a process holds of the memory, now or at its peak, in MB; NaN if unknown."""
    name = "VmHWM:" if peak else "VmRSS:"
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next(int(line.split()[1]) * 1024 / _MB for line in lines if line.startswith(name))


def pin(pid: int, core: int) -> None:
    """Keep a process, and what it starts from now on, on one core, if there are two or more."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})
