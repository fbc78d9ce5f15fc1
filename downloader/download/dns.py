"""Names to addresses: one resolver for all threads of a run, that never keeps a caller longer than it wants to wait."""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Any

Lookup = Callable[..., Sequence[tuple[Any, ...]]]
"""`socket.getaddrinfo`, or what answers like it."""

KEPT_S = 300.0
"""Seconds an answer is used. `getaddrinfo` does not tell how long it holds; 300 s is what Cloudflare gives all names
that it fronts, and a name that moves earlier than that is asked again once no connection comes about (`forget`)."""
MOST_NAMES = 100_000
"""Answers kept, about 40 MB; the oldest goes first."""
MOST_LOOKUPS = 32
"""Look-ups under way at a time, a thread each. The C library gives up on a silent name server after 10 s for each
(resolv.conf(5): 5 s, 2 attempts), so that hanging ones come free by themselves."""
_LOOK_S = 0.25
"""Seconds between two looks at whether the run has stopped."""
_PASSING = {socket.EAI_AGAIN, socket.EAI_MEMORY, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN)}
"""Failures that say nothing about the name (getaddrinfo(3)); EAI_SYSTEM is, for one, too many open files."""

_Found = tuple[socket.AddressFamily, str, int]
"""Family, address in numbers, scope (the network interface, of link-local IPv6 addresses only)."""


@dataclass(frozen=True, slots=True)
class Address:
    """One end to connect to."""

    family: socket.AddressFamily
    host: str
    """In numbers."""
    sockaddr: tuple[str, int] | tuple[str, int, int, int]
    """As `socket.connect` wants it."""


class ResolveProblem(Exception):
    """A name has no address, or none was to be had for now (`passing`)."""

    def __init__(self, passing: bool, message: str) -> None:
        super().__init__(passing, message)
        self.passing = passing
        self.message = message


class Resolver:
    """Looks names up, for all threads of a run.

    Answers are kept for `kept_s` seconds, failures never. Threads that ask for the same name at the same time share
    one look-up. Look-ups run in daemon threads, because `getaddrinfo` can neither be given a time-out nor be stopped.

    Args:
        lookup: answers as `socket.getaddrinfo` does.
        clock_s: monotonic seconds.
    """

    def __init__(
        self,
        lookup: Lookup = socket.getaddrinfo,
        *,
        kept_s: float = KEPT_S,
        most_names: int = MOST_NAMES,
        most_lookups: int = MOST_LOOKUPS,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._kept_s = kept_s
        self._most_names = most_names
        self._most_lookups = most_lookups
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[float, list[_Found]]] = {}  # oldest first, with the time each ends
        self._pending: dict[str, Future[list[_Found] | ResolveProblem]] = {}
        self._queue: deque[str] = deque()
        self._working = 0

    def known(self, host: str, port: int) -> list[Address] | None:
        """The addresses of a host as far as they are known without a look-up: kept, or the host is an address."""
        name = host.lower()
        found = _literal(name)
        if found is None:
            with self._lock:
                ends_s, found = self._answers.get(name, (0.0, None))
            if ends_s <= self._clock_s():
                return None
        return None if found is None else _addresses(found, port)

    def resolve(
        self, host: str, port: int, timeout_s: float, *, stopped: Callable[[], bool] = lambda: False
    ) -> list[Address]:
        """The addresses of a host, in the order to try them.

        Args:
            host: a name, or an address in any notation the system reads (`0x7f.1`).
            port: put into the answer.
            timeout_s: the longest to wait; the look-up itself goes on, for whoever asks next.
            stopped: looked at every 0.25 s; ends the wait.

        Raises:
            ResolveProblem: there is no such host, or no answer in time.
        """
        if (known := self.known(host, port)) is not None:
            return known
        found = _wait(self._asked(host.lower()), timeout_s, stopped)
        if isinstance(found, ResolveProblem):
            raise ResolveProblem(*found.args)  # a fresh one: several threads may raise it
        return _addresses(found, port)

    def forget(self, host: str) -> None:
        """Ask again next time: none of the addresses was of use."""
        with self._lock:
            self._answers.pop(host.lower(), None)

    def _asked(self, name: str) -> Future[list[_Found] | ResolveProblem]:
        """The look-up of a name that is under way, or a new one."""
        with self._lock:
            future = self._pending.get(name)
            if future is not None:
                return future
            future = self._pending[name] = Future()
            self._queue.append(name)
            if self._working < self._most_lookups:
                threading.Thread(target=self._work, name="dns", daemon=True).start()
                self._working += 1
        return future

    def _work(self) -> None:
        """Look names up until none is waiting."""
        while (name := self._next()) is not None:
            answer = self._look_up(name)
            with self._lock:
                future = self._pending.pop(name)
                if not isinstance(answer, ResolveProblem):
                    self._keep(name, answer)
            future.set_result(answer)

    def _next(self) -> str | None:
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self._working -= 1
            return None

    def _look_up(self, name: str) -> list[_Found] | ResolveProblem:
        try:
            return _found(self._lookup(name, None, type=socket.SOCK_STREAM))
        except socket.gaierror as problem:
            passing = problem.errno in _PASSING
            return ResolveProblem(passing, "the name server did not answer" if passing else "there is no such host")
        except OSError as problem:
            return ResolveProblem(True, f"the name cannot be looked up: {problem.strerror}")
        except ValueError:  # an empty or overlong label, found when the name is encoded
            return ResolveProblem(False, "the host name is not valid")
        except Exception as problem:  # noqa: BLE001
            # A defect, but one that must reach somebody: without an answer all who ask for this name wait in vain.
            return ResolveProblem(False, f"the look-up failed: {problem!r}")

    def _keep(self, name: str, found: list[_Found]) -> None:
        self._answers.pop(name, None)  # so that it becomes the newest
        self._answers[name] = (self._clock_s() + self._kept_s, found)
        if len(self._answers) > self._most_names:
            del self._answers[next(iter(self._answers))]


