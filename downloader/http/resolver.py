"""Caching DNS resolver with a bounded wait, for all threads of a run."""

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

from downloader.clock import active_clock
from downloader.http.errors import ResolveError

Lookup = Callable[..., Sequence[tuple[Any, ...]]]
"""`socket.getaddrinfo`, or a function like it."""

TTL_S = 300.0
"""Seconds a result is cached. `getaddrinfo` does not report a TTL; 300 s is what Cloudflare gives all names that it
fronts, and a name that moves earlier is looked up again once no connection can be made (`forget`)."""
NEGATIVE_TTL_S = 20.0
"""Seconds it is remembered that a name does not exist, as nscd does by default (nscd.conf(5), negative-time-to-live):
otherwise each of a thousand rows of a dead host asks the name server, which may drop so many questions."""
MAX_NAMES = 100_000
"""Results cached, about 40 MB; the oldest goes first."""
MAX_LOOKUPS = 32
"""Concurrent lookups, a thread each. The C library gives up on a silent name server after 10 s (resolv.conf(5): 5 s, 2
attempts), so threads that hang become free by themselves."""
_POLL_INTERVAL_S = 0.25
"""Seconds between two checks of whether the run is being aborted."""
_TRANSIENT = {socket.EAI_AGAIN, socket.EAI_MEMORY, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN)}
"""Errors that say nothing about the name (getaddrinfo(3)); EAI_SYSTEM may be too many open files."""

_Found = tuple[socket.AddressFamily, str, int]
"""Family, numeric address, scope (the network interface, of link-local IPv6 addresses only)."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address to connect to."""

    family: socket.AddressFamily
    host: str
    """Numeric."""
    sockaddr: tuple[str, int] | tuple[str, int, int, int]
    """As `socket.connect` takes it."""


