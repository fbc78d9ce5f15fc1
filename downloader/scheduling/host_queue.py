"""Deciding which item is next: hosts in turn, each within its limits. Pure; time comes in as an argument.

A host takes part in the round while it has items and may be asked: fewer than its limit under way, its delay over, no
pause. So a slow or throttled host holds neither a thread nor anybody else up, and an item that is to be tried again
waits here and not in a thread.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

Work = TypeVar("Work")

_RECOVERY_S = 10.0
"""Seconds after which a host that asked for less gets one more download at a time."""


@dataclass(slots=True)
class _Host(Generic[Work]):
    waiting: deque[Work] = field(default_factory=deque)
    under_way: int = 0
    allowed: int = 1
    not_before_s: float = 0.0
    raise_at_s: float | None = None
    in_round: bool = False
    alarm_s: float | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may be asked now; ask again in so many seconds, or when something changes."""

    seconds: float | None


class HostQueue(Generic[Work]):
    """Items waiting for their turn, by host.

    `per_host` is how many of one host may be under way, `delay_s` the least time between two beginnings at one host.
    The host "" stands for this machine's files, which have no limit.
    """

    def __init__(self, per_host: int, delay_s: float = 0.0) -> None:
        self._per_host = per_host
        self._delay_s = delay_s
        self._hosts: dict[str, _Host[Work]] = {}
        self._round: deque[str] = deque()
        self._alarms: list[tuple[float, int, str]] = []
        self._later: list[tuple[float, int, str, Work]] = []
        self._numbers = count()
        self.size = 0
        """Items here, waiting for their turn or for another attempt."""
        self.under_way = 0
        """Items taken and not yet done."""

    def waiting(self, host: str) -> int:
        """Items of one host that wait for their turn."""
        return len(self._hosts[host].waiting) if host in self._hosts else 0

    def add(self, host: str, work: Work, now_s: float) -> None:
        """One more item."""
        self.size += 1
        self._host(host).waiting.append(work)
        self._enter(host, now_s)

    def take(self, now_s: float) -> tuple[str, Work] | Wait:
        """The next item and its host; it is under way until `done`."""
        self._wake(now_s)
        while self._round:
            name = self._round.popleft()
            host = self._hosts[name]
            host.in_round = False
            if not self._may_ask(name, host, now_s):
                self._enter(name, now_s)
                continue
            work = host.waiting.popleft()
            host.under_way += 1
            self.size -= 1
            self.under_way += 1
            if name and self._delay_s:
                host.not_before_s = max(host.not_before_s, now_s + self._delay_s)
            self._enter(name, now_s)
            return name, work
        nexts = [queue[0][0] for queue in (self._alarms, self._later) if queue]
        return Wait(max(min(nexts) - now_s, 0.0) if nexts else None)

    def done(self, host: str, now_s: float) -> None:
        """An item taken from this host is no longer under way."""
        entry = self._hosts[host]
        entry.under_way -= 1
        self.under_way -= 1
        self._enter(host, now_s)
        self._forget(host, now_s)

    def again(self, host: str, work: Work, now_s: float, after_s: float) -> None:
        """An item is to be tried again after a while; the item taken is `done` separately."""
        self.size += 1
        heapq.heappush(self._later, (now_s + after_s, next(self._numbers), host, work))

    def pause(self, host: str, now_s: float, seconds: float) -> None:
        """Do not ask this host for so long."""
        entry = self._host(host)
        entry.not_before_s = max(entry.not_before_s, now_s + seconds)
        self._enter(host, now_s)

    def lower(self, host: str, now_s: float) -> None:
        """Half as many at a time for this host, at least one; it rises again by one every 10 s."""
        entry = self._host(host)
        entry.allowed = max(entry.allowed // 2, 1)
        entry.raise_at_s = now_s + _RECOVERY_S

    # -- inside ------------------------------------------------------------------------------------------------------

    def _host(self, name: str) -> _Host[Work]:
        entry = self._hosts.get(name)
        if entry is None:
            entry = self._hosts[name] = _Host(allowed=self._per_host)
        return entry

    def _may_ask(self, name: str, host: _Host[Work], now_s: float) -> bool:
        if not host.waiting:
            return False
        return not name or (host.under_way < host.allowed and host.not_before_s <= now_s)

    def _enter(self, name: str, now_s: float) -> None:
        """Let a host take part in the round, now or when its time has come."""
        host = self._hosts[name]
        self._recover(host, now_s)
        if host.in_round or not host.waiting:
            return
        if self._may_ask(name, host, now_s):
            host.in_round = True
            self._round.append(name)
        elif host.not_before_s > now_s and host.alarm_s != host.not_before_s:
            self._set_alarm(name, host, host.not_before_s)

    def _wake(self, now_s: float) -> None:
        """Bring in what has waited long enough."""
        while self._later and self._later[0][0] <= now_s:
            _, _, name, work = heapq.heappop(self._later)
            self._host(name).waiting.appendleft(work)  # it has waited already
            self._enter(name, now_s)
        while self._alarms and self._alarms[0][0] <= now_s:
            _, _, name = heapq.heappop(self._alarms)
            if name in self._hosts:
                self._hosts[name].alarm_s = None
                self._enter(name, now_s)
                self._forget(name, now_s)

    def _recover(self, host: _Host[Work], now_s: float) -> None:
        while host.raise_at_s is not None and host.raise_at_s <= now_s:
            host.allowed = min(host.allowed + 1, self._per_host)
            host.raise_at_s = host.raise_at_s + _RECOVERY_S if host.allowed < self._per_host else None

    def _forget(self, name: str, now_s: float) -> None:
        """Let go of a host that has nothing to do and nothing to remember: memory does not grow with a list's hosts."""
        host = self._hosts[name]
        if host.waiting or host.under_way or host.in_round:
            return
        remembered_until_s = max(host.not_before_s, host.raise_at_s or 0.0)
        if remembered_until_s <= now_s:
            del self._hosts[name]
        elif host.alarm_s is None or host.alarm_s < remembered_until_s:
            self._set_alarm(name, host, remembered_until_s)

    def _set_alarm(self, name: str, host: _Host[Work], at_s: float) -> None:
        host.alarm_s = at_s
        heapq.heappush(self._alarms, (at_s, next(self._numbers), name))
