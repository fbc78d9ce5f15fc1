"""The `webdataset` and `parquet` sinks: results packed into groups of a fixed number of rows, in order of outcomes.

Order of durability for each batch: everything is appended to the open file of the group, which is flushed once; then
the journal records outcomes and rows in one transaction; then groups that are full are sealed. After a crash the open
file is cut back to what the journal knows, so nothing that was downloaded is lost, and nothing is there twice.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path

from downloader.model.groups import GroupRow, GroupState, RowStatus
from downloader.model.items import (
    Failed,
    Fetched,
    Item,
    Outcome,
    Output,
    PreviousResult,
    Skipped,
    Stored,
    Transformed,
    Unchanged,
)
from downloader.model.spans import Phase, Span
from downloader.model.write_errors import check_resources
from downloader.sinks.group_files import GroupFile, size_of, tar_members
from downloader.sinks.grouping import Dataset, file_names, status_of
from downloader.sinks.interface import Located, Result, write_failed
from downloader.sinks.reading import ResultReader
from downloader.sinks.sealing import GroupRecords, Sealer
from downloader.storage.interface import Store

_log = logging.getLogger("downloader")


class NoOutputs:
    """What a sink of groups says of outputs that exist: none is that of an item, as keys follow from outcomes."""

    def existing_output(self, _: Item) -> str | None:
        """Nothing exists under the name of an item."""
        return None

    def has_outputs(self, _: PreviousResult) -> bool:
        """An item that is to be done again gets a new sample; what was packed before is never taken for it."""
        return False


class GroupSink(NoOutputs):
    """Packs results into groups.

    Args:
        store: where groups go when they are sealed.
        folder: where the file of the open group lies.
        dataset: what the groups are like.
        records: the rows of groups, in the journal.
    """

    def __init__(self, store: Store, folder: Path, dataset: Dataset, records: GroupRecords) -> None:
        self._store = store
        self._dataset = dataset
        self._records = records
        self._sealer = Sealer(store, folder, dataset, records)
        self._folder = folder
        self._reader = ResultReader(store, folder)
        self._current: GroupFile | None = None
        self._full: list[GroupFile] = []
        """Groups that are full, to be sealed once their rows are recorded."""
        self._appended: list[str] = []
        """Staged files of results that were appended, to be removed once these are recorded."""
        self._next_number = 0
        self._sealed: list[int] = []

    # -- starting and ending -------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Seal what was complete, cut the open file back to what is recorded, and remove what no row owns."""
        self._next_number = self._records.next_group()
        for state in (GroupState.SEALING, GroupState.OPEN):
            for number in self._records.groups(state):
                self._continue(number, state)
        kept = self._current.path if self._current else None
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path != kept:
                    with suppress(OSError):  # such as a folder, which is not ours
                        path.unlink()

    def _continue(self, number: int, state: GroupState) -> None:
        rows, size = self._records.group_extent(number)
        path = self._sealer.open_path(number)
        if size_of(path) < size and not (state is GroupState.SEALING and self._sealer.is_put(number)):
            _log.warning("%s: is gone or too short; what it held is made again", path)
            self._records.abandon_group(number)
        elif rows >= self._dataset.group_rows or state is GroupState.SEALING:
            self._seal(number)
        else:
            self._current = GroupFile(path, number, rows, size)

    def finish(self) -> None:
        """Seal the last group, which may be smaller than the others: there will be no more rows in this run."""
        if self._current is not None and self._current.rows:
            self._current.close()
            self._seal(self._current.number)
        self._current = None

    def _seal(self, number: int) -> None:
        self._sealer.seal(number)
        self._sealed.append(number)

    @property
    def sealed(self) -> Sequence[int]:
        """The numbers of the groups that this sink has sealed, in order."""
        return self._sealed

    # -- batches -------------------------------------------------------------------------------------------------------

    def store(self, batch: Sequence[Result | Failed | Skipped | Unchanged]) -> list[Outcome]:
        """Append the results of a batch, durably, and give each outcome its row."""
        started_s = time.monotonic()
        ids = [fact.item.id for fact in batch]
        columns = self._records.columns_of(ids) if ids and self._dataset.has_listed else {}
        outcomes = [self._outcome(fact, columns.get(fact.item.id, {})) for fact in batch]
        for group in (*self._full, self._current):
            if group is not None:
                group.sync()
        span = Span(Phase.WRITE, started_s, time.monotonic(), threading.current_thread().name)
        return [
            replace(outcome, spans=(span,)) if isinstance(fact, Transformed | Fetched) else outcome
            for fact, outcome in zip(batch, outcomes, strict=True)
        ]

    def _outcome(self, fact: Result | Failed | Skipped | Unchanged, columns: Mapping[str, str]) -> Outcome:
        if isinstance(fact, Unchanged):
            return fact
        if isinstance(fact, Failed | Skipped):
            return self._noted(fact)
        if isinstance(fact, Fetched):
            return self._noted(write_failed(fact.item, "bytes of any format are not packed; use --sink files"))
        rendition = fact.renditions[0]
        try:
            image = Path(rendition.path).read_bytes()
        except OSError as problem:
            check_resources(problem)
            return self._noted(write_failed(fact.item, f"{rendition.path}: cannot be read: {problem.strerror}"))
        if len(image) != rendition.bytes:
            return self._noted(write_failed(fact.item, f"{rendition.path}: is not as long as it was written"))
        self._appended.append(rendition.path)
        return self._stored(fact, image, columns)

    def _noted(self, fact: Failed | Skipped) -> Failed | Skipped:
        """An item without a result takes a row without an image."""
        group = self._room()
        status, reason, message = status_of(fact)
        row = GroupRow(
            group=group.number,
            position=group.rows,
            end=group.size,
            at_s=time.time(),
            status=status,
            reason=reason,
            message=message,
        )
        group.rows += 1
        return replace(fact, row=row)

    def _stored(self, fact: Transformed, image: bytes, columns: Mapping[str, str]) -> Stored:
        group = self._room()
        rendition = fact.renditions[0]
        key = self._dataset.key(group.number, group.rows)
        row = GroupRow(
            group=group.number,
            position=group.rows,
            end=0,
            at_s=time.time(),
            status=RowStatus.SUCCESS,
            reason=RowStatus.SUCCESS.value,
            width=rendition.width,
            height=rendition.height,
            original_width=fact.width,
            original_height=fact.height,
            exif=fact.exif,
            sha256=fact.sha256,
        )
        parts, begin = self._packed(key, image, row, fact.item.source, columns)
        offset, end = group.append(parts, begin)
        group.rows += 1
        output = Output(
            variant=rendition.variant,
            path=file_names(group.number)[2 if self._dataset.kind == "webdataset" else 0],
            format=rendition.format,
            width=rendition.width,
            height=rendition.height,
            bytes=rendition.bytes,
            sha256=rendition.sha256,
            member=f"{key}.{self._dataset.extension}",
            offset=offset,
        )
        row = replace(row, offset=offset, length=len(image), end=end)
        return Stored(item=fact.item, outputs=(output,), row=row)

    def _packed(
        self, key: str, image: bytes, row: GroupRow, source: str, columns: Mapping[str, str]
    ) -> tuple[list[bytes], int]:
        """What is appended for a sample, and where in it the image begins."""
        if self._dataset.kind == "parquet":
            return [image], 0
        values = self._dataset.values(row, source, columns)
        texts = {"json": self._dataset.document(values)}
        if self._dataset.caption is not None:
            texts["txt"] = str(values["caption"])
        return tar_members(key, self._dataset.extension, image, texts)

    def _room(self) -> GroupFile:
        """The group that takes the next row: a new one where the last is full."""
        if self._current is not None and self._current.rows >= self._dataset.group_rows:
            self._full.append(self._current)
            self._current = None
        if self._current is None:
            while any(self._store.exists(name) for name in file_names(self._next_number)):  # of somebody else
                self._next_number += 1
            number = self._next_number
            self._next_number += 1
            self._current = GroupFile(self._sealer.open_path(number), number)
        return self._current

    def settle(self, _: Sequence[Outcome]) -> None:
        """Remove the staged files of what is recorded now, and seal the groups that are full."""
        for path in self._appended:
            with suppress(OSError):  # the next run tries again
                Path(path).unlink()
        self._appended.clear()
        if self._current is not None and self._current.rows >= self._dataset.group_rows:
            self._full.append(self._current)
            self._current = None
        for group in self._full:
            group.close()
            self._seal(group.number)
        self._full.clear()

    # -- reading -------------------------------------------------------------------------------------------------------

    def open(self, output: Located) -> BufferedIOBase:
        """Open a result for reading, in a sealed group or in the open one."""
        return self._reader.open(output)

    def close(self) -> None:
        """Close files and the store. An open group stays: the next run continues it."""
        for group in (*self._full, self._current):
            if group is not None:
                group.close()
        self._store.close()
