"""Response heads as curl and browsers read them, for httpcore: odd lines are left out before h11 sees them.

h11 refuses a whole response for one line that is not `name: value`. What decides where a body ends stays strict: a
Content-Length or Transfer-Encoding that is odd in any way, NUL and bare CR are left for h11 to refuse.
"""

import re
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from downloader.http.headers import TOKEN, content_length
from downloader.http.request_context import check_head

_START = b"HTTP/"
_END = re.compile(rb"\n\r?\n")
"""The end of a head, as h11 finds it."""
_STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9])[ \t]+([0-9]{3})(?:[ \t].*)?")
_FIELD = re.compile(rb"(" + TOKEN.encode() + rb"):[ \t]*(.*?)[ \t]*", re.DOTALL)
_PAGING = re.compile(rb"[\x0b\x0c]")
"""Vertical tab and form feed, the only control characters that h11 takes for white space, and refuses."""
_FRAMING = (b"content-length", b"transfer-encoding")
_BEFORE_FRAMING = re.compile(rb"[^!-~]+")
_INTERIM = re.compile(rb"HTTP/1\.[0-9][ \t]+1(?!01)[0-9][0-9]")
"""A response before the final one; 101 is final, since another protocol follows."""


class LenientBackend(httpcore.NetworkBackend):
    """Opens connections whose response heads are made regular."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> "LenientStream":
        """As the backend connects."""
        return LenientStream(self._backend.connect_tcp(host, port, timeout, local_address, socket_options))


class LenientStream(httpcore.NetworkStream):
    """A connection whose response heads are read whole, and made regular. What is no HTTP/1 passes as it is (SOCKS)."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._in_head = False
        self._received = bytearray()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has been received; of a head, all of it."""
        while self._in_head:
            if self._received and not _START.startswith(self._received[: len(_START)]):
                self._in_head = False
            elif end := _END.search(self._received):
                return self._head_until(end.start(), end.end())
            elif data := self._stream.read(max_bytes, timeout):
                self._received += data
            else:
                self._in_head = False
        if self._received:
            return self._taken()
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it; a response is expected then."""
        self._stream.write(buffer, timeout)
        self._in_head = True

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "LenientStream":
        """The same connection with TLS."""
        return LenientStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        """As the stream tells it."""
        return self._stream.get_extra_info(info)

    def _head_until(self, at: int, stop: int) -> bytes:
        """The head that ends at a place in what was received, and what follows it, unless that is another head."""
        head = regular_head(bytes(self._received[:at]))
        del self._received[:stop]
        self._in_head = bool(_INTERIM.match(head))
        return head if self._in_head else head + self._taken()

    def _taken(self) -> bytes:
        taken, self._received = bytes(self._received), bytearray()
        return taken


def regular_head(head: bytes) -> bytes:
    """A head (without the empty line at its end) as h11 takes it, with that line.

    Lines that are no fields are left out, with the lines that continue them; form feeds and vertical tabs in values
    become spaces; a reason phrase is dropped. Raises HeaderFlood if there are too many fields, or one is too long.
    """
    first, *lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
    check_head(lines)
    status = _STATUS_LINE.fullmatch(first)
    fields = _framed(_fields(lines))
    return b"\r\n".join([b" ".join(status.groups()) if status else first, *fields, b"", b""])


def _fields(lines: list[bytes]) -> list[bytes]:
    """The field lines, one for each field, without those that are odd."""
    fields: list[bytes] = []
    is_kept = False
    for line in lines:
        if line.startswith((b" ", b"\t")):
            if is_kept:
                fields[-1] += b" " + line.strip(b" \t")
            continue
        kept = _regular(line)
        is_kept = kept is not None
        if kept is not None:
            fields.append(kept)
    return [field if _is_framing(field) else _PAGING.sub(b" ", field) for field in fields]


def _regular(line: bytes) -> bytes | None:
    """A line to pass on; None for one that is left out."""
    if _FIELD.fullmatch(line) or _is_framing(line) or b"\0" in line or b"\r" in line:
        return line
    return None


def _is_framing(line: bytes) -> bool:
    """Whether a line may be about where the body ends, however oddly it is written."""
    return _BEFORE_FRAMING.sub(b"", line[:100]).lower().startswith(_FRAMING)


def _framed(fields: list[bytes]) -> list[bytes]:
    """The fields with one way of framing: a transfer coding overrides a length (RFC 9112, 6.3), and `identity` is none.

    The connection is not used again where both were sent, since somebody on the way may have read them otherwise.
    """
    named = [match for field in fields if (match := _FIELD.fullmatch(field))]
    codings = [match[2] for match in named if match[1].lower() == b"transfer-encoding"]
    if not codings:
        return fields
    names = {name for value in codings for part in value.split(b",") if (name := part.strip(b" \t").lower())}
    names -= {b"identity"}
    lengths = [match[2] for match in named if match[1].lower() == b"content-length"]
    if len(codings) == 1 and codings[0].lower() == b"chunked" and not lengths:
        return fields  # nearly always
    if names - {b"chunked"} or (lengths and not isinstance(content_length(lengths), int)):
        return fields  # refused by h11
    dropped = (b"transfer-encoding:", b"content-length:") if names else (b"transfer-encoding:",)
    kept = [field for field in fields if not field.lower().startswith(dropped)]
    closing = [b"Connection: close"] if lengths else []
    return [*kept, *([b"Transfer-Encoding: chunked"] if names else []), *closing]
