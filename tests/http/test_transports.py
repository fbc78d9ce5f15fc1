"""Which transport is used, and that both agree on every response."""

import contextlib
import itertools
import socket
import sys
from typing import Any, Literal, Self

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.config.settings import DownloadOptions
from downloader.http.abort import AbortSignal
from downloader.http.connection import Connector, OriginKey
from downloader.http.errors import FetchError
from downloader.http.httpcore_transport import HttpcoreTransport
from downloader.http.httptools_transport import HttptoolsTransport
from downloader.http.proxies import Proxies
from downloader.http.request_context import RequestContext
from downloader.http.resolver import Resolver
from downloader.http.session import Session
from downloader.http.stream import Stream
from downloader.http.tls import ssl_context
from downloader.http.translation import translated
from downloader.model.failures import FailureKind

URL = "http://a.test/x.jpg"
TIMEOUTS = {"timeout": dict.fromkeys(("connect", "read", "write"), 5.0)}


class Scripted(Connector):
    """Every connection brings the same pieces, each by a read of its own, and then ends; sockets are real ones."""

    def __init__(self, pieces: list[bytes], context: RequestContext) -> None:
        super().__init__(Resolver(), context, deny_private=False)
        self._pieces = pieces
        self._request_context = context
        self._theirs: list[socket.socket] = []

    def connect_tcp(self, *_: Any, **__: Any) -> Stream:
        # Unlike TCP, this keeps pieces apart.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for piece in self._pieces:
            theirs.sendall(piece)
        theirs.shutdown(socket.SHUT_WR)
        self._theirs.append(theirs)
        stream = Stream(ours, self._request_context)
        self.opened.append(stream)
        return stream

    def close(self) -> None:
        for theirs in self._theirs:
            theirs.close()


