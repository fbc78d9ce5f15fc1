"""Attempts against real servers: what comes of them, and the phases they record."""

import contextlib
import hashlib
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wire import Server, Talk, request_of, silent

from downloader.config.settings import DownloadOptions
from downloader.download.fetch_task import FetchTask, Reschedule
from downloader.download.fetcher import AttemptResult, Fetcher
from downloader.http.request_context import MAX_SPANS
from downloader.http.session import Session
from downloader.model.failures import FailureKind, SkipReason
from downloader.model.items import Failed, Fetched, Item, OutputName, Partial, Request, Skipped, Url

MakeFetcher = Callable[..., Fetcher]
LARGE = random.Random(0).randbytes(9 * 1024**2)


@pytest.fixture
def make_fetcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeFetcher]:
    """Makes fetchers that stage in the test's folder, without proxies; closed in the end."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with contextlib.ExitStack() as made:
        saved: list[Partial] = []

        def make(**options: Any) -> Fetcher:
            settings = DownloadOptions(**options)
            fetcher = Fetcher(settings, Session(settings), None, str(tmp_path), saved.append, lambda: 0.0)
            made.callback(fetcher.close)
            return fetcher

        yield make


def a_task(url: str, *mirrors: str) -> FetchTask:
    request = Request(mirrors=mirrors) if mirrors else None
    name = OutputName(stem="a", extension=None)
    return FetchTask(item=Item(id=1, key="k", source=url, what=Url(url), name=name, request=request))


def fetched(fetcher: Fetcher, task: FetchTask) -> AttemptResult:
    """The result of an item after all its attempts, made one after the other; closes the fetcher."""
    tasks, result = [task], None
    with contextlib.closing(fetcher):
        while tasks:
            result = fetcher.attempt(tasks.pop(0))
            if isinstance(result, Reschedule):
                tasks.extend(result.tasks)
    return result


def phases(result: AttemptResult) -> list[str]:
    assert isinstance(result, Fetched | Failed | Skipped)
    return [span.phase.value for span in result.spans]


def replying(*responses: bytes) -> Talk:
    """Sends these responses, one to each request, whatever the connection; the last one again and again."""
    left = list(responses)
    lock = threading.Lock()

    def talk(connection: socket.socket) -> None:
        while request_of(connection):
            with lock:
                response = left.pop(0) if len(left) > 1 else left[0]
            connection.sendall(response)

    return talk


def response(body: bytes = b"body", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields, b"", b""]
    return b"\r\n".join(head) + body


# --- spans ---


def test_a_success_has_the_phases_of_its_attempt(make_fetcher: MakeFetcher) -> None:
    """In their order, one after the other, in the lane of the thread."""
    with Server(replying(response())) as server:
        result = fetched(make_fetcher(), a_task(f"http://127.0.0.1:{server.port}/"))
    assert isinstance(result, Fetched)
    assert phases(result) == ["connect", "first_byte", "body"]
    times = [time_s for span in result.spans for time_s in (span.start_s, span.end_s)]
    assert times == sorted(times)
    assert {span.lane for span in result.spans} == {threading.current_thread().name}


def test_a_failure_has_its_phases_too(make_fetcher: MakeFetcher) -> None:
    """A timeout shows where the time went, and so does a connection that is refused."""
    with Server(silent) as server:
        result = fetched(make_fetcher(timeout=0.2, retries=0), a_task(f"http://127.0.0.1:{server.port}/"))
    assert isinstance(result, Failed)
    assert result.kind is FailureKind.TIMEOUT
    assert phases(result) == ["connect", "first_byte"]
    assert result.spans[-1].end_s - result.spans[-1].start_s >= 0.2
    refused = fetched(make_fetcher(retries=0), a_task(f"http://127.0.0.1:{server.port}/"))
    assert isinstance(refused, Failed)
    assert refused.kind is FailureKind.CONNECT
    assert phases(refused) == ["connect"]  # once: only a request on a kept connection is sent again


def test_a_body_that_breaks_off_has_its_phase(make_fetcher: MakeFetcher) -> None:
    """The phase of a body ends with its failure."""

    def talk(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

    with Server(talk) as server:
        result = fetched(make_fetcher(retries=0), a_task(f"http://127.0.0.1:{server.port}/"))
    assert isinstance(result, Failed)
    assert result.kind is FailureKind.TRUNCATED
    assert phases(result) == ["connect", "first_byte", "body"]


def test_all_attempts_count(make_fetcher: MakeFetcher) -> None:
    """Redirects, retries and mirrors all leave their phases with the one fact."""
    redirect = response(b"", b"Location: /elsewhere", status=b"302 Found")
    gone = response(b"", status=b"404 Not Found")
    with Server(replying(response(b"", status=b"503 Busy"), redirect, gone)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        result = fetched(make_fetcher(), a_task(url))
    assert isinstance(result, Failed)
    assert (result.http_status, result.attempts) == (404, 2)
    assert phases(result) == ["connect", *["first_byte"] * 3]


def test_a_skip_has_the_phases_of_its_request(make_fetcher: MakeFetcher) -> None:
    """Being asked to leave an image alone takes a request."""
    with Server(replying(response(b"body", b"X-Robots-Tag: noai"))) as server:
        result = fetched(make_fetcher(), a_task(f"http://127.0.0.1:{server.port}/"))
    assert isinstance(result, Skipped)
    assert result.reason is SkipReason.OPT_OUT
    assert phases(result) == ["connect", "first_byte"]


def test_spans_are_bounded(make_fetcher: MakeFetcher) -> None:
    """A server that sends a file byte by byte, each by a request of its own, does not fill the memory."""
    body = bytes(range(250)) * 5

    def talk(connection: socket.socket) -> None:
        while head := request_of(connection):
            found = re.search(rb"Range: bytes=(\d+)-", head)
            if not found:
                connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: %d\r\n\r\n' % len(body) + body[:1])
                return
            at = int(found[1])
            sent = b"Content-Range: bytes %d-%d/%d" % (at, at, len(body))
            connection.sendall(response(body[at : at + 1], sent, b'ETag: "a"', status=b"206 Partial"))

    with Server(talk) as server:
        result = fetched(make_fetcher(), a_task(f"http://127.0.0.1:{server.port}/"))
    assert isinstance(result, Fetched)
    assert Path(result.path).read_bytes() == body
    assert len(result.spans) == MAX_SPANS


# --- connections, mirrors ---


def test_a_kept_connection_that_breaks_costs_no_attempt(make_fetcher: MakeFetcher) -> None:
    """The server may close an idle connection just when the next request is sent: that is sent again on a new one."""
    requests = []

    def talk(connection: socket.socket) -> None:
        for _ in range(2):
            requests.append(request_of(connection))
            if len(requests) == 2:
                return
            connection.sendall(response())

    with Server(talk) as server:
        fetcher = make_fetcher(retries=0)
        for _ in range(2):
            result = fetcher.attempt(a_task(f"http://127.0.0.1:{server.port}/"))
            assert isinstance(result, Fetched)
            assert result.attempts == 1
        assert (server.connections, len(requests)) == (2, 3)
        fetcher.close()


def test_a_mirror_is_used_at_once(make_fetcher: MakeFetcher) -> None:
    """Whatever the first URL says, the next one is asked; the fact names the one that had it."""
    with Server(replying(response(b"", status=b"404 Not Found"), response(b"the mirror's"))) as server:
        url = f"http://127.0.0.1:{server.port}"
        result = fetched(make_fetcher(retries=0), a_task(f"{url}/first", f"{url}/second"))
    assert isinstance(result, Fetched)
    assert result.final_url == f"{url}/second"
    assert Path(result.path).read_bytes() == b"the mirror's"


# --- segments ---


class RangeServer:
    """Serves LARGE, and ranges of it, as one version until it is told to change."""

    def __init__(self) -> None:
        self.etag = b'"a"'
        self.ranges: list[bytes] = []

    def talk(self, connection: socket.socket) -> None:
        while head := request_of(connection):
            found = re.search(rb"Range: bytes=(\d+)-(\d+)", head)
            fields = [b"ETag: " + self.etag, b"Accept-Ranges: bytes"]
            if not found or b"If-Range: " + self.etag not in head:
                connection.sendall(response(LARGE, *fields))
                continue
            self.ranges.append(found[0])
            start, end = int(found[1]), int(found[2])
            sent = b"Content-Range: bytes %d-%d/%d" % (start, end, len(LARGE))
            connection.sendall(response(LARGE[start : end + 1], *fields, sent, status=b"206 Partial"))


def test_segments_make_one_file_and_one_fact(make_fetcher: MakeFetcher) -> None:
    """Each segment is a task; the last one reports the file, with the attempts and phases of all."""
    site = RangeServer()
    with Server(site.talk) as server:
        fetcher = make_fetcher(segments=2)
        split = fetcher.attempt(a_task(f"http://127.0.0.1:{server.port}/"))
        assert isinstance(split, Reschedule)
        first, second = split.tasks
        assert fetcher.attempt(first) is None
        result = fetcher.attempt(second)
        fetcher.close()
    assert isinstance(result, Fetched)
    assert Path(result.path).read_bytes() == LARGE
    assert result.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert result.attempts == 3
    assert len(site.ranges) == 2
    assert phases(result).count("first_byte") == 3
    assert phases(result).count("body") == 2


def test_a_file_that_changes_is_fetched_anew_in_one(make_fetcher: MakeFetcher) -> None:
    """Two versions are never joined: the first segment to see another one asks for the whole file, the rest ends."""
    site = RangeServer()
    with Server(site.talk) as server:
        fetcher = make_fetcher(segments=2)
        split = fetcher.attempt(a_task(f"http://127.0.0.1:{server.port}/"))
        assert isinstance(split, Reschedule)
        first, second = split.tasks
        assert fetcher.attempt(first) is None
        site.etag = b'"b"'
        again = fetcher.attempt(second)
        assert isinstance(again, Reschedule)
        assert fetcher.attempt(first) is None
        (whole,) = again.tasks
        result = fetcher.attempt(whole)
        fetcher.close()
    assert isinstance(result, Fetched)
    assert Path(result.path).read_bytes() == LARGE
    assert len(list(Path(result.path).parent.iterdir())) == 1


def test_a_segment_that_fails_for_good_reports_for_the_file(make_fetcher: MakeFetcher) -> None:
    """One failure for the item, not one for each segment."""
    site = RangeServer()
    with Server(site.talk) as server:
        fetcher = make_fetcher(segments=2, retries=0)
        split = fetcher.attempt(a_task(f"http://127.0.0.1:{server.port}/"))
        fetcher.close()
    assert isinstance(split, Reschedule)
    results = [fetcher.attempt(task) for task in split.tasks]
    assert isinstance(results[0], Failed)
    assert results[0].kind is FailureKind.CONNECT
    assert results[1:] == [None]
