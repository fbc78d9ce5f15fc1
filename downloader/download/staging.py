"""Unfinished downloads: their files in the staging folder, and what the journal knows of them."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import BinaryIO

from downloader.download import resume
from downloader.download.digests import checksum_is_listed
from downloader.download.fetch_task import FetchTask
from downloader.model.items import Item, Part, Partial


class StagingFolder:
    """Files of downloads, for one thread.

    Args:
        path: of the folder. Paths are text here: those of pathlib cost a tenth of a small download.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._mark, self._numbers = secrets.token_hex(4), count()
        """Unique to this object: no other one, of this run or another, uses the same names."""

    def path_of(self, name: str) -> str:
        """The path of a file."""
        return os.path.join(self._path, name)

    def new_name(self, item: Item) -> str:
        """A name for a file that no earlier file of this item had."""
        return f"{item.id}.{self._mark}-{next(self._numbers)}.body"

    def size_of(self, name: str) -> int | None:
        """The size of a file in bytes; None if there is none."""
        try:
            return os.stat(self.path_of(name)).st_size
        except FileNotFoundError:
            return None

    def create(self, name: str, size: int) -> None:
        """Create a file of this size, all zeros."""
        with open(self.path_of(name), "xb") as body:
            body.truncate(size)

    def open(self, name: str) -> BinaryIO:
        """A file, for reading."""
        return open(self.path_of(name), "rb")

    def sync(self, name: str) -> None:
        """Make a file durable."""
        handle = os.open(self.path_of(name), os.O_RDONLY)
        try:
            getattr(os, "fdatasync", os.fsync)(handle)  # no fdatasync on macOS
        finally:
            os.close(handle)

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        if name:
            with suppress(FileNotFoundError):
                os.unlink(self.path_of(name))


class PartKeeper:
    """Keeps parts of downloads for later attempts and later runs.

    Args:
        folder: of the files.
        report: takes the parts that are durable.
    """

    def __init__(self, folder: StagingFolder, report: Callable[[Partial], None]) -> None:
        self.folder = folder
        self._report = report

    def recovered(self, part: Part) -> Part:
        """What is left of a part of an earlier run: all of it, or nothing."""
        held = part.total or 0 if part.segments else part.bytes
        size = self.folder.size_of(part.name)
        if size is None or size < held:
            return Part()
        if part.segments and all(segment.at == segment.stop for segment in part.segments):
            return replace(part, bytes=held, segments=())
        return part

    def is_worth_keeping(self, task: FetchTask) -> bool:
        """Whether the part of a task is of use to a later run."""
        part = task.transfer.part if task.transfer else task.part
        if not resume.worth_keeping(part):
            return False
        return bool(part.segments) or resume.may_resume(part, checksum_known=checksum_is_listed(task.item))

    def save(self, task: FetchTask) -> None:
        """Make the part of a task durable, and only then report it."""
        if task.transfer is None:
            if self.is_worth_keeping(task):
                self._save(task.item, task.part)
            return
        with task.transfer.while_running() as is_running:
            if is_running and self.is_worth_keeping(task):
                self._save(task.item, task.transfer.part)

    def drop(self, task: FetchTask) -> None:
        """Delete the part of a task. Its name is not used again: the journal may still refer to it."""
        self.folder.remove(task.transfer.name if task.transfer else task.part.name)
        task.part = Part()

    def _save(self, item: Item, part: Part) -> None:
        """`part` was determined before the sync, which is for the bytes of all its segments."""
        self.folder.sync(part.name)
        self._report(Partial(item=item, part=part))