class Resolver:
    """Resolves host names, for all threads of a run.

    Results are cached, and for a short time that there is no such host; other failures are not. Threads that ask for
    the same name at the same time share one lookup. Lookups run in daemon threads, because `getaddrinfo` can neither be
    given a timeout nor be stopped.

    Args:
        lookup: works like `socket.getaddrinfo`.
        ttl_s: how long results are cached.
        max_names: results cached.
        max_lookups: concurrent lookups.
        clock_s: monotonic seconds.
    """

    def __init__(
        self,
        lookup: Lookup = socket.getaddrinfo,
        *,
        ttl_s: float = TTL_S,
        max_names: int = MAX_NAMES,
        max_lookups: int = MAX_LOOKUPS,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._ttl_s = ttl_s
        self._max_names = max_names
        self._max_lookups = max_lookups
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._cache: dict[
            str, tuple[float, list[_Found] | ResolveError]
        ] = {}  # oldest first, with the time each expires
        self._pending: dict[str, Future[list[_Found] | ResolveError]] = {}
        self._queue: deque[str] = deque()
        self._working = 0

    def cached(self, host: str, port: int) -> list[Address] | None:
        """The addresses of a host if no lookup is needed: they are cached, or the host is an address."""
        name = host.lower()
        found: list[_Found] | ResolveError | None = _literal(name)
        if found is None:
            with self._lock:
                expires_s, found = self._cache.get(name, (0.0, None))
            if expires_s <= self._clock_s():
                return None
        return None if found is None or isinstance(found, ResolveError) else _addresses(found, port)

    def resolve(
        self, host: str, port: int, timeout_s: float, *, aborted: Callable[[], bool] = lambda: False
    ) -> list[Address]:
        """The addresses of a host, in the order in which to try them.

        Args:
            host: a name, or an address in any notation the system reads (`0x7f.1`).
            port: for the addresses.
            timeout_s: the longest to wait; the lookup itself continues, for the next caller.
            aborted: checked every 0.25 s; ends the wait.

        Raises:
            ResolveError: there is no such host, or no answer in time.
        """
        if (cached := self.cached(host, port)) is not None:
            return cached
        found = _wait(self._lookup_of(host.lower()), timeout_s, aborted)
        if isinstance(found, ResolveError):
            raise ResolveError(*found.args)  # a fresh one: several threads may raise it
        return _addresses(found, port)

    def forget(self, host: str) -> None:
        """Look the name up again next time: none of its addresses could be used."""
        with self._lock:
            self._cache.pop(host.lower(), None)

    def _lookup_of(self, name: str) -> Future[list[_Found] | ResolveError]:
        """The lookup of a name that is under way, or has just ended, or a new one."""
        with self._lock:
            future = self._pending.get(name)
            if future is not None:
                return future
            future = Future()
            expires_s, found = self._cache.get(name, (0.0, None))
            if found is not None and expires_s > self._clock_s():  # stored after the caller has looked
                future.set_result(found)
                return future
            self._pending[name] = future
            self._queue.append(name)
            if self._working < self._max_lookups:
                threading.Thread(target=self._work, name="dns", daemon=True).start()
                self._working += 1
        return future

    def _work(self) -> None:
        """Look up names until none is waiting."""
        while (name := self._next()) is not None:
            answer = self._look_up(name)
            with self._lock:
                future = self._pending.pop(name)
                if not isinstance(answer, ResolveError):
                    self._store(name, answer, self._ttl_s)
                elif not answer.transient:
                    self._store(name, answer, NEGATIVE_TTL_S)
            future.set_result(answer)

    def _next(self) -> str | None:
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self._working -= 1
            return None

    def _look_up(self, name: str) -> list[_Found] | ResolveError:
        try:
            return _found(self._lookup(name, None, type=socket.SOCK_STREAM))
        except socket.gaierror as error:
            transient = error.errno in _TRANSIENT
            return ResolveError(transient, "the name server did not answer" if transient else "there is no such host")
        except OSError as error:
            return ResolveError(True, f"the name cannot be looked up: {error.strerror}")
        except ValueError:  # an empty or overlong label, found when the name is encoded
            return ResolveError(False, "the host name is not valid")
        except Exception as error:  # noqa: BLE001
            # A defect, but one that must be reported: without a result, all threads that ask for this name would wait.
            return ResolveError(False, f"the lookup failed: {error!r}")

    def _store(self, name: str, found: list[_Found] | ResolveError, ttl_s: float) -> None:
        self._cache.pop(name, None)  # so that it becomes the newest
        self._cache[name] = (self._clock_s() + ttl_s, found)
        if len(self._cache) > self._max_names:
            del self._cache[next(iter(self._cache))]


def _wait(
    future: Future[list[_Found] | ResolveError], timeout_s: float, aborted: Callable[[], bool]
) -> list[_Found] | ResolveError:
    """The result of a lookup, if it comes in time."""
    end_s = active_clock() + timeout_s
    while not aborted():
        left_s = end_s - active_clock()
        if left_s <= 0 and not future.done():
            return ResolveError(True, f"the name server did not answer within {timeout_s:.3g} s")
        try:
            return future.result(min(max(left_s, 0), _POLL_INTERVAL_S))
        except TimeoutError:
            continue
    return ResolveError(True, "the run was aborted during the lookup")


def _literal(name: str) -> list[_Found] | None:
    """An address in its usual notation, which needs no lookup."""
    try:
        address = ip_address(name)
    except ValueError:
        return None
    if "%" in name:  # only the system knows the number of a network interface
        return None
    return [(socket.AF_INET if address.version == 4 else socket.AF_INET6, str(address), 0)]  # noqa: PLR2004


def _found(answers: Iterable[tuple[Any, ...]]) -> list[_Found]:
    """The addresses in the result of getaddrinfo, in the order in which to try them."""
    found = [
        (family, sockaddr[0], sockaddr[3] if family == socket.AF_INET6 else 0)
        for family, *_, sockaddr in answers
        if family in {socket.AF_INET, socket.AF_INET6}
    ]
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "no address of a known family")
    return interleaved(dict.fromkeys(found))


def interleaved(found: Iterable[_Found]) -> list[_Found]:
    """Alternate between the address families, beginning with the one that came first (RFC 8305, section 4).

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
