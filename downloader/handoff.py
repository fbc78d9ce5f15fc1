"""The hand-off from I/O to CPU: one bounded `multiprocessing.Queue`, and a ledger of what is on the other side.

Messages are small: a `Fetched` names a file, no pixels cross. The bound is the back-pressure: while the queue is full,
`put` waits, and so the download threads do.

A worker killed inside `Queue.get()` dies holding the queue's lock and nobody can read from it again, so the queue is
disposable: the ledger keeps every message until its fact has come back, and `reconnect` hands it all over again to a
new queue.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable
from multiprocessing.queues import Queue
from typing import TypeAlias

from downloader.model.items import Fetched
from downloader.stop import Stop

Channel: TypeAlias = "Queue[Fetched | None]"
"""What crosses to the workers; None says that nothing more will come."""

_RECHECK_S = 0.05
"""A safety net only: whoever waits is woken when an answer comes back."""


class HandOff:
    """The parent's side of the queue. Threads may share it.

    `size` is the bound: how many messages wait at most.
    """

    def __init__(self, size: int, stop: Stop) -> None:
        self.size = size
        self._stop = stop
        self.waited_s = 0.0
        """Seconds that threads have waited in `put` so far."""
        self._changed = threading.Condition()
        self._channel: Channel | None = None
        self._ledger: dict[int, Fetched] = {}
        self._backlog: deque[Fetched] = deque()
        self._closed = False

    def put(self, fetched: Fetched) -> bool:
        """Hand one file over, waiting while the queue is full; false where the run stops before there is room."""
        started = time.monotonic()
        with self._changed:
            while not self._stop.aborted.is_set():
                if not self._backlog and self._offer(fetched):
                    self.waited_s += time.monotonic() - started
                    return True
                self._changed.wait(_RECHECK_S)
        return False

    def _offer(self, fetched: Fetched) -> bool:
        if self._channel is None:
            return False
        try:
            self._channel.put_nowait(fetched)
        except queue.Full:
            return False
        self._ledger[fetched.item.id] = fetched
        return True

    def answered(self, ids: Iterable[int]) -> list[int]:
        """Strike what came back off the ledger; returns the ids that were on it (an answer given twice counts once)."""
        with self._changed:
            known = [item_id for item_id in ids if self._ledger.pop(item_id, None) is not None]
            self._changed.notify(len(known))  # not all: they would only queue for the interpreter's lock
        return known

    def take_back(self, ids: Iterable[int]) -> list[Fetched]:
        """Take messages off the ledger, to be dealt with elsewhere."""
        with self._changed:
            return [self._ledger.pop(item_id) for item_id in ids if item_id in self._ledger]

    def disconnect(self) -> None:
        """Stop using the queue, which is about to go; whoever wants to put waits for the next one."""
        with self._changed:
            self._channel = None

    def reconnect(self, channel: Channel) -> None:
        """Use a new, empty queue; everything on the ledger is to be handed over again."""
        with self._changed:
            self._channel = channel
            self._backlog = deque(self._ledger.values())
            self._feed()

    def feed(self) -> None:
        """Hand over what waits from before a reconnection, as far as there is room."""
        with self._changed:
            self._feed()

    def _feed(self) -> None:
        while self._backlog and (self._backlog[0].item.id not in self._ledger or self._offer(self._backlog[0])):
            self._backlog.popleft()
        self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be put."""
        with self._changed:
            self._closed = True

    @property
    def closed(self) -> bool:
        """Whether nothing more will be put."""
        return self._closed

    @property
    def outstanding(self) -> int:
        """Messages handed over and not answered."""
        return len(self._ledger)

    def depth(self) -> int:
        """Messages waiting in the queue now."""
        channel = self._channel
        try:
            return channel.qsize() if channel is not None else 0
        except (NotImplementedError, OSError, ValueError):  # no sem_getvalue on macOS; or closed this moment
            return min(self.outstanding, self.size)


def take(channel: Channel, patience_s: float) -> Fetched | None:
    """The worker's side: the next message; None when none came in time, or none will come."""
    try:
        return channel.get(timeout=patience_s) if patience_s > 0 else channel.get_nowait()
    except queue.Empty:
        return None
