"""HTTP/1.1 read by llhttp, the parser of Node.js, which the package httptools brings: less CPU than httpcore takes.

Quick about what nearly every server sends, and strict; all else is left to httpcore: requests through proxies or with a
body, and origins that have sent an answer which is refused here. Where its head is refused, httpcore asks again at
once, which happens once for each origin and run; where its body is, the next attempt goes there. So nothing that
httpcore can read is lost, and nothing gets through that it would not let through.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from ssl import SSLContext

import httpcore
import httpx  # noqa: TID251 - with client.py the home of HTTP
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from downloader.download import net

_READ_BYTES = 64 * 1024
_UNTOLD_BYTES = 100 * 1024
"""Most bytes that are read without a head or a piece of a body coming of them, as h11 has it: for endless headers."""
_START = b"HTTP/1."
_NOT_IN_REASON = frozenset(b"\0\v\f")
"""Of the reason phrase, which nobody reads: llhttp takes these, httpcore does not."""
_PORTS = {"http": 80, "https": 443}

Timeouts = Mapping[str, float | None]
"""Seconds for `connect`, `read` and `write`, as httpx puts them into a request."""


class Refused(httpcore.RemoteProtocolError):
    """Not proper HTTP, or a form of it that is left to httpcore."""


class Transport(httpx.BaseTransport):
    """Sends the requests of one thread; raises what `net.Transport` raises.

    Args:
        context: the run's TLS set-up.
        backend: opens the connections.
        watch: of the thread.
        other: takes what is left to httpcore.
        refused: the origins that are left to it; shared by the run, and added to.
    """

    def __init__(
        self,
        context: SSLContext,
        backend: net.Backend,
        watch: net.Watch,
        other: net.Transport,
        refused: set[net.Origin],
    ) -> None:
        self._context = context
        self._backend = backend
        self._watch = watch
        self._other = other
        self._refused = refused
        self._kept: dict[net.Origin, _Connection] = {}
        """Idle connections, the one used last at the end."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and receive the head of its response; the body is read from the response's stream."""
        url = request.url
        origin = (url.raw_scheme, url.raw_host, url.port)
        if origin not in self._refused and self._other.proxy_for(url) is None and _is_plain(request):
            try:
                return self._answer(request, origin)
            except Refused:
                self._refused.add(origin)
        return self._other.handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        while self._kept:
            self._kept.popitem()[1].close()
        self._other.close()

    def _answer(self, request: httpx.Request, origin: net.Origin) -> httpx.Response:
        head = _written(request)
        timeouts: Timeouts = request.extensions.get("timeout", {})
        self._watch.begin()
        connection = self._idle(origin) or self._connect(request.url, origin, timeouts)
        try:
            connection.ask(head, timeouts)
        except BaseException:
            connection.close()
            raise
        self._watch.headers_done = True
        body = _Body(connection, self._refused, self._release)
        return httpx.Response(connection.status, headers=connection.headers, stream=body)

    def _connect(self, url: httpx.URL, origin: net.Origin, timeouts: Timeouts) -> "_Connection":
        host, timeout_s = url.raw_host.decode("ascii"), timeouts.get("connect")
        self._backend.opened.clear()  # which only httpcore has need of
        stream = self._backend.connect_tcp(host, url.port or _PORTS[url.scheme], timeout_s)
        if url.scheme == "https":
            stream = stream.start_tls(self._context, host, timeout_s)
        return _Connection(origin, stream)

    def _idle(self, origin: net.Origin) -> "_Connection | None":
        """A kept connection that can take a request; closes those that have been idle for too long."""
        too_old_s = time.monotonic() - net.KEPT_S
        for kept in list(self._kept.values()):
            if kept.idle_since_s > too_old_s:
                break
            self._kept.pop(kept.origin).close()
        connection = self._kept.pop(origin, None)
        if connection is not None and connection.is_readable():  # closed by the server, or an answer to no question
            connection.close()
            return None
        return connection

    def _release(self, connection: "_Connection") -> None:
        """Keep a connection for the next request if it is fit for one."""
        if not connection.reusable:
            connection.close()
            return
        if older := self._kept.pop(connection.origin, None):
            older.close()
        connection.idle_since_s = time.monotonic()
        self._kept[connection.origin] = connection
        if len(self._kept) > net.KEPT_CONNECTIONS:
            self._kept.pop(next(iter(self._kept))).close()


def _is_plain(request: httpx.Request) -> bool:
    """Whether it is a GET without a body, over HTTP."""
    if request.method != "GET" or request.url.scheme not in _PORTS:
        return False
    return "content-length" not in request.headers and "transfer-encoding" not in request.headers


