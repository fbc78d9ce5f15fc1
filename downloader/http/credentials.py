"""Cookies and passwords from the user's files."""

import http.cookiejar
import netrc
from base64 import b64encode


class _ReadOnlyPolicy(http.cookiejar.DefaultCookiePolicy):
    """Sends the user's cookies and stores none: sites must not recognise each other's visits."""

    def set_ok(self, _cookie: object, _request: object) -> bool:
        return False


def read_cookies(path: str | None) -> http.cookiejar.CookieJar:
    """The user's cookies, to be sent and never added to; raises ValueError with a message for the user."""
    if path is None:
        return http.cookiejar.CookieJar(_ReadOnlyPolicy())
    jar = http.cookiejar.MozillaCookieJar(path, policy=_ReadOnlyPolicy())
    try:
        jar.load(ignore_discard=True, ignore_expires=True)
    except (OSError, UnicodeDecodeError) as error:  # LoadError is an OSError as well
        reason = getattr(error, "strerror", None) or "not a cookie file in Netscape format"
        raise ValueError(f"--cookies {path}: {reason}") from None
    for cookie in jar:
        if cookie.expires == 0:  # the format's "until the browser closes", which Python reads as "expired in 1970"
            cookie.expires = None
    return jar


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
