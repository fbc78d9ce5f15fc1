"""Sockets, TLS, proxies and the limits on them, against real servers on this machine."""

import contextlib
import itertools
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpcore
import httpx
import pytest

from downloader.config.settings import DownloadOptions
from downloader.download import net
from downloader.download.dns import ResolveProblem, Resolver
from downloader.download.transport import make_transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Talk = Callable[[socket.socket], None]


class Server:
    """Speaks as `talk` does with each connection, which is closed after it."""

    def __init__(self, talk: Talk, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.connections = 0
        self._talk = talk
        self._listener = socket.create_server(address, reuse_port=False)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, contextlib.suppress(OSError):
            self._talk(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(10)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


def request_of(connection: socket.socket) -> bytes:
    """The head of the next request; empty at the end."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(65536)
        if not data:
            return b""
        head += data
    return head


def answering(connection: socket.socket) -> None:
    """Answers every request of a connection."""
    while request_of(connection):
        connection.sendall(OK)


def silent(connection: socket.socket) -> None:
    """Takes what comes and says nothing, until the other side leaves."""
    while connection.recv(65536):
        pass


def endless(piece: bytes, pause_s: float = 0.0, start: bytes = b"HTTP/1.1 200 OK\r\n") -> Talk:
    """Sends a piece of an answer again and again."""

    def talk(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(start)
        for _ in range(int(10 / pause_s) if pause_s else 1_000_000):
            connection.sendall(piece)
            time.sleep(pause_s)

    return talk


class Run:
    """One thread's end of a run, with names of its own."""

    def __init__(self, names: dict[str, list[str]], settings: DownloadOptions) -> None:
        self.names = names
        self.sockets = net.Sockets()
        self.watch = net.Watch()
        self.transport = make_transport(
            settings,
            context=net.ssl_context(settings),
            resolver=Resolver(self._look_up),
            sockets=self.sockets,
            watch=self.watch,
            refused=set(),
        )

    def _look_up(self, host: str, port: None, **options: Any) -> Any:
        if host not in self.names:
            return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.names[host]]

    def get(self, url: str, timeout_s: float = 5.0) -> tuple[int, bytes]:
        """Status and body."""
        times = dict.fromkeys(("connect", "read", "write"), timeout_s)
        request = httpx.Request("GET", url, extensions={"timeout": times})
        with contextlib.closing(self.transport.handle_request(request)) as response:
            return response.status_code, b"".join(response.iter_raw())


MakeRun = Callable[..., Run]
over_httptools = pytest.mark.parametrize("make_run", ["httptools"], indirect=True)
"""For what is llhttp's alone, and what lies below both transports."""


@pytest.fixture(params=["httpcore", "httptools"])
def make_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeRun]:
    """Runs without proxies, over each transport; closed in the end, when no socket may be left."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    runs = []

    def make(names: dict[str, list[str]] | None = None, **settings: Any) -> Run:
        runs.append(Run(names or {}, replace(DownloadOptions(transport=request.param), **settings)))
        return runs[-1]

    yield make
    for run in runs:
        run.transport.close()
        assert len(run.sockets) == 0


@contextlib.contextmanager
def second_address(port: int, *, swallowing: bool) -> Iterator[str]:
    """127.0.0.2: nobody listens at the port, or somebody who swallows connections (its queue is full)."""
    address = "127.0.0.2"
    with contextlib.ExitStack() as stack:
        try:
            listener = stack.enter_context(socket.create_server((address, port), backlog=0))
        except OSError:
            pytest.skip("this system has no second loopback address")
        if swallowing:
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex((address, port))
            time.sleep(0.1)
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex((address, port)) == 0:
                    pytest.skip("this system takes connections beyond the backlog")
        else:
            listener.close()
        yield address


# --- requests and connections ---


def test_a_connection_serves_several_requests(make_run: MakeRun) -> None:
    """Connections are kept; look-up and connection are timed where they happen, and only there."""
    run = make_run({"a.test": ["127.0.0.1"]})
    with Server(answering) as server:
        assert run.get(f"http://a.test:{server.port}/") == (200, b"ok")
        assert run.watch.timings_s.keys() == {"dns", "connect"}
        run.watch.timings_s = {}
        for _ in range(5):
            assert run.get(f"http://a.test:{server.port}/") == (200, b"ok")
        assert run.watch.timings_s == {}
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
            time.sleep(0.1)
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
            assert (server.connections, len(run.sockets)) == (number, 0)


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
            assert len(run.sockets) == 1
        assert len(run.sockets) == 0
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


def test_few_connections_are_kept(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the hosts seen last, and none for long."""
    hosts = [f"{number}.test" for number in range(net.KEPT_CONNECTIONS + 2)]
    with Server(answering) as server:
        run = make_run({host: ["127.0.0.1"] for host in hosts})
        for host in hosts:
            assert run.get(f"http://{host}:{server.port}/") == (200, b"ok")
        assert len(run.sockets) == net.KEPT_CONNECTIONS
        assert run.get(f"http://{hosts[-1]}:{server.port}/") == (200, b"ok")
        assert server.connections == len(hosts)
        assert run.get(f"http://{hosts[0]}:{server.port}/") == (200, b"ok")
        assert server.connections == len(hosts) + 1
        run.transport.close()
    monkeypatch.setattr(net, "KEPT_S", 0.0)
    with Server(answering) as server:
        run = make_run()
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
    run.watch.timings_s = {}
    with pytest.raises(httpcore.ConnectError):
        run.get(f"http://a.test:{port}/")
    assert "dns" in run.watch.timings_s


