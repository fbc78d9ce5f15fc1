"""Requests, limits and the end of a run, against real servers on this machine."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import httpcore
import httpx
import pytest
from wire import (
    OK,
    MakeRun,
    Run,
    Server,
    Talk,
    answering,
    endless,
    over_httptools,
    request_of,
    second_address,
    secured,
    silent,
)

from downloader.clock import active_clock
from downloader.http.abort import AbortSignal
from downloader.http.connection import MAX_IDLE_CONNECTIONS
from downloader.http.errors import AddressBlocked, DeadlineExceeded, HeaderFlood, Interrupted, ResolveError
from downloader.http.request_context import HEADER_LIMIT_BYTES

# --- requests and connections ---


def test_a_connection_serves_several_requests(make_run: MakeRun) -> None:
    """Connections are kept; lookup and connection are timed where they happen, and only there."""
    run = make_run({"a.test": ["127.0.0.1"]})
    with Server(answering) as server:
        assert run.get(f"http://a.test:{server.port}/") == (200, b"ok")
        assert run.phases() == ["dns", "connect"]
        for _ in range(5):
            assert run.get(f"http://a.test:{server.port}/") == (200, b"ok")
        assert run.phases() == []
        assert server.connections == 1
        run.transport.close()


def test_the_request_arrives_as_it_was_made(make_run: MakeRun) -> None:
    """Method, target and headers reach the server unchanged, the answer's come back."""
    heads = []

    def talk(connection: socket.socket) -> None:
        heads.append(request_of(connection))
        connection.sendall(b"HTTP/1.1 206 Partial\r\nX-A: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    run = make_run()
    with Server(talk) as server:
        request = httpx.Request("GET", f"http://127.0.0.1:{server.port}/%2f?q=a%20b", headers={"Range": "bytes=1-"})
        with contextlib.closing(run.transport.handle_request(request)) as response:
            assert (response.status_code, response.headers["x-a"], response.read()) == (206, "b", b"")
    assert heads[0].startswith(b"GET /%2f?q=a%20b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Range: bytes=1-\r\n" in heads[0]


def test_a_connection_closed_while_idle_is_not_used(make_run: MakeRun) -> None:
    """The server may close an idle connection; the next request opens another and does not fail."""

    def once(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(OK)

    run = make_run()
    with Server(once) as server:
        for _ in range(3):
            assert run.get(f"http://127.0.0.1:{server.port}/")[0] == 200
            assert server.closed.acquire(timeout=10)
        assert server.connections == 3


@pytest.mark.parametrize("surplus", [OK.replace(b"ok", b"no"), b"HTTP", b"nonsense"])
@over_httptools
def test_what_follows_a_body_answers_nothing(make_run: MakeRun, surplus: bytes) -> None:
    """Bytes after an answer are never taken for the answer to the next request: that goes over another connection.

    httpcore cannot be told to: it keeps what it has read too much, and reads the next answer from there.
    """

    def talk(connection: socket.socket) -> None:
        while request_of(connection):
            connection.sendall(OK + surplus)

    run = make_run()
    with Server(talk) as server:
        for number in range(1, 4):
            assert run.get(f"http://127.0.0.1:{server.port}/") == (200, b"ok")
            assert server.connections == number
        run.transport.close()


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + OK,
        OK.replace(b"1.1", b"1.0"),
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
    ids=["closing", "HTTP/1.0", "no length"],
)
def test_a_connection_that_ends_is_not_kept(make_run: MakeRun, answer: bytes) -> None:
    """Not kept is what the server closes, whether it says so or its version or framing does."""

    def talk(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(answer)

    run = make_run()
    with Server(talk) as server:
        for number in range(1, 4):
            assert run.get(f"http://127.0.0.1:{server.port}/") == (200, b"ok")
            assert (server.connections, server.open_connections()) == (number, 0)


def test_a_body_that_is_left_closes_its_connection(make_run: MakeRun) -> None:
    """Whoever does not want the rest of a body need not wait for it; the next request has a connection of its own."""
    let_go = threading.Event()

    def talk(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        let_go.wait(10)

    run = make_run()
    with Server(talk) as server:
        request = httpx.Request("GET", f"http://127.0.0.1:{server.port}/")
        with contextlib.closing(run.transport.handle_request(request)) as response:
            pieces = response.iter_raw()
            assert next(pieces).startswith(b"x")
            assert server.open_connections() == 1
        assert server.open_connections() == 0
        let_go.set()


@over_httptools
def test_what_is_no_plain_request_is_left_to_httpcore(make_run: MakeRun) -> None:
    """A request with a body arrives with it."""
    heads = []

    def talk(connection: socket.socket) -> None:
        heads.append(request_of(connection))
        connection.sendall(OK)

    run = make_run()
    with Server(talk) as server:
        request = httpx.Request("PUT", f"http://127.0.0.1:{server.port}/", headers={"Content-Length": "0"})
        with contextlib.closing(run.transport.handle_request(request)) as response:
            assert response.read() == b"ok"
        assert heads[0].startswith(b"PUT / HTTP/1.1\r\n")
        run.transport.close()


def test_two_answers_at_a_time(make_run: MakeRun) -> None:
    """Whoever asks again before the first answer is read gets another connection; nothing is mixed up or left open."""
    run = make_run()
    with Server(answering) as server:
        requests = [httpx.Request("GET", f"http://127.0.0.1:{server.port}/") for _ in range(2)]
        answers = [run.transport.handle_request(request) for request in requests]
        for answer in answers:
            assert answer.read() == b"ok"
            answer.close()
        assert run.get(f"http://127.0.0.1:{server.port}/") == (200, b"ok")
        assert server.connections == 2
        run.transport.close()


@over_httptools
def test_a_body_that_has_come_need_not_be_read(make_run: MakeRun) -> None:
    """The page behind a redirect, come with its head and read by nobody, leaves its connection usable."""
    run = make_run()
    with Server(answering) as server:
        for _ in range(3):
            request = httpx.Request("GET", f"http://127.0.0.1:{server.port}/")
            run.transport.handle_request(request).close()
        assert server.connections == 1
        run.transport.close()


def test_few_connections_are_kept(make_run: MakeRun) -> None:
    """Those of the hosts used last are kept, and none for long."""
    hosts = [f"{number}.test" for number in range(MAX_IDLE_CONNECTIONS + 2)]
    with Server(answering) as server:
        run = make_run({host: ["127.0.0.1"] for host in hosts})
        for host in hosts:
            assert run.get(f"http://{host}:{server.port}/") == (200, b"ok")
        assert server.open_connections() == MAX_IDLE_CONNECTIONS
        assert run.get(f"http://{hosts[-1]}:{server.port}/") == (200, b"ok")
        assert server.connections == len(hosts)
        assert run.get(f"http://{hosts[0]}:{server.port}/") == (200, b"ok")
        assert server.connections == len(hosts) + 1
        run.transport.close()
    with Server(answering) as server:
        run = make_run(idle_ttl_s=0.0)
        for number in range(1, 4):
            assert run.get(f"http://127.0.0.1:{server.port}/") == (200, b"ok")
            assert server.connections == number
        run.transport.close()


def test_no_header_can_bring_another(make_run: MakeRun) -> None:
    """A line break in a header never reaches the server."""
    run = make_run()
    with Server(answering) as server:
        for value in ("a\r\nX-B: b", "a\nX-B: b", "a\rb", "a\0b"):
            request = httpx.Request("GET", f"http://127.0.0.1:{server.port}/", headers={"X-A": value})
            with pytest.raises(httpcore.LocalProtocolError):
                run.transport.handle_request(request)
        run.transport.close()


@over_httptools
@pytest.mark.parametrize(
    "strange",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    ],
    ids=["bare line feeds", "length twice", "folded header", "interim response"],
)
def test_what_llhttp_refuses_is_left_to_httpcore(make_run: MakeRun, strange: bytes) -> None:
    """Such an answer is asked for again, once: from then on httpcore is asked at once, and keeps its connection."""
    asked = []

    def talk(connection: socket.socket) -> None:
        while request_of(connection):
            asked.append(connection)
            connection.sendall(strange)

    run = make_run()
    with Server(talk) as server:
        for number in range(1, 4):
            assert run.get(f"http://127.0.0.1:{server.port}/") == (200, b"ok")
            assert (len(asked), server.connections) == (1 + number, 2)
        run.transport.close()


def test_a_refused_connection_tells_why(make_run: MakeRun) -> None:
    """The system's error is in the chain of causes, and the name is asked for again next time."""
    run = make_run({"a.test": ["127.0.0.1"]})
    with Server(answering) as server:
        port = server.port
    with pytest.raises(httpcore.ConnectError) as caught:
        run.get(f"http://a.test:{port}/")
    assert isinstance(caught.value.__cause__ or caught.value.__context__, ConnectionRefusedError)
    assert run.phases() == ["dns", "connect"]
    with pytest.raises(httpcore.ConnectError):
        run.get(f"http://a.test:{port}/")
    assert run.phases() == ["dns", "connect"]


def test_an_unknown_host_is_a_resolve_problem(make_run: MakeRun) -> None:
    """Names that do not exist are told apart from hosts that do not answer."""
    with pytest.raises(ResolveError, match="no such host"):
        make_run().get("http://nowhere.test/")


@pytest.mark.parametrize("host", ["[::1]", "[0:0:0:0:0:0:0:1]"])
def test_ipv6_addresses(make_run: MakeRun, host: str) -> None:
    """In brackets in the URL and in Host, without them to the system."""
    heads = []

    def talk(connection: socket.socket) -> None:
        heads.append(request_of(connection))
        connection.sendall(OK)

    try:
        server = Server(talk, ("::1", 0))
    except OSError:
        pytest.skip("this system has no IPv6")
    run = make_run()
    with server:
        assert run.get(f"http://{host}:{server.port}/") == (200, b"ok")
        assert f"Host: {host}:{server.port}\r\n".encode() in heads[0]
        run.transport.close()


def test_a_zone_is_for_the_system_only(make_run: MakeRun) -> None:
    """RFC 6874: `%25` in a URL is `%` to the system; an interface that is not there is told like a name."""
    with pytest.raises(ResolveError, match="no such host"):
        make_run().get("http://[fe80::1%25nowhere]/")


# --- private addresses ---


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["192.0.2.1", "10.0.0.1"], ["1.1.1.1", "169.254.169.254"]])
def test_one_private_address_is_enough_to_refuse(make_run: MakeRun, addresses: list[str]) -> None:
    """All addresses of a name are checked before any is connected to; the message names the option."""
    run = make_run({"a.test": addresses}, deny_private=True)
    with pytest.raises(AddressBlocked, match=r"a\.test is at .*--deny-private"):
        run.get("http://a.test/")


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_no_notation_gets_around_the_check(make_run: MakeRun, host: str) -> None:
    """Addresses are checked as the system reads them, whichever way they are written."""
    with Server(answering) as server:
        with pytest.raises(AddressBlocked):
            make_run(deny_private=True).get(f"http://{host}:{server.port}/")
        assert server.connections == 0


def test_private_addresses_are_fine_unless_denied(make_run: MakeRun) -> None:
    """Without the option everything may be connected to."""
    run = make_run()
    with Server(answering) as server:
        assert run.get(f"http://0x7f.1:{server.port}/")[0] == 200
        run.transport.close()


def test_private_addresses_cannot_be_denied_behind_a_proxy(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promise that cannot be kept is not made."""
    with pytest.raises(ValueError, match="--deny-private cannot be kept with a proxy"):
        make_run(deny_private=True, proxy="http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(ValueError, match="--deny-private cannot be kept with a proxy"):
        make_run(deny_private=True)


# --- deadline and floods ---


@pytest.mark.parametrize(
    "talk",
    [
        silent,
        endless(b"x", 0.02),
        endless(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", 0.02, start=b""),
        endless(b"x", 0.02, start=b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
    ids=["silence", "header drip", "slow interim responses", "body drip"],
)
def test_the_deadline_ends_everything(make_run: MakeRun, talk: Talk) -> None:
    """Bytes that keep coming do not put the deadline off."""
    run = make_run()
    with Server(talk) as server:
        run.context.deadline_s = active_clock() + 0.4
        with pytest.raises(DeadlineExceeded):
            run.get(f"http://127.0.0.1:{server.port}/")
        assert 0 <= active_clock() - run.context.deadline_s < 0.5


def test_a_deadline_that_has_passed_opens_no_connection(make_run: MakeRun) -> None:
    """No time left, nothing begun."""
    run = make_run()
    with Server(answering) as server:
        run.context.deadline_s = active_clock()
        with pytest.raises(DeadlineExceeded):
            run.get(f"http://127.0.0.1:{server.port}/")
        assert server.connections == 0


def test_a_silent_server_is_a_read_timeout(make_run: MakeRun) -> None:
    """The timeout of a read is told apart from the deadline."""
    run = make_run()
    with Server(silent) as server, pytest.raises(httpcore.ReadTimeout):
        run.get(f"http://127.0.0.1:{server.port}/", timeout_s=0.2)


@pytest.mark.parametrize(
    "talk",
    [
        endless(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 100, start=b""),
        endless(b"A: " + b"b" * 8000 + b"\r\n"),
        endless(b"A: b\r\n" * 1000),
        endless(b"b" * 8000),
    ],
    ids=["interim responses", "long headers", "many headers", "one header"],
)
def test_a_flood_of_headers_ends(make_run: MakeRun, talk: Talk) -> None:
    """Endless headers end after a bounded number of bytes."""
    run = make_run()
    with Server(talk) as server:
        with pytest.raises(HeaderFlood):
            run.get(f"http://127.0.0.1:{server.port}/")
        assert run.context.bytes_read < 512 * 1024


def test_a_long_body_is_no_flood(make_run: MakeRun) -> None:
    """The limit is for headers only; what was read is counted for each request."""
    size = 4 * HEADER_LIMIT_BYTES

    def talk(connection: socket.socket) -> None:
        while request_of(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    run = make_run()
    with Server(talk) as server:
        for _ in range(2):
            assert len(run.get(f"http://127.0.0.1:{server.port}/")[1]) == size
            assert size < run.context.bytes_read < size + 100
        run.transport.close()


# --- the end of a run ---


def aborted(run: Run, server: Server, url: str, end: Callable[[], None]) -> float:
    """Seconds from `end`, which comes in the middle of a request, to the end of the request."""
    before = server.open_connections()
    with ThreadPoolExecutor(1) as pool:
        request: Future[object] = pool.submit(run.get, url, 30)
        server.wait_for_connections(before + 1)
        started = time.monotonic()
        end()
        with pytest.raises(Interrupted):
            request.result(10)
        return time.monotonic() - started


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_abort_wakes_a_blocked_read(make_run: MakeRun, scheme: str) -> None:
    """A thread that waits for a server, or for its side of a handshake, ends at once; nothing is connected after."""
    run = make_run()
    with Server(silent) as server:
        assert aborted(run, server, f"{scheme}://127.0.0.1:{server.port}/", run.abort.set) < 0.2
        with pytest.raises(Interrupted):
            run.get(f"{scheme}://127.0.0.1:{server.port}/")
        assert server.connections == 1


def test_abort_is_not_the_end_of_a_body(make_run: MakeRun) -> None:
    """A body that lasts until the connection closes is not complete because we closed it."""

    def talk(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        silent(connection)

    run = make_run()
    with Server(talk) as server:
        assert aborted(run, server, f"http://127.0.0.1:{server.port}/", run.abort.set) < 0.2


@over_httptools
def test_abort_ends_connecting(make_run: MakeRun) -> None:
    """A thread whose connection is never accepted ends at once."""
    run = make_run({"a.test": ["127.0.0.2"]})
    with Server(answering) as server, second_address(server.port, swallowing=True):
        assert aborted(run, server, f"http://a.test:{server.port}/", run.abort.set) < 0.2


def test_an_abort_wakes_all_and_lasts() -> None:
    """Any number of threads is woken, those that wait later are too, and setting it again does no harm."""
    abort = AbortSignal()
    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(abort.wait, 10) for _ in range(8)]
        abort.set()
        for wait in waits:
            with pytest.raises(Interrupted):
                wait.result(5)
    for _ in range(100_000):
        abort.set()
    with pytest.raises(Interrupted):
        abort.wait(10)


def test_a_wait_lasts_as_long_as_it_should() -> None:
    """Without an abort, a wait is a pause."""
    started = time.monotonic()
    AbortSignal().wait(0.1)
    AbortSignal().wait(0)
    assert 0.1 <= time.monotonic() - started < 1


@over_httptools
def test_abort_ends_a_body_that_keeps_coming(make_run: MakeRun) -> None:
    """The signal is checked with every read."""
    run = make_run()
    with Server(endless(b"x", 0.02, start=b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        assert aborted(run, server, f"http://127.0.0.1:{server.port}/", run.abort.set) < 0.2


@over_httptools
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_abort_ends_a_write_that_is_stuck(make_run: MakeRun, certificate: tuple[str, str], scheme: str) -> None:
    """A server that takes no more of a request holds no thread."""
    begun, let_go = threading.Event(), threading.Event()

    def deaf(connection: socket.socket) -> None:
        connection.recv(1)
        begun.set()
        let_go.wait(20)

    run = make_run(insecure=True)
    with Server(secured(deaf, certificate) if scheme == "https" else deaf) as server:

        def send() -> None:
            request = httpx.Request("GET", f"{scheme}://127.0.0.1:{server.port}/", headers={"X": "x" * 20_000_000})
            run.transport.handle_request(request)

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send)
            assert begun.wait(10)
            run.abort.set()
            with pytest.raises(Interrupted):
                sending.result(5)
        let_go.set()