def _wait(
    future: Future[list[_Found] | ResolveProblem], timeout_s: float, stopped: Callable[[], bool]
) -> list[_Found] | ResolveProblem:
    """The answer, if it comes in time."""
    end_s = time.monotonic() + timeout_s
    while not stopped():
        left_s = end_s - time.monotonic()
        if left_s <= 0 and not future.done():
            return ResolveProblem(True, f"the name server did not answer within {timeout_s:.3g} s")
        try:
            return future.result(min(max(left_s, 0), _LOOK_S))
        except TimeoutError:
            continue
    return ResolveProblem(True, "the run stopped during the look-up")


def _literal(name: str) -> list[_Found] | None:
    """An address in its usual notation needs nobody who knows it."""
    try:
        address = ip_address(name)
    except ValueError:
        return None
    if "%" in name:  # the system knows the number of a network interface
        return None
    return [(socket.AF_INET if address.version == 4 else socket.AF_INET6, str(address), 0)]  # noqa: PLR2004


def _found(answers: Iterable[tuple[Any, ...]]) -> list[_Found]:
    """What of getaddrinfo's answers matters, in the order to try them."""
    found = [
        (family, sockaddr[0], sockaddr[3] if family == socket.AF_INET6 else 0)
        for family, *_, sockaddr in answers
        if family in {socket.AF_INET, socket.AF_INET6}
    ]
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "no address of a known family")
    return interleaved(dict.fromkeys(found))


def interleaved(found: Iterable[_Found]) -> list[_Found]:
    """By turns one address of each family, beginning with the family that came first (RFC 8305, section 4).

    The system's order (RFC 6724) is kept within each family; a family that does not work costs one attempt.
    """
    found = list(found)
    first = [entry for entry in found if entry[0] == found[0][0]]
    second = [entry for entry in found if entry[0] != found[0][0]]
    return [entry for entry in chain.from_iterable(zip_longest(first, second)) if entry is not None]


def _addresses(found: list[_Found], port: int) -> list[Address]:
    return [
        Address(family, host, (host, port, 0, scope) if family == socket.AF_INET6 else (host, port))
        for family, host, scope in found
    ]
