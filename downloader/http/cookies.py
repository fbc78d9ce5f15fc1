"""Cookies: which of them are sent with a request, and those that redirects set (RFC 6265). Pure.

The standard library has these too, but logs tracebacks for what servers send, refuses cookie files that curl reads, and
sends no cookie to a host without a dot.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from downloader.http.headers import cookie_date

MAX_FIELDS = 50
"""Set-Cookie fields of a response that are read, as in curl (lib/cookie.h, MAX_SET_COOKIE_AMOUNT)."""
MAX_COOKIES = 200
"""Cookies that the redirects of a chain may set; curl sends at most 150 (MAX_COOKIE_SEND_AMOUNT)."""
MAX_COOKIE_BYTES = 4096
"""Name, value and attributes of a cookie that is kept (RFC 6265, 6.1)."""
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NUMBER = re.compile(r"-?[0-9]+")
_IP_ADDRESS = re.compile(r"[0-9.]+|.*:.*")


def is_address(host: str) -> bool:
    """Whether a host is an address, which is in no domain (RFC 6265, 5.1.3)."""
    return _IP_ADDRESS.fullmatch(host) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie. `value` is None for one that a server has removed; `expires_s` counts from 1970."""

    name: bytes
    value: bytes | None
    domain: str
    host_only: bool
    path: str
    secure: bool
    expires_s: float | None = None


class CookieStore:
    """Cookies, found by the hosts they are for."""

    def __init__(self) -> None:
        self._by_domain: dict[str, dict[tuple[bytes, str], Cookie]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, cookie: Cookie) -> None:
        """Add a cookie; it replaces one of the same name, domain and path."""
        stored = self._by_domain.setdefault(cookie.domain, {})
        before = len(stored)
        stored[cookie.name, cookie.path] = cookie
        self._count += len(stored) - before

    def sent_to(self, url: str, now_s: float) -> dict[bytes, bytes | None]:
        """Names and values of the cookies for a URL (5.4); of one name, that with the most specific path."""
        scheme, host, path = _place(url)
        found = [
            cookie
            for cookie in self._of_host(host)
            if _is_on_path(path, cookie.path)
            and (scheme == "https" or not cookie.secure)
            and (cookie.expires_s is None or cookie.expires_s > now_s)
        ]
        return {cookie.name: cookie.value for cookie in sorted(found, key=lambda cookie: len(cookie.path))}

    def _of_host(self, host: str) -> Iterator[Cookie]:
        """The cookies of a host, and those of the domains above it that are for their hosts too."""
        yield from self._by_domain.get(host, {}).values()
        while (domain := host.partition(".")[2]) and not is_address(host):
            yield from (cookie for cookie in self._by_domain.get(domain, {}).values() if not cookie.host_only)
            host = domain


class ChainCookies(CookieStore):
    """The cookies of one chain of redirects; forgotten at its end, so that sites do not recognise each other's visits.

    No list of public suffixes is needed: a server that redirects could as well put the value into the URL.
    """

    def receive(self, url: str, fields: Iterable[bytes], now: datetime) -> None:
        """Keep what the Set-Cookie fields of a response to a request for `url` set; `now` is aware of its time zone."""
        for field in list(fields)[:MAX_FIELDS]:
            if len(field) <= MAX_COOKIE_BYTES and len(self) < MAX_COOKIES and (cookie := _parsed(url, field, now)):
                self.add(cookie)


def cookie_field(
    url: str,
    now_s: float,
    *,
    listed: CookieStore,
    given: Iterable[str | bytes] = (),
    set_by_chain: CookieStore | None = None,
) -> bytes | None:
    """The value of the Cookie field for a request; None for none.

    Args:
        url: requested.
        now_s: seconds since 1970.
        listed: from the user's file.
        given: Cookie fields that the user gives; they replace those listed of the same name.
        set_by_chain: replace both.
    """
    pairs: dict[bytes, bytes | None] = {}
    pairs.update((name, b"%b=%b" % (name, value or b"")) for name, value in listed.sent_to(url, now_s).items())
    for field in given:
        parts = (field.encode() if isinstance(field, str) else field).split(b";")
        pairs.update((part.partition(b"=")[0].strip(), part.strip()) for part in parts if part.strip())
    if set_by_chain:
        for name, value in set_by_chain.sent_to(url, now_s).items():
            pairs[name] = None if value is None else b"%b=%b" % (name, value)
    return b"; ".join(pair for pair in pairs.values() if pair is not None) or None


def _parsed(url: str, field: bytes, now: datetime) -> Cookie | None:
    """The cookie that a Set-Cookie field sets (5.2, 5.3); None if it is to be ignored."""
    pair, _, rest = field.partition(b";")
    name, equals, value = (part.strip() for part in pair.partition(b"="))
    if not equals or not name or _CONTROLS.search(field):
        return None
    items = (part.partition("=") for part in rest.decode("latin-1").split(";"))
    attributes = {key.strip().lower(): text.strip() for key, _, text in items}
    scheme, host, path = _place(url)
    domain = attributes.get("domain", "").lower().removeprefix(".")
    secure = "secure" in attributes
    if (domain and not _is_within(host, domain)) or (secure and scheme != "https"):
        return None
    where = attributes.get("path", "")
    return Cookie(
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


def _is_on_path(path: str, above: str) -> bool:
    """Whether a path is another one, or below it (5.1.4)."""
    return path == above or path.startswith(above if above.endswith("/") else f"{above}/")


def _is_within(host: str, domain: str) -> bool:
    """Whether a host is a domain, or below it (5.1.3)."""
    return host == domain or (host.endswith(f".{domain}") and not is_address(host))
