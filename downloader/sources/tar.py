"""Tars of images, read in place: each image is a row that names its bytes by offset and length; nothing is unpacked.

A WebDataset is such a tar: members with the same key, which is their path up to the first dot of its last part, are one
sample, and stand next to each other. Fields of the `.json` of a sample, and its `.txt`, are the columns of its images.
"""

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Final, cast

from downloader.errors import SourceError
from downloader.model.items import FileSpan, Invalid, Row
from downloader.sources.access import check_readable
from downloader.sources.counters import SourceCounters
from downloader.sources.folder import is_image_name
from downloader.sources.kinds import NOT_COMPRESSED
from downloader.sources.tabular import text_of

_MAX_HEADER_BYTES: Final = 1024**2
"""The longest name or header of further attributes that is read; tar itself has no limit."""
_MAX_TEXT_BYTES: Final = 1024**2
"""The longest `.json` or `.txt` member of which columns are made."""
_LONG_HEADERS: Final = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)
_MAX_LONG_HEADERS: Final = 16
"""Headers of further attributes that one member may have; `tarfile` recurses for each. Programs write at most 4."""
_MAX_SAMPLE_IMAGES: Final = 1000
"""Images of one key that are held; those after them have the columns that were found so far. `photos.2020.0001.jpg`
has the key `photos`, so that a whole tar may be one sample: without a bound it took 500 bytes a member."""
_BLOCK_BYTES: Final = 512
_CHUNK_BYTES: Final = 1024**2
_MAX_REST_BYTES: Final = 1024**3
"""How far what follows the end mark is examined: programs fill it up with zeros to 10 KiB, or 1 MiB at most."""
_COMPRESSED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")
"""How gzip, zstd, bzip2 and xz begin."""


class _Tar(tarfile.TarFile):
    """A tar that counts the headers of further attributes before one member."""

    long_headers = 0


class _Member(tarfile.TarInfo):
    """A member that a hostile tar cannot give headers without bound, or a size that leads backwards."""

    def _proc_member(self, tar: _Tar) -> tarfile.TarInfo:
        tar.long_headers = tar.long_headers + 1 if self.type in _LONG_HEADERS else 0
        if tar.long_headers > _MAX_LONG_HEADERS:
            raise tarfile.ReadError(f"more than {_MAX_LONG_HEADERS} headers of one member")
        if tar.long_headers and self.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        found: tarfile.TarInfo = cast("Any", super())._proc_member(tar)  # noqa: SLF001 - made to be overridden
        if found.size < 0:  # after the call, since further attributes may change it
            raise tarfile.ReadError(f"a member of {found.size} bytes")
        return found


@dataclass(slots=True)
class _Reading:
    """How far a tar was read: the byte of the header being read, the last member, and what ended it early."""

    at: int = 0
    last: tarfile.TarInfo | None = None
    problem: str | None = None


