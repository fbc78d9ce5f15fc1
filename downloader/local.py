"""The local stage: files of this machine, which are only ever read, on their way to the transforms.

Also what needs no fetching at all: rows that cannot be used, and bytes that an earlier run has fetched. Nothing here
opens a socket.
"""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from downloader.errors import OutputError
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import (
    Failed,
    Fetched,
    File,
    FileSpan,
    Invalid,
    Item,
    Skipped,
    Unchanged,
    Validator,
)
from downloader.model.spans import Phase, Span
from downloader.model.write_errors import check_resources, ends_run, write_problem
from downloader.scheduling.interface import Emit, HandOn
from downloader.screening import Screening
from downloader.stop import Stop

_READ_BYTES = 1024 * 1024

Task = Item | Fetched
"""What has no outcome yet: an item, or bytes that an earlier run has fetched."""


class UnreadableFile(Exception):
    """A file of this machine cannot be read; `problem` is why."""

    def __init__(self, problem: OSError) -> None:
        super().__init__(str(problem))
        self.problem = problem


class LocalFeed(Protocol):
    """Hands out what needs no network. Threads may share it."""

    def take(self) -> Task | None:
        """The next task, after waiting for it if need be; None when there is none left or the run ends."""


class LocalStage:
    """Turns items that need no network into fetched files.

    Args:
        feed: where items come from.
        threads: files that are opened, or copied, at the same time.
        staging: folder for copies, where files are to be copied as `fetch` does; None where they are used in place.
        screening: decides what is wanted.
        emit: takes every fact, before `hand_on` passes the file to the next stage.
        hand_on: the next stage; None where there is none.
        stop: ends the stage early.
        thread_prefix: what the names of its threads begin with.
    """

    def __init__(
        self,
        feed: LocalFeed,
        *,
        threads: int,
        staging: str | None,
        screening: Screening,
        emit: Emit,
        hand_on: HandOn | None,
        stop: Stop,
        thread_prefix: str = "",
    ) -> None:
        self._feed = feed
        self.threads = threads
        self._staging = staging
        self._screening = screening
        self._emit = emit
        self._hand_on = hand_on
        self._stop = stop
        self._thread_prefix = thread_prefix

    def run(self) -> None:
        """Work until the backlog is empty or the run stops; raises what ended a thread."""
        with ThreadPoolExecutor(self.threads, thread_name_prefix=f"{self._thread_prefix}local") as pool:
            loops = [pool.submit(self._loop) for _ in range(self.threads)]
            for loop in loops:
                loop.result()

    def _loop(self) -> None:
        try:
            while (task := self._feed.take()) is not None:
                self._process(task)
        except BaseException:
            self._stop.abort()
            raise

    def _process(self, task: Task) -> None:
        if isinstance(task, Fetched):
            fact: Fetched | Unchanged | Failed | Skipped = task
        else:
            fact = self._fact(task)
            self._emit(fact)
        if isinstance(fact, Fetched) and self._hand_on is not None:
            self._hand_on(fact)

    def _fact(self, item: Item) -> Fetched | Unchanged | Failed | Skipped:
        if isinstance(item.what, Invalid):
            return _failed(item, FailureKind.INVALID_URL, item.what.reason)
        wanted = self._screening.before_fetch(item)
        if isinstance(wanted, Skipped):
            return wanted
        fact = open_local(wanted)
        if not isinstance(fact, Fetched):
            return fact
        if self._staging is not None:
            fact = self._copied(fact, self._staging)
        return self._screening.after_fetch(fact) if isinstance(fact, Fetched) else fact

    @staticmethod
    def _copied(fetched: Fetched, staging: str) -> Fetched | Failed:
        try:
            return copy_local(fetched, staging)
        except UnreadableFile as unreadable:
            return _unreadable(fetched.item, unreadable.problem)
        except OSError as problem:
            check_resources(problem)
            if ends_run(problem.errno, root_is_usable=Path(staging).is_dir()):
                raise OutputError(
                    f"{staging}: cannot be written: {problem.strerror}; the same command continues once it can"
                ) from problem
            return replace(
                _failed(fetched.item, FailureKind.WRITE, f"cannot be copied: {write_problem(problem)}"),
                stage=Stage.OUTPUT,
            )


def open_local(item: Item) -> Fetched | Unchanged | Failed:
    """A local file, or a span of one, as fetched bytes; their sha256 is left to the transform, which reads them anyway.

    The size and the modification time of the file tell versions apart.
    """
    assert isinstance(item.what, File | FileSpan)
    path = item.what.path
    try:
        # Opened first, so that what may not be read is `permission`, whatever it is; non-blocking, for named pipes.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(handle)
        finally:
            os.close(handle)
    except (OSError, ValueError) as problem:
        return _unreadable(item, problem)
    if not stat.S_ISREG(status.st_mode):
        return _failed(item, FailureKind.NOT_FOUND, "not a regular file")
    version = Validator(etag=f'"{status.st_size:x}-{status.st_mtime_ns:x}"')
    if item.previous and item.previous.validator == version:
        return Unchanged(item=item)
    offset, size = (item.what.offset, item.what.length) if isinstance(item.what, FileSpan) else (0, status.st_size)
    if offset + size > status.st_size:
        return _failed(
            item, FailureKind.NOT_FOUND, f"{path} ends before byte {offset + size}; it is shorter than listed"
        )
    return Fetched(item=item, path=path, bytes=size, staged=False, offset=offset, attempts=1, validator=version)


def copy_local(fetched: Fetched, staging: str) -> Fetched:
    """A copy of a local file, for `fetch`, whose results are the bytes themselves.

    Raises:
        UnreadableFile: the file itself cannot be read.
        OSError: the copy cannot be written.
    """
    started_s = time.monotonic()
    path = f"{staging}/{fetched.item.id}.body"
    digest = hashlib.sha256()
    size = 0
    with Path(path).open("wb") as copy:
        for chunk in _chunks(fetched):
            digest.update(chunk)
            size += copy.write(chunk)
    span = Span(Phase.BODY, started_s, time.monotonic(), threading.current_thread().name)
    return replace(
        fetched, path=path, bytes=size, offset=0, staged=True, sha256=digest.hexdigest(), spans=(*fetched.spans, span)
    )


def _chunks(fetched: Fetched) -> Iterator[bytes]:
    """The bytes of a file on this machine.

    Raises:
        UnreadableFile: they cannot be read.
    """
    left = fetched.bytes
    try:
        with Path(fetched.path).open("rb") as original:
            original.seek(fetched.offset)
            while chunk := original.read(min(_READ_BYTES, left)):
                left -= len(chunk)
                yield chunk
    except OSError as problem:
        raise UnreadableFile(problem) from problem


def _unreadable(item: Item, problem: OSError | ValueError) -> Failed:
    check_resources(problem)
    match problem:
        case FileNotFoundError():
            return _failed(item, FailureKind.NOT_FOUND, "there is no such file any more")
        case PermissionError():
            return _failed(item, FailureKind.PERMISSION, "permission denied")
        case _:
            reason = getattr(problem, "strerror", None) or problem
            return _failed(item, FailureKind.NOT_FOUND, f"cannot be read: {reason}")


def _failed(item: Item, kind: FailureKind, message: str) -> Failed:
    return Failed(item=item, stage=Stage.SOURCE, kind=kind, message=message, attempts=1)
