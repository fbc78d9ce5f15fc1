"""Responses of real servers that are good although they are odd, through a whole fetch, over each transport."""

import contextlib
import gzip
import hashlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wire import Server, Talk, request_of

from downloader.config.settings import DownloadOptions
from downloader.download.fetch_task import FetchTask, Reschedule
from downloader.download.fetcher import AttemptResult, Fetcher
from downloader.http.session import Session
from downloader.model.failures import FailureKind
from downloader.model.items import Failed, Fetched, Item, OutputName, Request, Url

BODY = b"body"
TAR = gzip.compress(b"tar" * 500, mtime=0)
Fetch = Callable[..., AttemptResult]


@pytest.fixture(params=["httpcore", "httptools"])
def fetch(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Fetches a URL with all its attempts, without proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def fetched(
        url: str, *, keeps_archives: bool = False, checksum: str | None = None, **options: Any
    ) -> AttemptResult:
        settings = DownloadOptions(**{"retries": 0, "transport": request.param, **options})
        session = Session(settings)
        fetcher = Fetcher(
            settings, session, None, str(tmp_path), lambda _: None, lambda: 0.0, keeps_archives=keeps_archives
        )
        row = Request(checksum=checksum) if checksum else None
        name = OutputName(stem="a", extension=None)
        tasks = [FetchTask(item=Item(id=1, key="k", source=url, what=Url(url), name=name, request=row))]
        result: AttemptResult = None
        with contextlib.closing(fetcher):
            while tasks:
                result = fetcher.attempt(tasks.pop(0))
                if isinstance(result, Reschedule):
                    tasks.extend(result.tasks)
        return result

    return fetched


def response(body: bytes = BODY, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields, b"", b""]
    return b"\r\n".join(head) + body


def redirect(location: bytes, *fields: bytes) -> bytes:
    return response(b"", b"Location: " + location, *fields, status=b"302 Found")


class Site:
    """Responses by path, and the heads of the requests."""

    def __init__(self, **by_path: bytes) -> None:
        self.heads: list[bytes] = []
        self.by_path = {f"/{path}".encode(): sent for path, sent in by_path.items()}

    def talk(self, connection: socket.socket) -> None:
        while head := request_of(connection):
            self.heads.append(head)
            connection.sendall(self.by_path.get(head.split(b" ")[1], response()))

    def paths(self) -> list[bytes]:
        return [head.split(b" ")[1] for head in self.heads]


def body_of(result: AttemptResult) -> bytes:
    assert isinstance(result, Fetched), result
    return Path(result.path).read_bytes()


# --- URLs and redirects ---


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        (b"/my image.jpg?a b", b"/my%20image.jpg?a%20b"),
        ("/a\u00a0b\u200c.jpg".encode(), b"/a%C2%A0b%E2%80%8C.jpg"),
        (b"/na\xefve.jpg", b"/na%EFve.jpg"),
        (b"\\up\\a.jpg", b"/up/a.jpg"),
        (b"/%7ea%2f.jpg", b"/%7ea%2f.jpg"),
        (b"/100%.jpg", b"/100%.jpg"),
        (b"next.jpg#part", b"/next.jpg"),
    ],
)
def test_locations_as_browsers_read_them(fetch: Fetch, location: bytes, asked: bytes) -> None:
    """White space, invisible letters, bytes of another charset, backslashes."""
    site = Site(start=redirect(location))
    with Server(site.talk) as server:
        assert body_of(fetch(f"http://127.0.0.1:{server.port}/start")) == BODY
    assert site.paths()[-1] == asked


def test_listed_urls_as_browsers_read_them(fetch: Fetch) -> None:
    """The same for the URL of a row, also for bytes that could not be decoded."""
    site = Site()
    with Server(site.talk) as server:
        result = fetch(f" http://127.0.0.1:{server.port}\\a b\u00ad\udce9.jpg\t")
    assert body_of(result) == BODY
    assert site.paths() == [b"/a%20b%C2%AD%E9.jpg"]


