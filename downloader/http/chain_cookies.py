"""Cookies that redirects set, for the further requests of the same chain (RFC 6265). Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from downloader.http.headers import cookie_date

MAX_FIELDS = 50
"""Set-Cookie fields of a response that are read, as in curl (lib/cookie.h, MAX_SET_COOKIE_AMOUNT)."""
MAX_COOKIES = 200
"""Cookies of a chain; curl sends at most 150 (MAX_COOKIE_SEND_AMOUNT)."""
MAX_COOKIE_BYTES = 4096
"""Name, value and attributes of a cookie that is kept (RFC 6265, 6.1)."""
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NUMBER = re.compile(r"-?[0-9]+")
_IP_ADDRESS = re.compile(r"[0-9.]+|.*:.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cookie:
    """A cookie; `value` is None for one that was removed."""

    name: str
    value: str | None
    domain: str
    host_only: bool
    path: str
    secure: bool

    def is_for(self, scheme: str, host: str, path: str) -> bool:
        """Whether it is sent with a request (5.4)."""
        if self.secure and scheme != "https":
            return False
        if host != self.domain and (self.host_only or not _is_within(host, self.domain)):
            return False
        return path == self.path or path.startswith(self.path if self.path.endswith("/") else self.path + "/")


class ChainCookies:
    """The cookies of one chain of redirects; forgotten at its end, so that sites do not recognise each other's visits.

    No list of public suffixes is needed: whoever redirects could as well put the value into the URL.
    """

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], _Cookie] = {}

    def __bool__(self) -> bool:
        return bool(self._cookies)

    def store(self, url: str, fields: Iterable[bytes], now: datetime) -> None:
        """Keep what the Set-Cookie fields of a response to a request for `url` set; `now` is aware of its time zone."""
        for field in list(fields)[:MAX_FIELDS]:
            if len(field) <= MAX_COOKIE_BYTES and (cookie := _parsed(url, field.decode("latin-1"), now)):
                self._cookies.pop(key := (cookie.name, cookie.domain, cookie.path), None)
                if len(self._cookies) < MAX_COOKIES:
                    self._cookies[key] = cookie

    def merged(self, url: str, header: str | None) -> str | None:
        """The value of the Cookie field for a request, in which the chain's cookies replace others of the same name."""
        scheme, host, path = _place(url)
        ours = {cookie.name: cookie.value for cookie in self._longest_first() if cookie.is_for(scheme, host, path)}
        if not ours:
            return header
        kept = [pair for part in (header or "").split(";") if (pair := part.strip()) and pair.partition("=")[0] not in ours]
        return "; ".join([*kept, *(f"{name}={value}" for name, value in ours.items() if value is not None)]) or None

    def _longest_first(self) -> list[_Cookie]:
        """Cookies with the most specific path last, so that it wins."""
        return sorted(self._cookies.values(), key=lambda cookie: len(cookie.path))


def _parsed(url: str, text: str, now: datetime) -> _Cookie | None:
    """The cookie that a Set-Cookie field sets (5.2, 5.3); None if it is to be ignored."""
    pair, _, rest = text.partition(";")
    name, equals, value = (part.strip() for part in pair.partition("="))
    if not equals or not name or _CONTROLS.search(text):
        return None
    attributes = {key.strip().lower(): of.strip() for key, _, of in (part.partition("=") for part in rest.split(";"))}
    scheme, host, path = _place(url)
    domain = attributes.get("domain", "").lower().removeprefix(".")
    if domain and domain != host and not _is_within(host, domain):
        return None
    secure = "secure" in attributes
    if secure and scheme != "https":
        return None
    where = attributes.get("path", "")
    return _Cookie(
        name=name,
        value=None if _has_expired(attributes, now) else value,
        domain=domain or host,
        host_only=not domain,
        path=where if where.startswith("/") else path[: path.rindex("/")] or "/",
        secure=secure,
    )


def _has_expired(attributes: dict[str, str], now: datetime) -> bool:
    """Whether the attributes remove the cookie: Max-Age goes before Expires (5.3, 3)."""
    max_age = attributes.get("max-age", "")
    if _NUMBER.fullmatch(max_age):
        return max_age.startswith("-") or not max_age.strip("0")
    expires = cookie_date(attributes.get("expires"))
    return expires is not None and expires <= now


def _place(url: str) -> tuple[str, str, str]:
    """Scheme, host and path of a URL."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").removesuffix("."), parts.path or "/"


def _is_within(host: str, domain: str) -> bool:
    """Whether a host is below a domain (5.1.3); addresses are below nothing."""
    return host.endswith(f".{domain}") and not _IP_ADDRESS.fullmatch(host)
