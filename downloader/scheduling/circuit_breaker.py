"""Which hosts are set aside because nothing but failures comes from them. Pure; time comes in as an argument.

A circuit breaker for each host (M. Nygard, "Release It!"). While failures follow each other, fewer and fewer attempts
may be in flight, so that no more than `attempts` fail in a row. A host that fails at once rather than by timeouts gets
a few more attempts, apart in time, since it may just be restarting. Then its tasks are set aside: they are handed out
at once, to be failed without an attempt. From time to time one of them is a probe; its success clears everything, as
any other success does.
"""

from dataclasses import dataclass

from downloader.config.settings import DownloadOptions
from downloader.scheduling.interface import Block, HostFailure

_PAUSES = 4
"""Attempts beyond the limit at a host that fails at once, spread over the patience."""
_LONG = 6
"""Half of the attempts are enough if they took so many times the patience."""
_MAX_HOSTS = 10_000
"""Failing hosts that are remembered, the latest ones; at some 300 bytes each, 3 MB."""


@dataclass(slots=True)
class _Trouble:
    """The failures of a host since its last success."""

    at: str
    since_s: float
    failures: int = 0
    last: str = ""
    """The last failure in a word."""
    block: Block | None = None
    """Why its tasks are set aside; None while they are not."""
    probe_at_s: float = 0.0
    rest_s: float = 0.0
    """From one probe to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """How many tasks of a host were not done, and why."""

    host: str
    items: int
    reason: str


class CircuitBreaker:
    """The failures of all hosts.

    Args:
        attempts: that must fail in a row before a host is set aside; None never sets one aside for its failures.
        patience_s: for at least so long they must have failed.
    """

    def __init__(self, attempts: int | None = None, patience_s: float = 10.0) -> None:
        self._attempts = attempts
        self._patience_s = patience_s
        self._troubles: dict[str, _Trouble] = {}
        """The host that failed last comes last."""
        self._set_aside: dict[str, SetAside] = {}

    # -- what hosts do -------------------------------------------------------------------------------------------------

    def answered(self, host: str) -> None:
        """An attempt did not fail, or for reasons of the item: the host lives."""
        self._troubles.pop(host, None)

    def failed(self, host: str, failure: HostFailure, now_s: float, *, in_flight: int) -> float:
        """An attempt failed; returns for how many seconds the host is to be left alone.

        While other attempts are `in_flight` a host is not set aside, since they may succeed yet.
        """
        if self._attempts is None:
            return 0.0
        trouble = self._trouble(host, failure, now_s)
        trouble.failures += 1
        trouble.last = str(failure.http_status or failure.kind)
        if trouble.block or self._is_over(trouble.failures, now_s - trouble.since_s, in_flight):
            reason = f"the last {trouble.failures} attempts at {host} failed ({failure.message})"
            self._open(trouble, Block(reason, failure.kind, failure.http_status), now_s, _LONG * self._patience_s)
            return 0.0
        return self._patience_s / _PAUSES if trouble.failures >= self._attempts else 0.0

    def block(self, host: str, block: Block, now_s: float, seconds: float) -> None:
        """Set a host aside for so long."""
        trouble = self._troubles.setdefault(host, _Trouble(at=host, since_s=now_s))
        self._open(trouble, block, now_s, seconds)

    def _trouble(self, host: str, failure: HostFailure, now_s: float) -> _Trouble:
        trouble = self._troubles.pop(host, None)
        if trouble is None or (trouble.at != failure.at and not trouble.block):
            trouble = _Trouble(at=failure.at, since_s=now_s - failure.seconds)
        self._troubles[host] = trouble
        if len(self._troubles) > _MAX_HOSTS:
            del self._troubles[next(iter(self._troubles))]
        return trouble

    def _is_over(self, failures: int, lasted_s: float, in_flight: int) -> bool:
        assert self._attempts is not None
        if in_flight:
            return False
        is_enough = failures >= self._attempts and lasted_s >= self._patience_s
        return is_enough or (2 * failures >= self._attempts and lasted_s >= _LONG * self._patience_s)

    @staticmethod
    def _open(trouble: _Trouble, block: Block, now_s: float, seconds: float) -> None:
        if trouble.block is None:
            trouble.rest_s = seconds
        trouble.probe_at_s = max(trouble.probe_at_s, now_s + seconds)
        trouble.block = block

    # -- what may be done ----------------------------------------------------------------------------------------------

    def is_failing(self, host: str) -> bool:
        """Whether the last attempt at a host failed."""
        return host in self._troubles

    def is_doubtful(self, host: str) -> bool:
        """Whether half of the failures have come that set a host aside."""
        trouble = self._troubles.get(host)
        return trouble is not None and self._attempts is not None and 2 * trouble.failures >= self._attempts

    def is_open(self, host: str) -> bool:
        """Whether the tasks of a host are set aside."""
        return host in self._troubles and self._troubles[host].block is not None

    def limit(self, host: str) -> int | None:
        """How many attempts at a host may be in flight; None where its failures are no reason for a limit."""
        trouble = self._troubles.get(host)
        if trouble is None or self._attempts is None:
            return None
        return max(self._attempts - trouble.failures, 1)

    def last_failure(self, host: str) -> str:
        """The last failure of a host in a word, such as "429" or "timeout"; "" if its last attempt did not fail."""
        trouble = self._troubles.get(host)
        return trouble.last if trouble else ""

    def next_block(self, host: str, now_s: float) -> Block | None:
        """Why the next task of a host is not to be done; None where it is, also as a probe."""
        trouble = self._troubles.get(host)
        if trouble is None or trouble.block is None:
            return None
        if trouble.probe_at_s <= now_s:
            trouble.rest_s *= 2
            trouble.probe_at_s = now_s + trouble.rest_s
            return None
        return trouble.block

    def count(self, host: str, block: Block) -> None:
        """A task of a host was not done, for this reason."""
        before = self._set_aside.get(host)
        self._set_aside[host] = SetAside(host=host, items=1 + (before.items if before else 0), reason=block.reason)

    @property
    def set_aside(self) -> list[SetAside]:
        """The hosts of which tasks were not done, those with the most first."""
        return sorted(self._set_aside.values(), key=lambda entry: -entry.items)


def breaker_of(settings: DownloadOptions) -> CircuitBreaker:
    """Hosts that refuse at once are given as long as one request may hang, and no more than the default for that."""
    attempts = None if settings.host_failures == "off" else settings.host_failures
    return CircuitBreaker(attempts, min(settings.timeout, DownloadOptions().timeout))