def test_an_unknown_host_is_a_resolve_problem(make_run: MakeRun) -> None:
    """Names that do not exist are told apart from hosts that do not answer."""
    with pytest.raises(ResolveProblem, match="no such host"):
        make_run().get("http://nowhere.test/")


# --- happy eyeballs ---


@over_httptools
@pytest.mark.parametrize("swallowing", [False, True], ids=["refusing", "swallowing"])
def test_a_dead_first_address_costs_little(make_run: MakeRun, swallowing: bool) -> None:
    """A second address is tried after 250 ms, or at once after a refusal, not after the time-out."""
    run = make_run({"a.test": ["127.0.0.2", "127.0.0.1"]})
    with Server(answering) as server, second_address(server.port, swallowing=swallowing):
        started = time.monotonic()
        assert run.get(f"http://a.test:{server.port}/")[0] == 200
        assert (0.2 if swallowing else 0) <= time.monotonic() - started < 0.8
        run.transport.close()


@over_httptools
def test_an_address_that_swallows_is_given_up_on(make_run: MakeRun) -> None:
    """Without another address the time-out counts, and the deadline if that is earlier."""
    run = make_run({"a.test": ["127.0.0.2"]})
    with Server(answering) as server, second_address(server.port, swallowing=True):
        started = time.monotonic()
        with pytest.raises(httpcore.ConnectTimeout):
            run.get(f"http://a.test:{server.port}/", timeout_s=0.4)
        run.watch.deadline_s = time.monotonic() + 0.4
        with pytest.raises(net.Overdue):
            run.get(f"http://a.test:{server.port}/", timeout_s=10)
        assert time.monotonic() - started < 1.5


@over_httptools
def test_all_addresses_dead(make_run: MakeRun) -> None:
    """If all refuse, that is the outcome."""
    run = make_run({"a.test": ["127.0.0.2", "127.0.0.3", "127.0.0.1"]})
    with Server(answering) as server:
        port = server.port
    with pytest.raises(httpcore.ConnectError):
        run.get(f"http://a.test:{port}/")


# --- private addresses ---


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["192.0.2.1", "10.0.0.1"], ["1.1.1.1", "169.254.169.254"]])
def test_one_private_address_is_enough_to_refuse(make_run: MakeRun, addresses: list[str]) -> None:
    """All addresses of a name are checked before any is connected to; the message names the option."""
    run = make_run({"a.test": addresses}, deny_private=True)
    with pytest.raises(net.Blocked, match=r"a\.test is at .*--deny-private"):
        run.get("http://a.test/")


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_no_notation_gets_around_the_check(make_run: MakeRun, host: str) -> None:
    """Addresses are checked as the system reads them, whichever way they are written."""
    with Server(answering) as server:
        with pytest.raises(net.Blocked):
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
        run.watch.deadline_s = time.monotonic() + 0.4
        with pytest.raises(net.Overdue):
            run.get(f"http://127.0.0.1:{server.port}/")
        assert 0 <= time.monotonic() - run.watch.deadline_s < 0.5


