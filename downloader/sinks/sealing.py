"""Sealing: a complete group gets its table and statistics, and appears under its final names.

Everything is made from what the journal and the open file hold, so it can be done again after a crash at any moment.
The tar is put last: readers look for tars, and find none before everything beside it is there.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from downloader.errors import OutputError
from downloader.model.groups import Extent, GroupRow, GroupState, RecordedRow
from downloader.model.write_errors import check_resources
from downloader.sinks.group_files import cut, size_of, tar_ending
from downloader.sinks.grouping import Dataset, Statistics, file_names, group_name
from downloader.sinks.tables import Cell, Column, Image, write_table
from downloader.storage.interface import NameRefused, NameTaken, Store

_NUMBERS = frozenset({"width", "height", "original_width", "original_height"})


class GroupRecords(Protocol):
    """What a journal remembers of groups."""

    def groups(self, state: GroupState) -> list[int]:
        """The numbers of the groups in this state, in order."""

    def next_group(self) -> int:
        """The number after the last one that a group ever had."""

    def group_extent(self, number: int) -> Extent:
        """How many rows a group has that is not sealed, and how long its file is with them."""

    def group_rows(self, number: int) -> Iterator[RecordedRow]:
        """The rows of a group that is not sealed, in order."""

    def columns_of(self, ids: Sequence[int]) -> Mapping[int, Mapping[str, str]]:
        """The columns of those of the items that have any."""

    def begin_sealing(self, number: int) -> None:
        """Let a group take no more rows; on return this and all rows survive a power cut."""

    def end_sealing(self, number: int) -> None:
        """Remember that the files of a group are complete."""

    def abandon_group(self, number: int) -> None:
        """Give up a group of which the file is lost: its items are to be done again."""


class Sealer:
    """Puts the files of complete groups into a store.

    Args:
        store: where they go.
        folder: where open files are, and where those of a group are made before they are put.
        dataset: what the groups are like.
        records: the rows of groups.
    """

    def __init__(self, store: Store, folder: Path, dataset: Dataset, records: GroupRecords) -> None:
        self._store = store
        self._folder = folder
        self._dataset = dataset
        self._records = records

    def open_path(self, number: int) -> Path:
        """Where the open file of a group lies."""
        suffix = "tar" if self._dataset.kind == "webdataset" else "bytes"
        return self._folder / f"{group_name(number)}.{suffix}"

    def seal(self, number: int) -> None:
        """Seal a group of which all rows are recorded, also one that was being sealed when a run died.

        Raises:
            OutputError: its files cannot be written.
        """
        self._records.begin_sealing(number)
        self._folder.mkdir(exist_ok=True)
        try:
            if not self.is_put(number):
                self._put(self._made(number))
        except OSError as problem:
            check_resources(problem)
            raise OutputError(
                f"{self._folder}: group {group_name(number)} cannot be written: {problem.strerror or problem}; the "
                "same command continues once it can"
            ) from problem
        self._records.end_sealing(number)
        for name in {self.open_path(number).name, *file_names(number)}:  # a store may copy what it puts
            with suppress(FileNotFoundError):
                (self._folder / name).unlink()

    def is_put(self, number: int) -> bool:
        """Whether the tar of a group that is being sealed has been put, which is the last of its files.

        Tables are made again in any case: the file that they are made from stays until the group is sealed.
        """
        if self._dataset.kind == "parquet" or self.open_path(number).exists():
            return False
        return self._store.exists(file_names(number)[2])

    def _made(self, number: int) -> list[tuple[Path, str]]:
        """The files of a group, and the names that they are to have, in the order in which they are put."""
        table, statistics, tar = file_names(number)
        counts = Statistics()
        path = self.open_path(number)
        size = self._records.group_extent(number).bytes
        write_table(self._folder / table, self._columns(), self._cells(number, counts))
        (self._folder / statistics).write_text(json.dumps(counts.to_json(), indent=4) + "\n")
        made = [(self._folder / table, table), (self._folder / statistics, statistics)]
        if self._dataset.kind == "parquet":
            return made[::-1]
        if size:  # readers take an empty tar for a broken dataset, so a group without a success has none
            cut(path, size, tar_ending(size))
            made.append((path, tar))
        return made

    def _columns(self) -> list[Column]:
        columns: list[Column] = [(name, int if name in _NUMBERS else str) for name in self._dataset.columns]
        if self._dataset.kind == "parquet":
            columns.append((self._dataset.extension, Image if self._dataset.has_structs else bytes))
        return columns

    def _cells(self, number: int, counts: Statistics) -> Iterator[Mapping[str, Cell]]:
        path = self.open_path(number)
        holds_images = self._dataset.kind == "parquet" and size_of(path) > 0
        handle = os.open(path, os.O_RDONLY) if holds_images else None
        try:
            for row, source, columns in self._records.group_rows(number):
                counts.count(row)
                cells: dict[str, Cell] = dict(self._dataset.values(row, source, columns))
                if self._dataset.kind == "parquet":
                    cells[self._dataset.extension] = self._image(handle, row)
                yield cells
        finally:
            if handle is not None:
                os.close(handle)

    def _image(self, handle: int | None, row: GroupRow) -> bytes | Image | None:
        data = _bytes_of(handle, row)
        if data is None or not self._dataset.has_structs:
            return data
        return Image(data, f"{self._dataset.key(row.group, row.position)}.{self._dataset.extension}")

    def _put(self, files: list[tuple[Path, str]]) -> None:
        """Put files under their final names, one after the other, each durable before the next."""
        problems = dict(self._store.sync_staged([str(path) for path, _ in files]))
        for path, name in files if not problems else ():
            try:
                self._store.check(name, replace=True)  # the number was free, so it is of this group
                self._store.put(str(path), name)
            except (NameTaken, NameRefused) as refused:
                problems[name] = str(refused)
            else:
                problems.update(self._store.sync([name]))
            if problems:
                break
        if problems:
            raise OutputError(f"{next(iter(problems.values()))}; the same command continues once it can be written")


def _bytes_of(handle: int | None, row: GroupRow) -> bytes | None:
    """The bytes of the image of a row, from the open file of its group."""
    if row.offset is None or row.length is None:
        return None
    if handle is None:
        raise OSError("the file with the images of the group is gone")
    data = os.pread(handle, row.length, row.offset)
    if len(data) != row.length:
        raise OSError("the file with the images of the group is too short")
    return data
