"""What all requests of a run share."""

from downloader.config.settings import DownloadOptions
from downloader.errors import ConfigError
from downloader.http.abort import AbortSignal
from downloader.http.client import Client
from downloader.http.connection import OriginKey
from downloader.http.credentials import read_cookies, read_netrc
from downloader.http.request_builder import RequestBuilder
from downloader.http.request_context import RequestContext
from downloader.http.resolver import Resolver
from downloader.http.tls import ssl_context
from downloader.http.transport import make_transport, transport_name


class Session:
    """TLS configuration, resolver, credentials and abort signal of a run; makes a client for each thread.

    The SSL context is shared because it takes 15 to 100 ms to build.

    Raises:
        ConfigError: a certificate, cookie or netrc file or a proxy cannot be used.
    """

    def __init__(self, settings: DownloadOptions) -> None:
        self.abort_signal = AbortSignal()
        self.transport_name = transport_name(settings)
        self._settings = settings
        self._resolver = Resolver()
        self._refused: set[OriginKey] = set()
        try:
            self._ssl_context = ssl_context(settings)
            self._passwords = read_netrc() if settings.netrc else None
            self._cookies = read_cookies(settings.cookies)
            self.client().close()
        except (ValueError, OSError) as error:
            raise ConfigError(str(error)) from error

    def client(self) -> Client:
        """A client for the current thread."""
        context = RequestContext(abort=self.abort_signal)
        transport = make_transport(
            self._settings,
            ssl_context=self._ssl_context,
            resolver=self._resolver,
            context=context,
            refused=self._refused,
        )
        builder = RequestBuilder(self._settings, self._cookies, self._passwords)
        return Client(transport, context, builder, deadline_s=self._settings.deadline)

    def abort(self) -> None:
        """End every network call of the run at once."""
        self.abort_signal.set()
