"""The open file of a group: members are appended to it, and what no recorded row owns is cut off.

For tars these are the members as a tar has them (POSIX.1-1988 ustar: keys are short), for tables the bytes of the
images alone, until the table is written.
"""

import os
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from downloader.errors import OutputError
from downloader.model.write_errors import check_resources, write_problem

_BLOCK = tarfile.BLOCKSIZE
_WRITE_BUFFER_BYTES = 1024 * 1024


class Appended(NamedTuple):
    """Where the bytes of an image lie in the file of a group, and the length of the file with everything beside it."""

    offset: int
    end: int


class GroupFile:
    """A file that grows, with the number of rows that its group has.

    Raises OutputError wherever it cannot be written: that concerns every item of the group.

    Attributes:
        number: of the group.
        rows: rows so far, which is the position of the next one.
        size: bytes so far.
    """

    def __init__(self, path: Path, number: int, rows: int = 0, size: int = 0) -> None:
        self.path = path
        self.number = number
        self.rows = rows
        self.size = size
        self._file: BinaryIO | None = None
        self._is_written = False

    def append(self, parts: list[bytes], offset: int) -> Appended:
        """Append bytes, in which those of the image begin at `offset`."""
        start = self.size
        try:
            file = self._opened()
            for part in parts:
                file.write(part)
        except OSError as problem:
            raise self._unusable(problem) from problem
        self._is_written = True
        self.size += sum(map(len, parts))
        return Appended(start + offset, self.size)

    def sync(self) -> None:
        """Flush everything to disk."""
        if self._file is None or not self._is_written:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as problem:
            raise self._unusable(problem) from problem
        self._is_written = False

    def close(self) -> None:
        """Close the file. What was not synced may be lost, such as on a full disk: it is not recorded either."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(exist_ok=True)
            file = self.path.open("r+b" if self.path.exists() else "x+b", _WRITE_BUFFER_BYTES)
            self._file = file
            file.truncate(self.size)
            file.seek(self.size)
            _sync_folder(self.path.parent)
        return self._file

    def _unusable(self, problem: OSError) -> OutputError:
        check_resources(problem)
        return OutputError(
            f"{self.path}: cannot be written: {write_problem(problem)}; the same command continues once it can"
        )


def tar_members(key: str, extension: str, image: bytes, texts: dict[str, str]) -> tuple[list[bytes], int]:
    """The members of a sample as a tar has them, and where in them the bytes of the image begin."""
    parts = [*_member(f"{key}.{extension}", image)]
    for name, text in texts.items():
        parts += _member(f"{key}.{name}", text.encode())
    return parts, _BLOCK


def _member(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, content and padding. Nothing in it depends on the time or the machine."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    return header.tobuf(tarfile.USTAR_FORMAT), content, bytes(-len(content) % _BLOCK)


def tar_ending(size: int) -> bytes:
    """What comes after the last member: two empty blocks, and more up to a whole record, as tar itself writes it."""
    return bytes(2 * _BLOCK + -(size + 2 * _BLOCK) % tarfile.RECORDSIZE)


def read_member(header: bytes, name: str) -> int | None:
    """The size of a member by its header; None if this is not the header of that member."""
    try:
        found = tarfile.TarInfo.frombuf(header, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return None
    return found.size if found.name == name else None


def cut(path: Path, size: int, ending: bytes = b"") -> None:
    """Cut a file to a size, append an ending, and flush it to disk."""
    with path.open("r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.write(ending)
        file.flush()
        os.fsync(file.fileno())


def size_of(path: Path) -> int:
    """Bytes of a file; 0 without one."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
