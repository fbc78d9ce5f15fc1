"""The local stage: files of this machine, spans of files, rows that cannot be used; nothing here needs a network."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from downloader.local import LocalStage, Task, copy_local, open_local
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import (
    Fact,
    Failed,
    Fetched,
    File,
    FileSpan,
    Invalid,
    Item,
    Location,
    OutputName,
    PreviousResult,
    Unchanged,
)
from downloader.scheduling.backlog import Backlog
from downloader.screening import Screening
from downloader.sinks.files import FilesSink
from downloader.stop import Stop
from downloader.storage.local import LocalStore


def item(what: Location | Invalid, number: int = 1) -> Item:
    return Item(id=number, key="0" * 64, source="x", what=what, name=OutputName(stem=f"x{number}", extension=None))


def run(tmp_path: Path, tasks: list[Task], *, staging: str | None = None) -> tuple[list[Fact], list[Fetched]]:
    """The facts that a local stage emits, and what it hands on."""
    facts: list[Fact] = []
    handed: list[Fetched] = []

    def hand_on(fetched: Fetched) -> bool:
        handed.append(fetched)
        return True

    def read(after: int, limit: int) -> list[tuple[int, Task]]:
        return list(enumerate(tasks, 1))[after : after + limit]

    backlog: Backlog[Task] = Backlog(read, lambda: False)
    backlog.plan_complete()
    sink = FilesSink(LocalStore(tmp_path / "out"), is_foreign=False)
    stage = LocalStage(
        backlog,
        threads=3,
        staging=staging,
        screening=Screening(sink),
        emit=facts.append,
        hand_on=hand_on if staging is None else None,
        stop=Stop(),
    )
    stage.run()
    sink.close()
    return facts, handed


def test_a_file_is_used_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    (fact,), (handed,) = run(tmp_path, [item(File(str(path)))])
    assert isinstance(fact, Fetched)
    assert (fact.path, fact.bytes, fact.staged, fact.offset) == (str(path), 5, False, 0)
    assert handed is fact


def test_a_span_is_read_where_it_is(tmp_path: Path) -> None:
    """A part of a larger file, such as a member of a tar; one that ends behind the file is a failure."""
    path = tmp_path / "a.tar"
    path.write_bytes(b"0123456789")
    good, bad = open_local(item(FileSpan(str(path), 2, 5))), open_local(item(FileSpan(str(path), 6, 5)))
    assert isinstance(good, Fetched)
    assert (good.offset, good.bytes) == (2, 5)
    assert isinstance(bad, Failed)
    assert (bad.kind, bad.message) == (
        FailureKind.NOT_FOUND,
        f"{path} ends before byte 11; it is shorter than listed",
    )
    copy = copy_local(good, str(tmp_path))
    assert Path(copy.path).read_bytes() == b"23456"
    assert (copy.sha256, copy.offset, copy.staged) == (hashlib.sha256(b"23456").hexdigest(), 0, True)


def test_fetch_copies_files_and_says_how_long_it_took(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    (tmp_path / "staging").mkdir()
    (fact,), handed = run(tmp_path, [item(File(str(path)))], staging=str(tmp_path / "staging"))
    assert isinstance(fact, Fetched)
    assert handed == []
    assert Path(fact.path).read_bytes() == b"12345"
    assert [(span.phase, span.lane.startswith("local")) for span in fact.spans] == [("body", True)]


def test_a_row_that_cannot_be_used_is_a_failure_of_its_source(tmp_path: Path) -> None:
    (fact,), handed = run(tmp_path, [item(Invalid("list.csv:4: no URL"))])
    assert isinstance(fact, Failed)
    assert (fact.stage, fact.kind, fact.message) == (Stage.SOURCE, FailureKind.INVALID_URL, "list.csv:4: no URL")
    assert handed == []


def test_bytes_of_an_earlier_run_are_only_handed_on(tmp_path: Path) -> None:
    """The journal knows of them already."""
    earlier = Fetched(item=item(File("x")), path="staged", bytes=3, staged=True, sha256="ab")
    facts, handed = run(tmp_path, [earlier])
    assert (facts, handed) == ([], [earlier])


def test_every_item_gets_one_fact_from_many_threads(tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
    tasks: list[Task] = [item(File(str(tmp_path / f"{number}.jpg")), number + 1) for number in range(600)]
    facts, handed = run(tmp_path, tasks)
    assert sorted(fact.item.id for fact in facts) == list(range(1, 601))
    assert len(handed) == 500


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("gone", "there is no such file any more"),
        ("folder", "not a regular file"),
        ("pipe", "not a regular file"),
        ("nul\0", "cannot be read: embedded null byte"),
    ):
        fact = open_local(item(File(str(tmp_path / name))))
        assert isinstance(fact, Failed)
        assert (fact.kind, fact.message) == (FailureKind.NOT_FOUND, message)


def test_a_file_that_has_not_changed_keeps_its_results(tmp_path: Path) -> None:
    """By size and modification time; another time is another version."""
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    first = open_local(item(File(str(path))))
    assert isinstance(first, Fetched)
    known = replace(first.item, previous=PreviousResult(validator=first.validator, sha256="ab", outputs=()))
    assert isinstance(open_local(known), Unchanged)
    os.utime(path, (1, 1))
    assert isinstance(open_local(known), Fetched)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_matter_of_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    fact = open_local(item(File(str(path))))
    assert isinstance(fact, Failed)
    assert fact.kind is FailureKind.PERMISSION
