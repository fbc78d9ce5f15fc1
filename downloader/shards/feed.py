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
from downloader.scheduling.interface import Block, HostFailure, Lease
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
    block: Block | None


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
        self._failing: set[str] = set()
        """Hosts that have failed, here or in another shard, and have not answered here since."""
        self._limit: int | None = None
        self._in_flight = 0
        self._is_finished = False
        self.held_back = 0

    # -- from the coordinator ------------------------------------------------------------------------------------------

    def lease(self, batch: messages.LeaseUrls) -> None:
        """Take in a batch."""
        with self._changed:
            tasks = deque(self._task(task) for task in batch.tasks)
            self._ready.append(_Batch(batch.batch, batch.host, tasks, batch.block))
            self._changed.notify()

    def _task(self, task: messages.Flat | int) -> tuple[int | None, FetchTask]:
        if isinstance(task, int):
            return task, self._kept.pop(task)
        return None, FetchTask(item=messages.unpack_item(task))

    def host_paused(self, pause: messages.PauseHost) -> None:
        """A host has asked another shard for less: batches of it that have not begun a task go back."""
        with self._changed:
            self._pause(pause.host, pause.seconds)

    def host_failed(self, failed: messages.HostFailed) -> None:
        """A host has failed in another shard: batches of it that have not begun a task go back."""
        with self._changed:
            self._failing.add(failed.host)
            self._give_back(failed.host)

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
                    return _BatchLease(batch.host, task, batch, block=batch.block)
                elif self._is_finished:
                    return None
                self._changed.wait(_POLL_INTERVAL_S)
        return None

    def done(self, lease: Lease[FetchTask], failure: HostFailure | None = None) -> None:
        """The task of this lease has its outcome; the next one of its batch is ready, unless the host is in trouble."""
        with self._changed:
            if failure:
                self._note(lease.host, failure)
            self._end(lease, goes_on=failure is None)

    def _end(self, lease: Lease[FetchTask], *, goes_on: bool) -> None:
        assert isinstance(lease, _BatchLease)
        batch = lease.batch
        self._in_flight -= 1
        if goes_on and batch.tasks and not self._is_paused(batch.host):
            self._ready.appendleft(batch)
            self._changed.notify()
        else:
            self._release(batch)

    def reschedule(
        self,
        lease: Lease[FetchTask],
        tasks: Sequence[FetchTask],
        delay_s: float,
        *,
        host: str | None = None,
        failure: HostFailure | None = None,
    ) -> None:
        """Keep the tasks, and tell the coordinator when they are due, and at which host."""
        with self._changed:
            if failure:
                self._note(lease.host, failure)
            numbers = tuple(next(self._numbers) for _ in tasks)
            self._kept.update(zip(numbers, tasks, strict=True))
            self._post(messages.Rescheduled(host or lease.host, numbers, delay_s))
            self._end(lease, goes_on=failure is None)

    def answered(self, host: str) -> None:
        """Tell the coordinator, if the host was failing."""
        if host in self._failing:
            with self._changed:
                self._failing.discard(host)
            self._post(messages.HostAnswered(host), urgent=True)

    def pause(self, host: str, seconds: float) -> None:
        """Tell the coordinator, which tells the other shards."""
        with self._changed:
            self._pause(host, seconds)
        self._post(messages.PauseHost(host, seconds), urgent=True)

    def block(self, host: str, block: Block, seconds: float) -> None:
        """Tell the coordinator, which leases the tasks of this host with the block from then on."""
        with self._changed:
            self._failing.add(host)
            self._give_back(host)
        self._post(messages.BlockHost(host, block, seconds), urgent=True)

    def limit(self, tasks: int) -> None:
        """Hand out no more than so many tasks at a time."""
        with self._changed:
            self._limit = tasks
            self._changed.notify_all()

    # -- under the lock ------------------------------------------------------------------------------------------------

    def _note(self, host: str, failure: HostFailure) -> None:
        self._failing.add(host)
        self._post(messages.HostFailed(host, failure), urgent=True)
        self._give_back(host)

    def _pause(self, host: str, seconds: float) -> None:
        self._paused[host] = max(self._paused.get(host, 0.0), time.monotonic() + seconds)
        self._give_back(host)

    def _give_back(self, host: str) -> None:
        waiting = [batch for batch in self._ready if batch.host == host and not batch.block]
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
