"""Killing workers that are at one item for too long."""

import time

from downloader.transform.pool import WorkerPool
from downloader.transform.recovery import overdue

_GRACE_S = 2.0
"""Seconds between the soft alarm inside a worker and its SIGKILL."""


class Watchdog:
    """Kills workers past `limit_s` and some grace: a decoder inside C code never sees the soft alarm.

    `killed` holds the pids of those it killed.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.killed: set[int] = set()

    def check(self, pool: WorkerPool | None) -> None:
        """Kill the overdue workers of a pool."""
        if pool is None:
            return
        for assignment in overdue(pool.assignments(), time.monotonic(), self.limit_s + _GRACE_S):
            self.killed.add(assignment.pid)
            pool.kill(assignment.pid)
