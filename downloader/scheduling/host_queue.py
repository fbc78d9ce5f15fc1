"""Which task is next: hosts round robin, each within its limits. Pure; time comes in as an argument.

A host is in the rotation while it has tasks and may be asked: fewer than its limit in flight, its delay over, no pause.
So a slow or throttled host blocks neither a thread nor other hosts, and a rescheduled task waits here, not in a thread.
Of a host that is failing fewer may be in flight; the tasks of one that is set aside wait for nothing.
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from downloader.scheduling.circuit_breaker import CircuitBreaker

Task = TypeVar("Task")

_RECOVERY_S = 10.0
"""Seconds after which a host that asked for less may have one more task in flight."""


@dataclass(slots=True)
class _Host(Generic[Task]):
    waiting: deque[Task] = field(default_factory=deque)
    in_flight: int = 0
    limit: int = 1
    not_before_s: float = 0.0
    recover_at_s: float | None = None
    in_rotation: bool = False
    timer_s: float | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """No task may be taken now; try again in so many seconds, or (None) when something changes."""

    seconds: float | None


class HostQueue(Generic[Task]):
    """Tasks waiting to be taken, by host.

    `per_host` is how many of one host may be in flight, `delay_s` the shortest time between two starts at one host, and
    `breaker` knows the failing hosts.
    """

    def __init__(self, per_host: int, delay_s: float = 0.0, breaker: CircuitBreaker | None = None) -> None:
        self._per_host = per_host
        self._delay_s = delay_s
        self._breaker = breaker or CircuitBreaker()
        self._hosts: dict[str, _Host[Task]] = {}
        self._rotation: deque[str] = deque()
        self._timers: list[tuple[float, int, str]] = []
        self._rescheduled: list[tuple[float, int, str, Task]] = []
        self._numbers = count()
        self.size = 0
        """Tasks here: waiting to be taken, or rescheduled."""
        self.in_flight = 0
        """Tasks taken and not yet done."""

    def waiting(self, host: str) -> int:
        """Tasks of one host that wait to be taken; rescheduled ones do not count."""
        return len(self._hosts[host].waiting) if host in self._hosts else 0

    def in_flight_at(self, host: str) -> int:
        """Tasks of one host that were taken and are not yet done."""
        return self._hosts[host].in_flight if host in self._hosts else 0

    @property
    def hosts(self) -> int:
        """Hosts that are remembered: those with tasks, in flight too, and those with a limit on the next one."""
        return len(self._hosts)

    def waits(self, now_s: float) -> dict[str, tuple[int, float]]:
        """The hosts that are asked nothing now: how many tasks wait, and how many seconds for the next of them."""
        found: dict[str, tuple[int, float]] = {}
        for at_s, _, name, _ in self._rescheduled:
            items, until_s = found.get(name, (0, at_s))
            found[name] = items + 1, min(until_s, at_s)
        for name in {name for _, _, name in self._timers} | found.keys():
            host = self._hosts.get(name)
            if host is None:
                continue
            if host.in_rotation or host.in_flight:
                found.pop(name, None)
            elif host.waiting and host.not_before_s > now_s:
                items, _ = found.get(name, (0, 0.0))
                found[name] = items + len(host.waiting), host.not_before_s
        return {name: (items, until_s - now_s) for name, (items, until_s) in found.items()}

    def add(self, host: str, task: Task, now_s: float) -> None:
        """Add a task."""
        self.size += 1
        self._host(host).waiting.append(task)
        self._rotate(host, now_s)

    def take(self, now_s: float) -> tuple[str, Task] | Wait:
        """The next host and its task, in flight until `done`; or how long to wait."""
        self._resume(now_s)
        while self._rotation:
            name = self._rotation.popleft()
            host = self._hosts[name]
            host.in_rotation = False
            if not self._may_start(name, host, now_s):
                self._rotate(name, now_s)
                continue
            # Neighbours in a list often share a fault: before the host is blamed, a row from far behind is tried.
            task = host.waiting.pop() if self._breaker.is_doubtful(name) else host.waiting.popleft()
            host.in_flight += 1
            self.size -= 1
            self.in_flight += 1
            if self._delay_s:
                host.not_before_s = max(host.not_before_s, now_s + self._delay_s)
            self._rotate(name, now_s)
            return name, task
        nexts = [queue[0][0] for queue in (self._timers, self._rescheduled) if queue]
        return Wait(max(min(nexts) - now_s, 0.0) if nexts else None)

    def take_along(self, host: str, most: int, accepts: Callable[[Task], bool]) -> list[Task]:
        """Further tasks of a host, to be done one by one after the one taken just now: together they count as one.

        None where starts at the host must be apart, where it asked for less or is failing; none that is not accepted.
        """
        entry = self._hosts[host]
        if self._delay_s or entry.recover_at_s is not None or self._breaker.is_failing(host):
            return []
        along: list[Task] = []
        while entry.waiting and len(along) < most and accepts(entry.waiting[0]):
            along.append(entry.waiting.popleft())
        self.size -= len(along)
        return along

    def give_back(self, host: str, tasks: Sequence[Task], now_s: float) -> None:
        """Put tasks that were taken, and not begun, in front of the others; the one they were taken with is `done`."""
        self.size += len(tasks)
        self._host(host).waiting.extendleft(reversed(tasks))
        self._rotate(host, now_s)

    def done(self, host: str, now_s: float) -> None:
        """A task of this host is no longer in flight."""
        entry = self._hosts[host]
        entry.in_flight -= 1
        self.in_flight -= 1
        self._rotate(host, now_s)
        self._forget(host, now_s)

    def reschedule(self, host: str, task: Task, now_s: float, after_s: float) -> None:
        """Put a task in for after a delay; the task that was taken is `done` separately."""
        self.size += 1
        if self._breaker.is_open(host):
            after_s = 0.0
        heapq.heappush(self._rescheduled, (now_s + after_s, next(self._numbers), host, task))

    def release(self, host: str, now_s: float) -> None:
        """The host was set aside: let none of its tasks wait any longer."""
        entry = self._host(host)
        entry.waiting.extendleft(task for _, _, name, task in self._rescheduled if name == host)
        self._rescheduled = [scheduled for scheduled in self._rescheduled if scheduled[2] != host]
        heapq.heapify(self._rescheduled)
        self._rotate(host, now_s)

    def pause(self, host: str, now_s: float, seconds: float) -> None:
        """Start no task of this host for so long."""
        entry = self._host(host)
        entry.not_before_s = max(entry.not_before_s, now_s + seconds)
        self._rotate(host, now_s)

    def halve(self, host: str, now_s: float) -> None:
        """Halve the limit of this host, to at least one; it recovers by one every 10 s."""
        entry = self._host(host)
        entry.limit = max(entry.limit // 2, 1)
        entry.recover_at_s = now_s + _RECOVERY_S

    # -- the rotation -----------------------------------------------------------------------------------------------

    def _host(self, name: str) -> _Host[Task]:
        entry = self._hosts.get(name)
        if entry is None:
            entry = self._hosts[name] = _Host(limit=self._per_host)
        return entry

    def _may_start(self, name: str, host: _Host[Task], now_s: float) -> bool:
        if not host.waiting:
            return False
        limit = host.limit
        if self._breaker.is_failing(name):
            if self._breaker.is_open(name):
                return True
            limit = min(limit, self._breaker.limit(name) or limit)
        return host.in_flight < limit and host.not_before_s <= now_s

    def _rotate(self, name: str, now_s: float) -> None:
        """Put a host into the rotation, now or when its time has come."""
        host = self._hosts[name]
        self._recover(host, now_s)
        if host.in_rotation or not host.waiting:
            return
        if self._may_start(name, host, now_s):
            host.in_rotation = True
            self._rotation.append(name)
        elif host.not_before_s > now_s and host.timer_s != host.not_before_s:
            self._set_timer(name, host, host.not_before_s)

    def _resume(self, now_s: float) -> None:
        """Bring in what has waited long enough."""
        while self._rescheduled and self._rescheduled[0][0] <= now_s:
            _, _, name, task = heapq.heappop(self._rescheduled)
            self._host(name).waiting.appendleft(task)  # it has waited already
            self._rotate(name, now_s)
        while self._timers and self._timers[0][0] <= now_s:
            _, _, name = heapq.heappop(self._timers)
            if name in self._hosts:
                self._hosts[name].timer_s = None
                self._rotate(name, now_s)
                self._forget(name, now_s)

    def _recover(self, host: _Host[Task], now_s: float) -> None:
        while host.recover_at_s is not None and host.recover_at_s <= now_s:
            host.limit = min(host.limit + 1, self._per_host)
            host.recover_at_s = host.recover_at_s + _RECOVERY_S if host.limit < self._per_host else None

    def _forget(self, name: str, now_s: float) -> None:
        """Drop a host without tasks and without anything to remember: memory does not grow with the hosts of a list."""
        host = self._hosts[name]
        if host.waiting or host.in_flight or host.in_rotation:
            return
        remembered_until_s = max(host.not_before_s, host.recover_at_s or 0.0)
        if remembered_until_s <= now_s:
            del self._hosts[name]
        elif host.timer_s is None or host.timer_s < remembered_until_s:
            self._set_timer(name, host, remembered_until_s)

    def _set_timer(self, name: str, host: _Host[Task], at_s: float) -> None:
        host.timer_s = at_s
        heapq.heappush(self._timers, (at_s, next(self._numbers), name))
