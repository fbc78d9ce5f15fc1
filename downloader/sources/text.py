"""Lists of URLs, one a line, commas and all.

Blank lines and lines that begin with `#` are skipped; every other line is one row, whatever it holds, so that a line
that is no URL gets its outcome like any other. A list is never held in memory, and neither is a line without end.
"""

import gzip
import importlib
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from downloader.errors import SourceError
from downloader.model.items import Row, Url

LINE_LIMIT_BYTES: Final = 65_536
"""The longest line taken as a URL: httpx takes no longer URL either (`MAX_URL_LENGTH`)."""
_SHOWN_BYTES = 1000
"""As much of a longer line as its row keeps: enough for a person to find it."""
_BOM = b"\xef\xbb\xbf"
_ZSTD = ("compression.zstd", "backports.zstd")

Reader = Callable[[BinaryIO, str], Iterator[Row]]
"""Makes rows of an open list; takes its name as well."""


def read_file(path: str, read: Reader) -> Iterator[Row]:
    """The rows of a list file, `.gz` and `.zst` unpacked on the way; `read` is the `read_stream` of its kind.

    Raises:
        SourceError: the file cannot be read, or not to its end (damaged gzip or zstd); names the file and the line.
    """
    try:
        opened = _opened(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    with opened as stream:
        yield from read(stream, path)


def _opened(path: str) -> BinaryIO:
    """A list file, unpacked as its name says."""
    match path.lower().rpartition(".")[2]:
        case "gz":
            return cast("BinaryIO", gzip.open(path, "rb"))
        case "zst":
            return cast("BinaryIO", zstd(path).open(path, "rb"))
        case _:
            return Path(path).open("rb")


def zstd(path: str) -> Any:  # noqa: ANN401 - an optional library
    """The library that reads zstd: of Python 3.14, or its backport; `path` is who needs it.

    Raises:
        SourceError: there is none; says how to get it.
    """
    for name in _ZSTD:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise SourceError(
        f"{path}: zstd is read with backports.zstd, which is not installed; the extra 'codings' brings it, or "
        "pip install backports.zstd"
    )


def _reading_errors() -> tuple[type[Exception], ...]:
    """What is raised where reading fails or packed data are damaged, by the libraries that are in use."""
    found: list[type[Exception]] = [sys.modules[name].ZstdError for name in _ZSTD if name in sys.modules]
    return (OSError, EOFError, zlib.error, *found)


def read_stream(stream: BinaryIO, name: str) -> Iterator[Row]:
    """The rows of an open list, each as soon as its line is there; `name` is what `Row.where` calls the list.

    Bytes that are not UTF-8 stay distinguishable (as surrogates) and fail with their own row, not the run. So does a
    line over `LINE_LIMIT_BYTES`: its row keeps the beginning only, behind a remark that makes it no URL.

    Raises:
        SourceError: reading failed half-way; names the line.
    """
    for number, line, whole in lines(stream, name):
        text = line.strip()
        if text.startswith(b"#") or (whole and not text):
            continue
        source = text.decode(errors="surrogateescape") if whole else remark(text)
        yield Row(source=source, what=Url(source), where=f"{name}:{number}")


def lines(stream: BinaryIO, name: str, limit_bytes: int = LINE_LIMIT_BYTES) -> Iterator[tuple[int, bytes, bool]]:
    """Number, bytes and wholeness of each line; of one over the limit the beginning.

    A byte order mark is taken off the first line.

    Raises:
        SourceError: reading failed half-way; names the line.
    """
    number = 0
    try:
        while line := stream.readline(limit_bytes + 1):
            number += 1
            whole = len(line) <= limit_bytes or line.endswith(b"\n")
            kept = line[:limit_bytes]
            yield number, kept.removeprefix(_BOM) if number == 1 else kept, whole
            while not whole:
                rest = stream.readline(limit_bytes)
                whole = not rest or rest.endswith(b"\n")
    except _reading_errors() as error:
        message = f"{name}:{number + 1}: the list cannot be read any further: {error}; repair it and run again"
        raise SourceError(message) from error


def remark(line: bytes) -> str:
    """What stands for an over-long line."""
    return f"(longer than {LINE_LIMIT_BYTES} bytes) {line[:_SHOWN_BYTES].decode(errors='surrogateescape')}"