def test_a_deadline_that_has_passed_opens_no_connection(make_run: MakeRun) -> None:
    """No time left, nothing begun."""
    run = make_run()
    with Server(answering) as server:
        run.watch.deadline_s = time.monotonic()
        with pytest.raises(net.Overdue):
            run.get(f"http://127.0.0.1:{server.port}/")
        assert server.connections == 0


def test_a_silent_server_is_a_read_timeout(make_run: MakeRun) -> None:
    """The time-out of a read is told apart from the deadline."""
    run = make_run()
    with Server(silent) as server, pytest.raises(httpcore.ReadTimeout):
        run.get(f"http://127.0.0.1:{server.port}/", timeout_s=0.2)


@pytest.mark.parametrize(
    ("talk", "problem"),
    [
        (endless(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 100, start=b""), net.HeaderFlood),
        (endless(b"A: " + b"b" * 8000 + b"\r\n"), httpcore.RemoteProtocolError),
        (endless(b"A: b\r\n" * 1000), httpcore.RemoteProtocolError),
        (endless(b"b" * 8000), httpcore.RemoteProtocolError),
    ],
    ids=["interim responses", "long headers", "many headers", "one header"],
)
def test_a_flood_of_headers_ends(make_run: MakeRun, talk: Talk, problem: type[Exception]) -> None:
    """Endless headers end after a bounded number of bytes: one block by h11's limit, several by ours."""
    run = make_run()
    with Server(talk) as server:
        with pytest.raises(problem):
            run.get(f"http://127.0.0.1:{server.port}/")
        assert run.watch.bytes_read < 512 * 1024


