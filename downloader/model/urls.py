"""What can be told from the text of a URL alone. Pure."""

import re
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443}
_SPLITTING = re.compile(r"[\x00-\x20\x7f]")
_LONGEST_URL = 64 * 1024
"""Characters of the longest URL asked for; servers refuse far shorter ones (RFC 9110, 4.1 asks for 8,000)."""

_ORDINARY = re.compile(r"https?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?::(?:[0-9]{1,4}|[1-5][0-9]{4}))?/[!-~]{0,2000}")
"""URLs that need no closer look: nearly all of a list. Ignoring case would more than double the time."""


class BadUrl(ValueError):
    """Not a URL that can be fetched; the message says why."""


def check_url(url: str) -> None:
    """Raise BadUrl unless this is an absolute http or https URL with a host and nothing that could split a request."""
    if _ORDINARY.fullmatch(url):
        return
    if len(url) > _LONGEST_URL:
        raise BadUrl("the URL is too long")
    if _SPLITTING.search(url) or not url.isprintable():
        raise BadUrl("the URL contains spaces or control characters; percent-encode them")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as problem:
        raise BadUrl(f"not a URL: {problem}") from None
    if parts.scheme.lower() not in _PORTS:
        raise BadUrl("not an http or https URL")
    if not host:
        raise BadUrl("the URL names no host")


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what credentials belong to (RFC 6454)."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)


_AUTHORITY = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)


def host_of(url: str) -> str:
    """Host and port as written, in small letters: what per-host limits count by; empty where there is none.

    Tolerant and quick, since it is asked for every row of a list, good or bad.
    """
    match = _AUTHORITY.match(url)
    return match[1].rpartition("@")[2].lower() if match else ""


def last_segment(url: str) -> str | None:
    """The last part of the path, decoded, with separators in it made harmless; None where the path has none."""
    segment = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    return re.sub(r"[/\\]", "_", segment) or None


_USERINFO = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#]*@", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"([?&;](?:x-(?:amz|goog|ms)-(?:signature|credential|security-token)|sig|signature|token|access_token|auth|key|api_?key"
    r"|apikey|password|passwd|secret|policy|key-pair-id)=)[^&;#]*",
    re.IGNORECASE,
)


def masked(url: str) -> str:
    """A URL fit to be shown: without user name, password, and the values of signing parameters."""
    url = _USERINFO.sub(r"\1***@", url) if "@" in url else url
    return _SECRET_VALUE.sub(r"\1***", url) if "=" in url else url
