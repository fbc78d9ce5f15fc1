"""Bytes that are there already are not fetched twice, and bytes of two versions never meet."""

import os
import signal
import time

import pytest
from parts import MEBI, NEW, OLD, PLAIN, STALLED, Gate, asked_from, recorded_part
from support import Command, Site, ranged, send


def test_a_run_resumes_where_one_was_killed(cli: Command, site: Site) -> None:
    """kill -9 in the middle of a body: the next run asks for what was not safe yet only, under If-Range."""
    gate = Gate(16 * MEBI)

    def slowly(position: int) -> None:
        if 4 * MEBI <= position < gate.at and recorded_part(cli) is None:
            time.sleep(0.1)  # a slow server: what is safe is recorded every two seconds
        gate(position)

    site.pages["/x.bin"] = ranged(OLD, pace=slowly)
    process = cli.start("fetch", f"{site.url}/x.bin", *PLAIN)
    assert gate.reached.wait(60)
    assert recorded_part(cli) is not None
    process.kill()
    process.communicate(timeout=30)
    check_the_rest_is_fetched(cli, site, at_least=MEBI)


def test_a_run_resumes_where_one_was_aborted(cli: Command, site: Site) -> None:
    """Two signals in the middle of a body: the run records how far it came, and the next asks for the rest."""
    gate = Gate(16 * MEBI)
    site.pages["/x.bin"] = ranged(OLD, pace=gate)
    process = cli.start("fetch", f"{site.url}/x.bin", *PLAIN)
    assert gate.reached.wait(60)
    for number in (signal.SIGTERM, signal.SIGINT):  # the second one ends the wait for what is in hand
        process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode in {130, 143}, "both may be pending, and the kernel delivers the lower number first"
    check_the_rest_is_fetched(cli, site, at_least=15 * MEBI)


def check_the_rest_is_fetched(cli: Command, site: Site, *, at_least: int) -> None:
    site.pages["/x.bin"] = ranged(OLD)
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN).code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == OLD
    (start,) = asked_from(site)
    assert start >= at_least
    assert [headers["if-range"] for _, headers in site.seen if "range" in headers] == ['"v1"']
    assert not list((cli.folder / "out/.downloader/staging").iterdir())


@pytest.mark.parametrize("then", ["changed", "no-ranges", "lost", "short"])
def test_a_part_that_is_of_no_use_is_not_used(cli: Command, site: Site, then: str) -> None:
    """The file changed, the server knows no ranges any more, or our part is damaged: all of the present bytes come."""
    site.pages["/x.bin"] = ranged(OLD, pace=Gate(16 * MEBI))
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, *STALLED).code == 1
    part = recorded_part(cli)
    assert part is not None
    body = OLD
    if then == "changed":
        body = NEW
        site.pages["/x.bin"] = ranged(NEW, '"v2"')
    elif then == "no-ranges":
        site.pages["/x.bin"] = OLD
    else:
        site.pages["/x.bin"] = ranged(OLD)
        staged = cli.folder / "out/.downloader/staging" / part["name"]
        if then == "lost":
            staged.unlink()
        else:
            os.truncate(staged, MEBI)
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--overwrite", "always").code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == body


def test_a_part_of_a_failed_item_serves_when_it_is_done_again(cli: Command, site: Site) -> None:
    """A body that stalled fails as a timeout; its part is kept, and doing it again asks for the rest only."""
    site.pages["/x.bin"] = ranged(OLD, pace=Gate(10 * MEBI))
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, *STALLED).code == 1
    assert cli.items()["x.bin"]["kind"] == "timeout"
    site.pages["/x.bin"] = ranged(OLD)
    assert cli("fetch", f"{site.url}/x.bin", *PLAIN, "--overwrite", "always").code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == OLD
    assert asked_from(site) == [10 * MEBI]


def test_what_is_of_no_use_is_not_kept(cli: Command, site: Site) -> None:
    """Bodies of failed items that cannot be resumed leave no file behind, in the run itself."""
    site.pages["/x.bin"] = ranged(OLD, None, pace=Gate(10 * MEBI))
    site.pages["/y.bin"] = lambda handler: send(handler, OLD, Repr_Digest=f"sha-256=:{'A' * 43}=:")
    urls = [f"{site.url}/x.bin", f"{site.url}/y.bin"]
    assert cli("fetch", *urls, *PLAIN, *STALLED).code == 1
    assert not list((cli.folder / "out/.downloader/staging").iterdir())
