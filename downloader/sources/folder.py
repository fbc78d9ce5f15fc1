"""Folders of images, walked depth first in sorted order, so that names do not depend on the file system.

Every file with an image extension becomes a row, and with `--all-files` every file. What cannot be examined (a folder
without permission, a dangling link named like an image) becomes a row as well: opening it fails with the reason, so
nothing is lost silently. Everything else is left alone and counted, a hidden folder as one.

Links to files and folders are followed, but no folder is entered twice, so loops end. Never entered are the output
folder, the state folder `.downloader` of any output, and without `--all-files` hidden folders.
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
from downloader.sources.access import check_readable
from downloader.sources.counters import SourceCounters

_READ: Final = "jpg jpeg jpe jfif pjpeg pjp mpo png apng webp gif avif avifs bmp dib tif tiff svs"
_OTHERS: Final = "heic heif hif jxl jp2 j2k jpf jpx jxr svg svgz ico icns psd psb xcf tga eps ppm pgm pbm pnm exr hdr"
_RAW: Final = "dng cr2 cr3 crw nef nrw arw srf sr2 orf rw2 raf pef srw 3fr iiq rwl"
IMAGE_EXTENSIONS: Final = frozenset(f"{_READ} {_OTHERS} {_RAW}".split())
"""Extensions of image files, in lower case: the formats we decode, and those whose users should be told that we do not
(`unsupported_format`). A picture in a folder of pictures is never passed over in silence."""

_STATE_FOLDER = ".downloader"
MAX_BATCH_ENTRIES: Final = 30_000
"""Entries of one folder held and sorted at a time, measured at 600 bytes each. A larger folder is scanned once for each
batch: measured, a million files in one folder cost 23 s and 17 MB."""

_EntryKind = Literal["folder", "file", "other"]


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    stem, _, extension = name.rpartition(".")
    return bool(stem) and extension.lower() in IMAGE_EXTENSIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSource:
    """A folder of images.

    Attributes:
        path: the folder, as named by the user.
        output: the output folder of the run, which need not exist yet.
        all_files: takes files of any name, and looks into hidden folders.
        counters: count the files that are left alone.
    """

    path: str
    output: str
    all_files: bool
    counters: SourceCounters

    def check(self) -> None:
        """Make sure that the folder can be listed, and is not the output.

        Raises:
            SourceError: it cannot be used.
        """
        check_readable(self.path)
        if _is_same_folder(self.path, self.output):
            raise SourceError(
                f"{self.path}: the output would go into the folder it is made from; name another one with -o"
            )

    def rows(self) -> Iterator[Row]:
        """The rows of a folder, then those of its subfolders, both sorted by name.

        Names that are not UTF-8 have surrogates (`os.fsencode` gives the bytes back). Memory holds one batch of names,
        and a little for each folder.

        Raises:
            SourceError: the folder itself cannot be read.
        """
        visited: set[tuple[int, int]] = set()
        pending = [""]
        while pending:
            inside = pending.pop()
            subfolders: list[str] = []
            try:
                if self._enter(inside, visited):
                    yield from self._rows_of(inside, subfolders)
            except OSError as error:
                if not inside:
                    raise SourceError(f"{self.path}: cannot be read: {error.strerror or error}") from error
                yield self._row(self._path_of(inside), inside)
            pending.extend(reversed(subfolders))

    def _enter(self, inside: str, visited: set[tuple[int, int]]) -> bool:
        """Whether to enter a folder: not if it is the output, or was visited under this or any other name."""
        path = self._path_of(inside)
        status = Path(path).stat()
        identity = (status.st_dev, status.st_ino)
        if identity in visited or _is_same_folder(path, self.output):
            return False
        visited.add(identity)
        return True

    def _rows_of(self, inside: str, subfolders: list[str]) -> Iterator[Row]:
        """The rows of the files of one folder; adds its subfolders to the list."""
        path = self._path_of(inside).removesuffix("/")
        prefix = f"{inside}/" if inside else ""
        for name, kind in entries(path or "/"):
            is_hidden = name.startswith(".")
            if kind == "folder":
                if self.all_files or not is_hidden:
                    subfolders.append(prefix + name)
                else:
                    self.counters.left_alone += 1
            elif kind == "file" and (self.all_files or (is_image_name(name) and not is_hidden)):
                yield self._row(f"{path}/{name}", prefix + name)
            else:
                self.counters.left_alone += 1

    def _row(self, path: str, inside: str) -> Row:
        return Row(source=path, what=File(path), inside=inside, where=self.path)

    def _path_of(self, inside: str) -> str:
        root = PurePath(self.path).as_posix()
        return f"{root.removesuffix('/')}/{inside}" if inside else root


def _is_same_folder(path: str, output: str) -> bool:
    """Whether a folder is the output folder; looked up each time, since that may be created during the walk."""
    try:
        return Path(path).samefile(output)
    except (OSError, ValueError):
        return False


def entries(path: str, max_batch: int = MAX_BATCH_ENTRIES) -> Iterator[tuple[str, _EntryKind]]:
    """Name and kind of everything in a folder except a state folder, sorted; at most one batch is in memory."""
    last = ""
    while True:
        with os.scandir(path) as found:
            rest = (entry for entry in found if entry.name > last)
            batch = heapq.nsmallest(max_batch, rest, key=attrgetter("name"))
        yield from ((entry.name, _kind_of(entry)) for entry in batch if entry.name != _STATE_FOLDER)
        if len(batch) < max_batch:
            return
        last = batch[-1].name


def _kind_of(entry: os.DirEntry[str]) -> _EntryKind:
    """The kind of an entry, links followed. A dangling link counts as a file: opening it tells the reason."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
        is_dangling = entry.is_symlink() and not Path(entry.path).exists()
    except OSError:
        return "file"
    return "file" if is_dangling else "other"
