"""`verify`: results are compared with the journal, and with --repair made again."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filesystems import tree
from support import Command, Site, picture

from downloader.errors import OutputLocked
from downloader.workspace import Workspace, open_unused

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
    assert done.json == {"good": True, "items": 8, "files": 16, "repairable": 0, "requeued": 0, **empty}
    assert "all as recorded" in cli("verify", "out").out


def test_every_difference_is_reported_and_what_was_lost_is_made_again(cli: Command, site: Site, out: Path) -> None:
    """Missing, changed in size, changed in content, of no item: each is named, and with --repair repaired."""
    before = {path.name: path.read_bytes() for path in out.glob("*.jpg")}
    damage(out)
    (out / "sub").mkdir()
    (out / "sub" / "a\x1b[31m.jpg").write_bytes(b"mine")
    (out / "loop").symlink_to("..")
    done = cli("verify", "out", "--json")
    assert done.code == 1
    found = {
        "missing": ["0-a.jpg"],
        "changed": ["1-a.jpg", "2-b.jpg"],
        "unreadable": [],
        "orphaned": ["loop", "sub/a\x1b[31m.jpg"],
    }
    assert done.json == {"good": False, "items": 8, "files": 16, "repairable": 3, "requeued": 0, **found}
    told = cli("verify", "out")
    assert told.code == 1
    assert "\x1b" not in told.out
    assert "orphaned: sub/a\\x1b[31m.jpg" in told.out
    assert "3 items can be made again: downloader verify out --repair" in told.out
    repaired = cli("verify", "out", "--repair", "--json")
    assert (repaired.code, repaired.json) == (1, {**done.json, "repairable": 0, "requeued": 3})
    assert cli("verify", "out", "--json").json == repaired.json
    assert "3 items wait to be made again" in cli("verify", "out", "--repair").out
    assert cli("run", *urls(site), "-o", "out", "-r", "a=64 b=32", *QUIET).code == 1
    assert site.hits == {"/0.jpg": 1, "/1.jpg": 1, "/2.jpg": 1}
    assert {path.name: path.read_bytes() for path in out.glob("*.jpg")} == before
    again = cli("verify", "out", "--json").json
    assert (again["missing"], again["changed"], len(again["orphaned"])) == ([], [], 2)


def damage(out: Path) -> None:
    (out / "0-a.jpg").unlink()
    (out / "1-a.jpg").write_bytes(b"short")
    flipped = bytearray((out / "2-b.jpg").read_bytes())
    flipped[-1] ^= 1
    (out / "2-b.jpg").write_bytes(flipped)


def test_looking_changes_nothing(cli: Command, out: Path) -> None:
    """Twice the same findings, twice the same summary, and not a byte or a time of any file is another one."""
    damage(out)
    before = tree(out)
    looks = [("verify", "out"), ("verify", "out", "--json"), ("status", "out"), ("status", "out", "--items")]
    first, second = ([(done.code, done.out) for done in (cli(*look) for look in looks)] for _ in range(2))
    assert first == second
    assert tree(out) == before


def test_retry_makes_what_was_lost_too(cli: Command, site: Site, out: Path) -> None:
    """An item that was sent back has no outcome, so `retry` takes it up."""
    (out / "3-b.jpg").unlink()
    assert cli("verify", "out").code == 1
    assert cli("retry", "out", *QUIET).code == 1
    assert not site.hits
    assert cli("verify", "out", "--repair").code == 1
    assert cli("retry", "out", *QUIET).code == 1
    assert site.hits == {"/3.jpg": 1}
    assert cli("verify", "out").code == 0


def test_a_changed_file_stays_if_its_source_gives_nothing_more(cli: Command, site: Site, out: Path) -> None:
    """It may be the user's own work; the item fails, its file is still named, and can be sent back again."""
    (out / "3-b.jpg").write_bytes(b"retouched")
    del site.pages["/3.jpg"]
    assert cli("verify", "out", "--repair").code == 1
    assert cli("retry", "out", *QUIET).code == 1
    assert (out / "3-b.jpg").read_bytes() == b"retouched"
    found = cli("verify", "out", "--json").json
    assert (found["changed"], found["orphaned"], found["repairable"]) == (["3-b.jpg"], [], 1)
    site.pages["/3.jpg"] = picture(seed=3)
    assert cli("verify", "out", "--repair").code == 1
    assert cli("retry", "out", *QUIET).code == 1
    assert cli("verify", "out").code == 0


def test_what_is_no_file_is_missing(cli: Command, out: Path) -> None:
    """A pipe in the place of a result is not waited for."""
    (out / "3-b.jpg").unlink()
    os.mkfifo(out / "3-b.jpg")
    assert cli("verify", "out", "--json").json["missing"] == ["3-b.jpg"]


def test_an_output_that_a_run_is_using_is_not_verified(cli: Command, out: Path) -> None:
    """While a run holds the lock, verify exits with 3 and says why; and no run begins while it looks."""
    with Workspace.create(out):
        for options in ((), ("--repair",)):
            done = cli("verify", "out", *options)
            assert done.code == 3
            assert "another run" in done.err
    with open_unused(out), pytest.raises(OutputLocked):
        Workspace.create(out)


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
    assert (found["items"], found["files"], found["repairable"]) == (2508, 5016, 2501)
    assert found["missing"] == ["0-a.jpg"] * 2501
