"""Fetching one URL into one file: the only user of httpx.

One `Client` per thread, because the lock and the scans of a shared connection pool halve the throughput at 64 threads
(351 against 655 URLs/s); all share one SSL context, which takes 15 to 100 ms to build.
"""

import hashlib
import http.cookiejar
import logging
import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import httpx  # noqa: TID251 - its home

from downloader import __version__
from downloader.config.settings import Download, show_size
from downloader.download import policy
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Failed, Fetched, Item
from downloader.model.urls import BadUrl, check_url, masked
from downloader.stop import Stop

PROJECT_URL = "https://pypi.org/project/downloader/"
_OK = frozenset({200, 203})
_BUFFER_BYTES = 256 * 1024
"""Written to disk in pieces of about this size."""

# httpx logs every URL, secrets and all, at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


def user_agent(settings: Download) -> str:
    """What we call ourselves: honest, with a version and a place to ask."""
    return settings.user_agent or f"downloader/{__version__}"


def ssl_context() -> ssl.SSLContext:
    """The one TLS set-up that all clients of a run share."""
    return httpx.create_ssl_context()


class Interrupted(Exception):
    """The run stops now; the item stays as it was."""


class Problem(Exception):
    """One attempt did not work out."""

    def __init__(self, kind: FailureKind, message: str, http_status: int | None = None) -> None:
        super().__init__(kind, message, http_status)
        self.kind = kind
        self.message = message
        self.http_status = http_status


class _NoCookies(http.cookiejar.DefaultCookiePolicy):
    """Stores nothing: sites are not to recognise each other's visits, and a growing jar is copied for every request."""

    def set_ok(self, _cookie: object, _request: object) -> bool:
        return False

    def return_ok(self, _cookie: object, _request: object) -> bool:
        return False


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """What is known of one item while it is being fetched."""

    item: Item
    deadline_s: float
    attempts: int = 0
    chain: list[str] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)