def _written(request: httpx.Request) -> bytes:
    """A request as it is sent; raises LocalProtocolError for headers that would be read as several."""
    lines = [b"GET %s HTTP/1.1\r\n" % request.url.raw_path]
    lines += [b"%s: %s\r\n" % header for header in request.headers.raw]
    lines.append(b"\r\n")
    head = b"".join(lines)
    if not head.count(b"\r") == head.count(b"\n") == len(lines) or b"\0" in head:
        raise httpcore.LocalProtocolError("illegal header")
    return head


class _Body(httpx.SyncByteStream):
    """A response's body as it comes."""

    def __init__(
        self, connection: "_Connection", refused: set[net.Origin], release: Callable[["_Connection"], None]
    ) -> None:
        self._connection = connection
        self._refused = refused
        self._release = release
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._connection.body()
        except Refused:
            self._refused.add(self._connection.origin)
            raise

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._release(self._connection)


class _Connection:
    """A connection, and the response that comes over it as llhttp tells it, by calling the methods `on_...`."""

    def __init__(self, origin: net.Origin, stream: net.Stream) -> None:
        self.origin = origin
        self.idle_since_s = 0.0
        """Monotonic; for whoever keeps it."""
        self._stream = stream
        self._read_timeout_s: float | None = None
        self._parser = HttpResponseParser(self)
        # As h11 does, since there are servers that send them; a space cannot change the size of a chunk.
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        self._begin()

    def _begin(self) -> None:
        """Nothing has come yet."""
        self.status = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._start = b""
        self._pieces: list[bytes] = []
        self._has_odd_reason = False
        self._is_complete = False
        self._keeps = False
        self._has_surplus = False
        self._untold_bytes = 0

    # -- what llhttp calls -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._has_surplus = self._is_complete

    def on_status(self, reason: bytes) -> None:
        self._has_odd_reason = self._has_odd_reason or not _NOT_IN_REASON.isdisjoint(reason)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # else a trailer
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._untold_bytes = 0
        self.status = self.status or self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self._untold_bytes = 0
        if not self._is_complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if not self._is_complete:
            self._is_complete = True
            self._keeps = self._parser.should_keep_alive()

    # -- what the transport calls ------------------------------------------------------------------------------------

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields, without the white space behind them that llhttp leaves."""
        return [(name, value.rstrip(b" \t")) for name, value in self._fields]

    @property
    def reusable(self) -> bool:
        """Whether the response has come to its end, the server keeps the connection, and it sent nothing more."""
        return self._keeps and not self._has_surplus

    def is_readable(self) -> bool:
        """Whether something has come; on an idle connection there is nothing good that could."""
        return bool(self._stream.get_extra_info("is_readable"))

    def ask(self, request: bytes, timeouts: Timeouts) -> None:
        """Send a request and read the head of its response.

        Raises:
            Refused: the head is not proper HTTP, or a form of it that is left to httpcore.
            httpcore.RemoteProtocolError: there is no end to the head, or none comes.
        """
        self._begin()
        self._read_timeout_s = timeouts.get("read")
        with suppress(httpcore.WriteError):  # it may have answered all the same
            self._stream.write(request, timeouts.get("write"))
        while not self.status:
            self._receive()
        codings = [value.lower() for name, value in self._fields if name.lower() == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or self._parser.get_http_version() != "1.1"):
            raise Refused("an unusual transfer coding")
        if self.status < httpx.codes.OK or self._has_odd_reason:
            raise Refused("an interim response, or an odd reason phrase")

    def body(self) -> Iterator[bytes]:
        """The body as it comes; raises httpcore.RemoteProtocolError where it ends early or is not well-formed."""
        while True:
            if self._pieces:
                data, self._pieces = b"".join(self._pieces), []
                yield data
            if self._is_complete:
                return
            self._receive()

    def close(self) -> None:
        """Close the socket, whatever is under way."""
        self._stream.close()
        del self._parser  # which refers to this object, and would leave both to the collector

    def _receive(self) -> None:
        data = self._stream.read(_READ_BYTES, self._read_timeout_s)
        if not data:
            self._end()
            return
        if len(self._start) < len(_START):
            self._start += data[: len(_START) - len(self._start)]
            if not _START.startswith(self._start):  # llhttp takes blank lines, and other protocols of its family
                raise Refused("no HTTP/1 response")
        self._untold_bytes += len(data)  # unless llhttp, being fed, tells something
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError:
            raise  # a defect of ours
        except (HttpParserError, HttpParserUpgrade) as problem:
            if not self._is_complete:
                raise Refused(str(problem)) from problem
            self._has_surplus = True
        if self._untold_bytes > _UNTOLD_BYTES:
            raise httpcore.RemoteProtocolError("Receive buffer too long")

    def _end(self) -> None:
        """The server has closed the connection; the messages are those that httpcore has, by which they are told."""
        if not self.status:
            raise httpcore.RemoteProtocolError("Server disconnected without sending a response.")
        if any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self._fields):
            raise httpcore.RemoteProtocolError("peer closed connection without sending complete message body")
        self._is_complete = True
