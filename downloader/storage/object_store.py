"""A place behind a URL as a store: whole objects, put once under their final names from staged files.

An object appears when its upload has ended, never a part of it. The place is listed once; afterwards this store knows
its names, so that no item costs a request for its name. Nobody else may write there meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from threading import Event, Lock
from typing import Any, cast

from downloader.errors import OutputError
from downloader.remote import DEADLINE_S, attempt, open_remote, problem_of, upload
from downloader.storage.interface import NameRefused, NameTaken

_UPLOADS = 16
_LEAST_BYTES_PER_S = 1024**2
"""A large file has a second more for each of these before a failed upload is not begun again."""
_MAX_KEY_BYTES = 1024
"""The longest key of S3, in UTF-8 ("Naming Amazon S3 objects"); Google's limit is the same."""


class ObjectStore:
    """The objects below `url`.

    Args:
        url: such as `s3://bucket/prefix`.
        uploads: objects uploaded at the same time.
        deadline_s: seconds for one request with all its attempts.
    """

    def __init__(self, url: str, *, uploads: int = _UPLOADS, deadline_s: float = DEADLINE_S) -> None:
        self._url = url.rstrip("/")
        self._deadline_s = deadline_s
        self._file_system, self._root = open_remote(url)
        self._pool = ThreadPoolExecutor(uploads, thread_name_prefix="upload")
        self._uploads: dict[str, tuple[str, Future[None]]] = {}
        """Staged file and upload of each name that was put and not synced."""
        self._known: _Names | None = None
        self._listing = Lock()
        self._is_refused = Event()
        """The store as a whole refuses: uploads that wait for their next attempt give up."""

    # -- putting objects -----------------------------------------------------------------------------------------------

    def sync_staged(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Nothing to do: an object is uploaded before it is recorded."""
        del paths
        return {}

    def check(self, name: str, *, replace: bool) -> None:
        """Raise NameTaken or NameRefused if `put` may not write this name."""
        path = self._path(name)
        if len(path.encode("utf-8", "surrogatepass")) > _MAX_KEY_BYTES:
            raise NameRefused(f"{name}: the name is too long for an object store; shorter names come from --name")
        if self._names().clash(name):
            raise NameRefused(f"{name}: a file and a folder want the same name")
        if not replace and name in self._names().sizes:
            raise NameTaken(name)

    def put(self, staged: str, name: str) -> None:
        """Begin to upload a staged file; `sync` tells how it went, and the file is removed when it has gone well."""
        if self._names().clash(name):
            raise NameRefused(f"{name}: a file and a folder want the same name")
        try:
            size = Path(staged).stat().st_size
        except OSError as problem:
            raise NameRefused(f"{name}: {staged} cannot be read: {problem.strerror}") from problem
        self._await(name)
        self._names().add(name, size)
        self._uploads[name] = staged, self._pool.submit(self._upload, staged, self._path(name), size)

    def _upload(self, staged: str, path: str, size: int) -> None:
        attempt(
            lambda: upload(self._file_system, staged, path),
            deadline_s=self._deadline_s + size / _LEAST_BYTES_PER_S,
            given_up=self._is_refused.is_set,
        )

    def sync(self, names: Iterable[str]) -> Mapping[str, str]:
        """Wait for the uploads of these names; those that failed, with reasons."""
        return {name: reason for name in names if (reason := self._outcome(name)) is not None}

    def _outcome(self, name: str) -> str | None:
        staged, error = self._await(name)
        if error is None:
            if staged:
                Path(staged).unlink(missing_ok=True)
            return None
        self._names().discard(name)
        if problem_of(error).is_of_name or not Path(staged).exists():
            return f"{name}: {problem_of(error).message}"
        self._is_refused.set()
        raise self._unusable(error) from error

    def _await(self, name: str) -> tuple[str, BaseException | None]:
        """Wait for the upload of a name, if there is one; its staged file, and what went wrong."""
        staged, future = self._uploads.pop(name, ("", None))
        return staged, future.exception() if future else None

    def _unusable(self, error: BaseException) -> OutputError:
        return OutputError(f"{self._url}: {problem_of(error).message}; the same command continues once it can be used")

    # -- reading and removing ------------------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        """Whether there is an object of this name."""
        return name in self._names().sizes

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is none."""
        return self._names().sizes.get(name)

    def names(self, *, excluded: str, unlisted: list[str]) -> Iterator[str]:
        """Every name; the place is listed whole or not at all."""
        del unlisted
        for name in list(self._names().sizes):
            if excluded not in name.split("/")[:-1]:
                yield name

    def _names(self) -> "_Names":
        with self._listing:
            if self._known is None:
                self._known = self._listed()
            return self._known

    def _listed(self) -> "_Names":
        known = _Names()
        try:
            found = attempt(lambda: self._file_system.find(self._root, detail=True), deadline_s=self._deadline_s)
        except Exception as error:
            raise self._unusable(error) from error
        start = self._root.rstrip("/") + "/"
        for path, facts in found.items():
            if path.startswith(start):
                known.add(path.removeprefix(start), int(facts["size"] or 0))
        return known

    def open(self, name: str) -> BufferedIOBase:
        """Open an object for reading."""
        try:
            path = self._path(name)
            opened: Any = attempt(lambda: self._file_system.open(path, "rb"), deadline_s=self._deadline_s)
        except NameRefused as refused:
            raise FileNotFoundError(str(refused)) from refused
        except OSError:
            raise
        except Exception as error:  # such as missing credentials
            raise OSError(problem_of(error).message) from error
        return cast("BufferedIOBase", opened)

    def remove(self, name: str) -> None:
        """Remove an object, after its upload."""
        if name not in self._names().sizes:
            return
        self._await(name)
        try:
            with suppress(FileNotFoundError):
                attempt(lambda: self._file_system.rm_file(self._path(name)), deadline_s=self._deadline_s)
        except Exception as error:
            raise self._unusable(error) from error
        self._names().discard(name)

    def close(self) -> None:
        """Wait for uploads that are under way, and drop those that have not begun."""
        self._is_refused.set()
        self._pool.shutdown(cancel_futures=True)

    def _path(self, name: str) -> str:
        """The path of a name, which stays below the root.

        Raises:
            NameRefused: it would not.
        """
        if any(part in {"", ".", ".."} for part in name.split("/")) or "?versionId=" in name:
            raise NameRefused(f"{name}: cannot be used as the name of an object; other names come from --name")
        return f"{self._root}/{name}"


class _Names:
    """The names in a store with their sizes, and the folders that they imply with how many names are below each."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self._folders: dict[str, int] = {}

    def clash(self, name: str) -> bool:
        """Whether a folder has this name, or a file is where it needs a folder."""
        return name in self._folders or any(folder in self.sizes for folder in _folders_of(name))

    def add(self, name: str, size: int) -> None:
        if name not in self.sizes:
            for folder in _folders_of(name):
                self._folders[folder] = self._folders.get(folder, 0) + 1
        self.sizes[name] = size

    def discard(self, name: str) -> None:
        if self.sizes.pop(name, None) is None:
            return
        for folder in _folders_of(name):
            self._folders[folder] -= 1
            if not self._folders[folder]:
                del self._folders[folder]


def _folders_of(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]
