"""The shard's side of the seams: work comes from the coordinator, and what is learned of hosts goes back to it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from downloader.download.fetch_task import FetchTask
from downloader.local import Task as LocalTask
from downloader.model.items import Item
from downloader.scheduling.interface import Block, Lease
from downloader.shards import messages

Post = Callable[..., None]
"""`Outbox.post`."""
_POLL_INTERVAL_S = 0.2
"""Seconds between two looks at whether the run ends; everything else wakes the threads that wait."""


@dataclass(slots=True)
class _Batch:
    """Tasks of one host, done one after another: for the host's limits they are one."""

    number: int
    host: str
    tasks: "deque[tuple[int | None, FetchTask]]"
    """With the number under which a task was kept, if it was."""


@dataclass(frozen=True, slots=True)
class _BatchLease(Lease[FetchTask]):
    batch: _Batch


class ShardFeed:
    """Implements `Feed` with what the coordinator leases.

    A task that is rescheduled is kept here under a number, with all that its attempts have learned; the coordinator,
    which knows when its host may be asked again, leases that number back.

    Args:
        post: sends a message to the coordinator.
        stopped: whether no more tasks are to be handed out.
    """

    def __init__(self, post: Post, stopped: Callable[[], bool]) -> None:
        self._post = post
        self._stopped = stopped
        self._changed = threading.Condition()
        self._ready: deque[_Batch] = deque()
        self._kept: dict[int, FetchTask] = {}
        self._numbers = count()
        self._paused: dict[str, float] = {}
        """Hosts that asked for less, and when (monotonic) their batches may go on."""
        self._blocks: dict[str, tuple[float, Block]] = {}
        self._limit: int | None = None
        self._in_flight = 0
        self._is_finished = False
        self.held_back = 0

    # -- from the coordinator ------------------------------------------------------------------------------------------

    def lease(self, batch: messages.LeaseUrls) -> None:
        """Take in a batch."""
        with self._changed:
            tasks = deque(self._task(task) for task in batch.tasks)
            self._ready.append(_Batch(batch.batch, batch.host, tasks))
            self._changed.notify()

    def _task(self, task: messages.Flat | int) -> tuple[int | None, FetchTask]:
        if isinstance(task, int):
            return task, self._kept.pop(task)
        return None, FetchTask(item=messages.unpack_item(task))

    def host_paused(self, pause: messages.PauseHost) -> None:
        """A host has asked another shard for less: batches of it that have not begun a task go back."""
        with self._changed:
            self._pause(pause.host, pause.seconds)

    def host_blocked(self, block: messages.BlockHost) -> None:
        """A host has asked another shard to be left alone."""
        self._blocks[block.host] = (time.monotonic() + block.seconds, Block(block.seconds, block.http_status))

    def finish(self) -> None:
        """There will be no more work."""
        with self._changed:
            self._is_finished = True
            self._changed.notify_all()

    # -- the seam ------------------------------------------------------------------------------------------------------

    def take(self) -> Lease[FetchTask] | None:
        """The next task, after waiting for it if need be; None when there is none left or the run ends."""
        with self._changed:
            while not self._stopped():
                if self._limit is not None and self._in_flight >= self._limit:
                    self.held_back += 1
                elif self._ready:
                    batch = self._ready.popleft()
                    self._in_flight += 1
                    _, task = batch.tasks.popleft()
                    return _BatchLease(batch.host, task, batch)
                elif self._is_finished:
                    return None
                self._changed.wait(_POLL_INTERVAL_S)
        return None

    def done(self, lease: Lease[FetchTask]) -> None:
        """The task of this lease has its outcome; the next one of its batch is ready, unless the host is paused."""
        assert isinstance(lease, _BatchLease)
        batch = lease.batch
        with self._changed:
            self._in_flight -= 1
            if batch.tasks and not self._is_paused(batch.host):
                self._ready.appendleft(batch)
                self._changed.notify()
            else:
                self._release(batch)

    def reschedule(self, lease: Lease[FetchTask], tasks: Sequence[FetchTask], delay_s: float) -> None:
        """Keep the tasks, and tell the coordinator when they are due."""
        with self._changed:
            numbers = tuple(next(self._numbers) for _ in tasks)
            self._kept.update(zip(numbers, tasks, strict=True))
        self._post(messages.Rescheduled(lease.host, numbers, delay_s))
        self.done(lease)

    def pause(self, host: str, seconds: float) -> None:
        """Tell the coordinator, which tells the other shards."""
        with self._changed:
            self._pause(host, seconds)
        self._post(messages.PauseHost(host, seconds), urgent=True)

    def block(self, host: str, block: Block) -> None:
        """Tell the coordinator, which tells the other shards."""
        message = messages.BlockHost(host, block.seconds, block.http_status)
        self.host_blocked(message)
        self._post(message, urgent=True)

    def blocked(self, host: str) -> Block | None:
        """Why a host is not to be asked now."""
        until_s, block = self._blocks.get(host, (0.0, None))
        return block if until_s > time.monotonic() else None

    def limit(self, tasks: int) -> None:
        """Hand out no more than so many tasks at a time."""
        with self._changed:
            self._limit = tasks
            self._changed.notify_all()

    # -- under the lock ------------------------------------------------------------------------------------------------

    def _pause(self, host: str, seconds: float) -> None:
        self._paused[host] = max(self._paused.get(host, 0.0), time.monotonic() + seconds)
        waiting = [batch for batch in self._ready if batch.host == host]
        for batch in waiting:
            self._ready.remove(batch)
            self._release(batch)

    def _is_paused(self, host: str) -> bool:
        until_s = self._paused.get(host)
        if until_s is None:
            return False
        if until_s > time.monotonic():
            return True
        del self._paused[host]
        return False

    def _release(self, batch: _Batch) -> None:
        self._kept.update((number, task) for number, task in batch.tasks if number is not None)
        self._post(messages.Released(batch.number, len(batch.tasks)), urgent=not self._ready)


class ShardLocalFeed:
    """Implements `LocalFeed` with what the coordinator leases; arguments as of `ShardFeed`."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._changed = threading.Condition()
        self._ready: deque[LocalTask] = deque()
        self._is_finished = False

    def lease(self, lease: messages.LeaseLocal) -> None:
        """Take in items, and bytes that were fetched before."""
        items: list[Item] = [messages.unpack_item(item) for item in lease.items]
        fetched = [messages.unpack_fact(fact, messages.unpack_item(item)) for item, fact in lease.fetched]
        with self._changed:
            self._ready.extend(items)
            self._ready.extend(fetched)  # type: ignore[arg-type]
            self._changed.notify(len(items) + len(fetched))

    def finish(self) -> None:
        """There will be no more work."""
        with self._changed:
            self._is_finished = True
            self._changed.notify_all()

    def take(self) -> LocalTask | None:
        """The next task, after waiting for it if need be; None when there is none left or the run ends."""
        with self._changed:
            while not self._stopped():
                if self._ready:
                    return self._ready.popleft()
                if self._is_finished:
                    return None
                self._changed.wait(_POLL_INTERVAL_S)
        return None
