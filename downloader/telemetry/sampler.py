"""Processes from outside: their memory, their CPU time, their children, and their end. The only user of psutil."""

import sys
from collections.abc import Iterable
from contextlib import suppress

import psutil


def largest_rss_bytes(pids: Iterable[int]) -> int | None:
    """The largest resident size among processes now; None where none of them is there."""
    sizes = []
    for pid in pids:
        with suppress(psutil.Error):
            sizes.append(int(psutil.Process(pid).memory_info().rss))
    return max(sizes, default=None)


def cpu_time_s(pid: int) -> float | None:
    """The CPU time that a process has used so far; None if it is not there."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have started."""
    with suppress(psutil.Error):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def kill_helpers(pids: Iterable[int]) -> None:
    """Kill processes that multiprocessing has started for one that is dead; others that have their numbers now stay."""
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if "multiprocessing" in " ".join(process.cmdline()):
                process.kill()


def peak_rss_bytes() -> int:
    """The largest resident size of this process so far; the present one where the system does not keep it."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return int(psutil.Process().memory_info().rss)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
