"""Comparing an output with its journal: results that are missing or changed, files that belong to no item."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import file_digest
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from downloader.journal import Journal, Written, WrittenFile
from downloader.sinks.files import FilesSink
from downloader.sinks.interface import Sink
from downloader.storage.interface import Store
from downloader.storage.local import LocalStore
from downloader.workspace import STATE_FOLDER, Workspace

_THREADS = min(32, 4 * (os.cpu_count() or 1))
"""Files read at the same time: hashing releases the interpreter's lock, and disks serve several requests at once."""
_BATCH = 1000


class _Finding(StrEnum):
    GOOD = "good"
    MISSING = "missing"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


@dataclass(slots=True, kw_only=True)
class Findings:
    """Differences between an output and its journal.

    Memory grows with the number of differences, not with the size of the output.

    Attributes:
        items: items that succeeded.
        files: the files of these items.
        missing: files that are not there. Names are relative to the output folder, with `/` between folders.
        changed: files with another size or sha256.
        unreadable: files that could not be read.
        orphaned: files that are there and belong to no item.
        requeued: items with a missing file, which the next run makes again.
    """

    items: int = 0
    files: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    requeued: int = 0

    @property
    def good(self) -> bool:
        """Whether the output holds exactly what the journal says."""
        return not (self.missing or self.changed or self.unreadable or self.orphaned)

    def to_json(self) -> dict[str, Any]:
        """The result as `verify --json` prints it; the keys are public."""
        return {"good": self.good, **asdict(self)}


def verify(output: str | PurePath) -> Findings:
    """Re-hash every result and compare it with the journal; requeue items with a missing result.

    Raises:
        OutputLocked: a run is working on this output.
        JournalError: there is no journal, or it cannot be used.
        OutputError: the output cannot be read.
    """
    findings, root = Findings(), Path(output)
    store = LocalStore(root)
    with Workspace.open(root) as workspace, closing(FilesSink(store)) as sink:
        _check_results(workspace.journal, sink, findings)
        _find_orphans(workspace.journal, store, findings)
    return findings


def _check_results(journal: Journal, sink: Sink, findings: Findings) -> None:
    """Read the files of succeeded items, and requeue the items with a missing one."""

    def check(written: Written) -> list[_Finding]:
        return [_check(sink, file) for file in written.files]

    last_id = 0
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as pool:
        while batch := journal.written(last_id, _BATCH):
            last_id = batch[-1].item_id
            incomplete = []
            for written, found in zip(batch, pool.map(check, batch), strict=True):
                _count(findings, written, found)
                if _Finding.MISSING in found:
                    incomplete.append(written.item_id)
            findings.requeued += len(incomplete)
            journal.requeue(incomplete)


def _count(findings: Findings, written: Written, found: Sequence[_Finding]) -> None:
    """Count an item, and what was found of each of its files."""
    findings.items += 1
    findings.files += len(found)
    for file, finding in zip(written.files, found, strict=True):
        if finding is not _Finding.GOOD:
            getattr(findings, finding).append(file.path)


def _check(sink: Sink, file: WrittenFile) -> _Finding:
    try:
        with sink.open(file.path) as opened:
            if opened.seek(0, os.SEEK_END) != file.bytes:
                return _Finding.CHANGED
            opened.seek(0)
            return _Finding.GOOD if file_digest(opened, "sha256").hexdigest() == file.sha256 else _Finding.CHANGED
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return _Finding.MISSING
    except OSError:
        return _Finding.UNREADABLE


def _find_orphans(journal: Journal, store: Store, findings: Findings) -> None:
    names = store.names(excluded=STATE_FOLDER, unlisted=findings.unreadable)
    while batch := list(islice(names, _BATCH)):
        findings.orphaned += journal.unowned(batch)
    findings.orphaned.sort()
