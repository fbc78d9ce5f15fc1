"""HTTP/1.1 parsed by llhttp, the parser of Node.js, from the package httptools: half of the CPU that httpcore takes.

Fast for what nearly every server sends, and strict; everything else is left to httpcore: requests through proxies or
with a body, and origins that have sent a response which is refused here. If its head is refused, the request is sent
again by httpcore at once, which happens once for each origin and run; if its body is, the next attempt goes there. So
nothing that httpcore can read is lost, and nothing is accepted that httpcore would not accept.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from ssl import SSLContext

import httpcore
import httpx
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from downloader.http.base_transport import Answer, Transport, target_of
from downloader.http.connection import IDLE_TTL_S, MAX_IDLE_CONNECTIONS, Connector, OriginKey
from downloader.http.httpcore_transport import HttpcoreTransport
from downloader.http.request_context import MAX_FIELDS, MAX_LINE_BYTES, RequestContext, check_head
from downloader.http.stream import Stream

_READ_BYTES = 64 * 1024
_MAX_UNPARSED_BYTES = 100 * 1024
"""Maximum of bytes after the head without a piece of the body, the same as in h11: a limit for endless trailers."""
_START = b"HTTP/1."
_NOT_IN_REASON = frozenset(b"\0\v\f")
"""Characters that llhttp accepts in the reason phrase, and httpcore does not."""
_PORTS = {"http": 80, "https": 443}
_MAX_PREPARED = 64
"""Requests that are remembered as they are sent."""

Timeouts = Mapping[str, float | None]
"""Seconds for `connect`, `read` and `write`, as httpx puts them into a request."""


class ResponseRefused(httpcore.RemoteProtocolError):
    """Not proper HTTP, or a form of it that is left to httpcore."""


class HttptoolsTransport(Transport):
    """Sends the requests of one thread. Raises the exceptions that `HttpcoreTransport` raises.

    Args:
        ssl_context: of the run.
        connector: opens the connections.
        context: of the thread.
        fallback: takes what is left to httpcore.
        refused: the origins that are left to it; shared by the run, and added to.
        idle_ttl_s: seconds an idle connection is kept.
    """

    def __init__(
        self,
        ssl_context: SSLContext,
        connector: Connector,
        context: RequestContext,
        fallback: HttpcoreTransport,
        refused: set[OriginKey],
        *,
        idle_ttl_s: float = IDLE_TTL_S,
    ) -> None:
        self._ssl_context = ssl_context
        self._connector = connector
        self._context = context
        self._fallback = fallback
        self._refused = refused
        self._idle = _IdleConnections(idle_ttl_s)
        self._prepared = lru_cache(_MAX_PREPARED)(_Prepared)

    def send(self, request: httpx.Request) -> Answer:
        """Send a request and receive the head of its response; its body is read when it is asked for."""
        prepared = self._prepared(request)
        origin = prepared.origin
        if prepared.is_plain and origin not in self._refused and self._fallback.proxy_for(request.url) is None:
            try:
                return self._send(request, origin, b"GET %s%s" % (target_of(request), prepared.rest_of_head))
            except ResponseRefused:
                self._refused.add(origin)
        return self._fallback.send(request)

    def close(self) -> None:
        """Close all connections."""
        self._idle.close()
        self._fallback.close()

    def _send(self, request: httpx.Request, origin: OriginKey, head: bytes) -> Answer:
        timeouts: Timeouts = request.extensions.get("timeout", {})
        self._context.begin()
        connection = self._idle.take(origin) or self._connect(request.url, origin, timeouts)
        try:
            connection.exchange(head, timeouts)
        except BaseException:
            connection.close()
            raise
        self._context.headers_done = True
        body = _ResponseBody(connection, self._refused, self._idle)
        return Answer(connection.status, connection.headers, body)

    def _connect(self, url: httpx.URL, origin: OriginKey, timeouts: Timeouts) -> "_Connection":
        host, timeout_s = url.raw_host.decode("ascii"), timeouts.get("connect")
        self._connector.opened.clear()  # only needed for httpcore
        stream = self._connector.connect_tcp(host, url.port or _PORTS[url.scheme], timeout_s)
        if url.scheme == "https":
            stream = stream.start_tls(self._ssl_context, host, timeout_s)
        return _Connection(origin, stream)


class _IdleConnections:
    """Connections kept for further requests, one for each origin."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._by_origin: dict[OriginKey, _Connection] = {}
        """The one used last at the end."""

    def take(self, origin: OriginKey) -> "_Connection | None":
        """A connection that can take a request; closes those that have been idle for too long."""
        expired_s = time.monotonic() - self._ttl_s
        for idle in list(self._by_origin.values()):
            if idle.idle_since_s > expired_s:
                break
            self._by_origin.pop(idle.origin).close()
        connection = self._by_origin.pop(origin, None)
        if connection is not None and connection.is_readable():  # closed by the server, or an unsolicited response
            connection.close()
            return None
        return connection

    def release(self, connection: "_Connection") -> None:
        """Keep a connection for the next request if it can be used again."""
        if not connection.is_reusable:
            connection.close()
            return
        if older := self._by_origin.pop(connection.origin, None):
            older.close()
        connection.idle_since_s = time.monotonic()
        self._by_origin[connection.origin] = connection
        if len(self._by_origin) > MAX_IDLE_CONNECTIONS:
            self._by_origin.pop(next(iter(self._by_origin))).close()

    def close(self) -> None:
        """Close all."""
        while self._by_origin:
            self._by_origin.popitem()[1].close()


