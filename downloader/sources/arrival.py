"""Rows of a source that may keep its reader waiting: a pipe that somebody is still writing to."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from downloader.model.items import Row

PATIENCE_S = 0.1
"""Seconds that rows which have come wait for others."""
_MAX_WAITING = 4000
"""Rows that are read ahead; the planner takes as many at once."""


@dataclass(frozen=True, slots=True)
class _End:
    problem: Exception | None


def as_they_come(rows: Callable[[], Iterator[Row]]) -> Iterator[Row | None]:
    """The rows, and None whenever those before it have waited for a moment, whether others are still coming or not.

    A thread of its own reads them, which nobody waits for: it may be blocked when the run ends.
    """
    arrived: queue.Queue[Row | _End] = queue.Queue(_MAX_WAITING)
    threading.Thread(target=_read, args=(rows, arrived), name="list", daemon=True).start()
    due_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            entry = arrived.get(timeout=max(due_s - time.monotonic(), 0.0))
        except queue.Empty:
            yield None
            due_s = time.monotonic() + PATIENCE_S
            continue
        if not isinstance(entry, _End):
            yield entry
        elif entry.problem is None:
            return
        else:
            raise entry.problem


def _read(rows: Callable[[], Iterator[Row]], arrived: "queue.Queue[Row | _End]") -> None:
    try:
        for row in rows():
            arrived.put(row)
    except Exception as problem:  # noqa: BLE001 - the planner raises it
        arrived.put(_End(problem))
    else:
        arrived.put(_End(None))
