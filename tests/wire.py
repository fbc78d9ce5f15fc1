"""Servers that talk as a test tells them to, and one thread's end of a run."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import httpx
import psutil
import pytest

from downloader.config.settings import DownloadOptions
from downloader.http.abort import AbortSignal
from downloader.http.connection import IDLE_TTL_S
from downloader.http.request_context import RequestContext
from downloader.http.resolver import Resolver
from downloader.http.tls import ssl_context
from downloader.http.transport import make_transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Talk = Callable[[socket.socket], None]


class Server:
    """Talks as `talk` does over each connection, then closes it."""

    def __init__(self, talk: Talk, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.connections = 0
        self.closed = threading.Semaphore(0)
        """Released for each connection that this side has closed."""
        self._talk = talk
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, reuse_port=False)
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
        self.closed.release()

    def wait_for_connections(self, number: int) -> None:
        """Wait until this many connections are open, or being opened."""
        until = time.monotonic() + 10
        while self.open_connections() < number:
            assert time.monotonic() < until
            time.sleep(0.01)

    def open_connections(self) -> int:
        """Connections to this server that the client's side has not closed."""
        return sum(1 for entry in client_sockets() if entry.raddr and entry.raddr.port == self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(10)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


def client_sockets() -> list[Any]:
    """The TCP sockets of this process."""
    return psutil.Process().net_connections("tcp")


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
    """One thread's end of a run, with host names of its own."""

    def __init__(self, names: dict[str, list[str]], settings: DownloadOptions, idle_ttl_s: float) -> None:
        self.names = names
        self.abort = AbortSignal()
        self.context = RequestContext(abort=self.abort)
        self.transport = make_transport(
            settings,
            ssl_context=ssl_context(settings),
            resolver=Resolver(self._lookup),
            context=self.context,
            refused=set(),
            idle_ttl_s=idle_ttl_s,
        )

    def phases(self) -> list[str]:
        """The phases recorded since this was last called."""
        phases = [span.phase.value for span in self.context.spans]
        self.context.spans = []
        return phases

    def _lookup(self, host: str, port: None, **options: Any) -> Any:
        if host not in self.names:
            return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.names[host]]

    def get(self, url: str, timeout_s: float = 5.0) -> tuple[int, bytes]:
        """Status and body."""
        times = dict.fromkeys(("connect", "read", "write"), timeout_s)
        request = httpx.Request("GET", url, extensions={"timeout": times})
        with contextlib.closing(self.transport.handle_request(request)) as response:
            return response.status_code, b"".join(response.iter_raw())


class MakeRun:
    """Makes runs that use one of the transports."""

    def __init__(self, transport: str) -> None:
        self._transport: Any = transport
        self.made: list[Run] = []

    def __call__(
        self, names: dict[str, list[str]] | None = None, *, idle_ttl_s: float = IDLE_TTL_S, **settings: Any
    ) -> Run:
        self.made.append(Run(names or {}, DownloadOptions(transport=self._transport, **settings), idle_ttl_s))
        return self.made[-1]


over_httptools = pytest.mark.parametrize("make_run", ["httptools"], indirect=True)
"""For tests of llhttp alone, and of what lies below both transports."""


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
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex((address, port)) == 0:
                    pytest.skip("this system takes connections beyond the backlog")
        else:
            listener.close()
        yield address


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
