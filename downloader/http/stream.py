"""One connection: reading, writing and TLS within the limits of a request."""

import math
import select
import socket
import ssl
import time
from typing import Any

import httpcore

from downloader.clock import active_clock
from downloader.http.abort import AbortSignal
from downloader.http.errors import Interrupted
from downloader.http.request_context import RequestContext
from downloader.model.spans import Phase

_MAX_POLL_MS = 2**31 - 1
"""24 days, the longest that poll() takes."""


class Stream(httpcore.NetworkStream):
    """A connection, plain or TLS, as httpcore uses it.

    The socket never blocks: an operation is tried, and waited for only if it cannot be done yet, together with the
    abort signal. Python waits before each call for a socket with a timeout, and each system call is a chance for other
    threads to take the interpreter's lock.
    """

    def __init__(self, sock: socket.socket, context: RequestContext) -> None:
        if sock.gettimeout() != 0:  # setting it is a system call
            sock.settimeout(0)
        self._socket = sock
        self._context = context
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        self._awaits_response = False
        """Something was sent, so the response is unlikely to be here yet."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has been received, at most `max_bytes`; empty at the end of the stream.

        Raises:
            httpcore.ReadTimeout: nothing came within `timeout`.
            httpcore.ReadError: the connection broke.
            HeaderFlood: the headers are too long.
            DeadlineExceeded, Interrupted: as with all methods here.
        """
        try:
            data = self._receive(max_bytes, self._end_s(timeout))
        except TimeoutError as error:
            self._context.time_left_s(None)
            raise httpcore.ReadTimeout("no data in time") from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        self._context.received(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        left = memoryview(buffer)
        try:
            while left:
                left = left[self._send(left, self._end_s(timeout)) :]
            self._awaits_response = self._context.has_sent = True
        except TimeoutError as error:
            self._context.time_left_s(None)
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """Close the socket, whatever is under way."""
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "Stream":
        """The same connection with TLS; closed if the handshake fails. `timeout` is for the whole handshake."""
        start_s = time.monotonic()
        secure: Stream | None = None
        try:
            end_s = self._end_s(timeout)
            name = _certified_name(server_hostname) if server_hostname else None
            wrapped = ssl_context.wrap_socket(self._socket, server_hostname=name, do_handshake_on_connect=False)
            secure = Stream(wrapped, self._context)
            secure._shake_hands(wrapped, end_s)
        except BaseException as error:
            (secure or self).close()
            if isinstance(error, TimeoutError):
                self._context.time_left_s(None)
                raise httpcore.ConnectTimeout(str(error)) from error
            if isinstance(error, OSError):
                raise httpcore.ConnectError(str(error)) from error
            raise
        finally:
            self._context.record(Phase.TLS, start_s)
        return secure

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        """What httpcore asks about a connection."""
        match info:
            case "socket":
                return self._socket
            case "ssl_object":
                return self._socket if self._is_tls else None
            case "is_readable":
                return self.is_readable()
            case "client_addr":
                return self._socket.getsockname()
            case "server_addr":
                return self._socket.getpeername()
        return None

    def is_readable(self) -> bool:
        """Whether a read would return at once: on an idle connection, usually because the server has closed it."""
        return self._socket.fileno() < 0 or wait_until_ready(self._socket, 0, to_read=True)

    def _end_s(self, timeout_s: float | None) -> float:
        """When the next step must be done, by the active clock."""
        return active_clock() + self._context.time_left_s(timeout_s)

    def _receive(self, max_bytes: int, end_s: float) -> bytes:
        if self._awaits_response and not self._is_tls:  # TLS may hold decrypted bytes, which no wait would see
            self._wait(end_s, to_read=True)
        self._awaits_response = False
        while True:
            try:
                return self._socket.recv(max_bytes)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(end_s, to_read=True)
            except ssl.SSLWantWriteError:
                self._wait(end_s, to_read=False)

    def _send(self, data: memoryview, end_s: float) -> int:
        while True:
            try:
                return self._socket.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(end_s, to_read=False)
            except ssl.SSLWantReadError:
                self._wait(end_s, to_read=True)

    def _shake_hands(self, sock: ssl.SSLSocket, end_s: float) -> None:
        while True:
            try:
                return sock.do_handshake()
            except ssl.SSLWantReadError:
                self._wait(end_s, to_read=True)
            except ssl.SSLWantWriteError:
                self._wait(end_s, to_read=False)

    def _wait(self, end_s: float, *, to_read: bool) -> None:
        """Return once the socket can be read or written; raises TimeoutError or Interrupted."""
        while True:
            limit_s = max(end_s - active_clock(), 0)
            if wait_until_ready(self._socket, limit_s, to_read=to_read, abort=self._context.abort):
                return
            if active_clock() >= end_s:  # the system counts the time in which this process is stopped
                raise TimeoutError("timed out")


def _certified_name(host: str) -> str:
    """What a certificate must be for: a name without the dot at its end, an IPv6 address without brackets and zone."""
    return host.strip("[]").partition("%")[0].rstrip(".")


def wait_until_ready(sock: socket.socket, limit_s: float, *, to_read: bool, abort: AbortSignal | None = None) -> bool:
    """Wait until the socket can be read or written; false if it cannot in time.

    Raises:
        Interrupted: `abort` is set.
    """
    others = [abort.fileno()] if abort else []
    if hasattr(select, "poll"):
        poll = select.poll()  # unlike select, good for file numbers above 1023
        poll.register(sock, select.POLLIN if to_read else select.POLLOUT)
        for number in others:
            poll.register(number, select.POLLIN)
        ready = [number for number, _ in poll.poll(min(limit_s * 1000, _MAX_POLL_MS))]
    else:  # Windows
        reading, writing = ([sock.fileno()], []) if to_read else ([], [sock.fileno()])
        found = select.select(reading + others, writing, [], None if limit_s == math.inf else limit_s)
        ready = [*found[0], *found[1]]
    if abort is not None and abort.fileno() in ready:
        raise Interrupted
    return bool(ready)
