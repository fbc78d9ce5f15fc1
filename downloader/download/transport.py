"""What HTTP goes over: llhttp where httptools is installed, httpcore otherwise."""

import importlib.util
import ssl
from typing import Literal

import httpx  # noqa: TID251 - with client.py the home of HTTP

from downloader.config.settings import DownloadOptions
from downloader.download.dns import Resolver
from downloader.download.net import Backend, Origin, Proxies, Sockets, Transport, Watch


def chosen(settings: DownloadOptions) -> Literal["httpcore", "httptools"]:
    """The package that `--transport` comes down to here.

    Raises:
        ValueError: it is not installed; the message is made for the user.
    """
    is_installed = importlib.util.find_spec("httptools") is not None
    if settings.transport == "auto":
        return "httptools" if is_installed else "httpcore"
    if settings.transport == "httptools" and not is_installed:
        raise ValueError("--transport httptools: it is not installed; pip install 'downloader[fast]'")
    return settings.transport


def make_transport(
    settings: DownloadOptions,
    *,
    context: ssl.SSLContext,
    resolver: Resolver,
    sockets: Sockets,
    watch: Watch,
    refused: set[Origin],
) -> httpx.BaseTransport:
    """The transport of one thread: the one place that says what HTTP goes over.

    Args:
        settings: of the run.
        context: the run's TLS set-up.
        resolver: of the run.
        sockets: of the run.
        watch: of the thread.
        refused: of the run: the origins that httptools leaves to httpcore.

    Raises:
        ValueError: `--proxy`, or what stands in its place, or `--transport` is of no use; the message is made for the
            user.
    """
    backend = Backend(resolver, sockets, watch, deny_private=settings.deny_private)
    plain = Transport(context, backend, watch, Proxies(settings))
    if chosen(settings) == "httpcore":
        return plain
    from downloader.download import llhttp  # noqa: PLC0415 - optional

    return llhttp.Transport(context, backend, watch, plain, refused)
