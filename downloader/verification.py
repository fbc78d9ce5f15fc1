"""Comparing an output with its journal: what is missing, what has changed, what nobody owns."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import file_digest
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from downloader.errors import OutputError
from downloader.journal import Journal, Written, WrittenFile
from downloader.workspace import STATE_FOLDER, Workspace

_THREADS = min(32, 4 * (os.cpu_count() or 1))
"""Files read at the same time: hashing lets go of the interpreter's lock, and disks like several requests at once."""
_BATCH = 1000


class _Finding(StrEnum):
    GOOD = "good"
    MISSING = "missing"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


@dataclass(slots=True, kw_only=True)
class Findings:
    """What was found; paths are relative to the output folder, with `/` between folders.

    `items` succeeded and have `files`. `missing` are not there, `changed` have another size or sha256, `unreadable`
    could not be read; `orphaned` are there and belong to no item. `requeued` is the number of items that the next run
    makes again. Memory grows with what is wrong, not with what is right.
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
        """Whether the output is what the journal says, no more and no less."""
        return not (self.missing or self.changed or self.unreadable or self.orphaned)

    def to_json(self) -> dict[str, Any]:
        """The keys that users script against."""
        return {"good": self.good, **asdict(self)}


def verify(output: str | PurePath) -> Findings:
    """Re-hash every result and compare it with the journal; items with a missing result are pending afterwards.

    Raises:
        OutputLocked: a run is working on this output.
        JournalError: there is no journal, or it cannot be used.
        OutputError: the output cannot be read.
    """
    findings, root = Findings(), Path(output)
    with Workspace.open(root) as workspace:
        _check_written(workspace.journal, root, findings)
        _look_for_orphans(workspace.journal, root, findings)
    return findings


def _check_written(journal: Journal, output: Path, findings: Findings) -> None:
    """Read what succeeded items have written, and send back those of which something is missing."""

    def check(of_item: Written) -> list[_Finding]:
        return [_check(output / file.path, file) for file in of_item.files]

    last_id = 0
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as pool:
        while batch := journal.written(last_id, _BATCH):
            last_id = batch[-1].item_id
            incomplete = []
            for of_item, found in zip(batch, pool.map(check, batch), strict=True):
                for file, finding in zip(of_item.files, found, strict=True):
                    if finding is not _Finding.GOOD:
                        getattr(findings, finding).append(file.path)
                if _Finding.MISSING in found:
                    incomplete.append(of_item.item_id)
                findings.files += len(found)
            findings.items += len(batch)
            findings.requeued += len(incomplete)
            journal.requeue(incomplete)


def _check(path: Path, file: WrittenFile) -> _Finding:
    try:
        with path.open("rb") as opened:
            if os.fstat(opened.fileno()).st_size != file.bytes:
                return _Finding.CHANGED
            return _Finding.GOOD if file_digest(opened, "sha256").hexdigest() == file.sha256 else _Finding.CHANGED
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return _Finding.MISSING
    except OSError:
        return _Finding.UNREADABLE


def _look_for_orphans(journal: Journal, output: Path, findings: Findings) -> None:
    try:
        paths = _files_below(output)
        while batch := list(islice(paths, _BATCH)):
            findings.orphaned += journal.unowned(batch)
    except OSError as problem:
        raise OutputError(f"{problem.filename}: cannot be looked into: {problem.strerror}") from problem
    findings.orphaned.sort()


def _files_below(output: Path) -> Iterator[str]:
    """All that is no folder, by its path below the output; links are not followed, state folders not entered."""
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(output / folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    yield folder + entry.name
                elif entry.name != STATE_FOLDER:
                    pending.append(f"{folder}{entry.name}/")
