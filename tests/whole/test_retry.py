"""`retry`: what failed is done again, from what the output itself remembers, and nothing else is asked for."""

import threading
from http.server import BaseHTTPRequestHandler as Handler

import pytest
from support import Command, Site, picture, ranged, send

from downloader.model.failures import FailureKind

QUIET = ("--progress", "none")
STATUSES = {"/busy.jpg": 503, "/slow-down.jpg": 429, "/gone.jpg": 404}


def answer(status: int, site: Site, path: str) -> None:
    site.pages[path] = lambda handler: send(handler, b"no", status, "text/plain")


@pytest.fixture
def failed(cli: Command, site: Site) -> Site:
    """A run from stdin with a good picture, a skip, and failures that may pass or not; then all is well at the site."""
    for path, status in STATUSES.items():
        answer(status, site, path)
    site.pages["/good.jpg"] = picture()
    site.pages["/page.jpg"] = b"<!doctype html><p>no"
    site.pages["/tiny.jpg"] = picture(20, 20)
    names = [*STATUSES, "/good.jpg", "/page.jpg", "/tiny.jpg"]
    listed = "".join(f"{site.url}{name}\n" for name in names)
    options = ("-o", "out", "-r", "64", "--min-side", "30", "--retries", "0", "--per-host", "1", *QUIET)
    assert cli("run", "-", *options, stdin=listed).code == 1
    for path in [*STATUSES, "/page.jpg"]:
        site.pages[path] = picture()
    site.hits.clear()
    return site


@pytest.mark.parametrize(
    ("options", "code", "asked"),
    [
        ((), 1, {"/busy.jpg", "/slow-down.jpg"}),
        (("--kind", "not_an_image"), 1, {"/page.jpg"}),
        (("--kind", "http_status, not_an_image"), 0, {*STATUSES, "/page.jpg"}),
        (("--kind", "dns"), 1, set()),
        (("--all",), 0, {*STATUSES, "/page.jpg"}),
    ],
)
def test_only_what_is_meant_is_asked_for(
    cli: Command, failed: Site, options: tuple[str, ...], code: int, asked: set[str]
) -> None:
    """Failures that may pass, or of the kinds named, or all; each asked for once, made by the stored settings."""
    before = cli.items()
    done = cli("retry", "out", *options, *QUIET, "--json")
    assert done.code == code
    assert ("downloader status out --failed" in done.err) == (code == 1)
    assert failed.hits == dict.fromkeys(asked, 1)
    assert done.json["total"] == 6
    after = cli.items()
    for path in ["/good.jpg", "/tiny.jpg", *STATUSES, "/page.jpg"]:
        name = path[1:]
        if path in asked:
            assert (after[name]["state"], after[name]["outputs"][0]["width"]) == ("succeeded", 64)
        else:
            assert after[name] == before[name]
    assert cli("retry", "out", "--all", *QUIET).code == 0
    assert {item["state"] for item in cli.items().values()} == {"succeeded", "skipped"}


def test_how_it_is_done_can_be_changed(cli: Command, failed: Site) -> None:
    """Options of concurrency, download and run go before the stored ones, and are not stored themselves."""
    tries = []

    def at_last(handler: Handler) -> None:
        tries.append(1)
        send(handler, picture()) if len(tries) == 2 else send(handler, b"no", 503, "text/plain")

    failed.pages["/busy.jpg"] = at_last
    done = cli("retry", "out", "-t", "3", *QUIET, "--json")
    assert (done.json["stages"]["download"]["threads"], len(tries)) == (3, 1), "--retries 0 is stored"
    done = cli("retry", "out", "--retries", "2", *QUIET, "--json")
    assert (done.json["stages"]["download"]["threads"], len(tries)) == (16, 2)


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        (("--kind", "timeout,bad_luck"), 2, "bad_luck"),
        (("--kind", "timeout", "--all"), 2, "--all"),
        (("--timeout", "soon"), 2, "--timeout"),
        (("--resize", "10"), 2, "--resize"),
    ],
)
def test_wrong_wishes_are_told(cli: Command, failed: Site, options: tuple[str, ...], code: int, named: str) -> None:
    """An unknown kind is named with those there are; results stay of one kind, so there are no transform options."""
    done = cli("retry", "out", *options)
    assert done.code == code
    assert named in done.err
    assert not failed.hits


def test_where_no_run_has_been(cli: Command) -> None:
    """Exit 3 with the folder named, and nothing is made there."""
    done = cli("retry", "out")
    assert done.code == 3
    assert "out" in done.err
    assert not (cli.folder / "out").exists()


def test_a_body_that_broke_off_is_resumed(cli: Command, site: Site) -> None:
    """The bytes a failed download left are kept: only the rest is asked for."""
    body = bytes(range(256)) * 16384

    def breaks_off(position: int) -> None:
        if position >= 2 * 2**20:
            raise ConnectionResetError

    site.pages["/x.bin"] = ranged(body, pace=breaks_off)
    assert cli("fetch", f"{site.url}/x.bin", "-o", "out", "--retries", "0", *QUIET).code == 1
    site.pages["/x.bin"] = ranged(body)
    site.seen.clear()
    assert cli("retry", "out", *QUIET).code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == body
    ((_, headers),) = site.seen
    assert headers["range"].startswith("bytes=")


def test_what_was_left_undone_is_done_too(cli: Command, site: Site) -> None:
    """A run that was killed leaves rows without an outcome: `retry` does them, though their list is gone."""
    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(40)}
    listing = cli.folder / "urls.txt"
    listing.write_text("".join(f"{site.url}{path}\n" for path in site.pages))
    under_way = threading.Event()

    def fifth(handler: Handler) -> None:
        under_way.set()
        send(handler, picture())

    site.pages["/4.jpg"] = fifth
    process = cli.start("run", "urls.txt", "-o", "out", "-r", "32", "--limit-rate", "20K", *QUIET)
    assert under_way.wait(30)
    process.kill()
    process.communicate(timeout=30)
    listing.unlink()
    done = cli("retry", "out", "--limit-rate", "none", *QUIET, "--json")
    assert done.code == 0, done.err
    assert (done.json["total"], done.json["succeeded"], done.json["pending"]) == (40, 40, 0)


def test_an_unknown_kind_of_the_contract(cli: Command) -> None:
    """The message about an unknown kind lists every kind there is."""
    (cli.folder / "x.jpg").write_bytes(picture())
    assert cli("process", "x.jpg", "-o", "out", *QUIET).code == 0
    told = cli("retry", "out", "--kind", "nonsense").err
    assert all(kind in told for kind in FailureKind)
