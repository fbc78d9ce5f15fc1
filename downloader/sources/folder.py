"""Folders of images, walked to the bottom in sorted order, so that names do not depend on the file system.

What becomes a row: every file with an image extension, and with `all_files` every file. A row is also made of what
cannot be looked into (a folder without permission, a dangling link named like an image): opening it will tell why, as
the failure of that row, so nothing is lost in silence. Everything else is left alone and counted.

Links are followed, to files and to folders, but no folder is entered twice, so loops end. Never entered: the output
folder, the state folder `.downloader` of any output, and without `all_files` hidden folders.
"""

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path, PurePath
from typing import Final, Literal

from downloader.errors import SourceError
from downloader.model.items import File, Row

IMAGE_EXTENSIONS: Final = frozenset(
    "jpg jpeg jpe jfif png webp gif avif bmp dib tif tiff heic heif jxl".split()  # noqa: SIM905
)
"""What an image file ends in, lower case: the formats we decode, and three that people have and shall hear about
(`unsupported_format`). SVG is not among them: it is a document, and folders of web assets are full of it."""

_STATE_FOLDER = ".downloader"
BATCH: Final = 30_000
"""Entries of one folder held and sorted at a time, measured at 600 bytes each. A larger folder is scanned once for each
batch: measured, a million files in one folder cost 23 s and 17 MB."""

_Kind = Literal["folder", "file", "other"]


@dataclass(slots=True)
class SourceCounters:
    """What a source saw and did not take.

    `left_alone` counts files; hidden folders are not looked into. `options_ignored` counts option lines of aria2 lists.
    """

    left_alone: int = 0
    options_ignored: int = 0


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    stem, _, extension = name.rpartition(".")
    return bool(stem) and extension.lower() in IMAGE_EXTENSIONS


def walk(folder: str, *, output: str, all_files: bool, tally: SourceCounters) -> Iterator[Row]:
    """The rows of a folder: its own files first, then those of its sub-folders, both by name.

    `output` is the output folder of the run, which need not exist yet. Names that are not UTF-8 come out with
    surrogates (`os.fsencode` gives the bytes back). Memory holds one batch of names, and a little for each folder.

    Raises:
        SourceError: the folder itself cannot be read.
    """
    root = PurePath(folder).as_posix()
    visited: set[tuple[int, int]] = set()
    pending = [""]
    while pending:
        inside = pending.pop()
        path = _join(root, inside)
        prefix = f"{inside}/" if inside else ""
        folders: list[str] = []
        try:
            for name, kind in _entries(path) if _is_new(path, output, visited) else ():
                if kind == "folder":
                    if all_files or not _is_hidden(name):
                        folders.append(prefix + name)
                elif kind == "file" and (all_files or (is_image_name(name) and not _is_hidden(name))):
                    yield _row(root, prefix + name, folder)
                else:
                    tally.left_alone += 1
        except OSError as error:
            if not inside:
                raise SourceError(f"{folder}: cannot be read: {error.strerror or error}") from error
            yield _row(root, inside, folder)
        pending.extend(reversed(folders))


def _row(root: str, inside: str, folder: str) -> Row:
    return Row(source=_join(root, inside), what=File(_join(root, inside)), inside=inside, where=folder)


def _join(root: str, inside: str) -> str:
    return f"{root.removesuffix('/')}/{inside}" if inside else root


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _is_new(path: str, output: str, visited: set[tuple[int, int]]) -> bool:
    """Whether a folder is to be entered: not the output, and not seen before by this or any other name."""
    status = Path(path).stat()
    identity = (status.st_dev, status.st_ino)
    if identity in visited or is_same_folder(status, output):
        return False
    visited.add(identity)
    return True


def is_same_folder(status: os.stat_result, output: str) -> bool:
    """Whether `status` is that of the output folder; asked anew each time, since a run makes its output folder."""
    try:
        return os.path.samestat(status, Path(output).stat())
    except (OSError, ValueError):
        return False


def _entries(path: str, batch_size: int = BATCH) -> Iterator[tuple[str, _Kind]]:
    """Name and kind of all that is in a folder, but no state folder, in order; never more than a batch in memory."""
    last = ""
    while True:
        with os.scandir(path) as entries:
            rest = (entry for entry in entries if entry.name > last)
            batch = heapq.nsmallest(batch_size, rest, key=attrgetter("name"))
        yield from ((entry.name, _kind(entry)) for entry in batch if entry.name != _STATE_FOLDER)
        if len(batch) < batch_size:
            return
        last = batch[-1].name


def _kind(entry: os.DirEntry[str]) -> _Kind:
    """What an entry is, links followed. A link that leads nowhere counts as a file: opening it tells why."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
        dangling = entry.is_symlink() and not Path(entry.path).exists()
    except OSError:
        return "file"
    return "file" if dangling else "other"
