"""Sending requests from one thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore
import httpx

from downloader.http.base_transport import Answer, Transport
from downloader.http.cookies import ChainCookies
from downloader.http.request_builder import Header, RequestBuilder
from downloader.http.request_context import RequestContext
from downloader.http.response import Response
from downloader.http.translation import translated
from downloader.model.spans import Phase, Span


class Client:
    """Sends the requests of one thread, by a transport of its own.

    One for each thread, because the lock and the scans of a shared connection pool halve the throughput at 64 threads
    (351 against 655 URLs/s). Requests go straight to the transport, since redirects, credentials and cookies have rules
    of their own: a quarter more URLs a second than through `httpx.Client` (604 against 754 at 8 threads, 100 KB).

    Args:
        transport: sends the requests; shares `context`.
        context: of this thread.
        builder: of this thread.
        deadline_s: the setting, for messages.
    """

    def __init__(
        self, transport: Transport, context: RequestContext, builder: RequestBuilder, *, deadline_s: float
    ) -> None:
        self._transport = transport
        self._context = context
        self._builder = builder
        self._deadline_s = deadline_s
        context.lane = threading.current_thread().name

    @contextmanager
    def get(
        self,
        url: str,
        headers: list[Header],
        *,
        use_netrc: bool,
        set_cookies: ChainCookies,
        deadline_s: float,
        spans: list[Span],
    ) -> Iterator[Response]:
        """The response to a GET request, whose body is read within the block.

        Args:
            url: absolute.
            headers: in addition to the usual ones.
            use_netrc: log in with the password that ~/.netrc has for the host.
            set_cookies: what the redirects before this request have set.
            deadline_s: when the body must be complete, by the active clock.
            spans: gets the phases of the request as they end.

        Raises:
            FetchError: the request failed, or what the block does with the response.
            Interrupted: the run is being aborted.
        """
        self._context.deadline_s, self._context.spans = deadline_s, spans
        with translated(self._deadline_s):
            answer = self._send(self._builder.build(url, headers, use_netrc=use_netrc, set_cookies=set_cookies))
            try:
                yield Response(*answer)
            finally:
                answer.body.close()

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def _send(self, request: httpx.Request) -> Answer:
        """The response's head; a request that failed on a reused connection is sent again, on a new one."""
        try:
            return self._send_once(request)
        except (httpcore.ReadError, httpcore.WriteError, httpcore.RemoteProtocolError):
            # A kept connection that the server has closed in the meantime costs nothing but another request.
            if self._context.has_connected or self._context.bytes_read:
                raise
        return self._send_once(request)

    def _send_once(self, request: httpx.Request) -> Answer:
        start_s, before = time.monotonic(), len(self._context.spans)
        try:
            return self._transport.send(request)
        finally:
            if self._context.has_sent:
                connecting = self._context.spans[before:]
                self._context.record(Phase.FIRST_BYTE, connecting[-1].end_s if connecting else start_s)
