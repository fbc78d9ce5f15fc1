"""`verify`: results are compared with the journal, and the next run makes what is missing."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support import Command, Site, picture

from downloader.workspace import Workspace

QUIET = ("--progress", "none")


@pytest.fixture
def out(cli: Command, site: Site) -> Path:
    """An output of eight pictures and a failure."""
    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(8)}
    assert cli("run", *urls(site), f"{site.url}/gone", "-o", "out", "-r", "a=64 b=32", *QUIET).code == 1
    site.hits.clear()
    return cli.folder / "out"


def urls(site: Site) -> list[str]:
    return [f"{site.url}/{number}.jpg" for number in range(8)]


def test_an_output_without_differences(cli: Command, out: Path) -> None:
    """Exit 0, every file counted, nothing listed; failures of items are no findings."""
    assert out.is_dir()
    done = cli("verify", "out", "--json")
    assert (done.code, done.err) == (0, "")
    empty: dict[str, list[str]] = {"missing": [], "changed": [], "unreadable": [], "orphaned": []}
    assert done.json == {"good": True, "items": 8, "files": 16, "requeued": 0, **empty}
    assert "all as recorded" in cli("verify", "out").out


def test_every_difference_is_reported_and_what_is_missing_is_made_again(cli: Command, site: Site, out: Path) -> None:
    """Missing, changed in size, changed in content, of no item: each is named; the same command repairs them."""
    before = {path.name: path.read_bytes() for path in out.glob("*.jpg")}
    (out / "0-a.jpg").unlink()
    (out / "1-a.jpg").write_bytes(b"short")
    flipped = bytearray(before["2-b.jpg"])
    flipped[-1] ^= 1
    (out / "2-b.jpg").write_bytes(flipped)
    (out / "sub").mkdir()
    (out / "sub" / "a\x1b[31m.jpg").write_bytes(b"mine")
    (out / "loop").symlink_to("..")
    done = cli("verify", "out", "--json")
    assert done.code == 1
    assert {name: done.json[name] for name in ("missing", "changed", "unreadable", "orphaned", "requeued")} == {
        "missing": ["0-a.jpg"],
        "changed": ["1-a.jpg", "2-b.jpg"],
        "unreadable": [],
        "orphaned": ["loop", "sub/a\x1b[31m.jpg"],
        "requeued": 1,
    }
    told = cli("verify", "out")
    assert told.code == 1
    assert "\x1b" not in told.out
    assert "orphaned: sub/a\\x1b[31m.jpg" in told.out
    for name in ("1-a.jpg", "2-b.jpg"):
        (out / name).unlink()
    assert cli("verify", "out", "--json").json["requeued"] == 2
    assert cli("run", *urls(site), "-o", "out", "-r", "a=64 b=32", *QUIET).code == 1
    assert site.hits == {"/0.jpg": 1, "/1.jpg": 1, "/2.jpg": 1}
    assert {path.name: path.read_bytes() for path in out.glob("*.jpg")} == before
    found = cli("verify", "out", "--json").json
    assert (found["missing"], found["changed"], len(found["orphaned"])) == ([], [], 2)


def test_retry_makes_what_is_missing_too(cli: Command, site: Site, out: Path) -> None:
    """An item that verify requeued has no outcome, so `retry` takes it up."""
    (out / "3-b.jpg").unlink()
    assert cli("verify", "out").code == 1
    assert cli("retry", "out", *QUIET).code == 1
    assert site.hits == {"/3.jpg": 1}
    assert cli("verify", "out").code == 0


def test_results_of_a_requeued_item_are_no_orphans(cli: Command, site: Site, out: Path) -> None:
    """While an item is requeued, its files still belong to it."""
    (out / "3-b.jpg").unlink()
    assert cli("verify", "out", "--json").json["missing"] == ["3-b.jpg"]
    found = cli("verify", "out", "--json").json
    assert (found["missing"], found["orphaned"], found["items"]) == ([], [], 7)
    assert not site.hits


def test_an_output_that_a_run_is_using_is_not_verified(cli: Command, out: Path) -> None:
    """While a run holds the lock, verify exits with 3 and says why."""
    with Workspace.create(out):
        done = cli("verify", "out")
    assert done.code == 3
    assert "another run" in done.err


def test_where_no_run_has_been(cli: Command) -> None:
    """Exit 3, and no folder is made."""
    assert cli("verify", "out").code == 3
    assert not (cli.folder / "out").exists()


def test_many_files(cli: Command, out: Path) -> None:
    """More items than fit in a batch: all are counted, every missing file is found."""
    with closing(sqlite3.connect(out / ".downloader" / "journal.sqlite3")) as db, db:
        names = [row[1] for row in db.execute("PRAGMA table_info(items)")]
        rest = ", ".join(name for name in names if name not in {"id", "key", "fold"})
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "  # noqa: S608 - constant
            f"INSERT INTO items (key, fold, {rest}) SELECT randomblob(32), 'x' || i, {rest} FROM items, n WHERE id = 1"
        )
    (out / "0-a.jpg").unlink()
    found = cli("verify", "out", "--json").json
    assert (found["items"], found["files"], found["requeued"]) == (2508, 5016, 2501)
    assert found["missing"] == ["0-a.jpg"] * 2501
