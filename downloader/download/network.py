"""What all downloads of a run share: TLS set-up, name look-ups, rate, open sockets, and who we say we are."""

import http.cookiejar
import importlib.metadata
import netrc
import ssl
from base64 import b64encode
from contextlib import suppress

import httpx  # noqa: TID251 - with client.py the home of HTTP

from downloader import __version__
from downloader.config.settings import DownloadOptions
from downloader.download.dns import Resolver
from downloader.download.net import Origin, Sockets, Watch, ssl_context
from downloader.download.rate import ByteRate
from downloader.download.transport import make_transport
from downloader.errors import ConfigError
from downloader.stop import Stop

ROBOT_NAME = "downloader"
"""What X-Robots-Tag and servers know us by."""

Header = tuple[str, str]


class Network:
    """What all clients of a run share.

    Raises:
        ConfigError: a certificate, cookie or netrc file, a proxy or a transport is of no use.
    """

    def __init__(self, settings: DownloadOptions, stop: Stop) -> None:
        self.settings = settings
        self.stop = stop
        self.resolver = Resolver()
        self.sockets = Sockets()
        self._refused: set[Origin] = set()
        self.rate = ByteRate(settings.limit_rate) if settings.limit_rate else None
        self.headers: list[Header] = [
            ("User-Agent", settings.user_agent or _user_agent()),
            ("Accept", "image/*, */*;q=0.5"),
            ("Accept-Encoding", "identity"),
        ]
        try:
            self.context: ssl.SSLContext = ssl_context(settings)
            self.netrc = _netrc() if settings.netrc else None
            read_cookies(settings.cookies)
            self.transport(Watch()).close()
        except (ValueError, OSError, http.cookiejar.LoadError) as problem:
            raise ConfigError(str(problem)) from problem

    def transport(self, watch: Watch) -> httpx.BaseTransport:
        """A transport for one thread."""
        return make_transport(
            self.settings,
            context=self.context,
            resolver=self.resolver,
            sockets=self.sockets,
            watch=watch,
            refused=self._refused,
        )

    def abort(self) -> None:
        """End every network call of the run at once."""
        self.sockets.abort()


class _SendOnly(http.cookiejar.DefaultCookiePolicy):
    """Sends the user's cookies and stores none: sites are not to recognise each other's visits."""

    def set_ok(self, _cookie: object, _request: object) -> bool:
        return False


def _user_agent() -> str:
    """Who we are, and where to read about it, as far as the package's metadata tell."""
    with suppress(importlib.metadata.PackageNotFoundError):
        for entry in importlib.metadata.metadata("downloader").get_all("Project-URL") or []:
            return f"{ROBOT_NAME}/{__version__} (+{entry.rpartition(', ')[2]})"
    return f"{ROBOT_NAME}/{__version__}"


def _netrc() -> netrc.netrc:
    try:
        return netrc.netrc()
    except FileNotFoundError:
        raise ValueError("--netrc: there is no ~/.netrc") from None
    except netrc.NetrcParseError as problem:
        raise ValueError(f"--netrc: {problem}") from None


def read_cookies(path: str | None) -> http.cookiejar.CookieJar:
    """The user's cookies, to be sent and never added to; raises ValueError with a message for the user."""
    if path is None:
        return http.cookiejar.CookieJar(_SendOnly())
    jar = http.cookiejar.MozillaCookieJar(path, policy=_SendOnly())
    try:
        jar.load(ignore_discard=True, ignore_expires=True)
    except (OSError, UnicodeDecodeError) as problem:  # LoadError is an OSError as well
        said = getattr(problem, "strerror", None) or "not a cookie file in Netscape format"
        raise ValueError(f"--cookies {path}: {said}") from None
    for cookie in jar:
        if cookie.expires == 0:  # how the format writes "until the browser closes", and Python reads "expired in 1970"
            cookie.expires = None
    return jar


def basic_auth(user: str, password: str) -> Header:
    """Basic authentication (RFC 7617), in UTF-8."""
    return "Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode()
