"""Which item is next: a window on the plan, read from the journal as threads ask for work.

The window holds a limited number of rows in all and of each host, so memory does not grow with the list, and ten
thousand rows of one host do not hide the hosts behind them. Rows of a host that has enough in the window are passed
over and read later, from where they were left.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from downloader.download.fetch_task import FetchTask, Reschedule, RetryAfter
from downloader.model.items import Fetched, Item, Url
from downloader.model.urls import host_of
from downloader.scheduling.host_queue import HostQueue, Wait
from downloader.stop import Stop

_WINDOW = 8192
"""Rows waiting in memory; at about 1 KiB a row, 8 MiB."""
_READ = 256
_RECHECK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the plan is read, as pairs of a turn and a live item, in the order of turns.

    `after` gives those behind a turn; `of_host` those of one host from one turn to another.
    """

    after: Callable[[int, int], Sequence[tuple[int, Item | Fetched]]]
    of_host: Callable[[str, int, int, int], Sequence[tuple[int, Item | Fetched]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a thread was given: give it back with `Feed.done` or `Feed.again`."""

    host: str
    job: FetchTask


class Feed:
    """Hands out the items of a plan that is still being written. Threads may share it."""

    def __init__(self, plan: Plan, stop: Stop, *, per_host: int, host_delay_s: float) -> None:
        self._plan = plan
        self._stop = stop
        self._changed = threading.Condition()
        self._hosts_queue: HostQueue[FetchTask] = HostQueue(per_host, host_delay_s)
        self._host_window = max(32, 4 * per_host)
        self._last_turn = 0
        self._passed_over: dict[str, int] = {}
        self._planned = False
        self._at_end = False
        """The last read found nothing further, and nothing has been added since."""
        self._read_all = False
        """... and nothing will be."""
        self._shut: dict[str, tuple[float, RetryAfter]] = {}
        self._limit: int | None = None
        self.kept_back = 0
        """How often a thread was kept waiting by the limit on all downloads."""

    def more(self) -> None:
        """Rows were added to the plan."""
        with self._changed:
            self._at_end = False
            self._changed.notify_all()

    def planned(self) -> None:
        """No more rows will be added."""
        with self._changed:
            self._planned = True
            self._at_end = False
            self._changed.notify_all()

    def take(self) -> Lease | None:
        """The next item, waiting for its turn if need be; None when there is none left or the run stops."""
        with self._changed:
            idle = False
            while not self._stop.asked.is_set():
                if self._limit is not None and self._hosts_queue.under_way >= self._limit:
                    self.kept_back += 1
                    self._changed.wait(_RECHECK_S)
                    continue
                self._read_ahead(further=idle)
                found = self._hosts_queue.take(time.monotonic())
                if not isinstance(found, Wait):
                    self._catch_up(found[0])
                    return Lease(host=found[0], job=found[1])
                if (
                    self._read_all
                    and not self._passed_over
                    and not self._hosts_queue.size
                    and not self._hosts_queue.under_way
                ):
                    self._changed.notify_all()
                    return None
                self._changed.wait(_RECHECK_S if found.seconds is None else min(found.seconds, _RECHECK_S))
                idle = True
        return None

    def allow(self, limit: int) -> None:
        """From now on no more than so many are under way at a time."""
        with self._changed:
            self._limit = limit
            self._changed.notify_all()

    def done(self, turn: Lease) -> None:
        """The item of this turn has its fact."""
        with self._changed:
            self._hosts_queue.done(turn.host, time.monotonic())
            self._changed.notify()

    def again(self, turn: Lease, later: Reschedule) -> None:
        """The item of this turn is to be taken up again after a while; no thread waits for it."""
        with self._changed:
            now_s = time.monotonic()
            for job in later.tasks:
                self._hosts_queue.again(turn.host, job, now_s, later.delay_s)
            self._hosts_queue.done(turn.host, now_s)
            self._changed.notify_all()

    def hold(self, host: str, hold: RetryAfter) -> None:
        """The host asked for less: pause it, and ask it for half as many at a time from then on.

        Where it asks for longer than any item would wait, it is shut: its items are not asked for in this run.
        """
        with self._changed:
            now_s = time.monotonic()
            if hold.blocked:
                self._shut[host] = (now_s + hold.seconds, hold)
            else:
                self._hosts_queue.lower(host, now_s)
                self._hosts_queue.pause(host, now_s, hold.seconds)

    def shut(self, host: str) -> RetryAfter | None:
        """What a host that is not to be asked has said."""
        until_s, hold = self._shut.get(host, (0.0, None))
        return hold if until_s > time.monotonic() else None

    # -- reading the plan --------------------------------------------------------------------------------------------

    def _read_ahead(self, *, further: bool) -> None:
        """Fill the window; `further` beyond its size where everything in it has to wait."""
        while not self._at_end and (further or self._hosts_queue.size < _WINDOW):
            further = False
            planned = self._planned  # before reading: the last rows are committed before it is set
            rows = self._plan.after(self._last_turn, _READ)
            for turn, work in rows:
                self._last_turn = turn
                self._admit(turn, work)
            if len(rows) < _READ:
                self._at_end = True
                self._read_all = planned

    def _admit(self, turn: int, work: Item | Fetched) -> None:
        item = work.item if isinstance(work, Fetched) else work
        host = host_of(item.what.url) if isinstance(item.what, Url) else ""
        if host and host in self._passed_over:
            return
        if host and self._hosts_queue.waiting(host) >= self._host_window:
            self._passed_over[host] = turn
            return
        self._hosts_queue.add(host, FetchTask(work=work), time.monotonic())

    def _catch_up(self, host: str) -> None:
        """Read the rows of this host that were passed over, once few of them are left."""
        if host not in self._passed_over or self._hosts_queue.waiting(host) > self._host_window // 2:
            return
        rows = self._plan.of_host(host, self._passed_over[host], self._last_turn, self._host_window)
        for turn, work in rows:
            self._hosts_queue.add(host, FetchTask(work=work), time.monotonic())
            self._passed_over[host] = turn + 1
        if len(rows) < self._host_window:
            del self._passed_over[host]