def test_equal_locations_are_one(fetch: Fetch) -> None:
    """A field may be sent twice; two targets are refused."""
    site = Site(start=redirect(b"/a", b"Location: /a"), two=redirect(b"/a", b"Location: /b"))
    with Server(site.talk) as server:
        assert body_of(fetch(f"http://127.0.0.1:{server.port}/start")) == BODY
        refused = fetch(f"http://127.0.0.1:{server.port}/two")
    assert isinstance(refused, Failed)
    assert (refused.kind, refused.message) == (FailureKind.REDIRECT, "redirected to several places at once")


def test_a_redirect_to_itself_once(fetch: Fetch) -> None:
    """Some servers do so until they are ready; one that goes on is a circle."""
    once = [redirect(b"/a"), response()]

    def talk(connection: socket.socket) -> None:
        while request_of(connection):
            connection.sendall(once.pop(0) if len(once) > 1 else once[0])

    with Server(talk) as server:
        assert body_of(fetch(f"http://127.0.0.1:{server.port}/a")) == BODY
        once[:] = [redirect(b"/a")]
        refused = fetch(f"http://127.0.0.1:{server.port}/a")
    assert isinstance(refused, Failed)
    assert (refused.kind, refused.message) == (FailureKind.REDIRECT, "redirected in a circle")


# --- cookies ---


def wall(connection: socket.socket) -> None:
    """Sets a cookie by a redirect to the same URL, and wants it back."""
    while head := request_of(connection):
        has_cookie = re.search(rb"\r\nCookie: [^\r]*\bk=1\b", head)
        connection.sendall(response() if has_cookie else redirect(b"/a.jpg", b"Set-Cookie: k=1; Path=/; HttpOnly"))


@pytest.mark.parametrize("headers", [(), ("Cookie: mine=2",)])
def test_a_cookie_set_by_a_redirect_is_sent_back(fetch: Fetch, headers: tuple[str, ...]) -> None:
    """Within the chain, beside the user's; the next item begins without it."""
    with Server(wall) as server:
        assert body_of(fetch(f"http://127.0.0.1:{server.port}/a.jpg", header=headers)) == BODY
        refused = fetch(f"http://127.0.0.1:{server.port}/a.jpg", max_redirects=0)
    assert isinstance(refused, Failed)


def test_cookies_stay_with_their_host(fetch: Fetch) -> None:
    """A redirect elsewhere takes neither the chain's cookies nor the user's along."""
    other = Site()
    with Server(other.talk) as second:
        site = Site(a=redirect(b"http://localhost:%d/b" % second.port, b"Set-Cookie: k=1; Path=/"))
        with Server(site.talk) as first:
            assert body_of(fetch(f"http://127.0.0.1:{first.port}/a", header=("Cookie: mine=2", "X-Key: 3"))) == BODY
    assert b"mine=2" in site.heads[0]
    assert b"ookie" not in other.heads[0]
    assert b"X-Key" not in other.heads[0]


def test_a_loop_that_sets_cookies_says_so(fetch: Fetch) -> None:
    """It ends at --max-redirects."""
    site = Site(a=redirect(b"/a", b"Set-Cookie: k=1"))
    with Server(site.talk) as server:
        refused = fetch(f"http://127.0.0.1:{server.port}/a", max_redirects=3)
    assert isinstance(refused, Failed)
    assert "redirected more than 3 times" in refused.message
    assert "cookies" in refused.message
    assert len(site.heads) == 4


# --- bodies ---


@pytest.mark.parametrize("coding", [b"UTF-8", b"none", b"aws-chunked", b"image/jpeg", b"identity, binary"])
def test_what_names_no_coding_changes_nothing(fetch: Fetch, coding: bytes) -> None:
    """The body is as it is, and has its length."""
    with Server(Site(a=response(BODY, b"Content-Encoding: " + coding)).talk) as server:
        assert body_of(fetch(f"http://127.0.0.1:{server.port}/a")) == BODY


