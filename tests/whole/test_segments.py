"""Large files in segments: each byte is asked for once, and all are of one version."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler as Handler

import pytest
from parts import MEBI, NEW, OLD, PLAIN, Gate, asked_from, wait_for_part
from support import Command, Site, ranged, send

from downloader.download.resume import MIN_SEGMENT_BYTES


def test_a_large_file_comes_in_segments(cli: Command, site: Site) -> None:
    """--segments 4: four ranges of one version that do not overlap, at the same time; the bytes are right."""
    meeting = threading.Barrier(4, timeout=30)

    def meet(position: int) -> None:
        if position in {0, *(len(OLD) * n // 4 for n in range(1, 4))}:
            meeting.wait()

    first = ranged(OLD)
    together = ranged(OLD, pace=meet)
    site.pages["/x.bin"] = lambda handler: (together if "Range" in handler.headers else first)(handler)
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
            ranged(NEW, '"v2"')(handler)
        else:
            ranged(OLD)(handler)

    site.pages["/x.bin"] = answer
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--segments", "4").code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == NEW
    assert cli.items()["x.bin"]["state"] == "succeeded"
    assert not list((cli.folder / "out/.downloader/staging").iterdir())


def test_a_segment_that_breaks_off_is_resumed(cli: Command, site: Site) -> None:
    """Each range breaks off once in its middle; what is missing of it is asked for, and nothing else."""
    broken: set[int] = set()
    quarter = len(OLD) // 4

    def answer(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])

        def pace(position: int) -> None:
            if position - start >= MEBI and start % quarter == 0 and start not in broken:
                broken.add(start)
                raise ConnectionError

        ranged(OLD, pace=pace if "Range" in handler.headers else lambda _: None)(handler)

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
            ranged(OLD)(handler)

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
            ranged(OLD)(handler)
            return
        send(handler, OLD, ETag='"v1"', Accept_Ranges="bytes", Repr_Digest=f"sha-256=:{'A' * 43}=:")

    site.pages["/x.bin"] = answer
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--segments", "4", "--retries", "0").code == 1
    assert cli.items()["x.bin"]["kind"] == "checksum"


def test_segments_are_resumed_by_another_run(cli: Command, site: Site) -> None:
    """A run killed with all segments half there: the next one asks for the missing halves only."""
    quarter = len(OLD) // 4

    def answer(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        pace = Gate(start + 3 * MEBI) if "Range" in handler.headers else lambda _: None
        ranged(OLD, pace=pace)(handler)

    site.pages["/x.bin"] = answer
    process = cli.start("fetch", f"{site.url}/x.bin", *PLAIN, "--segments", "4", "--timeout", "0.5", "--retries", "9")
    wait_for_part(cli, 12 * MEBI)
    process.kill()
    process.communicate(timeout=30)
    site.seen.clear()
    site.pages["/x.bin"] = ranged(OLD)
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN).code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == OLD
    assert sorted(asked_from(site)) == [quarter * n + 3 * MEBI for n in range(4)]
