"""Network exceptions as failure kinds."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore
import httpx

from downloader.http import coding
from downloader.http.errors import (
    AddressBlocked,
    DeadlineExceeded,
    FetchError,
    HeaderFlood,
    Interrupted,
    ResolveError,
    causes,
)
from downloader.http.tls_errors import tls_error
from downloader.model.failures import FailureKind


@contextmanager
def translated(deadline_s: float) -> Iterator[None]:
    """Turn exceptions of the network code into `FetchError`; those that are not about a request pass.

    Args:
        deadline_s: the setting, for the message.
    """
    try:
        yield
    except (FetchError, Interrupted):
        raise
    except Exception as cause:
        error = _translate(cause, deadline_s)
        if error is None:
            raise
        raise error from cause


def _translate(  # noqa: C901, PLR0912 - a table: one exception, one meaning
    cause: Exception, deadline_s: float
) -> FetchError | None:
    """What an exception means; None if it is not about a request."""
    match cause:
        case DeadlineExceeded():
            return FetchError(FailureKind.DEADLINE, f"not done within {deadline_s:g} s; --deadline allows more")
        case AddressBlocked():
            return FetchError(FailureKind.BLOCKED, str(cause))
        case ResolveError():
            return FetchError(FailureKind.DNS, cause.message, final=not cause.transient)
        case HeaderFlood():
            return FetchError(FailureKind.PROTOCOL, f"the server {cause}, which is refused", final=True)
        case httpcore.ConnectTimeout() | httpcore.PoolTimeout():
            return FetchError(FailureKind.TIMEOUT, "timeout while connecting; --timeout allows more")
        case httpcore.TimeoutException():
            return FetchError(FailureKind.TIMEOUT, "timeout while waiting for data; --timeout allows more")
        case httpcore.ConnectError():
            return _connect_error(cause)
        case httpcore.ProxyError():
            return FetchError(FailureKind.CONNECT, "the proxy refused the connection")
        case httpcore.NetworkError():
            return _network_error(cause)
        case httpcore.RemoteProtocolError():
            return _protocol_error(str(cause))
        case coding.CodingError():
            return _coding_error(cause)
        case httpcore.LocalProtocolError() | httpcore.UnsupportedProtocol() | httpx.InvalidURL() | UnicodeError():
            return FetchError(FailureKind.INVALID_URL, "the URL cannot be requested")
        case httpx.HTTPError():
            return FetchError(FailureKind.PROTOCOL, f"the request failed: {type(cause).__name__}")
    return None


def _coding_error(cause: coding.CodingError) -> FetchError:
    match cause:
        case coding.UnknownCoding():
            message = f"the server sent a {cause} although it was asked for none"
            return FetchError(FailureKind.CONTENT_ENCODING, message)
        case coding.LimitExceeded():
            return FetchError(FailureKind.TOO_LARGE, "larger than --max-size when decompressed")
        case coding.DecompressionBomb():
            return FetchError(FailureKind.CONTENT_ENCODING, f"a decompression bomb: it {cause}")
        case coding.TruncatedStream():
            return FetchError(FailureKind.TRUNCATED, "the compressed body ended before its end")
    return FetchError(FailureKind.CONTENT_ENCODING, "the compressed body cannot be decompressed")


def _protocol_error(text: str) -> FetchError:
    """h11 distinguishes its complaints by their texts only."""
    if "without sending complete message body" in text or "incomplete chunked read" in text:
        return FetchError(FailureKind.TRUNCATED, "the body ended before its announced length")
    if "without sending a response" in text:
        return FetchError(FailureKind.PROTOCOL, "the server closed the connection without an answer")
    return FetchError(FailureKind.PROTOCOL, "the server does not speak proper HTTP")


def _connect_error(error: httpcore.ConnectError) -> FetchError:
    """To httpcore, a failure of TLS and of the connection itself are one exception; its causes tell them apart."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError):
            return tls_error(cause)
        if isinstance(cause, OSError) and cause.errno is not None:
            return FetchError(FailureKind.CONNECT, f"cannot connect: {os.strerror(cause.errno)}")
    return FetchError(FailureKind.CONNECT, "cannot connect")


def _network_error(error: httpcore.NetworkError) -> FetchError:
    """With TLS 1.3, what a server thinks of our certificate comes after the handshake."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return tls_error(cause)
    return FetchError(FailureKind.PROTOCOL, "the server broke the connection off")
