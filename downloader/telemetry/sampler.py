"""Processes from outside: their memory, their CPU time, their children, and their end. The only user of psutil."""

import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from downloader.telemetry.interface import ProcessUsage

_USAGE_INTERVAL_S = 0.5
"""Seconds between two looks at the CPU time of the same processes: 50 us for each process and look."""


def largest_rss_bytes(pids: Iterable[int]) -> int | None:
    """The largest resident size among processes now; None where none of them is there."""
    sizes = []
    for pid in pids:
        with suppress(psutil.Error):
            sizes.append(int(psutil.Process(pid).memory_info().rss))
    return max(sizes, default=None)


class UsageMeter:
    """CPU time and memory of processes that come and go. What those that are gone have used still counts.

    Between two looks at them `interval_s` seconds pass at least.
    """

    def __init__(self, interval_s: float = _USAGE_INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._processes: dict[int, tuple[psutil.Process, float]] = {}
        """By number, with the CPU time that is counted already."""
        self._usage = ProcessUsage()
        self._due_s = 0.0

    def usage(self, pids: Iterable[int]) -> ProcessUsage:
        """What the processes have used so far, as of the last look."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + self._interval_s
            self._look(pids)
        return self._usage

    def _look(self, pids: Iterable[int]) -> None:
        cpu_s, rss_bytes = self._usage.cpu_s, 0
        found = {}
        for pid in pids:
            with suppress(psutil.Error):
                process, counted_s = self._processes.get(pid) or (psutil.Process(pid), 0.0)
                times = process.cpu_times()
                rss_bytes += process.memory_info().rss
                used_s = times.user + times.system
                cpu_s += max(used_s - counted_s, 0.0)
                found[pid] = process, used_s
        self._processes = found
        self._usage = ProcessUsage(cpu_s, rss_bytes)


class OwnUsageMeter:
    """CPU time since this was made, and memory, of this process."""

    def __init__(self) -> None:
        self._meter = UsageMeter()
        self._before_s = time.process_time()

    def usage(self) -> ProcessUsage:
        """What this process uses; looked at twice a second at most."""
        usage = self._meter.usage([os.getpid()])
        return usage._replace(cpu_s=max(usage.cpu_s - self._before_s, 0.0))


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
