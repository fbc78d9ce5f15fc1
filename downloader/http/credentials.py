"""Cookies and passwords from the user's files."""

import codecs
import netrc
import re
from base64 import b64encode
from pathlib import Path

from downloader.http.cookies import Cookie, CookieStore

_HTTP_ONLY = "#HttpOnly_"
_FIELDS = 7
"""Domain, whether with its subdomains, path, whether for TLS only, expiry, name, value."""
_BOOLEANS = {"TRUE": True, "FALSE": False}
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def read_cookies(path: str | None) -> CookieStore:
    """The user's cookies, to be sent and never added to; raises ValueError with a message for the user.

    The file is in Netscape format, as curl and wget read it: seven fields to a line, separated by tabs. Its first line
    need not name the format.
    """
    store = CookieStore()
    if path is None:
        return store
    try:
        lines = _text(Path(path).read_bytes()).split("\n")
    except OSError as error:
        raise ValueError(f"--cookies {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"--cookies {path}: not a cookie file in Netscape format") from None
    for number, line in enumerate(lines, 1):
        try:
            if cookie := _cookie(line.rstrip("\r")):
                store.add(cookie)
        except ValueError as problem:
            raise ValueError(f"--cookies {path}:{number}: not a cookie in Netscape format: {problem}") from None
    return store


def _text(data: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 as Windows writes it."""
    has_mark = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if has_mark else "utf-8-sig")


def _cookie(line: str) -> Cookie | None:
    """The cookie of a line; None for an empty one and a comment. Raises ValueError with what is wrong."""
    http_only = line.startswith(_HTTP_ONLY)
    line = line.removeprefix(_HTTP_ONLY)
    if not line.strip() or (line.lstrip().startswith("#") and not http_only):
        return None
    fields = line.split("\t")
    if len(fields) == _FIELDS - 1:  # without a value, whose tab editors remove
        fields.append("")
    if len(fields) != _FIELDS:
        raise ValueError(f"it has {len(fields)} fields separated by tabs, not {_FIELDS}")
    if _CONTROLS.search(line.replace("\t", "")):
        raise ValueError("it contains control characters")
    domain, subdomains, path, secure, expires, name, value = fields
    if not domain.strip(" .") or not name + value:
        raise ValueError("it has no domain or no name")
    domain = domain.strip().lower()
    is_domain = _boolean(subdomains) or domain.startswith(".")
    return Cookie(
        name=(name or value).encode(),  # one without a name is saved with an empty one
        value=value.encode() if name else b"",
        domain=domain.strip("."),
        host_only=not is_domain,
        path=path.strip() or "/",
        secure=_boolean(secure),
        expires_s=_expiry(expires),
    )


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.strip().upper()]
    except KeyError:
        raise ValueError("its second and fourth fields are not TRUE or FALSE") from None


def _expiry(text: str) -> float | None:
    """When a cookie ends; None for the end of the session, written as 0, -1, or nothing."""
    try:
        seconds = float(text or 0)
    except ValueError:
        raise ValueError("its fifth field is not a time in seconds") from None
    return seconds if seconds > 0 else None


def read_netrc() -> netrc.netrc:
    """The passwords in ~/.netrc; raises ValueError with a message for the user."""
    try:
        return netrc.netrc()
    except FileNotFoundError:
        raise ValueError("--netrc: there is no ~/.netrc") from None
    except netrc.NetrcParseError as error:
        raise ValueError(f"--netrc: {error}") from None


def basic_auth(user: str, password: str) -> tuple[str, str]:
    """The header of Basic authentication (RFC 7617), in UTF-8."""
    return "Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode()
