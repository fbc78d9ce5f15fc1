"""Files that appear under their name whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from downloader.errors import OutputError


@contextmanager
def replaced_file(path: Path, *, staging: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write that appears under `path`, durably, when the block ends; an exception leaves what was there.

    Until then it lies in `staging`, a folder of the same file system, or beside `path`.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = (staging or path.parent) / f".table-{secrets.token_hex(8)}.new"
    try:
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as problem:
        raise OutputError(f"{path}: cannot be written: {problem.strerror or problem}") from problem


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system can: not all let a folder be opened or flushed."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
