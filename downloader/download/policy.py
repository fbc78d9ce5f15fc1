"""Deciding about a download: which URLs, which redirects, whether and when to try again. Pure.

Clock and chance come in as arguments, so every rule here can be tested as a law.
"""

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from downloader.model.failures import FailureKind, is_transient
from downloader.model.urls import check_url, origin_of

_BASE_S = 0.5
"""First back-off ceiling; doubled each time (full jitter: AWS Architecture Blog, "Exponential Backoff And Jitter")."""
_CEILING_S = 30.0
"""Largest back-off ceiling of one wait."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Statuses that send a GET elsewhere (RFC 9110, 15.4)."""
SLOW_DOWN = frozenset({413, 429, 503})
"""Statuses whose Retry-After speaks for the host (RFC 9110, 10.2.3; RFC 6585, 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a redirect is not followed."""

    message: str


def follow(chain: list[str], location: str | None, *, limit: int) -> str | Refusal:
    """The URL a redirect leads to, or why it is refused.

    `chain` holds the URLs asked so far, oldest first. Refused: more than `limit` redirects, a URL asked before, another
    scheme, https to http (the content would come unprotected), no Location.
    """
    current = chain[-1]
    if not location:
        return Refusal(message="redirected without saying where to")
    try:
        target = urljoin(current, location)
        fragment = urlsplit(current).fragment
        if fragment and not urlsplit(target).fragment:
            target = f"{target}#{fragment}"
        check_url(target)
    except ValueError as problem:  # BadUrl is one
        return Refusal(message=f"redirected to something that cannot be fetched: {problem}")
    if urlsplit(current).scheme.lower() == "https" and urlsplit(target).scheme.lower() == "http":
        return Refusal(message="redirected from https to http, which is not followed")
    if target in chain:
        return Refusal(message="redirected in a circle")
    if len(chain) > limit:
        return Refusal(message=f"redirected more than {limit} times; --max-redirects allows more")
    return target


def headers_for(headers: list[tuple[str, str]], first_url: str, url: str) -> list[tuple[str, str]]:
    """The user's headers that may go to this URL: none of them leaves the origin they were given for."""
    return headers if first_url == url or origin_of(first_url) == origin_of(url) else []


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
    for. `attempt` counts from 1. Gives up on what will not pass, after `retries` further attempts, and where the wait
    would outlast the deadline.
    """
    if attempt > retries or not is_transient(kind, http_status) or kind is FailureKind.DEADLINE:
        return None
    delay = max(jitter * min(_CEILING_S, _BASE_S * 2 ** (attempt - 1)), retry_after_s or 0.0)
    return delay if delay < remaining_s else None


def status_text(status: int) -> str:
    """A status as a person reads it: `404 Not Found`. The server's own reason phrase is not shown: it is its text."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
