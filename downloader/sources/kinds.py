"""Decides what kind of source an argument is, by its text and by what it names on disk."""

import os
import re
from typing import Final, Literal, cast

from downloader.errors import SourceError
from downloader.sources.folder import is_image_name

ListFormat = Literal["txt", "csv", "tsv", "jsonl", "parquet", "aria2"]
Kind = Literal["url", "image", "folder", "tar"] | ListFormat

STDIN: Final = "-"
"""The argument that stands for a list on stdin."""
_NO_SOURCE: Final = (
    "neither an image, a tar nor a list by its name (.txt .csv .tsv .jsonl, each also .gz or .zst; .parquet)"
)
NOT_COMPRESSED: Final = "the images of a tar are read in place, so it must not be compressed; unpack it to .tar"
_URL = re.compile(r"https?://", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_LIST_NAME = re.compile(r"\.(?:(txt|csv|tsv|jsonl)(?:\.gz|\.zst)?|(parquet))\Z", re.IGNORECASE)
_TAR = re.compile(r"\.tar\Z", re.IGNORECASE)
_COMPRESSED_TAR = re.compile(r"\.(?:tar\.(?:gz|zst|bz2|xz)|tgz)\Z", re.IGNORECASE)


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
    return _kind_of_file(argument, input_format)


def _kind_of_file(path: str, input_format: ListFormat | Literal["auto"]) -> Kind:
    if is_image_name(path):
        return "image"
    if _TAR.search(path):
        return "tar"
    if _COMPRESSED_TAR.search(path):
        raise SourceError(f"{path}: {NOT_COMPRESSED}")
    if input_format != "auto":
        return input_format
    if named := _LIST_NAME.search(path):
        return cast("ListFormat", (named[1] or named[2]).lower())
    raise SourceError(f"{path}: {_NO_SOURCE}; --input-format txt reads a file as one URL a line")
