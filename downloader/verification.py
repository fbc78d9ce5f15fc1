"""Comparing an output with its journal: results that are missing or changed, files that belong to no item."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import file_digest
from itertools import islice
from pathlib import PurePath
from typing import Any

from downloader.cpus import usable_cpus
from downloader.exports.metadata_table import metadata_files
from downloader.journal import Journal, Written, WrittenFile
from downloader.model.groups import GroupState
from downloader.model.states import TERMINAL
from downloader.places import STATE_FOLDER, state_folder
from downloader.sinks.grouping import file_names, group_of
from downloader.sinks.reading import ResultReader
from downloader.storage.interface import Store
from downloader.storage.places import open_store
from downloader.workspace import GROUPS_FOLDER, Workspace, open_unused

_THREADS = min(32, 4 * usable_cpus())
"""Files read at the same time: hashing releases the interpreter's lock, and disks serve several requests at once."""
_BATCH = 1000


class _Finding(StrEnum):
    GOOD = "good"
    MISSING = "missing"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


_REPAIRABLE = frozenset({_Finding.MISSING, _Finding.CHANGED})


@dataclass(slots=True, kw_only=True)
class Findings:
    """Differences between an output and its journal.

    Memory grows with the number of differences, not with the size of the output.

    Attributes:
        items: items that have results.
        files: the files of these items.
        missing: files that are not there. Names are relative to the output folder, with `/` between folders.
        changed: files with another size or sha256.
        unreadable: files that could not be read, and folders that could not be listed, which end in `/`.
        orphaned: files that are there and belong to no item.
        repairable: items with a missing or changed file that `repair` would send back.
        requeued: items with a missing or changed file that were sent back, now or before, and are not made again yet.
    """

    items: int = 0
    files: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    repairable: int = 0
    requeued: int = 0

    @property
    def good(self) -> bool:
        """Whether the output holds exactly what the journal says."""
        return not (self.missing or self.changed or self.unreadable or self.orphaned)

    def to_json(self) -> dict[str, Any]:
        """The result as `verify --json` prints it; the keys are public."""
        return {"good": self.good, **asdict(self)}


def verify(output: str | PurePath, *, repair: bool = False, state_dir: str | PurePath | None = None) -> Findings:
    """Re-hash every result and compare it with the journal.

    Without `repair` nothing is changed, so a second look finds the same. With it, items with a missing or changed
    result are sent back, to be made again by the next run that lists them, or by `retry`. A changed file stays until
    there is a new result, so it is lost only if the source still gives one.

    Raises:
        OutputLocked: a run is working on this output.
        JournalError: there is no journal, or it cannot be used.
        OutputError: the output cannot be read, or with `repair` not be written.
    """
    findings, store = Findings(), open_store(str(output))
    reader = ResultReader(store, state_folder(output, state_dir) / GROUPS_FOLDER)
    with closing(store), ExitStack() as stack:
        if repair:
            journal = stack.enter_context(Workspace.open(output, state_dir)).journal
        else:
            journal = stack.enter_context(open_unused(output, state_dir))
        _check_results(journal, reader, findings, repair=repair)
        _find_lost_tables(journal, store, findings)
        _find_orphans(journal, store, findings)
    findings.missing.sort()
    return findings


def _check_results(journal: Journal, reader: ResultReader, findings: Findings, *, repair: bool) -> None:
    """Read the files of all items that have results."""

    def check(written: Written) -> list[_Finding]:
        return [_check(reader, file) for file in written.files]

    last_id = 0
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as pool:
        while batch := journal.written(last_id, _BATCH):
            last_id = batch[-1].item_id
            batch.sort(key=_place)
            wrong = []
            for written, found in zip(batch, pool.map(check, batch), strict=True):
                _count(findings, written, found)
                if _REPAIRABLE.intersection(found):
                    wrong.append(written)
            sendable = [written for written in wrong if written.state in TERMINAL]
            if repair:
                _send_back(journal, sendable)
                sendable = []
            findings.repairable += len(sendable)
            findings.requeued += len(wrong) - len(sendable)


def _place(written: Written) -> tuple[str, int]:
    """Where the result of an item lies in a group, so that groups are read in order; files stay in that of the list."""
    file = written.files[0] if written.files else None
    return ("", 0) if file is None or file.member is None else (file.path, file.offset or 0)


def _send_back(journal: Journal, items: Sequence[Written]) -> None:
    for state in TERMINAL:
        journal.requeue([written.item_id for written in items if written.state is state], state)


def _count(findings: Findings, written: Written, found: Sequence[_Finding]) -> None:
    """Count an item, and what was found of each of its files."""
    findings.items += 1
    findings.files += len(found)
    for file, finding in zip(written.files, found, strict=True):
        if finding is not _Finding.GOOD:
            getattr(findings, finding).append(file.path if file.member is None else f"{file.path}: {file.member}")


def _check(reader: ResultReader, file: WrittenFile) -> _Finding:
    try:
        with reader.open(file) as opened:
            if opened.seek(0, os.SEEK_END) != file.bytes:
                return _Finding.CHANGED
            opened.seek(0)
            return _Finding.GOOD if file_digest(opened, "sha256").hexdigest() == file.sha256 else _Finding.CHANGED
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return _Finding.MISSING
    except OSError:
        return _Finding.UNREADABLE


def _find_lost_tables(journal: Journal, store: Store, findings: Findings) -> None:
    """The tables and statistics of groups, where they are gone and other files of the group are not.

    They are not made again: what they say of failures is nowhere else.
    """
    for number in journal.groups(GroupState.SEALED):
        table, statistics, tar = file_names(number)
        beside = (table, statistics) if store.exists(tar) else (statistics,) if store.exists(table) else ()
        findings.missing += [name for name in beside if not store.exists(name)]


def _find_orphans(journal: Journal, store: Store, findings: Findings) -> None:
    ours = metadata_files(journal)
    names = (name for name in store.names(excluded=STATE_FOLDER, unlisted=findings.unreadable) if name not in ours)
    groups = set(journal.groups(GroupState.SEALED)) | set(journal.groups(GroupState.SEALING))
    while batch := list(islice(names, _BATCH)):
        findings.orphaned += [name for name in journal.unowned(batch) if group_of(name) not in groups]
    findings.orphaned.sort()
