"""A folder of this machine as a store: nothing outside it is written, and no symbolic link is followed out of it."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from downloader.errors import OutputError
from downloader.storage.interface import NameRefused, NameTaken

_SYNC_THREADS = 8
"""fsyncs in flight together share the file system's own commits: 0.10 ms a file against 0.18 ms one by one (ext4)."""


class LocalStore:
    """The files of `root`. One thread writes; `exists` and `size` may be called by any."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._safe_folders: set[str] = set()
        self._pool = ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="fsync")

    def sync_staged(self, paths: Iterable[str]) -> None:
        """Flush staged files to disk, several at a time."""
        self._sync(list(paths))

    def check(self, name: str, *, replace: bool) -> None:
        """Raise NameTaken or NameRefused where `put` may not write; makes the folder of the name."""
        try:
            self._make_folder(os.path.dirname(name))  # noqa: PTH120 - text
            is_taken = not replace and os.path.lexists(self._root / name)
        except (FileExistsError, NotADirectoryError) as problem:
            raise NameRefused(f"{problem.filename}: a file and a folder want the same name") from None
        except OSError as problem:
            raise self._unusable(problem) from problem
        if is_taken:
            raise NameTaken(name)

    def _make_folder(self, folder: str) -> None:
        if folder in self._safe_folders:
            return
        target = self._root / folder
        target.mkdir(parents=True, exist_ok=True)
        if os.path.commonpath([os.path.realpath(target), self._real_root]) != self._real_root:
            raise NameRefused(f"{folder}: leads out of the output folder through a symbolic link")
        self._safe_folders.add(folder)

    def put(self, staged: str, name: str) -> None:
        """Rename a staged file, which must be on the same file system."""
        try:
            os.replace(staged, self._root / name)  # noqa: PTH105 - as plain as can be
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as problem:
            raise NameRefused(f"{problem.filename2 or name}: a file and a folder want the same name") from None
        except OSError as problem:
            raise self._unusable(problem) from problem

    def sync(self, names: Iterable[str]) -> None:
        """Flush the folders of these names to disk."""
        folders = {self._root / os.path.dirname(name) for name in names}  # noqa: PTH120 - text
        self._sync([str(folder) for folder in folders if folder.is_dir()])

    def _sync(self, paths: Sequence[str]) -> None:
        shares = [share for first in range(_SYNC_THREADS) if (share := paths[first::_SYNC_THREADS])]
        try:
            list(self._pool.map(_fsync_each, shares))
        except OSError as problem:
            raise self._unusable(problem) from problem

    def exists(self, name: str) -> bool:
        """Whether there is a file, a folder or a link under this name."""
        return os.path.lexists(self._root / name)

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none, or it may not be looked at."""
        try:
            return os.stat(self._root / name).st_size  # noqa: PTH116 - as plain as can be
        except OSError:
            return None

    def open(self, name: str) -> BinaryIO:
        """A file, for reading."""
        return (self._root / name).open("rb")

    def remove(self, name: str) -> None:
        """Remove a file; no error where there is none."""
        try:
            with suppress(FileNotFoundError):
                os.unlink(self._root / name)  # noqa: PTH108 - as plain as can be
        except OSError as problem:
            raise self._unusable(problem) from problem

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _unusable(self, problem: OSError) -> OutputError:
        return OutputError(
            f"{self._root}: cannot be written: {problem.strerror}; the same command continues once it can"
        )


def _fsync_each(paths: Sequence[str]) -> None:
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