def _is_plain(request: httpx.Request) -> bool:
    """Whether it is a GET without a body, over HTTP."""
    if request.method != "GET" or request.url.scheme not in _PORTS:
        return False
    return "content-length" not in request.headers and "transfer-encoding" not in request.headers


class _Prepared:
    """What does not depend on the target of a request: requests for files of one origin are often one object."""

    def __init__(self, request: httpx.Request) -> None:
        url = request.url
        self.origin: OriginKey = (url.raw_scheme, url.raw_host, url.port)
        self.is_plain = _is_plain(request)
        self.rest_of_head = _rest_of_head(request) if self.is_plain else b""


def _rest_of_head(request: httpx.Request) -> bytes:
    """The head of a request from its version on; raises LocalProtocolError if a header contains line breaks."""
    lines = [b" HTTP/1.1\r\n"]
    lines += [b"%s: %s\r\n" % header for header in request.headers.raw]
    lines.append(b"\r\n")
    head = b"".join(lines)
    if not head.count(b"\r") == head.count(b"\n") == len(lines) or b"\0" in head:
        raise httpcore.LocalProtocolError("illegal header")
    return head


class _ResponseBody(httpx.SyncByteStream):
    """The body of a response, as it is received."""

    def __init__(self, connection: "_Connection", refused: set[OriginKey], idle: _IdleConnections) -> None:
        self._connection = connection
        self._refused = refused
        self._idle = idle
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._connection.body()
        except ResponseRefused:
            self._refused.add(self._connection.origin)
            raise

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._idle.release(self._connection)


