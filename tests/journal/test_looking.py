"""Looking at a journal: always possible, and without changing a byte of anything."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from facts import plan
from filesystems import immutable, mounted, read_only, tree

from downloader.errors import JournalError
from downloader.journal import Journal

NAMES = ("journal", "journal-wal", "journal-shm")


def sources(path: Path, *, in_use: bool = False) -> list[str]:
    with closing(Journal(path, read_only=True, in_use=in_use)) as journal:
        return [record["source"] for record in journal.records()]


def killed(folder: Path, *, names: tuple[str, ...] = NAMES) -> Path:
    """A journal whose last transactions are in its log, as a run that is killed leaves it."""
    folder.mkdir(exist_ok=True)
    live = Path(tempfile.mkdtemp(dir=folder.parent))
    with closing(Journal(live / "journal")) as journal:
        plan(journal, "https://h/a")
        with closing(sqlite3.connect(live / "journal")) as db:
            db.execute("PRAGMA wal_checkpoint")
        plan(journal, "https://h/b")
        for name in names:
            shutil.copyfile(live / name, folder / name)
    return folder / "journal"


@contextmanager
def as_it_is(folder: Path, how: str) -> Iterator[None]:
    with ExitStack() as stack:
        if how != "writable":
            stack.enter_context(immutable(folder) if how == "no permission" else read_only(folder))
        before = tree(folder)
        yield
        assert tree(folder) == before


@pytest.mark.parametrize("how", ["writable", "no permission", "read-only"])
def test_a_journal_whose_run_was_killed(tmp_path: Path, how: str) -> None:
    """Its last transactions are seen, whatever else may be done there, and twice the same."""
    with ExitStack() as stack:
        folder = tmp_path / "state"
        if how == "read-only":
            stack.enter_context(mounted(folder, "size=8m"))
        path = killed(folder)
        with as_it_is(folder, how):
            assert sources(path) == sources(path) == ["https://h/a", "https://h/b"]


@pytest.mark.parametrize("names", [NAMES[:2], NAMES[:1]])
def test_files_beside_the_journal_that_were_not_copied(tmp_path: Path, names: tuple[str, ...]) -> None:
    """The index is not needed; without the log its transactions are gone, and the rest is there."""
    path = killed(tmp_path / "state", names=names)
    with as_it_is(tmp_path / "state", "writable"):
        assert sources(path) == ["https://h/a", "https://h/b"][: len(names)]


@pytest.mark.parametrize("how", ["writable", "no permission"])
def test_a_journal_that_was_closed(tmp_path: Path, how: str) -> None:
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "journal"
    with closing(Journal(path)) as journal:
        plan(journal, "https://h/a")
    with as_it_is(tmp_path / "state", how):
        assert sources(path) == ["https://h/a"]


@pytest.mark.parametrize("in_use", [True, False])
def test_a_journal_in_use(tmp_path: Path, *, in_use: bool) -> None:
    """What is committed is seen at once, also where nobody said that a run has it open."""
    path = tmp_path / "journal"
    with closing(Journal(path)) as journal:
        for number in range(3):
            plan(journal, f"https://h/{number}")
            assert sources(path, in_use=in_use) == [f"https://h/{n}" for n in range(number + 1)]


def test_a_run_that_ended_this_moment(tmp_path: Path) -> None:
    """It was said to be in use, and was killed meanwhile."""
    with mounted(tmp_path / "state", "size=8m"):
        path = killed(tmp_path / "state", names=NAMES[:2])
        with as_it_is(tmp_path / "state", "read-only"):
            assert sources(path, in_use=True) == ["https://h/a", "https://h/b"]


@pytest.mark.parametrize("has_file", [True, False])
def test_a_run_that_was_killed_before_it_had_tables(tmp_path: Path, *, has_file: bool) -> None:
    """An empty file is a journal without items, and so is a state folder without one."""
    if has_file:
        (tmp_path / "journal").touch()
    before = tree(tmp_path)
    assert sources(tmp_path / "journal") == []
    assert tree(tmp_path) == before


def test_a_journal_that_may_not_be_looked_up(tmp_path: Path) -> None:
    """Not "no run has been here": it is said why."""
    with pytest.raises(JournalError, match="File name too long"):
        Journal(tmp_path / ("x" * 300), read_only=True)


def test_no_room_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = killed(tmp_path / "state")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(JournalError, match=r"journal cannot be used: .*nowhere"):
        sources(path)
