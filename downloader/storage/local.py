"""A folder of this machine as a store: nothing outside it is written, and no symbolic link is followed out of it."""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BufferedIOBase
from itertools import chain
from pathlib import Path

from downloader.errors import OutputError
from downloader.model.write_errors import check_resources, ends_run, write_problem
from downloader.storage.interface import NameRefused, NameTaken

_SYNC_THREADS = 8
"""fsyncs in flight together share the file system's own commits: 0.10 ms a file against 0.18 ms one by one (ext4)."""


class LocalStore:
    """The files below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._real_root = os.path.realpath(root)
        self._known_folders: set[str] = set()
        """Folders that exist, inside the root."""
        self._grown_folders: set[str] = set()
        """Folders that got a new folder since the last `sync`."""
        self._pool = ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="fsync")

    # -- putting files -------------------------------------------------------------------------------------------------

    def sync_staged(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Flush staged files to disk, several at a time."""
        return self._sync(list(paths), _fsync)

    def check(self, name: str, *, replace: bool) -> None:
        """Raise NameTaken or NameRefused if `put` may not write this name; make its folder."""
        try:
            status = _status(self._path(name))  # first: of a path that is too long no folder is made
            self._make_folder(os.path.dirname(name))  # noqa: PTH120 - text
        except OSError as problem:
            raise self._refusal(problem, name) from problem
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise _both_file_and_folder(self._path(name))
        if status is not None and not replace:
            raise NameTaken(name)

    def _make_folder(self, folder: str) -> None:
        if folder in self._known_folders:
            return
        if not self._is_inside(folder):
            raise NameRefused(f"{folder}: leads out of the output folder")
        for missing in self._missing_folders(folder):
            with suppress(FileExistsError):  # someone else made it meanwhile, or the check below will tell
                os.mkdir(self._path(missing))  # noqa: PTH102 - text
            self._grown_folders.add(os.path.dirname(missing))  # noqa: PTH120 - text
        if not stat.S_ISDIR(os.stat(self._path(folder)).st_mode):  # noqa: PTH116 - text
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._path(folder))
        self._known_folders.add(folder)

    def _missing_folders(self, folder: str) -> list[str]:
        """The folders that are to be made for `folder`, the outermost first."""
        missing = []
        while folder and not os.path.exists(self._path(folder)):  # noqa: PTH110 - text
            missing.append(folder)
            folder = os.path.dirname(folder)  # noqa: PTH120 - text
        return missing[::-1]

    def _is_inside(self, folder: str) -> bool:
        """Whether a folder, which need not exist, lies below the root once links are followed."""
        real = os.path.realpath(self._path(folder))
        return os.path.commonpath([real, self._real_root]) == self._real_root

    def put(self, staged: str, name: str) -> None:
        """Rename a staged file, which must be on the same file system."""
        try:
            os.replace(staged, self._path(name))  # noqa: PTH105 - as plain as can be
        except OSError as problem:
            self._known_folders.discard(os.path.dirname(name))  # noqa: PTH120 - text; it may be gone
            raise self._refusal(problem, name) from problem

    def sync(self, names: Iterable[str]) -> Mapping[str, str]:
        """Flush the folders of these names to disk, and those above that are new."""
        names = list(names)
        folders = {os.path.dirname(name) for name in names} | self._grown_folders  # noqa: PTH120 - text
        failed = self._sync([self._path(folder) for folder in folders], _fsync_folder)
        self._grown_folders.clear()
        if not failed:
            return {}
        return {name: failed[path] for name in names if (path := self._path(os.path.dirname(name))) in failed}  # noqa: PTH120

    def _sync(self, paths: Sequence[str], fsync: Callable[[str], None]) -> dict[str, str]:
        """Flush all of them, several at a time; the paths that could not be, with reasons."""

        def problems(share: Sequence[str]) -> list[tuple[str, OSError]]:
            return [(path, problem) for path in share if (problem := _problem(fsync, path)) is not None]

        shares = [share for first in range(_SYNC_THREADS) if (share := paths[first::_SYNC_THREADS])]
        failed = {}
        for path, problem in chain.from_iterable(self._pool.map(problems, shares)):
            if self._ends_run(problem, path):
                raise self._unusable(problem) from problem
            failed[path] = f"{path}: cannot be made durable: {write_problem(problem)}"
        return failed

    # -- what a failure means ------------------------------------------------------------------------------------------

    def _refusal(self, problem: OSError, name: str) -> NameRefused | OutputError:
        """What an error means for the item with this name, or for the run."""
        path = self._path(name)
        if self._ends_run(problem, path):
            return self._unusable(problem)
        if isinstance(problem, FileExistsError | NotADirectoryError | IsADirectoryError):
            return _both_file_and_folder(path)
        return NameRefused(f"{path}: {write_problem(problem)}")

    def _ends_run(self, problem: OSError, path: str) -> bool:
        check_resources(problem)
        is_usable = os.path.isdir(self._root) and os.access(self._root, os.W_OK | os.X_OK)  # noqa: PTH112 - text
        return ends_run(problem.errno, root_is_usable=is_usable, is_elsewhere=is_usable and self._is_elsewhere(path))

    def _is_elsewhere(self, path: str) -> bool:
        """Whether the innermost folder of a path that exists is on another file system than the root."""
        while path and not os.path.isdir(path):  # noqa: PTH112 - text
            path = os.path.dirname(path)  # noqa: PTH120 - text
        return os.stat(path or ".").st_dev != os.stat(self._root).st_dev  # noqa: PTH116 - text

    def _unusable(self, problem: OSError) -> OutputError:
        return OutputError(
            f"{self._root}: cannot be written: {problem.strerror}; the same command continues once it can"
        )

    # -- reading and removing ------------------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        """Whether there is anything but a folder under this name; links are not followed."""
        try:
            status = _status(self._path(name))
        except OSError:
            return False
        return status is not None and not stat.S_ISDIR(status.st_mode)

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none, or it may not be looked at."""
        try:
            status = os.stat(self._path(name))  # noqa: PTH116 - as plain as can be
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def names(self, *, excluded: str, unlisted: list[str]) -> Iterator[str]:
        """Everything that is not a folder; links are listed, not followed."""
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(self._path(folder)) as entries:
                    for entry in entries:
                        if not entry.is_dir(follow_symlinks=False):
                            yield folder + entry.name
                        elif entry.name != excluded:
                            pending.append(f"{folder}{entry.name}/")
            except OSError as problem:
                if not folder:
                    raise OutputError(f"{self._root}: cannot be read: {problem.strerror}") from problem
                unlisted.append(folder)

    def open(self, name: str) -> BufferedIOBase:
        """Open a file for reading; without waiting for the other end of a pipe."""
        path = self._path(name)
        file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - closed by the caller
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise IsADirectoryError(errno.EISDIR, "not a regular file", path)
        return file

    def remove(self, name: str) -> None:
        """Remove a file or a link; leave a folder, and what lies behind a link out of the root.

        What cannot be removed is left as well: `verify` names it as belonging to no item.
        """
        if not self._is_inside(os.path.dirname(name)):  # noqa: PTH120 - text
            return
        try:
            status = _status(self._path(name))
            if status is not None and not stat.S_ISDIR(status.st_mode):
                os.unlink(self._path(name))  # noqa: PTH108 - as plain as can be
        except OSError as problem:
            if self._ends_run(problem, self._path(name)):
                raise self._unusable(problem) from problem

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name)  # noqa: PTH118 - text: three times a file


def _status(path: str) -> os.stat_result | None:
    """What is at a path, links not followed; None if nothing is."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.lstat(path)
    return None


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _both_file_and_folder(path: str) -> NameRefused:
    return NameRefused(f"{path}: a file and a folder want the same name")


def _problem(fsync: Callable[[str], None], path: str) -> OSError | None:
    try:
        fsync(path)
    except OSError as problem:
        return problem
    return None


def _fsync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fsync_folder(path: str) -> None:
    """Flush a folder, where the system can: not all let a folder be opened, or flushed (as PostgreSQL treats it)."""
    try:
        _fsync(path)
    except OSError as problem:
        if problem.errno not in {errno.EACCES, errno.EISDIR, errno.EBADF, errno.EINVAL, errno.ENOTSUP}:
            raise