class _Connection:
    """A connection, and the response received over it; llhttp calls the methods `on_...`."""

    def __init__(self, origin: OriginKey, stream: Stream) -> None:
        self.origin = origin
        self.idle_since_s = 0.0
        """Monotonic; set when the connection becomes idle."""
        self._stream = stream
        self._read_timeout_s: float | None = None
        self._parser = HttpResponseParser(self)
        # Like h11, since some servers send them; a space cannot change the size of a chunk.
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        self._begin()

    def _begin(self) -> None:
        """Forget the previous response."""
        self.status = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._start = b""
        self._pieces: list[bytes] = []
        self._has_odd_reason = False
        self._is_complete = False
        self._keeps = False
        self._has_surplus = False
        self._unparsed_bytes = 0
        self._head_bytes = 0
        self._is_after_chunk_header = False

    # -- called by llhttp -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._has_surplus = self._is_complete

    def on_status(self, reason: bytes) -> None:
        self._has_odd_reason = self._has_odd_reason or not _NOT_IN_REASON.isdisjoint(reason)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # else a trailer
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._unparsed_bytes = 0
        self.status = self.status or self._parser.get_status_code()

    def on_chunk_header(self) -> None:
        self._is_after_chunk_header = True

    def on_body(self, data: bytes) -> None:
        self._unparsed_bytes = 0
        self._is_after_chunk_header = False
        if not self._is_complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if not self._is_complete:
            self._is_complete = True
            self._keeps = self._parser.should_keep_alive()

    # -- called by the transport ------------------------------------------------------------------------------------

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields, without the trailing white space that llhttp leaves."""
        return [(name, value.rstrip(b" \t")) for name, value in self._fields]

    @property
    def is_reusable(self) -> bool:
        """Whether the response is complete, the server keeps the connection open, and it sent nothing after it."""
        return self._keeps and not self._has_surplus

    def is_readable(self) -> bool:
        """Whether something was received; an idle connection that is readable cannot be used."""
        return self._stream.is_readable()

    def exchange(self, request: bytes, timeouts: Timeouts) -> None:
        """Send a request and read the head of its response.

        Raises:
            ResponseRefused: the head is not proper HTTP, or a form of it that is left to httpcore.
            httpcore.RemoteProtocolError: the head has no end, or the server sends none.
        """
        self._begin()
        self._read_timeout_s = timeouts.get("read")
        with suppress(httpcore.WriteError):  # it may have responded nevertheless
            self._stream.write(request, timeouts.get("write"))
        while not self.status:
            self._receive()
        if self._head_bytes > MAX_LINE_BYTES or len(self._fields) > MAX_FIELDS:
            check_head([b"%s: %s" % field for field in self._fields])
        codings = [value.lower() for name, value in self._fields if name.lower() == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or self._parser.get_http_version() != "1.1"):
            raise ResponseRefused("an unusual transfer coding")
        if self.status < httpx.codes.OK or self._has_odd_reason:
            raise ResponseRefused("an interim response, or an odd reason phrase")

    def body(self) -> Iterator[bytes]:
        """The body as it is received; raises httpcore.RemoteProtocolError if it ends early or is malformed."""
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
        del self._parser  # a reference cycle, which would be left to the garbage collector

    def _receive(self) -> None:
        data = self._stream.read(_READ_BYTES, self._read_timeout_s)
        if not data:
            self._end()
            return
        if len(self._start) < len(_START):
            self._start += data[: len(_START) - len(self._start)]
            if not _START.startswith(self._start):  # llhttp accepts blank lines, and related protocols
                raise ResponseRefused("no HTTP/1 response")
        self._unparsed_bytes += len(data)  # reset by the callbacks
        if not self.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError:
            raise  # a defect in this module
        except (HttpParserError, HttpParserUpgrade) as error:
            # A chunk without data is the last one: what follows is a trailer, and the body is complete.
            self._is_complete = self._is_complete or self._is_after_chunk_header
            if not self._is_complete:
                raise ResponseRefused(str(error)) from error
            self._has_surplus = True
        if self.status and self._unparsed_bytes > _MAX_UNPARSED_BYTES:
            raise httpcore.RemoteProtocolError("Receive buffer too long")

    def _end(self) -> None:
        """The server closed the connection. The messages are those of httpcore, which `translation` distinguishes."""
        if not self.status:
            raise httpcore.RemoteProtocolError("Server disconnected without sending a response.")
        if any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self._fields):
            raise httpcore.RemoteProtocolError("peer closed connection without sending complete message body")
        self._is_complete = True