@dataclass(slots=True)
class _Sample:
    """The members of one key."""

    key: str
    images: list[tarfile.TarInfo] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """The texts of `.json` and `.txt`, by that extension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """A tar of images.

    Attributes:
        path: the file, as named by the user.
        is_only: whether there is no other source. Then a tar that is damaged from its beginning on ends the run;
            otherwise it is one row that fails.
        all_files: takes members of any name; `.json` and `.txt` of a sample with an image stay its columns.
        caption: the column that holds captions, which a `.txt` member fills where the `.json` does not.
        kept: the columns that are kept.
        counters: count the members that are left alone.
    """

    path: str
    is_only: bool
    all_files: bool
    caption: str | None
    kept: Sequence[str]
    counters: SourceCounters

    def check(self) -> None:
        """Make sure that the file may be read, and, if there is no other source, that it is a tar.

        Raises:
            SourceError: it cannot be used.
        """
        check_readable(self.path)
        try:
            with self._open():
                pass
        except tarfile.TarError:
            if self.is_only:
                raise SourceError(self._no_tar()) from None
        except OSError as problem:
            raise SourceError(f"{self.path}: cannot be read: {problem.strerror or problem}") from problem

    def rows(self) -> Iterator[Row]:
        """The rows of the images, in the order of the tar; damage is a row as well, and what comes before it is kept.

        Raises:
            SourceError: the tar cannot be opened any more.
        """
        try:
            tar = self._open()
        except tarfile.TarError:
            if self.is_only:
                raise SourceError(self._no_tar()) from None
            yield self._failed(self._no_tar())
            return
        except OSError as problem:
            raise SourceError(f"{self.path}: cannot be read: {problem}") from problem
        with tar:
            reading = _Reading()
            yield from self._images(tar, reading)
            if reading.problem is not None and not self._is_cut_off(reading.last):
                after = f", after {reading.last.name}" if reading.last else ""
                what = f"damaged at byte {reading.at}{after} ({reading.problem})"
                yield self._failed(f"{self.path}: {what}; the members before are kept")

    def _open(self) -> _Tar:
        return _Tar.open(self.path, "r:", tarinfo=_Member, encoding="utf-8", errors="surrogateescape")

    def _no_tar(self) -> str:
        with Path(self.path).open("rb") as file:
            is_compressed = file.read(_BLOCK_BYTES).startswith(_COMPRESSED)
        return f"{self.path}: " + (NOT_COMPRESSED if is_compressed else "is no tar, or damaged from its beginning on")

    def _failed(self, reason: str) -> Row:
        return Row(source=self.path, what=Invalid(reason), where=self.path)

    def _images(self, tar: _Tar, reading: _Reading) -> Iterator[Row]:
        """The rows of the images up to the end, or to damage, which `reading` then tells."""
        sample = _Sample("")
        try:
            for member in _members(tar, reading):
                key = sample_key(member.name)
                if key != sample.key:
                    yield from self._rows_of(sample)
                    sample = _Sample(key)
                elif len(sample.images) >= _MAX_SAMPLE_IMAGES:
                    yield from self._rows_of(sample)
                    sample.images.clear()
                self._add(tar, sample, member)
            reading.problem = _after_the_end(self.path, tar.offset)
        except (tarfile.TarError, OSError, ValueError) as problem:
            reading.problem = str(problem)
        yield from self._rows_of(sample)

    def _is_cut_off(self, member: tarfile.TarInfo | None) -> bool:
        """Whether a member is an image that ends after its tar; it fails by itself, and `retry` reads it again."""
        if member is None or not self._is_taken(member) or not member.isreg():
            return False
        return member.offset_data + member.size > Path(self.path).stat().st_size

    def _is_taken(self, member: tarfile.TarInfo) -> bool:
        """Whether a member becomes a row."""
        return is_image_name(member.name) or (self.all_files and not (member.isdir() or _is_text(member)))

    def _add(self, tar: _Tar, sample: _Sample, member: tarfile.TarInfo) -> None:
        if member.isdir():
            return
        if self._is_taken(member):
            sample.images.append(member)
        elif not _is_text(member):
            self.counters.left_alone += 1
        elif self.kept and member.size <= _MAX_TEXT_BYTES:
            sample.texts[_extension(member)] = _text(tar, member)

    def _rows_of(self, sample: _Sample) -> Iterator[Row]:
        if not sample.images:
            return
        columns = self._columns(sample.texts)
        for member in sample.images:
            inside = _inside(member.name)
            source = f"{PurePath(self.path).as_posix()}/{inside}"
            yield Row(source=source, what=self._span(member), inside=inside, where=self.path, columns=columns)

    def _span(self, member: tarfile.TarInfo) -> FileSpan | Invalid:
        where = f"{self.path}: {member.name}"
        if member.issym() or member.islnk():
            return Invalid(f"{where}: a link to {member.linkname} within the tar; only files are read")
        if member.issparse():
            return Invalid(f"{where}: a sparse file, whose bytes do not stand together; pack it without --sparse")
        if not member.isreg():
            return Invalid(f"{where}: no file, but a device or the like")
        return FileSpan(self.path, member.offset_data, member.size)

    def _columns(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The kept columns of a sample, empty where it has none."""
        if not self.kept:
            return {}
        values = _fields(texts.get("json", ""))
        if "txt" in texts:
            values.setdefault("txt", texts["txt"])
            if self.caption is not None and not values.get(self.caption):
                values[self.caption] = texts["txt"]
        return {name: text_of(values.get(name)) for name in self.kept}


def _members(tar: _Tar, reading: _Reading) -> Iterator[tarfile.TarInfo]:
    while True:
        reading.at = tar.offset
        member = tar.next()
        if member is None:
            return
        cast("Any", tar).members = []  # otherwise all of them are held
        reading.last = member
        yield member


def _after_the_end(path: str, offset: int) -> str | None:
    """What is wrong where `tarfile` finds no other member: there, nothing but zeros ends a tar."""
    with Path(path).open("rb") as file:
        file.seek(offset)
        if file.read(_BLOCK_BYTES).strip(b"\0"):
            return "no header of a member"
        for _ in range(_MAX_REST_BYTES // _CHUNK_BYTES):
            chunk = file.read(_CHUNK_BYTES)
            if chunk.count(0) < len(chunk):
                return "an end mark with other bytes after it; of tars that were joined only the first is read"
            if not chunk:
                break
    return None


def _inside(name: str) -> str:
    """A path within a tar without the `./` that `tar -c .` puts before it, and other parts that mean nothing."""
    return "/".join(part for part in name.split("/") if part not in {"", "."})


def _extension(member: tarfile.TarInfo) -> str:
    return member.name.rpartition(".")[2].lower()


def _is_text(member: tarfile.TarInfo) -> bool:
    """Whether a member holds columns."""
    return member.isreg() and _extension(member) in {"json", "txt"}


def sample_key(name: str) -> str:
    """The key of the sample that a member belongs to: its path up to the first dot of the last part."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _text(tar: _Tar, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return file.read().decode(errors="replace") if file is not None else ""


def _fields(text: str) -> dict[str, Any]:
    """The fields of a JSON object; none if it is something else."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):  # the latter for a million of brackets
        return {}
    return found if isinstance(found, dict) else {}
