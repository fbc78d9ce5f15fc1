"""Looking names up: joined, kept, given up on."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.http.errors import ResolveError
from downloader.http.resolver import Address, Resolver, interleaved

Answer = list[tuple[Any, ...]]


def answer(*hosts: str) -> Answer:
    """What getaddrinfo answers for these addresses."""
    families = {host: socket.AF_INET6 if ":" in host else socket.AF_INET for host in hosts}
    return [
        (family, socket.SOCK_STREAM, 6, "", (host, 0, 0, 0) if family == socket.AF_INET6 else (host, 0))
        for host, family in families.items()
    ]


class Names:
    """A name server that counts, and holds its answers back while it is told to."""

    def __init__(self, **names: Answer | Exception) -> None:
        self.names = {name.replace("_", "."): found for name, found in names.items()}
        self.asked: Counter[str] = Counter()
        self.most_at_once = 0
        self.arrived = threading.Semaphore(0)
        """Released for each question."""
        self.go = threading.Event()
        self.go.set()
        self._at_once = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, port: object, **_: object) -> Answer:
        assert port is None
        with self._lock:
            self.asked[host] += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        self.arrived.release()
        self.go.wait(10)
        with self._lock:
            self._at_once -= 1
        found = self.names.get(host) or socket.gaierror(socket.EAI_NONAME, "unknown")
        if isinstance(found, Exception):
            raise found
        return found

    @contextmanager
    def silent(self) -> Iterator[None]:
        """No answers meanwhile."""
        self.go.clear()
        try:
            yield
        finally:
            self.go.set()


def hosts(found: list[Address]) -> list[str]:
    return [address.host for address in found]


def test_twenty_threads_share_one_lookup() -> None:
    """Threads that ask for a name at the same time cause one lookup, and all get its answer."""
    names = Names(a_test=answer("192.0.2.1"))
    resolver = Resolver(names)
    together = threading.Barrier(20)

    def resolve() -> list[Address]:
        together.wait(10)
        return resolver.resolve("a.test", 80, 10)

    with ThreadPoolExecutor(20) as pool:
        with names.silent():
            waiting = [pool.submit(resolve) for _ in range(20)]
            assert names.arrived.acquire(timeout=10)
        assert {future.result()[0].sockaddr for future in waiting} == {("192.0.2.1", 80)}
    assert names.asked["a.test"] == 1


def test_an_answer_is_kept_for_a_time() -> None:
    """An answer serves, for every port and in capital letters too, until its time is over."""
    names = Names(a_test=answer("192.0.2.1"))
    now_s = [0.0]
    resolver = Resolver(names, ttl_s=300, clock_s=lambda: now_s[0])
    assert resolver.cached("a.test", 80) is None
    assert resolver.resolve("a.test", 80, 10)[0].sockaddr == ("192.0.2.1", 80)
    now_s[0] = 299.0
    assert resolver.resolve("A.Test", 443, 10)[0].sockaddr == ("192.0.2.1", 443)
    assert resolver.cached("a.test", 80) is not None
    assert names.asked.total() == 1
    now_s[0] = 301.0
    assert resolver.resolve("a.test", 80, 10)
    assert names.asked.total() == 2


def test_a_forgotten_answer_is_asked_for_again() -> None:
    """A name whose addresses were of no use is looked up anew."""
    names = Names(a_test=answer("192.0.2.1"))
    resolver = Resolver(names)
    resolver.resolve("a.test", 80, 10)
    resolver.forget("A.test")
    resolver.forget("never.test")
    resolver.resolve("a.test", 80, 10)
    assert names.asked.total() == 2


def test_failures_that_may_pass_are_not_kept() -> None:
    """A name that could not be looked up is asked for each time, and served once it can."""
    names = Names(a_test=socket.gaierror(socket.EAI_AGAIN, "x"))
    resolver = Resolver(names)
    for _ in range(2):
        with pytest.raises(ResolveError, match="did not answer"):
            resolver.resolve("a.test", 80, 10)
    names.names["a.test"] = answer("192.0.2.1")
    assert hosts(resolver.resolve("a.test", 80, 10)) == ["192.0.2.1"]
    assert names.asked.total() == 3


def test_that_there_is_no_such_host_is_kept_for_a_short_time() -> None:
    """A thousand rows of a host that is no more ask for it once in a while."""
    names = Names()
    now_s = [0.0]
    resolver = Resolver(names, clock_s=lambda: now_s[0])
    for now_s[0] in (0.0, 1.0, 19.0):
        with pytest.raises(ResolveError, match="no such host"):
            resolver.resolve("a.test", 80, 10)
    assert resolver.cached("a.test", 80) is None
    assert names.asked.total() == 1
    names.names["a.test"] = answer("192.0.2.1")
    now_s[0] = 21.0
    assert hosts(resolver.resolve("a.test", 80, 10)) == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("raised", "transient"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), False),
        (socket.gaierror(socket.EAI_FAIL, "x"), False),
        (socket.gaierror(socket.EAI_AGAIN, "x"), True),
        (OSError(24, "Too many open files"), True),
        (UnicodeError("label too long"), False),
        (RuntimeError("a defect"), False),
        ([(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("x",))], False),
    ],
)
def test_failures_tell_whether_they_pass(raised: Exception, transient: bool) -> None:
    """What says nothing about the name may be tried again; the rest not; nobody waits for an answer in vain."""
    with pytest.raises(ResolveError) as caught:
        Resolver(Names(a_test=raised)).resolve("a.test", 80, 10)
    assert caught.value.transient is transient


def test_a_hanging_lookup_is_left_after_the_timeout() -> None:
    """The caller waits no longer than it said, and the late answer serves the next one."""
    names = Names(a_test=answer("192.0.2.1"))
    resolver = Resolver(names)
    with names.silent():
        started = time.monotonic()
        with pytest.raises(ResolveError) as caught:
            resolver.resolve("a.test", 80, 0.3)
        assert 0.25 < time.monotonic() - started < 1
        assert caught.value.transient
    assert resolver.resolve("a.test", 80, 10)
    assert names.asked.total() == 1


def test_a_stop_ends_the_wait() -> None:
    """A run that ends does not wait for name servers."""
    names = Names(a_test=answer("192.0.2.1"))
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with names.silent():
        started = time.monotonic()
        with pytest.raises(ResolveError):
            Resolver(names).resolve("a.test", 80, 10, aborted=stop.is_set)
        assert time.monotonic() - started < 1


def test_lookups_at_a_time_are_bounded_and_their_threads_end() -> None:
    """Any number of names is served by a few threads, and none is left when there is nothing to look up."""
    names = Names(**{f"n{number}_test": answer("192.0.2.1") for number in range(40)})
    resolver = Resolver(names, max_lookups=3)
    with ThreadPoolExecutor(40) as pool:
        with names.silent():
            waiting = [pool.submit(resolver.resolve, name, 80, 10) for name in names.names]
            assert all(names.arrived.acquire(timeout=10) for _ in range(3))
        assert all(future.result() for future in waiting)
    assert names.most_at_once == 3
    for thread in threading.enumerate():
        if thread.name == "dns":
            thread.join(5)
            assert not thread.is_alive()
    resolver.forget("n0.test")
    assert resolver.resolve("n0.test", 80, 10)  # with a new thread


def test_the_oldest_answers_go_first() -> None:
    """Memory is bounded: beyond the limit the oldest name is forgotten, and only that."""
    names = Names(**{f"n{number}_test": answer("192.0.2.1") for number in range(4)})
    resolver = Resolver(names, max_names=3)
    for name in names.names:
        resolver.resolve(name, 80, 10)
    assert [resolver.cached(name, 80) is not None for name in names.names] == [False, True, True, True]


@pytest.mark.parametrize(
    ("literal", "sockaddr"),
    [("192.0.2.1", ("192.0.2.1", 80)), ("2001:DB8::1", ("2001:db8::1", 80, 0, 0)), ("::1", ("::1", 80, 0, 0))],
)
def test_an_address_needs_no_lookup(literal: str, sockaddr: tuple[object, ...]) -> None:
    """Hosts given by address do not wait for name servers, even while those hang."""
    names = Names()
    assert [address.sockaddr for address in Resolver(names).resolve(literal, 80, 0)] == [sockaddr]
    assert names.asked.total() == 0


@pytest.mark.parametrize("shorthand", ["0x7f.1", "127.1", "2130706433", "0177.0.0.1"])
def test_the_system_reads_shorthand_addresses(shorthand: str) -> None:
    """What the system would connect to is what is checked: 0x7f.1 is 127.0.0.1."""
    assert hosts(Resolver().resolve(shorthand, 80, 10)) == ["127.0.0.1"]


def test_families_take_turns() -> None:
    """IPv6 and IPv4 alternate, beginning with what the system put first, each in the system's order (RFC 8305)."""
    names = Names(a_test=answer("2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"))
    expected = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"]
    assert hosts(Resolver(names).resolve("a.test", 80, 10)) == expected


@given(st.lists(st.tuples(st.sampled_from([socket.AF_INET, socket.AF_INET6]), st.uuids().map(str), st.just(0))))
def test_interleaving_only_reorders(found: list[tuple[socket.AddressFamily, str, int]]) -> None:
    """No address is lost or doubled, the first stays first, and each family keeps its order."""
    order = interleaved(found)
    assert sorted(order) == sorted(found)
    assert order[:1] == found[:1]
    for family in (socket.AF_INET, socket.AF_INET6):
        assert [entry for entry in order if entry[0] == family] == [entry for entry in found if entry[0] == family]
