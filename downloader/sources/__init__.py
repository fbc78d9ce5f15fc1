"""Sources: what was named on the command line, as one lazy stream of rows.

    text.py     lists of URLs, one a line: files, gzip files, stdin
    aria2.py    lists in the manner of aria2: mirrors, and options for each download
    folder.py   folders of images

`check` says before the run starts whether every source can be used at all; `read` then yields rows one by one, in the
order of the command line, holding neither lists nor folders in memory.
"""

import io
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO, Final, Literal, TextIO, cast

from downloader.config.settings import Settings
from downloader.errors import SourceError
from downloader.model.items import Origin, Row
from downloader.sources import aria2, folder, text
from downloader.sources.folder import Tally

__all__ = ["Tally", "check", "read"]

_Kind = Literal["url", "stdin", "folder", "image", "list"]

_STDIN: Final = "-"
_URL = re.compile(r"https?://", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_LATER: Final = frozenset({".csv", ".tsv", ".jsonl", ".parquet", ".tar", ".zst"})
"""Endings of sources that belong to the contract and that a later version reads."""


def check(settings: Settings) -> None:
    """Make sure that every source named can be used, without reading any.

    Raises:
        SourceError: one cannot be; names it and says what to do.
    """
    if not settings.sources:
        raise SourceError("no source is named; name a URL, a list of URLs, '-' for a list on stdin, or a folder")
    kinds = [_kind(argument, settings) for argument in settings.sources]
    if kinds.count("stdin") > 1:
        raise SourceError("-: stdin can be read only once; name it once")
    for argument, kind in zip(settings.sources, kinds, strict=True):
        _check_use(argument, kind, settings)


def read(settings: Settings, stdin: TextIO | BinaryIO, tally: Tally | None = None) -> Iterator[Row]:
    """The rows of all sources in order, each as soon as it can be known.

    `stdin` is `sys.stdin` or a binary stream, touched only where `-` is a source. `tally` counts, as reading goes on,
    the files that were left alone and the option lines that were ignored.

    Raises:
        SourceError: a source cannot be read, or not to its end.
    """
    tally = tally or Tally()
    read_list = text.read_stream
    if settings.source.input_format == "aria2":
        read_list = partial(aria2.read_stream, tally=tally)
    for position, argument in enumerate(settings.sources, start=1):
        match _kind(argument, settings):
            case "url":
                yield Row(source=argument, origin=Origin.URL, where=f"argument {position}")
            case "image":
                yield Row(source=PurePath(argument).as_posix(), origin=Origin.FILE, where=f"argument {position}")
            case "folder":
                yield from folder.walk(
                    argument, output=settings.output.output, all_files=settings.source.all_files, tally=tally
                )
            case "list":
                yield from text.read_file(argument, read_list)
            case "stdin":
                stream = stdin.buffer if isinstance(stdin, io.TextIOBase) else stdin
                yield from read_list(cast("BinaryIO", stream), "stdin")


def _kind(argument: str, settings: Settings) -> _Kind:
    """What an argument is, by its look and by what is on disk."""
    if argument == _STDIN:
        return "stdin"
    if _URL.match(argument):
        return "url"
    if _SCHEME.match(argument):
        raise SourceError(f"{argument}: only http:// and https:// URLs can be downloaded")
    path = Path(argument)
    if os.path.isdir(argument):  # noqa: PTH112 - unlike Path, it says no to what it may not see or cannot be a path
        return "folder"
    if not os.path.exists(argument):  # noqa: PTH110 - as above
        raise SourceError(f"{argument}: no such file or folder; a URL begins with https:// or http://")
    if folder.is_image_name(argument):
        return "image"
    if settings.source.input_format != "auto" or _is_txt(path):
        return "list"
    raise SourceError(f"{argument}: {_why_not(path)}; --input-format txt reads a file as one URL a line")


def _is_txt(path: Path) -> bool:
    return path.name.lower().endswith((".txt", ".txt.gz"))


def _why_not(path: Path) -> str:
    """Why a file is no source."""
    if later := _LATER.intersection(map(str.lower, path.suffixes[-2:])):
        return f"{min(later)} files come in a later version"
    return "neither an image nor a list by its name (.txt, .txt.gz)"


def _check_use(argument: str, kind: _Kind, settings: Settings) -> None:
    """Whether a source can be used by this command, and be opened."""
    if settings.mode == "process" and kind in {"url", "list", "stdin"}:
        what = "is a URL" if kind == "url" else "is a list of URLs"
        raise SourceError(f"{argument}: {what}, and process touches no network; use run, or name a folder or an image")
    if kind in {"list", "folder"} and not _is_readable(argument):
        raise SourceError(f"{argument}: permission denied; make it readable, or name another source")
    if kind == "folder" and folder.is_same_folder(Path(argument).stat(), settings.output.output):
        raise SourceError(f"{argument}: the output would go into the folder it is made from; name another one with -o")


def _is_readable(path: str) -> bool:
    """Asked without opening: the other end of a pipe would notice."""
    return os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