def test_codings_beside_others_are_decoded(fetch: Fetch) -> None:
    """aws-chunked is none, gzip is one; several members and a tail are one body."""
    sent = gzip.compress(b"bo") + gzip.compress(b"dy") + b"\0" * 10
    with Server(Site(a=response(sent, b"Content-Encoding: aws-chunked,gzip")).talk) as server:
        assert body_of(fetch(f"http://127.0.0.1:{server.port}/a")) == BODY


def test_a_coding_that_cannot_be_decoded_is_named(fetch: Fetch) -> None:
    """It would be a wrong body."""
    with Server(Site(a=response(BODY, b"Content-Encoding: compress")).talk) as server:
        refused = fetch(f"http://127.0.0.1:{server.port}/a")
    assert isinstance(refused, Failed)
    assert refused.kind is FailureKind.CONTENT_ENCODING


@pytest.mark.parametrize(
    ("path", "coding", "fields"),
    [
        ("data.tar.gz", b"x-gzip", ()),
        ("data.TGZ", b"gzip", ()),
        ("data.svgz", b"gzip", ()),
        ("data.tar.bz2", b"x-bzip2", ()),
        ("data.tar.zst", b"zstd", ()),
        ("data.Z", b"x-compress", ()),
        ("download", b"gzip", (b"Content-Type: application/x-gzip",)),
        ("download", b"gzip", (b'Content-Disposition: attachment; filename="data.tar.gz"',)),
    ],
)
def test_archives_are_kept_as_served(fetch: Fetch, path: str, coding: bytes, fields: tuple[bytes, ...]) -> None:
    """Their checksums are of the bytes as served; without `keeps_archives` they are decoded like all others."""
    sent = response(TAR, b"Content-Encoding: " + coding, b'ETag: "a"', *fields)
    with Server(Site(**{path: sent}).talk) as server:
        url = f"http://127.0.0.1:{server.port}/{path}"
        result = fetch(url, keeps_archives=True, checksum=f"sha256:{hashlib.sha256(TAR).hexdigest()}")
        assert body_of(result) == TAR
        decoded = fetch(url)
    assert isinstance(decoded, Failed) or body_of(decoded) == b"tar" * 500


def test_other_files_lose_their_coding(fetch: Fetch) -> None:
    """A server that compresses on the way changes nothing."""
    with Server(Site(**{"data.tar": response(TAR, b"Content-Encoding: gzip")}).talk) as server:
        assert body_of(fetch(f"http://127.0.0.1:{server.port}/data.tar", keeps_archives=True)) == b"tar" * 500


@pytest.mark.parametrize(
    ("content_range", "is_whole"),
    [
        (b"bytes 0-3/4", True),
        (b"bytes=0-3/4", True),
        (b"bytes 0-3/5", False),
        (b"bytes 1-4/5", False),
        (b"bytes 0-3/*", False),
    ],
)
def test_a_206_that_has_all_of_it(fetch: Fetch, content_range: bytes, is_whole: bool) -> None:
    """Nobody asked for a range, but the whole one is all the same."""
    sent = response(BODY, b"Content-Range: " + content_range, status=b"206 Partial Content")
    with Server(Site(a=sent).talk) as server:
        result = fetch(f"http://127.0.0.1:{server.port}/a")
    assert isinstance(result, Fetched) is is_whole


# --- TLS ---


def test_a_handshake_that_is_hung_up_on_is_tried_again(fetch: Fetch, certificate: tuple[str, str]) -> None:
    """A balancer that is full hangs up; the second attempt succeeds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    first = threading.Semaphore(1)

    def talk(connection: socket.socket) -> None:
        if first.acquire(blocking=False):
            connection.recv(5000)
            return
        with context.wrap_socket(connection, server_side=True) as secure:
            answering(secure)

    answering: Talk = Site().talk
    with Server(talk) as server:
        result = fetch(f"https://127.0.0.1:{server.port}/", insecure=True, retries=1)
        assert body_of(result) == BODY
        assert isinstance(result, Fetched)
        assert result.attempts == 2
