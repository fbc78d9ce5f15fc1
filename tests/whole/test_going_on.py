"""Bytes that are there already are not fetched twice, and bytes of two versions never meet."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler

import pytest
from support import Command, Site, picture, ranged, raw, send

from downloader.download.resume import MIN_SEGMENT_BYTES

MEBI = 1024**2
OLD = random.Random(1).randbytes(24 * MEBI)
NEW = random.Random(2).randbytes(24 * MEBI)
Handler = BaseHTTPRequestHandler
PLAIN = ("-o", "out", "--progress", "none")


class Gate:
    """Lets a server's body pass up to a position, and says when it stands there."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, position: int) -> None:
        if position >= self.at and not self.opened.is_set():
            self.reached.set()
            self.opened.wait(60)


def asked_from(site: Site) -> list[int]:
    """Where each request for a range began."""
    return [int(seen["range"].removeprefix("bytes=").partition("-")[0]) for _, seen in site.seen if "range" in seen]


def part_of(cli: Command) -> dict[str, object]:
    """What the journal says of the only part there is, once it says it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        path = cli.folder / "out/.downloader/journal.sqlite3"
        if path.exists():
            with closing(sqlite3.connect(path)) as db, suppress(sqlite3.OperationalError):  # not made yet
                if rows := db.execute("SELECT part FROM items WHERE part IS NOT NULL").fetchall():
                    return dict(json.loads(rows[0][0]))
        time.sleep(0.02)
    raise AssertionError("no part was recorded")


def end(process: "subprocess.Popen[str]", with_signal: int) -> int:
    process.send_signal(with_signal)
    process.communicate(timeout=30)
    return process.returncode


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_another_run_goes_on_where_one_was_ended(cli: Command, site: Site, how: signal.Signals) -> None:
    """A run ended in the middle of a body: the next asks for the rest only, under If-Range; the bytes are right."""
    gate = Gate(16 * MEBI)

    def slowly(position: int) -> None:
        time.sleep(0.02)  # 24 MiB in some 8 s, so that a checkpoint is due on the way
        gate(position)

    site.pages["/x.bin"] = ranged(OLD, pace=slowly)
    process = cli.start("fetch", f"{site.url}/x.bin", *PLAIN)
    assert gate.reached.wait(60)
    part_of(cli)
    if how is signal.SIGTERM:  # the second one ends the wait for what is in hand
        process.send_signal(how)
        time.sleep(0.3)
    end(process, how)
    gate.opened.set()
    site.pages["/x.bin"] = ranged(OLD)
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN).code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == OLD
    (start,) = asked_from(site)
    assert start >= (MEBI if how is signal.SIGKILL else 15 * MEBI)
    assert not list((cli.folder / "out/.downloader/staging").iterdir())


@pytest.mark.parametrize("then", ["changed", "no-ranges", "lost", "short"])
def test_a_part_that_is_of_no_use_is_not_used(cli: Command, site: Site, then: str) -> None:
    """The file changed, the server knows no ranges any more, or our part is damaged: all of the present bytes come."""
    site.pages["/x.bin"] = ranged(OLD, pace=Gate(16 * MEBI))
    process = cli.start("fetch", f"{site.url}/x.bin", *PLAIN, "--timeout", "2", "--deadline", "5", "--retries", "0")
    part = part_of(cli)  # told when the read timed out
    process.communicate(timeout=60)
    body = OLD
    if then == "changed":
        body = NEW
        site.pages["/x.bin"] = ranged(NEW, '"v2"')
    elif then == "no-ranges":
        site.pages["/x.bin"] = OLD
    else:
        site.pages["/x.bin"] = ranged(OLD)
        staged = cli.folder / "out/.downloader/staging" / str(part["name"])
        if then == "lost":
            staged.unlink()
        else:
            os.truncate(staged, MEBI)
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--overwrite", "always").code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == body


def test_a_part_of_a_failed_item_serves_when_it_is_done_again(cli: Command, site: Site) -> None:
    """A body that stalled fails as a time-out; its part is kept, and doing it again asks for the rest only."""
    site.pages["/x.bin"] = ranged(OLD, pace=Gate(10 * MEBI))
    options = ("--timeout", "1", "--retries", "0")
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, *options).code == 1
    assert cli.items()["x.bin"]["kind"] == "timeout"
    site.pages["/x.bin"] = ranged(OLD)
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--overwrite", "always").code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == OLD
    assert asked_from(site) == [10 * MEBI]


def test_what_is_of_no_use_is_not_kept(cli: Command, site: Site) -> None:
    """Bodies of failed items that cannot be gone on with leave no file behind, in the run itself."""
    site.pages["/x.bin"] = ranged(OLD, None, pace=Gate(10 * MEBI))
    site.pages["/y.bin"] = lambda handler: send(handler, OLD, Repr_Digest=f"sha-256=:{'A' * 43}=:")
    urls = [f"{site.url}/x.bin", f"{site.url}/y.bin"]
    assert cli("fetch", *urls, *PLAIN, "--timeout", "1", "--retries", "0").code == 1
    assert not list((cli.folder / "out/.downloader/staging").iterdir())


# -- segments ----------------------------------------------------------------------------------------------------------


def test_a_large_file_comes_in_segments(cli: Command, site: Site) -> None:
    """--segments 4: four ranges of one version that do not overlap, at the same time; the bytes are right."""
    meeting = threading.Barrier(4, timeout=30)

    def meet(position: int) -> None:
        if position in {0, *(len(OLD) * n // 4 for n in range(1, 4))}:
            meeting.wait()

    first = ranged(OLD)
    together = ranged(OLD, pace=meet)
    site.pages["/x.bin"] = lambda handler: (together if "Range" in handler.headers else first)(handler)  # type: ignore[operator]
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--segments", "4").code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == OLD
    assert sorted(asked_from(site)) == [len(OLD) * n // 4 for n in range(4)]
    assert all(seen["if-range"] == '"v1"' for _, seen in site.seen if "range" in seen)
    assert cli.items()["x.bin"]["attempts"] == 5


def test_small_and_unsure_files_come_in_one(cli: Command, site: Site) -> None:
    """Nothing is split that is too small for two, has no strong validator, or whose server promises no ranges."""
    small = OLD[: 2 * MIN_SEGMENT_BYTES - 1]
    site.pages = {"/small.bin": ranged(small), "/weak.bin": ranged(OLD, 'W/"v1"'), "/plain.bin": OLD}
    urls = [site.url + path for path in site.pages]
    assert cli("fetch", *urls, *PLAIN, "--segments", "8").code == 0
    assert [(cli.folder / "out" / name).read_bytes() for name in ("small.bin", "weak.bin", "plain.bin")] == [
        small,
        OLD,
        OLD,
    ]
    assert len(site.seen) == 3


def wrong_start(handler: Handler) -> None:
    send(handler, OLD[:1000], 206, Content_Range=f"bytes 0-999/{len(OLD)}", ETag='"v1"')


def other_version(handler: Handler) -> None:
    first, _, last = handler.headers["Range"].removeprefix("bytes=").partition("-")
    body = NEW[int(first) : int(last) + 1]
    send(handler, body, 206, Content_Range=f"bytes {first}-{last}/{len(NEW)}", ETag='"v2"')


def other_total(handler: Handler) -> None:
    first, _, last = handler.headers["Range"].removeprefix("bytes=").partition("-")
    body = OLD[int(first) : int(last) + 1]
    send(handler, body, 206, Content_Range=f"bytes {first}-{last}/{len(OLD) + 1}", ETag='"v1"')


def nothing_there(handler: Handler) -> None:
    send(handler, b"", 416, Content_Range=f"bytes */{len(NEW)}")


@pytest.mark.parametrize("lie", [wrong_start, other_version, other_total, nothing_there, ranged(NEW, '"v2"')])
def test_segments_of_two_versions_never_meet(cli: Command, site: Site, lie: Callable[[Handler], None]) -> None:
    """One segment of four is answered with something else: the whole is fetched anew, in one, as it is now."""

    def answer(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if "Range" in handler.headers and start == len(OLD) // 2:
            lie(handler)
        elif "Range" not in handler.headers and asked_from(site):
            ranged(NEW, '"v2"')(handler)  # type: ignore[operator]
        else:
            ranged(OLD)(handler)  # type: ignore[operator]

    site.pages["/x.bin"] = answer
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--segments", "4").code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == NEW
    assert cli.items()["x.bin"]["state"] == "succeeded"
    assert not list((cli.folder / "out/.downloader/staging").iterdir())


def test_a_segment_that_breaks_off_is_gone_on_with(cli: Command, site: Site) -> None:
    """Each range breaks off once in its middle; what is missing of it is asked for, and nothing else."""
    broken: set[int] = set()
    quarter = len(OLD) // 4

    def answer(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])

        def pace(position: int) -> None:
            if position - start >= MEBI and start % quarter == 0 and start not in broken:
                broken.add(start)
                raise ConnectionError

        ranged(OLD, pace=pace if "Range" in handler.headers else lambda _: None)(handler)  # type: ignore[operator]

    site.pages["/x.bin"] = answer
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--segments", "4").code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == OLD
    starts = {quarter * n for n in range(4)}
    assert set(asked_from(site)) == starts | {start + MEBI for start in starts}


def test_a_segment_that_cannot_be_had_fails_the_item_once(cli: Command, site: Site) -> None:
    """403 for one of the ranges: one failure, of that kind, and nothing left behind."""

    def answer(handler: Handler) -> None:
        if handler.headers.get("Range", "").startswith(f"bytes={len(OLD) // 2}-"):
            send(handler, b"", 403, "text/plain")
        else:
            ranged(OLD)(handler)  # type: ignore[operator]

    site.pages["/x.bin"] = answer
    done = cli("fetch", f"{site.url}/x.bin", *PLAIN, "--segments", "4", "--json")
    assert done.code == 1
    assert done.json["failures"] == {"http_status": 1}
    assert done.json["total"] == 1
    assert not list((cli.folder / "out/.downloader/staging").iterdir())


def test_segments_hold_against_a_digest_of_the_whole(cli: Command, site: Site) -> None:
    """The digest sent with the first answer is checked over all segments together."""

    def answer(handler: Handler) -> None:
        if "Range" in handler.headers:
            ranged(OLD)(handler)  # type: ignore[operator]
            return
        send(handler, OLD, ETag='"v1"', Accept_Ranges="bytes", Repr_Digest=f"sha-256=:{'A' * 43}=:")

    site.pages["/x.bin"] = answer
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--segments", "4", "--retries", "0").code == 1
    assert cli.items()["x.bin"]["kind"] == "checksum"


def test_segments_go_on_in_another_run(cli: Command, site: Site) -> None:
    """A run killed with all segments half there: the next one asks for the missing halves only."""
    quarter = len(OLD) // 4

    def answer(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        pace = Gate(start + 3 * MEBI) if "Range" in handler.headers else lambda _: None
        ranged(OLD, pace=pace)(handler)  # type: ignore[operator]

    site.pages["/x.bin"] = answer
    process = cli.start("fetch", f"{site.url}/x.bin", *PLAIN, "--segments", "4", "--timeout", "2", "--retries", "9")
    until = time.monotonic() + 30
    while time.monotonic() < until and sum(s["at"] - s["start"] for s in part_of(cli)["segments"]) < 12 * MEBI:  # type: ignore[attr-defined]
        time.sleep(0.05)
    end(process, signal.SIGKILL)
    site.seen.clear()
    site.pages["/x.bin"] = ranged(OLD)
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN).code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == OLD
    assert sorted(asked_from(site)) == [quarter * n + 3 * MEBI for n in range(4)]


# -- what is there already ---------------------------------------------------------------------------------------------


def test_only_what_has_changed_is_made_anew(cli: Command, site: Site) -> None:
    """--overwrite changed asks with the stored ETag: a 304 keeps the file, another version replaces it."""
    site.pages = {f"/{n}.jpg": ranged(picture(300, 200, seed=n), f'"{n}"') for n in range(4)}
    urls = [site.url + path for path in site.pages]
    options = (*PLAIN, "-r", "64", "--json")
    assert cli("run", *urls, *options).json["succeeded"] == 4
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (cli.folder / "out").glob("*.jpg")}
    site.pages["/2.jpg"] = ranged(picture(200, 300, seed=9), '"new"')
    done = cli("run", *urls, *options, "--overwrite", "changed")
    assert (done.json["succeeded"], done.json["unchanged"]) == (4, 3)
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (cli.folder / "out").glob("*.jpg")}
    assert [name for name in sorted(before) if before[name] != after[name]] == ["2.jpg"]
    assert [seen["if-none-match"] for _, seen in site.seen[4:]].count('"2"') == 1
    assert cli.items()["2.jpg"]["height"] == 300


def test_without_a_validator_the_bytes_tell(cli: Command, site: Site) -> None:
    """A server that sends no validators: the same bytes keep the file, other bytes replace it."""
    site.pages = {"/a.jpg": picture(seed=1), "/b.jpg": picture(seed=2)}
    urls = [site.url + path for path in site.pages]
    assert cli("run", *urls, *PLAIN).code == 0
    before = (cli.folder / "out/a.jpg").stat().st_mtime_ns
    site.pages["/b.jpg"] = picture(seed=3, format="PNG")
    done = cli("run", *urls, *PLAIN, "--overwrite", "changed", "--json")
    assert done.json["unchanged"] == 1
    assert (cli.folder / "out/a.jpg").stat().st_mtime_ns == before
    assert {path.name for path in (cli.folder / "out").iterdir() if path.is_file()} == {"a.jpg", "b.png"}


def test_a_result_that_is_gone_is_made_again(cli: Command, site: Site) -> None:
    """--overwrite changed asks without condition where the output was deleted."""
    site.pages["/a.jpg"] = ranged(picture())
    assert cli("run", f"{site.url}/a.jpg", *PLAIN).code == 0
    (cli.folder / "out/a.jpg").unlink()
    assert cli("run", f"{site.url}/a.jpg", *PLAIN, "--overwrite", "changed").code == 0
    assert (cli.folder / "out/a.jpg").exists()
    assert "if-none-match" not in site.seen[-1][1]


def test_only_changed_files_of_a_folder_are_made_anew(cli: Command) -> None:
    """--overwrite changed on a folder: size and time tell."""
    folder = cli.folder / "in"
    folder.mkdir()
    for n in range(3):
        (folder / f"{n}.jpg").write_bytes(picture(seed=n))
    assert cli("process", "in", *PLAIN).code == 0
    (folder / "1.jpg").write_bytes(picture(100, 100))
    assert cli("process", "in", *PLAIN, "--overwrite", "changed", "--json").json["unchanged"] == 2
    assert cli.items()["1.jpg"]["width"] == 100


def test_what_became_unreachable_keeps_its_old_result(cli: Command, site: Site) -> None:
    """--overwrite changed and a 404: the item fails and says so; the file of the earlier run stays."""
    site.pages["/a.jpg"] = ranged(picture())
    assert cli("run", f"{site.url}/a.jpg", *PLAIN).code == 0
    del site.pages["/a.jpg"]
    assert cli("run", f"{site.url}/a.jpg", *PLAIN, "--overwrite", "changed").code == 1
    assert cli.items()["a.jpg"]["kind"] == "http_status"
    assert (cli.folder / "out/a.jpg").exists()


# -- names and cautions ------------------------------------------------------------------------------------------------


def named(disposition: str) -> Callable[[Handler], None]:
    return lambda handler: raw(
        handler,
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Disposition: ",
        disposition.encode(),
        b"\r\nContent-Length: 4\r\n\r\nabcd",
    )


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=cat.jpg", "cat.jpg"),
        ("attachment; filename=cat.jpg; filename*=UTF-8''k%C3%A4tzchen.jpg", "kätzchen.jpg"),
        ("attachment; filename=cat.jpg; filename*=nonsense", "cat.jpg"),
        ('attachment; filename="../../../.bashrc"', "bashrc"),
        ('attachment; filename="..\\\\..\\\\con.jpg"', "_con.jpg"),
        ('attachment; filename="a/b"; filename=twice', "b"),
        ("nonsense;;;", "x.jpg"),
    ],
)
def test_names_of_servers_are_used_on_request_only(cli: Command, site: Site, disposition: str, name: str) -> None:
    """RFC 6266 and 8187, made safe after parsing; broken grammar is read as in browsers."""
    site.pages["/x.jpg"] = named(disposition)
    url = f"{site.url}/x.jpg"
    assert cli("fetch", url, "-o", "plain", "--progress", "none").code == 0
    assert [path.name for path in (cli.folder / "plain").iterdir() if path.is_file()] == ["x.jpg"]
    assert cli("fetch", url, *PLAIN, "--trust-server-names").code == 0
    assert [path.name for path in (cli.folder / "out").iterdir() if path.is_file()] == [name]


def test_two_servers_with_one_name(cli: Command, site: Site) -> None:
    """Names of servers collide like any others: nothing is lost."""
    site.pages = {f"/{n}": named("attachment; filename=same.jpg") for n in range(5)}
    site.pages["/old"] = lambda handler: send(handler, b"", 302, Location="/new%2Fname.jpg")
    site.pages["/new%2Fname.jpg"] = b"abcd"
    assert (
        cli("fetch", *(site.url + f"/{n}" for n in range(5)), f"{site.url}/old", *PLAIN, "--trust-server-names").code
        == 0
    )
    names = sorted(path.name for path in (cli.folder / "out").iterdir() if path.is_file())
    assert len(names) == 6
    assert {"same.jpg", "new_name.jpg"} <= set(names)


@pytest.mark.parametrize("command", [("run",), ("fetch", "--name", "{stem}.{ext}")])
def test_server_names_where_they_have_no_place(cli: Command, command: tuple[str, ...]) -> None:
    """With `run`, or with a template, --trust-server-names is refused with a reason."""
    done = cli(*command, "http://127.0.0.1:1/x.jpg", "-o", "out", "--trust-server-names")
    assert done.code == 2
    assert "--trust-server-names" in done.err


def test_what_the_user_should_know_is_said_and_kept(cli: Command, site: Site) -> None:
    """--insecure is warned about at the start and recorded; so are option lines that had no meaning."""
    site.pages["/x.jpg"] = picture()
    (cli.folder / "list").write_text(f"{site.url}/x.jpg\n  split=5\n")
    done = cli("run", "list", "--input-format", "aria2", "-o", "out", "--insecure", "--progress", "plain")
    assert done.code == 0
    assert done.err.count("certificates are not checked (--insecure)") == 2
    kept = json.loads((cli.folder / "out/.downloader/summary.json").read_text())
    assert len(kept["cautions"]) == 2
    assert kept["cautions"][1].startswith("1 option lines of aria2 lists")
