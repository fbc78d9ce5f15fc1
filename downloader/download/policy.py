"""Decisions about a download: redirects, credentials, and whether and when to retry. Pure.

Clock and jitter are arguments, so every rule can be tested as a law.
"""

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from downloader.model.failures import FailureKind, is_transient
from downloader.model.urls import BadUrl, ascii_reference, origin_of, requestable

_BASE_S = 0.5
"""First backoff ceiling; doubled each time (full jitter: AWS Architecture Blog, "Exponential Backoff And Jitter")."""
_CEILING_S = 30.0
"""Maximum backoff ceiling."""

MAX_REQUESTS_OF_URL = 2
"""Requests of one URL in a chain without cookies: some servers redirect to the same URL once, until they are ready."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Statuses that redirect a GET (RFC 9110, 15.4)."""
SLOW_DOWN = frozenset({413, 429, 503})
"""Statuses whose Retry-After is about the whole host (RFC 9110, 10.2.3; RFC 6585, 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a redirect is not followed."""

    message: str


def follow(chain: list[str], location: str | None, *, limit: int, with_cookies: bool = False) -> str | Refusal:
    """The URL a redirect leads to, as it is requested, or why it is refused.

    Refused: more than `limit` redirects, another scheme, https to http (the content would be unprotected), no Location,
    and a circle: a URL is requested twice at most, unless the redirects set cookies, which may change the response.

    Args:
        chain: the URLs requested so far, oldest first.
        location: of the response.
        limit: redirects that are followed.
        with_cookies: a redirect of the chain has set cookies.
    """
    current = chain[-1]
    try:
        target = _target(current, location or "")
    except BadUrl as problem:
        return Refusal(message=f"redirected to something that cannot be fetched: {problem}")
    if target is None:
        return Refusal(message="redirected without saying where to")
    if urlsplit(current).scheme == "https" and urlsplit(target).scheme == "http":
        return Refusal(message="redirected from https to http, which is not followed")
    if chain.count(target) >= MAX_REQUESTS_OF_URL and not with_cookies:
        return Refusal(message="redirected in a circle")
    if len(chain) > limit:
        hint = "; the redirects set cookies, and go on although these are sent back" if with_cookies else ""
        return Refusal(message=f"redirected more than {limit} times; --max-redirects allows more{hint}")
    return target


def _target(current: str, location: str) -> str | None:
    """Where a redirect leads to, with the fragment of the current URL if it has none; None for an empty Location."""
    reference = ascii_reference(location)
    if not reference:
        return None
    try:
        target = urljoin(current, reference)
    except ValueError:
        raise BadUrl("not a URL") from None
    _, mark, fragment = current.partition("#")
    if mark and "#" not in target:
        target = f"{target}#{fragment}"
    return requestable(target)


def is_same_origin(first_url: str, url: str) -> bool:
    """Whether the user's headers and passwords for the first URL may be sent to the second (RFC 6454)."""
    return first_url == url or origin_of(first_url) == origin_of(url)


def retry_delay_s(
    kind: FailureKind,
    http_status: int | None,
    *,
    attempt: int,
    retries: int,
    remaining_s: float,
    jitter: float,
    retry_after_s: float | None = None,
) -> float | None:
    """Seconds to wait before another attempt; None to give up.

    Full jitter: `jitter` in [0, 1) of a ceiling that doubles from 0.5 s to 30 s, but never less than the server asked
    for. `attempt` counts from 1. Gives up on permanent failures, after `retries` further attempts, and if the wait
    would exceed the deadline.
    """
    if attempt > retries or not is_transient(kind, http_status) or kind is FailureKind.DEADLINE:
        return None
    delay = max(jitter * min(_CEILING_S, _BASE_S * 2 ** (attempt - 1)), retry_after_s or 0.0)
    return delay if delay < remaining_s else None


def is_of_host(kind: FailureKind, http_status: int | None, *, final: bool) -> bool:
    """Whether a failure says something of the host rather than of the item, so that others of its items may fail alike.

    Every transient one does. `final` is the answer that there is no such host, which costs nothing to ask again.
    """
    return is_transient(kind, http_status) and not final


@dataclass(frozen=True, slots=True)
class UseMirror:
    """Request the next URL of the item, at once."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after a delay."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The item has failed."""


def after_failure(
    kind: FailureKind,
    http_status: int | None,
    *,
    has_mirror: bool,
    attempt: int,
    retries: int,
    remaining_s: float,
    jitter: float,
    retry_after_s: float | None = None,
) -> UseMirror | Retry | GiveUp:
    """What follows a failed attempt: a mirror if there is one left, else a retry as by `retry_delay_s`."""
    if has_mirror:
        return UseMirror()
    delay_s = retry_delay_s(
        kind,
        http_status,
        attempt=attempt,
        retries=retries,
        remaining_s=remaining_s,
        jitter=jitter,
        retry_after_s=retry_after_s,
    )
    return GiveUp() if delay_s is None else Retry(delay_s)


def status_text(status: int) -> str:
    """A status as shown to the user: `404 Not Found`. The server's own reason phrase is not: it could be any text."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
