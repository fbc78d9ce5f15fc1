"""Hosts that hang, refuse or throttle for ever cost little, other hosts nothing, and `retry` takes what is left."""

import os
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler as Handler
from pathlib import Path

import pytest
from support import Command, Site, picture, send

QUIET = ("--progress", "none", "-p", "1")
SHORT = ("--timeout", "0.3", "--retries", "4", "--per-host", "8")


@contextmanager
def silent() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    held.append(server.accept()[0])
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


@pytest.fixture
def hanging() -> Iterator[str]:
    with silent() as url:
        yield url


def listed(cli: Command, urls: list[str]) -> Path:
    path = cli.folder / "urls.txt"
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


def test_a_host_that_hangs_is_set_aside(cli: Command, site: Site, hanging: str) -> None:
    """300 rows cost some waves of timeouts; those of another host succeed; summary and advice name the host."""
    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(20)}
    urls = [f"{hanging}/{number}.jpg" for number in range(300)] + [f"{site.url}{path}" for path in site.pages]
    began_s = time.monotonic()
    done = cli("fetch", listed(cli, urls), "-o", "out", *SHORT, "--progress", "plain", "--json")
    assert time.monotonic() - began_s < 20
    assert done.code == 1
    assert (done.json["succeeded"], done.json["failures"]) == (20, {"timeout": 300})
    records = [record for record in cli.records() if record["source"].startswith(hanging)]
    asked = Counter(record["attempts"] > 0 for record in records)
    assert 8 <= asked[True] <= 16
    assert sum(record["attempts"] for record in records) <= 24
    host = hanging.removeprefix("http://")
    assert done.json["set_aside"][0]["host"] == host
    assert host in done.json["advice"][0]
    assert f" {host}" in next(line for line in done.err.splitlines() if "set aside:" in line)
    untried = next(record for record in records if not record["attempts"])
    assert "not tried" in untried["message"]
    assert "retry" in untried["message"]


def test_retry_takes_what_was_set_aside(cli: Command, site: Site) -> None:
    """The host is well again: everything is fetched."""
    is_well = threading.Event()

    def busy(handler: Handler) -> None:
        send(handler, picture()) if is_well.is_set() else send(handler, b"no", 503, "text/plain")

    site.pages = {f"/{number}.jpg": busy for number in range(100)}
    urls = listed(cli, [f"{site.url}{path}" for path in site.pages])
    options = (*QUIET, "--timeout", "0.5", "--retries", "0", "--host-failures", "6", "--json")
    first = cli("fetch", urls, "-o", "out", *options)
    assert first.json["failures"] == {"http_status": 100}
    assert sum(site.hits.values()) < 20
    is_well.set()
    assert cli("retry", "out", *QUIET, "--json").json["succeeded"] == 100


def test_a_host_that_always_throttles_does_not_hold_up_the_run(cli: Command, site: Site) -> None:
    def throttled(handler: Handler) -> None:
        send(handler, b"later", 429, "text/plain", Retry_After="1")

    site.pages = {f"/{number}.jpg": throttled for number in range(200)}
    urls = listed(cli, [f"{site.url}{path}" for path in site.pages])
    began_s = time.monotonic()
    options = ("--host-failures", "4", "--timeout", "1")
    done = cli("fetch", urls, "-o", "out", *options, *QUIET, "--json")
    assert time.monotonic() - began_s < 15
    assert done.json["failures"] == {"http_status": 200}
    assert sum(site.hits.values()) < 20


def test_answers_about_items_prove_that_the_host_lives(cli: Command, site: Site) -> None:
    """404 for hundreds of rows is no reason to leave out the others."""
    site.pages = {"/299.jpg": picture()}
    urls = listed(cli, [f"{site.url}/{number}.jpg" for number in range(300)])
    done = cli("fetch", urls, "-o", "out", "--retries", "0", "--host-failures", "2", *QUIET, "--json")
    assert (done.json["succeeded"], done.json["failed"], done.json["set_aside"]) == (1, 299, [])


@pytest.mark.parametrize(("shards", "more"), [(1, 8), (2, 50)])
def test_a_run_stops_with_the_failure_that_is_one_too_many(cli: Command, site: Site, shards: int, more: int) -> None:
    """`--max-failures 50`: no more beyond it than downloads at a time, and what is on its way from shards."""
    urls = listed(cli, [f"{site.url}/{number}.jpg" for number in range(3000)])
    done = cli("fetch", urls, "-o", "out", "-t", "8", "--max-failures", "50", "--shards", shards, *QUIET, "--json")
    assert 50 < done.json["failed"] <= 50 + more
    assert "more failures than --max-failures 50" in done.json["gave_up"]


def test_broken_rows_at_the_top_of_a_list_do_not_condemn_the_host(cli: Command, site: Site) -> None:
    """30 rows that the server fails at, then 100 good ones of the same host: these succeed."""

    def broken(handler: Handler) -> None:
        send(handler, b"no", 500, "text/plain")

    site.pages = {f"/{number}.jpg": broken for number in range(30)}
    site.pages |= {f"/{number}.jpg": picture(seed=number) for number in range(30, 130)}
    urls = listed(cli, [f"{site.url}{path}" for path in site.pages])
    done = cli("fetch", urls, "-o", "out", "--retries", "1", "--timeout", "1", *QUIET, "--json")
    assert (done.json["succeeded"], done.json["failed"]) == (100, 30)


# -- lists that are still being written --------------------------------------------------------------------------------


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_list_on_stdin_starts_as_its_lines_arrive(cli: Command, site: Site) -> None:
    site.pages = {"/a.jpg": picture(), "/b.jpg": picture()}
    process = cli.start("fetch", "-", "-o", "out", "--progress", "none")
    assert process.stdin is not None
    process.stdin.write(f"{site.url}/a.jpg\n")
    process.stdin.flush()
    wait_for(cli.folder / "out" / "a.jpg")
    process.communicate(f"{site.url}/b.jpg\n", timeout=60)
    assert process.returncode == 0
    assert (cli.folder / "out" / "b.jpg").exists()


def test_a_packed_list_in_a_named_pipe_starts_as_its_lines_arrive(cli: Command, site: Site) -> None:
    site.pages = {"/a.jpg": picture(), "/b.jpg": picture()}
    pipe = cli.folder / "urls.txt.gz"
    os.mkfifo(pipe)
    process = cli.start("fetch", pipe, "-o", "out", "--progress", "none")
    packer = zlib.compressobj(wbits=31)
    with pipe.open("wb", buffering=0) as writer:
        writer.write(packer.compress(f"{site.url}/a.jpg\n".encode()) + packer.flush(zlib.Z_SYNC_FLUSH))
        wait_for(cli.folder / "out" / "a.jpg")
        writer.write(packer.compress(f"{site.url}/b.jpg\n".encode()) + packer.flush())
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (cli.folder / "out" / "b.jpg").exists()


def test_ctrl_c_does_not_wait_for_a_silent_stdin(cli: Command, site: Site) -> None:
    site.pages = {"/a.jpg": picture()}
    process = cli.start("fetch", "-", "-o", "out", "--progress", "none")
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(f"{site.url}/a.jpg\n")
    process.stdin.flush()
    wait_for(cli.folder / "out" / "a.jpg")
    began_s = time.monotonic()
    process.send_signal(2)
    assert process.wait(timeout=60) == 130
    assert time.monotonic() - began_s < 5
    assert process.stderr.read() == ""
    process.stdin.close()
    process.stdout.close()  # type: ignore[union-attr]
    process.stderr.close()