def test_a_long_body_is_no_flood(make_run: MakeRun) -> None:
    """The limit is for headers only; what was read is counted for each request."""
    size = 4 * net.HEADER_LIMIT_BYTES

    def talk(connection: socket.socket) -> None:
        while request_of(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    run = make_run()
    with Server(talk) as server:
        for _ in range(2):
            assert len(run.get(f"http://127.0.0.1:{server.port}/")[1]) == size
            assert size < run.watch.bytes_read < size + 100
        run.transport.close()


# --- the end of a run ---


def aborted(run: Run, url: str, end: Callable[[], None]) -> float:
    """Seconds from `end`, which comes in the middle of a request, to the end of the request."""
    with ThreadPoolExecutor(1) as pool:
        request: Future[object] = pool.submit(run.get, url, 30)
        time.sleep(0.3)
        started = time.monotonic()
        end()
        with pytest.raises(net.Aborted):
            request.result(10)
        return time.monotonic() - started


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_abort_wakes_a_blocked_read(make_run: MakeRun, scheme: str) -> None:
    """A thread that waits for a server, or for its side of a handshake, ends at once; nothing is connected after."""
    run = make_run()
    with Server(silent) as server:
        assert aborted(run, f"{scheme}://127.0.0.1:{server.port}/", run.sockets.abort) < 0.2
        with pytest.raises(net.Aborted):
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
        assert aborted(run, f"http://127.0.0.1:{server.port}/", run.sockets.abort) < 0.2


@over_httptools
def test_abort_ends_connecting(make_run: MakeRun) -> None:
    """A thread whose connection does not come about looks at the flag four times a second."""
    run = make_run({"a.test": ["127.0.0.2"]})
    with Server(answering) as server, second_address(server.port, swallowing=True):
        assert aborted(run, f"http://a.test:{server.port}/", run.sockets.abort) < 0.6


def test_abort_does_not_mind_closed_sockets() -> None:
    """The other side, or this one, may have gone already."""
    sockets = net.Sockets()
    ours, theirs = socket.socketpair()
    with ours, socket.socket() as unconnected:
        theirs.close()
        sockets.add(ours)
        sockets.add(unconnected)
        sockets.abort()
        assert ours.recv(1) == b""
        with pytest.raises(net.Aborted):
            sockets.add(ours)


def test_stopped_is_looked_at_with_every_read(make_run: MakeRun) -> None:
    """A body that keeps coming ends with the run."""
    run = make_run()
    stop = threading.Event()
    run.watch.stopped = stop.is_set
    with Server(endless(b"x", 0.02, start=b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        assert aborted(run, f"http://127.0.0.1:{server.port}/", stop.set) < 0.2


# --- TLS ---


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Certificate for good.test and its key, as files."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command")
    folder = tmp_path_factory.mktemp("tls")
    made = (str(folder / "certificate.pem"), str(folder / "key.pem"))
    subject = ["-subj", "/CN=good.test", "-addext", "subjectAltName=DNS:good.test"]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-out", made[0], "-keyout", made[1]],
        check=True,
        capture_output=True,
    )
    return made


def secured(talk: Talk, certificate: tuple[str, str], version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Talk:
    """The same with TLS, of one version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if version < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")
    context.maximum_version = version

    def talk_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            talk(secure)

    return talk_tls


def test_a_trusted_certificate(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """--ca-file is trusted; the connection is HTTP/1.1, kept, timed; a name may end in a dot."""
    run = make_run({"good.test": ["127.0.0.1"], "good.test.": ["127.0.0.1"]}, ca_file=certificate[0])
    with Server(secured(answering, certificate)) as server:
        for _ in range(3):
            assert run.get(f"https://good.test:{server.port}/") == (200, b"ok")
        assert server.connections == 1
        assert run.watch.timings_s.keys() == {"dns", "connect", "tls"}
        assert run.get(f"https://good.test.:{server.port}/") == (200, b"ok")
        run.transport.close()


def causes(problem: BaseException) -> list[type[BaseException]]:
    """What led to it, as the client looks for it."""
    chain: list[type[BaseException]] = []
    cause: BaseException | None = problem
    while cause is not None:
        chain.append(type(cause))
        cause = cause.__cause__ or cause.__context__
    return chain


@pytest.mark.parametrize(("host", "trusted"), [("good.test", False), ("wrong.test", True), ("127.0.0.1", True)])
def test_a_certificate_that_does_not_fit(
    make_run: MakeRun, certificate: tuple[str, str], host: str, trusted: bool
) -> None:
    """An unknown issuer or another host ends the connection; OpenSSL's error is in the chain of causes."""
    names = {name: ["127.0.0.1"] for name in ("good.test", "wrong.test")}
    run = make_run(names, ca_file=certificate[0] if trusted else None)
    with Server(secured(answering, certificate)) as server:
        with pytest.raises(httpcore.ConnectError) as caught:
            run.get(f"https://{host}:{server.port}/")
        assert ssl.SSLCertVerificationError in causes(caught.value)
        assert len(run.sockets) == 0


def test_insecure_takes_any_certificate(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """--insecure does not look at the certificate."""
    run = make_run(insecure=True)
    with Server(secured(answering, certificate)) as server:
        assert run.get(f"https://127.0.0.1:{server.port}/")[0] == 200
        run.transport.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_old_tls_is_refused(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """TLS 1.1 is not spoken, not even with --insecure."""
    run = make_run(insecure=True)
    with Server(secured(answering, certificate, ssl.TLSVersion.TLSv1_1)) as server:
        with pytest.raises(httpcore.ConnectError) as caught:
            run.get(f"https://127.0.0.1:{server.port}/")
        assert ssl.SSLError in causes(caught.value)


def test_a_server_that_does_not_shake_hands(make_run: MakeRun) -> None:
    """A handshake has the time of a connection, and ends at the deadline."""
    run = make_run()
    with Server(silent) as server:
        with pytest.raises(httpcore.ConnectTimeout):
            run.get(f"https://127.0.0.1:{server.port}/", timeout_s=0.2)
        run.watch.deadline_s = time.monotonic() + 0.2
        with pytest.raises(net.Overdue):
            run.get(f"https://127.0.0.1:{server.port}/")


def test_one_context_serves_many_threads(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """Threads that share a context do not change it: httpcore's wish for protocols is met once and for all."""
    runs = [make_run({"good.test": ["127.0.0.1"]}, ca_file=certificate[0]) for _ in range(8)]

    def some(run: Run) -> list[int]:
        return [run.get(f"https://good.test:{server.port}/")[0] for _ in range(5)]

    with Server(secured(answering, certificate)) as server, ThreadPoolExecutor(8) as pool:
        assert set(itertools.chain(*pool.map(some, runs))) == {200}
        context = net.ssl_context(replace(DownloadOptions(), ca_file=certificate[0]))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", server.port)) as plain,
            context.wrap_socket(plain, server_hostname="good.test") as secure,
        ):
            assert secure.selected_alpn_protocol() == "http/1.1"
        for run in runs:
            run.transport.close()


def test_bad_certificate_files_name_the_option(tmp_path: Path, certificate: tuple[str, str]) -> None:
    """A file that is missing, is no certificate, or needs a password, is told with its option; nothing is asked."""
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ValueError, match=rf"--ca-file {path}: "):
            net.ssl_context(replace(DownloadOptions(), ca_file=str(path)))
        with pytest.raises(ValueError, match=rf"--client-cert {path}: "):
            net.ssl_context(replace(DownloadOptions(), client_cert=str(path)))
    locked = subprocess.run(
        ["openssl", "pkey", "-in", certificate[1], "-aes128", "-passout", "pass:secret"],
        check=True,
        capture_output=True,
    ).stdout
    both = tmp_path / "both.pem"
    both.write_bytes(Path(certificate[0]).read_bytes() + locked)
    with pytest.raises(ValueError, match="protected by a password"):
        net.ssl_context(replace(DownloadOptions(), client_cert=str(both)))
    both.write_bytes(Path(certificate[0]).read_bytes() + Path(certificate[1]).read_bytes())
    net.ssl_context(replace(DownloadOptions(), client_cert=str(both)))


def test_the_usual_variables_name_certificates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificate: tuple[str, str]
) -> None:
    """SSL_CERT_FILE is followed, and named where it is wrong; --ca-file goes before it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(ValueError, match="SSL_CERT_FILE"):
        net.ssl_context(DownloadOptions())
    net.ssl_context(replace(DownloadOptions(), ca_file=certificate[0]))


# --- proxies ---


class ProxyServer(Server):
    """Sends every tunnel to one port of this machine, and answers other requests itself."""

    def __init__(self, target_port: int = 0, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.heads: list[bytes] = []
        self._target_port = target_port
        self._answer = answer
        super().__init__(self._proxy)

    def _proxy(self, connection: socket.socket) -> None:
        while head := request_of(connection):
            self.heads.append(head)
            if not head.startswith(b"CONNECT "):
                connection.sendall(OK)
                continue
            connection.sendall(self._answer)
            if b" 200 " in self._answer:
                self._tunnel(connection)
            return

    def _tunnel(self, connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target_port), 10) as target:
            back = threading.Thread(target=self._pump, args=(target, connection))
            back.start()
            self._pump(connection, target)
            back.join(10)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def test_http_goes_through_the_proxy(make_run: MakeRun) -> None:
    """--proxy gets the whole URL and its password; the host is not looked up here; the connection is kept."""
    with ProxyServer() as proxy:
        run = make_run(proxy=f"http://me:p%40ss@127.0.0.1:{proxy.port}")
        for _ in range(2):
            assert run.get("http://a.test/b?c=d") == (200, b"ok")
        assert proxy.connections == 1
        assert proxy.heads[0].startswith(b"GET http://a.test/b?c=d HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in proxy.heads[0]
        run.transport.close()


def test_https_goes_through_a_tunnel(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """TLS is with the host, not the proxy; the tunnel is kept."""
    with Server(secured(answering, certificate)) as server, ProxyServer(server.port) as proxy:
        run = make_run(proxy=f"127.0.0.1:{proxy.port}", ca_file=certificate[0])
        for _ in range(2):
            assert run.get("https://good.test/") == (200, b"ok")
        assert [head.split(b"\r\n")[0] for head in proxy.heads] == [b"CONNECT good.test:443 HTTP/1.1"]
        run.transport.close()


def test_a_tunnel_that_fails_is_closed(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """Nothing is left of a tunnel to an untrusted host, or of one the proxy refuses; the thread goes on."""
    with Server(secured(answering, certificate)) as server, ProxyServer(server.port) as proxy:
        run = make_run(proxy=f"http://127.0.0.1:{proxy.port}")
        for _ in range(net.KEPT_CONNECTIONS + 1):  # if these counted as kept, none else could be
            with pytest.raises(httpcore.ConnectError):
                run.get("https://good.test/")
            assert len(run.sockets) == 0
        for _ in range(2):
            assert run.get("http://a.test/") == (200, b"ok")
            assert len(run.sockets) == 1
        assert proxy.connections == net.KEPT_CONNECTIONS + 2
        run.transport.close()
    with ProxyServer(answer=b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n") as proxy:
        run = make_run(proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(httpcore.ProxyError, match="407"):
            run.get("https://good.test/")
        assert len(run.sockets) == 0


def test_variables_name_proxies_and_exceptions(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --proxy the usual variables decide, for each host once; no_proxy is connected to directly."""
    with ProxyServer() as proxy, Server(answering) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        run = make_run()
        assert run.get(f"http://127.0.0.1:{server.port}/")[0] == 200
        assert (proxy.connections, server.connections) == (0, 1)
        assert run.get("http://a.test/")[0] == 200
        assert (proxy.connections, server.connections) == (1, 1)
        run.transport.close()


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "a.test", 80, False),
        ("*", "a.test", 80, True),
        ("a.test", "a.test", 80, True),
        ("A.test", "a.test", 80, True),
        ("b.test, a.test", "www.a.test", 80, True),
        (".a.test", "www.a.test", 80, True),
        ("a.test", "nota.test", 80, False),
        ("a.test:8080", "a.test", 8080, True),
        ("a.test:8080", "a.test", 80, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("nonsense/8,fd00::/8", "fd00::1", 80, True),
        ("10.0.0.0/8", "a.test", 80, False),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, port: int, direct: bool) -> None:
    """no_proxy takes names with what is below them, ports, and blocks of addresses."""
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    proxies = net.Proxies(DownloadOptions())
    assert (proxies.proxy_for("http", host, port) is None) is direct


def test_all_proxy_and_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    """all_proxy serves the scheme that has no variable of its own; --proxy goes before all, for all."""
    monkeypatch.setenv("all_proxy", "http://all.test")
    monkeypatch.setenv("https_proxy", "http://tls.test:3128")
    monkeypatch.setenv("no_proxy", "b.test")
    proxies = net.Proxies(DownloadOptions())
    assert proxies.proxy_for("http", "a.test", 80) == net.Proxy("http", "all.test", 80, None)
    assert proxies.proxy_for("https", "a.test", 443) == net.Proxy("http", "tls.test", 3128, None)
    chosen = net.Proxies(replace(DownloadOptions(), proxy="http://[2001:db8::1]:1"))
    assert chosen.proxy_for("https", "b.test", 443) == net.Proxy("http", "2001:db8::1", 1, None)


@pytest.mark.parametrize(
    "url", ["ftp://a.test", "https://a.test", "http://", "http://a:b:c", "http://me:secret@:x", "http://me:se/cret@a"]
)
def test_a_bad_proxy_names_the_option_and_keeps_the_secret(url: str) -> None:
    """A proxy that cannot be used is told at the start, without its password."""
    with pytest.raises(ValueError, match=r"^--proxy: ") as caught:
        net.Proxies(replace(DownloadOptions(), proxy=url))
    assert "secret" not in str(caught.value)
    assert "se/cret" not in str(caught.value)
