"""Hands out the rows of a plan in order, without limits: for files of this machine, which have no host to spare."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Task = TypeVar("Task")

_READ_ROWS = 256
_POLL_INTERVAL_S = 0.2
"""Seconds between two looks at whether the run ends; growth of the plan wakes the threads that wait."""


class Backlog(Generic[Task]):
    """Threads may share it.

    Args:
        read: the rows after a sequence number, at most so many, as pairs of sequence number and task.
        stopped: whether no more tasks are to be handed out.

    Attributes:
        on_change: called when rows were added to the plan, or it is complete; for a caller of `poll`.
    """

    def __init__(self, read: Callable[[int, int], Sequence[tuple[int, Task]]], stopped: Callable[[], bool]) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._read = read
        self._stopped = stopped
        self._changed = threading.Condition()
        self._reading = threading.Lock()
        self._tasks: deque[Task] = deque()
        self._last = 0
        self._version = 0
        self._is_complete = False
        self._is_at_end = False

    def plan_grew(self) -> None:
        """Rows were added to the plan."""
        with self._changed:
            self._version += 1
            self._is_at_end = False
            self._changed.notify_all()
        self.on_change()

    def plan_complete(self) -> None:
        """No more rows will be added to the plan."""
        with self._changed:
            self._is_complete = True
        self.plan_grew()

    def take(self) -> Task | None:
        """The next task, after waiting for it if need be; None when there is none left or the run ends."""
        while not self._stopped():
            with self._changed:
                if self._tasks:
                    return self._tasks.popleft()
                if self._is_at_end:
                    if self._is_complete:
                        return None
                    self._changed.wait(_POLL_INTERVAL_S)
                    continue
            self._read_on()
        return None

    def poll(self, most: int) -> list[Task]:
        """As `take`, without waiting, and several: none where there is none now; see `is_finished`."""
        if self._stopped():
            return []
        if not self._tasks:
            self._read_on()
        with self._changed:
            return [self._tasks.popleft() for _ in range(min(most, len(self._tasks)))]

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left, now or later."""
        with self._changed:
            return self._is_complete and self._is_at_end and not self._tasks

    def _read_on(self) -> None:
        """Read the next rows; one thread does, the others wait for it, without keeping `plan_grew` waiting."""
        with self._reading:
            with self._changed:
                if self._tasks or self._is_at_end:
                    return
                version = self._version
            rows = self._read(self._last, _READ_ROWS)
            with self._changed:
                if rows:
                    self._last = rows[-1][0]
                    self._tasks.extend(task for _, task in rows)
                self._is_at_end = len(rows) < _READ_ROWS and version == self._version