class Both:
    """Both transports, before the same server."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.refused: set[OriginKey] = set()
        context = RequestContext(abort=AbortSignal())
        self.server = Scripted(pieces, context)
        tls = ssl_context(DownloadOptions(insecure=True))
        proxies = Proxies(DownloadOptions(proxy=None))
        self._httpcore = HttpcoreTransport(tls, self.server, context, proxies)
        fallback = HttpcoreTransport(tls, self.server, context, proxies)
        self._httptools = HttptoolsTransport(tls, self.server, context, fallback, self.refused)

    def httpcore(self) -> Any:
        return _outcome(self._httpcore)

    def httptools(self) -> Any:
        return _outcome(self._httptools)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._httpcore.close()
        self._httptools.close()
        self.server.close()


def _outcome(transport: httpx.BaseTransport) -> Any:
    """Status, headers and body of an answer, or the failure that the client would make of it."""
    try:
        with translated(5.0):
            request = httpx.Request("GET", URL, extensions=TIMEOUTS)
            with contextlib.closing(transport.handle_request(request)) as response:
                return response.status_code, _as_h11_has_them(response.headers.raw), b"".join(response.iter_raw())
    except FetchError as error:
        return error.kind, error.message


def _as_h11_has_them(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """h11 writes transfer codings in small letters."""
    return [(name, value.lower() if name.lower() == b"transfer-encoding" else value) for name, value in headers]


# --- whatever a server sends ---

keeps_pieces_apart = pytest.mark.skipif(sys.platform != "linux", reason="needs sockets that keep pieces apart")

NAMES = st.sampled_from([b"X-A", b"etag", b"Content-Type", b"Set-Cookie"])
VALUES = st.binary(max_size=12).map(lambda value: bytes(byte for byte in value if byte > 0x20 and byte != 0x7F))
BODIES = st.binary(max_size=600)


def _chunked(body: bytes, sizes: list[int], *, extension: bytes, trailer: bytes) -> bytes:
    coded, at = b"", 0
    for size in sizes:
        if piece := body[at : at + size]:
            coded += b"%x%s\r\n%s\r\n" % (len(piece), extension, piece)
        at += size
    if rest := body[at:]:
        coded += b"%X\r\n%s\r\n" % (len(rest), rest)
    return coded + b"0\r\n" + trailer + b"\r\n"


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, int, bytes]:
    """A proper response, its status and its body."""
    body = draw(BODIES)
    status = draw(st.sampled_from([200, 206, 204, 301, 304, 404, 503]))
    paddings = st.sampled_from([b"", b" ", b"\t "])
    padded = st.tuples(VALUES, paddings).map(b"".join)
    fields = draw(st.lists(st.tuples(NAMES, padded), max_size=4))
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    if status in {204, 304}:
        body, framing = b"", "none"
    if framing == "length":
        fields.append((b"Content-Length", b"%d" % len(body)))
        sent = body
    elif framing == "chunked":
        fields.append((b"Transfer-Encoding", draw(st.sampled_from([b"chunked", b"Chunked"]))))
        sizes = draw(st.lists(st.integers(1, 200), max_size=4))
        extension = draw(st.sampled_from([b"", b";a=b", b"  "]))
        sent = _chunked(body, sizes, extension=extension, trailer=draw(st.sampled_from([b"", b"X-T: t\r\n"])))
    else:
        sent = body
    version = b"1.0" if framing == "close" and draw(st.booleans()) else b"1.1"
    if draw(st.booleans()):
        fields.append((b"Connection", draw(st.sampled_from([b"close", b"keep-alive"]))))
    head = b"HTTP/%s %d Some Reason\r\n" % (version, status)
    head += b"".join(b"%s: %s\r\n" % field for field in fields)
    return head + b"\r\n" + sent, status, body


def split_at(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, none of them empty."""
    edges = sorted({place % (len(data) or 1) for place in places} | {0, len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


PLACES = st.lists(st.integers(0, 10_000), max_size=30)


@keeps_pieces_apart
@settings(deadline=None)
@given(responses(), PLACES)
def test_a_response_is_the_same_however_it_is_split(response: tuple[bytes, int, bytes], places: list[int]) -> None:
    """Head and body do not depend on where the network cuts them, nor on the transport; llhttp reads them itself."""
    sent, status, body = response
    with Both(split_at(sent, places)) as both, Both([sent]) as whole:
        found = both.httptools()
        assert not both.refused
        assert (found[0], found[2]) == (status, body)
        assert found == whole.httptools() == both.httpcore() == whole.httpcore()


CUTS = st.tuples(st.integers(0, 10_000), st.integers(0, 3), st.binary(max_size=3) | st.sampled_from([b"\r\n", b"0"]))
FRAMING = st.sampled_from(
    [
        b"Content-Length: 3\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length: +3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\t\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Connection: close\r\n",
        b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        b"X: a\r\n b\r\n",
        b"X: \x01\r\n",
        b"X : a\r\n",
        b"X\r\n",
        b"X Y: a\r\n b\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length : 3\r\n",
        b"Content-Length\r\n",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    ]
)
INTERIM = st.sampled_from(
    [
        b"",
        b"",
        b"\r\n",
        b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n",
        b"HTTP/1.1 101 Other\r\n\r\n",
        b"HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ]
)


@keeps_pieces_apart
@settings(deadline=None)
@given(responses(), st.lists(FRAMING, max_size=2), INTERIM, st.lists(CUTS, max_size=4), PLACES)
def test_nothing_passes_that_httpcore_refuses(
    response: tuple[bytes, int, bytes],
    framing: list[bytes],
    interim: bytes,
    cuts: list[tuple[int, int, bytes]],
    places: list[int],
) -> None:
    """Broken answers end as they do with httpcore; at the latest when asked for again, as a body's failure would be."""
    start, _, rest = response[0].partition(b"\r\n")
    sent = interim + start + b"\r\n" + b"".join(framing) + rest
    for place, width, other in cuts:
        at = place % (len(sent) + 1)
        sent = sent[:at] + other + sent[at + width :]
    with Both(split_at(sent, places) if sent else []) as both:
        expected = both.httpcore()
        found = both.httptools()
        assert found == expected or (both.refused and both.httptools() == expected)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@keeps_pieces_apart
@pytest.mark.parametrize(
    ("pieces", "left", "came"),
    [
        ([OK + b"Content-Length: 5\r\n\r\n", b"abc"], False, FailureKind.TRUNCATED),
        ([CHUNKED, b"3\r\nabc\r\n"], False, FailureKind.TRUNCATED),
        ([CHUNKED, b"3\r\nabc\r\n", b"0\r\n"], False, FailureKind.TRUNCATED),
        ([CHUNKED, b"3\r\nabc\r\n", b"1"], False, FailureKind.TRUNCATED),
        ([OK[:-2]], False, FailureKind.PROTOCOL),
        ([CHUNKED, b"ZZ\r\nabc\r\n"], True, FailureKind.PROTOCOL),
        ([OK + b"Transfer-Encoding: gzip\r\n\r\n", b"abc"], True, FailureKind.PROTOCOL),
        ([OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", b"0\r\n\r\n"], True, FailureKind.PROTOCOL),
        ([OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", b"abcdef"], True, FailureKind.PROTOCOL),
        ([CHUNKED.replace(b"1.1", b"1.0"), b"3\r\nabc\r\n0\r\n\r\n"], True, b"abc"),
        ([CHUNKED.replace(b"\n\r", b"\nContent-Length: 9\r\n\r"), b"3\r\nabc\r\n0\r\n\r\n"], True, b"abc"),
        ([CHUNKED, b'3;a b="c d"\r\nabc\r\n0\r\n\r\n'], True, b"abc"),
    ],
)
def test_rare_and_broken_forms(pieces: list[bytes], left: bool, came: object) -> None:
    """What llhttp refuses in a head is asked of httpcore at once, what it refuses in a body with the next attempt."""
    with Both(pieces) as both:
        first = both.httptools()
        assert bool(both.refused) == left
        assert came in both.httpcore()
        assert both.httptools() == both.httpcore()
        assert first == both.httpcore() or first[0] is FailureKind.PROTOCOL


@keeps_pieces_apart
@pytest.mark.parametrize(
    "endless",
    [b"0\r\n" + b"X-A: b\r\n" * 40_000, b"0\r\nX-A: " + b"b" * 300_000, b"5;" + b"a" * 300_000],
    ids=["trailers", "one trailer", "chunk extension"],
)
def test_what_surrounds_chunks_is_bounded(endless: bytes) -> None:
    """What is no body and has no end is given up on soon, as endless headers are."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    pieces = [head, *(endless[at : at + 20_000] for at in range(0, len(endless), 20_000))]
    with Both(pieces[:10]) as both:
        assert both.httptools() == both.httpcore() == (FailureKind.PROTOCOL, "the server does not speak proper HTTP")


# --- which one ---


@pytest.mark.parametrize(
    ("transport", "used"), [("auto", "httptools"), ("httptools", "httptools"), ("httpcore", "httpcore")]
)
def test_the_setting_decides(transport: Literal["auto", "httpcore", "httptools"], used: str) -> None:
    """`auto` is httptools; a run reports what it uses."""
    assert Session(DownloadOptions(transport=transport)).transport_name == used
