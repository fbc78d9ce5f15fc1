"""The hand-off from I/O to CPU: a bounded `multiprocessing.Queue`, and the tasks in flight beyond it.

Messages are small: a task names a file, and no pixels cross. The bound is the back-pressure: while the queue is full,
`put` waits, and so do the download threads.

A worker killed inside `Queue.get()` dies holding the queue's lock, and no process can read from that queue again. So
the queue is disposable: a task stays in flight until its result is acknowledged, and `connect` submits everything in
flight again, to a new queue.
"""

import queue
import threading
import time
from collections import deque
from multiprocessing.queues import Queue
from typing import NamedTuple, TypeAlias

from downloader.model.items import Fetched
from downloader.stop import Stop


class TransformTask(NamedTuple):
    """A file to be transformed.

    `queued_s` is when `HandOff.put` was called with it (monotonic), before it waited for room; a task that is submitted
    again after a crash keeps it.
    """

    fetched: Fetched
    queued_s: float


Channel: TypeAlias = "Queue[TransformTask | None]"
"""What crosses to the workers; None wakes a worker that is no longer needed."""

_RECHECK_S = 0.05
"""A safety net only: waiting threads are woken when a result is acknowledged."""


class HandOff:
    """The parent's side of the queue. Threads may share it.

    `size` is the bound: how many messages wait at most. `waited_s` adds up the time that callers of `put` spent in it.
    """

    def __init__(self, size: int, stop: Stop) -> None:
        self.size = size
        self.waited_s = 0.0
        self._stop = stop
        self._changed = threading.Condition()
        self._channel: Channel | None = None
        self._in_flight: dict[int, TransformTask] = {}
        self._backlog: deque[TransformTask] = deque()
        self._closed = False

    def put(self, fetched: Fetched) -> bool:
        """Submit one file, waiting while the queue is full; false if the run is aborted before there is room."""
        task = TransformTask(fetched, time.monotonic())
        with self._changed:
            while not self._stop.aborted.is_set():
                if not self._backlog and self._offer(task):
                    self.waited_s += time.monotonic() - task.queued_s
                    return True
                self._changed.wait(_RECHECK_S)
        return False

    def _offer(self, task: TransformTask) -> bool:
        if self._channel is None:
            return False
        try:
            self._channel.put_nowait(task)
        except queue.Full:
            return False
        self._in_flight[task.fetched.item.id] = task
        return True

    def acknowledge(self, item_id: int) -> bool:
        """Note that the result of an item has arrived; false if it was not in flight, so that a result counts once."""
        with self._changed:
            known = self._in_flight.pop(item_id, None) is not None
            if known:
                self._changed.notify()  # one, for one free place: more would only contend for the interpreter's lock
        return known

    def reclaim(self, item_id: int) -> TransformTask | None:
        """Take a task out of flight, to be dealt with elsewhere; None if it is not in flight."""
        with self._changed:
            return self._in_flight.pop(item_id, None)

    def disconnect(self) -> None:
        """Stop using the queue, which is about to be closed; callers of `put` wait for the next one."""
        with self._changed:
            self._channel = None

    def connect(self, channel: Channel) -> None:
        """Use a new, empty queue, and submit to it everything that is in flight."""
        with self._changed:
            self._channel = channel
            self._backlog = deque(self._in_flight.values())
            self._resubmit()

    def resubmit(self) -> None:
        """Submit what is left over from before `connect`, as far as there is room."""
        with self._changed:
            self._resubmit()

    def _resubmit(self) -> None:
        while self._backlog and (
            self._backlog[0].fetched.item.id not in self._in_flight or self._offer(self._backlog[0])
        ):
            self._backlog.popleft()
        self._changed.notify_all()

    def close(self) -> None:
        """Declare that nothing more will be put."""
        with self._changed:
            self._closed = True

    @property
    def is_finished(self) -> bool:
        """Whether it is closed and nothing is in flight."""
        return self._closed and not self._in_flight

    @property
    def in_flight(self) -> int:
        """The number of tasks submitted and not yet acknowledged."""
        return len(self._in_flight)

    def depth(self) -> int:
        """The number of messages waiting in the queue now."""
        channel = self._channel
        try:
            return channel.qsize() if channel is not None else 0
        except (NotImplementedError, OSError, ValueError):  # no sem_getvalue on macOS; or closed this moment
            return min(self.in_flight, self.size)


def take(channel: Channel, timeout_s: float) -> TransformTask | None:
    """The worker's side: the next task; None if none arrives in time, or if no more will."""
    try:
        return channel.get(timeout=timeout_s) if timeout_s > 0 else channel.get_nowait()
    except queue.Empty:
        return None
