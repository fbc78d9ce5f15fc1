"""Sources: what was named on the command line, as one lazy stream of rows.

    text.py     lists of URLs, one a line: files, gzip and zstd files, stdin
    aria2.py    lists in the manner of aria2: mirrors, and options for each download
    tabular.py  tables with a column of URLs: CSV, TSV, JSON Lines
    parquet.py  the same in Parquet
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
from downloader.model.items import File, Row, Url
from downloader.sources import aria2, folder, parquet, tabular, text
from downloader.sources.folder import SourceCounters

__all__ = ["SourceCounters", "check", "read"]

_Kind = Literal["url", "stdin", "folder", "image", "list"]
_Format = Literal["txt", "csv", "tsv", "jsonl", "parquet", "aria2"]

_STDIN: Final = "-"
_URL = re.compile(r"https?://", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_LIST = re.compile(r"\.(?:(txt|csv|tsv|jsonl)(?:\.gz|\.zst)?|(parquet))\Z", re.IGNORECASE)
_LATER: Final = frozenset({".tar"})
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


def read(settings: Settings, stdin: TextIO | BinaryIO, tally: SourceCounters | None = None) -> Iterator[Row]:
    """The rows of all sources in order, each as soon as it can be known.

    `stdin` is `sys.stdin` or a binary stream, touched only where `-` is a source. `tally` counts, as reading goes on,
    the files that were left alone and the option lines that were ignored.

    Raises:
        SourceError: a source cannot be read, or not to its end.
    """
    tally = tally or SourceCounters()
    columns = tabular.Columns.of(settings.source)
    for position, argument in enumerate(settings.sources, start=1):
        match _kind(argument, settings):
            case "url":
                yield Row(source=argument, what=Url(argument), where=f"argument {position}")
            case "image":
                path = PurePath(argument).as_posix()
                yield Row(source=path, what=File(path), where=f"argument {position}")
            case "folder":
                yield from folder.walk(
                    argument, output=settings.output.output, all_files=settings.source.all_files, tally=tally
                )
            case "list" if _format(argument, settings) == "parquet":
                yield from parquet.read_file(argument, columns)
            case "list":
                yield from text.read_file(argument, _reader(argument, settings, columns, tally))
            case "stdin":
                stream = stdin.buffer if isinstance(stdin, io.TextIOBase) else stdin
                yield from _reader(argument, settings, columns, tally)(cast("BinaryIO", stream), "stdin")


def _reader(argument: str, settings: Settings, columns: tabular.Columns, tally: SourceCounters) -> text.Reader:
    """What makes rows of a list that is read from its beginning to its end."""
    match _format(argument, settings):
        case "csv":
            return partial(tabular.read_csv, columns=columns, delimiter=",")
        case "tsv":
            return partial(tabular.read_csv, columns=columns, delimiter="\t")
        case "jsonl":
            return partial(tabular.read_jsonl, columns=columns)
        case "aria2":
            return partial(aria2.read_stream, tally=tally)
        case _:
            return text.read_stream


def _format(argument: str, settings: Settings) -> _Format | None:
    """The format of a list: as told, else by its name; None where the name says nothing."""
    if settings.source.input_format != "auto":
        return settings.source.input_format
    if argument == _STDIN:
        return "txt"
    named = _LIST.search(argument)
    return cast("_Format", (named[1] or named[2]).lower()) if named else None


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
    if _format(argument, settings) is not None:
        return "list"
    raise SourceError(f"{argument}: {_why_not(path)}; --input-format txt reads a file as one URL a line")


def _why_not(path: Path) -> str:
    """Why a file is no source."""
    if later := _LATER.intersection(map(str.lower, path.suffixes[-2:])):
        return f"{min(later)} files come in a later version"
    return "neither an image nor a list by its name (.txt .csv .tsv .jsonl, each also .gz or .zst; .parquet)"


def _check_use(argument: str, kind: _Kind, settings: Settings) -> None:
    """Whether a source can be used by this command, and be opened."""
    if settings.is_local and kind in {"url", "list", "stdin"}:
        what = "is a URL" if kind == "url" else "is a list of URLs"
        raise SourceError(f"{argument}: {what}, and process touches no network; use run, or name a folder or an image")
    if kind in {"list", "folder"} and not _is_readable(argument):
        raise SourceError(f"{argument}: permission denied; make it readable, or name another source")
    if kind in {"list", "stdin"}:
        _check_format(argument, settings)
    if kind == "folder" and folder.is_same_folder(Path(argument).stat(), settings.output.output):
        raise SourceError(f"{argument}: the output would go into the folder it is made from; name another one with -o")


def _check_format(argument: str, settings: Settings) -> None:
    """Whether all is there that reading a list needs."""
    if _format(argument, settings) == "parquet":
        if argument == _STDIN:
            raise SourceError("-: Parquet is read from its end, which stdin cannot; name a file")
        parquet.library(argument)
    elif argument.lower().endswith(".zst"):
        text.zstd(argument)


def _is_readable(path: str) -> bool:
    """Asked without opening: the other end of a pipe would notice."""
    return os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
