"""Heads that real servers send and the grammar forbids: the same comes over each transport, and nothing is smuggled."""

import socket

import httpcore
import pytest
from wire import MakeRun, Server, request_of

from downloader.http.errors import HeaderFlood
from downloader.http.request_context import HEADER_LIMIT_BYTES, MAX_FIELDS, MAX_LINE_BYTES

BODY = b"body"
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 4\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"4\r\nbody\r\n0\r\n\r\n"


def outcome(make_run: MakeRun, sent: bytes, *, pieces: int = 1) -> tuple[int, bytes]:
    """Status and body of a response to each request, sent in so many pieces."""

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request_of(connection):
            size = -(-len(sent) // pieces)
            for start in range(0, len(sent), size):
                connection.sendall(sent[start : start + size])
            connection.shutdown(socket.SHUT_WR)

    run = make_run()
    with Server(talk) as server:
        try:
            return run.get(f"http://127.0.0.1:{server.port}/")
        finally:
            run.transport.close()


TOLERATED = {
    "space in the name": b"X Bad Header: 1\r\n",
    "slash in the name": b"cache/forum.php: x\r\n",
    "space before the colon": b"Server : x\r\n",
    "letters of UTF-8 in the name": b"X-\xc3\xbc: a\r\n",
    "no colon": b"nonsense\r\n",
    "no name": b": a\r\n",
    "form feed in the value": b"X-A: a\x0cb\r\n",
    "other controls in the value": b"X-A: a\x01\x1f\x7fb\r\n",
    "folded line": b"X-A: a\r\n b\r\n",
    "folded odd line": b"X A: a\r\n\tb\r\n c\r\n",
    "latin-1 in the value": b"X-A: \xe9\r\n",
    "line end without CR": b"X-A: a\n",
    "empty value": b"X-A:\r\n",
    "a status line again": b"HTTP/1.1 200 OK\r\n",
    "equal lengths": LENGTH,
    "equal lengths in one field": b"Content-Length: 4, 4\r\n",
    "no transfer coding": b"Transfer-Encoding: identity\r\n",
}


@pytest.mark.parametrize("line", TOLERATED.values(), ids=TOLERATED)
def test_odd_lines_are_left_out(make_run: MakeRun, line: bytes) -> None:
    """As curl and browsers do: the response counts, wherever the line stands and however it is cut."""
    for head, pieces in ((line + LENGTH, 1), (LENGTH + line, 7)):
        assert outcome(make_run, OK + head + b"\r\n" + BODY, pieces=pieces) == (200, BODY)


HEADS = {
    "fold before any field": OK + b" a\r\n" + LENGTH,
    "no reason phrase": b"HTTP/1.1 200\r\n" + LENGTH,
    "odd reason phrase": b"HTTP/1.1 200 \x0cO\x01K\xe9\r\n" + LENGTH,
    "two spaces": b"HTTP/1.1  200 OK\r\n" + LENGTH,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 4\n",
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX Y: a\r\n\r\n" + OK + LENGTH,
    "no length": OK,
    "a line of nearly 96 KiB": OK + LENGTH + b"X: " + b"a" * (MAX_LINE_BYTES - 100) + b"\r\n",
    "nearly 5,000 fields": OK + LENGTH + b"X: a\r\n" * (MAX_FIELDS - 1),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_heads_of_all_kinds(make_run: MakeRun, head: bytes) -> None:
    """Rare and sloppy heads that every client takes."""
    assert outcome(make_run, head + b"\r\n" + BODY) == (200, BODY)


CHUNKED_HEADS = {
    "length beside chunks": CHUNKED + b"Content-Length: 9\r\n",
    "length before chunks": b"Content-Length: 9\r\n" + CHUNKED,
    "chunked twice": CHUNKED * 2,
    "chunked twice in one field": b"Transfer-Encoding: chunked, Chunked\r\n",
    "identity and chunked": b"Transfer-Encoding: identity\r\n" + CHUNKED,
    "folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "an odd line": b"X Y: a\r\n" + CHUNKED,
}


@pytest.mark.parametrize("head", CHUNKED_HEADS.values(), ids=CHUNKED_HEADS)
def test_chunks_go_before_lengths(make_run: MakeRun, head: bytes) -> None:
    """RFC 9112, 6.3: Transfer-Encoding overrides Content-Length; saying so twice changes nothing."""
    assert outcome(make_run, OK + head + b"\r\n" + CHUNKS) == (200, BODY)


def test_a_connection_with_two_ways_of_framing_is_not_used_again(make_run: MakeRun) -> None:
    """RFC 9112, 6.1: somebody on the way may have read the other one."""

    def talk(connection: socket.socket) -> None:
        while request_of(connection):
            connection.sendall(OK + CHUNKED + b"Content-Length: 9\r\nConnection: keep-alive\r\n\r\n" + CHUNKS)

    run = make_run()
    with Server(talk) as server:
        for number in range(1, 4):
            assert run.get(f"http://127.0.0.1:{server.port}/") == (200, BODY)
            assert server.connections >= number
        assert server.open_connections() == 0
        run.transport.close()


@pytest.mark.parametrize("trailer", [b"X: a\r\n", b"X Y: a\r\n", b"X : a\r\n", b"nonsense\r\n", b"X-\xc3\xbc: a\r\n"])
@pytest.mark.parametrize("pieces", [1, 9])
def test_odd_trailers_are_left_out(make_run: MakeRun, trailer: bytes, pieces: int) -> None:
    """The body before them is complete."""
    sent = OK + CHUNKED + b"\r\n2\r\nbo\r\n2;a=b\r\ndy\r\n0\r\n" + trailer + b"\r\n"
    assert outcome(make_run, sent, pieces=pieces) == (200, BODY)


REFUSED = {
    "two lengths": LENGTH + b"Content-Length: 5\r\n",
    "two lengths beside chunks": LENGTH + b"Content-Length: 5\r\n" + CHUNKED,
    "two lengths in one field": b"Content-Length: 4, 5\r\n",
    "a negative length": b"Content-Length: -4\r\n",
    "a signed length": b"Content-Length: +4\r\n",
    "a length that is none": b"Content-Length: four\r\n",
    "space before the colon of a length": b"Content-Length : 4\r\n",
    "no-break space in a length's name": b"Content-Length\xa0: 4\r\n",
    "control character in a length's name": b"\x0bContent-Length: 4\r\n",
    "form feed in a length": b"Content-Length: 4\x0c\r\n",
    "space before the colon of a transfer coding": b"Transfer-Encoding : chunked\r\n",
    "a transfer coding without colon": b"Transfer-Encoding\r\n",
    "an unknown transfer coding": b"Transfer-Encoding: gzip, chunked\r\n",
    "chunks that are not the last coding": b"Transfer-Encoding: chunked, gzip\r\n",
    "a vertical tab before a transfer coding": b"Transfer-Encoding: \x0bchunked\r\n",
    "NUL in a value": LENGTH + b"X: a\0b\r\n",
    "NUL in a name": LENGTH + b"X\0: a\r\n",
    "bare CR in a value": LENGTH + b"X: a\rContent-Length: 1\r\n",
    "bare CR in a name": LENGTH + b"X\rY: a\r\n",
}


@pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED)
def test_framing_is_never_guessed(make_run: MakeRun, head: bytes) -> None:
    """Where another reading would give another body, the response is refused."""
    with pytest.raises(httpcore.RemoteProtocolError):
        outcome(make_run, OK + head + b"\r\n" + CHUNKS)


@pytest.mark.parametrize(
    "sent",
    [b"body", b"\r\n" + OK + LENGTH + b"\r\nbody", b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n",
     b"HTTP/1.1 OK\r\n\r\n",
     b"http/1.1 200 OK\r\n\r\n", b"ICY 200 OK\r\n\r\n", OK[:-2], OK + LENGTH + b"X: a"],
)  # fmt: skip
def test_what_is_no_head_is_refused(make_run: MakeRun, sent: bytes) -> None:
    """HTTP/0.9, other protocols, and heads that break off."""
    with pytest.raises(httpcore.RemoteProtocolError):
        outcome(make_run, sent)


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"X: " + b"a" * 100_000 + b"\r\n", "a header line of more than 96 KiB"),
        (b"X: a\r\n" * 5000, "more than 4,999 header fields"),
        (b"X Y: a\r\n" + b"X: a\r\n" * 4999, "more than 4,999 header fields"),
        (b"X: " + b"a" * HEADER_LIMIT_BYTES + b"\r\n", "headers of more than 256 KiB"),
        ((b"X: " + b"a" * 8000 + b"\r\n") * 40, "headers of more than 256 KiB"),
    ],
    ids=["long line", "many fields", "many odd fields", "endless line", "all together"],
)
def test_heads_have_limits(make_run: MakeRun, head: bytes, why: str) -> None:
    """About those of curl; the message says which."""
    with pytest.raises(HeaderFlood, match=why):
        outcome(make_run, OK + head + LENGTH + b"\r\n" + BODY)
