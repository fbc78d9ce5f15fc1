"""What can go wrong with one attempt, as our kinds of failure."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore
import httpx  # noqa: TID251 - with client.py the home of HTTP

from downloader.download import coding
from downloader.download.dns import ResolveProblem
from downloader.download.net import Aborted, Blocked, HeaderFlood, Overdue
from downloader.model.failures import FailureKind


class Interrupted(Exception):
    """The run stops now; the item stays as it was."""


class Problem(Exception):
    """One attempt did not work out.

    `retry_after_s` is what the server asked for; `final` says that another attempt of this run will not help.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        http_status: int | None = None,
        *,
        retry_after_s: float | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        self.final = final


@contextmanager
def translated(deadline_s: float) -> Iterator[None]:
    """Lease what the network code raises into `Problem`, or `Interrupted`."""
    try:
        yield
    except (Problem, Interrupted):
        raise
    except Aborted:
        raise Interrupted from None
    except Exception as cause:
        problem = _problem(cause, deadline_s)
        if problem is None:
            raise
        raise problem from cause


def _problem(  # noqa: C901 - a table: one exception, one meaning
    cause: Exception, deadline_s: float
) -> Problem | None:
    """What an exception means; None for what is no matter of this item."""
    match cause:
        case Overdue():
            return Problem(FailureKind.DEADLINE, f"not done within {deadline_s:g} s; --deadline allows more")
        case Blocked():
            return Problem(FailureKind.BLOCKED, str(cause))
        case ResolveProblem():
            return Problem(FailureKind.DNS, cause.message, final=not cause.passing)
        case HeaderFlood():
            return Problem(FailureKind.PROTOCOL, "the server sends headers without end", final=True)
        case httpcore.ConnectTimeout() | httpcore.PoolTimeout():
            return Problem(FailureKind.TIMEOUT, "time-out while connecting; --timeout allows more")
        case httpcore.TimeoutException():
            return Problem(FailureKind.TIMEOUT, "time-out while waiting for data; --timeout allows more")
        case httpcore.ConnectError():
            return _connect_problem(cause)
        case httpcore.ProxyError():
            return Problem(FailureKind.CONNECT, "the proxy refused the connection")
        case httpcore.NetworkError():
            return Problem(FailureKind.PROTOCOL, "the server broke the connection off")
        case httpcore.RemoteProtocolError():
            return _protocol_problem(str(cause))
    return _body_problem(cause)


def _body_problem(cause: Exception) -> Problem | None:
    match cause:
        case coding.UnknownCoding():
            message = f"the server sent a {cause} although it was asked for none"
            return Problem(FailureKind.CONTENT_ENCODING, message)
        case coding.TooMuch():
            return Problem(FailureKind.TOO_LARGE, "larger than --max-size when decompressed")
        case coding.Bomb():
            return Problem(FailureKind.CONTENT_ENCODING, f"a decompression bomb: it {cause}")
        case coding.CutShort():
            return Problem(FailureKind.TRUNCATED, "the compressed body ended before its end")
        case coding.Corrupt():
            return Problem(FailureKind.CONTENT_ENCODING, "the compressed body cannot be decompressed")
        case httpcore.LocalProtocolError() | httpcore.UnsupportedProtocol() | httpx.InvalidURL() | UnicodeError():
            return Problem(FailureKind.INVALID_URL, "the URL cannot be requested")
        case httpx.HTTPError():
            return Problem(FailureKind.PROTOCOL, f"the request failed: {type(cause).__name__}")
    return None


def _protocol_problem(text: str) -> Problem:
    """h11 tells its complaints apart by their texts only."""
    if "without sending complete message body" in text or "incomplete chunked read" in text:
        return Problem(FailureKind.TRUNCATED, "the body ended before its announced length")
    if "without sending a response" in text:
        return Problem(FailureKind.PROTOCOL, "the server closed the connection without an answer")
    return Problem(FailureKind.PROTOCOL, "the server does not speak proper HTTP")


def _connect_problem(problem: httpcore.ConnectError) -> Problem:
    """TLS and the connection itself are one exception to httpcore; its causes tell them apart."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Problem(FailureKind.TLS, f"the certificate is not trusted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            return Problem(FailureKind.TLS, "no secure connection could be agreed on")
        if isinstance(cause, OSError) and cause.errno is not None:
            return Problem(FailureKind.CONNECT, f"cannot connect: {os.strerror(cause.errno)}")
        cause = cause.__cause__ or cause.__context__
    return Problem(FailureKind.CONNECT, "cannot connect")
