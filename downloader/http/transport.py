"""Which package speaks HTTP: httptools, or httpcore."""

import ssl
from typing import Literal

from downloader.config.settings import DownloadOptions
from downloader.http.base_transport import Transport
from downloader.http.connection import IDLE_TTL_S, Connector, OriginKey
from downloader.http.httpcore_transport import HttpcoreTransport
from downloader.http.httptools_transport import HttptoolsTransport
from downloader.http.proxies import Proxies
from downloader.http.request_context import RequestContext
from downloader.http.resolver import Resolver

TransportName = Literal["httpcore", "httptools"]


def transport_name(settings: DownloadOptions) -> TransportName:
    """The package that `--transport` selects."""
    return "httptools" if settings.transport == "auto" else settings.transport


def make_transport(
    settings: DownloadOptions,
    *,
    ssl_context: ssl.SSLContext,
    resolver: Resolver,
    context: RequestContext,
    refused: set[OriginKey],
    idle_ttl_s: float = IDLE_TTL_S,
) -> Transport:
    """The transport of one thread.

    Args:
        settings: of the run.
        ssl_context: of the run.
        resolver: of the run.
        context: of the thread.
        refused: of the run: the origins that httptools leaves to httpcore.
        idle_ttl_s: seconds an idle connection is kept.

    Raises:
        ValueError: `--proxy`, or the variables used instead of it, cannot be used; the message is for the user.
    """
    connector = Connector(resolver, context, deny_private=settings.deny_private)
    httpcore_transport = HttpcoreTransport(ssl_context, connector, context, Proxies(settings), idle_ttl_s=idle_ttl_s)
    if transport_name(settings) == "httpcore":
        return httpcore_transport
    return HttptoolsTransport(ssl_context, connector, context, httpcore_transport, refused, idle_ttl_s=idle_ttl_s)
