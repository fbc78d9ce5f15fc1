"""Lists that are read from beginning to end, from a file or from stdin; their format is a parser of byte streams."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from downloader.errors import SourceError
from downloader.model.items import Row
from downloader.sources.access import check_readable, optional_library
from downloader.sources.first_line import no_list, readable

MAX_LINE_BYTES: Final = 65_536
"""The longest line taken as a URL: httpx takes no longer URL either (`MAX_URL_LENGTH`)."""
_BOM = b"\xef\xbb\xbf"
_ZSTD_MODULES = ("compression.zstd", "backports.zstd")
"""The zstd library of Python 3.14, and its backport."""

Parser = Callable[[BinaryIO, str], Iterator[Row]]
"""Makes the rows of an open list, each as soon as it can; takes the stream, and the name that rows call the list by."""
Line = tuple[int, bytes, bool]
"""Number of a line, its bytes, and whether these are all of it; of a line over the limit they are the beginning."""


@dataclass(frozen=True, slots=True)
class ListFile:
    """The bytes of a list file, decompressed if its name ends in `.gz` or `.zst`."""

    path: str

    @property
    def name(self) -> str:
        """What rows call the list by."""
        return self.path

    def check(self) -> None:
        """Make sure that the file may be read and decompressed.

        Raises:
            SourceError: it may not, or a library is missing.
        """
        check_readable(self.path)
        if self._suffix() == "zst":
            self._zstd()

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open the file.

        Raises:
            SourceError: it cannot be opened.
        """
        try:
            match self._suffix():
                case "gz":
                    return _unpacked(Path(self.path).open("rb", buffering=0))
                case "zst":
                    return cast("BinaryIO", self._zstd().open(self.path, "rb"))
                case _:
                    return Path(self.path).open("rb")
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _suffix(self) -> str:
        return self.path.lower().rpartition(".")[2]

    def _zstd(self) -> Any:  # noqa: ANN401 - an optional library
        return optional_library(
            _ZSTD_MODULES, path=self.path, needed_for="zstd", package="backports.zstd", extra="codings"
        )


@contextmanager
def _unpacked(file: FileIO) -> Iterator[BinaryIO]:
    """A gzip file. Without a buffer, a read of a named pipe gives what has come, and waits for no whole block."""
    with file, gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
        yield cast("BinaryIO", unpacked)


@dataclass(frozen=True, slots=True)
class Stdin:
    """The bytes of a list on stdin. They can be read only once, and the stream stays open."""

    stream: BinaryIO | None
    name: str = "stdin"

    def check(self) -> None:
        """Make sure that there is a stdin.

        Raises:
            SourceError: the process has none.
        """
        self.open()

    def open(self) -> AbstractContextManager[BinaryIO]:
        """The stream itself.

        Raises:
            SourceError: the process has no stdin.
        """
        if self.stream is None or self.stream.closed:
            raise SourceError("-: stdin is closed; name a file, or pipe a list into the command")
        return nullcontext(self.stream)


@dataclass(frozen=True, slots=True)
class ListSource:
    """A list: where its bytes come from, and the parser of its format."""

    content: ListFile | Stdin
    parse: Parser

    @property
    def may_wait(self) -> bool:
        """Whether its lines may still be written while it is read: stdin, or a named pipe."""
        return isinstance(self.content, Stdin) or Path(self.content.path).is_fifo()

    def check(self) -> None:
        """Make sure that the list can be opened.

        Raises:
            SourceError: it cannot be; names it and says what to do.
        """
        self.content.check()

    def rows(self) -> Iterator[Row]:
        """The rows, each as soon as its lines have been read.

        Raises:
            SourceError: the list cannot be read, or not to its end (damaged gzip or zstd); names the line.
        """
        with self.content.open() as stream:
            yield from self.parse(stream, self.content.name)


def lines(stream: BinaryIO, name: str, max_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """The lines of a list, in bounded memory. A byte order mark is removed from the first.

    Raises:
        SourceError: it is no list of text, or reading failed halfway; names the line.
    """
    number = 0
    is_examined = False
    try:
        line = stream.readline(max_bytes + 1)
        if (recoded := readable(line, stream)) is not None:
            stream = recoded
            line = stream.readline(max_bytes + 1)
        line = line.removeprefix(_BOM)
        while line:
            number += 1
            if not is_examined and line.strip():
                is_examined = True
                if (reason := no_list(line)) is not None:
                    raise SourceError(f"{name}:{number}: {reason}")
            is_whole = len(line) <= max_bytes or line.endswith(b"\n")
            yield number, line[:max_bytes], is_whole
            while not is_whole:
                rest = stream.readline(max_bytes)
                is_whole = not rest or rest.endswith(b"\n")
            line = stream.readline(max_bytes + 1)
    except _reading_errors() as error:
        message = (
            f"{name}:{number + 1}: the list cannot be read any further: {error}; the rows before are kept: repair it "
            "and run again"
        )
        raise SourceError(message) from error


def _reading_errors() -> tuple[type[Exception], ...]:
    """What is raised when reading fails or compressed data are damaged, by the libraries that are loaded."""
    zstd_errors: list[type[Exception]] = [
        sys.modules[name].ZstdError for name in _ZSTD_MODULES if sys.modules.get(name) is not None
    ]
    return (OSError, EOFError, zlib.error, *zstd_errors)
