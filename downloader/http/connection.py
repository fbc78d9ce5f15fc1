"""Opening connections, for httpcore and httptools alike.

httpcore speaks HTTP over streams that are opened here, through its public `NetworkBackend`. That enforces limits it has
no notion of: a deadline for everything including name resolution, a bound on endless headers, which addresses may be
connected to, and a signal that ends every wait of the run at once.
"""

import time
from collections.abc import Iterable

import httpcore

from downloader.clock import active_clock
from downloader.http.addresses import is_private
from downloader.http.errors import AddressBlocked, ResolveError
from downloader.http.happy_eyeballs import connect_first
from downloader.http.request_context import RequestContext
from downloader.http.resolver import Address, Resolver
from downloader.http.stream import Stream
from downloader.model.spans import Phase

MAX_IDLE_CONNECTIONS = 8
"""Idle connections a thread keeps, for the hosts it used last."""
IDLE_TTL_S = 30.0
"""Seconds an idle connection is kept; servers close theirs after 5 s (Apache) to 75 s (nginx)."""

OriginKey = tuple[bytes, bytes, int | None]
"""Scheme, host, and port unless it is the default one: what a connection can be used for."""


class Connector(httpcore.NetworkBackend):
    """Opens connections for one thread.

    Args:
        resolver: of the run.
        context: of the thread.
        deny_private: connect to public addresses only.
    """

    def __init__(self, resolver: Resolver, context: RequestContext, *, deny_private: bool) -> None:
        self._resolver = resolver
        self._context = context
        self._deny_private = deny_private
        self.opened: list[Stream] = []
        """Streams opened since this list was last cleared."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature; we set none
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - as above
    ) -> Stream:
        """Connect to the first address of the host that answers. `timeout` is for resolving and connecting together.

        Raises:
            ResolveError: the host has no address.
            AddressBlocked: one of its addresses is private, and those are denied.
            httpcore.ConnectError: no address accepts; caused by the OSError of the last.
            httpcore.ConnectTimeout: none answered in time.
            DeadlineExceeded: none answered before the deadline.
            Interrupted: the run is being aborted.
        """
        end_s = active_clock() + self._context.time_left_s(timeout)
        host = host.replace("%25", "%", 1)  # before the zone of an IPv6 address, as RFC 6874 writes it
        addresses = self._resolve(host, port, end_s)
        if self._deny_private:
            _check_public(host, addresses)
        start_s = time.monotonic()
        try:
            sock = connect_first(addresses, end_s, self._context.abort)
        except OSError as error:
            self._resolver.forget(host)  # it may have moved
            self._context.time_left_s(None)
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout("no answer") from error
            raise httpcore.ConnectError(str(error)) from error
        finally:
            self._context.record(Phase.CONNECT, start_s)
        self._context.has_connected = True
        stream = Stream(sock, self._context)
        self.opened.append(stream)
        return stream

    def _resolve(self, host: str, port: int, end_s: float) -> list[Address]:
        cached = self._resolver.cached(host, port)
        if cached is not None:
            return cached
        start_s = time.monotonic()
        try:
            return self._resolver.resolve(
                host, port, end_s - active_clock(), aborted=lambda: self._context.abort.is_set
            )
        except ResolveError:
            self._context.time_left_s(None)  # the deadline or the end of the run goes first
            raise
        finally:
            self._context.record(Phase.DNS, start_s)


def _check_public(host: str, addresses: list[Address]) -> None:
    """Raise AddressBlocked unless all addresses are public: one that is not is reason enough to distrust the name."""
    for address in addresses:
        if is_private(address.host):
            where = "is" if address.host == host else f"is at {address.host},"
            raise AddressBlocked(f"{host} {where} an address of a private network, which --deny-private refuses")
