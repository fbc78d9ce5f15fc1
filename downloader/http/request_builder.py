"""Requests from URLs: headers, credentials and cookies."""

import importlib.metadata
import re
import time
from contextlib import suppress
from functools import lru_cache
from netrc import netrc

import httpx

from downloader import __version__
from downloader.config.settings import DownloadOptions
from downloader.http.base_transport import TARGET
from downloader.http.cookies import ChainCookies, CookieStore, cookie_field
from downloader.http.credentials import basic_auth

ROBOT_NAME = "downloader"
"""The name by which X-Robots-Tag and servers know this program."""

Header = tuple[str, str]

_ORDINARY = re.compile(
    r"(?P<origin>https?://[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?)"
    r"(?P<target>(?:/(?!\.)[A-Za-z0-9_~.-]*)+(?:\?[A-Za-z0-9_~./&=-]+)?)"
)
"""URLs of which httpx would change nothing but the host: those of nearly all files."""
_MAX_ORDINARY_CHARS = 2000
_MAX_REMEMBERED = 64
"""Requests remembered by each thread, one for each origin and set of headers."""


class RequestBuilder:
    """Builds the requests of one thread.

    Args:
        settings: of the run.
        cookies: the user's.
        passwords: from ~/.netrc, or None.
    """

    def __init__(self, settings: DownloadOptions, cookies: CookieStore, passwords: netrc | None) -> None:
        self._usual: list[Header] = [
            ("User-Agent", settings.user_agent or _user_agent()),
            ("Accept", "image/*, */*;q=0.5"),
            ("Accept-Encoding", "identity"),
        ]
        self._cookies = cookies
        self._passwords = passwords
        self._extensions = {
            "timeout": {
                "connect": settings.timeout,
                "read": settings.timeout,
                "write": settings.timeout,
                "pool": None,
            }
        }
        self._request_to = lru_cache(_MAX_REMEMBERED)(self._new_request_to)

    def build(
        self, url: str, headers: list[Header], *, use_netrc: bool, set_cookies: ChainCookies | None = None
    ) -> httpx.Request:
        """A GET request, to be sent before the next one is built: requests to one origin may be one object.

        Args:
            url: absolute; its user name and password are sent as Basic authentication.
            headers: replace the usual ones of the same name.
            use_netrc: log in with the password that ~/.netrc has for the host.
            set_cookies: what the redirects before this request have set.
        """
        match = _ORDINARY.fullmatch(url) if len(url) <= _MAX_ORDINARY_CHARS else None
        if match is None or self._cookies or set_cookies:
            return self._new_request(url, headers, use_netrc=use_netrc, set_cookies=set_cookies)
        request = self._request_to(match["origin"], tuple(headers), use_netrc)
        request.extensions[TARGET] = match["target"].encode("ascii")
        return request

    def _new_request_to(self, origin: str, headers: tuple[Header, ...], use_netrc: bool) -> httpx.Request:
        """The request for the root of an origin; all others differ from it by their target only."""
        return self._new_request(origin, list(headers), use_netrc=use_netrc, set_cookies=None)

    def _new_request(
        self, url: str, headers: list[Header], *, use_netrc: bool, set_cookies: ChainCookies | None
    ) -> httpx.Request:
        target = httpx.URL(url)
        usual = self._usual
        if target.userinfo:  # removed from the URL: the cookie jar would take it for a part of the host
            usual = [*usual, basic_auth(target.username, target.password)]
            target = target.copy_with(userinfo=b"")
        elif use_netrc and self._passwords:
            login = self._passwords.authenticators(target.host)
            usual = [*usual, basic_auth(login[0], login[2])] if login and login[2] else usual
        names = {name.lower() for name, _ in headers}
        sent: list[tuple[str, str | bytes]] = [
            *(header for header in usual if header[0].lower() not in names),
            *(header for header in headers if header[0].lower() != "cookie"),
        ]
        if "%" in target.host:  # the zone of an IPv6 address is nothing to the server (RFC 6874, 4)
            sent.append(("Host", _host_without_zone(target)))
        if (self._cookies or set_cookies or "cookie" in names) and (
            cookie := self._cookie_field(url, headers, set_cookies)
        ):
            sent.append(("Cookie", cookie))
        return httpx.Request("GET", target, headers=sent, extensions=self._extensions)  # type: ignore[arg-type]

    def _cookie_field(self, url: str, headers: list[Header], set_cookies: ChainCookies | None) -> bytes | None:
        given = [value for name, value in headers if name.lower() == "cookie"]
        return cookie_field(url, time.time(), listed=self._cookies, given=given, set_by_chain=set_cookies)


def _host_without_zone(url: httpx.URL) -> str:
    """The value of the Host field."""
    host = f"[{url.host.partition('%')[0]}]"
    return host if url.port is None else f"{host}:{url.port}"


def _user_agent() -> str:
    """The name and version of this program, and where to read about it if the package's metadata tell."""
    with suppress(importlib.metadata.PackageNotFoundError):
        for entry in importlib.metadata.metadata("downloader").get_all("Project-URL") or []:
            return f"{ROBOT_NAME}/{__version__} (+{entry.rpartition(', ')[2]})"
    return f"{ROBOT_NAME}/{__version__}"
