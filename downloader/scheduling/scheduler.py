"""Hands out the tasks of a plan that is still being written, and says what to read of it next.

Only a window of the plan is in memory, limited in all and by host, so memory does not grow with the list, and ten
thousand rows of one host do not hide the hosts behind them. Rows of a host that has enough in the window are passed
over, and read later from where they were left. The scheduler itself reads nothing: `read_plan`, in a thread of its own,
asks it what to read and brings the rows, so that no I/O happens under the lock.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from downloader.model.hosts import HostWait
from downloader.scheduling.circuit_breaker import CircuitBreaker, SetAside
from downloader.scheduling.host_queue import HostQueue, Wait
from downloader.scheduling.interface import Block, HostFailure, Lease, LeaseBatch

Task = TypeVar("Task")

WINDOW_ROWS = 8192
"""Rows waiting in memory; at about 1 KiB a row, 8 MiB."""
READ_ROWS = 256
"""Rows read at a time."""
_MIN_HOST_WINDOW_ROWS = 128
"""Rows of one host in memory; read again when half of them are left."""
MAX_BATCH_TASKS = 8
"""Tasks of one host that may be leased together."""
_POLL_INTERVAL_S = 0.2
"""Seconds between two looks at whether the run ends; everything else wakes the threads that wait."""


class Entry(NamedTuple, Generic[Task]):
    """A row of the plan: its place in the list, its host, and what is to be done."""

    sequence: int
    host: str
    task: Task


@dataclass(frozen=True, slots=True)
class ReadNext:
    """Read the next rows of all hosts, after a place in the plan."""

    after: int
    limit: int
    plan_version: int
    planned: bool


@dataclass(frozen=True, slots=True)
class ReadHost:
    """Read rows of one host that were passed over, from one place in the plan to another, both included."""

    host: str
    start: int
    stop: int
    limit: int


class Scheduler(Generic[Task]):
    """Implements `Feed`. Threads may share it.

    Args:
        per_host: tasks of one host that may be in flight at a time.
        host_delay_s: shortest time between the starts of two tasks of one host.
        breaker: decides which hosts are set aside.
        stopped: whether no more tasks are to be handed out.
        clock: monotonic seconds.
        window_rows: rows held in memory.

    Attributes:
        on_change: called when tasks have come from the plan, or its end has; for a caller of `poll_batch`.
        held_back: how often a thread had to wait because of `limit` alone.
    """

    def __init__(
        self,
        *,
        per_host: int,
        host_delay_s: float = 0.0,
        breaker: CircuitBreaker | None = None,
        stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        window_rows: int = WINDOW_ROWS,
    ) -> None:
        self._stopped = stopped
        self._clock = clock
        self._window_rows = window_rows
        self.on_change: Callable[[], None] = lambda: None
        self._breaker = breaker or CircuitBreaker()
        self._queue: HostQueue[Task] = HostQueue(per_host, host_delay_s, self._breaker)
        self._limit: int | None = None
        self._plan: _PlanPosition[Task] = _PlanPosition(host_rows=max(_MIN_HOST_WINDOW_ROWS, 4 * per_host))
        lock = threading.Lock()
        self._tasks_changed = threading.Condition(lock)
        self._reading_changed = threading.Condition(lock)
        self.held_back = 0

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def take(self) -> Lease[Task] | None:
        """The next task, after waiting for it if need be; None when there is none left or the run ends."""
        with self._tasks_changed:
            while not self._stopped():
                found = self._poll()
                if isinstance(found, Lease):
                    return found
                if self._is_finished():
                    self._tasks_changed.notify_all()
                    return None
                wait_s = _POLL_INTERVAL_S if found.seconds is None else min(found.seconds, _POLL_INTERVAL_S)
                self._tasks_changed.wait(wait_s)
        return None

    def poll(self) -> Lease[Task] | Wait | None:
        """As `take`, without waiting: `Wait` says how long to; None when there is no task left."""
        with self._tasks_changed:
            if self._stopped():
                return None
            found = self._poll()
            return None if isinstance(found, Wait) and self._is_finished() else found

    def poll_batch(self, share: int, accepts: Callable[[Task], bool]) -> LeaseBatch[Task] | Wait | None:
        """As `poll`, with more tasks of the same host: one in `share` of those that wait, at most `MAX_BATCH_TASKS`.

        `accepts` says which tasks may be in a batch of several.
        """
        with self._tasks_changed:
            if self._stopped():
                return None
            found = self._poll()
            if isinstance(found, Wait):
                return None if self._is_finished() else found
            most = min(self._queue.waiting(found.host) // share, MAX_BATCH_TASKS - 1) if accepts(found.task) else 0
            along = self._queue.take_along(found.host, most, accepts) if most else []
            self._plan.note_room(found.host, self._queue)
            return LeaseBatch(found.host, [found.task, *along], found.block)

    def batch_done(self, batch: LeaseBatch[Task], returned: Sequence[Task] = ()) -> None:
        """A batch has ended; `returned` are those of its tasks that were not begun."""
        with self._tasks_changed:
            now_s = self._clock()
            if returned:
                self._queue.give_back(batch.host, returned, now_s)
            elif batch.block:
                self._breaker.count(batch.host, batch.block)
            self._queue.done(batch.host, now_s)

    def host_failed(self, host: str, failure: HostFailure) -> None:
        """A task of a batch failed for reasons of its host; the batch is done separately, afterwards."""
        with self._tasks_changed:
            self._note(host, failure, self._clock())

    def put_again(self, host: str, tasks: Sequence[Task], delay_s: float) -> None:
        """Hand out tasks of this host after a delay."""
        with self._tasks_changed:
            now_s = self._clock()
            for task in tasks:
                self._queue.reschedule(host, task, now_s, delay_s)

    def _poll(self) -> Lease[Task] | Wait:
        if self._limit is not None and self._queue.in_flight >= self._limit:
            self.held_back += 1
            return Wait(None)
        now_s = self._clock()
        found = self._queue.take(now_s)
        if isinstance(found, Wait):
            if self._plan.starve():
                self._reading_changed.notify()
            return found
        host, task = found
        self._plan.note_room(host, self._queue)
        if self._plan.is_wanted(self._queue.size < self._window_rows):
            self._reading_changed.notify()  # not after each task: the reader would compete for the interpreter's lock
        return Lease(host, task, block=self._breaker.next_block(host, now_s))

    @property
    def is_finished(self) -> bool:
        """Whether no task is left: none waiting, none in flight, none in the plan."""
        with self._tasks_changed:
            return self._is_finished()

    def _is_finished(self) -> bool:
        return self._plan.is_read and not self._queue.size and not self._queue.in_flight

    def done(self, lease: Lease[Task], failure: HostFailure | None = None) -> None:
        """The task of this lease has its outcome; `failure` is what its host did."""
        with self._tasks_changed:
            now_s = self._clock()
            if failure:
                self._note(lease.host, failure, now_s)
            if lease.block:
                self._breaker.count(lease.host, lease.block)
            self._queue.done(lease.host, now_s)
            self._tasks_changed.notify()

    def reschedule(
        self,
        lease: Lease[Task],
        tasks: Sequence[Task],
        delay_s: float,
        *,
        host: str | None = None,
        failure: HostFailure | None = None,
    ) -> None:
        """The task of this lease goes on as `tasks`, to be handed out after a delay; no thread waits for them.

        `host` is another host, where they go on; `failure` is what the host of the lease did.
        """
        with self._tasks_changed:
            now_s = self._clock()
            if failure:
                self._note(lease.host, failure, now_s)
            for task in tasks:
                self._queue.reschedule(host or lease.host, task, now_s, delay_s)
            self._queue.done(lease.host, now_s)
            self._tasks_changed.notify_all()

    def _note(self, host: str, failure: HostFailure, now_s: float) -> None:
        rest_s = self._breaker.failed(host, failure, now_s, in_flight=self._queue.in_flight_at(host) - 1)
        if self._breaker.is_open(host):
            self._queue.release(host, now_s)
        elif rest_s:
            self._queue.pause(host, now_s, rest_s)

    def limit(self, tasks: int) -> None:
        """Hand out no more than so many tasks at a time, over all hosts."""
        with self._tasks_changed:
            self._limit = tasks
            self._tasks_changed.notify_all()

    # -- hosts ---------------------------------------------------------------------------------------------------------

    def pause(self, host: str, seconds: float) -> None:
        """The host asked for less: ask it nothing for so long, and half as much at a time from then on."""
        with self._tasks_changed:
            now_s = self._clock()
            self._queue.halve(host, now_s)
            self._queue.pause(host, now_s, seconds)

    def block(self, host: str, block: Block, seconds: float) -> None:
        """The host is not to be asked for so long; its tasks are handed out at once, with this block."""
        with self._tasks_changed:
            now_s = self._clock()
            self._breaker.block(host, block, now_s, seconds)
            self._queue.release(host, now_s)
            self._tasks_changed.notify_all()

    def answered(self, host: str) -> None:
        """An attempt at the host did not fail, or for reasons of its item."""
        if self._breaker.is_failing(host):  # looked at without the lock, which every download would take for nothing
            with self._tasks_changed:
                self._breaker.answered(host)

    def waits(self, least_s: float = 1.0) -> list[HostWait]:
        """The hosts that are asked nothing for at least so long from now, those with the most tasks first."""
        with self._tasks_changed:
            found = [
                HostWait(host, items, seconds, self._breaker.last_failure(host))
                for host, (items, seconds) in self._queue.waits(self._clock()).items()
                if seconds >= least_s
            ]
        return sorted(found, key=lambda wait: -wait.items)

    def set_aside(self) -> list[SetAside]:
        """The hosts of which tasks were not done, those with the most first."""
        with self._tasks_changed:
            return self._breaker.set_aside

    # -- the plan ------------------------------------------------------------------------------------------------------

    def plan_grew(self) -> None:
        """Rows were added to the plan."""
        with self._reading_changed:
            self._plan.grew()
            self._reading_changed.notify()

    def plan_complete(self) -> None:
        """No more rows will be added to the plan."""
        with self._reading_changed:
            self._plan.complete()
            self._reading_changed.notify()
            self._tasks_changed.notify_all()

    def next_read(self) -> ReadNext | ReadHost | None:
        """What to read of the plan next, after waiting until something is wanted; None when that is all."""
        with self._reading_changed:
            while not self._stopped() and not self._plan.is_read:
                if (read := self._plan.wanted(self._queue, self._window_rows)) is not None:
                    return read
                self._reading_changed.wait(_POLL_INTERVAL_S)
        return None

    def poll_read(self) -> ReadNext | ReadHost | None:
        """As `next_read`, without waiting; None when nothing is wanted now."""
        with self._reading_changed:
            return self._plan.wanted(self._queue, self._window_rows)

    def admit(self, read: ReadNext | ReadHost, entries: Sequence[Entry[Task]]) -> None:
        """Take in what was read."""
        with self._tasks_changed:
            now_s = self._clock()
            for host, task in self._plan.admitted(read, entries, self._queue):
                self._queue.add(host, task, now_s)
            if self._plan.is_read:
                self._tasks_changed.notify_all()  # threads without a task may end
            else:
                self._tasks_changed.notify(len(entries))
        self.on_change()


class _PlanPosition(Generic[Task]):
    """How far the plan has been read, and the hosts with rows that were passed over. `host_rows` is a host's window."""

    def __init__(self, host_rows: int) -> None:
        self._host_rows = host_rows
        self._last = 0
        self._passed_over: dict[str, int] = {}
        self._version = 0
        self._is_complete = False
        self._is_at_end = False
        self._is_starving = False
        self._behind: dict[str, None] = {}
        """Hosts whose rows are wanted again, in the order in which they were found to be."""

    @property
    def is_read(self) -> bool:
        """Whether there is nothing left to read, now or later."""
        return self._is_at_end and self._is_complete and not self._passed_over

    def grew(self) -> None:
        """There is something behind what was the end."""
        self._version += 1
        self._is_at_end = False

    def complete(self) -> None:
        """The plan will not grow any more; one more read finds its end."""
        self._is_complete = True
        self.grew()

    def starve(self) -> bool:
        """Everything in the window has to wait: read on beyond it. Whether there is anything to read."""
        self._is_starving = not self._is_at_end
        return self._is_starving

    def note_room(self, host: str, queue: HostQueue[Task]) -> None:
        """Note a host of which few rows are left while others were passed over."""
        if host in self._passed_over and queue.waiting(host) <= self._host_rows // 2:
            self._behind[host] = None

    def is_wanted(self, has_room: bool) -> bool:
        """Whether `wanted` would name something; `has_room`: whether the window is not full."""
        return bool(self._behind) or (not self._is_at_end and (self._is_starving or has_room))

    def wanted(self, queue: HostQueue[Task], window_rows: int) -> ReadNext | ReadHost | None:
        """What to read next."""
        for host in self._behind:
            return ReadHost(host, self._passed_over[host], self._last, self._host_rows)
        if self.is_wanted(queue.size < window_rows):
            return ReadNext(self._last, READ_ROWS, self._version, self._is_complete)
        return None

    def admitted(
        self, read: ReadNext | ReadHost, entries: Sequence[Entry[Task]], queue: HostQueue[Task]
    ) -> list[tuple[str, Task]]:
        """Move on behind what was read; which of it comes into the window."""
        if isinstance(read, ReadHost):
            return self._caught_up(read, entries)
        self._is_starving = False
        if len(entries) < read.limit and read.plan_version == self._version:
            self._is_at_end = True
        added: dict[str, int] = {}
        window = []
        for sequence, host, task in entries:
            self._last = sequence
            if host in self._passed_over:
                continue
            if queue.waiting(host) + added.get(host, 0) >= self._host_rows:
                self._passed_over[host] = sequence
                self.note_room(host, queue)
                continue
            added[host] = added.get(host, 0) + 1
            window.append((host, task))
        return window

    def _caught_up(self, read: ReadHost, entries: Sequence[Entry[Task]]) -> list[tuple[str, Task]]:
        self._behind.pop(read.host, None)
        if len(entries) < read.limit:
            del self._passed_over[read.host]
        else:
            self._passed_over[read.host] = entries[-1].sequence + 1
        return [(entry.host, entry.task) for entry in entries]


def read_plan(
    scheduler: Scheduler[Task],
    next_rows: Callable[[int, int], Sequence[Entry[Task]]],
    host_rows: Callable[[str, int, int, int], Sequence[Entry[Task]]],
) -> None:
    """Bring a scheduler the rows it asks for until it has all; to be run in a thread of its own.

    Args:
        scheduler: wants the rows.
        next_rows: rows after a sequence number, at most so many.
        host_rows: rows of a host from one sequence number to another, both included, at most so many.
    """
    while (read := scheduler.next_read()) is not None:
        if isinstance(read, ReadHost):
            entries = host_rows(read.host, read.start, read.stop, read.limit)
        else:
            entries = next_rows(read.after, read.limit)
        scheduler.admit(read, entries)
