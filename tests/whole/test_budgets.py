"""How many failures a run may have, and that no item is ever left without an outcome in silence."""

import itertools
import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler as Handler

import pytest
from support import Command, Site, picture, send

QUIET = ("--progress", "none")


def test_so_many_failures_are_allowed(cli: Command, site: Site) -> None:
    """Two failures of ten: exit 0 where number or share allow them; the summary still tells of them."""
    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(8)}
    sources = [*(f"{site.url}{path}" for path in site.pages), f"{site.url}/gone", f"{site.url}/lost"]
    for allowed, code in (("1", 1), ("2", 0), ("19%", 1), ("20%", 0)):
        done = cli("fetch", *sources, "-o", "out", "--allow-failures", allowed, *QUIET, "--json")
        assert (done.code, done.json["failed"]) == (code, 2)
    (cli.folder / "own.toml").write_text("[run]\nallow_failures = 2\n")
    assert cli("fetch", *sources, "-o", "out", "--config", "own.toml", *QUIET).code == 0
    assert cli("retry", "out", "--all", "--allow-failures", "1", *QUIET).code == 1
    assert cli("retry", "out", "--all", "--allow-failures", "2", *QUIET).code == 0


@pytest.mark.parametrize("limit", ["20", "10%"])
def test_a_hopeless_run_is_given_up(cli: Command, site: Site, limit: str) -> None:
    """Everything fails: the run stops long before its end, exits 1 and says what the failures have in common."""
    (cli.folder / "urls.txt").write_text("".join(f"{site.url}/{number}.jpg\n" for number in range(20_000)))
    options = ("--max-failures", limit, "--allow-failures", "100%")
    done = cli("fetch", "urls.txt", "-o", "out", *options, "--progress", "plain", "--json")
    assert done.code == 1
    summary = done.json
    assert 20 < summary["failed"] < 10_000
    assert summary["total"] == summary["failed"] + summary["pending"]
    told = f"more failures than --max-failures {limit}: {summary['failed']} of {summary['failed']} are http_status"
    assert summary["gave_up"] == f"{told}, all of these from {site.url.removeprefix('http://')}"
    assert f"given up    {told}" in done.err


def test_results_that_cannot_be_stored_count(cli: Command) -> None:
    """They fail after their stage has done its part: a file lies where their folder should be."""
    (cli.folder / "in").mkdir()
    for number in range(3000):
        (cli.folder / "in" / f"{number}.jpg").write_bytes(b"x")
    (cli.folder / "out").mkdir()
    (cli.folder / "out" / "sub").write_text("in the way")
    options = ("--name", "sub/{stem}", "--max-failures", "20", *QUIET, "--json")
    summary = cli("fetch", "in", "-o", "out", *options).json
    assert summary["failures"] == {"write": summary["failed"]}
    assert "more failures than --max-failures 20" in (summary["gave_up"] or "")
    assert summary["pending"] > 0


def test_a_share_of_a_few_says_nothing(cli: Command, site: Site) -> None:
    """The first items failing do not end a run whose share is limited: it is judged after a hundred items."""
    site.pages = {f"/{number}.jpg": picture(32, 32, seed=number) for number in range(300)}
    listed = [*(f"{site.url}/gone{number}" for number in range(20)), *(f"{site.url}{path}" for path in site.pages)]
    (cli.folder / "urls.txt").write_text("\n".join(listed))
    done = cli("fetch", "urls.txt", "-o", "out", "--max-failures", "25%", "-t", "1", *QUIET, "--json")
    assert (done.json["succeeded"], done.json["failed"], done.json["gave_up"]) == (300, 20, None)


@pytest.mark.parametrize("wrong", ["some", "-1", "101%", "5%%"])
def test_what_is_no_budget_is_refused(cli: Command, wrong: str) -> None:
    """Exit 2, with the option and what it takes."""
    (cli.folder / "x.jpg").write_bytes(picture())
    for option in ("--allow-failures", "--max-failures"):
        done = cli("process", "x.jpg", f"{option}={wrong}", *QUIET)
        assert done.code == 2
        assert option in done.err


def test_an_item_without_an_outcome_is_never_passed_over(cli: Command, site: Site) -> None:
    """A row that the run should have done and has not (here: slipped in behind its back) ends it with 3."""
    journal = cli.folder / "out/.downloader/journal.sqlite3"
    slipped_in = itertools.count()

    def answer(handler: Handler) -> None:
        if next(slipped_in) == 0:
            with closing(sqlite3.connect(journal)) as db, db:
                names = [
                    row[1] for row in db.execute("PRAGMA table_info(items)") if row[1] not in {"id", "key", "fold"}
                ]
                rest = ", ".join(names)
                db.execute(
                    f"INSERT INTO items (id, key, fold, {rest}) "  # noqa: S608 - names of columns
                    f"SELECT -1, randomblob(32), 'other', {rest} FROM items WHERE id = 1"
                )
        send(handler, picture())

    site.pages["/x.jpg"] = answer
    done = cli("fetch", f"{site.url}/x.jpg", "-o", "out", *QUIET)
    assert done.code == 3
    assert "1 of its items have no outcome" in done.err
    assert cli("status", "out", "--json").json["pending"] == 1