class Client:
    """Fetches items for one thread.

    Args:
        settings: the download section.
        staging: folder for the bodies; each is written to `staging/ID.body`.
        context: the shared SSL context.
        stop: looked at between chunks and attempts.
        random_share: chance in [0, 1) for the back-off.
    """

    def __init__(
        self,
        settings: Download,
        staging: str,
        context: ssl.SSLContext,
        stop: Stop,
        random_share: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._staging = staging
        self._stop = stop
        self._random_share = random_share
        self._headers = [(name, value.strip()) for name, _, value in (h.partition(":") for h in settings.header)]
        self._http = httpx.Client(
            verify=context,
            timeout=httpx.Timeout(settings.timeout, pool=None),
            # Idle connections are kept per thread, for the hosts this thread saw last; 20 live ones are never reached.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=30),
            follow_redirects=False,
            cookies=http.cookiejar.CookieJar(_NoCookies()),
            headers={"User-Agent": user_agent(settings), "Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def fetch(self, item: Item) -> Fetched | Failed:
        """Get the bytes of an item: one outcome, after as many attempts as the settings allow.

        Raises:
            Interrupted: the run stops now.
            OSError: the body cannot be written.
        """
        try:
            check_url(item.source)
        except BadUrl as problem:
            return Failed(item=item, stage=Stage.SOURCE, kind=FailureKind.INVALID_URL, message=str(problem))
        attempt = _Attempt(item=item, deadline_s=time.monotonic() + self._settings.deadline)
        while True:
            attempt.attempts += 1
            try:
                return self._once(attempt)
            except Problem as problem:
                delay_s = policy.retry_delay_s(
                    problem.kind,
                    problem.http_status,
                    attempt=attempt.attempts,
                    retries=self._settings.retries,
                    remaining_s=attempt.deadline_s - time.monotonic(),
                    jitter=self._random_share(),
                )
                if delay_s is None:
                    return _failed(attempt, problem)
                if self._stop.asked.wait(delay_s):
                    raise Interrupted from None

    def _once(self, attempt: _Attempt) -> Fetched:
        """One attempt, redirects included."""
        attempt.chain = [attempt.item.source]
        while True:
            url = attempt.chain[-1]
            with _translated(), self._http.stream("GET", url, **self._request_options(attempt, url)) as response:
                if response.status_code not in policy.REDIRECTS:
                    return self._receive(attempt, response)
                target = policy.follow(
                    attempt.chain, response.headers.get("location"), limit=self._settings.max_redirects
                )
                if isinstance(target, policy.Refusal):
                    raise Problem(FailureKind.REDIRECT, target.message, response.status_code)
                attempt.chain.append(target)

    def _request_options(self, attempt: _Attempt, url: str) -> dict[str, Any]:
        self._check_time(attempt)
        options: dict[str, Any] = {
            "headers": policy.headers_for(self._headers, attempt.chain[0], url),
            "extensions": {
                "trace": _Trace(attempt.timings_s),
                "timeout": self._timeouts(attempt),
            },
        }
        return options

    def _timeouts(self, attempt: _Attempt) -> dict[str, float | None]:
        each = min(self._settings.timeout, max(attempt.deadline_s - time.monotonic(), 0.001))
        return {"connect": each, "read": each, "write": each, "pool": None}

    def _check_time(self, attempt: _Attempt) -> None:
        if self._stop.now.is_set():
            raise Interrupted
        if time.monotonic() > attempt.deadline_s:
            limit = self._settings.deadline
            raise Problem(FailureKind.DEADLINE, f"not done within {limit:g} s; --deadline allows more")

    def _receive(self, attempt: _Attempt, response: httpx.Response) -> Fetched:
        status = response.status_code
        if status not in _OK:
            raise Problem(FailureKind.HTTP_STATUS, f"the server answered {policy.status_text(status)}", status)
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            message = "the server sent a compressed body although it was asked not to"
            raise Problem(FailureKind.CONTENT_ENCODING, message, status)
        self._check_size(int(_digits(response.headers.get("content-length"))))
        started = time.perf_counter()
        path = f"{self._staging}/{attempt.item.id}.body"
        with Path(path).open("wb", buffering=_BUFFER_BYTES) as body:
            size, digest = self._copy(attempt, response, body)
        attempt.timings_s["body"] = time.perf_counter() - started
        return Fetched(
            item=attempt.item,
            path=path,
            bytes=size,
            staged=True,
            sha256=digest,
            media_type=_media_type(response.headers.get("content-type")),
            final_url=masked(attempt.chain[-1]),
            http_status=status,
            attempts=attempt.attempts,
            timings_s=attempt.timings_s,
        )

    def _copy(self, attempt: _Attempt, response: httpx.Response, body: BinaryIO) -> tuple[int, str]:
        """Body to file, counted and hashed on the way; size in bytes and sha256."""
        digest = hashlib.sha256()
        size = 0
        for chunk in response.iter_raw():
            size += len(chunk)
            self._check_size(size)
            self._check_time(attempt)
            digest.update(chunk)
            body.write(chunk)
        return size, digest.hexdigest()

    def _check_size(self, size_bytes: int) -> None:
        limit = self._settings.max_size
        if limit is not None and size_bytes > limit:
            raise Problem(FailureKind.TOO_LARGE, f"larger than --max-size {show_size(limit)}")


class _Trace:
    """Times the phases of a request by httpcore's events; a kept-alive connection has no connect and no tls."""

    _PHASES: ClassVar = {
        "connection.connect_tcp": "connect",
        "connection.start_tls": "tls",
        "http11.receive_response_headers": "first_byte",
    }

    def __init__(self, timings_s: dict[str, float]) -> None:
        self._timings_s = timings_s
        self._started = 0.0

    def __call__(self, event: str, _info: dict[str, Any]) -> None:
        phase, _, moment = event.rpartition(".")
        name = self._PHASES.get(phase)
        if name is None:
            return
        if moment == "started":
            self._started = time.perf_counter()
        elif moment == "complete":
            self._timings_s[name] = time.perf_counter() - self._started


@contextmanager
def _translated() -> Iterator[None]:
    """Httpx's exceptions as our kinds."""
    try:
        yield
    except httpx.TimeoutException as problem:
        what = "connecting" if isinstance(problem, httpx.ConnectTimeout) else "waiting for data"
        raise Problem(FailureKind.TIMEOUT, f"time-out while {what}; --timeout allows more") from problem
    except httpx.ConnectError as problem:
        raise _connect_problem(problem) from problem
    except (httpx.ReadError, httpx.WriteError, httpx.CloseError) as problem:
        raise Problem(FailureKind.PROTOCOL, "the server broke the connection off") from problem
    except httpx.RemoteProtocolError as problem:
        if "without sending complete message body" in str(problem) or "incomplete chunked read" in str(problem):
            raise Problem(FailureKind.TRUNCATED, "the body ended before its announced length") from problem
        if "without sending a response" in str(problem):
            raise Problem(FailureKind.PROTOCOL, "the server closed the connection without an answer") from problem
        raise Problem(FailureKind.PROTOCOL, "the server does not speak proper HTTP") from problem
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError) as problem:
        raise Problem(FailureKind.INVALID_URL, "the URL cannot be requested") from problem
    except httpx.HTTPError as problem:
        raise Problem(FailureKind.PROTOCOL, f"the request failed: {type(problem).__name__}") from problem


def _connect_problem(problem: httpx.ConnectError) -> Problem:
    """Name resolution, TLS and the connection itself are one exception to httpx; its causes tell them apart."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            passing = cause.errno == socket.EAI_AGAIN
            return Problem(FailureKind.DNS, "the name server did not answer" if passing else "there is no such host")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Problem(FailureKind.TLS, f"the certificate is not trusted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            return Problem(FailureKind.TLS, "no secure connection could be agreed on")
        if isinstance(cause, OSError) and cause.errno is not None:
            return Problem(FailureKind.CONNECT, f"cannot connect: {os.strerror(cause.errno)}")
        cause = cause.__cause__ or cause.__context__
    return Problem(FailureKind.CONNECT, "cannot connect")


def _failed(attempt: _Attempt, problem: Problem) -> Failed:
    return Failed(
        item=attempt.item,
        stage=Stage.DOWNLOAD,
        kind=problem.kind,
        message=problem.message,
        http_status=problem.http_status,
        attempts=attempt.attempts,
        final_url=masked(attempt.chain[-1]) if attempt.chain else None,
        timings_s=attempt.timings_s,
    )


def _media_type(content_type: str | None) -> str | None:
    """`type/subtype` in small letters, as far as it is one."""
    text = (content_type or "").partition(";")[0].strip().lower()
    return text if text.isascii() and text.isprintable() and text.count("/") == 1 else None


def _digits(text: str | None) -> str:
    return text if text and text.isascii() and text.isdigit() else "0"
