"""Which item is next: a small window on the plan, read from the journal as threads ask for work."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from downloader.model.items import Fetched, Item
from downloader.stop import Stop

_WINDOW = 256
"""Rows read at a time: memory does not grow with the list."""
_RECHECK_S = 0.2

Read = Callable[[int, int], Sequence[Item | Fetched]]
"""Items without an outcome behind an id, at most so many, in order."""


class Feed:
    """Hands out the items of a plan that is still being written. Threads may share it."""

    def __init__(self, read: Read, stop: Stop) -> None:
        self._read = read
        self._stop = stop
        self._changed = threading.Condition()
        self._window: deque[Item | Fetched] = deque()
        self._last_id = 0
        self._planned = False

    def more(self) -> None:
        """Rows were added to the plan."""
        with self._changed:
            self._changed.notify_all()

    def planned(self) -> None:
        """No more rows will be added."""
        with self._changed:
            self._planned = True
            self._changed.notify_all()

    def take(self) -> Item | Fetched | None:
        """The next item, waiting for the plan if need be; None when there is none left or the run stops."""
        with self._changed:
            while not self._stop.asked.is_set():
                if self._window:
                    return self._window.popleft()
                planned = self._planned  # before reading: the last rows are committed before it is set
                self._window.extend(self._read(self._last_id, _WINDOW))
                if self._window:
                    last = self._window[-1]
                    self._last_id = last.item.id if isinstance(last, Fetched) else last.id
                elif planned:
                    return None
                else:
                    self._changed.wait(_RECHECK_S)
        return None
