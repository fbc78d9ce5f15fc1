"""Decides what kind of source an argument is, by its text and by what it names on disk."""

import os
import re
from pathlib import Path
from typing import Final, Literal, cast

from downloader.errors import SourceError
from downloader.sources.folder import is_image_name

ListFormat = Literal["txt", "csv", "tsv", "jsonl", "parquet", "aria2"]
Kind = Literal["url", "image", "folder"] | ListFormat

STDIN: Final = "-"
"""The argument that stands for a list on stdin."""
_URL = re.compile(r"https?://", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_LIST_NAME = re.compile(r"\.(?:(txt|csv|tsv|jsonl)(?:\.gz|\.zst)?|(parquet))\Z", re.IGNORECASE)
_PLANNED_SUFFIXES: Final = frozenset({".tar"})
"""Suffixes of sources that a later version reads."""


def kind_of(argument: str, input_format: ListFormat | Literal["auto"]) -> Kind:
    """The kind of a source; `input_format` is the format that lists are said to have.

    Raises:
        SourceError: the argument is no source; says what to do.
    """
    if argument == STDIN:
        return "txt" if input_format == "auto" else input_format
    if _URL.match(argument):
        return "url"
    if _SCHEME.match(argument):
        raise SourceError(f"{argument}: only http:// and https:// URLs can be downloaded")
    if os.path.isdir(argument):  # noqa: PTH112 - unlike Path, returns False for text that cannot be a path
        return "folder"
    if not os.path.exists(argument):  # noqa: PTH110 - as above
        raise SourceError(f"{argument}: no such file or folder; a URL begins with https:// or http://")
    if is_image_name(argument):
        return "image"
    if input_format != "auto":
        return input_format
    if named := _LIST_NAME.search(argument):
        return cast("ListFormat", (named[1] or named[2]).lower())
    raise SourceError(f"{argument}: {_reason(argument)}; --input-format txt reads a file as one URL a line")


def _reason(path: str) -> str:
    """Why a file is no source."""
    if planned := _PLANNED_SUFFIXES.intersection(map(str.lower, Path(path).suffixes[-2:])):
        return f"{min(planned)} files come in a later version"
    return "neither an image nor a list by its name (.txt .csv .tsv .jsonl, each also .gz or .zst; .parquet)"
