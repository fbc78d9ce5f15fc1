"""HTTP/1.1 by httpcore."""

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

from downloader.errors import ConfigError
from downloader.http.base_transport import Answer, Transport, target_of
from downloader.http.connection import IDLE_TTL_S, MAX_IDLE_CONNECTIONS, Connector
from downloader.http.errors import FetchError, ResolveError, causes
from downloader.http.lenient_heads import LenientBackend
from downloader.http.proxies import Proxies, Proxy
from downloader.http.request_context import RequestContext
from downloader.model.failures import FailureKind

_MAX_HOSTS = 4096
"""Hosts for which the choice of a proxy is remembered."""


class HttpcoreTransport(Transport):
    """Sends the requests of one thread by httpcore. Exceptions of httpcore and of `Connector` pass through it.

    Args:
        ssl_context: of the run.
        connector: opens the connections.
        context: of the thread.
        proxies: choose one for each host.
        idle_ttl_s: seconds an idle connection is kept.
    """

    def __init__(
        self,
        ssl_context: SSLContext,
        connector: Connector,
        context: RequestContext,
        proxies: Proxies,
        *,
        idle_ttl_s: float = IDLE_TTL_S,
    ) -> None:
        self._ssl_context = ssl_context
        self._connector = connector
        self._context = context
        self._idle_ttl_s = idle_ttl_s
        self._pools: dict[Proxy | None, httpcore.ConnectionPool] = {None: self._new_pool(None)}
        self._proxy_for = lru_cache(_MAX_HOSTS)(proxies.proxy_for) if proxies else None

    def send(self, request: httpx.Request) -> Answer:
        """Send a request and receive the head of its response; its body is read when it is asked for.

        Raises:
            ConfigError: the proxy's host does not exist.
        """
        proxy = self.proxy_for(request.url)
        pool = self._pool_for(proxy)
        self._context.begin()
        self._connector.opened.clear()
        try:
            response = pool.handle_request(_to_httpcore(request, proxy))
        except BaseException as error:
            self._clean_up(pool)
            if proxy is not None and not self._context.has_connected:
                raise _proxy_error(proxy, error) from error
            raise
        self._context.headers_done = True
        return Answer(response.status, list(response.headers), _ResponseStream(response))

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()

    def proxy_for(self, url: httpx.URL) -> Proxy | None:
        """The proxy that a request for a URL goes through; None to connect directly."""
        if self._proxy_for is None:
            return None
        return self._proxy_for(url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))

    def _pool_for(self, proxy: Proxy | None) -> httpcore.ConnectionPool:
        if proxy not in self._pools:
            self._pools[proxy] = self._new_pool(proxy)
        return self._pools[proxy]

    def _new_pool(self, proxy: Proxy | None) -> httpcore.ConnectionPool:
        options: dict[str, Any] = {
            "ssl_context": self._ssl_context,
            "max_connections": None,
            "max_keepalive_connections": MAX_IDLE_CONNECTIONS,
            "keepalive_expiry": self._idle_ttl_s,
            "network_backend": LenientBackend(self._connector),
        }
        if proxy is None:
            return httpcore.ConnectionPool(**options)
        url = httpcore.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target="/")
        kind = httpcore.HTTPProxy if proxy.scheme == "http" else httpcore.SOCKSProxy
        return kind(proxy_url=url, proxy_auth=proxy.auth, **options)

    def _clean_up(self, pool: httpcore.ConnectionPool) -> None:
        """Close what a failed request leaves: httpcore keeps tunnels and SOCKS connections that were not completed."""
        for connection in pool.connections:
            if not connection.is_idle():  # a thread has one request at a time, so it is not another's
                connection.close()
        for stream in self._connector.opened:
            stream.close()


class _ResponseStream(httpx.SyncByteStream):
    """The body of a response, as it is received."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self._response.stream, Iterable)
        try:
            yield from self._response.stream
        except httpcore.RemoteProtocolError as error:
            if "illegal header line" in str(error):
                return  # of a trailer: the head has been read, and the body is complete
            if "unexpectedly closed" in str(error):  # h11's words for an end within the size of a chunk
                raise httpcore.RemoteProtocolError(
                    "peer closed connection without sending complete message body"
                ) from error
            raise

    def close(self) -> None:
        self._response.close()


def _proxy_error(proxy: Proxy, error: BaseException) -> BaseException:
    """What an error before there was a connection to the proxy means.

    A proxy whose name does not exist fails every item, so it ends the run.
    """
    match error:
        case ResolveError(transient=True):
            return ResolveError(error.transient, f"the proxy {proxy.host}: {error.message}")
        case ResolveError():
            return ConfigError(f"{proxy.origin}: {proxy.host}: {error.message}")
        case httpcore.ConnectError():
            number = next((cause.errno for cause in causes(error) if isinstance(cause, OSError)), None)
            why = f": {os.strerror(number)}" if number else ""
            return FetchError(FailureKind.CONNECT, f"cannot connect to the proxy {proxy.host}:{proxy.port}{why}")
    return error


def _to_httpcore(request: httpx.Request, proxy: Proxy | None) -> httpcore.Request:
    """The request as httpcore takes it, which writes a host for a proxy as it is given, without brackets."""
    host = request.url.raw_host
    if proxy is not None and proxy.scheme == "http" and b":" in host:
        host = b"[%b]" % host
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(
            scheme=request.url.raw_scheme,
            host=host,
            port=request.url.port,
            target=target_of(request),
        ),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )
