"""Taking a file that is on this machine already: it is only ever read."""

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Failed, Fetched, Item, Unchanged, Validator

_CHUNK_BYTES = 1024 * 1024


def open_local(item: Item) -> Fetched | Unchanged | Failed:
    """A local file as fetched bytes; their sha256 is left to whoever reads them.

    Its size and time of change tell versions apart.
    """
    try:
        # Opened first, so that what may not be read is `permission`, whatever it is; non-blocking, for named pipes.
        handle = os.open(item.source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(handle)
        finally:
            os.close(handle)
    except FileNotFoundError:
        return _failed(item, FailureKind.NOT_FOUND, "there is no such file any more")
    except PermissionError:
        return _failed(item, FailureKind.PERMISSION, "permission denied")
    except (OSError, ValueError) as problem:
        return _failed(item, FailureKind.NOT_FOUND, f"cannot be opened: {getattr(problem, 'strerror', problem)}")
    if not stat.S_ISREG(status.st_mode):
        return _failed(item, FailureKind.NOT_FOUND, "not a regular file")
    version = Validator(etag=f'"{status.st_size:x}-{status.st_mtime_ns:x}"')
    if item.previous and item.previous.validator == version:
        return Unchanged(item=item)
    return Fetched(item=item, path=item.source, bytes=status.st_size, staged=False, attempts=1, validator=version)


def copy_local(item: Item, staging: str) -> Fetched | Unchanged | Failed:
    """A copy of a local file, for `fetch`, whose results are the bytes themselves.

    Raises:
        OSError: the copy cannot be written.
    """
    fact = open_local(item)
    if not isinstance(fact, Fetched):
        return fact
    path = f"{staging}/{item.id}.body"
    digest = hashlib.sha256()
    size = 0
    with Path(item.source).open("rb") as original, Path(path).open("wb") as copy:
        while chunk := original.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += copy.write(chunk)
    return replace(fact, path=path, bytes=size, staged=True, sha256=digest.hexdigest())


def hash_of(path: str) -> str | None:
    """The hex sha256 of a file; None where it cannot be read."""
    try:
        with Path(path).open("rb") as body:
            return hashlib.file_digest(body, "sha256").hexdigest()
    except OSError:
        return None


def _failed(item: Item, kind: FailureKind, message: str) -> Failed:
    return Failed(item=item, stage=Stage.SOURCE, kind=kind, message=message, attempts=1)
